"""Detections of a network in images of any size."""
import numpy as np
import pytest

import gluon_bof
from gluon_bof.backend import mx
from gluon_bof.data.shapes import draw_image
from gluon_bof.inference.detector import Detector
from gluon_bof.models.build import build_network
from tests.inference.lively_detectors import rcnn_detector
from tests.models.faster_rcnn import oracle
from tests.tiny_networks import write_run


def test_a_detector_gives_boxes_in_the_images_own_pixels():
    options = oracle.small_options("pyramid")
    detector = Detector(build_network(options, oracle.CLASSES, [mx.cpu()]), options, mx.cpu())
    oracle.filled(detector.network)
    image = np.random.default_rng(0).integers(0, 255, (300, 500, 3)).astype(np.uint8)
    (found,) = detector.detect([image])
    assert len(found.boxes) and (found.boxes >= 0).all()
    assert (found.boxes <= [500, 300, 500, 300]).all() and (np.diff(found.scores) <= 0).all()
    assert set(found.classes) <= {0, 1, 2}


@pytest.mark.parametrize("kind", ["yolo3", "pyramid"])
def test_images_that_are_looked_at_together_have_the_bits_of_each_alone(kind, tmp_path):
    detector = gluon_bof.load(write_run(tmp_path / "run")).detector if kind == "yolo3" else rcnn_detector(kind)
    images = [draw_image(1, number)[0] for number in range(11)]
    together = detector.detect(images)
    for image, found in zip(images, together):
        for part, wanted in zip(found, detector.detect([image])[0]):
            np.testing.assert_array_equal(part, wanted)
    assert len({image.shape for image in images}) > 2 and len(together) == 11
    assert detector.together(np.zeros((96, 96, 3))) == (8 if kind == "yolo3" else 1)
    mx.nd.waitall()

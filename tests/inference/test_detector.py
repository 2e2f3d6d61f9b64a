"""Detections of a network in images of any size."""
import numpy as np

from gluon_bof.backend import mx
from gluon_bof.inference.detector import Detector
from gluon_bof.models.build import build_network
from tests.models.faster_rcnn import oracle


def test_a_detector_gives_boxes_in_the_images_own_pixels():
    options = oracle.small_options("pyramid")
    detector = Detector(build_network(options, oracle.CLASSES, [mx.cpu()]), options, mx.cpu())
    oracle.filled(detector.network)
    image = np.random.default_rng(0).integers(0, 255, (300, 500, 3)).astype(np.uint8)
    (found,) = detector.detect([image])
    assert len(found.boxes) and (found.boxes >= 0).all()
    assert (found.boxes <= [500, 300, 500, 300]).all() and (np.diff(found.scores) <= 0).all()
    assert set(found.classes) <= {0, 1, 2}

"""What fills up Faster R-CNN's proposals is no detection."""
import numpy as np
import pytest

from gluon_bof.backend import gluon, mx
from gluon_bof.inference.detector import Detector, unpack
from gluon_bof.models.faster_rcnn.family import export_form
from tests.marks import slow_but
from tests.models.faster_rcnn import oracle

from gluoncv.model_zoo.rcnn.faster_rcnn.faster_rcnn import FasterRCNN as GluonCVFasterRCNN


def without_area(boxes):
    return (boxes[:, 2] <= boxes[:, 0]) | (boxes[:, 3] <= boxes[:, 1])


@pytest.mark.parametrize("kind", slow_but(oracle.KINDS, "pyramid"))
def test_detections_are_gluoncvs_without_those_of_no_area(kind):
    """An image so small that it has fewer proposals than are asked for: GluonCV's inference, on proposals that are filled up."""
    _, ours, _ = oracle.pair(kind, 1)
    x = mx.nd.random.normal(0, 1, (1, 3, 16, 16))
    ids, scores, boxes = (output.asnumpy()[0] for output in GluonCVFasterRCNN.hybrid_forward(ours, mx.nd, x))
    expected = np.hstack([ids, scores, boxes])[ids[:, 0] >= 0]
    empty = without_area(expected[:, 2:])
    assert empty.any() and not empty.all(), "a poor case to test with"
    for _ in range(2):
        found = np.hstack([output.asnumpy()[0] for output in ours(x)])
        found = found[found[:, 0] >= 0]
        np.testing.assert_array_equal(found, expected[~empty])
        ours.hybridize()


@pytest.mark.parametrize("kind", ("single level", "pyramid"))
def test_none_reaches_a_program_that_suppresses_by_itself(kind):
    options = oracle.small_options(kind)
    _, ours, _ = oracle.pair(kind, 1)
    data = mx.sym.Variable("data")
    (rows,), _ = export_form(options).candidates(ours, data)
    image = mx.nd.array(np.random.default_rng(0).integers(0, 256, (1, 16, 16, 3)), dtype=np.uint8)
    found = gluon.SymbolBlock(rows, data, params=ours.collect_params())(image).asnumpy().reshape(-1, 6)
    assert without_area(found[:, 2:]).any()
    assert not (without_area(found[:, 2:]) & (found[:, 0] >= 0)).any()
    assert (found[without_area(found[:, 2:]), 1] == 0).all()


def test_a_detector_finds_none():
    options, ours, _ = oracle.pair("pyramid", 1)
    found = Detector(ours, options, mx.cpu()).detect([np.random.default_rng(0).integers(0, 256, (16, 16, 3)).astype(np.uint8)])[0]
    assert len(found.boxes) and not without_area(found.boxes).any()


def test_what_lies_outside_an_image_is_left_out():
    boxes = np.array([(-9, 3, 0, 8), (1, 2, 3, 4), (10, 0, 12, 4), (2, 9, 4, 11)], np.float32)
    found = unpack(np.zeros((4, 1), np.float32), np.array([[.9], [.8], [.7], [.6]], np.float32), boxes, (10, 10), (20, 10))
    np.testing.assert_array_equal(found.boxes, [(1, 4, 3, 8), (2, 18, 4, 20)])
    np.testing.assert_allclose(found.scores, (.8, .6))

"""One number by the metric's name."""
import numpy as np
import pytest

from gluon_bof.boxes import Detections, DetectionSet, Record
from gluon_bof.evaluation.score import score

BOXES = np.array([[10, 10, 60, 60], [100, 20, 180, 90]], np.float32)


def one_image(name="own"):
    record = Record("", "", 1, 200, 200, BOXES, np.array([0, 1]), np.zeros(2, bool), np.zeros(2, bool))
    return DetectionSet(name, ("cat", "dog", "cow"), [record])


@pytest.mark.parametrize("metric", ("voc07", "voc", "coco"))
def test_finding_everything_is_one_and_nothing_is_zero(metric):
    everything = Detections(BOXES, np.array([0, 1]), np.array([0.9, 0.8], np.float32))
    nothing = Detections(np.zeros((0, 4), np.float32), np.zeros(0, int), np.zeros(0, np.float32))
    found = score([everything], one_image(), metric)
    assert found["map"] == pytest.approx(1) and found["metric"] == metric
    assert found["per_class"] == {"cat": pytest.approx(1), "dog": pytest.approx(1), "cow": None}
    assert score([nothing], one_image(), metric)["map"] == 0


def test_auto_is_cocos_for_coco_and_vocs_for_others():
    everything = Detections(BOXES, np.array([0, 1]), np.array([0.9, 0.8], np.float32))
    assert score([everything], one_image("coco"))["metric"] == "coco"
    assert score([everything], one_image("voc"))["metric"] == "voc07"


@pytest.mark.parametrize("metric", ("voc07", "voc", "coco"))
@pytest.mark.parametrize("kind", ("difficult", "crowd", "nothing"))
def test_the_mean_of_nothing_is_null_and_not_0(metric, kind):
    flags = {name: np.full(2, name == kind) for name in ("difficult", "crowd")}
    record = Record("", "", 1, 200, 200, BOXES, np.array([0, 1]), **flags)
    if kind == "nothing":
        record = Record("", "", 1, 200, 200, np.zeros((0, 4), np.float32), np.zeros(0, int), np.zeros(0, bool), np.zeros(0, bool))
    found_set = DetectionSet("own", ("cat", "dog", "cow"), [record])
    everything = Detections(BOXES, np.array([0, 1]), np.array([0.9, 0.8], np.float32))
    found = score([everything], found_set, metric)
    assert found["map"] is None and set(found["per_class"].values()) == {None}

"""VOC's average precision against GluonCV's metrics, by hand, and where the two differ on purpose."""
import time

import numpy as np
import pytest

import gluon_bof.backend  # noqa: F401  before gluoncv
from gluon_bof.boxes import Detections, Record, iou
from gluon_bof.evaluation.voc import mean_ap, per_class_table, voc_average_precision

from gluoncv.utils.metrics.voc_detection import VOC07MApMetric, VOCMApMetric

TOLERANCE = 1e-6
SIZE = 200
CLASSES = tuple("abcde")


def record(boxes=(), classes=(), difficult=None, crowd=None):
    count = len(boxes)
    flags = [np.zeros(count, bool) if flag is None else np.array(flag, bool) for flag in (difficult, crowd)]
    return Record("image.jpg", "image.xml", "image", SIZE, SIZE, np.array(boxes, np.float32).reshape(-1, 4),
                  np.array(classes, np.int64), *flags)


def detections(boxes=(), classes=(), scores=()):
    return Detections(np.array(boxes, np.float32).reshape(-1, 4), np.array(classes, np.int64),
                      np.array(scores, np.float32))


def random_boxes(rng, count, whole):
    corners = rng.uniform(0, SIZE - 60, (count, 2))
    boxes = np.hstack([corners, corners + rng.uniform(5, 60, (count, 2))])
    return (boxes.round() if whole else boxes).astype(np.float32)


def random_images(seed, images=30, absent=4):
    """([Detections], [Record]) with hits, near misses, double hits, wrong classes and chance finds; distinct scores.

    Some images have no box, some no detection; class `absent` is detected, but never there."""
    rng = np.random.default_rng(seed)
    records, found = [], []
    for _ in range(images):
        count = rng.choice((0, 1, 4, 9))
        boxes = random_boxes(rng, count, whole=seed % 2)
        classes = rng.choice([index for index in range(len(CLASSES)) if index != absent], count)
        records.append(record(boxes, classes, rng.random(count) < 0.25, rng.random(count) < 0.1))
        near = np.repeat(np.arange(count), rng.integers(0, 4, count))
        chance = rng.choice((0, 3))
        moved = boxes[near] + rng.normal(0, 2.5, (len(near), 4)).astype(np.float32)
        moved[:, 2:] = np.maximum(moved[:, 2:], moved[:, :2] + 1)
        labels = np.where(rng.random(len(near)) < 0.1, rng.integers(0, len(CLASSES), len(near)), classes[near])
        found.append((np.concatenate([moved, random_boxes(rng, chance, False)]),
                      np.concatenate([labels, rng.integers(0, len(CLASSES), chance)])))
    total = sum(len(boxes) for boxes, _ in found)
    scores = np.split(rng.permutation(total) / total, np.cumsum([len(boxes) for boxes, _ in found])[:-1])
    return [detections(*pair, part) for pair, part in zip(found, scores)], records


def gluoncv_ap(metric, found, records, classes=CLASSES, iou_threshold=0.5):
    """(AP of each class, their mean) as GluonCV computes it."""
    metric = metric(iou_threshold, list(classes))
    for one, truth in zip(found, records):
        metric.update(one.boxes[None], one.classes[None], one.scores[None], truth.boxes[None], truth.classes[None],
                      (truth.difficult | truth.crowd)[None])
    names, values = metric.get()
    assert names == list(classes) + ["mAP"]
    return np.array(values[:-1]), values[-1]


@pytest.mark.parametrize("iou_threshold", [0.5, 0.75])
@pytest.mark.parametrize("seed", range(6))
def test_equals_gluoncv(seed, iou_threshold):
    found, records = random_images(seed)
    for metric, eleven_point in ((VOC07MApMetric, True), (VOCMApMetric, False)):
        expected, expected_mean = gluoncv_ap(metric, found, records, iou_threshold=iou_threshold)
        ap = voc_average_precision(found, records, len(CLASSES), iou_threshold, eleven_point)
        assert 0.05 < expected_mean < 0.95 and np.isnan(expected[4]), "a poor case to test with"
        np.testing.assert_allclose(ap, expected, rtol=0, atol=TOLERANCE)
        assert abs(mean_ap(ap) - expected_mean) < TOLERANCE


def test_difficult_boxes_and_crowds_matter():
    """The random cases do exercise them: without the flags the number of each class is another."""
    found, records = random_images(0)
    plain = [record(one.boxes, one.classes) for one in records]
    flagged, unflagged = (voc_average_precision(found, truth, 5)[:4] for truth in (records, plain))
    assert (abs(flagged - unflagged) > 1000 * TOLERANCE).all()


def test_by_hand():
    """Three boxes of class 0. By score: a hit, a miss elsewhere, a second hit on the same, a hit.

    Precision 1, 1/2, 1/3, 2/4 at recall 1/3, 1/3, 1/3, 2/3."""
    records = [record([(10, 10, 29, 29), (50, 50, 89, 89)], (0, 0)), record([(0, 0, 9, 9)], (0,))]
    found = [detections([(10, 10, 29, 29), (10, 10, 29, 30), (50, 50, 89, 89)], (0, 0, 0), (0.9, 0.7, 0.6)),
             detections([(100, 100, 120, 120)], (0,), (0.8,))]
    # points 0 to 0.3 have precision 1, points 0.4 to 0.6 have 1/2, the rest none
    assert voc_average_precision(found, records, 1) == pytest.approx([(4 + 3 / 2) / 11])
    assert voc_average_precision(found, records, 1, eleven_point=False) == pytest.approx([1 / 3 + 1 / 3 * 1 / 2])


def test_the_last_pixel_belongs_to_a_box():
    """10 and 20 pixels wide: IoU is 1/2, a hit; from corner to corner it would be 9/19."""
    found = [detections([(0, 0, 9, 9)], (0,), (0.5,))]
    assert voc_average_precision(found, [record([(0, 0, 19, 9)], (0,))], 1) == [1.0]
    assert voc_average_precision(found, [record([(0, 0, 20, 9)], (0,))], 1) == [0.0]


def test_detections_on_a_difficult_box_do_not_count():
    easy, hard, elsewhere = (0, 0, 49, 49), (100, 100, 149, 149), (0, 150, 20, 170)
    found = [detections([hard, hard, easy, elsewhere], (0,) * 4, (0.9, 0.8, 0.7, 0.6))]
    for flags in ({"difficult": (False, True)}, {"crowd": (False, True)}):
        assert voc_average_precision(found, [record([easy, hard], (0, 0), **flags)], 1) == [1.0]
    only_hard = [record([hard], (0,), (True,))]
    assert np.isnan(voc_average_precision(found, only_hard, 1)).all()


def test_a_detection_goes_to_its_best_box_though_claimed():
    """As VOC's kit has it; COCO would give the second detection the other box."""
    records = [record([(0, 0, 99, 99), (0, 0, 99, 79)], (0, 0))]
    found = [detections([(0, 0, 99, 99), (0, 0, 99, 95)], (0, 0), (0.9, 0.8))]
    assert voc_average_precision(found, records, 1, eleven_point=False) == [0.5]


@pytest.mark.parametrize("eleven_point", [True, False])
def test_perfect_detections(eleven_point):
    _, records = random_images(3)
    found = [detections(one.boxes, one.classes, np.linspace(0.9, 0.5, len(one.boxes))) for one in records]
    ap = voc_average_precision(found, records, 5, eleven_point=eleven_point)
    assert ap[:4] == pytest.approx(1.0) and np.isnan(ap[4])
    assert mean_ap(ap) == pytest.approx(1.0)


@pytest.mark.parametrize("kind", (np.int16, np.uint16, np.float16))
def test_perfect_detections_in_16_bits_are_perfect(kind):
    """Their areas do not fit into 16 bits: the AP was 0.27 without a word."""
    boxes = np.array([[0, 0, 400, 300], [100, 60, 500, 360]], kind)
    found = [detections(boxes, (0, 1), (0.9, 0.8))._replace(boxes=boxes)]
    assert voc_average_precision(found, [record(boxes, (0, 1))], 2).tolist() == [1, 1]
    np.testing.assert_allclose(iou(boxes, boxes[::-1]).diagonal(), 300 * 240 / (2 * 400 * 300 - 300 * 240), rtol=1e-6)


def test_no_detections_and_no_boxes():
    _, records = random_images(3)
    nothing = [detections() for _ in records]
    ap = voc_average_precision(nothing, records, 5)
    assert (ap[:4] == 0).all() and np.isnan(ap[4]) and mean_ap(ap) == 0.0
    found, _ = random_images(3)
    ap = voc_average_precision(found, [record() for _ in found], 5)
    assert np.isnan(ap).all() and ap.shape == (5,) and mean_ap(ap) == 0.0
    assert np.isnan(voc_average_precision([], [], 2)).all()


def test_the_points_are_numpys_as_in_gluoncv():
    """Recall 3/10 is below the fourth of np.arange(0, 1.1, 0.1): three points count, not four."""
    boxes = [(20 * place, 0, 20 * place + 9, 9) for place in range(10)]
    records, found = [record(boxes, (0,) * 10)], [detections(boxes[:3], (0,) * 3, (0.9, 0.8, 0.7))]
    ap = voc_average_precision(found, records, 1)
    assert ap == pytest.approx([3 / 11])
    assert ap == pytest.approx(gluoncv_ap(VOC07MApMetric, found, records, ("a",))[0])


def test_equal_scores_count_in_the_order_of_the_images():
    box = (10, 10, 40, 40)
    hit, miss = detections([box], (0,), (0.5,)), detections([(100, 100, 140, 140)], (0,), (0.5,))
    records = [record([box], (0,)), record([box], (0,))]
    first = voc_average_precision([hit, miss], records, 1, eleven_point=False)
    second = voc_average_precision([miss, hit], records, 1, eleven_point=False)
    assert first == pytest.approx([0.5]) and second == pytest.approx([0.25])


def test_equal_scores_count_in_the_order_of_the_detections():
    """The hit is the fifth of the detections with the better score, among more than a short sort keeps in order."""
    box, count = (10, 10, 40, 40), 200
    boxes = [(100, 100, 140, 140)] * count
    boxes[8] = box
    found = [detections(boxes, (0,) * count, np.tile((0.5, 0.25), count // 2))]
    assert voc_average_precision(found, [record([box], (0,))], 1, eleven_point=False) == pytest.approx([1 / 5])


def test_a_box_that_is_no_number_is_a_miss():
    box = (10, 10, 40, 40)
    found = [detections([(np.nan,) * 4, box], (0, 0), (0.9, 0.8))]
    assert voc_average_precision(found, [record([box], (0,))], 1, eleven_point=False) == [0.5]


def test_lists_of_different_length_are_refused():
    with pytest.raises(ValueError, match="2 images of detections for 1 records"):
        voc_average_precision([detections()] * 2, [record()], 1)


def test_five_thousand_images_take_seconds():
    rng = np.random.default_rng(0)
    records, found = [], []
    for _ in range(5000):
        records.append(record(random_boxes(rng, 8, False), rng.integers(0, 20, 8)))
        found.append(detections(random_boxes(rng, 100, False), rng.integers(0, 20, 100), rng.random(100)))
    began = time.process_time()
    ap = voc_average_precision(found, records, 20)
    assert time.process_time() - began < 5
    assert np.isfinite(ap).all()


def test_table_is_aligned_and_ends_with_map():
    table = per_class_table(np.array([0.5, np.nan, 1.0]), ("cat", "diningtable", "x"))
    assert table.splitlines() == ["cat          0.5000",
                                  "diningtable       -",
                                  "x            1.0000",
                                  "mAP          0.7500"]
    assert per_class_table([0.5], ("cat",), "mAP of the masks").splitlines()[-1] == "mAP of the masks  0.5000"

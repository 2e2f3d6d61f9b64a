"""Precision, recall, F1, confusion, calibration and AP by size, beside COCOeval and plain counting."""
import contextlib
import io

import numpy as np
import pytest
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from gluon_bof.boxes import DetectionSet
from gluon_bof.evaluation.curves import ap_by_size, best_f1, calibration, confusion_matrix, curve, lowest_overlaps, nearest
from gluon_bof.evaluation.errors import detection_errors
from gluon_bof.evaluation.gallery import worst_images
from gluon_bof.evaluation.matching import average_precision, match_images, match_set
from gluon_bof.evaluation.voc import voc_average_precision
from tests.evaluation.drawn_detections import draw, found_of, record_of

CLASSES = 4


@pytest.fixture(scope="module")
def drawn():
    return draw(11, 80, CLASSES, 0.1)


def cocoeval(detections, records):
    """COCOeval at IoU 0.5 of the same: precision (101, classes, 4 areas)."""
    truth, found = [], []
    for number, (one, record) in enumerate(zip(detections, records), 1):
        for box, label, crowd in zip(record.boxes.astype(float), record.classes, record.crowd):
            xywh = [*box[:2], *(box[2:] - box[:2])]
            truth.append(dict(id=len(truth) + 1, image_id=number, category_id=int(label) + 1, bbox=xywh,
                              area=xywh[2] * xywh[3], iscrowd=int(crowd)))
        for box, label, score in zip(one.boxes.astype(float), one.classes, one.scores):
            xywh = [*box[:2], *(box[2:] - box[:2])]
            found.append(dict(image_id=number, category_id=int(label) + 1, bbox=xywh, score=float(score)))
    index = COCO()
    index.dataset = {"images": [{"id": number + 1} for number in range(len(records))], "annotations": truth,
                     "categories": [{"id": number + 1} for number in range(CLASSES)]}
    with contextlib.redirect_stdout(io.StringIO()):
        index.createIndex()
        evaluation = COCOeval(index, index.loadRes(found), "bbox")
        evaluation.params.iouThrs = np.array([0.5])
        evaluation.evaluate()
        evaluation.accumulate()
    return evaluation.eval["precision"][0, :, :, :, -1]


def test_precision_at_every_recall_is_cocoevals(drawn):
    theirs = cocoeval(*drawn)[:, :, 0]
    matches = match_set(match_images(*drawn), CLASSES)
    for index in range(CLASSES):
        scores, hits, positives = matches.of_class(index)
        assert average_precision(hits, positives) == pytest.approx(theirs[:, index].mean(), abs=1e-9)
        points = curve(scores, hits, positives)
        ours = [max(points.precision[points.recall >= recall], default=0) for recall in np.linspace(0, 1, 101)]
        assert ours == pytest.approx(theirs[:, index], abs=1e-9)


@pytest.mark.parametrize("hits", (7, 14))
def test_a_recall_at_a_point_that_is_no_hundredth_to_the_last_bit_counts_as_cocoeval_counts_it(hits):
    corners = np.arange(20)[:, None] * 50 + np.array([0, 0, 39, 39])
    truth = [record_of(corners, np.zeros(20))]
    found = [found_of(corners[:hits], np.zeros(hits), np.full(hits, 0.9))]
    matches = match_set(match_images(found, truth), 1)
    assert average_precision(matches.hits, 20) == pytest.approx(cocoeval(found, truth)[:, 0, 0].mean(), abs=1e-12)


def test_ap_by_size_is_cocoevals(drawn):
    theirs = cocoeval(*drawn)
    ours = ap_by_size(*drawn, CLASSES)
    for place, size in enumerate(("small", "medium", "large"), 1):
        expected = [column.mean() if (column > -1).all() else np.nan for column in theirs[:, :, place].T]
        assert ours[size][0] == pytest.approx(expected, abs=1e-9, nan_ok=True)
    whole = sum(boxes for _, boxes in ours.values())
    assert whole.tolist() == match_set(match_images(*drawn), CLASSES).positives.tolist()


def test_a_box_of_a_bounds_size_is_of_both_sizes_as_in_cocoeval():
    squares = [(0, 0, 32, 32), (100, 100, 196, 196)]
    record, found = record_of(squares, [0, 0]), found_of(squares[1:], [0], [0.9])
    ours = [ap[0] for ap, _ in ap_by_size([found], [record], 1).values()]
    theirs = cocoeval([found], [record])[:, 0, 1:].mean(axis=0).tolist()
    assert ours == pytest.approx(theirs) and theirs == pytest.approx([0, 51 / 101, 1])


def overlap_of(a, b):
    width, height = min(a[2], b[2]) - max(a[0], b[0]), min(a[3], b[3]) - max(a[1], b[1])
    if width <= 0 or height <= 0:
        return 0.0
    return width * height / ((a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - width * height)


def counted_at(detections, records, label, score):
    """(hits, misses, boxes) of a class when only detections from this score on exist, matched anew by plain loops."""
    hits = misses = boxes = 0
    for one, record in zip(detections, records):
        left = [box for box, of in zip(record.boxes, record.classes) if of == label]
        boxes += len(left)
        for box, of, value in zip(*one[:3]):
            if of != label or value < score:
                continue
            best = max(left, key=lambda truth: overlap_of(box, truth), default=None)
            if best is not None and overlap_of(box, best) >= 0.5:
                left = [other for other in left if other is not best]
                hits += 1
            else:
                misses += 1
    return hits, misses, boxes


def test_the_best_f1_is_the_best_of_all_scores_counted_one_by_one():
    detections, records = draw(12, 25, CLASSES)
    detections = [found_of(one.boxes, one.classes, np.round(one.scores, 1)) for one in detections]  # many scores are equal
    matches = match_set(match_images(detections, records), CLASSES)
    for label in range(CLASSES):
        counted = []
        for score in sorted({float(value) for one in detections for value in one.scores}, reverse=True):
            hits, misses, boxes = counted_at(detections, records, label, score - 1e-6)
            counted.append((2 * hits / max(hits + misses + boxes, 1), score))
        best = best_f1(curve(*matches.of_class(label)))
        assert best.f1 == pytest.approx(max(counted)[0])
        assert any(score == pytest.approx(best.score) for f1, score in counted if f1 == pytest.approx(best.f1))


def test_a_class_without_detections_has_no_best_score():
    assert best_f1(curve(np.zeros(0), np.zeros(0, bool), 3)).score is None
    assert best_f1(curve(np.array([0.5]), np.array([False]), 3)).score is None


def test_of_equal_f1_the_highest_score_is_best():
    points = curve(np.array([0.9, 0.8, 0.7, 0.6]), np.array([True, False, False, True]), 2)
    assert points.f1[0] == points.f1[3] == points.f1.max() and best_f1(points).score == 0.9


def test_a_detection_at_the_best_score_is_shown():
    record, found = record_of([(0, 0, 50, 50)], [0]), found_of([(0, 0, 50, 50)], [0], [0.7])
    matches = match_images([found], [record])
    score = best_f1(curve(*match_set(matches, 1).of_class(0))).score
    assert confusion_matrix(matches, 1, score).tolist() == [[1, 0], [0, 0]]
    assert len(lowest_overlaps(matches, score)) == 1


def test_confusions_are_counted_pair_by_pair(drawn):
    detections, records = drawn[0], [record_of(one.boxes, one.classes) for one in drawn[1]]
    matrix = confusion_matrix(match_images(detections, records), CLASSES, 0.3)
    expected = np.zeros_like(matrix)
    for one, record in zip(detections, records):
        shown = [(box, label) for box, label, score in zip(*one[:3]) if score >= 0.3]
        truths = list(zip(record.boxes, record.classes))
        while True:
            overlaps = [(overlap_of(box, truth), i, j) for i, (box, _) in enumerate(shown) for j, (truth, _) in enumerate(truths)]
            largest = max(overlaps, default=(0,))
            if largest[0] < 0.5:
                break
            expected[truths.pop(largest[2])[1], shown.pop(largest[1])[1]] += 1
        for _, label in shown:
            expected[CLASSES, label] += 1
        for _, label in truths:
            expected[label, CLASSES] += 1
    assert matrix.tolist() == expected.tolist()
    assert matrix[:CLASSES].sum() == sum(len(record.boxes) for record in records) and matrix[CLASSES, CLASSES] == 0


def test_difficult_boxes_are_neither_found_nor_missed():
    record = record_of([(0, 0, 50, 50), (100, 100, 150, 150)], [0, 0], difficult=[False, True])
    found = found_of([(100, 100, 150, 150), (101, 100, 150, 150)], [0, 0], [0.9, 0.8])
    matches = match_images([found], [record])
    assert confusion_matrix(matches, 1, 0.1).tolist() == [[0, 1], [0, 0]]
    assert match_set(matches, 1).scores.size == 0


@pytest.mark.parametrize("bottom, counted", ((26, 0), (24, 1)))
def test_a_difficult_box_excuses_what_overlaps_it_by_half(bottom, counted):
    record = record_of([(0, 0, 50, 50)], [0], difficult=[True])
    matches = match_images([found_of([(0, 0, 50, bottom)], [0], [0.9])], [record])
    assert len(match_set(matches, 1).scores) == counted


def test_a_detection_in_a_crowd_does_not_take_the_box_of_another_class_that_it_covers():
    record = record_of([(0, 0, 100, 100), (20, 20, 80, 80)], [0, 1], crowd=[True, False])
    found = found_of([(22, 22, 80, 80), (20, 20, 76, 76)], [0, 1], [0.9, 0.8])
    assert confusion_matrix(match_images([found], [record]), 2, 0.1)[1].tolist() == [0, 1, 0]
    alone = found_of([(22, 22, 80, 80)], [0], [0.9])
    assert confusion_matrix(match_images([alone], [record]), 2, 0.1).tolist() == [[0, 0, 0], [0, 0, 1], [0, 0, 0]]


def test_a_box_that_is_not_a_number_is_a_miss_as_in_vocs_metric_and_excused_by_no_size():
    record = record_of([(0, 0, 50, 50)], [0])
    found = found_of([(np.nan, 0, 50, 50), (0, 0, 50, 50)], [0, 0], [0.9, 0.8])
    of_image = match_images([found], [record])
    matches = match_set(of_image, 1)
    assert matches.hits.tolist() == [False, True]
    theirs = voc_average_precision([found], [record], 1)
    assert average_precision(matches.hits, 1) == pytest.approx(theirs[0]) == pytest.approx(0.5)
    for size, (ap, boxes) in ap_by_size([found], [record], 1).items():
        assert ap[0] == pytest.approx(0.5) if boxes[0] else np.isnan(ap[0]), size
    errors = detection_errors(of_image, 1)
    assert errors.counts["background"] == 1  # which no page can draw
    worst = worst_images(of_image, [found], DetectionSet("own", ("a",), [record]), errors.kinds, 0.5)
    assert worst["false_positives"] == []


def test_ece_of_scores_that_say_the_truth_is_zero_and_of_others_its_closed_form():
    halves = np.tile([True, False], 500)
    assert calibration(np.full(1000, 0.5), halves).error == pytest.approx(0)
    assert calibration(np.full(1000, 0.85), halves).error == pytest.approx(0.35)
    assert calibration(np.zeros(0), np.zeros(0, bool)).error == 0
    # a hit with the probability s squared, s even in [0, 1]: the integral of s - s^2 is 1/6
    scores = np.repeat((np.arange(1000) + 0.5) / 1000, 1000)
    hits = np.tile((np.arange(1000) + 0.5) / 1000, 1000) < scores ** 2
    assert calibration(scores, hits, 100).error == pytest.approx(1 / 6, abs=5e-5)
    # s = 1 belongs to the last bin, and a bin's lower edge to it
    edges = calibration([0.0, 0.1, 1.0], [False, False, True])
    assert edges.counts.tolist() == [1, 1] + [0] * 7 + [1]


def test_the_loosest_hits_come_first():
    record = record_of([(0, 0, 100, 100), (200, 200, 300, 300)], [0, 0])
    found = found_of([(0, 0, 100, 100), (200, 200, 300, 260)], [0, 0], [0.5, 0.9])
    loose = lowest_overlaps(match_images([found], [record]), 0.1)
    assert [round(row[0], 6) for row in loose] == [0.6, 1.0] and loose[0][1:] == (0, 0, 1)
    assert nearest((0, 0, 100, 50), record.boxes) == (0, 0.5) and nearest((400, 0, 500, 50), record.boxes) == (-1, 0.0)

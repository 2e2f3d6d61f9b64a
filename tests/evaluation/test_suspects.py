"""Which labels a trained network doubts."""
import numpy as np
import pytest

from gluon_bof.evaluation.suspects import find_suspects
from tests.evaluation.drawn_detections import found_of, record_of

BOXES = [(10, 10, 90, 90), (150, 150, 250, 230), (300, 20, 380, 120)]
LABELS = [0, 1, 2]


def seen(boxes=BOXES, classes=LABELS, scores=(0.9, 0.8, 0.7)):
    return found_of(boxes, classes, scores)


def told(suspects):
    return [(one.kind, one.image, one.label, one.class_id) for one in suspects]


def test_right_labels_raise_no_doubt():
    near = record_of(np.array(BOXES) + (2, -2, 3, 1), LABELS)
    assert find_suspects([seen()] * 3, [near] * 3, 3) == []


def test_a_dropped_box_a_swapped_class_and_a_shifted_box_are_each_named_as_what_they_are():
    dropped, swapped = record_of(BOXES[1:], LABELS[1:]), record_of(BOXES, [0, 2, 2])
    shifted = record_of([BOXES[0], BOXES[1], (345, 60, 400, 160)], LABELS)
    right = record_of(BOXES, LABELS)
    suspects = find_suspects([seen()] * 4, [right, dropped, swapped, shifted], 3)
    assert sorted(told(suspects)) == [("class", 2, 1, 1), ("missing", 1, -1, 0), ("place", 3, 2, 2)]
    assert all(0 < one.suspicion <= 1 for one in suspects)
    assert [one.suspicion for one in suspects] == sorted((one.suspicion for one in suspects), reverse=True)
    assert suspects[0].kind == "missing" and suspects[0].suspicion == pytest.approx(0.9) == pytest.approx(suspects[0].score)


def test_a_network_that_wavers_between_two_classes_doubts_less():
    wrong = record_of(BOXES, [1, 1, 2])
    sure = find_suspects([seen()], [wrong], 3)
    wavering = find_suspects([seen([*BOXES, BOXES[0]], [*LABELS, 1], [0.9, 0.8, 0.7, 0.6])], [wrong], 3)
    assert told(sure) == told(wavering) == [("class", 0, 0, 0)]
    assert wavering[0].suspicion == pytest.approx(sure[0].suspicion * (0.9 - 0.6) / 0.9)


def test_two_objects_side_by_side_are_not_taken_for_one_another():
    boxes = [(0, 0, 100, 100), (60, 0, 160, 100)]
    assert find_suspects([found_of(boxes, [0, 1], [0.9, 0.9])], [record_of(boxes, [0, 1])], 2) == []


def test_what_lies_in_a_crowd_is_not_missing_and_a_crowd_is_not_misplaced():
    crowd = record_of([(0, 0, 400, 400)], [0], crowd=[True])
    assert find_suspects([found_of(BOXES, [0, 0, 0], (0.9, 0.8, 0.7))], [crowd], 3) == []


def test_images_without_labels_or_detections_have_none_or_only_missing_boxes():
    nothing, bare = found_of([], [], []), record_of([], [])
    assert find_suspects([nothing, nothing], [bare, record_of(BOXES, LABELS)], 3) == []
    assert told(find_suspects([seen()], [bare], 3)) == [("missing", 0, -1, 0), ("missing", 0, -1, 1), ("missing", 0, -1, 2)]
    with pytest.raises(ValueError):
        find_suspects([nothing], [], 3)

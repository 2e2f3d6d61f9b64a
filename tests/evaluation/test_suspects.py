"""Which labels a trained network doubts."""
import numpy as np
import pytest

from gluon_bof.evaluation.doubts import _renumbered, entries_of
from gluon_bof.evaluation.suspects import Suspect, find_suspects
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


def test_a_label_of_the_objects_own_class_goes_before_one_of_another_that_lies_a_little_nearer():
    labels = record_of([(0, 0, 100, 80), (0, 0, 100, 90)], [0, 1])
    assert find_suspects([found_of([(0, 0, 100, 100)], [0], [0.9])], [labels], 2) == []


def test_what_lies_in_a_crowd_is_not_missing_and_a_crowd_is_not_misplaced():
    crowd = record_of([(0, 0, 400, 400)], [0], crowd=[True])
    assert find_suspects([found_of(BOXES, [0, 0, 0], (0.9, 0.8, 0.7))], [crowd], 3) == []


def test_images_without_labels_or_detections_have_none_or_only_missing_boxes():
    nothing, bare = found_of([], [], []), record_of([], [])
    assert find_suspects([nothing, nothing], [bare, record_of(BOXES, LABELS)], 3) == []
    assert told(find_suspects([seen()], [bare], 3)) == [("missing", 0, -1, 0), ("missing", 0, -1, 1), ("missing", 0, -1, 2)]
    with pytest.raises(ValueError):
        find_suspects([nothing], [], 3)


def suspicions(found, record):
    """[(kind, suspicion)] in one image."""
    return [(one.kind, one.suspicion) for one in find_suspects([found], [record], 2)]


def test_a_doubt_is_as_large_as_the_overlap_makes_it():
    label = record_of([(0, 0, 100, 100)], [0])
    beside = found_of([(0, 0, 100, 100), (50, 0, 150, 100)], [0, 0], [0.9, 0.6])  # IoU 1/3 with the other's box
    assert suspicions(beside, label) == [("missing", pytest.approx(0.6 * (1 - 1 / 3)))]
    assert suspicions(found_of([(0, 0, 100, 60)], [1], [0.9]), label) == [("class", pytest.approx(0.9 * 0.6 / 0.8))]
    assert suspicions(found_of([(0, 0, 100, 20)], [0], [0.9]), label) == [("place", pytest.approx(0.9 * (1 - 3 * 0.2 / 0.8)))]
    assert suspicions(found_of([(0, 0, 9, 9)], [0], [0.19]), record_of([], [])) == []


@pytest.mark.parametrize("widths, usual", ((9 * [70] + 11 * [90], 0.9), (20 * [100], 0.95)))
def test_a_place_is_doubted_by_the_median_of_all_places_which_nobody_draws_perfectly(widths, usual):
    lefts = 1000 + 300 * np.arange(20)
    labels = [(left, 0, left + 100, 100) for left in lefts]
    places = [(left, 0, left + width, 100) for left, width in zip(lefts, widths)]
    half = found_of([*places, (0, 0, 100, 50)], [0] * 21, [0.9] * 21)
    doubts = suspicions(half, record_of([*labels, (0, 0, 100, 100)], [0] * 21))
    assert doubts[0] == ("place", pytest.approx(0.9 * (1 - 3 * (1 - usual) / 0.5)))


def test_only_a_crowd_of_the_class_that_covers_half_of_a_box_explains_it():
    crowds = record_of([(0, 0, 60, 100), (0, 200, 100, 300)], [0, 1], crowd=[True, False])
    whole = (0, 0, 100, 100)
    assert suspicions(found_of([whole], [0], [0.9]), crowds) == []
    for class_id, record in ((1, crowds), (0, record_of([(0, 0, 40, 100)], [0], crowd=[True]))):
        assert [kind for kind, _ in suspicions(found_of([whole], [class_id], [0.9]), record)] == ["missing"]


def test_classes_are_those_of_the_set_and_others_go_with_their_boxes_and_scores():
    of_network = found_of([(0, 0, 1, 1), (0, 0, 2, 2), (0, 0, 3, 3)], [0, 1, 2], [0.9, 0.8, 0.7])
    ours = _renumbered(of_network, np.array([2, -1, 0]))
    assert ours.classes.tolist() == [2, 0] and ours.boxes[:, 2].tolist() == [1, 3] and np.allclose(ours.scores, [0.9, 0.7])


def test_an_entry_says_what_is_labelled_and_what_is_seen():
    record, box = record_of([(0, 0, 9, 9), (20, 20, 40, 60)], [0, 1]), (20.0, 20.0, 41.0, 60.0)
    entries = entries_of([Suspect("class", 0.5, 0, 1, box, 2, 0.9, 0.8), Suspect("missing", 0.4, 0, -1, box, 0, 0.4, 0.0),
                          Suspect("place", 0.3, 0, 0, box, 0, 0.7, 0.64)], [record], ("ant", "bee", "cat"))
    assert [tuple(one[key] for key in ("said", "label", "seen", "labelled")) for one in entries] == [
        ("1. labelled bee, looks like cat 0.90", "bee", "cat", [20, 20, 40, 60]), ("2. ant 0.40, but no box", None, "ant", None),
        ("3. ant: IoU 0.64 with ant 0.70", "ant", "ant", [0, 0, 9, 9])]

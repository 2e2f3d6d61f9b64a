"""Which labels are spoilt, and how those that were found are counted."""
import numpy as np
import pytest

from benchmarks.spoiling import Spoilt, judge, spoil
from gluon_bof.evaluation.suspects import find_suspects
from tests.evaluation.drawn_detections import SIDE, found_of, record_of


@pytest.fixture(scope="module")
def spoilt():
    rng = np.random.default_rng(0)
    records = []
    for number in range(100):
        corners = rng.uniform(0, SIDE - 60, (4, 2))
        records.append(record_of(np.concatenate([corners, corners + rng.uniform(20, 60, (4, 2))], axis=1),
                                 rng.integers(0, 3, 4), difficult=[False, False, False, True], number=number))
    return records, *spoil(records, 3, 0.1, seed=5)


def test_the_share_of_labels_that_was_asked_for_is_spoilt_and_no_other(spoilt):
    records, changed, spoils = spoilt
    kinds = [one.kind for one in spoils]
    assert len(spoils) == 30 and {kind: kinds.count(kind) for kind in kinds} == {"missing": 10, "class": 10, "place": 10}
    assert sum(len(record.boxes) for record in changed) == 390
    touched = {one.image for one in spoils}
    for number, (before, after) in enumerate(zip(records, changed)):
        same = np.array_equal(before.boxes, after.boxes) and np.array_equal(before.classes, after.classes)
        assert same == (number not in touched)
    swapped = [one for one in spoils if one.kind == "class" and sum(other.image == one.image for other in spoils) == 1]
    for one in swapped:
        assert (records[one.image].classes != changed[one.image].classes).sum() == 1
    assert [one.image for one in spoil(records, 3, 0.1, seed=5)[1]] == [one.image for one in spoils]
    assert {one.kind for one in spoil(records, 1, 0.1)[1]} == {"missing", "place"}


def test_a_shifted_box_is_well_off_its_place_and_mostly_in_its_image(spoilt):
    records, changed, spoils = spoilt
    for one in (one for one in spoils if one.kind == "place"):
        moved = [box for box in changed[one.image].boxes if not (records[one.image].boxes == box).all(axis=1).any()]
        assert len(moved) >= 1
        assert all(0 <= side <= SIDE for box in moved for side in box) and all((box[2:] > box[:2]).all() for box in moved)


def test_each_spoilt_label_is_counted_once(spoilt):
    records, changed, spoils = spoilt
    exact = [found_of(record.boxes, record.classes, np.full(4, 0.9)) for record in records]
    suspects = find_suspects(exact, changed, 3)
    found = judge(suspects, spoils)
    assert sorted(found[found >= 0]) == sorted(set(found[found >= 0]))
    assert len(set(found) - {-1}) >= 28 and (found[:28] >= 0).mean() > 0.9
    twice = judge([suspects[0]] * 2, [Spoilt("missing", suspects[0].image, np.array(suspects[0].box))])
    assert twice.tolist() == [0, -1]

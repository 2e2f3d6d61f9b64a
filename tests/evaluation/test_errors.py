"""The six kinds of error and what mending each would bring, beside TIDE's own tool."""
import numpy as np
import pytest

from gluon_bof.evaluation.errors import BACKGROUND, HIT, KINDS, LOCALISATION, detection_errors
from gluon_bof.evaluation.matching import match_images
from tests.evaluation.drawn_detections import draw, found_of, record_of

THEIR_NAMES = dict(zip(("Cls", "Loc", "Both", "Dupe", "Bkg", "Miss"), KINDS))


def of_tidecv(detections, records):
    """({name: AP}, {name: AP} of false positives and negatives, AP, {kind: number}), in points of 100."""
    tidecv = pytest.importorskip("tidecv")
    truth, found = tidecv.Data("truth"), tidecv.Data("found")
    for number, (one, record) in enumerate(zip(detections, records)):
        truth.add_image(number, str(number))
        for box, label, crowd in zip(record.boxes.astype(float), record.classes, record.crowd):
            xywh = [box[0], box[1], box[2] - box[0], box[3] - box[1]]
            (truth.add_ignore_region if crowd else truth.add_ground_truth)(number, int(label), xywh)
        for box, label, score in zip(one.boxes.astype(float), one.classes, one.scores):
            found.add_detection(number, int(label), float(score), [box[0], box[1], box[2] - box[0], box[3] - box[1]])
    run = tidecv.TIDE().evaluate(truth, found, mode=tidecv.TIDE.BOX)
    gains = {THEIR_NAMES[kind.short_name]: value for kind, value in run.fix_main_errors().items()}
    special = {kind.short_name: value for kind, value in run.fix_special_errors().items()}
    counts = {THEIR_NAMES[kind.short_name]: value for kind, value in run.count_errors().items()}
    return gains, special, run.ap, counts


@pytest.mark.parametrize("seed, classes, crowds", ((0, 4, 0), (1, 1, 0), (2, 12, 0), (3, 3, 0.3), (4, 4, 0.1)))
def test_all_numbers_are_those_of_tides_own_tool(seed, classes, crowds):
    detections, records = draw(seed, 25, classes, crowds)
    ours = detection_errors(match_images(detections, records), classes)
    gains, special, ap, counts = of_tidecv(detections, records)
    assert 100 * ours.ap == pytest.approx(ap, abs=1e-6)
    assert {kind: 100 * gain for kind, gain in ours.gains.items()} == pytest.approx(gains, abs=1e-6)
    assert 100 * ours.false_positive == pytest.approx(special["FalsePos"], abs=1e-6)
    assert 100 * ours.false_negative == pytest.approx(special["FalseNeg"], abs=1e-6)
    assert ours.counts == counts
    assert sum(gain > 0.002 for gain in ours.gains.values()) >= (4 if classes > 1 else 3)


def test_equal_scores_are_counted_as_tides_tool_counts_them():
    detections, records = draw(7)
    detections = [one._replace(scores=np.round(one.scores * 4) / 4) for one in detections]
    detections = [found_of(*one[:3]) for one in detections]
    ours = detection_errors(match_images(detections, records), 4)
    gains, _, ap, _ = of_tidecv(detections, records)
    assert 100 * ours.ap == pytest.approx(ap, abs=1e-6)
    assert {kind: 100 * gain for kind, gain in ours.gains.items()} == pytest.approx(gains, abs=1e-6)


def test_beyond_a_hundred_detections_of_an_image_none_counts_as_in_tides_tool():
    rng = np.random.default_rng(0)
    corners = np.stack([np.arange(130) % 13 * 30, np.arange(130) // 13 * 30], axis=1)
    boxes = np.hstack([corners, corners + 20])
    record, found = record_of(boxes, np.zeros(130)), found_of(boxes, np.zeros(130), rng.permutation(130) / 130)
    ours = detection_errors(match_images([found], [record]), 1)
    gains, _, ap, counts = of_tidecv([found], [record])
    assert (100 * ours.ap, ours.counts) == (pytest.approx(ap, abs=1e-6), counts) and counts["missed"] == 30
    assert {kind: 100 * gain for kind, gain in ours.gains.items()} == pytest.approx(gains, abs=1e-6)


def test_the_match_of_the_best_detections_is_that_of_them_alone():
    """What counts the first hundred of an image takes them out of the match of all."""
    detections, records = draw(5, 20, 2, 0.2)
    best = [found._replace(**{name: getattr(found, name)[:4] for name in ("boxes", "classes", "scores")}) for found in detections]
    for whole, alone in zip(match_images(detections, records), match_images(best, records)):
        for ours, theirs in zip(whole.best(4), alone):
            np.testing.assert_array_equal(ours, theirs)


def test_a_perfect_detector_has_no_error_and_a_blind_one_misses_all():
    record = record_of([(0, 0, 50, 50), (100, 100, 180, 160)], [0, 1])
    perfect = detection_errors(match_images([found_of(record.boxes, record.classes, (0.9, 0.8))], [record]), 2)
    assert perfect.ap == 1 and not any(perfect.gains.values()) and not any(perfect.counts.values())
    blind = detection_errors(match_images([found_of([], [], [])], [record]), 2)
    assert blind.ap == 0 and blind.counts["missed"] == 2
    assert detection_errors([], 2).ap == 0


def test_each_detections_kind_is_told_in_its_own_place():
    record = record_of([(0, 0, 100, 100)], [0])
    found = found_of([(0, 0, 100, 100), (0, 0, 100, 30), (200, 200, 250, 250)], [0, 0, 0], (0.5, 0.9, 0.2))
    kinds = detection_errors(match_images([found], [record]), 1).kinds[0]
    assert kinds.tolist() == [LOCALISATION, HIT, BACKGROUND]


def test_lists_of_different_images_are_refused():
    with pytest.raises(ValueError, match="1 images of detections for 0 records"):
        match_images([found_of([], [], [])], [])

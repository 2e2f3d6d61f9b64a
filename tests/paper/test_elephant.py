"""The sliding patch: where it is put, what it hides, what is found, by numbers worked out by hand."""
import math

import cv2
import numpy as np
import pytest

from gluon_bof.boxes import Detections
from gluon_bof.paper.elephant import ANY_CLASS, Slide, covered_share, paste, places, scores_of, slide

RED, BLUE = (255, 0, 0), (0, 0, 255)


def test_places_reach_both_edges_evenly():
    lefts, tops = places((50, 100, 3), (20, 40, 3), 25)
    assert lefts.tolist() == [0, 20, 40, 60] and tops.tolist() == [0, 15, 30]
    assert [side.tolist() for side in places((20, 40, 3), (20, 40, 3), 5)] == [[0], [0]]
    with pytest.raises(ValueError, match="41 x 20 does not fit"):
        places((20, 40, 3), (20, 41, 3), 5)


def test_pasting_copies_the_patch_and_only_what_its_mask_shows():
    image, patch = np.zeros((6, 8, 3), np.uint8), np.full((2, 3, 3), 9, np.uint8)
    pasted = paste(image, patch, 5, 4)
    assert (pasted[4:, 5:] == 9).all() and pasted.sum() == 9 * patch.size and image.sum() == 0
    mask = np.array([[True, False, True], [False, False, True]])
    assert (paste(image, patch, 1, 2, mask)[2:4, 1:4, 0] == 9 * mask).all()


def test_the_share_of_a_box_under_the_patch():
    boxes = np.array([(0, 0, 10, 10), (5, 5, 15, 25), (40, 40, 50, 50)], np.float32)
    np.testing.assert_allclose(covered_share(boxes, np.array((5, 0, 20, 10))), [0.5, 50 / 200, 0])


def detections(*rows):
    rows = sorted(rows, key=lambda row: -row[2])
    return Detections(np.array([row[0] for row in rows], np.float32).reshape(-1, 4), np.array([row[1] for row in rows], int),
                      np.array([row[2] for row in rows]))


def test_a_detection_finds_one_object_of_its_class_that_it_overlaps_by_half():
    boxes, classes = np.array([(0, 0, 10, 10), (0, 0, 10, 8), (20, 0, 30, 10)], np.float32), np.array([1, 1, 2])
    whole, half = (0, 0, 10, 10), (20, 0, 25, 10)
    assert scores_of(detections((whole, 1, 0.9)), boxes, classes).tolist() == [0.9, 0, 0]
    assert scores_of(detections((whole, 1, 0.9), (whole, 1, 0.6), (whole, 1, 0.5)), boxes, classes).tolist() == [0.9, 0.6, 0]
    assert scores_of(detections((half, 2, 0.7)), boxes, classes).tolist() == [0, 0, 0.7]  # an IoU of exactly one half
    assert scores_of(detections(((20, 0, 24.9, 10), 2, 0.7), (half, 1, 0.7)), boxes, classes).tolist() == [0, 0, 0]
    assert scores_of(detections((half, 7, 0.7)), boxes, np.array([1, 1, ANY_CLASS])).tolist() == [0, 0, 0.7]
    assert scores_of(detections(), boxes, classes).tolist() == [0, 0, 0]
    assert scores_of(detections((whole, 1, 0.9)), boxes[:0], classes[:0]).tolist() == []


def test_recall_and_change_of_scores_by_hand():
    # two places beside each other, two objects; at the second place the first object is hidden
    found = Slide(np.array([0, 5]), np.array([0]), np.array([[0.6, 0.1]]), np.array([[[0.4, 0.9], [0.8, 0.3]]]),
                  np.array([[[0.2, 0.0], [0.5, 0.0]]]), np.array([0.8, 0.7]), 0.5)
    assert found.visible.tolist() == [[2, 1]] and found.found.tolist() == [[1, 0]]
    assert found.recall.tolist() == [[0.5, 0.0]] and found.patch_found.tolist() == [[True, False]]
    np.testing.assert_allclose(found.score_change, [[(-0.4 + 0.2) / 2, -0.4]])
    assert found.summary() == pytest.approx({"recall": 0.25, "recall_untouched": 0.5, "recall_without_patch": 1.0,
                                             "patch_recall": 0.5, "score_change": -0.25})


def test_a_place_that_hides_everything_counts_for_nothing():
    found = Slide(np.array([0, 5]), np.array([0]), np.zeros((1, 2)), np.array([[[0.9], [0.9]]]), np.array([[[1.0], [0.0]]]),
                  np.array([0.9]), 0.5)
    assert math.isnan(found.recall[0, 0]) and found.summary()["recall"] == 1


def detect_rectangles(images):
    """A detector of connected areas of pure red (class 0) and pure blue (class 1)."""
    answers = []
    for image in images:
        rows = []
        for number, colour in enumerate((RED, BLUE)):
            _, _, areas, _ = cv2.connectedComponentsWithStats((image == colour).all(axis=2).astype(np.uint8))
            rows += [((left, top, left + width, top + height), number, 0.9) for left, top, width, height, _ in areas[1:]]
        answers.append(detections(*rows))
    return answers


def test_recall_of_a_whole_slide_is_what_geometry_says():
    image = np.zeros((10, 60, 3), np.uint8)
    image[:, 20:40] = RED
    patch = np.full((10, 8, 3), BLUE, np.uint8)
    found = slide(detect_rectangles, image, patch, np.array([(20, 0, 40, 10)], np.float32), np.array([0]), 1, step=1)
    # within the rectangle the patch leaves two parts, a and 12 - a wide; one of 10 or more is half of the rectangle
    missed = [left - 20 for left, recall in zip(found.lefts, found.recall[0]) if recall == 0]
    assert found.lefts.tolist() == list(range(53)) and missed == list(range(3, 10))
    summary = found.summary()
    assert summary["recall"] == pytest.approx(46 / 53) and summary["patch_recall"] == 1
    assert summary["recall_untouched"] == summary["recall_without_patch"] == 1
    assert summary["score_change"] == pytest.approx(-0.9 * 7 / 53)
    masked = slide(detect_rectangles, image, patch, np.array([(20, 0, 40, 10)], np.float32), np.array([0]), 1,
                   np.zeros((10, 8), bool), 1)
    assert masked.summary()["recall"] == 1 and masked.summary()["patch_recall"] == 0

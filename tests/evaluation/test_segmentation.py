"""Pixel accuracy and mean IoU against GluonCV's SegmentationMetric; a validation that is shared out."""
import json

import numpy as np
import pytest

from gluon_bof.backend import mx
from gluon_bof.evaluation.segmentation import confusion, iou_table, scores_of
from gluon_bof.masks import NOBODY

from gluoncv.utils.metrics.segmentation import SegmentationMetric


def drawn(seed, class_count=6, ignored=0.1, missing=()):
    """Batches of (scores (B, K, H, W), labels (B, H, W) with NOBODY)."""
    rng = np.random.default_rng(seed)
    for _ in range(4):
        labels = rng.integers(0, class_count, (3, 11, 13)).astype(np.uint8)
        for number in missing:
            labels[labels == number] = 0
        labels[rng.random(labels.shape) < ignored] = NOBODY
        scores = rng.normal(size=(3, class_count, 11, 13)).astype(np.float32)
        for number in range(class_count):
            scores[:, number] += 1.5 * (labels == number)
        yield scores, labels


@pytest.mark.parametrize("seed, ignored, missing", ((0, 0.1, ()), (1, 0.0, ()), (2, 0.6, (3,)), (3, 0.1, (4, 5))))
def test_accuracy_and_mean_iou_are_gluoncvs(seed, ignored, missing):
    theirs, counts = SegmentationMetric(6), np.zeros((6, 6), np.int64)
    for scores, labels in drawn(seed, ignored=ignored, missing=missing):
        theirs.update(mx.nd.array(np.where(labels == NOBODY, -1, labels.astype(int))), mx.nd.array(scores))
        counts += confusion(scores.argmax(axis=1), labels, 6)
    accuracy, mean, ious = scores_of(counts)
    assert theirs.get() == pytest.approx((accuracy, mean), abs=1e-12, rel=0)
    assert np.mean([iou or 0 for iou in ious]) == pytest.approx(mean, abs=1e-12)


def test_a_class_that_is_nowhere_has_no_iou_and_counts_as_0_as_gluoncvs():
    labels = np.zeros((4, 4), np.uint8)
    accuracy, mean, ious = scores_of(confusion(labels, labels, 3))
    assert ious == [1.0, None, None] and accuracy == 1 and mean == pytest.approx(1 / 3)
    assert scores_of(np.zeros((2, 2), np.int64)) == (0, 0, [None, None])
    told = iou_table({"per_class": {"background": 1.0, "circle": None}, "miou": 0.5, "pixel_accuracy": 1.0}).splitlines()
    assert [line.split() for line in told[:2]] == [["background", "1.0000"], ["circle", "-"]]


def test_shares_of_pixels_add_up_to_the_whole():
    whole = np.zeros((6, 6), np.int64)
    parts = []
    for scores, labels in drawn(7):
        parts.append(confusion(scores.argmax(axis=1), labels, 6))
        whole += parts[-1]
    joined = json.loads(json.dumps([part.tolist() for part in parts]))
    assert scores_of(np.sum(joined, axis=0)) == scores_of(whole)

"""Pixel accuracy and mean IoU against GluonCV's SegmentationMetric; a validation that is shared out."""
import json
import os
from pathlib import Path

import numpy as np
import pytest

from gluon_bof.backend import mx
from gluon_bof.data.segmentation import label_mark
from gluon_bof.errors import UserError
from gluon_bof.evaluation.segmentation import confusion, evaluate_maps, iou_table, scores_of, validation_maps
from gluon_bof.masks import NOBODY
from gluon_bof.options.segmentation import SegmentationOptions
from gluon_bof.runs.config import write_classes, write_config
from gluon_bof.runs.folder import SETS, RunFolder
from gluon_bof.weights.resolve import resolve
from tests.tiny_masks import CLASSES, write_mask_set

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


def test_maps_that_are_not_those_that_the_run_was_validated_on_are_told_of(tmp_path, caplog):
    """They may be of images that the run was trained on."""
    folder = str(write_mask_set(tmp_path / "set", 1, 2))
    options = SegmentationOptions(model="fcn8s", backbone="darknet-mini", dataset=folder, gpus="")
    run = RunFolder(str(tmp_path / "run"))
    os.mkdir(run.folder)
    write_config(run.folder, options)
    write_classes(run.folder, CLASSES)
    Path(run.best_weights).write_bytes(b"no weights")  # which are read after the set
    for mark, is_told in ((label_mark(validation_maps(options)), False), ("of other maps", True)):
        run.keep_result(SETS, {"train": "of some maps", "val": mark})
        with pytest.raises(UserError, match="best.params"):
            evaluate_maps(resolve(run.folder))
        assert ("the validation set is not the one that" in caplog.text) is is_told

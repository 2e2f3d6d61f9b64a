"""Label maps against ground truth: pixel accuracy and mean IoU, and a set that segmenters are scored on."""
from __future__ import annotations

import time
from typing import Any, Callable

import numpy as np

from gluon_bof.data.faults import UnknownClass
from gluon_bof.data.label_sets import SegmentationSet, open_segmentation
from gluon_bof.data.loader import validation_loader
from gluon_bof.data.segmentation import FittedImages, label_mark, look_over, read_labels
from gluon_bof.distributed import comm, exchange
from gluon_bof.distributed import progress as progress_file
from gluon_bof.errors import UserError
from gluon_bof.inference.segmenter import likeliest, load_segmenter
from gluon_bof.masks import NOBODY
from gluon_bof.models.build import models_of
from gluon_bof.options.families import family_of
from gluon_bof.terminal import progress_bar
from gluon_bof.visualization.shown import evenly
from gluon_bof.weights.resolve import Resolved

SHOWN = 6  # images whose maps a validation remembers, to be drawn


def confusion(found: np.ndarray, labels: np.ndarray, class_count: int) -> np.ndarray:
    """(K, K) int64: pixels of each class (row) that were found to be of each (column). found, labels: integers of one shape, in
    [0, K); pixels whose label is NOBODY are left out."""
    counted = labels != NOBODY
    places = labels[counted].astype(np.int64) * class_count + found[counted]
    return np.bincount(places, minlength=class_count ** 2).reshape(class_count, class_count)


def scores_of(counts: np.ndarray) -> tuple[float, float, list[float | None]]:
    """(pixel accuracy, mean IoU, IoU of each class) of a confusion matrix.

    As in GluonCV's SegmentationMetric a class that neither has a pixel nor was found counts as 0 in the mean; its own IoU is
    None."""
    right, labelled, found = np.diag(counts), counts.sum(axis=1), counts.sum(axis=0)
    union = labelled + found - right
    tiny = np.spacing(1)
    ious = right / (tiny + union)
    return (float(right.sum() / (tiny + labelled.sum())), float(ious.mean()),
            [float(iou) if pixels else None for iou, pixels in zip(ious, union)])


class MapValidation:
    """`validation(segmenter)` -> {"miou", "pixel_accuracy", "per_class": {class: IoU or None}, …}. Label maps are compared in the
    images' own pixels.

    Of several processes each looks at its share of the batches; pixels are counted by all together. Made before the network is,
    so that the data workers carry none of it. `shown`: [(sample, label map found)] of the few images that are shown and in the
    share, of the last call; None before it."""

    def __init__(self, options: Any, found_set: SegmentationSet):
        models = models_of(options)
        self.set = found_set
        self.loader = validation_loader(FittedImages(found_set.samples, models.eval_transform(options)),
                                        models.inference_batch(options), options.num_workers, (comm.rank(), comm.size()))
        self._chosen = set(evenly(len(found_set), SHOWN).tolist())
        self.shown = None

    def __call__(self, segmenter: Any, should_stop: Callable[[], bool] = lambda: False,
                 progress: str = "validating") -> dict | None:
        """The metrics, or None where should_stop said so."""
        counts = self._counted(segmenter, should_stop, progress)
        progress_file.report("scoring")
        return exchange.decide_numbers(None if counts is None else counts.tolist(), self._judge)

    def _counted(self, segmenter, should_stop, progress):
        count = len(self.set.classes)
        total, self.shown = np.zeros((count, count), np.int64), []
        for images, indices in progress_bar(self.loader, progress, unit="batch"):
            if should_stop():
                return None
            for scores, index in zip(segmenter.scores(images), indices):
                labels = read_labels(self.set.samples[index], count)
                found = likeliest(scores, labels.shape).labels
                total += confusion(found, labels, count)
                if index in self._chosen:
                    self.shown.append((self.set.samples[index], found))
        return total

    def _judge(self, counts):
        accuracy, mean, ious = scores_of(np.sum(counts, axis=0))
        return {"miou": mean, "pixel_accuracy": accuracy, "metric": "mean IoU",
                "per_class": dict(zip(self.set.classes, ious))}


def iou_table(metrics: dict[str, Any]) -> str:
    """The IoU of each class, their mean and pixel accuracy, as lines of text."""
    rows = [*metrics["per_class"].items(), ("mean IoU", metrics["miou"]), ("pixel accuracy", metrics["pixel_accuracy"])]
    width = max(len(name) for name, _ in rows)
    return "\n".join(f"{name:{width}}  {'-' if value is None else format(value, '.4f')}" for name, value in rows)


def validation_maps(options: Any) -> SegmentationSet:
    """The set that weights with these options validate on. Raises UserError as `open_segmentation` does."""
    try:
        return open_segmentation(options.dataset, options.dataset_root or None, "val", options.classes or None,
                                 options.val_split or None, options.on_bad_sample)
    except UnknownClass as error:
        raise UserError(f"the weights do not know the set's class {error.name!r}", error.path,
                        "take it out of the set") from None


def evaluate_maps(resolved: Resolved) -> dict[str, Any]:
    """{"run", "family", "weights", "miou", "pixel_accuracy", "per_class", …} of what `weights.resolve` found, on its options'
    validation set. Raises UserError, also where the set has another number of classes."""
    options = resolved.options
    resolved.require_file()
    resolved.require_set()
    found_set = validation_maps(options)
    if resolved.classes and len(resolved.classes) != len(found_set.classes):
        raise UserError(f"the network knows {len(resolved.classes)} classes, and the set has {len(found_set.classes)}",
                        resolved.path, "evaluate it on a set of the classes that it was trained with")
    resolved.warn_of_order(found_set.classes)
    found_set = look_over(found_set, options.on_bad_sample)
    resolved.warn_of_another_set(label_mark(found_set))
    validation = MapValidation(options, found_set)
    segmenter, digest = load_segmenter(options, found_set.classes, resolved.path, resolved.gpus_of_run)
    began = time.perf_counter()
    metrics = validation(segmenter, progress="evaluating")
    seconds = time.perf_counter() - began
    return {"run": resolved.run, "family": family_of(options).name, "weights": resolved.path, "sha256": digest,
            "dataset": options.dataset, "val_split": options.val_split, "engine": "mxnet", "images": len(found_set),
            "images_per_second": len(found_set) / seconds, "skipped": len(found_set.faults), **metrics}

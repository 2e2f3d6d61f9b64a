"""The worker computes: a pure `dataset[draw]`, and batches as they cross the wire (uint8 pictures, padded boxes).

Workers use numpy and cv2 only, on one thread; all that is random comes from the draw.
"""
from __future__ import annotations

import cv2
import numpy as np

from gluon_bof.backend import gluon
from gluon_bof.boxes import TRUTH_COLUMNS
from gluon_bof.data.images import read_picture
from gluon_bof.data.shared_memory import wire_array, wire_pictures
from gluon_bof.data.transforms import square
from gluon_bof.data.workers import settle_worker
from gluon_bof.errors import UserError
from gluon_bof.freebies.augmentation import Augmentation, follow, render
from gluon_bof.freebies.mixup import blend_pictures, merge_truths, mixed_shape
from gluon_bof.rng import augment_generator

LEAST_ROWS = 8


class TrainingPictures(gluon.data.Dataset):
    """`dataset[draw]` -> (picture (H, W, 3) uint8, truth (M, 6) float32, names of broken pictures).

    A pure function of the draw. fit(shape, draw.size) -> (width, height) of the sample. on_bad_sample "error": a broken
    picture raises UserError; "skip": the next whole one of the set stands in for it, and the broken one is named."""

    def __init__(self, records, augmentation=None, weighted=True, on_bad_sample="error", fit=square):
        self.records = records
        self.fit = fit
        self.augmentation = augmentation or Augmentation()
        self.weighted = weighted
        self.on_bad_sample = on_bad_sample

    def __len__(self):
        return len(self.records)

    def __getitem__(self, draw):
        settle_worker()
        broken = []
        picture, truth = self._read(draw.index, broken)
        shape = picture.shape
        if draw.partner >= 0:
            other, other_truth = self._read(draw.partner, broken)
            shape = mixed_shape(shape, other.shape)
            truth = merge_truths(truth, other_truth, draw.ratio, self.weighted)
        view = self.augmentation.draw(augment_generator(draw), shape, truth, self.fit(shape, draw.size))
        followed = follow(truth, view)
        if draw.partner >= 0:
            part, view = view.of_part_seen(shape)  # nothing else need be blended
            picture = blend_pictures(picture[part], other[part], draw.ratio)
        return render(picture, view), followed, broken

    def _read(self, index, broken):
        for step in range(len(self.records)):
            record = self.records[(index + step) % len(self.records)]
            try:
                return read_picture(record.path), record.truth()
            except UserError as error:
                if self.on_bad_sample == "error":
                    raise
                broken.append(str(error))
        raise UserError("no picture of the set can be read", self.records[index].path, "mend or replace the set")


class ValidationPictures(gluon.data.Dataset):
    """`dataset[i]` -> (picture (H, W, 3) uint8 as `view` shows it, its index). view(shape) -> View."""

    def __init__(self, records, view):
        self.records = records
        self.view = view

    def __len__(self):
        return len(self.records)

    def __getitem__(self, index):
        settle_worker()
        picture = read_picture(self.records[index].path)
        return render(picture, self.view(picture.shape)), index


def pad_truths(truths):
    """(B, M, 6) float32 from a list of (Mi, 6); rows of -1 fill up. M is a power of two, at least 8, so that few
    different shapes reach the network."""
    most = max([LEAST_ROWS] + [len(truth) for truth in truths])
    padded = np.full((len(truths), 1 << (most - 1).bit_length(), TRUTH_COLUMNS), -1, np.float32)
    for row, truth in zip(padded, truths):
        row[:len(truth)] = truth
    return padded


class TrainingBatch:
    """Batchify: (pictures (B, S, S, 3) uint8, truths (B, M, 6) float32, broken names), arrays in shared memory."""

    def __init__(self, shared):
        self.shared = shared

    def __call__(self, samples):
        pictures, truths, broken = zip(*samples)
        return (wire_pictures(pictures, self.shared), wire_array(pad_truths(truths), self.shared),
                [name for names in broken for name in names])


class ValidationBatch:
    """Batchify: (pictures (B, S, S, 3) uint8, indices as a list)."""

    def __init__(self, shared):
        self.shared = shared

    def __call__(self, samples):
        pictures, indices = zip(*samples)
        return wire_pictures(pictures, self.shared), list(indices)


def training_loader(dataset, draws, workers, pin=False, batchify=TrainingBatch):
    """The stock DataLoader over a BatchDraws; call `draws.start(epoch, batch)` before each pass.

    batchify(shared) -> a function from samples to (arrays…, names of broken pictures)."""
    return _loader(dataset, workers, batch_sampler=draws, batchify_fn=batchify(workers > 0), pin_memory=pin)


def validation_loader(dataset, batch_size, workers):
    """Every picture once, in order; the last batch may be smaller."""
    return _loader(dataset, workers, batch_size=batch_size, last_batch="keep",
                   batchify_fn=ValidationBatch(workers > 0))


def _loader(dataset, workers, **options):
    # OpenCV's own thread pool does not survive a fork
    cv2.setNumThreads(0)
    return gluon.data.DataLoader(dataset, num_workers=workers, **options)


def largest_batch(records, pictures, side, mixed):
    """The arrays of a batch as large as one of these records can be, (B, side, side, 3) uint8 and (B, M, 6), of black
    pictures without boxes."""
    most = sorted(len(record.boxes) for record in records)[-2 if mixed else -1:]
    return (wire_array(np.zeros((pictures, side, side, 3), np.uint8), False),
            wire_array(pad_truths([np.full((sum(most), TRUTH_COLUMNS), -1)] * pictures), False))

"""The worker computes: a pure `dataset[draw]`, and batches as they cross the wire (uint8 pictures, padded boxes).

Workers use numpy and cv2 only, on one thread; all that is random comes from the draw.
"""
from __future__ import annotations

import ctypes
from typing import NamedTuple

import cv2
import numpy as np

from gluon_bof.backend import gluon, mx
from gluon_bof.data.augment import FILL, Augmentation, follow, render, whole_view
from gluon_bof.data.boxes import TRUTH_COLUMNS
from gluon_bof.data.draws import augment_generator
from gluon_bof.data.mixup import blend_pictures, merge_truths, mixed_shape
from gluon_bof.data.pictures import read_picture
from gluon_bof.data.workers import settle_worker
from gluon_bof.errors import UserError

LEAST_ROWS = 8


def square(shape, size):
    """(size, size): the aspect ratio goes, as YOLOv3's does in the paper. shape: (H, W, ...) of the picture."""
    return size, size


class ShortSide:
    """(width, height) with the short side at `size` but the long one at most at `longest`, as Faster R-CNN's pictures."""

    def __init__(self, longest):
        self.longest = longest

    def __call__(self, shape, size):
        height, width = shape[:2]
        scale = size / min(height, width)
        if round(scale * max(height, width)) > self.longest:
            scale = self.longest / max(height, width)
        # Python rounds halves to even, as GluonCV's rounding does
        return max(1, int(round(width * scale))), max(1, int(round(height * scale)))


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


class Sight(NamedTuple):
    """How validation and prediction see a picture: fit and size as in training; interpolation: OpenCV's number, or None
    for the one that suits the resize. A callable, shape (H, W, ...) -> View."""

    fit: object
    size: int
    interpolation: object = None

    def __call__(self, shape):
        return whole_view(shape, self.fit(shape, self.size), self.interpolation)


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


def wire_memory(shape, dtype, shared):
    """(MXNet's array, the numpy array of its memory): in memory that other processes see where it is `shared`."""
    target = mx.nd.empty(shape, ctx=mx.Context("cpu_shared" if shared else "cpu", 0), dtype=dtype)
    address = ctypes.c_void_p()
    mx.base.check_call(mx.base._LIB.MXNDArrayGetData(target.handle, ctypes.byref(address)))
    count = int(np.prod(shape))
    memory = (ctypes.c_byte * (count * np.dtype(dtype).itemsize)).from_address(address.value)
    return target, np.frombuffer(memory, dtype, count).reshape(shape)


def wire_array(array, shared):
    """The numpy array as MXNet's, in memory that other processes see where it is `shared`."""
    target, memory = wire_memory(array.shape, array.dtype, shared)
    memory[...] = array
    return target


def wire_pictures(pictures, shared):
    """(B, H, W, 3) uint8 of pictures of several sizes, each in the top left corner of its canvas, in one write."""
    height, width = (max(picture.shape[axis] for picture in pictures) for axis in (0, 1))
    target, memory = wire_memory((len(pictures), height, width, 3), np.uint8, shared)
    for place, picture in zip(memory, pictures):
        place[:picture.shape[0], :picture.shape[1]] = picture
        place[picture.shape[0]:] = FILL
        place[:picture.shape[0], picture.shape[1]:] = FILL
    return target

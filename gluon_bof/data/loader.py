"""The worker computes: a pure `dataset[spec]`, and batches as they cross the wire (uint8 images, padded boxes).

Workers use numpy and cv2 only, on one thread; all that is random comes from the spec.
"""
from __future__ import annotations

import gc
from typing import TYPE_CHECKING, Callable, Iterable, Sequence

import numpy as np

from gluon_bof.backend import gluon, mx
from gluon_bof.boxes import TRUTH_COLUMNS
from gluon_bof.data.cache import image_reader
from gluon_bof.data.faults import whole_or_next
from gluon_bof.data.images import read_image
from gluon_bof.data.shared_memory import Lending, stack_to_shared, to_shared
from gluon_bof.data.transforms import square
from gluon_bof.data.workers import Workers, init_worker, opencv_on_one_thread
from gluon_bof.errors import UserError
from gluon_bof.freebies.augmentation import Augmentation, render, transform_boxes
from gluon_bof.freebies.mixup import blend_images, merge_truths, mixed_shape
from gluon_bof.rng import augmentation_rng

if TYPE_CHECKING:
    from gluon_bof.boxes import Record
    from gluon_bof.data.sampler import BatchSampler
    from gluon_bof.freebies.augmentation import View

MIN_ROWS = 8


class TrainingImages(gluon.data.Dataset):
    """`dataset[spec]` -> (image (H, W, 3) uint8, truth (M, 6) float32, names of broken images).

    A pure function of the spec. fit(shape, spec.size) -> (width, height) of the sample. on_bad_sample "error": a broken
    image raises UserError; "skip": the next whole one of the set stands in for it, and the broken one is named.
    read: the images of the records, see cache.image_reader; None decodes each anew."""

    def __init__(self, records, augmentation=None, weighted=True, on_bad_sample="error", fit=square, read=None):
        self.records = records
        self.read = read or image_reader(records)
        self.fit = fit
        self.augmentation = augmentation or Augmentation()
        self.weighted = weighted
        self.on_bad_sample = on_bad_sample

    def __len__(self):
        return len(self.records)

    def __getitem__(self, spec):
        init_worker()
        broken = []
        image, record = self._read(spec.index, broken)
        shape, truth, records = image.shape, record.truth(), [record]
        other, partner = self._read(spec.partner, broken) if spec.partner >= 0 else (None, record)
        mixes = partner is not record  # one may stand in for the other, and an image is not mixed with itself
        if mixes:
            shape = mixed_shape(shape, other.shape)
            truth = merge_truths(truth, partner.truth(), spec.ratio, self.weighted)
            records.append(partner)
        view = self.augmentation.draw(augmentation_rng(spec), shape, truth, self.fit(shape, spec.size))
        seen_truth = self.seen_truth(truth, records, view)
        if mixes:
            part, view = view.crop_to_visible(shape)  # nothing else need be blended
            image = blend_images(image[part], other[part], spec.ratio)
        return (render(image, view), *seen_truth, broken)

    def seen_truth(self, truth: np.ndarray, records: Sequence[Record], view: View) -> tuple:
        """What a sample has between its image and the names, first of all the boxes that the view shows, (K, 6). truth: (M, 6) of
        all boxes of the records, which are those of the image, and of the one that is mixed into it."""
        return (transform_boxes(truth, view),)

    def _read(self, index, broken):
        image, place = whole_or_next(self.read, index, len(self.records), self.on_bad_sample, broken)
        return image, self.records[place]


class ValidationImages(gluon.data.Dataset):
    """`dataset[i]` -> (image (H, W, 3) uint8 as `view` shows it, its index). view(shape) -> View. Raises UserError for a broken
    image: none can stand in for it in a score."""

    def __init__(self, records, view):
        self.records = records
        self.view = view

    def __len__(self):
        return len(self.records)

    def __getitem__(self, index):
        init_worker()
        try:
            image = read_image(self.records[index].path, self.records[index].orientation)
        except UserError as error:
            raise UserError(error.problem, error.path, "replace the image, or take it out of the set: a score counts every "
                                                       "image of it, whatever --on-bad-sample says") from None
        return render(image, self.view(image.shape)), index


def pad_truths(truths: Sequence[np.ndarray], least: int = MIN_ROWS) -> np.ndarray:
    """(B, M, 6) float32 from a list of (Mi, 6); rows of -1 fill up. M is a power of two, at least `least` (8), so that few
    different shapes reach the network."""
    most = max([least] + [len(truth) for truth in truths])
    padded = np.full((len(truths), 1 << (most - 1).bit_length(), TRUTH_COLUMNS), -1, np.float32)
    for row, truth in zip(padded, truths):
        row[:len(truth)] = truth
    return padded


class TrainingBatch:
    """Batchify: (images (B, S, S, 3) uint8, truths (B, M, 6) float32, broken names), arrays in shared memory."""

    def __init__(self, shared):
        self.shared = shared

    def __call__(self, samples):
        images, truths, broken = zip(*samples)
        return (stack_to_shared(images, self.shared), to_shared(pad_truths(truths), self.shared),
                [name for names in broken for name in names])


class ValidationBatch:
    """Batchify: (images (B, S, S, 3) uint8, indices as a list)."""

    def __init__(self, shared):
        self.shared = shared

    def __call__(self, samples):
        images, indices = zip(*samples)
        return stack_to_shared(images, self.shared), list(indices)


class Loader:
    """The batches of a data set, in order, computed by `workers` processes or, if that is 0, by this one.

    batches: lists of what the data set is asked for, iterated anew in each pass; they may differ from pass to pass. One pass at a
    time. GluonCV's and Gluon's loaders do not watch their workers: one that dies is waited for, and at the end hung on."""

    def __init__(self, dataset, batches, batchify, workers, pin=False):
        self.batches = batches
        self.pin = pin
        self.compute = lambda keys: batchify([dataset[key] for key in keys])
        self.workers = None
        if workers > 0:
            mx.nd.waitall()  # work that MXNet has begun does not survive a fork
            gc.collect()
            mx.nd.waitall()
            self.workers = Workers(workers, self.compute, Lending())

    def __len__(self):
        return len(self.batches)

    def __iter__(self):
        computed = self.workers.results(self.batches) if self.workers else map(self._compute_here, self.batches)
        for batch in computed:
            yield tuple(map(_pinned, batch)) if self.pin else batch

    def _compute_here(self, keys):
        with opencv_on_one_thread():  # others would take the cores on which MXNet computes the batch before
            return self.compute(keys)


def _pinned(part):
    """An array in memory that a GPU copies from by itself; what is no array stays."""
    return part.as_in_context(mx.Context("cpu_pinned", 0)) if isinstance(part, mx.nd.NDArray) else part


def training_loader(dataset: gluon.data.Dataset, sampler: BatchSampler, workers: int, pin: bool = False,
                    batchify: Callable[[bool], Callable[[list], tuple]] = TrainingBatch) -> Loader:
    """The Loader over a BatchSampler; call `sampler.start(epoch, batch)` before each pass.

    batchify(shared) -> a function from samples to (arrays…, names of broken images)."""
    return Loader(dataset, sampler, batchify(workers > 0), workers, pin)


def slicing_loader(dataset: gluon.data.Dataset, indices: Sequence[int], workers: int) -> Loader:
    """Each of these images by itself, in this order."""
    return _of_the_same_batches(dataset, [[index] for index in indices], workers)


def validation_loader(dataset: gluon.data.Dataset, batch_size: int, workers: int, shard: tuple[int, int] = (0, 1)) -> Loader:
    """Every image once, in order; the last batch may be smaller. shard: (rank, ranks), every process has its own batches."""
    batches = [list(range(first, min(first + batch_size, len(dataset)))) for first in range(0, len(dataset), batch_size)]
    return _of_the_same_batches(dataset, batches[shard[0]::shard[1]], workers)


def _of_the_same_batches(dataset, batches, workers):
    """The Loader of what does not change from pass to pass: no worker to whom none of it would ever come."""
    workers = min(workers, len(batches))
    return Loader(dataset, batches, ValidationBatch(workers > 0), workers)


def largest_batch(records: Iterable[Record], images: int, side: int, mixed: bool) -> tuple[mx.nd.NDArray, mx.nd.NDArray]:
    """The arrays of a batch as large as one of these records can be, (B, side, side, 3) uint8 and (B, M, 6), of black
    images without boxes."""
    most = sorted(len(record.boxes) for record in records)[-2 if mixed else -1:]
    return (to_shared(np.zeros((images, side, side, 3), np.uint8), False),
            to_shared(pad_truths([np.full((sum(most), TRUTH_COLUMNS), -1)] * images), False))

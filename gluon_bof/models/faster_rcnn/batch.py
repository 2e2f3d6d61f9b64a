"""Faster R-CNN's batches on the wire: padded uint8 images, boxes, sampled anchors, and random keys for the regions."""
from __future__ import annotations

from typing import TYPE_CHECKING, Iterator, Sequence

import numpy as np

from gluon_bof.boxes import TRUTH_COLUMNS
from gluon_bof.data.loader import MIN_ROWS, TrainingImages, pad_truths
from gluon_bof.data.sampler import SampleSpec
from gluon_bof.data.shared_memory import stack_to_shared, to_shared
from gluon_bof.freebies.augmentation import transform_boxes, whole_view
from gluon_bof.freebies.mixup import merge_truths, mixed_shape
from gluon_bof.models.faster_rcnn.targets import anchor_targets
from gluon_bof.rng import Purpose, generator

if TYPE_CHECKING:
    from gluon_bof.options.faster_rcnn import FasterRcnnOptions


class KeyedImages(TrainingImages):
    """As TrainingImages, and with the spec itself: `dataset[spec]` -> (image, truth, names of broken ones, spec)."""

    def __getitem__(self, spec):
        return super().__getitem__(spec) + (spec,)

    def padding(self, specs: Sequence[SampleSpec]) -> tuple[int, int, int]:
        """(height, width) of the canvas of a batch and the boxes of its fullest image, as the records tell; see BatchSampler."""
        sides, rows = zip(*map(self._extent, specs))
        return max(height for _, height in sides), max(width for width, _ in sides), max(rows)

    def _extent(self, spec):
        record = self.records[spec.index]
        shape, truth = (record.height, record.width, 3), record.truth()
        if spec.partner >= 0:
            other = self.records[spec.partner]
            shape = mixed_shape(shape, (other.height, other.width))
            truth = merge_truths(truth, other.truth(), spec.ratio)
        size = self.fit(shape, spec.size)
        return size, len(transform_boxes(truth, whole_view(shape, size)))


class RegionBatch:
    """Batchify: (images (B, H, W, 3) uint8, truths (B, M, 6), sizes (B, 3): height, width and weight of background,
    sampled anchors (B, R, 7), keys (B, proposals + M), names of broken images).

    one_ratio: background, too, weighs a mixed image's ratio, as GluonCV's even mixup has it; else it weighs 1."""

    def __init__(self, shared, grid, proposals, one_ratio=False):
        self.shared = shared
        self.grid = grid
        self.proposals = proposals
        self.one_ratio = one_ratio

    def __call__(self, samples):
        images, truths, *_, broken, specs = zip(*samples)
        height, width, rows = specs[0].padding or (0, 0, 0)
        canvas = stack_to_shared(images, self.shared, (height, width))
        padded = pad_truths(truths, max(rows, MIN_ROWS))
        sizes = np.array([image.shape[:2] + (spec.ratio if self.one_ratio and spec.partner >= 0 else 1,)
                          for image, spec in zip(images, specs)], np.float32)
        anchors = np.stack([anchor_targets(self.grid, truth, image.shape[:2], canvas.shape[1:3],
                                           generator(Purpose.ANCHORS, *spec.key), background)
                            for image, truth, spec, background in zip(images, truths, specs, sizes[:, 2])])
        keys = np.stack([generator(Purpose.REGIONS, *spec.key).random(self.proposals + padded.shape[1], np.float32)
                         for spec in specs])
        small = [to_shared(array, self.shared) for array in (padded, sizes, anchors, keys)]
        return (canvas, *small, [name for names in broken for name in names])


def largest_batches(dataset: KeyedImages, batchify: RegionBatch, options: FasterRcnnOptions,
                    images: int | None = None) -> Iterator[tuple]:
    """The arrays of batches as large as can come, of black images without boxes, lying and standing.

    dataset: KeyedImages; batchify: a RegionBatch; options: FasterRcnnOptions; images: of a batch, --batch-size by default."""
    images = images or options.batch_size
    most = sum(sorted(len(record.boxes) for record in dataset.records)[-2 if options.mixup else -1:])
    truths = pad_truths([np.full((most, TRUTH_COLUMNS), -1)] * images)
    keys = np.zeros((images, batchify.proposals + truths.shape[1]), np.float32)
    short, longest = options.shorts()[1], options.image_max_size
    for shape in ((short, longest), (longest, short)):
        specs = [SampleSpec(0, -1, 1.0, short, (options.seed, 0, 0, position)) for position in range(images)]
        empty = np.zeros((*shape, 3), np.uint8), np.zeros((0, TRUTH_COLUMNS), np.float32), []
        canvas, _, sizes, anchors, _, _ = batchify([(*empty, spec) for spec in specs])
        yield canvas, to_shared(truths, False), sizes, anchors, to_shared(keys, False)

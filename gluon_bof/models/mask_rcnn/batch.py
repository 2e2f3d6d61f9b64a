"""Mask R-CNN's batches on the wire: those of Faster R-CNN, and the masks of their boxes as planes of bits."""
from __future__ import annotations

from typing import TYPE_CHECKING, Iterator

import numpy as np

from gluon_bof import masks
from gluon_bof.data.shared_memory import shared_buffer
from gluon_bof.freebies.augmentation import transform_boxes, transform_masks
from gluon_bof.models.faster_rcnn.batch import KeyedImages, RegionBatch
from gluon_bof.models.faster_rcnn.batch import largest_batches as largest_region_batches

if TYPE_CHECKING:
    from gluon_bof.options.mask_rcnn import MaskRcnnOptions


class MaskedImages(KeyedImages):
    """As KeyedImages, of records with masks: `dataset[spec]` -> (image (H, W, 3) uint8, truth (M, 6), planes (P, H, W) uint8 of
    the masks of its boxes, names of broken images, spec). A mask is flipped, resized and mixed as its box is (paper, 3.1)."""

    def seen_truth(self, truth, records, view):
        numbered = np.column_stack([truth, np.arange(len(truth), dtype=truth.dtype)])
        seen = transform_boxes(numbered, view)
        number = seen[:, -1].astype(int)
        dense, first = [], 0
        for record in records:
            own = record.true_masks()
            here = number[(number >= first) & (number < first + len(own))] - first  # numbers ascend
            dense.append(transform_masks(own[here], (record.height, record.width), view))
            first += len(own)
        dense = np.concatenate(dense)
        return np.ascontiguousarray(seen[:, :-1]), masks.pack(dense, -(-len(dense) // masks.OBJECTS_A_PLANE))


class MaskBatch(RegionBatch):
    """Batchify: the arrays of a RegionBatch, truths (B, M, 6) among them, then planes (B, M / 8, H, W) uint8, no object in the
    padding, and the names of broken images."""

    def __call__(self, samples):
        *arrays, broken = super().__call__(samples)
        target, memory = _blank_planes(*arrays[:2], self.shared)
        for place, (_, _, planes, *_) in zip(memory, samples):
            count, height, width = planes.shape
            place[:count, :height, :width] = planes
        return (*arrays, target, broken)


def largest_batches(dataset: MaskedImages, batchify: RegionBatch, options: MaskRcnnOptions,
                    images: int | None = None) -> Iterator[tuple]:
    """The arrays of batches as large as can come; arguments as Faster R-CNN's `largest_batches`, whose batchify it takes."""
    for arrays in largest_region_batches(dataset, batchify, options, images):
        planes, _ = _blank_planes(*arrays[:2], False)
        yield (*arrays, planes)


def _blank_planes(canvas, truths, shared):
    """(planes (B, M / 8, H, W) uint8 without an object, their memory) for images (B, H, W, 3) and truths (B, M, 6)."""
    shape = (canvas.shape[0], truths.shape[1] // masks.OBJECTS_A_PLANE, *canvas.shape[1:3])
    planes, memory = shared_buffer(shape, np.uint8, shared)
    memory[...] = 0
    return planes, memory

"""What the mask head learns from, on the device: the matched object's mask within each region, equal to GluonCV's
MaskTargetGenerator number for number."""
from __future__ import annotations

from typing import Any

from gluon_bof.backend import gluon
from gluon_bof.masks import OBJECTS_A_PLANE
from gluon_bof.models.gather import batched_gather


def unpacked(F: Any, planes: Any) -> Any:
    """(B, 8 * P, H, W) float32, 0 and 1, of planes (B, P, H, W) uint8: object k is bit k % 8 of plane k // 8."""
    numbers = F.expand_dims(F.cast(planes, dtype="float32"), axis=2)
    halves = [F.floor(numbers / 2 ** bit) for bit in range(OBJECTS_A_PLANE + 1)]
    bits = [half - 2 * quarter for half, quarter in zip(halves, halves[1:])]
    return F.reshape(F.concat(*bits, dim=2), (0, -3, 0, 0))


class MaskTargets(gluon.HybridBlock):
    """(regions (B, Q, 4) in pixels, matches (B, Q) in [0, M), planes (B, M / 8, H, W) uint8) -> mask targets (B, Q, S, S) in
    [0, 1], and 1 where the matched object has a pixel, (B, Q): of one that has none nothing is known. size: (height, width) of a
    target, S and S."""

    def __init__(self, size, **kwargs):
        super().__init__(**kwargs)
        self._size = tuple(size)

    def hybrid_forward(self, F, regions, matches, planes):
        dense = unpacked(F, planes)
        covers = F.max(dense, axis=(2, 3))
        there = batched_gather(F, covers, matches)
        # objects of all images in a row: each image's first one, its number times M
        objects = F.sum(F.slice_axis(F.ones_like(covers), axis=0, begin=0, end=1))
        first = F.broadcast_mul(F.expand_dims(F.contrib.arange_like(dense, axis=0), axis=1), objects)
        place = F.reshape(F.broadcast_add(matches, first), (-1, 1))
        rois = F.concat(place, F.reshape(regions, (-3, 0)), dim=1)
        dense = F.expand_dims(F.reshape(dense, (-3, 0, 0)), axis=1)
        targets = F.contrib.ROIAlign(dense, rois, self._size, 1.0, sample_ratio=2)
        targets = F.reshape_like(F.squeeze(targets, axis=1), matches, lhs_begin=0, lhs_end=1, rhs_begin=0, rhs_end=2)
        return F.stop_gradient(targets), F.stop_gradient(there)

"""Anchors of the region proposal network, in numpy, so that data workers can match boxes to them."""
from __future__ import annotations

from typing import TYPE_CHECKING, Iterator, Sequence

import numpy as np

if TYPE_CHECKING:
    from gluon_bof.options.faster_rcnn import FasterRcnnOptions


def anchor_grid(options: FasterRcnnOptions) -> AnchorGrid:
    """The AnchorGrid of the network that resolved FasterRcnnOptions describe."""
    return AnchorGrid(options.strides, options.anchor_base_size, options.anchor_scales, options.anchor_aspect_ratio)


class AnchorGrid:
    """The anchors of a network's levels, numbered as its RPN's outputs are: level, row, column, shape.

    strides: image pixels a cell, of each level. base_size: side of the reference anchor in pixels. scales: for one
    level all of its scales, for several one each. ratios: heights over widths."""

    def __init__(self, strides, base_size, scales, ratios):
        self.strides = tuple(int(stride) for stride in strides)
        scales = [scales] if len(self.strides) == 1 else [[scale] for scale in scales]
        self.shapes = [base_anchors(stride, base_size, sizes, ratios) for stride, sizes in zip(self.strides, scales)]

    def sides(self, height: int, width: int) -> Iterator[tuple[np.ndarray, ...]]:
        """For each level of an image of this size: (left, right) (columns, A) and (top, bottom) (rows, A), float32."""
        for stride, shapes in zip(self.strides, self.shapes):
            # every layer that halves the image rounds up
            columns, rows = (np.arange(0, -(-side // stride)) * stride for side in (width, height))
            yield tuple((shapes[:, i] + offsets[:, None]).astype(np.float32)
                        for i, offsets in ((0, columns), (2, columns), (1, rows), (3, rows)))


def base_anchors(stride: int, base_size: float, scales: Sequence[float], ratios: Sequence[float]) -> np.ndarray:
    """(A, 4) corners of a cell's anchors around its centre, ratios outside, scales inside; as Faster R-CNN's first code,
    whose pixel counting (a width is xmax - xmin + 1) they keep."""
    centre = (stride - 1) / 2
    widths = np.round(np.sqrt(stride ** 2 / np.asarray(ratios, np.float64)))
    heights = np.round(widths * np.asarray(ratios, np.float64))
    growth = np.asarray(scales, np.float64) * base_size / stride
    sides = np.stack([np.outer(widths, growth).ravel(), np.outer(heights, growth).ravel()], axis=1)
    return np.hstack([centre - (sides - 1) / 2, centre + (sides - 1) / 2])

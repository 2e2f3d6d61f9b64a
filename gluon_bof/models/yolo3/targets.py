"""Which prediction each ground-truth box claims and what it should be, for the whole batch on the device.

The numbers are those of GluonCV's YOLOV3PrefetchTargetGenerator, kept per box (B, M) instead of per prediction (B, N):
a few kilobytes where the official loader ships megabytes. Only a centre on the border of two cells may be counted to the first of
them, at the end of it, by rounding, at some sides of 352 and above: float32's here, float64's there.
"""
from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple, Sequence

import numpy as np

from gluon_bof.backend import gluon, mx
from gluon_bof.models.yolo3.network import ANCHORS, STRIDES

# columns of Grid.anchors
ANCHOR_WIDTH, ANCHOR_HEIGHT, MAP_WIDTH, MAP_HEIGHT, FIRST, RANK, IMAGE_WIDTH, IMAGE_HEIGHT = range(8)


class Grid(NamedTuple):
    """What targets and loss need to know of one input size.

    anchors: (A, 8), a row per anchor, coarsest map first: see the column names above; FIRST is the map's first
    prediction among the N, RANK the anchor's number within its map.
    cells: (1, N, 5), a row per prediction: cell x and y, stride, anchor width and height in pixels."""

    anchors: object
    cells: object


def grid_tables(size: int, anchors: Sequence[Sequence[float]] = ANCHORS) -> Grid:
    """Grid of numpy float32 arrays, not to be written to, for a square input of this side, a multiple of the largest stride.
    anchors: rows of widths and heights, finest stride first."""
    return _grid_tables(size, _as_tuples(anchors))


def _as_tuples(anchors):
    return tuple(map(tuple, np.reshape(anchors, (len(STRIDES), -1)).tolist()))  # a cache takes neither lists nor arrays


@lru_cache(maxsize=128)
def _grid_tables(size, anchors):
    rows, cells, first = [], [], 0
    for stride, shapes in list(zip(STRIDES, anchors))[::-1]:
        side = size // stride
        shapes = np.reshape(shapes, (-1, 2))
        for rank, (width, height) in enumerate(shapes):
            rows.append((width, height, side, side, first, rank, size, size))
        y, x = np.divmod(np.arange(side * side), side)
        per_cell = np.stack([x, y, np.full_like(x, stride)], axis=1).repeat(len(shapes), axis=0)
        cells.append(np.concatenate([per_cell, np.tile(shapes, (side * side, 1))], axis=1))
        first += side * side * len(shapes)
    tables = Grid(np.array(rows, np.float32), np.concatenate(cells)[None].astype(np.float32))
    for table in tables:
        table.setflags(write=False)  # the next one to ask gets the same
    return tables


def grid_on(context: mx.Context, size: int, anchors: Sequence[Sequence[float]] = ANCHORS) -> Grid:
    """The same as arrays on a device."""
    return _grid_on(context, size, _as_tuples(anchors))


@lru_cache(maxsize=128)
def _grid_on(context, size, anchors):
    return Grid(*(mx.nd.array(table, ctx=context) for table in _grid_tables(size, anchors)))


class BoxTargets(gluon.HybridBlock):
    """(truth (B, M, 6), Grid.anchors (A, 8)) -> what each box claims, all (B, M) or (B, M, 2):

    position: index among the N predictions; centre: offset in its cell, [0, 1); scale: log of size over anchor;
    box_weight: 2 - area / image area; class_id; weight: mix weight, 0 where the row is padding or another, later
    box claims the same prediction (as GluonCV, where the later one overwrites)."""

    def hybrid_forward(self, F, truth, anchors):
        corner = F.slice_axis(truth, axis=2, begin=0, end=2)
        size = F.slice_axis(truth, axis=2, begin=2, end=4) - corner
        middle = corner + size * 0.5

        # the anchor of best IoU when both are centred on one point
        pairs = F.expand_dims(size, axis=2)  # (B, M, 1, 2)
        shapes = F.reshape(F.slice_axis(anchors, axis=1, begin=0, end=2), (1, 1, -1, 2))
        shared = F.prod(F.broadcast_minimum(pairs, shapes), axis=3)
        union = F.broadcast_add(F.prod(pairs, axis=3), F.prod(shapes, axis=3)) - shared
        best = F.argmax(shared / F.maximum(union, 1e-12), axis=2)
        chosen = F.take(anchors, best)  # (B, M, 8)

        def columns(begin, end):
            return F.slice_axis(chosen, axis=2, begin=begin, end=end)

        map_size = columns(MAP_WIDTH, MAP_HEIGHT + 1)
        image_size = columns(IMAGE_WIDTH, IMAGE_HEIGHT + 1)
        cell_centre = middle / image_size * map_size
        # a centre on the image's far edge belongs to the last cell
        cell = F.maximum(F.minimum(F.floor(cell_centre), map_size - 1), 0)
        column, row = (F.squeeze(F.slice_axis(cell, axis=2, begin=i, end=i + 1), axis=2) for i in (0, 1))
        first, rank, map_width = (F.squeeze(columns(i, i + 1), axis=2) for i in (FIRST, RANK, MAP_WIDTH))
        position = first + (row * map_width + column) * (len(ANCHORS[0]) // 2) + rank

        valid = F.min(F.slice_axis(truth, axis=2, begin=0, end=4), axis=2) >= 0
        weight = F.squeeze(F.slice_axis(truth, axis=2, begin=5, end=6), axis=2)
        return (position,
                cell_centre - cell,
                F.log(F.maximum(size, 1) / columns(ANCHOR_WIDTH, ANCHOR_HEIGHT + 1)),
                2 - F.prod(size, axis=2) / F.prod(image_size, axis=2),
                F.squeeze(F.slice_axis(truth, axis=2, begin=4, end=5), axis=2),
                weight * valid * (1 - self._overwritten(F, position, valid)))

    @staticmethod
    def _overwritten(F, position, valid):
        """(B, M) 1 where a later valid row has the same position."""
        number = F.contrib.arange_like(position, axis=1)
        later = F.broadcast_greater(F.reshape(number, (1, 1, -1)), F.reshape(number, (1, -1, 1)))
        same = F.broadcast_equal(F.expand_dims(position, axis=2), F.expand_dims(position, axis=1))
        return F.max(F.broadcast_mul(F.broadcast_mul(same, F.expand_dims(valid, axis=1)), later), axis=2)

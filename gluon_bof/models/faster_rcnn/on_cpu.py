"""Three of MXNet's operators again, faster on processors: ROIAlign over a pyramid's levels, the suppression of proposals, and the
gradient of the RPN's convolution.

MXNet's own ROIAlign and suppression work out every number of every region and channel by itself, on one thread. Pooling is
linear: each number is a weighted sum of places of a level, the same for all channels. Here that is a sparse matrix, times the
level with its channels last. Suppression compares blocks of boxes, and stops once enough are kept. Both give MXNet's numbers to
the last bit, for they add in its order; of a region with a corner that is not finite, for which MXNet reads memory that is not
its own, pooling gives NaN. Of the RPN's anchors a few hundred have a gradient, and MXNet convolves with the zeros of all others.

They are Python within the graph (see `models.python_operators`), which an exported graph cannot have: see
`models.build.portable`."""
from __future__ import annotations

from typing import Any, Sequence

import numpy as np

from gluon_bof.backend import autograd, mx
from gluon_bof.models.python_operators import numbers, ran, refuse_sums

SAMPLES = 2  # along each side of a bin, MXNet's sample_ratio
TAPS = 4  # places that a sample lies between
# How many channels of a level and numbers of samples the processor's cache holds. So many numbers are half a megabyte: arrays of
# two, by `devices.return_large_arrays`, go back to the system and are asked for again each time.
CHANNELS_AT_ONCE, NUMBERS_AT_ONCE = 256, 2 ** 17
BLOCK = 128  # boxes that are compared with those kept so far
MANY = 500  # boxes, from which comparing them so is faster than by MXNet
CELLS_AT_ONCE = 2048  # that have a gradient, each with its neighbours: where a loss is NaN all cells of a level have one
WIDE = 256  # channels, from which going through the few cells that have a gradient is faster


def roi_align(F: Any, rois: Any, level: Any, features: Sequence[Any], size: Sequence[int], strides: Sequence[int],
              first: int) -> Any:
    """(R, C, h, w) pooled as F.contrib.ROIAlign does with two samples along a side.

    rois: (R, 5) number of the image and corners in its pixels; level: (R, 1), the number of the features (B, C, H, W) that a
    region is cut from, counted from `first`; strides: pixels a cell, of each level."""
    columns = F.transpose(F.concat(rois, level, dim=1))
    features = [F.transpose(of_level, axes=(0, 2, 3, 1)) for of_level in features]
    pooled = F.Custom(columns, *features, op_type="gluon_bof_roi_align", size=",".join(map(str, size)),
                      strides=",".join(map(str, strides[:len(features)])), first=first)
    return F.transpose(pooled, axes=(0, 3, 1, 2))


def suppressed(F: Any, rows: Any, overlap: float, compared: int, kept: int) -> Any:
    """(B, kept, 5) the best rows (B, N, 5) of score and corners that no better one overlaps by more than `overlap`, of those
    `compared` that score most and more than 0; rows of -1 fill up. As F.contrib.box_nms, of which these are the first rows."""
    return F.Custom(F.transpose(rows, axes=(0, 2, 1)), op_type="gluon_bof_suppressed", overlap=overlap, compared=compared,
                    kept=kept)


def convolved(F: Any, x: Any, convolution: Any) -> Any:
    """What a Conv2D of 3 x 3 cells with a bias makes of x (B, C, H, W), for who has a gradient of few cells: those alone are gone
    through on the way back. The gradient is that of the convolution, but for the order in which its parts are added."""
    weight, bias = (parameter.var() if F is mx.sym else parameter.data(x.context)
                    for parameter in (convolution.weight, convolution.bias))
    found = F.Custom(*(F.transpose(array, axes=(0, 2, 3, 1)) for array in (x, weight)),
                     F.transpose(F.expand_dims(bias, axis=0)), op_type="gluon_bof_convolved")
    return F.transpose(found, axes=(0, 3, 1, 2))


class _RoiAlign(mx.operator.CustomOp):
    """Columns (6, R): image, corners and level; features (B, H, W, C) of each level -> (R, h, w, C)."""

    def __init__(self, size, strides, first):
        super().__init__()
        self.size = size
        self.strides = strides
        self.first = first

    def forward(self, is_train, req, in_data, out_data, aux):
        columns, *features = map(numbers, in_data)
        pooled = numbers(out_data[0])
        pooled[...] = 0
        for here, matrix, of_level in self._levels(columns, features):
            pool(matrix, of_level, pooled, here)

    def backward(self, req, out_grad, in_data, out_data, in_grad, aux):
        refuse_sums(req)
        gradient = numbers(out_grad[0])
        of_columns, *targets = map(numbers, in_grad)
        of_columns[...] = 0
        for here, matrix, target in self._levels(numbers(in_data[0]), targets):
            unpool(matrix, gradient, here, target)

    def _levels(self, columns, features):
        """(places of a level's regions, their matrix, the level) of each."""
        for number, (stride, of_level) in enumerate(zip(self.strides, features), self.first):
            here = np.flatnonzero(columns[5] == number)
            images, height, width, _ = of_level.shape
            yield here, pooling_matrix(columns[:5, here], images, (height, width), self.size, np.float32(1 / stride)), of_level


@mx.operator.register("gluon_bof_roi_align")
class _RoiAlignProperties(mx.operator.CustomOpProp):
    """size: "h,w"; strides: pixels a cell of each level; first: number of the first level."""

    def __init__(self, size, strides, first):
        super().__init__(need_top_grad=True)
        self.size = tuple(map(int, size.split(",")))
        self.strides = tuple(map(float, strides.split(",")))
        self.first = int(first)

    def list_arguments(self):
        return ["columns", *(f"level{number}" for number in range(len(self.strides)))]

    def infer_shape(self, in_shape):
        return in_shape, [(in_shape[0][1], *self.size, in_shape[1][3])], []

    def create_operator(self, ctx, in_shapes, in_dtypes):
        return _RoiAlign(self.size, self.strides, self.first)


def pooling_matrix(columns: np.ndarray, images: int, cells: Sequence[int], size: Sequence[int], scale: np.float32) -> Any:
    """The sparse (R * h * w * 4, images * H * W) matrix of regions, columns (5, R) of image and corners, on levels of (H, W)
    cells: for every bin of a region four rows, its samples, of which the bin is the mean."""
    from scipy.sparse import csr_matrix

    with np.errstate(over="ignore", invalid="ignore"):  # of corners that are not finite
        left, top, right, bottom = columns[1:] * scale
        row, of_row = _along(top, bottom, size[0], cells[0])
        column, of_column = _along(left, right, size[1], cells[1])
    image = columns[0].astype(np.int32)[:, None, None, None] * cells[0]
    # (region, bin's row, bin's column, sample's row, sample's column, tap's row, tap's column)
    place = ((image + row) * cells[1])[:, :, None, :, None, :, None] + column[:, None, :, None, :, None, :]
    weight = of_row[:, :, None, :, None, :, None] * of_column[:, None, :, None, :, None, :]
    count = weight.size // TAPS
    starts = np.arange(0, weight.size + 1, TAPS, dtype=np.int32)
    return csr_matrix((weight.ravel(), place.ravel(), starts), shape=(count, images * cells[0] * cells[1]))


def _along(low, high, bins, cells):
    """(cells (R, bins, samples, 2) between which the samples lie on one axis, their weights), in MXNet's float32 arithmetic."""
    side = np.maximum(high - low, np.float32(1)) / np.float32(bins)
    number = np.arange(bins, dtype=np.float32)[:, None]
    within = np.arange(SAMPLES, dtype=np.float32) + np.float32(0.5)
    low, side = low[:, None, None], side[:, None, None]
    at = low + number * side + within * side / np.float32(SAMPLES)
    is_outside = (at < -1) | (at > cells)
    at = np.maximum(at, 0)
    below = np.fmin(at, cells).astype(np.int32)  # of NaN the last cell
    is_last = below >= cells - 1
    below = np.where(is_last, np.int32(cells - 1), below)
    share = np.where(is_last, np.float32(0), at - below.astype(np.float32))
    weight = np.stack([1 - share, share], axis=-1)
    weight[is_outside] = 0
    weight[np.isnan(at)] = np.nan
    return np.stack([below, np.where(is_last, below, below + 1)], axis=-1), weight


def pool(matrix: Any, features: np.ndarray, pooled: np.ndarray, regions: np.ndarray) -> None:
    """Fill pooled (R, h, w, C) at these regions from features (B, H, W, C)."""
    _, height, width, channels = pooled.shape
    parts = [slice(begin, begin + CHANNELS_AT_ONCE) for begin in range(0, channels, CHANNELS_AT_ONCE)]
    cells = [(part, np.ascontiguousarray(features.reshape(-1, channels)[:, part])) for part in parts]
    samples = SAMPLES ** 2
    rows = height * width * samples
    at_once = max(1, NUMBERS_AT_ONCE // (rows * min(channels, CHANNELS_AT_ONCE)))
    for begin in range(0, len(regions), at_once):
        here = regions[begin:begin + at_once]
        of_here = matrix[begin * rows:(begin + len(here)) * rows]
        for part, of_cells in cells:
            sampled = (of_here @ of_cells).reshape(-1, samples, of_cells.shape[1])
            total = sampled[:, 0] + sampled[:, 1]
            for number in range(2, samples):
                total += sampled[:, number]
            total *= np.float32(1 / samples)
            pooled[here, :, :, part] = total.reshape(len(here), height, width, -1)


def unpool(matrix: Any, gradient: np.ndarray, regions: np.ndarray, target: np.ndarray) -> None:
    """Write the gradient of features (B, H, W, C), of that of pooled (R, h, w, C) at these regions."""
    channels = target.shape[3]
    of_bins = gradient[regions] if len(regions) < len(gradient) else gradient
    target.reshape(-1, channels)[...] = _each_bin_once(matrix).T @ of_bins.reshape(-1, channels)


def _each_bin_once(matrix):
    """The same with one row for each bin: what its samples are weighed by, a quarter each, one after the other."""
    from scipy.sparse import csr_matrix

    samples = SAMPLES ** 2
    return csr_matrix((matrix.data * np.float32(1 / samples), matrix.indices, matrix.indptr[::samples]),
                      shape=(matrix.shape[0] // samples, matrix.shape[1]))


class _Suppressed(mx.operator.CustomOp):
    """Columns (B, 5, N): score and corners -> (B, kept, 5) rows."""

    def __init__(self, overlap, compared, kept):
        super().__init__()
        self.overlap = overlap
        self.compared = compared
        self.kept = kept

    def forward(self, is_train, req, in_data, out_data, aux):
        for columns, target in zip(numbers(in_data[0]), numbers(out_data[0])):
            best = columns[:, survivors(columns, self.overlap, self.compared, self.kept)].T
            target[:len(best)], target[len(best):] = best, -1

    def backward(self, req, out_grad, in_data, out_data, in_grad, aux):
        refuse_sums(req)
        numbers(in_grad[0])[...] = 0


@mx.operator.register("gluon_bof_suppressed")
class _SuppressedProperties(mx.operator.CustomOpProp):
    """overlap, compared, kept: as `suppressed`."""

    def __init__(self, overlap, compared, kept):
        super().__init__(need_top_grad=True)
        self.overlap = np.float32(overlap)
        self.compared = int(compared)
        self.kept = int(kept)

    def infer_shape(self, in_shape):
        images, width, _ = in_shape[0]
        return in_shape, [(images, self.kept, width)], []

    def create_operator(self, ctx, in_shapes, in_dtypes):
        return _Suppressed(self.overlap, self.compared, self.kept)


def survivors(columns: np.ndarray, overlap: np.float32, compared: int, kept: int) -> np.ndarray:
    """Numbers of at most `kept` of N rows, columns (5, N) of score and corners, the best first, that no better one overlaps by
    more than `overlap`; of those `compared` that score most and more than 0."""
    candidates = np.flatnonzero(columns[0] > 0)
    order = candidates[np.argsort(-columns[0, candidates], kind="stable")][:compared]
    left, top, right, bottom = sides = columns[1:, order]
    area = np.where((right < left) | (bottom < top), np.float32(0), (right - left) * (bottom - top))
    boxes = np.concatenate([sides, area[None]])
    alive, count = np.zeros(len(order), bool), 0
    best = np.empty((5, min(kept, len(order)) + BLOCK), np.float32)
    for begin in range(0, len(order), BLOCK):
        block = boxes[:, begin:begin + BLOCK]
        fresh = ~_overlaps(best[:, :count], block, overlap).any(axis=0)
        among = np.triu(_overlaps(block, block, overlap), 1)
        left_over = fresh
        while True:  # a box falls to a better one that itself stands: settled after as many rounds as such chains are long
            stands = fresh & ~among[left_over].any(axis=0)
            if (stands == left_over).all():
                break
            left_over = stands
        alive[begin:begin + BLOCK] = stands
        new = block[:, stands]
        best[:, count:count + new.shape[1]] = new
        count += new.shape[1]
        if count >= kept:
            break
    return order[alive][:kept]


def _overlaps(one, other, overlap):
    """(M, N) whether boxes (5, M) and (5, N), corners and area, have an IoU above `overlap`."""
    width = np.minimum(one[2][:, None], other[2]) - np.maximum(one[0][:, None], other[0])
    height = np.minimum(one[3][:, None], other[3]) - np.maximum(one[1][:, None], other[1])
    shared = np.maximum(width, 0, out=width)
    shared *= np.maximum(height, 0, out=height)
    union = np.add(one[4][:, None], other[4], out=height)
    union -= shared
    with np.errstate(divide="ignore", invalid="ignore"):  # boxes of no area, which overlap nothing
        return np.divide(shared, union, out=shared) > overlap


class _Convolved(mx.operator.CustomOp):
    """x (B, H, W, C), weight (O, 3, 3, C), bias (O, 1) -> (B, H, W, O)."""

    def forward(self, is_train, req, in_data, out_data, aux):
        ran.set()
        with autograd.pause():
            x, weight = (mx.nd.transpose(array, axes=(0, 3, 1, 2)) for array in in_data[:2])
            found = mx.nd.Convolution(x, weight, in_data[2].reshape(-1), num_filter=len(weight), kernel=(3, 3), pad=(1, 1))
            self.assign(out_data[0], req[0], mx.nd.transpose(found, axes=(0, 2, 3, 1)))

    def backward(self, req, out_grad, in_data, out_data, in_grad, aux):
        refuse_sums(req)
        gradient_of_few(*map(numbers, (*in_data[:2], out_grad[0], *in_grad)))


@mx.operator.register("gluon_bof_convolved")
class _ConvolvedProperties(mx.operator.CustomOpProp):
    def list_arguments(self):
        return ["x", "weight", "bias"]

    def infer_shape(self, in_shape):
        x, weight, bias = in_shape
        return [x, (*weight[:3], x[3]), bias], [(*x[:3], weight[0])], []

    def create_operator(self, ctx, in_shapes, in_dtypes):
        return _Convolved()


def gradient_of_few(x: np.ndarray, weight: np.ndarray, gradient: np.ndarray, of_x: np.ndarray, of_weight: np.ndarray,
                    of_bias: np.ndarray) -> None:
    """Write the gradients of x (B, H, W, C), weight (O, 3, 3, C) and bias (O, 1), of that of their convolution (B, H, W, O),
    which is 0 at most cells."""
    places = np.nonzero(gradient.any(axis=3))
    gradient = gradient[places]
    of_bias[:, 0] = gradient.sum(axis=0)
    of_weight[...] = of_x[...] = 0
    for begin in range(0, len(gradient), CELLS_AT_ONCE):
        here = slice(begin, begin + CELLS_AT_ONCE)
        _add_gradient(x, weight, gradient[here], [axis[here] for axis in places], of_x, of_weight)


def _add_gradient(x, weight, gradient, places, of_x, of_weight):
    """Of that (K, O) of K cells at places (image, row, column)."""
    image, row, column = places
    around = []  # for each of the nine taps the places that have a cell there, and those cells
    for tap_row in (-1, 0, 1):
        for tap_column in (-1, 0, 1):
            there = np.flatnonzero((0 <= row + tap_row) & (row + tap_row < x.shape[1])
                                   & (0 <= column + tap_column) & (column + tap_column < x.shape[2]))
            around.append((there, (image[there], row[there] + tap_row, column[there] + tap_column)))
    seen = np.zeros((len(row), len(around), x.shape[3]), np.float32)
    for tap, (there, cells) in enumerate(around):
        seen[there, tap] = x[cells]
    of_weight += np.tensordot(gradient, seen, (0, 0)).reshape(weight.shape)
    of_seen = np.tensordot(gradient, weight.reshape(len(weight), *seen.shape[1:]), (1, 0))
    for tap, (there, cells) in enumerate(around):
        of_x[cells] += of_seen[there, tap]  # no cell comes twice

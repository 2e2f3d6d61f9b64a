"""Ways back to a finer grid inside a network: nearest, bilinear, bed of nails, max unpooling, transposed convolution.

All keep the number of channels and double the sides; those in FILLING give every output pixel a value and take any factor. Bed of
nails puts each value at the top left of its window and 0 elsewhere; max unpooling puts it where the matching max pooling found
its maximum; the transposed convolution learns its filter, which begins as bilinear interpolation (Long et al. 2015, section
3.3)."""
from __future__ import annotations

from typing import Any

import numpy as np

from gluon_bof.backend import gluon, mx
from gluon_bof.models.beside import beside
from gluon_bof.options.segmentation import FILLING, UPSAMPLINGS

WINDOW = 2  # pixels: the side of a pooling's window, and of what one value becomes


class MaxPooling(gluon.HybridBlock):
    """(B, C, H, W) -> (maxima (B, C, H/2, W/2), their places (B, 4C, H/2, W/2): 1 where the first, second, third or fourth pixel
    of a window, row by row, is its maximum, the first of equal ones, else 0). H and W are even."""

    def hybrid_forward(self, F, x):
        highest = F.Pooling(x, kernel=(WINDOW, WINDOW), stride=(WINDOW, WINDOW), pool_type="max")
        windows = F.split(F.space_to_depth(F.stop_gradient(x), block_size=WINDOW), WINDOW ** 2, axis=1)
        places, free = [], 1
        for pixels in windows:
            places.append(F.broadcast_equal(pixels, F.stop_gradient(highest)) * free)
            free = free - places[-1]
        return highest, F.concat(*places, dim=1)


class MaxUnpooling(gluon.HybridBlock):
    """(values (B, C, h, w), places of the matching MaxPooling) -> (B, C, 2h, 2w), 0 where no maximum was."""

    def hybrid_forward(self, F, x, places):
        return F.depth_to_space(beside(F, *[x] * WINDOW ** 2) * places, block_size=WINDOW)


class BedOfNails(gluon.HybridBlock):
    """(B, C, h, w) -> (B, C, 2h, 2w): each value at the top left of its window, 0 elsewhere."""

    def hybrid_forward(self, F, x):
        nothing = F.zeros_like(x)
        return F.depth_to_space(beside(F, x, *[nothing] * (WINDOW ** 2 - 1)), block_size=WINDOW)


class Nearest(gluon.HybridBlock):
    """(B, C, h, w) -> (B, C, factor * h, factor * w): each value over its whole window."""

    def __init__(self, factor: int = WINDOW, **kwargs: Any):
        super().__init__(**kwargs)
        self._factor = factor

    def hybrid_forward(self, F, x):
        return F.UpSampling(x, scale=self._factor, sample_type="nearest")


class Bilinear(gluon.HybridBlock):
    """(B, C, h, w) -> (B, C, factor * h, factor * w), interpolated between the middles of pixels; the edge's values go on."""

    def __init__(self, factor: int = WINDOW, **kwargs: Any):
        super().__init__(**kwargs)
        self._factor = factor

    def hybrid_forward(self, F, x):
        return F.contrib.BilinearResize2D(x, scale_height=self._factor, scale_width=self._factor, align_corners=False)


class TransposedConvolution(gluon.nn.Conv2DTranspose):
    """(B, C, h, w) -> (B, C, factor * h, factor * w): every value times a learned filter, summed where filters overlap.

    At its start it interpolates bilinearly, each channel by itself; beyond the edge it sees 0. factor: even. groups: 1, or
    `channels`, which keeps each channel by itself."""

    def __init__(self, channels: int, factor: int = WINDOW, groups: int = 1, **kwargs: Any):
        super().__init__(channels, 2 * factor, factor, factor // 2, in_channels=channels, groups=groups, use_bias=False,
                         weight_initializer=BilinearFilters(), **kwargs)


@mx.init.register
class BilinearFilters(mx.init.Initializer):
    """Weights (C, C or 1, k, k) of a transposed convolution that interpolates bilinearly, each channel by itself."""

    def _init_weight(self, _, arr):
        channels, inputs, side, _ = arr.shape
        values = np.zeros(arr.shape, np.float32)
        values[np.arange(channels), np.arange(channels) % inputs] = bilinear_filter(side)
        arr[:] = values


def bilinear_filter(side: int) -> np.ndarray:
    """(side, side) float32: the weights with which a value counts in the pixels around it, for a factor of side / 2."""
    factor = (side + 1) // 2
    middle = factor - 1 if side % 2 else factor - 0.5
    line = 1 - np.abs(np.arange(side) - middle) / factor
    return np.outer(line, line).astype(np.float32)


def upsampling_layer(kind: str, channels: int, factor: int = WINDOW, groups: int = 1) -> gluon.HybridBlock:
    """The layer of one of UPSAMPLINGS for so many channels; max unpooling's takes the places of its pooling besides. groups: see
    TransposedConvolution.

    Raises ValueError for another kind, and for a factor other than 2 where only windows of 2 x 2 are filled."""
    if kind not in UPSAMPLINGS or (factor != WINDOW and kind not in FILLING):
        raise ValueError(f"no upsampling {kind!r} by {factor}")
    if kind == "transposed":
        return TransposedConvolution(channels, factor, groups)
    if kind in FILLING:
        return {"nearest": Nearest, "bilinear": Bilinear}[kind](factor)
    return {"bed-of-nails": BedOfNails, "max-unpooling": MaxUnpooling}[kind]()

"""Normalised features on their way into a convolution that oneDNN lays out in other blocks of channels."""
from __future__ import annotations

from typing import Any

from gluon_bof.backend import autograd


def unblocked(F: Any, x: Any, channels: int) -> Any:
    """x (B, C, H, W) itself, as the input of a convolution that gives so many channels.

    oneDNN keeps features in blocks of 16 channels, and those of 8, 24, 40, … channels in blocks of 8, in which such a
    convolution's gradient comes back. A batch normalisation whose features lie in blocks of 16 takes it as it is, by oneDNN's
    reference code, which made up a quarter of a small YOLOv3's training. A slice's gradient has no blocks, and MXNet brings it
    into those of the features."""
    if not autograd.is_training() or channels % 16 != 8:
        return x
    return F.slice_axis(x, axis=0, begin=0, end=None)

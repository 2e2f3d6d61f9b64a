"""Features out of oneDNN's blocks of channels, where a batch normalisation beside a convolution of other blocks would go by
oneDNN's reference code, many times slower than that for blocks of one kind."""
from __future__ import annotations

from typing import Any

from gluon_bof.backend import autograd, gluon


def unblocked(F: Any, x: Any) -> Any:
    """x (B, C, H, W) itself, in no blocks, and its gradient in none: a slice of all of it. MXNet brings either into the blocks of
    the other, where only one has them."""
    return F.slice_axis(x, axis=0, begin=0, end=None)


class UnblockedPooling(gluon.nn.GlobalAvgPool2D):
    """The mean of each channel of (B, C, H, W). oneDNN's gradient of a pooling of 64 channels over 7 x 7 cells or more is in
    blocks that every layer before takes over, to the last normalisation."""

    def hybrid_forward(self, F, x):
        return super().hybrid_forward(F, unblocked(F, x))


def before_convolution(F: Any, x: Any, channels: int) -> Any:
    """Normalised features x (B, C, H, W) themselves, as the input of a convolution that gives so many channels.

    oneDNN keeps features in blocks of 16 channels, and those of 8, 24, 40, … channels in blocks of 8, in which such a
    convolution's gradient comes back to the normalisation: a quarter of a small YOLOv3's training."""
    return unblocked(F, x) if autograd.is_training() and channels % 16 == 8 else x

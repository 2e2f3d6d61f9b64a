"""Layers that keep batch normalisation from oneDNN's reference code on CPUs: values and parameters of those that they replace.

oneDNN keeps features in blocks of 16 channels, or of 8 or 4 where a convolution's channels ask for it. Where a normalisation's
features and their gradient are not laid out alike, it goes back by plain loops: a quarter of the training of a small YOLOv3 of
three classes, two thirds of a small dual path network's. A slice of all of an array is in no blocks, nor is its gradient, and
MXNet then lays out either as the other."""
from __future__ import annotations

from typing import Any

from gluon_bof.backend import autograd, gluon


def unblock(layer: gluon.HybridBlock) -> gluon.HybridBlock:
    """The same layer, which no longer hands its layout on: a Conv2D or GlobalAvgPool2D on normalised features. Its name, prefix
    and parameters stay. Raises KeyError for others."""
    layer.__class__ = _UNBLOCKED[type(layer)]
    return layer


class UnblockedConvolution(gluon.nn.Conv2D):
    """A Conv2D of groups, or of 8, 24, 40, … channels, which oneDNN keeps in blocks of 8; any other is as it was."""

    def hybrid_forward(self, F, x, weight, bias=None):
        grouped = self._kwargs["num_group"] > 1
        if grouped or self._channels % 16 == 8:
            x = _unblocked(F, x)
        x = super().hybrid_forward(F, x, weight, bias)
        return _unblocked(F, x) if grouped else x


class UnblockedPooling(gluon.nn.GlobalAvgPool2D):
    """A GlobalAvgPool2D. The gradient of one of 64 channels over 7 x 7 cells or more is in blocks in another order, which every
    layer before takes over."""

    def hybrid_forward(self, F, x):
        return super().hybrid_forward(F, _unblocked(F, x))


_UNBLOCKED = {gluon.nn.Conv2D: UnblockedConvolution, gluon.nn.GlobalAvgPool2D: UnblockedPooling}


def _unblocked(F: Any, x: Any) -> Any:
    return F.slice_axis(x, axis=0, begin=0, end=None) if autograd.is_training() else x

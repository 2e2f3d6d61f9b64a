"""MXNet's pairing of anchors and boxes again, faster on processors.

MXNet sorts the IoUs of all anchors and boxes, nearly all of which are 0. Here each box keeps its best anchor, and looks for
another where that one has gone to another box. The pairs are MXNet's, those of equal IoUs included.

It is Python within the graph (see `models.python_operators`), for processors alone."""
from __future__ import annotations

from typing import Any

import numpy as np

from gluon_bof.backend import mx
from gluon_bof.models.python_operators import numbers, refuse_sums


def paired(F: Any, iou: Any, least: float) -> Any:
    """(B, N) number of the box that each anchor is paired with, -1 for none, of their IoUs (B, N, M): by falling IoU above
    `least`, each once. The first that F.contrib.bipartite_matching returns."""
    return F.transpose(F.Custom(F.transpose(iou, axes=(0, 2, 1)), op_type="gluon_bof_paired", least=least))


class _Paired(mx.operator.CustomOp):
    """IoUs (B, M, N) -> (N, B) number of the box."""

    def __init__(self, least):
        super().__init__()
        self.least = least

    def forward(self, is_train, req, in_data, out_data, aux):
        for iou, target in zip(numbers(in_data[0]), numbers(out_data[0]).T):
            target[...] = boxes_of_anchors(iou, self.least)

    def backward(self, req, out_grad, in_data, out_data, in_grad, aux):
        refuse_sums(req)
        numbers(in_grad[0])[...] = 0


@mx.operator.register("gluon_bof_paired")
class _PairedProperties(mx.operator.CustomOpProp):
    """least: as `paired`."""

    def __init__(self, least):
        super().__init__(need_top_grad=True)
        self.least = np.float32(least)

    def infer_shape(self, in_shape):
        images, _, anchors = in_shape[0]
        return in_shape, [(anchors, images)], []

    def create_operator(self, ctx, in_shapes, in_dtypes):
        return _Paired(self.least)


def boxes_of_anchors(iou: np.ndarray, least: np.float32) -> np.ndarray:
    """(N,) number of the box that each anchor is paired with, -1 for none, of IoUs (M, N) and a least of 0 or more."""
    iou, found = np.where(iou > least, iou, 0), np.full(iou.shape[1], -1)  # 0 for NaN, too
    anchors, highest = iou.argmax(axis=1), iou.max(axis=1)  # of each box
    while highest.max() > least:
        # MXNet goes through equal pairs anchor by anchor: there, too, the first of such boxes gets the first of its anchors
        box = highest.argmax()
        anchor = anchors[box]
        found[anchor] = box
        iou[box] = iou[:, anchor] = 0
        again = np.flatnonzero(anchors == anchor)  # that box too, which has nothing left
        anchors[again], highest[again] = iou[again].argmax(axis=1), iou[again].max(axis=1)
    return found

"""Dual path networks (Chen et al., 2017) for images of 32x32: DPN-92 as CIFAR-10 code builds it, and a small one.

A block adds the first channels of what it computes to the residual path and appends the others to the dense path."""
from __future__ import annotations

from typing import Any, NamedTuple

from gluon_bof.backend import gluon
from gluon_bof.models.beside import beside
from gluon_bof.models.unblocked import unblock

nn = gluon.nn
STEM = 64  # channels


class Stage(NamedTuple):
    """Blocks of one width. inner: channels within a block; residual: of the residual path; dense: channels that each block
    appends to the dense path."""

    blocks: int
    inner: int
    residual: int
    dense: int
    stride: int


DPN92 = (Stage(3, 96, 256, 16, 1), Stage(4, 192, 512, 32, 2), Stage(20, 384, 1024, 24, 2), Stage(3, 768, 2048, 128, 2))
MINI = (Stage(1, 32, 32, 16, 2), Stage(2, 64, 64, 16, 2), Stage(2, 128, 128, 32, 2))


class DualPathBlock(nn.HybridBlock):
    """(B, C, H, W) -> (B, residual + dense channels so far, H / stride, W / stride)."""

    def __init__(self, stage, groups, is_first, **keywords):
        super().__init__(**keywords)
        self._residual = stage.residual
        outputs = stage.residual + stage.dense
        stride = stage.stride if is_first else 1
        with self.name_scope():
            self.body = nn.HybridSequential(prefix="")
            for channels, kernel, strides, padding, of_groups in ((stage.inner, 1, 1, 0, 1), (stage.inner, 3, stride, 1, groups)):
                convolution = nn.Conv2D(channels, kernel, strides, padding, groups=of_groups, use_bias=False)
                self.body.add(unblock(convolution), nn.BatchNorm(), nn.Activation("relu"))
            self.body.add(nn.Conv2D(outputs, 1, use_bias=False), nn.BatchNorm())
            self.shortcut = nn.HybridSequential(prefix="shortcut_")
            if is_first:
                with self.shortcut.name_scope():
                    self.shortcut.add(nn.Conv2D(outputs, 1, stride, use_bias=False), nn.BatchNorm())

    def hybrid_forward(self, F, x):
        made, x = self.body(x), self.shortcut(x)
        added, appended = (F.slice_axis(made, axis=1, begin=begin, end=end) for begin, end in ((0, self._residual),
                                                                                            (self._residual, None)))
        kept, dense = (F.slice_axis(x, axis=1, begin=begin, end=end) for begin, end in ((0, self._residual),
                                                                                     (self._residual, None)))
        return F.relu(beside(F, kept + added, dense, appended))


class DualPathNetwork(nn.HybridBlock):
    """(B, 3, H, W) normalised images -> logits (B, classes). stages: of Stage; groups: of a block's 3x3 convolutions."""

    def __init__(self, stages, groups, classes, stem=STEM, **keywords):
        super().__init__(**keywords)
        with self.name_scope():
            self.features = nn.HybridSequential(prefix="")
            self.features.add(nn.Conv2D(stem, 3, 1, 1, use_bias=False), nn.BatchNorm(), nn.Activation("relu"))
            for number, stage in enumerate(stages, 1):
                blocks = nn.HybridSequential(prefix=f"stage{number}_")
                with blocks.name_scope():
                    for place in range(stage.blocks):
                        blocks.add(DualPathBlock(stage, groups, place == 0))
                self.features.add(blocks)
            self.features.add(nn.GlobalAvgPool2D(), nn.Flatten())
            self.output = nn.Dense(classes)

    def hybrid_forward(self, F, x):
        return self.output(self.features(x))


def dpn92(classes: int = 10, **keywords: Any) -> DualPathNetwork:
    """DPN-92 for CIFAR: 34,236,634 learned parameters with ten classes."""
    return DualPathNetwork(DPN92, 32, classes, **keywords)


def dpn_mini(classes: int = 10, **keywords: Any) -> DualPathNetwork:
    """Five dual path blocks: what learns in a minute on a CPU."""
    return DualPathNetwork(MINI, 4, classes, 32, **keywords)

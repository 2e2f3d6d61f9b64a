"""Small Darknets: GluonCV's DarknetV3 with fewer and narrower stages, residual as Darknet-53, for CPUs and small images."""
from __future__ import annotations

from itertools import accumulate

from gluon_bof.backend import gluon

from gluoncv.model_zoo.yolo.darknet import DarknetV3

MINI_LAYERS = (1, 1, 2, 2, 1)  # residual blocks after each halving; Darknet-53 has 1, 2, 8, 8, 4
MINI_CHANNELS = (8, 16, 32, 64, 128, 256)  # a quarter of Darknet-53's


def darknet_mini(pretrained: bool = False, **options) -> gluon.HybridBlock:
    """GluonCV's DarknetV3 of 20 convolutions and a quarter of Darknet-53's channels, not yet initialised.

    options: as DarknetV3 takes them (classes, norm_layer, norm_kwargs). Raises ValueError for pretrained: nobody has trained
    it on ImageNet."""
    if pretrained:
        raise ValueError("GluonCV has no weights of darknet-mini")
    return DarknetV3(list(MINI_LAYERS), list(MINI_CHANNELS), **options)


def ends_of_strides(layers: tuple = MINI_LAYERS) -> tuple[int, ...]:
    """Where, among a Darknet's features, those of strides 1 (the stem), 2, 4, 8, 16 and 32 end."""
    return tuple(accumulate(layers, lambda end, blocks: end + 1 + blocks, initial=1))


def last_layers() -> tuple:
    """Places, among darknet-mini's features, of the last layers of strides 4, 8, 16 and 32: what a pyramid stands on."""
    return tuple(end - 1 for end in ends_of_strides()[2:])


def stage_ends(layers: tuple = MINI_LAYERS) -> tuple:
    """(where the features of stride 8 end, those of stride 16, None): YOLOv3's three stages of a Darknet's features."""
    return (*ends_of_strides(layers)[3:5], None)

"""What each SSD is made of: GluonCV's networks as its model zoo has them, and a small one on darknet-mini."""
from __future__ import annotations

from typing import Any, NamedTuple

from gluon_bof.backend import gluon
from gluon_bof.models.darknet import darknet_mini, stage_ends

from gluoncv.model_zoo.ssd.resnet_v1b_ssd import resnet34_v1b_ssd
from gluoncv.model_zoo.ssd.vgg_atrous import vgg16_atrous_300, vgg16_atrous_512

FEW, MANY = (1, 2, 0.5), (1, 2, 0.5, 3, 1 / 3)  # widths over heights of a cell's anchors
VOC_SIZES_300, SIZES_300 = (30, 60, 111, 162, 213, 264, 315), (21, 45, 99, 153, 207, 261, 315)
SIZES_512 = (51.2, 102.4, 189.4, 276.4, 363.52, 450.6, 492)
COCO_SIZES_512 = (51.2, 133.12, 215.04, 296.96, 378.88, 460.8, 542.72)
STEPS_300, STEPS_512 = (8, 16, 32, 64, 100, 300), (16, 32, 64, 128, 256, 512)
FILTERS = (512, 512, 256, 256)

MINI_STEPS = (8, 16, 32, 64)
MINI_SIZES = (0.14, 0.28, 0.5, 0.75, 1.0)  # of the image's side
MINI_CHANNELS = (64, 128)  # of the two convolutions of the level that is added


class Structure(NamedTuple):
    """features: builder of a network that returns the levels, finest first, or names of a classifier's layers; filters: channels
    of levels that are added to those; sizes: of anchors in pixels, one more than levels; voc_sizes: those of networks for Pascal
    VOC; ratios: of a level's anchors; steps: pixels a cell; stem: regular expression of a classifier's parameters up to a quarter
    of the image's sides; cells: a side of the largest finest level."""

    features: Any
    filters: tuple
    sizes: tuple
    voc_sizes: tuple
    ratios: tuple
    steps: tuple
    stem: str
    cells: int = 128

    def for_set(self, dataset: str) -> tuple:
        """The sizes of anchors: GluonCV has those of VOC, and others for COCO and everything else."""
        return self.voc_sizes if dataset == "voc" else self.sizes


def _ratios(levels):
    return (FEW, *[MANY] * (levels - 3), FEW, FEW)


def _on_layers(layers, sizes, voc_sizes, stem, filters=FILTERS, steps=STEPS_512):
    return Structure(layers, filters, sizes, voc_sizes, _ratios(6), steps, stem)


VGG_512_SIZES = (51.2, 76.8, 153.6, 230.4, 307.2, 384.0, 460.8, 537.6)
VGG_STEM, MOBILENET_STEM, RESNET_V1_STEM = r"stages\.[012]\.", r"features\.(1?\d|20)\.", r"features\.[014]\."
STRUCTURES = {
    ("vgg16_atrous", 300): Structure(vgg16_atrous_300, (), SIZES_300, VOC_SIZES_300, _ratios(6), STEPS_300, VGG_STEM),
    ("vgg16_atrous", 512): Structure(vgg16_atrous_512, (), VGG_512_SIZES, VGG_512_SIZES, _ratios(7),
                                     (8, 16, 32, 64, 128, 256, 512), VGG_STEM),
    ("resnet18_v1", 512): _on_layers(("stage3_activation1", "stage4_activation1"), SIZES_512, SIZES_512, RESNET_V1_STEM),
    ("resnet50_v1", 512): _on_layers(("stage3_activation5", "stage4_activation2"), COCO_SIZES_512, SIZES_512, RESNET_V1_STEM),
    ("resnet101_v2", 512): _on_layers(("stage3_activation22", "stage4_activation2"), SIZES_512, SIZES_512,
                                      r"features\.[0125]\."),
    ("resnet34_v1b", 300): Structure(resnet34_v1b_ssd, (), SIZES_300, SIZES_300, _ratios(6), STEPS_300,
                                     r"(conv1|bn1|layer1)\."),
    ("mobilenet1.0", 512): _on_layers(("relu22_fwd", "relu26_fwd"), SIZES_512, SIZES_512, MOBILENET_STEM),
    ("mobilenet0.25", 300): _on_layers(("relu22_fwd", "relu26_fwd"), SIZES_300, SIZES_300, MOBILENET_STEM,
                                       (256, 256, 128, 128), STEPS_300),
}


def structure_of(network: str, base_shape: int) -> Structure:
    """The Structure of a network for images of this side in pixels; darknet-mini's anchors grow with it. Raises KeyError."""
    if network != "darknet-mini":
        return STRUCTURES[network, base_shape]
    sizes = tuple(share * base_shape for share in MINI_SIZES)
    return Structure(mini_features, (), sizes, sizes, (MANY,) * len(MINI_STEPS), MINI_STEPS, r"features\.[0-4]\.", 64)


class MiniFeatures(gluon.HybridBlock):
    """darknet-mini's features of strides 8, 16 and 32, and of 64: (B, 3, H, W) -> four levels, finest first."""

    def __init__(self, norm_layer, norm_kwargs, **keywords):
        super().__init__(**keywords)
        ends = (0, *stage_ends())
        with self.name_scope():
            layers = darknet_mini(norm_layer=norm_layer, norm_kwargs=norm_kwargs).features
            self.stages, self.extra = gluon.nn.HybridSequential(), gluon.nn.HybridSequential()
            for begin, end in zip(ends, ends[1:]):
                self.stages.add(layers[begin:end])
            for channels, kernel in zip(MINI_CHANNELS, (1, 3)):
                self.extra.add(gluon.nn.Conv2D(channels, kernel, strides=1 + kernel // 3, padding=kernel // 2, use_bias=False),
                               norm_layer(epsilon=1e-5, momentum=0.9, **norm_kwargs), gluon.nn.LeakyReLU(0.1))

    def hybrid_forward(self, F, x):
        levels = []
        for stage in (*self.stages, self.extra):
            x = stage(x)
            levels.append(x)
        return levels


def mini_features(norm_layer: type = gluon.nn.BatchNorm, norm_kwargs: dict | None = None, **_: Any) -> MiniFeatures:
    """MiniFeatures, as GluonCV's SSD asks for it."""
    return MiniFeatures(norm_layer, norm_kwargs or {})

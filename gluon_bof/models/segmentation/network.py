"""Networks that give every pixel a class: GluonCV's FCN on ResNets, the paper's FCN-32s, 16s and 8s, and U-Net.

Each maps normalised images (B, 3, H, W) to logits (B, K, H, W), or to a tuple that begins with them (a second head's follow).
Fully Convolutional Networks: Long, Shelhamer and Darrell 2015. U-Net: Ronneberger, Fischer and Brox 2015."""
from __future__ import annotations

from typing import Any, Sequence

from gluon_bof.backend import gluon, mx
from gluon_bof.models.backbone import OnBackbone
from gluon_bof.models.beside import beside
from gluon_bof.models.darknet import MINI_CHANNELS, darknet_mini, ends_of_strides
from gluon_bof.models.heads import Rows
from gluon_bof.models.segmentation.upsampling import MaxPooling, upsampling_layer
from gluon_bof.models.unblocked import unblock

from gluoncv.model_zoo.fcn import FCN

EACH_CLASS = Rows(1, 0, 1)
NORM = (gluon.nn.BatchNorm, {})
VGG_LAYERS, VGG_FILTERS, VGG_UNITS = (2, 2, 3, 3, 3), (64, 128, 256, 512, 512), 4096
VGG_WINDOW = 7  # cells of stride 32 that the first dense layer sees
PLAIN_CHANNELS = (16, 32, 64, 128, 128)  # of U-Net's own backbone, from stride 1 to 16


class Segmenting(OnBackbone):
    """What every network here has beside its forward pass."""

    classes: tuple = ()
    STEM: tuple = ()  # beginnings of the names of parameters that see the image at a quarter of its sides or finer

    def stem_parameters(self) -> list[gluon.Parameter]:
        """Parameters of the first layers, up to a quarter of the image's sides."""
        return [parameter for name, parameter in self.backbone_parameters().items() if name.startswith(self.STEM)]


class ResNetFCN(Segmenting, FCN):
    """GluonCV's FCN of stride 8, under its names; logits at crop_size, whatever the image's size, and with `aux` a tuple."""

    HEAD_ROWS = ((r"(head|auxlayer)\.block\.4\.(weight|bias)", EACH_CLASS),)
    STEM = ("conv1.", "bn1.", "layer1.")

    def __init__(self, classes: Sequence[str], backbone: str, crop_size: int, aux: bool = False, norm: tuple = NORM):
        super().__init__(len(classes), backbone, aux, pretrained_base=False, crop_size=crop_size, norm_layer=norm[0],
                         norm_kwargs=norm[1])
        self.classes = tuple(classes)
        for head in [self.head, self.auxlayer] if aux else [self.head]:
            unblock(head.block[-1])

    def backbone_parameters(self) -> dict[str, gluon.Parameter]:
        """{name in the file of a classifier on this backbone: Parameter}."""
        return {name: parameter for name, parameter in self._collect_params_with_prefix().items()
                if not name.startswith(("head.", "auxlayer."))}


class ConvolvedDense(gluon.HybridBlock):
    """A dense layer with ReLU over every window of side x side cells, which is a convolution; its weights are those of the dense
    layer, (units, channels * side * side). (B, C, h, w) -> (B, units, h, w)."""

    def __init__(self, units: int, channels: int, side: int, **kwargs: Any):
        super().__init__(**kwargs)
        self._shape = (units, channels, side, side)
        self.weight = self.params.get("weight", shape=(units, channels * side * side), init=mx.init.Xavier())
        self.bias = self.params.get("bias", shape=(units,), init="zeros")

    def hybrid_forward(self, F, x, weight, bias):
        units, _, side, _ = self._shape
        return F.relu(F.Convolution(x, F.reshape(weight, self._shape), bias, kernel=(side, side), pad=(side // 2,) * 2,
                                    num_filter=units))


def vgg_features(layers: Sequence[int] = VGG_LAYERS, filters: Sequence[int] = VGG_FILTERS,
                 units: int = VGG_UNITS) -> tuple[gluon.nn.HybridSequential, list[int], tuple[int, ...]]:
    """(VGG's features under a classifier's names, its dense layers as convolutions; where the features of stride 8, 16 and 32
    end; their channels). Unlike the paper's, images have no margin of 100 pixels, for every layer keeps its sides."""
    features, ends, channels = gluon.nn.HybridSequential(prefix="vgg_"), [], 3
    with features.name_scope():
        for depth, width in zip(layers, filters):
            for _ in range(depth):
                start = mx.init.Xavier(rnd_type="gaussian", factor_type="out", magnitude=2)
                features.add(gluon.nn.Conv2D(width, 3, padding=1, in_channels=channels, weight_initializer=start))
                features.add(gluon.nn.Activation("relu"))
                channels = width
            features.add(gluon.nn.MaxPool2D(2, 2))
            ends.append(len(features))
        for window in (VGG_WINDOW, 1):
            features.add(ConvolvedDense(units, channels, window))
            features.add(gluon.nn.Dropout(0.5))
            channels = units
    return features, [*ends[2:4], len(features)], (*filters[2:4], units)


def darknet_features(norm: tuple = NORM, finest: int = 3) -> tuple[gluon.nn.HybridSequential, list[int], tuple[int, ...]]:
    """The same of darknet-mini: where the features of stride 2 ** finest to 32 end, and their channels."""
    features = darknet_mini(norm_layer=norm[0], norm_kwargs=norm[1]).features
    return features, list(ends_of_strides()[finest:]), MINI_CHANNELS[finest:]


class OnFeatures(Segmenting, gluon.HybridBlock):
    """A network on `features`, a sequence whose outputs at `ends` are looked at."""

    def __init__(self, classes: Sequence[str], features: gluon.nn.HybridSequential, ends: Sequence[int], **kwargs: Any):
        super().__init__(**kwargs)
        self.classes = tuple(classes)
        self._ends = tuple(ends)
        self.features = features

    def seen(self, x: Any) -> list:
        """The features where `ends` says, from the finest to the coarsest."""
        found = []
        for number, layer in enumerate(self.features._children.values(), 1):
            x = layer(x)
            if number in self._ends:
                found.append(x)
        return found

    def backbone_parameters(self) -> dict[str, gluon.Parameter]:
        """{name in the file of a classifier on this backbone: Parameter}."""
        return {f"features.{name}": parameter for name, parameter in self.features._collect_params_with_prefix().items()}


class PaperFCN(OnFeatures):
    """FCN-32s, 16s or 8s: classes are scored at stride 32, and with a finer `stride` at 16 and 8 too, from scores that begin at
    0; coarser ones are upsampled by 2 and added, and the sum is upsampled to the image (section 4.2)."""

    HEAD_ROWS = ((r"(scores|ups)\.\d+\.(weight|bias)", EACH_CLASS),)

    def __init__(self, classes: Sequence[str], features: gluon.nn.HybridSequential, ends: Sequence[int], channels: Sequence[int],
                 stride: int, upsampling: str, stem: Sequence[str] = (), **kwargs: Any):
        super().__init__(classes, features, ends, **kwargs)
        self.STEM = tuple(stem)
        self._used = {32: 1, 16: 2, 8: 3}[stride]
        with self.name_scope():
            self.scores, self.ups = gluon.nn.HybridSequential(), gluon.nn.HybridSequential()
            for number, width in enumerate(list(channels)[::-1][:self._used]):
                start = mx.init.Xavier() if number == 0 else mx.init.Zero()
                self.scores.add(unblock(gluon.nn.Conv2D(len(classes), 1, in_channels=width, weight_initializer=start)))
                factor = stride if number == self._used - 1 else 2
                self.ups.add(upsampling_layer(upsampling, len(classes), factor, len(classes)))

    def hybrid_forward(self, F, x):
        found = self.seen(x)[::-1][:self._used]
        layers = zip(found, self.scores._children.values(), self.ups._children.values())
        sums = None
        for features, score, up in layers:
            sums = up(score(features) if sums is None else sums + score(features))
        return sums


def convolution(channels: int, side: int, norm: tuple = NORM) -> gluon.nn.HybridSequential:
    """Convolution, normalisation and ReLU, which keep the sides."""
    block = gluon.nn.HybridSequential()
    with block.name_scope():
        block.add(gluon.nn.Conv2D(channels, side, padding=side // 2, use_bias=False,
                                  weight_initializer=mx.init.MSRAPrelu("in", 0)))
        block.add(norm[0](**norm[1]))
        block.add(gluon.nn.Activation("relu"))
    return block


def two_convolutions(channels: int, norm: tuple = NORM) -> gluon.nn.HybridSequential:
    """U-Net's step: 3 x 3 twice."""
    block = gluon.nn.HybridSequential()
    with block.name_scope():
        block.add(convolution(channels, 3, norm), convolution(channels, 3, norm))
    return block


class Ascent(gluon.HybridBlock):
    """U-Net's way back by one level: (coarse (B, C, h, w), fine (B, c, 2h, 2w), places of the pooling between them) -> (B, c, 2h,
    2w). The coarse features are narrowed to c channels, upsampled, laid beside the fine ones, and convolved twice."""

    def __init__(self, channels: int, upsampling: str, norm: tuple = NORM, **kwargs: Any):
        super().__init__(**kwargs)
        self._unpools = upsampling == "max-unpooling"
        with self.name_scope():
            self.narrow = convolution(channels, 1, norm)
            unblock(self.narrow[0])
            self.up = upsampling_layer(upsampling, channels)
            self.join = two_convolutions(channels, norm)

    def hybrid_forward(self, F, coarse, fine, places):
        narrow = self.narrow(coarse)
        raised = self.up(narrow, places) if self._unpools else self.up(narrow)
        return self.join(beside(F, raised, fine))


class PlainDescent(gluon.HybridBlock):
    """U-Net's own backbone: two convolutions a level, and max pooling between levels. (B, 3, H, W) -> features of every level,
    then the places of every pooling's maxima, where they are asked for."""

    def __init__(self, channels: Sequence[int], with_places: bool, norm: tuple = NORM, **kwargs: Any):
        super().__init__(**kwargs)
        self._with_places = with_places
        with self.name_scope():
            self.levels = gluon.nn.HybridSequential()
            for width in channels:
                self.levels.add(two_convolutions(width, norm))
            self.pool = MaxPooling() if with_places else gluon.nn.MaxPool2D(2, 2)

    def hybrid_forward(self, F, x):
        levels, places = [], []
        for number, level in enumerate(self.levels._children.values()):
            if number and self._with_places:
                x, place = self.pool(x)
                places.append(place)
            elif number:
                x = self.pool(x)
            x = level(x)
            levels.append(x)
        return [*levels, *places]


class UNet(OnFeatures):
    """U-Net on the features of every level from the image's own size on. features: of a pretrained backbone, whose outputs at
    `ends` have these channels, from fine to coarse; or a PlainDescent, without ends."""

    HEAD_ROWS = ((r"score\.(weight|bias)", EACH_CLASS),)

    def __init__(self, classes: Sequence[str], features: gluon.HybridBlock, ends: Sequence[int], channels: Sequence[int],
                 upsampling: str, norm: tuple = NORM, stem: Sequence[str] = (), **kwargs: Any):
        super().__init__(classes, features, ends, **kwargs)
        self.STEM = tuple(stem)
        self._levels = len(channels)
        with self.name_scope():
            self.ascents = gluon.nn.HybridSequential()
            for width in list(channels)[-2::-1]:
                self.ascents.add(Ascent(width, upsampling, norm))
            self.score = unblock(gluon.nn.Conv2D(len(classes), 1, in_channels=channels[0],
                                                 weight_initializer=mx.init.Xavier()))

    def hybrid_forward(self, F, x):
        found = self.seen(x) if self._ends else list(self.features(x))
        levels, places = found[:self._levels], found[self._levels:] or [None] * (self._levels - 1)
        x = levels[-1]
        for ascent, fine, place in zip(self.ascents._children.values(), levels[-2::-1], places[::-1]):
            x = ascent(x, fine, fine if place is None else place)
        return self.score(x)

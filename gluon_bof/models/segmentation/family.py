"""What the package asks of segmentation as a family; see models.build."""
from __future__ import annotations

from functools import lru_cache
from typing import Any, Iterator, Mapping, Sequence

from gluon_bof.backend import gluon
from gluon_bof.data.transforms import square
from gluon_bof.freebies.augmentation import View
from gluon_bof.freebies.label_maps import fitted_view
from gluon_bof.freebies.sync_batch_norm import norm_layer
from gluon_bof.models.build import ExportForm, parameters_beside, with_inferred_shapes
from gluon_bof.models.heads import classes_by_rows
from gluon_bof.models.preprocess import Normalise
from gluon_bof.models.segmentation.network import (
    PLAIN_CHANNELS,
    PaperFCN,
    PlainDescent,
    ResNetFCN,
    UNet,
    darknet_features,
    vgg_features,
)
from gluon_bof.options.segmentation import MODELS, STRIDE, ZOO_NAMES, SegmentationOptions

MAX_SIDE = 4096  # pixels, of an exported network
# beginnings of the names of the layers up to a quarter of the image's sides
STEMS = {"vgg16": tuple(f"features.{number}." for number in range(10)), "plain": tuple(f"features.levels.{n}." for n in range(3)),
         "darknet-mini": tuple(f"features.{number}." for number in range(5))}


def build(options: SegmentationOptions, classes: Sequence[str], devices: Sequence[Any]) -> gluon.HybridBlock:
    """The network of these options for these class names, not yet initialised."""
    norm = norm_layer(options.synchronises_batchnorm(), devices)
    if options.model == "fcn":
        return ResNetFCN(classes, options.backbone, options.crop_size, options.aux, norm)
    if options.model == "unet":
        return _unet(options.backbone, classes, options.upsampling, norm)
    features = vgg_features() if options.backbone == "vgg16" else darknet_features(norm)
    stride = int(options.model[len("fcn"):-1])
    return PaperFCN(classes, *features, stride, options.upsampling, STEMS[options.backbone])


def _unet(backbone, classes, upsampling, norm):
    if backbone == "darknet-mini":
        features = darknet_features(norm, finest=0)
    else:
        features = PlainDescent(PLAIN_CHANNELS, upsampling == "max-unpooling", norm), (), PLAIN_CHANNELS
    return UNet(classes, *features, upsampling, norm, STEMS[backbone])


class FittedView:
    """How validation and prediction see an image, shape (H, W, …) -> View: its long side fills a square of `size` pixels, the
    rest of which lies right of it or below. fit: what the network sees is a square."""

    fit = staticmethod(square)

    def __init__(self, size: int):
        self.size = size

    def __call__(self, shape: Sequence[int]) -> View:
        return fitted_view(shape, self.size)

    def largest_shapes(self) -> list[tuple[int, int]]:
        """[(H, W)] of the largest images that it makes: of all."""
        return [(self.size, self.size)]


def eval_transform(options: SegmentationOptions) -> FittedView:
    """Validation's images are fitted into squares of --crop-size."""
    return FittedView(options.crop_size)


def inference_batch(options: SegmentationOptions) -> int:
    """Images a batch in inference: --test-batch-size."""
    return options.test_batch_size


class ScoreGraph(gluon.HybridBlock):
    """(images (B, H, W, 3) uint8) -> the probability of each class at each pixel, (B, K, H, W)."""

    def __init__(self, network: gluon.HybridBlock, **kwargs: Any):
        super().__init__(**kwargs)
        self.normalise = Normalise()
        self.network = network

    def hybrid_forward(self, F, images):
        outputs = self.network(self.normalise(images))
        return F.softmax(F.cast(outputs[0] if isinstance(outputs, (list, tuple)) else outputs, "float32"), axis=1)


def _scores(network, data):
    return [ScoreGraph(network)(data)], ["scores"]


def export_form(options: SegmentationOptions) -> ExportForm:
    """Multiples of the coarsest stride, one image or more."""
    return ExportForm(MAX_SIDE, 8 if options.model == "fcn" else STRIDE, True, _scores,
                      {"scores": "of each class at each pixel, in 0..1, (images, classes, height, width)"})


def matches(shapes: Mapping[str, tuple]) -> Iterator[tuple[str, int, dict]]:
    """(name, number of classes, {name: Parameter}) of the networks that have weights of these shapes, perhaps."""
    for options in _all_options():
        kind = {"fcn": ResNetFCN, "unet": UNet}.get(options.model, PaperFCN)
        classes = classes_by_rows(shapes, kind.HEAD_ROWS)
        if classes and _looks_like(options, shapes):
            network = build(options, [str(number) for number in range(classes)], [None])
            yield f"{options.model}_{options.backbone}", classes, parameters_beside(network, shapes)


def _all_options():
    for model, names in MODELS.items():
        for backbone in names:
            for aux in (False, True) if model == "fcn" else (False,):
                for upsampling in ("bilinear",) if model == "fcn" else ("nearest", "transposed"):
                    yield SegmentationOptions(model=model, backbone=backbone, aux=aux, upsampling=upsampling, crop_size=64)


def _looks_like(options, shapes):
    """Whether names alone do not tell that the weights are of another network: building one of a VGG's size takes a while."""
    has_aux = "auxlayer.block.4.bias" in shapes
    marks = {"fcn": "head.block.4.bias", "unet": "score.bias"}.get(options.model, "scores.0.bias")
    backbone = {"vgg16": "features.31.weight", "plain": "features.levels.0.0.0.weight"}.get(options.backbone)
    return marks in shapes and options.aux == has_aux and (backbone is None or backbone in shapes)


@lru_cache(maxsize=None)
def backbones() -> list[tuple[str, dict]]:
    """[(name, {name in a classifier's file: Parameter})] of the backbones that no detector has."""
    found = []
    for backbone in ("resnet50", "resnet101"):
        options = SegmentationOptions(model="fcn", backbone=backbone, upsampling="bilinear", crop_size=64)
        network = with_inferred_shapes(build(options, ("background", "object"), [None]))
        found.append((ZOO_NAMES[backbone], network.backbone_parameters()))
    return found

"""GluonCV's YOLOv3 networks, with raw predictions for our own targets and loss while they train."""
from __future__ import annotations

import math
from typing import Any, Iterable, Sequence

from gluon_bof.backend import autograd, gluon, mx
from gluon_bof.data.anchors import DEFAULT as ANCHORS
from gluon_bof.data.anchors import STRIDES
from gluon_bof.errors import UserError
from gluon_bof.models.backbone import OnBackbone, laid_end_to_end
from gluon_bof.models.beside import beside
from gluon_bof.models.blocks import blocks_of
from gluon_bof.models.classifier import BUILDERS
from gluon_bof.models.darknet import stage_ends
from gluon_bof.models.heads import Rows
from gluon_bof.models.suppression import detections
from gluon_bof.models.unblocked import unblock

from gluoncv.model_zoo.yolo.yolo3 import YOLOV3, YOLOOutputV3

STEM_HALVINGS = 2  # the stem ends where features have a quarter of the image's sides, as ResNets' first stage does
# name: (features' builder, where the stages end, channels of the three heads)
NETWORKS = {
    "darknet53": (BUILDERS["darknet53"], (15, 24, None), (512, 256, 128)),
    "mobilenet1.0": (BUILDERS["mobilenet1.0"], (33, 69, -2), (512, 256, 128)),
    "mobilenet0.25": (BUILDERS["mobilenet0.25"], (33, 69, -2), (256, 128, 128)),
    # not GluonCV's: a quarter of its parameters, for small sets on CPUs and for the weights that the package brings along
    "mobilenet0.25-slim": (BUILDERS["mobilenet0.25"], (33, 69, -2), (128, 64, 64)),
    "darknet-mini": (BUILDERS["darknet-mini"], stage_ends(), (64, 64, 32)),
}


class Candidates(YOLOOutputV3):
    """Head features (B, C, H, W) -> boxes (B, H * W * 3, 4) in pixels and their scores of each class (B, H * W * 3, K)."""

    def hybrid_forward(self, F, x, anchors, offsets):
        raw = F.reshape(self.prediction(x), (0, self._num_anchors * self._num_pred, -1))
        raw = F.reshape(F.transpose(raw, axes=(0, 2, 1)), (0, -1, self._num_anchors, self._num_pred))
        centre, side, objectness, classes = (F.slice_axis(raw, axis=3, begin=begin, end=end)
                                             for begin, end in ((0, 2), (2, 4), (4, 5), (5, None)))
        offsets = F.reshape(F.slice_like(offsets, x, axes=(2, 3)), (1, -1, 1, 2))
        centre = F.broadcast_add(F.sigmoid(centre), offsets) * self._stride
        half = F.broadcast_mul(F.exp(side), anchors) / 2
        boxes = F.concat(centre - half, centre + half, dim=3)
        scores = F.broadcast_mul(F.sigmoid(classes), F.sigmoid(objectness))
        return F.reshape(boxes, (0, -3, 0)), F.reshape(scores, (0, -3, 0))


class YOLOv3(OnBackbone, YOLOV3):
    """GluonCV's network and parameter names. In training mode it returns raw predictions (B, N, 5 + classes):
    centre x, y, scale x, y, objectness and class logits, coarsest feature map first; else detections."""

    # of three anchors box and objectness, then classes
    HEAD_ROWS = ((r"yolo_outputs\.\d+\.prediction\.(weight|bias)", Rows(3, 5, 1)),)

    def __init__(self, *arguments, **keywords):
        super().__init__(*arguments, **keywords)
        for output in self.yolo_outputs:
            output.__class__ = Candidates  # the same layer and constants; GluonCV's constructor makes no other
            unblock(output.prediction)

    def hybrid_forward(self, F, x):
        tips = self._tips(F, x)
        if autograd.is_training():
            raw = [F.reshape(output.prediction(tip), (0, len(ANCHORS[0]) // 2, 5 + len(self.classes), -1))
                   for output, tip in zip(self.yolo_outputs, tips)]
            return F.concat(*[F.reshape(F.transpose(level, axes=(0, 3, 1, 2)), (0, -3, 0)) for level in raw], dim=1)
        return detections(F, *self._candidates(F, tips), self)

    def candidates(self, F: Any, x: Any) -> tuple[Any, Any]:
        """Boxes (B, N, 4) in pixels and scores (B, N, K) of all predictions for x (B, 3, H, W), before any is suppressed."""
        return self._candidates(F, self._tips(F, x))

    def _candidates(self, F, tips):
        found = [output(tip) for output, tip in zip(self.yolo_outputs, tips)]
        return tuple(F.concat(*parts, dim=1) for parts in zip(*found))

    def _tips(self, F, x):
        """What the three heads predict from, coarsest first."""
        routes, tips = [], []
        for stage in self.stages:
            x = stage(x)
            routes.append(x)
        for level, block in enumerate(self.yolo_blocks):
            x, tip = block(x)
            tips.append(tip)
            if level + 1 < len(routes):
                finer = routes[-2 - level]
                x = _doubled(F, self.transitions[level](x))
                x = beside(F, F.slice_like(x, finer, axes=(2, 3)), finer)
        return tips

    def backbone_parameters(self) -> dict[str, gluon.Parameter]:
        """{name in the file of a classifier on this backbone: Parameter}: its layers are the stages laid end to end."""
        return laid_end_to_end(self.stages)

    def stem_parameters(self) -> list[gluon.Parameter]:
        """[Parameter] of the first layers, up to a quarter of the image's sides."""
        begins = tuple(f"features.{place}." for place in range(_stem_length(self.stages[0])))
        return [parameter for name, parameter in self.backbone_parameters().items() if name.startswith(begins)]


def _stem_length(stage):
    """Layers of a network's first stage before the one that makes its features smaller than a quarter."""
    halvings = 0
    for place, layer in enumerate(stage):
        halvings += sum(block._kwargs["stride"] == (2, 2) for block in blocks_of(layer)
                        if isinstance(block, gluon.nn.Conv2D))
        if halvings > STEM_HALVINGS:
            return place
    return len(stage)


def _doubled(F, x):
    """(B, C, 2 H, 2 W): every cell four times. A quarter of the time of two `repeat`s, with the same bits in its gradient,
    which `UpSampling` adds up in another order."""
    wider = F.expand_dims(x, axis=4)
    wider = F.reshape(F.concat(wider, wider, dim=4), (0, 0, 0, -3))
    higher = F.expand_dims(wider, axis=3)
    return F.reshape(F.concat(higher, higher, dim=3), (0, 0, -3, 0))


def build_yolo3(name: str, classes: Iterable[str], norm: tuple[type, dict[str, Any]] | None = None,
                anchors: Sequence[Sequence[float]] = ANCHORS) -> YOLOv3:
    """YOLOv3 on a named backbone for these class names, not yet initialised.

    norm: (layer class, arguments), BatchNorm by default. Raises UserError for an unknown name."""
    if name not in NETWORKS:
        raise UserError(f"unknown network {name!r}", remedy=f"choose one of {', '.join(NETWORKS)}")
    builder, ends, channels = NETWORKS[name]
    layer, arguments = norm or (gluon.nn.BatchNorm, {})
    base = builder(pretrained=False, norm_layer=layer, norm_kwargs=arguments)
    features = base.features
    stages = [features[:ends[0]], features[ends[0]:ends[1]], features[ends[1]:ends[2]]]
    return YOLOv3(stages, channels, anchors, STRIDES, list(classes), norm_layer=layer, norm_kwargs=arguments)


def initialise_near_identity(network: gluon.HybridBlock, shift: float = 1.5, centre: float = 0.42) -> None:
    """Let an initialised network without a pretrained base begin as almost a linear one, for short training.

    With batch normalisation and ReLU in every one of some 40 layers without shortcuts, gradients of different batches
    start out unrelated to each other (measured: cosine 0.00 in the backbone). A shift of every normalisation lets
    ReLU pass most values, and a strong centre tap lets depthwise convolutions pass their input."""
    for name, parameter in network.collect_params().items():
        if name.endswith("beta"):
            parameter.set_data(mx.nd.full(parameter.shape, shift))
        elif name.endswith("weight") and parameter.shape[1:] == (1, 3, 3):
            weight = parameter.data(parameter.list_ctx()[0]).asnumpy()
            weight[:, 0, 1, 1] += centre
            parameter.set_data(mx.nd.array(weight))


def set_objectness_prior(network: YOLOv3, probability: float) -> None:
    """Let every prediction of an initialised network start out this sure, in (0, 1), that it holds an object."""
    for output in network.yolo_outputs:
        bias = output.prediction.bias
        values = bias.data(bias.list_ctx()[0]).reshape((-1, 5 + len(network.classes)))
        values[:, 4] = math.log(probability / (1 - probability))
        bias.set_data(values.reshape((-1,)))

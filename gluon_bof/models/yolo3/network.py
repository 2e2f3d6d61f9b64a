"""GluonCV's YOLOv3 networks, with raw predictions for our own targets and loss while they train."""
from __future__ import annotations

import math

from gluon_bof.backend import autograd, gluon, mx
from gluon_bof.errors import UserError

from gluoncv.model_zoo.mobilenet import get_mobilenet
from gluoncv.model_zoo.yolo.darknet import darknet53
from gluoncv.model_zoo.yolo.yolo3 import YOLOV3

ANCHORS = ((10, 13, 16, 30, 33, 23), (30, 61, 62, 45, 59, 119), (116, 90, 156, 198, 373, 326))
STRIDES = (8, 16, 32)
# name: (features' builder, where the stages end, channels of the three heads)
NETWORKS = {
    "darknet53": (darknet53, (15, 24, None), (512, 256, 128)),
    "mobilenet1.0": (lambda **options: get_mobilenet(multiplier=1, **options), (33, 69, -2), (512, 256, 128)),
    "mobilenet0.25": (lambda **options: get_mobilenet(multiplier=0.25, **options), (33, 69, -2), (256, 128, 128)),
}


class YOLOv3(YOLOV3):
    """GluonCV's network and parameter names. In training mode it returns raw predictions (B, N, 5 + classes):
    centre x, y, scale x, y, objectness and class logits, coarsest feature map first; else detections."""

    def hybrid_forward(self, F, x):
        if not autograd.is_training():
            return super().hybrid_forward(F, x)
        routes = []
        for stage in self.stages:
            x = stage(x)
            routes.append(x)
        predictions = []
        for level, (block, output) in enumerate(zip(self.yolo_blocks, self.yolo_outputs)):
            x, tip = block(x)
            raw = F.reshape(output.prediction(tip), (0, len(ANCHORS[0]) // 2, 5 + len(self.classes), -1))
            predictions.append(F.reshape(F.transpose(raw, axes=(0, 3, 1, 2)), (0, -3, 0)))
            if level + 1 < len(routes):
                finer = routes[-2 - level]
                x = self.transitions[level](x).repeat(axis=-1, repeats=2).repeat(axis=-2, repeats=2)
                x = F.concat(F.slice_like(x, finer, axes=(2, 3)), finer, dim=1)
        return F.concat(*predictions, dim=1)

    def backbone_parameters(self):
        """{name in the file of a classifier on this backbone: Parameter}: its layers are the stages laid end to end."""
        found, first = {}, 0
        for stage in self.stages:
            for name, parameter in stage._collect_params_with_prefix().items():
                layer, rest = name.split(".", 1)
                found[f"features.{first + int(layer)}.{rest}"] = parameter
            first += len(stage)
        return found


def build_yolo3(name, classes, pretrained_base=False, norm=None, anchors=ANCHORS):
    """YOLOv3 on a named backbone for these class names, not yet initialised (but for a pretrained base).

    norm: (layer class, arguments), BatchNorm by default. Raises UserError for an unknown name or unreachable base."""
    if name not in NETWORKS:
        raise UserError(f"unknown network {name!r}", remedy=f"choose one of {', '.join(NETWORKS)}")
    builder, ends, channels = NETWORKS[name]
    layer, arguments = norm or (gluon.nn.BatchNorm, {})
    try:
        base = builder(pretrained=pretrained_base, norm_layer=layer, norm_kwargs=arguments)
    except (OSError, RuntimeError, mx.base.MXNetError) as error:
        if not pretrained_base:
            raise
        raise UserError(f"the pretrained {name} could not be had ({' '.join(str(error).split())[:120]})",
                        remedy="start with --pretrained-base no, or give a file: --pretrained-base FILE.params") from None
    features = base.features
    stages = [features[:ends[0]], features[ends[0]:ends[1]], features[ends[1]:ends[2]]]
    return YOLOv3(stages, channels, anchors, STRIDES, list(classes), norm_layer=layer, norm_kwargs=arguments)


def start_near_identity(network, shift=1.5, centre=0.42):
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


def set_objectness_prior(network, probability):
    """Let every prediction of an initialised network start out this sure, in (0, 1), that it holds an object."""
    for output in network.yolo_outputs:
        bias = output.prediction.bias
        values = bias.data(bias.list_ctx()[0]).reshape((-1, 5 + len(network.classes)))
        values[:, 4] = math.log(probability / (1 - probability))
        bias.set_data(values.reshape((-1,)))

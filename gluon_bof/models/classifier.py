"""Backbones as classifiers, to be pre-trained (paper, Tables 5 and 6), with mixed and smoothed labels."""
from __future__ import annotations

from typing import Any, Sequence

from gluon_bof.backend import gluon, mx
from gluon_bof.freebies.label_smoothing import equation_3
from gluon_bof.models.darknet import darknet_mini
from gluon_bof.models.preprocess import Normalise

from gluoncv.model_zoo import resnetv1b
from gluoncv.model_zoo.mobilenet import get_mobilenet
from gluoncv.model_zoo.yolo.darknet import darknet53

BUILDERS = {
    "darknet53": darknet53,
    "resnet101_v1d": resnetv1b.resnet101_v1d,
    "resnet50_v1b": resnetv1b.resnet50_v1b,
    "resnet18_v1b": resnetv1b.resnet18_v1b,
    "mobilenet1.0": lambda **options: get_mobilenet(multiplier=1, **options),
    "mobilenet0.25": lambda **options: get_mobilenet(multiplier=0.25, **options),
    "darknet-mini": darknet_mini,
}


def build_classifier(name: str, class_count: int, devices: Sequence[mx.Context], size: int,
                     last_gamma: bool = False) -> gluon.HybridBlock:
    """GluonCV's initialised classifier of that name, on its devices; images are (B, 3, size, size).

    last_gamma: every block starts as the identity, in ResNets of 50 layers and more (GluonCV's smaller ones do not
    heed it). Its file of weights is a detector's --pretrained-base."""
    extra = {"last_gamma": last_gamma} if name.startswith("resnet") else {}
    network = BUILDERS[name](classes=class_count, **extra)
    network.initialize(mx.init.MSRAPrelu(), ctx=devices)
    for device in devices:
        network(mx.nd.zeros((1, 3, size, size), ctx=device))
    mx.nd.waitall()
    return network


class TrainingGraph(gluon.HybridBlock):
    """(images (B, H, W, 3) uint8, labels (B, 3): class, partner's class, weight of the first) -> [cross-entropy (B,)] with
    the mixed labels, smoothed by Eq. 3."""

    def __init__(self, network, class_count, epsilon, **kwargs):
        super().__init__(**kwargs)
        self.normalise = Normalise()
        self.network = network
        self._class_count = class_count
        self._epsilon = epsilon

    def hybrid_forward(self, F, images, labels):
        logits = F.cast(self.network(self.normalise(images)), "float32")
        return [mixed_cross_entropy(F, logits, labels, self._class_count, self._epsilon)]


def mixed_cross_entropy(F: Any, logits: Any, labels: Any, class_count: int, epsilon: float) -> Any:
    """(B,) cross-entropy of logits (B, K) with labels whose first columns are class, partner's class, weight of the first;
    smoothed by Eq. 3. F: mx.nd or mx.sym."""
    smoothing = equation_3(epsilon, class_count)
    first, second = (F.one_hot(F.squeeze(F.slice_axis(labels, axis=1, begin=column, end=column + 1), axis=1),
                               class_count, on_value=smoothing.positive, off_value=smoothing.negative) for column in (0, 1))
    weight = F.slice_axis(labels, axis=1, begin=2, end=3)
    target = F.broadcast_mul(first, weight) + F.broadcast_mul(second, 1 - weight)
    return -F.sum(target * F.log_softmax(logits, axis=1), axis=1)

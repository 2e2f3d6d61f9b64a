"""Classification with localisation: a backbone's classifier that also says where its object is, and its two losses.

The classifier is GluonCV's, with its parameters' names; beside its output stands `box`, a dense layer of four numbers over the
last map of features, where things still have a place."""
from __future__ import annotations

from typing import Sequence

from gluon_bof.backend import gluon, mx
from gluon_bof.models import classifier
from gluon_bof.models.classifier import build_classifier
from gluon_bof.models.preprocess import Normalise

STAGES = ("conv1", "bn1", "relu", "maxpool", "layer1", "layer2", "layer3", "layer4")  # of GluonCV's ResNets, before their pooling
CENTRE = (0.25, 0.25, 0.75, 0.75)  # the box that an untrained network says


class Localiser(gluon.HybridBlock):
    """(B, 3, S, S) normalised -> (logits (B, K), corners (B, 4) as shares of the sides, whatever their order and range).

    backbone: layers up to the last map of features; head: those from it to the logits. All are the network's, which is what is
    saved, and so is `box`, from that map to the corners. It sees the map divided by the root of its `features`, so that the rate
    which suits the classifier's pooled features does not throw it off."""

    def __init__(self, network, backbone, head, features, **kwargs):
        super().__init__(**kwargs)
        self.network = network
        self._backbone, self._head = backbone, head
        self._scale = features ** -0.5

    def hybrid_forward(self, F, x):
        for layer in self._backbone:
            x = layer(x)
        logits = x
        for layer in self._head:
            logits = layer(logits)
        return logits, self.network.box(x * self._scale)


def build_localiser(name: str, class_count: int, devices: Sequence[mx.Context], size: int,
                    last_gamma: bool = False) -> Localiser:
    """An initialised Localiser on one of `classifier.BUILDERS`, on its devices; images are (B, 3, size, size). The file of
    weights of its `network` is a detector's --pretrained-base, as a classifier's is."""
    network = build_classifier(name, class_count, devices, size, last_gamma)
    backbone, head = _parts(name, network)
    with network.name_scope():
        network.box = gluon.nn.Dense(4, weight_initializer=mx.init.Normal(0.01), bias_initializer=_Centre())
    network.box.initialize(ctx=devices)
    x = mx.nd.zeros((1, 3, size, size), ctx=devices[0])
    for layer in backbone:
        x = layer(x)
    localiser = Localiser(network, backbone, head, x.size)
    for device in devices:
        localiser(mx.nd.zeros((1, 3, size, size), ctx=device))
    mx.nd.waitall()
    return localiser


def _parts(name, network):
    """(layers up to the last map of features, layers from it to the logits) of a classifier of GluonCV's."""
    if name.startswith("resnet"):
        after = [network.avgpool, network.flat, *([network.drop] if network.drop is not None else []), network.fc]
        return [getattr(network, stage) for stage in STAGES], after
    layers = list(network.features)
    if name.startswith("mobilenet"):
        return layers[:-2], [*layers[-2:], network.output]
    return layers, [gluon.nn.GlobalAvgPool2D(), network.output]


class _Centre(mx.init.Initializer):
    """The bias of a box in the image's middle."""

    def __init__(self):
        super().__init__()

    def _init_weight(self, name, array):
        array[:] = mx.nd.array(CENTRE)

    _init_bias = _init_default = _init_weight


class TrainingGraph(gluon.HybridBlock):
    """(images (B, H, W, 3) uint8, labels (B, 11) as `data.localisation.ObjectImages` has them) -> [cross-entropy (B,), box (B,)].

    The first is the classifier's, with mixed and smoothed labels. The second is box_weight times the squared distance of the
    corners, those of a mixed image's two boxes weighing λ and 1 - λ."""

    def __init__(self, localiser, class_count, epsilon, box_weight, **kwargs):
        super().__init__(**kwargs)
        self.normalise = Normalise()
        self.localiser = localiser
        self._class_count = class_count
        self._epsilon = epsilon
        self._box_weight = box_weight

    def hybrid_forward(self, F, images, labels):
        logits, corners = (F.cast(part, "float32") for part in self.localiser(self.normalise(images)))
        weight = F.slice_axis(labels, axis=1, begin=2, end=3)
        distances = [F.sum(F.square(corners - F.slice_axis(labels, axis=1, begin=begin, end=begin + 4)), axis=1, keepdims=True)
                     for begin in (3, 7)]
        box = F.squeeze(weight * distances[0] + (1 - weight) * distances[1], axis=1)
        return [classifier.mixed_cross_entropy(F, logits, labels, self._class_count, self._epsilon), self._box_weight * box]

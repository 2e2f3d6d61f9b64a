"""Classifiers: their loss in closed form, and that detectors take them as backbones."""

import numpy as np
import pytest

from gluon_bof.backend import mx
from gluon_bof.models.build import build_network
from gluon_bof.models.classifier import BUILDERS, TrainingGraph, build_classifier
from gluon_bof.models.yolo3.network import NETWORKS
from gluon_bof.options import classifier as classifier_options
from gluon_bof.options.recipes import SMALL_FASTER_RCNN, SMALL_YOLO3
from gluon_bof.weights.load import load_backbone, save_weights, weights_of


def test_the_loss_is_cross_entropy_with_mixed_and_smoothed_labels():
    rng = np.random.default_rng(0)
    network = build_classifier("mobilenet0.25", 5, [mx.cpu()], 32)
    graph = TrainingGraph(network, 5, 0.1)
    images = mx.nd.array(rng.integers(0, 256, (3, 32, 32, 3)), dtype=np.uint8)
    labels = np.array([(0, 0, 1), (1, 4, 0.3), (2, 3, 0.9)], np.float32)
    loss = graph(images, mx.nd.array(labels))[0].asnumpy()
    logits = network(graph.normalise(images)).asnumpy().astype(np.float64)
    logs = logits - np.log(np.exp(logits).sum(axis=1, keepdims=True))
    for row, (first, second, ratio) in enumerate(labels):
        target = ratio * np.eye(5)[int(first)] + (1 - ratio) * np.eye(5)[int(second)]
        assert loss[row] == pytest.approx(-((0.9 * target + 0.1 / 5) * logs[row]).sum(), rel=1e-4)


@pytest.mark.parametrize("name, asked", (("resnet50_v1b", True), ("resnet50_v1b", False), ("resnet18_v1b", True)))
def test_every_blocks_last_gamma_is_0_where_it_is_asked_for_and_not_told_to_do_nothing(name, asked, monkeypatch):
    monkeypatch.setattr(mx.init, "MSRAPrelu", mx.init.Zero)  # what else is drawn takes a second
    network = build_classifier(name, 3, [mx.cpu()], 32, asked)
    for layer in (network.layer1, network.layer2, network.layer3, network.layer4):
        for block in layer:
            last = getattr(block, "bn3", block.bn2).gamma.data().asnumpy()
            assert (last == (0 if asked and name in classifier_options.BOTTLENECKS else 1)).all()


def test_detectors_take_the_classifiers_as_backbones(tmp_path):
    for options in (SMALL_YOLO3, SMALL_FASTER_RCNN.resolved()):
        classifier = build_classifier(options.network, 7, [mx.cpu()], 64)
        save_weights(classifier, str(tmp_path / "base.params"))
        detector = build_network(options, ["a", "b"], [mx.cpu()])
        load_backbone(detector, str(tmp_path / "base.params"))
        arrays = weights_of(classifier)
        for name, parameter in detector.backbone_parameters().items():
            np.testing.assert_array_equal(parameter.data().asnumpy(), arrays[name])


def test_every_backbone_of_the_detectors_can_be_pre_trained():
    assert set(BUILDERS) == set(classifier_options.NETWORKS) >= {name.replace("-slim", "") for name in NETWORKS}

"""How a YOLOv3 without a pretrained base starts: near the identity, and as sure of objects as it is told."""
import dataclasses

import numpy as np
import pytest

import train_yolo3
from gluon_bof.backend import autograd, mx
from gluon_bof.models.build import build_network
from gluon_bof.models.yolo3.network import initialise_near_identity, set_objectness_prior
from gluon_bof.options.yolo3 import Yolo3Options
from gluon_bof.weights.load import weights_of

CLASSES = ("circle", "cross")
OPTIONS = Yolo3Options(network="mobilenet0.25-slim", pretrained_base="no")


def network_of(seed=3):
    mx.random.seed(seed)
    return build_network(OPTIONS, CLASSES, [mx.cpu()])


def test_near_identity_shifts_every_normalisation_and_the_centre_of_depthwise_convolutions_alone():
    before = weights_of(network_of())
    network = network_of()
    initialise_near_identity(network, shift=1.25, centre=0.5)
    after = weights_of(network)
    depthwise = [name for name, values in before.items() if name.endswith("weight") and values.shape[1:] == (1, 3, 3)]
    assert len(depthwise) == 13  # of a MobileNet
    for name, values in after.items():
        wanted = before[name].copy()
        if name.endswith("beta"):
            wanted[:] = 1.25
        elif name in depthwise:
            wanted[:, 0, 1, 1] += 0.5
        np.testing.assert_allclose(values, wanted, atol=1e-7, err_msg=name)


def share_that_passes(network, x):
    """Mean share of what the backbone's ReLUs let pass while it trains."""
    passed = []

    def look(_, inputs, output):
        passed.append(float((output > 0).mean().asscalar()))

    layers = [layer for stage in network.stages for layer in stage if layer.name.rsplit("_", 1)[-1].startswith("relu")]
    hooks = [layer.register_forward_hook(look) for layer in layers]
    with autograd.train_mode():
        network(x)
    for hook in hooks:
        hook.detach()
    assert len(passed) == 27  # of a MobileNet
    return np.mean(passed)


def test_near_identity_lets_most_values_pass():
    """What it is for: a ReLU lets about half of normalised values pass, and 93 of 100 after a shift by 1.5."""
    x = mx.nd.random.normal(0, 1, (4, 3, 64, 64))
    shares = []
    for start in (lambda network: None, initialise_near_identity):
        network = network_of()
        start(network)
        shares.append(share_that_passes(network, x))
    assert 0.4 < shares[0] < 0.6 and 0.85 < shares[1] < 0.97


@pytest.mark.parametrize("prior", (0.01, 0.3, 0.9))
def test_the_objectness_biases_sigmoid_is_the_prior_and_no_other_bias_is_touched(prior):
    before = weights_of(network_of())
    network = network_of()
    set_objectness_prior(network, prior)
    for name, values in weights_of(network).items():
        if name.startswith("yolo_outputs.") and name.endswith("prediction.bias"):
            rows, others = values.reshape(3, 5 + len(CLASSES)), before[name].reshape(3, -1)
            np.testing.assert_allclose(1 / (1 + np.exp(-rows[:, 4].astype(np.float64))), prior, rtol=1e-5)
            np.testing.assert_array_equal(np.delete(rows, 4, axis=1), np.delete(others, 4, axis=1))
        else:
            np.testing.assert_array_equal(values, before[name], err_msg=name)


def test_the_script_sets_the_prior_that_its_flag_gives():
    priors = []
    for prior in (0.02, 0.5):
        options = dataclasses.replace(OPTIONS, objectness_prior=prior).resolved()
        biases = weights_of(train_yolo3.initialised_network(options, CLASSES, [mx.cpu()]))["yolo_outputs.0.prediction.bias"]
        priors.append(1 / (1 + np.exp(-biases.reshape(3, -1)[:, 4])))
    np.testing.assert_allclose(priors, [[0.02] * 3, [0.5] * 3], rtol=1e-5)

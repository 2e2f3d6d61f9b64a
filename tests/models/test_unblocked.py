"""Batch normalisation beside layers that oneDNN lays out otherwise: the same gradients, without its reference code."""
import os
import subprocess
import sys

import numpy as np
import pytest

from gluon_bof.backend import autograd, gluon, mx
from gluon_bof.models.mask_rcnn.network import MaskHead
from gluon_bof.models.segmentation.network import PLAIN_CHANNELS, PaperFCN, PlainDescent, ResNetFCN, UNet, darknet_features
from gluon_bof.models.unblocked import unblock
from gluon_bof.models.yolo3.network import build_yolo3
from gluon_bof.studies.minibatch.tasks import BUILDERS

LAYERS = {"24 channels": lambda: gluon.nn.Conv2D(24, 1, in_channels=64),
          "16 channels": lambda: gluon.nn.Conv2D(16, 1, in_channels=64),
          "groups of 3": lambda: gluon.nn.Conv2D(192, 3, groups=64, in_channels=64, use_bias=False),
          "pooling": gluon.nn.GlobalAvgPool2D}


def trained(layer, changed):
    """{parameter or "output": values or gradient} of a step of a normalisation and a layer on it."""
    mx.random.seed(3)
    np.random.seed(3)
    network = gluon.nn.HybridSequential(prefix="")
    network.add(gluon.nn.Conv2D(64, 3, in_channels=3), gluon.nn.BatchNorm(in_channels=64), gluon.nn.LeakyReLU(0.1), layer())
    if changed:
        unblock(network[3])
    network.initialize(mx.init.Xavier())
    network.hybridize()
    with autograd.record():
        output = network(mx.nd.random.uniform(shape=(4, 3, 10, 10)))
        output.square().mean().backward()
    found = {name: parameter.grad().asnumpy() for name, parameter in network._collect_params_with_prefix().items()
             if parameter.grad_req != "null"}
    return {"output": output.asnumpy(), **found}


@pytest.mark.parametrize("layer", LAYERS)
def test_names_and_outputs_are_the_same_and_gradients_too_but_for_rounding(layer):
    ours, theirs = (trained(LAYERS[layer], changed) for changed in (True, False))
    assert list(ours) == list(theirs) and len(ours) >= 5
    np.testing.assert_array_equal(ours["output"], theirs["output"])
    for name in ours:
        assert np.abs(theirs[name]).max() > 0
        np.testing.assert_allclose(ours[name], theirs[name], rtol=1e-4, atol=1e-7)


def network_of(name, class_count):
    """(network, shape of what it sees)."""
    classes, norm = [str(number) for number in range(class_count)], (gluon.nn.BatchNorm, {})
    if name in BUILDERS:
        return BUILDERS[name](classes=class_count), (2, 3, 32, 32)
    if name == "mask head":
        return MaskHead(class_count, 64, 1, *norm), (16, 64, 14, 14)
    made = {"unet darknet-mini": lambda: UNet(classes, *darknet_features(finest=0), "bilinear"),
            "unet plain": lambda: UNet(classes, PlainDescent(PLAIN_CHANNELS, with_places=False), (), PLAIN_CHANNELS, "bilinear"),
            "fcn8s darknet-mini": lambda: PaperFCN(classes, *darknet_features(), 8, "bilinear"),
            "fcn resnet50": lambda: ResNetFCN(classes, "resnet50", 64, aux=True)}
    return made.get(name, lambda: build_yolo3(name, classes))(), (2, 3, 64, 64)


def train_a_step(name, class_count):
    """Forward and back through one of NETWORKS."""
    network, shape = network_of(name, class_count)
    network.initialize(mx.init.Xavier())
    images = mx.nd.random.uniform(shape=shape)
    with autograd.train_mode():
        network(images)  # every shape is known from here on
    network.hybridize()
    with autograd.record():
        outputs = network(images)
        mx.nd.add_n(*[output.sum() for output in (outputs if isinstance(outputs, (list, tuple)) else [outputs])]).backward()
    mx.nd.waitall()


NETWORKS = (("darknet-mini", 3), ("darknet-mini", 19), ("mobilenet0.25-slim", 3), ("unet darknet-mini", 5), ("unet plain", 8),
            ("fcn8s darknet-mini", 8), ("fcn resnet50", 8), ("mask head", 8), ("cifar_resnet20_v1", 10), ("dpn-mini", 10))


@pytest.fixture(scope="module")
def backward():
    """Of each of NETWORKS, oneDNN's lines of a step's normalisations on the way back."""
    program = (f"import sys; sys.path.insert(0, {sys.path[0]!r}); from tests.models import test_unblocked as tests\n"
               "for network in tests.NETWORKS: print('NETWORK', flush=True); tests.train_a_step(*network)")
    said = subprocess.run([sys.executable, "-W", "ignore", "-c", program], capture_output=True, text=True, check=True,
                          env={**os.environ, "DNNL_VERBOSE": "1"}).stdout
    steps = said.split("NETWORK\n")[1:]
    assert len(steps) == len(NETWORKS)
    return {network: [line for line in step.splitlines() if ",batch_normalization," in line and ",backward," in line]
            for network, step in zip(NETWORKS, steps)}


@pytest.mark.parametrize("network", NETWORKS, ids=str)
def test_no_batch_normalisation_goes_back_by_reference_code(network, backward):
    """It was two thirds of dpn-mini's training, a third of ResNet-20's and a quarter of YOLOv3's with 3 classes."""
    assert backward[network] and not [line for line in backward[network] if "ref" in line.split(",")[4]]

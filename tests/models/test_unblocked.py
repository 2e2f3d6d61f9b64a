"""Batch normalisation beside layers that oneDNN lays out otherwise: the same gradients, without its reference code."""
import os
import subprocess
import sys

import numpy as np
import pytest

from gluon_bof.backend import autograd, gluon, mx
from gluon_bof.models.dpn import DualPathBlock, Stage
from gluon_bof.models.segmentation.network import PLAIN_CHANNELS, PlainDescent, UNet, darknet_features
from gluon_bof.models.unblocked import UnblockedPooling, before_convolution
from gluon_bof.models.yolo3.network import build_yolo3
from gluon_bof.studies.minibatch.tasks import BUILDERS


class Head(gluon.HybridBlock):
    """16 normalised channels, and a convolution of 24 on them; or 64, and their mean."""

    def __init__(self, pools, changed):
        super().__init__()
        self.pools, self.changed = pools, changed
        width = 64 if pools else 16
        with self.name_scope():
            self.body = gluon.nn.HybridSequential()
            self.body.add(gluon.nn.Conv2D(width, 3, in_channels=3), gluon.nn.BatchNorm(in_channels=width),
                          gluon.nn.LeakyReLU(0.1))
            self.last = gluon.nn.Conv2D(24, 1, in_channels=16)
            self.pool = UnblockedPooling() if changed else gluon.nn.GlobalAvgPool2D()

    def hybrid_forward(self, F, x):
        x = self.body(x)
        if self.pools:
            return self.pool(x)
        return self.last(before_convolution(F, x, 24) if self.changed else x)


def outputs_and_gradients(pools, changed):
    mx.random.seed(3)
    np.random.seed(3)
    network = Head(pools, changed)
    network.initialize(mx.init.Xavier())
    network.hybridize()
    x = mx.nd.random.uniform(shape=(4, 3, 10, 10))
    with autograd.record():
        found = network(x)
        (found * found).mean().backward()
    return [found.asnumpy(), *(parameter.grad().asnumpy() for parameter in network.collect_params().values()
                               if parameter.grad_req != "null")]


@pytest.mark.parametrize("pools", (False, True))
def test_outputs_are_the_same_and_gradients_too_but_for_rounding(pools):
    ours, theirs = (outputs_and_gradients(pools, changed) for changed in (True, False))
    assert len(ours) == len(theirs) == 7
    np.testing.assert_array_equal(ours[0], theirs[0])
    for mine, wanted in zip(ours, theirs):
        np.testing.assert_allclose(mine, wanted, rtol=1e-4, atol=1e-7)


def test_a_dual_path_block_computes_what_its_body_does():
    block = DualPathBlock(Stage(1, 32, 32, 16, 1), 4, True)
    block.initialize(mx.init.Xavier())
    x = mx.nd.random.uniform(shape=(2, 8, 6, 6))
    np.testing.assert_allclose(block._made(mx.nd, x).asnumpy(), block.body(x).asnumpy(), rtol=1e-5, atol=1e-6)


def train_a_step(name, class_count):
    """Forward and back through YOLOv3 on this backbone, U-Net on darknet-mini or its own, or a classifier of small images."""
    classes = [str(number) for number in range(class_count)]
    if name == "unet darknet-mini":
        network = UNet(classes, *darknet_features(finest=0), "bilinear")
    elif name == "unet plain":
        network = UNet(classes, PlainDescent(PLAIN_CHANNELS, with_places=False), (), PLAIN_CHANNELS, "bilinear")
    elif name in BUILDERS:
        network = BUILDERS[name](classes=class_count)
    else:
        network = build_yolo3(name, classes)
    network.initialize(mx.init.Xavier())
    images = mx.nd.random.uniform(shape=(2, 3, *([32, 32] if name in BUILDERS else [64, 64])))
    with autograd.train_mode():
        network(images)  # every shape is known from here on
    network.hybridize()
    with autograd.record():
        network(images).sum().backward()
    mx.nd.waitall()


NETWORKS = (("darknet-mini", 3), ("darknet-mini", 19), ("mobilenet0.25-slim", 3), ("unet darknet-mini", 5), ("unet plain", 8),
            ("cifar_resnet20_v1", 10), ("dpn-mini", 10))


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

"""A small YOLOv3 that nobody trained, whose detections differ from image to image."""
import tempfile
from functools import lru_cache
from pathlib import Path

import numpy as np

from gluon_bof.backend import gluon, mx
from gluon_bof.models.build import build_network
from gluon_bof.models.preprocess import Normalise
from gluon_bof.options.yolo3 import Yolo3Options
from gluon_bof.runs.config import write_classes, write_config
from gluon_bof.runs.folder import RunFolder
from gluon_bof.weights.load import save_weights
from tests.tiny_sets import CLASSES

NETWORK = "mobilenet0.25-slim"
SIZE = 64
OPTIONS = Yolo3Options(network=NETWORK, data_shape=SIZE, pretrained_base="no")


def write_run(folder, seed=3):
    """A run's folder with best.params. Returns its path, a text."""
    folder = Path(folder)
    folder.mkdir(parents=True)
    Path(RunFolder(str(folder)).best_weights).write_bytes(_lively_weights(seed))
    write_classes(str(folder), CLASSES)
    write_config(str(folder), OPTIONS)
    return str(folder)


@lru_cache(maxsize=None)
def _lively_weights(seed):
    """The bytes of a file of weights; a process's tests ask for the same ones over and over."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "a.params"
        save_weights(lively_network(OPTIONS, seed), str(path))
        return path.read_bytes()


def lively_network(options, seed):
    """Random weights, with batch normalisation by the statistics of a few images of coloured fields: by those of an
    untrained network, little of an image would reach the heads."""
    mx.random.seed(seed)
    network = build_network(options, CLASSES, [mx.cpu()])
    for output in network.yolo_outputs:
        output.prediction.weight.set_data(mx.nd.random.normal(0, 0.1, shape=output.prediction.weight.shape))
    fields = np.random.default_rng(seed).integers(0, 256, (6, 8, 8, 3)).repeat(SIZE // 8, axis=1).repeat(SIZE // 8, axis=2)
    return normalised_by(network, fields)


def normalised_by(network, images, lift=0.0):
    """The network whose every BatchNorm holds the mean and variance of what these images (B, H, W, 3), 0 to 255, bring it, and
    lifts what leaves it by so much more."""
    def measure(layer, inputs):
        values = inputs[0].asnumpy()
        layer.beta.set_data(layer.beta.data() + lift)
        layer.running_mean.set_data(mx.nd.array(values.mean(axis=(0, 2, 3))))
        layer.running_var.set_data(mx.nd.array(values.var(axis=(0, 2, 3))))

    hooks = []
    network.apply(lambda layer: hooks.append(layer.register_forward_pre_hook(measure))
                  if isinstance(layer, gluon.nn.BatchNorm) else None)
    network(Normalise()(mx.nd.array(images.astype(np.uint8), dtype=np.uint8)))
    mx.nd.waitall()
    for hook in hooks:
        hook.detach()
    return network


def settled(network, height=64, width=None, start=None):
    """The network, initialised by `start`, once it has seen a black image: every shape is known and nothing is under way, for
    oneDNN may still be rearranging the weights that a test then replaces. width: the height if it is not given."""
    network.initialize(start or mx.init.Uniform())
    network(mx.nd.zeros((1, 3, height, width or height)))
    mx.nd.waitall()
    return network

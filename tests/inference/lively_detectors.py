"""Detectors that nobody trained, whose scores differ from place to place, and what they look at."""
from functools import lru_cache

import cv2
import numpy as np

from gluon_bof.backend import mx
from gluon_bof.data.images import read_image
from gluon_bof.data.shapes import draw_image
from gluon_bof.freebies.augmentation import render, whole_view
from gluon_bof.inference.detector import Detector
from gluon_bof.models.build import build_network
from gluon_bof.options.yolo3 import Yolo3Options
from tests.command_lines import mask_rcnn_options
from tests.models.faster_rcnn import oracle
from tests.models.mask_rcnn.oracle import KINDS
from tests.tiny_networks import normalised_by
from tests.tiny_sets import BCCD

CLASSES = ("circle", "cross", "ring")
SIZE = (96, 128)


@lru_cache(maxsize=None)
def images():
    """Three drawn images, and three of a microscope where they lie on this machine."""
    photographs = sorted((BCCD / "VOC2007" / "JPEGImages").glob("*.jpg"))[:3]
    return (*(draw_image(1, number)[0] for number in range(3)), *(read_image(str(path)) for path in photographs))


def seen(image, size=SIZE):
    return render(image, whole_view(image.shape, size[::-1], cv2.INTER_LINEAR))


def enlivened(network):
    """The network with weights that neither drown nor blow up what they see, so that scores differ from place to place."""
    rng = np.random.default_rng(5)
    for name, parameter in network.collect_params().items():  # in the order of the layers, whatever their names count
        shape = parameter.shape
        if name.endswith("weight"):
            gain = 0.05 if "dense" in name or "rpn" in name else 1 if "yolooutput" in name else 2
            parameter.set_data(mx.nd.array(rng.normal(0, np.sqrt(gain / np.prod(shape[1:])), shape)))
        elif name.endswith(("gamma", "var")):
            parameter.set_data(mx.nd.array(rng.uniform(0.8, 1.2, shape)))
        elif name.endswith(("beta", "mean")):
            parameter.set_data(mx.nd.array(rng.normal(0, 0.1, shape)))
    mx.nd.waitall()
    return network


def yolo3_detector(network, classes=CLASSES):
    options = Yolo3Options(network=network, data_shape=96, pretrained_base="no")
    built = enlivened(build_network(options, classes, [mx.cpu()]))
    # by other statistics all places of a deep one look alike but for rounding; not lifted, its layers enlarge each rounding
    return Detector(normalised_by(built, np.stack([seen(image) for image in images()]), 1.5), options, mx.cpu())


@lru_cache(maxsize=None)
def shared_yolo3_detector():
    """One for tests that leave it as it is."""
    return yolo3_detector("mobilenet0.25")


def rcnn_detector(kind, *more):
    """A detector of the test's own, on a network that other tests see too and that is to be left as it is."""
    options, network = _shared_rcnn(kind, *more)
    return Detector(network, options, mx.cpu())


@lru_cache(maxsize=None)
def _shared_rcnn(*kind):
    options = oracle.small_options(*kind)
    return options, _network_of(options)


def mask_rcnn_detector(kind):
    options = mask_rcnn_options(KINDS[kind])
    detector = Detector(_network_of(options), options, mx.cpu())
    weight = detector.network.mask.mask.weight
    weight.set_data(weight.data() / 10)  # else its cells are as good as 0 and 1, or told apart by rounding
    return detector


def _network_of(options):
    return enlivened(build_network(options, CLASSES, [mx.cpu()]))

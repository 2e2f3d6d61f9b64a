"""A trained network at work: images in, detections in their own pixels out."""
from __future__ import annotations

import os

import numpy as np

from gluon_bof.backend import mx
from gluon_bof.boxes import Detections
from gluon_bof.data.transforms import square
from gluon_bof.devices import contexts
from gluon_bof.errors import UserError
from gluon_bof.freebies.augmentation import render
from gluon_bof.models.build import build_network, eval_transform
from gluon_bof.models.preprocess import InferenceGraph
from gluon_bof.weights.load import load_weights
from gluon_bof.weights.resolve import find


class Detector:
    """A trained network at work."""

    def __init__(self, network, options, device):
        self.network = network
        self.options = options
        self.classes = tuple(network.classes)
        self.device = device
        self.sight = eval_transform(options)
        self.graph = InferenceGraph(network)
        # a network that sees many shapes would keep memory for each of them
        if not getattr(options, "disable_hybridization", False):
            self.graph.hybridize(static_alloc=self.sight.fit is square)

    def warm_up(self, images):
        """One batch of black images: takes the memory that validation will need, see Step.rehearse."""
        side = self.options.data_shape
        self.graph(mx.nd.zeros((images, side, side, 3), ctx=self.device, dtype=np.uint8))
        mx.nd.waitall()

    def detect(self, images):
        """[Detections] of images (H, W, 3) uint8 RGB of any size, in each one's own pixels."""
        found = []
        for image in images:
            seen = render(image, self.sight(image.shape))
            outputs = self.graph(mx.nd.array(seen[None], ctx=self.device, dtype=np.uint8))
            found.append(unpack(*(output.asnumpy()[0] for output in outputs), seen.shape, image.shape))
        return found


def unpack(ids, scores, boxes, seen, shape):
    """Detections, best score first, in the pixels of an image of this shape (H, W, …), of one image's outputs (D, 1),
    (D, 1), (D, 4) in the pixels of what the network has seen."""
    kept = np.flatnonzero(ids[:, 0] >= 0)
    kept = kept[np.argsort(-scores[kept, 0], kind="stable")]
    limits = np.array([shape[1], shape[0]] * 2, np.float32)
    scale = limits / np.array([seen[1], seen[0]] * 2, np.float32)
    return Detections(np.clip(boxes[kept] * scale, 0, limits), ids[kept, 0].astype(np.int64), scores[kept, 0])


def load_detector(options, classes, weights):
    """(Detector with these weights, the file's SHA-256)."""
    device = contexts(options.gpus)[0]
    network = build_network(options, classes, [device])
    digest = load_weights(network, weights)
    return Detector(network, options, device), digest


def open_detector(weights, **given):
    """A Detector from a run's folder, a .params file or a name (see zoo.find); given: options that replace the run's, such
    as network, classes."""
    from gluon_bof.data.sets import class_names
    options, path, _ = find(weights, given)
    if not os.path.isfile(path):
        raise UserError("there are no such weights", path, "check the path")
    if not options.classes:
        raise UserError("the class names of these weights are not known", path, "give them: --classes cat,dog or a file")
    return load_detector(options, class_names(options.classes), path)[0]

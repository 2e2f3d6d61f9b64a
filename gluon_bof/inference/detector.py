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
from gluon_bof.models.build import build_network, sight_of
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
        self.sight = sight_of(options)
        self.graph = InferenceGraph(network)
        # a network that sees many shapes would keep memory for each of them
        if not getattr(options, "disable_hybridization", False):
            self.graph.hybridize(static_alloc=self.sight.fit is square)

    def rehearse(self, pictures):
        """One batch of black pictures: takes the memory that validation will need, see Step.rehearse."""
        side = self.options.data_shape
        self.graph(mx.nd.zeros((pictures, side, side, 3), ctx=self.device, dtype=np.uint8))
        mx.nd.waitall()

    def detect(self, pictures):
        """[Detections] of pictures (H, W, 3) uint8 RGB of any size, in each one's own pixels."""
        found = []
        for picture in pictures:
            seen = render(picture, self.sight(picture.shape))
            outputs = self.graph(mx.nd.array(seen[None], ctx=self.device, dtype=np.uint8))
            found.append(unpack(*(output.asnumpy()[0] for output in outputs), seen.shape, picture.shape))
        return found


def unpack(ids, scores, boxes, seen, shape):
    """Detections, best score first, in the pixels of a picture of this shape (H, W, …), of one picture's outputs (D, 1),
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

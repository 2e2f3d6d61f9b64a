"""One way to build, fill and use either detector: pictures in, boxes in their own pixels out."""
from __future__ import annotations

import os
import warnings

import cv2
import numpy as np

from gluon_bof.backend import mx
from gluon_bof.data.augment import render
from gluon_bof.data.boxes import Detections
from gluon_bof.data.loader import ShortSide, Sight, square
from gluon_bof.errors import UserError
from gluon_bof.models.devices import contexts
from gluon_bof.models.norm import norm_layer
from gluon_bof.models.preprocess import InferenceGraph
from gluon_bof.models.weights import load_weights
from gluon_bof.models.zoo import find
from gluon_bof.rcnn_options import FasterRcnnOptions

SETTLING = (1, 3, 64, 64)  # a picture that is large enough to settle every shape


def build_network(options, classes, devices):
    """The initialised network of the options, every shape settled, on its devices."""
    if isinstance(options, FasterRcnnOptions):
        from gluon_bof.models.faster_rcnn.network import build_faster_rcnn
        network = build_faster_rcnn(options, classes, devices)
    else:
        from gluon_bof.models.yolo3.network import ANCHORS, build_yolo3
        network = build_yolo3(options.network, classes, norm_layer(options.syncbn, devices), options.anchor_rows() or ANCHORS)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # GluonCV's RPN has initialised itself, on the CPU
        network.initialize(ctx=devices)
    network.collect_params().reset_ctx(devices)
    for device in devices:
        network(mx.nd.zeros(SETTLING, ctx=device))
    mx.nd.waitall()  # oneDNN rearranges weights behind the scenes; whoever fills them next must not meet it
    # MXNet begins what a symbol declares, as GluonCV's pyramids do, with random numbers: variances below 0 as well
    for name, parameter in network.collect_params(".*moving_(mean|var)").items():
        parameter.set_data((mx.nd.ones if name.endswith("var") else mx.nd.zeros)(parameter.shape))
    return network


def sight_of(options):
    """How validation and prediction see a picture."""
    if isinstance(options, FasterRcnnOptions):
        return Sight(ShortSide(options.image_max_size), options.shorts()[1], cv2.INTER_LINEAR)
    return Sight(square, options.data_shape)


def inference_batch(options):
    """Pictures a batch in inference. Faster R-CNN's have many shapes, and its graph takes one."""
    return 1 if isinstance(options, FasterRcnnOptions) else options.batch_size


def export_name(options):
    """GluonCV's name of the network, as it begins the names of its files."""
    if not isinstance(options, FasterRcnnOptions):
        return f"yolo3_{options.network}_{options.dataset}"
    if options.custom_model:
        return f"custom_faster_rcnn_fpn_{options.network}_{options.dataset}"
    parts = ["faster_rcnn"] + ["fpn"] * options.use_fpn + ["syncbn"] * bool(options.norm_layer)
    return "_".join(parts + [options.network, options.dataset])


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

"""A trained network at work: images in, detections in their own pixels out."""
from __future__ import annotations

from typing import Any, Iterable, Sequence

import numpy as np

from gluon_bof.backend import mx
from gluon_bof.boxes import Detections
from gluon_bof.data.transforms import square
from gluon_bof.devices import contexts
from gluon_bof.freebies.augmentation import render
from gluon_bof.inference.tiles import Tiling, add_slices
from gluon_bof.models.build import build_network, models_of
from gluon_bof.models.preprocess import InferenceGraph
from gluon_bof.weights.load import load_weights
from gluon_bof.weights.resolve import Resolved


class Detector:
    """A network with its weights, on a device: `classes`, and `detect`."""

    def __init__(self, network: Any, options: Any, device: Any):
        self.network = network
        self.options = options
        self.classes = tuple(network.classes)
        self.device = device
        self.transform = models_of(options).eval_transform(options)
        self.batch = models_of(options).inference_batch(options)
        self.graph = InferenceGraph(network)
        if not options.disable_hybridization:
            # a network that sees many shapes would keep memory for each of them
            self.graph.hybridize(static_alloc=self.transform.fit is square)

    def warm_up(self) -> None:
        """Batches of black images as large as can come: takes the memory that validation will need, see Step.warm_up."""
        for height, width in self.transform.largest_shapes():
            self.graph(mx.nd.zeros((self.batch, height, width, 3), ctx=self.device, dtype=np.uint8))
        mx.nd.waitall()

    def detect(self, images: Iterable[np.ndarray], tiling: Tiling | None = None) -> list[Detections]:
        """Detections in images (H, W, 3) uint8 RGB of any size, in each one's own pixels. tiling: look at slices, too."""
        if tiling is None:
            return [self._detect(image) for image in images]
        return [self.add_slices(self._detect(image), image, tiling) for image in images]

    def add_slices(self, whole: Detections, image: np.ndarray, tiling: Tiling) -> Detections:
        """What was found in a whole image, and what its slices show."""
        return add_slices(whole, image, tiling, self._detect, self.network.nms_thresh)

    def _detect(self, image):
        seen = render(image, self.transform(image.shape))
        outputs = self.graph(mx.nd.array(seen[None], ctx=self.device, dtype=np.uint8))
        return unpack(*(output.asnumpy()[0] for output in outputs), seen.shape, image.shape)


def unpack(ids: np.ndarray, scores: np.ndarray, boxes: np.ndarray, seen: Sequence[int], shape: Sequence[int]) -> Detections:
    """Detections, best score first, in the pixels of an image of this shape (H, W, …), of one image's outputs (D, 1),
    (D, 1), (D, 4) in the pixels of what the network has seen, (H, W, …). Those that lie outside it are left out."""
    kept = np.flatnonzero(ids[:, 0] >= 0)
    kept = kept[np.argsort(-scores[kept, 0], kind="stable")]
    limits = np.array([shape[1], shape[0]] * 2, np.float32)
    scale = limits / np.array([seen[1], seen[0]] * 2, np.float32)
    boxes = np.clip(boxes[kept] * scale, 0, limits)
    visible = ~(boxes[:, :2] >= boxes[:, 2:]).any(axis=1)
    return Detections(boxes[visible], ids[kept[visible], 0].astype(np.int64), scores[kept[visible], 0])


def load_detector(options: Any, classes: Sequence[str], weights: str) -> tuple[Detector, str]:
    """(Detector with the weights of this file, the file's SHA-256)."""
    device = contexts(options.gpus)[0]
    network = build_network(options, classes, [device])
    digest = load_weights(network, weights)
    return Detector(network, options, device), digest


def open_detector(resolved: Resolved) -> Detector:
    """The Detector that WEIGHTS means; see `weights.resolve`. Raises UserError where the file or the class names are missing."""
    return load_detector(resolved.options, resolved.require(), resolved.path)[0]

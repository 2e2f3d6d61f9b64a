"""A trained network at work: images in, detections in their own pixels out."""
from __future__ import annotations

from typing import Any, Callable, Iterable, Iterator, Sequence

import numpy as np

from gluon_bof.boxes import Detections
from gluon_bof.inference.engines import arrays
from gluon_bof.inference.onnx_engine import engine_of
from gluon_bof.inference.predictor import Predictor, load_network
from gluon_bof.inference.tiles import Tiling, add_slices
from gluon_bof.masks import paste
from gluon_bof.models.preprocess import InferenceGraph
from gluon_bof.options.families import require_detector
from gluon_bof.weights.resolve import Resolved

TOGETHER = 8  # images that are looked at together at most: what is saved is the overhead of many small operators
TOGETHER_PIXELS = TOGETHER * 192 ** 2  # and what they have as the network sees them: large ones gain nothing, and take memory


class Detector(Predictor):
    """A network with its weights, on a device: `classes`, and `detect`. engine: what computes it, MXNet unless told otherwise."""

    def __init__(self, network: Any, options: Any, device: Any):
        super().__init__(network, options, device, InferenceGraph(network))

    def detect(self, images: Iterable[np.ndarray], tiling: Tiling | None = None) -> list[Detections]:
        """Detections in images (H, W, 3) uint8 RGB of any size, in each one's own pixels. tiling: look at slices, too."""
        if tiling is not None:
            return [self.add_slices(*self.detect([image]), image, tiling) for image in images]
        return list(self.detections((self.see(image), image.shape) for image in images))

    def add_slices(self, whole: Detections, image: np.ndarray, tiling: Tiling) -> Detections:
        """What was found in a whole image, and what its slices show."""
        return add_slices(whole, image, tiling, lambda slices: self.detections((self.see(part), part.shape) for part in slices),
                          self.network.nms_thresh)

    def detections(self, views: Iterable[tuple[np.ndarray, Sequence[int]]]) -> Iterator[Detections]:
        """Detections of each (what `see` gave of an image, the image's shape), in the image's pixels. Views of one size that
        follow each other are looked at together, a few at a time: the numbers are those of each by itself."""
        for group in alike(views, lambda view: self.together(view[0])):
            outputs = arrays(self.engine(np.stack([seen for seen, _ in group])))
            for number, (seen, shape) in enumerate(group):
                of_one = [output[number] for output in outputs]
                yield unpack(*of_one[:3], seen.shape, shape, *of_one[3:])

    def together(self, seen: np.ndarray) -> int:
        """How many images that the network sees like this one are looked at together."""
        if self.batch == 1:
            return 1
        return int(min(max(1, TOGETHER_PIXELS / (seen.shape[0] * seen.shape[1])), TOGETHER))


def alike(views: Iterable[tuple[Any, Any]], most: Callable[[tuple], int]) -> Iterator[list[tuple[Any, Any]]]:
    """Groups of pairs (array or None, anything) that follow each other and whose arrays have one shape, at most most(pair) of
    them."""
    group = []
    for pair in views:
        if group and (np.shape(pair[0]) != np.shape(group[0][0]) or len(group) >= most(pair)):
            yield group
            group = []
        group.append(pair)
    if group:
        yield group


def unpack(ids: np.ndarray, scores: np.ndarray, boxes: np.ndarray, seen: Sequence[int], shape: Sequence[int],
           masks: np.ndarray | None = None) -> Detections:
    """Detections, best score first, in the pixels of an image of this shape (H, W, …), of one image's outputs (D, 1),
    (D, 1), (D, 4) in the pixels of what the network has seen, (H, W, …). Those that lie outside it are left out. masks: (D, S, S)
    probabilities over each box, if the network finds them."""
    kept = np.flatnonzero(ids[:, 0] >= 0)
    kept = kept[np.argsort(-scores[kept, 0], kind="stable")]
    limits = np.array([shape[1], shape[0]] * 2, np.float32)
    scale = limits / np.array([seen[1], seen[0]] * 2, np.float32)
    whole = boxes[kept] * scale
    boxes = np.clip(whole, 0, limits)
    visible = ~(boxes[:, :2] >= boxes[:, 2:]).any(axis=1)
    found = Detections(boxes[visible], ids[kept[visible], 0].astype(np.int64), scores[kept[visible], 0])
    # a mask lies over the whole box, also over what of it lies outside the image
    return found if masks is None else found._replace(masks=paste(masks[kept[visible]], whole[visible], shape[:2]))


def load_detector(options: Any, classes: Sequence[str], weights: str, engine: str = "mxnet",
                  gpus_of_run: bool = False) -> tuple[Detector, str]:
    """(Detector with the weights of this file, the file's SHA-256). engine: "mxnet", "onnx" or "auto"; see
    inference.onnx_engine, also for what it raises. gpus_of_run: as in Resolved. Raises UserError for weights of a segmenter."""
    require_detector(options, weights)
    network, device, digest = load_network(options, classes, weights, gpus_of_run)
    detector = Detector(network, options, device)
    detector.engine = engine_of(engine, detector, digest)
    return detector, digest


def open_detector(resolved: Resolved) -> Detector:
    """The Detector that WEIGHTS means; see `weights.resolve`. Raises UserError where the file or the class names are missing."""
    return load_detector(resolved.options, resolved.require(), resolved.path, gpus_of_run=resolved.gpus_of_run)[0]

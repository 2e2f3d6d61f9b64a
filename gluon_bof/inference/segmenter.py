"""A network that gives every pixel a class, at work: on arrays and files, and exported for other programs."""
from __future__ import annotations

from numbers import Integral
from typing import Any, Iterator, NamedTuple, Sequence

import numpy as np

from gluon_bof.backend import autograd, mx
from gluon_bof.devices import first_context
from gluon_bof.errors import UserError, in_python
from gluon_bof.files import output_path
from gluon_bof.freebies.augmentation import render
from gluon_bof.freebies.label_maps import unfitted
from gluon_bof.models.build import build_network, models_of
from gluon_bof.options.flags import flag_name
from gluon_bof.weights.load import load_weights
from gluon_bof.weights.resolve import Resolved


class LabelMap(NamedTuple):
    """What a segmenter finds in an image: labels (H, W) uint8, places in `model.classes`; scores (H, W) float32, how likely each
    of them is, in [0, 1]."""

    labels: np.ndarray
    scores: np.ndarray


def likeliest(scores: np.ndarray, shape: Sequence[int]) -> LabelMap:
    """LabelMap, in the own pixels of an image of this shape (H, W, …), of scores (K, S, S) as the network gives them; of equal
    ones the first class. One class after another: those of a photograph would take gigabytes together."""
    labels, best = np.zeros(shape[:2], np.uint8), np.full(shape[:2], -np.inf, np.float32)
    for number in range(len(scores)):
        plane, = unfitted(scores[number:number + 1], shape)
        labels[plane > best] = number
        np.maximum(best, plane, out=best)
    return LabelMap(labels, best)


class Segmenter:
    """A network with its weights, on a device: `classes`, `scores` and `segment`."""

    def __init__(self, network: Any, options: Any, device: Any):
        self.network = network
        self.options = options
        self.classes = tuple(network.classes)
        self.device = device
        self.transform = models_of(options).eval_transform(options)
        self.batch = models_of(options).inference_batch(options)
        self.graph = models_of(options).ScoreGraph(network)
        self.graph.hybridize(static_alloc=True)

    def warm_up(self) -> None:
        """A batch of black images: takes the memory that validation will need, see Step.warm_up."""
        size = self.transform.size
        self.graph(mx.nd.zeros((self.batch, size, size, 3), ctx=self.device, dtype=np.uint8))
        mx.nd.waitall()

    def scores(self, images: Any) -> np.ndarray:
        """(B, K, S, S) float32 in [0, 1] of images as the network sees them, (B, S, S, 3) uint8, MXNet's or numpy's."""
        if isinstance(images, np.ndarray):
            images = mx.nd.array(images, ctx=self.device, dtype=np.uint8)
        with autograd.pause(train_mode=False):  # also where whoever asks records a training step
            return self.graph(images.as_in_context(self.device)).asnumpy()

    def segment(self, images: Sequence[np.ndarray]) -> Iterator[LabelMap]:
        """LabelMaps of images (H, W, 3) uint8 RGB of any size, in each one's own pixels."""
        for image in images:
            yield likeliest(self.scores(render(image, self.transform(image.shape))[None])[0], image.shape)


def load_segmenter(options: Any, classes: Sequence[str], weights: str, gpus_of_run: bool = False) -> tuple[Segmenter, str]:
    """(Segmenter with the weights of this file, the file's SHA-256). gpus_of_run: as in Resolved."""
    device = first_context(options.gpus, gpus_of_run)
    network = build_network(options, classes, [device])
    digest = load_weights(network, weights)
    return Segmenter(network, options, device), digest


def refuse_of_segmenters(**given: Any) -> None:
    """Raise UserError where one of these arguments, which only detectors take, was given."""
    for name, value in given.items():
        if value not in (None, "", ()):
            raise UserError(f"a segmenter takes no {flag_name(name)}", remedy="leave it out: it finds no boxes")


def open_segmenter(resolved: Resolved, short: int | None = None) -> SegmentationModel:
    """The SegmentationModel that WEIGHTS means. short: test size in pixels. Raises UserError where a file or classes lack."""
    names, options = resolved.require(), resolved.options
    if short is not None:
        if not isinstance(short, Integral):
            raise UserError(f"--short cannot be {short!r}", remedy="give a whole number of pixels, such as 480")
        options = options.at_size(int(short))
    return SegmentationModel(load_segmenter(options, names, resolved.path)[0], resolved.files)


class SegmentationModel:
    """A trained segmenter: `classes`, `predict`, `export`. Made by `load`."""

    def __init__(self, segmenter: Segmenter, files: Sequence[str] = ()):
        self.detector = self.segmenter = segmenter
        self.classes = segmenter.classes
        self.files = files  # that it was loaded from

    @in_python()
    def predict(self, images: Any) -> Any:
        """LabelMap of an image, or a list of them for a list; images as `Model.predict` takes them. Raises UserError."""
        from gluon_bof.inference.model import as_image

        if isinstance(images, (list, tuple)):
            return list(self.segmenter.segment(as_image(image) for image in images))
        return next(self.segmenter.segment([as_image(images)]))

    @in_python()
    def export(self, path: Any, format: str = "onnx", size: tuple[int, int] | None = None, nms: bool = True,
               images: Any = ()) -> Any:
        """Write the network as ONNX and compare it with MXNet. Returns inference.export_scores.ScoreCheck.

        size: (height, width) of the input, by default that of validation; images: arrays to compare on, besides drawn ones.
        Raises UserError where the format is another, for nms=False, and as `export_scores` does."""
        from gluon_bof.inference.export_scores import export_scores

        if format != "onnx":
            raise UserError(f"a segmenter is not exported as {format}", remedy="give --format onnx")
        if not nms:
            raise UserError("a segmenter suppresses nothing", remedy="leave the argument out")
        return export_scores(self.segmenter, output_path(path, self.files), size, images)

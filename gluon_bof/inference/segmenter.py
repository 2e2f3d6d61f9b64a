"""A network that gives every pixel a class, at work: images in, label maps in their own pixels out."""
from __future__ import annotations

from typing import Any, Iterator, NamedTuple, Sequence

import numpy as np

from gluon_bof.backend import autograd, mx
from gluon_bof.devices import first_context
from gluon_bof.freebies.augmentation import render
from gluon_bof.freebies.label_maps import unfitted
from gluon_bof.models.build import build_network, models_of
from gluon_bof.weights.load import load_weights


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

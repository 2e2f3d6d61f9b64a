"""A network that gives every pixel a class, at work: images in, label maps in their own pixels out."""
from __future__ import annotations

from typing import Any, Iterable, Iterator, NamedTuple, Sequence

import numpy as np

from gluon_bof.freebies.label_maps import unfitted
from gluon_bof.inference.engines import arrays
from gluon_bof.inference.predictor import Predictor, load_network
from gluon_bof.models.build import models_of


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


class Segmenter(Predictor):
    """A network with its weights, on a device: `classes`, `scores` and `segment`."""

    def __init__(self, network: Any, options: Any, device: Any):
        super().__init__(network, options, device, models_of(options).ScoreGraph(network))

    def scores(self, images: Any) -> np.ndarray:
        """(B, K, S, S) float32 in [0, 1] of images as the network sees them, (B, S, S, 3) uint8, MXNet's or numpy's."""
        return arrays(self.engine(images))[0]

    def segment(self, images: Iterable[np.ndarray]) -> Iterator[LabelMap]:
        """LabelMaps of images (H, W, 3) uint8 RGB of any size, in each one's own pixels."""
        for image in images:
            yield likeliest(self.scores(self.see(image)[None])[0], image.shape)


def load_segmenter(options: Any, classes: Sequence[str], weights: str, gpus_of_run: bool = False) -> tuple[Segmenter, str]:
    """(Segmenter with the weights of this file, the file's SHA-256). gpus_of_run: as in Resolved."""
    network, device, digest = load_network(options, classes, weights, gpus_of_run)
    return Segmenter(network, options, device), digest

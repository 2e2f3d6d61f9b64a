"""Label smoothing (paper, section 3.2): Eq. 3, and the variant that GluonCV's YOLOv3 has.

Helps against overconfidence where there are many classes; with few classes and sigmoids a large epsilon costs, and of one Eq. 3
changes nothing. Flags: --label-smooth-eps; YOLOv3 also --label-smooth, GluonCV's."""
from __future__ import annotations

from typing import NamedTuple

import numpy as np


class Smoothing(NamedTuple):
    """What the class target of a box is: `positive` for its own class, `negative` for the others."""

    positive: float = 1.0
    negative: float = 0.0


UNSMOOTHED = Smoothing()


def equation_3(epsilon: float, class_count: int) -> Smoothing:
    """q' = (1 - epsilon) q + epsilon / K, as the target of a box's own class and of the others, for sigmoids and
    for softmax alike. epsilon in [0, 1). Raises ValueError outside it."""
    if not 0 <= epsilon < 1:
        raise ValueError(f"label smoothing of {epsilon} is outside [0, 1)")
    return Smoothing(1 - epsilon + epsilon / class_count, epsilon / class_count)


def gluoncv_variant(class_count: int) -> Smoothing:
    """delta = min(1/K, 1/40): negatives delta, positives 1 - delta."""
    delta = min(1 / class_count, 1 / 40)
    return Smoothing(1 - delta, delta)


def smooth_labels(labels: np.ndarray, class_count: int, epsilon: float = 0.1) -> np.ndarray:
    """(N, K) float32 targets by Eq. 3 of (N,) class numbers, whole ones in [0, K), floats too. Raises ValueError for others."""
    smoothing, labels = equation_3(epsilon, class_count), np.asarray(labels)
    if labels.ndim != 1 or labels.dtype.kind not in "iuf":
        raise ValueError(f"labels {labels.shape} of {labels.dtype} are no class numbers, (N,)")
    own = np.arange(class_count) == labels[:, None]
    strange = labels[~own.any(axis=1)]
    if len(strange):  # its row would have no class of its own
        raise ValueError(f"the label {strange[0]} is none of {class_count} classes, which count from 0")
    return np.where(own, smoothing.positive, smoothing.negative).astype(np.float32)

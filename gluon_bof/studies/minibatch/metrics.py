"""Numbers of one image by which a training set is sorted ("What's the Best Mini-batch?", section 3.2), and more for detection.

An image is (H, W, 3) uint8 RGB, as the network is shown it without augmentation."""
from __future__ import annotations

import colorsys
from typing import Any, Callable, Iterable, NamedTuple

import cv2
import numpy as np

CANNY = (100.0, 200.0)  # of the grey image's Sobel gradient in units of 1, lower and upper; the paper tells no thresholds


class Metric(NamedTuple):
    """score(image, truth) -> float, or a tuple that is compared number by number; truth: (M, 6) as in `boxes`, or None.

    perceptual: whether it needs the weights of LPIPS, and is then scored by `lpips`."""

    about: str
    score: Callable[[np.ndarray, Any], Any] | None = None
    perceptual: bool = False


def intensity(image: np.ndarray) -> float:
    """The sum of all pixels' three channels (3.2.1)."""
    return float(image.sum(dtype=np.int64))


def colour(image: np.ndarray) -> tuple[float, float, float]:
    """(hue, saturation, value), each in [0, 1], of the image's mean colour (3.2.2)."""
    return colorsys.rgb_to_hsv(*(image.reshape(-1, 3).mean(axis=0) / 255))


def edges(image: np.ndarray) -> float:
    """The sum of the pixels, 0 or 255 each, of Canny's edges (3.2.3) with the thresholds CANNY."""
    return float(cv2.Canny(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY), *CANNY).sum(dtype=np.int64))


def object_count(truth: np.ndarray) -> float:
    """How many boxes an image has."""
    return float(len(truth))


def box_area(image: np.ndarray, truth: np.ndarray) -> float:
    """The mean area of the boxes as a share of the image's; 0 without boxes."""
    if not len(truth):
        return 0.0
    return float(np.prod(truth[:, 2:4] - truth[:, :2], axis=1).mean() / (image.shape[0] * image.shape[1]))


def entropy(class_ids: Iterable[int]) -> float:
    """The entropy in bits of how often each class occurs; 0 where there is one, or none."""
    counts = np.unique(np.fromiter(class_ids, np.int64), return_counts=True)[1]
    shares = counts / max(1, counts.sum())
    return float(-(shares * np.log2(shares)).sum()) + 0.0  # not -0


METRICS = {
    "intensity": Metric("sum of all pixels' channels", lambda image, truth: intensity(image)),
    "colour": Metric("hue, then saturation, then value of the mean colour", lambda image, truth: colour(image)),
    "edges": Metric(f"sum of Canny's edges, thresholds {CANNY[0]:g} and {CANNY[1]:g}", lambda image, truth: edges(image)),
    "perceptual": Metric("LPIPS distance (AlexNet) to the mean image; needs --alexnet and --lpips", perceptual=True),
    "objects": Metric("boxes in the image", lambda image, truth: object_count(truth)),
    "box-area": Metric("mean area of the boxes, as a share of the image", box_area),
    "class-entropy": Metric("entropy in bits of the classes of the image's boxes", lambda image, truth: entropy(truth[:, 4])),
}


def score_all(metric: str, shown: Iterable[tuple[np.ndarray, Any]]) -> np.ndarray:
    """(N, n) float64: the metric of every (image, truth), n numbers each. Raises ValueError for the perceptual one."""
    if METRICS[metric].perceptual:
        raise ValueError("the perceptual distance is scored by lpips.distances_to_mean")
    return np.array([np.atleast_1d(METRICS[metric].score(image, truth)) for image, truth in shown], np.float64)

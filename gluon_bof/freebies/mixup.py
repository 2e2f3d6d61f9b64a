"""Visually coherent mixup: blend two images and merge their boxes, geometry kept (paper, section 3.1, Fig. 3).

Helps where a network can overfit: long training, few images, objects in foreign contexts. Hurts small networks and short runs
that do not even fit their training images. Flags: --mixup, --mixup-alpha, --mixup-beta, --mixup-loss, --no-mixup-epochs."""
from __future__ import annotations

import math
from typing import NamedTuple, Sequence

import cv2
import numpy as np

from gluon_bof.boxes import as_floats, require_image
from gluon_bof.options.training import LEAST_OF_BETA

WEIGHT = 5  # column of the mix weight in a truth


def blend_images(a: np.ndarray, b: np.ndarray, ratio: float) -> np.ndarray:
    """Blend two images without resizing either, aligned at their top left corner.

    a, b: (H, W, 3) uint8; ratio: weight of a, in [0, 1].
    Returns (max H, max W, 3) uint8, black where neither reaches. Raises ValueError if ratio is outside its range, and for other
    images."""
    require_image(a)
    require_image(b)
    if not 0 <= ratio <= 1:
        raise ValueError(f"mix ratio {ratio} is outside [0, 1]")
    if a.shape == b.shape and a.size:  # OpenCV blends nothing of nothing to None
        return cv2.addWeighted(a, ratio, b, 1 - ratio, 0)
    canvas = np.zeros(mixed_shape(a.shape, b.shape), np.uint8)
    height, width = min(a.shape[0], b.shape[0]), min(a.shape[1], b.shape[1])
    # where both lie the sum is rounded once, not twice
    if height and width:
        canvas[:height, :width] = cv2.addWeighted(a[:height, :width], ratio, b[:height, :width], 1 - ratio, 0)
    for image, weight in ((a, ratio), (b, 1 - ratio)):
        tall, wide = image.shape[:2]
        for alone in (np.s_[height:tall, :wide], np.s_[:height, width:wide]):  # below, and to the right
            if image[alone].size:
                canvas[alone] = cv2.convertScaleAbs(image[alone], alpha=weight)
    return canvas


def mixed_shape(a: Sequence[int], b: Sequence[int]) -> tuple[int, int, int]:
    """(height, width, 3) of the blend of images of these shapes."""
    return max(a[0], b[0]), max(a[1], b[1]), 3


def merge_truths(a: np.ndarray, b: np.ndarray, ratio: float, weighted: bool = True) -> np.ndarray:
    """All boxes of both images, (Ma + Mb, 6), those of a weighing ratio and those of b 1 - ratio.

    weighted=False leaves every weight at 1 (Table 1's row without weighted loss)."""
    merged = np.concatenate([as_floats(a), as_floats(b)])
    if weighted:
        merged[:len(a), WEIGHT] = ratio
        merged[len(a):, WEIGHT] = 1 - ratio
    return merged


class MixRatio(NamedTuple):
    """How the mix ratio is drawn: Beta(alpha, beta), both finite and at least LEAST_OF_BETA, or always 0.5 when `even`."""

    alpha: float = 1.5
    beta: float = 1.5
    even: bool = False

    def draw(self, rng: np.random.Generator) -> float:
        """A ratio in [0, 1]. Raises ValueError for an alpha or beta outside its range."""
        if self.even:
            return 0.5
        for value in (self.alpha, self.beta):
            if not LEAST_OF_BETA <= value < math.inf:
                raise ValueError(f"mix ratios are not drawn from a Beta distribution of {value}: from {LEAST_OF_BETA} on")
        return float(rng.beta(self.alpha, self.beta))


def mix(image_a: np.ndarray, truth_a: np.ndarray, image_b: np.ndarray, truth_b: np.ndarray, ratio: float,
        weighted: bool = True) -> tuple[np.ndarray, np.ndarray]:
    """(image, truth) of two images (H, W, 3) uint8 and their boxes (M, 6), blended by `ratio`, the weight of a in [0, 1].
    Raises ValueError as `blend_images` does."""
    return blend_images(image_a, image_b, ratio), merge_truths(truth_a, truth_b, ratio, weighted)

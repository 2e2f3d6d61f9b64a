"""Augmentation of images together with their label maps: scale, crop, flip and blur (as section 3.3, for segmentation).

What GluonCV's SegmentationDataset draws, with three things put right: what lies beyond an image is ignored instead of background,
labels are looked up at the middle of each pixel, and everything drawn comes from the sample's own generator. Helps always but in
the shortest runs; with small objects a crop may hold none. Flags: --base-size, --crop-size, --no-augment."""
from __future__ import annotations

import math
from typing import NamedTuple, Sequence

import cv2
import numpy as np

from gluon_bof.freebies.augmentation import View, best_interpolation, render
from gluon_bof.masks import NOBODY

SCALES = (0.5, 2.0)  # of the base size, between which the long side is drawn
BLURRED = 0.5  # of the images
ELONGATED = 4  # times its short side an image's long one, from which on the square around it is not computed
LARGEST_BLUR = 1.0  # pixels, deviation of the Gaussian


class MapView(NamedTuple):
    """view: geometry, of the image and of its label map; blur: deviation of a Gaussian in pixels of what is seen, 0 for none."""

    view: View
    blur: float = 0.0


def fitted_view(shape: Sequence[int], size: int) -> View:
    """An image of this shape (H, W, …) in a square of `size` pixels: its long side fills it, from the top left corner."""
    side = max(shape[:2])
    return View((0, 0), (0, 0, side, side), (size, size), best_interpolation((side, side), (size, size)), False, None)


def draw_map_view(rng: np.random.Generator, shape: Sequence[int], base_size: int, crop_size: int) -> MapView:
    """A random square of crop_size pixels out of an image of this shape (H, W, …) whose long side was scaled to between half and
    twice base_size; flipped half the time, blurred half the time. A smaller image lies at the top left corner."""
    height, width = shape[:2]
    long_side = int(rng.integers(int(SCALES[0] * base_size), int(SCALES[1] * base_size) + 1))
    scale = long_side / max(height, width)
    flip = bool(rng.random() < 0.5)
    side = max(1, round(crop_size / scale))
    corner = [int(rng.integers(max(0, limit - side) + 1)) for limit in (width, height)]
    blur = float(rng.random() * LARGEST_BLUR) if rng.random() < BLURRED else 0.0
    how = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
    return MapView(View((0, 0), (*corner, side, side), (crop_size, crop_size), how, flip, None), blur)


def render_image(image: np.ndarray, seen: MapView) -> np.ndarray:
    """(size[1], size[0], 3) uint8: the image as the view shows it."""
    found = render(image, seen.view)
    return cv2.GaussianBlur(found, (0, 0), seen.blur) if seen.blur > 0 else found


def render_labels(labels: np.ndarray, view: View) -> np.ndarray:
    """(size[1], size[0]) uint8: label maps (H, W) as the view shows them, each pixel by its middle; NOBODY beyond."""
    left, top, width, height = view.window
    rows, columns = (begin - offset + _middles(length, size) for begin, offset, length, size in
                     ((top, view.offset[1], height, view.size[1]), (left, view.offset[0], width, view.size[0])))
    if view.flip:
        columns = columns[::-1]
    found = np.full((len(rows), len(columns)), NOBODY, np.uint8)
    down, across = ((0 <= places) & (places < limit) for places, limit in zip((rows, columns), labels.shape))
    found[np.ix_(down, across)] = labels[np.ix_(rows[down], columns[across])]
    return found


def _middles(length, size):
    """(size,) which of `length` pixels lies under the middle of each of `size` equal parts of them."""
    return ((np.arange(size) + 0.5) * length / size).astype(int)


def unfitted(scores: np.ndarray, shape: Sequence[int]) -> np.ndarray:
    """Scores (K, S, S) of an image that was seen by `fitted_view` -> (K, H, W) in its own pixels, interpolated."""
    height, width = shape[:2]
    side, size = max(height, width), scores.shape[1]
    if side == size:
        return scores[:, :height, :width]
    target = dict(dsize=(side, side))
    if side > ELONGATED * min(height, width):  # the last bit may be another one
        rows, columns = (min(size, math.ceil(length * size / side) + 2) for length in (height, width))
        scores, target = scores[:, :rows, :columns], dict(dsize=None, fx=side / size, fy=side / size)
    whole = np.stack([cv2.resize(plane, interpolation=cv2.INTER_LINEAR, **target) for plane in scores])
    return whole[:, :height, :width]

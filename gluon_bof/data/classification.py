"""What workers make of images of classes: views, colours and mixed labels.

They read with numpy and cv2 only; everything random comes from the spec, as in `loader`."""
from __future__ import annotations

from typing import Sequence

import cv2
import numpy as np

from gluon_bof.data.class_sets import Sample, read_record
from gluon_bof.data.images import decode_image, read_image, read_or_name
from gluon_bof.errors import UserError
from gluon_bof.freebies.augmentation import GREY, View, best_interpolation, render
from gluon_bof.freebies.mixup import blend_images
from gluon_bof.rng import augmentation_rng

# GluonCV's ImageNet training: jitter of brightness, contrast and saturation, and AlexNet's lighting
JITTER = 0.4
LIGHTING = 0.1
EIGENVALUES = np.array([55.46, 4.794, 1.148])
EIGENVECTORS = np.array([[-0.5675, 0.7192, 0.4009], [-0.5808, -0.0045, -0.8140], [-0.5836, -0.6948, 0.4203]])
MAX_ASPECT = 4 / 3
CENTRE_SHARE = 0.875  # of the short side, in validation
TRIALS = 10


def read_sample(sample: Sample) -> np.ndarray:
    """The sample's image, (H, W, 3) uint8. Raises UserError as `read_image` does."""
    if sample.place >= 0:
        try:
            return decode_image(read_record(sample.path, sample.place), sample.orientation,
                                f"{sample.path}, the record at byte {sample.place}")
        except ValueError as error:
            raise UserError(f"the record at byte {sample.place} holds no image that can be decoded ({error})", sample.path,
                            "make the file again with MXNet's im2rec.py") from None
    image = read_or_name(read_image, sample.path, sample.orientation)
    if sample.window:
        left, top, width, height = sample.window
        image = image[top:top + height, left:left + width]
    return image


class ClassImages:
    """`dataset[spec]` -> (image (S, S, 3) uint8, label (3,) float32: class, partner's class, weight of the first), a pure
    function of the spec; `dataset[i]` -> (image as validation sees it, i)."""

    def __init__(self, samples, size, least_area=0.08, augment=True):
        self.samples = samples
        self.size = size
        self.least_area = least_area
        self.augment = augment

    def __len__(self):
        return len(self.samples)

    def __getitem__(self, spec):
        if isinstance(spec, int):
            return self._looked_at(spec, None)[0], spec
        rng = augmentation_rng(spec) if self.augment else None
        image, own = self._looked_at(spec.index, rng)
        first = second = self.samples[spec.index].class_id
        other = own
        if spec.partner >= 0:
            mixed, other = self._looked_at(spec.partner, rng)
            image, second = blend_images(image, mixed, spec.ratio), self.samples[spec.partner].class_id
        return image, np.array((first, second, spec.ratio, *own, *other), np.float32)

    def _looked_at(self, index, rng):
        """(an image as it is seen, further numbers of its label)."""
        image = read_sample(self.samples[index])
        view = centre_view(image.shape, self.size) if rng is None else draw_view(rng, image, self.size, self.least_area)
        return self.render(image, view), ()

    @staticmethod
    def render(image: np.ndarray, view: View) -> np.ndarray:
        """(S, S, 3) uint8: what the view shows of an image."""
        return np.ascontiguousarray(render(image, view))


def centre_view(shape: Sequence[int], size: int) -> View:
    """The middle of an image of this shape (H, W, …): a square of 7/8 of its short side."""
    side = max(1, round(CENTRE_SHARE * min(shape[:2])))
    window = ((shape[1] - side) // 2, (shape[0] - side) // 2, side, side)
    return View((0, 0), window, (size, size), best_interpolation((side, side), (size, size)), False, None)


def draw_view(rng: np.random.Generator, image: np.ndarray, size: int, least_area: float) -> View:
    """A random part of at least that share of the area, at most 4 : 3, flipped half the time, with jittered colours."""
    height, width = image.shape[:2]
    share = rng.uniform(least_area, 1, TRIALS)
    aspect = np.exp(rng.uniform(-np.log(MAX_ASPECT), np.log(MAX_ASPECT), TRIALS))
    widths = np.round(np.sqrt(share * height * width * aspect)).astype(int)
    heights = np.round(np.sqrt(share * height * width / aspect)).astype(int)
    corner, flip, colour = rng.random(2), rng.random() < 0.5, draw_colour(rng, image)
    fitting = np.flatnonzero((0 < widths) & (widths <= width) & (0 < heights) & (heights <= height))
    if len(fitting):
        wide, high = int(widths[fitting[0]]), int(heights[fitting[0]])
        window = int(corner[0] * (width - wide + 1)), int(corner[1] * (height - high + 1)), wide, high
    else:
        window = centre_view(image.shape, size).window
    return View((0, 0), window, (size, size), best_interpolation(window[2:], (size, size)), bool(flip), colour)


def draw_colour(rng: np.random.Generator, image: np.ndarray) -> np.ndarray:
    """A (3, 4) affine map of RGB in [0, 255]: brightness, contrast and saturation in a random order, then lighting."""
    brightness, contrast, saturation = rng.uniform(1 - JITTER, 1 + JITTER, 3)
    order = rng.permutation(3)
    linear, shift = np.eye(3), np.zeros(3)
    mean = np.asarray(cv2.mean(image)[:3])
    for step in order:
        if step == 2:
            turn, off = saturation * np.eye(3) + (1 - saturation) * np.outer(np.ones(3), GREY), np.zeros(3)
        else:
            factor = (brightness, contrast)[step]
            grey = float(GREY @ (linear @ mean + shift)) if step == 1 else 0.0
            turn, off = factor * np.eye(3), np.full(3, (1 - factor) * grey)
        linear, shift = turn @ linear, turn @ shift + off
    shift = shift + EIGENVECTORS @ (EIGENVALUES * rng.normal(0, LIGHTING, 3))
    return np.column_stack([linear, shift])

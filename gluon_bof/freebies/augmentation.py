"""Augmentations of section 3.3: colour, expansion, constrained crop, flip, resize with random interpolation.

First everything is drawn (`Augmentation.draw` -> `View`), then the image is rendered (`render`) and the boxes follow
(`transform_boxes`): two pure functions of what was drawn. The distributions are those of GluonCV's YOLOv3 transform.
"""
from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Sequence

import cv2
import numpy as np

from gluon_bof import boxes, masks

MEAN = (0.485, 0.456, 0.406)  # ImageNet's, in units of 255; also the colour of an expanded image's margin
STD = (0.229, 0.224, 0.225)
FILL = tuple(round(255 * mean) for mean in MEAN)

TO_YIQ = np.array([[0.299, 0.587, 0.114], [0.596, -0.274, -0.321], [0.211, -0.523, 0.311]])
FROM_YIQ = np.array([[1.0, 0.956, 0.621], [1.0, -0.272, -0.647], [1.0, -1.107, 1.705]])
GREY = np.array([0.299, 0.587, 0.114])

CROP_IOU = ((0.1, np.inf), (0.3, np.inf), (0.5, np.inf), (0.7, np.inf), (0.9, np.inf), (-np.inf, 1.0))
CROP_TRIALS = 50
CROP_EARLY = 8  # trials that are looked at first: most demands are met by then, and the rest need not be computed
CROP_SCALE = (0.3, 1.0)
CROP_ASPECT = 2.0
EXPAND_MAX = 4.0


@dataclass(frozen=True, eq=False)
class View:
    """How one image is looked at. All in pixels of the image; colour is a (3, 4) map of RGB or None."""

    offset: tuple  # where the image lies on the canvas: right, down
    window: tuple  # what is cut from the canvas: left, top, width, height
    size: tuple  # width and height that the window is resized to
    interpolation: int  # OpenCV's number
    flip: bool
    colour: np.ndarray | None

    def crop_to_visible(self, shape: Sequence[int]) -> tuple[tuple[slice, slice], View]:
        """(slices of an image of this shape (H, W, ...) that hold all of it that is seen, the View of that part)."""
        left, top, width, height = self.window
        right, down = self.offset
        x0, y0 = max(0, left - right), max(0, top - down)
        x1, y1 = max(x0, min(left + width - right, shape[1])), max(y0, min(top + height - down, shape[0]))
        return (slice(y0, y1), slice(x0, x1)), replace(self, offset=(right + x0, down + y0))


@dataclass(frozen=True)
class Augmentation:
    """Which of the paper's augmentations are on."""

    colour: bool = True
    expand: bool = True
    crop: bool = True
    flip: bool = True
    random_interpolation: bool = True
    interpolation: int | None = None  # OpenCV's number where it is not random; None: the one that suits the resize

    @classmethod
    def none(cls) -> Augmentation:
        """Resizing only: the row "- data augmentation" of Tables 2 and 3."""
        return cls(colour=False, expand=False, crop=False, flip=False, random_interpolation=False)

    @classmethod
    def of_flags(cls, options: Any) -> Augmentation:
        """What the flags of YOLOv3 and SSD leave on: --no-augment, and one for each."""
        if options.no_augment:
            return cls.none()
        return cls(colour=not options.no_color, expand=not options.no_expand, crop=not options.no_crop, flip=not options.no_flip,
                   random_interpolation=not options.no_random_interp)

    @classmethod
    def flips_only(cls, flip: bool = True) -> Augmentation:
        """Flips and a linear resize: what Faster R-CNN trains with in the paper, and in GluonCV."""
        return replace(cls.none(), flip=flip, interpolation=cv2.INTER_LINEAR)

    def draw(self, rng: np.random.Generator, shape: Sequence[int], truth: np.ndarray, size: tuple[int, int]) -> View:
        """Draw a View of an image of this shape (H, W, ...) with these boxes, at `size` = (width, height)."""
        height, width = shape[:2]
        colour = draw_colour(rng) if self.colour else None
        offset, canvas = (0, 0), (width, height)
        if self.expand and rng.random() < 0.5:
            offset, canvas = draw_expansion(rng, width, height)
        window = (0, 0) + canvas
        if self.crop:
            window = draw_crop(rng, boxes.translate(truth, *offset), *canvas)
        interpolation = self._draw_interpolation(rng, window[2:], size)
        flip = bool(self.flip and rng.random() < 0.5)
        return View(offset, window, size, interpolation, flip, colour)

    def _draw_interpolation(self, rng, old, new):
        if self.random_interpolation:
            return int(rng.integers(5))
        return best_interpolation(old, new) if self.interpolation is None else self.interpolation


def whole_view(shape: Sequence[int], size: tuple[int, int], interpolation: int | None = None) -> View:
    """A View of a whole image of this shape (H, W, ...) at `size` = (width, height), unchanged otherwise."""
    old = (shape[1], shape[0])
    how = best_interpolation(old, size) if interpolation is None else interpolation
    return View((0, 0), (0, 0) + old, size, how, False, None)


def as_it_is(shape: Sequence[int]) -> View:
    """A View of a whole image of this shape (H, W, ...) in its own size."""
    return whole_view(shape, (shape[1], shape[0]))


def best_interpolation(old: Sequence[int], new: Sequence[int]) -> int:
    """OpenCV's number for a resize from (width, height) to (width, height), as GluonCV's automatic choice."""
    if new[0] > old[0] and new[1] > old[1]:
        return cv2.INTER_CUBIC
    if new[0] < old[0] and new[1] < old[1]:
        return cv2.INTER_AREA
    return cv2.INTER_LINEAR


def draw_colour(rng: np.random.Generator) -> np.ndarray:
    """A (3, 4) affine map of RGB in [0, 255]: brightness, then contrast, saturation and hue in one of two orders.

    Each is applied with probability 1/2. Hue turns the colour plane by up to 18 half turns, as GluonCV's does."""
    def contrast():
        return np.eye(3) * rng.uniform(0.5, 1.5) if rng.random() < 0.5 else np.eye(3)

    def saturation():
        if rng.random() < 0.5:
            alpha = rng.uniform(0.5, 1.5)
            return alpha * np.eye(3) + (1 - alpha) * np.outer(np.ones(3), GREY)
        return np.eye(3)

    def hue():
        if rng.random() < 0.5:
            angle = rng.uniform(-18, 18) * np.pi
            turn = np.array([[1, 0, 0], [0, np.cos(angle), -np.sin(angle)], [0, np.sin(angle), np.cos(angle)]])
            return FROM_YIQ @ turn @ TO_YIQ
        return np.eye(3)

    brightness = rng.uniform(-32, 32) if rng.random() < 0.5 else 0.0
    steps = (contrast, saturation, hue) if rng.random() < 0.5 else (saturation, hue, contrast)
    linear = np.eye(3)
    for step in steps:
        linear = step() @ linear
    return np.column_stack([linear, linear @ np.full(3, brightness)])


def draw_expansion(rng: np.random.Generator, width: int, height: int) -> tuple[tuple[int, int], tuple[int, int]]:
    """Where the image lies on a canvas up to four times as wide and high: ((right, down), (width, height))."""
    ratio = rng.uniform(1, EXPAND_MAX)
    canvas = int(width * ratio), int(height * ratio)
    offset = int(rng.integers(canvas[0] - width + 1)), int(rng.integers(canvas[1] - height + 1))
    return offset, canvas


def draw_crop(rng: np.random.Generator, truth: np.ndarray, width: int, height: int) -> tuple[int, int, int, int]:
    """A window (left, top, width, height) of SSD's kind: one of six demands on the IoU with every box, or the whole.

    Each demand has 50 trials; of the windows found one is taken that keeps the centre of at least one box."""
    trials = draw_trials(rng, width, height)
    if len(truth) == 0:
        return tuple(int(value) for value in trials[0, 0])

    candidates = [(0, 0, width, height)]
    first = _first_satisfying(trials[:, :CROP_EARLY], truth)
    late = np.flatnonzero(first < 0)
    if len(late):
        first[late] = _first_satisfying(trials[late], truth, late)
    candidates += [tuple(int(value) for value in trials[row, column]) for row, column in enumerate(first) if column >= 0]
    for choice in rng.permutation(len(candidates)):
        if len(boxes.crop(truth, *candidates[choice])):
            return candidates[choice]
    return 0, 0, width, height


def draw_trials(rng: np.random.Generator, width: int, height: int) -> np.ndarray:
    """(demands, trials, 4) int windows (left, top, width, height): 0.3 to 1 times the image, stretched by at most 2 : 1."""
    scale = rng.uniform(*CROP_SCALE, size=(len(CROP_IOU), CROP_TRIALS))
    aspect = rng.uniform(np.maximum(1 / CROP_ASPECT, scale ** 2), np.minimum(CROP_ASPECT, 1 / scale ** 2))
    heights = np.maximum(1, (height * scale / np.sqrt(aspect)).astype(int))
    widths = np.maximum(1, (width * scale * np.sqrt(aspect)).astype(int))
    tops = (rng.random(scale.shape) * np.maximum(1, height - heights)).astype(int)
    lefts = (rng.random(scale.shape) * np.maximum(1, width - widths)).astype(int)
    return np.stack([lefts, tops, widths, heights], axis=-1)


def _first_satisfying(trials, truth, demands=slice(None)):
    """(D,) the number of the first trial that meets each demand, or -1. trials: (D, T, 4) left, top, width, height;
    demands: which rows of CROP_IOU these are."""
    corners = np.concatenate([trials[..., :2], trials[..., :2] + trials[..., 2:]], axis=-1).reshape(-1, 4)
    overlap = boxes.iou(corners.astype(np.float64), truth[:, :4].astype(np.float64))
    lowest, highest = np.array(CROP_IOU)[demands].T
    good = ((lowest[:, None] <= overlap.min(axis=1).reshape(trials.shape[:2]))
            & (overlap.max(axis=1).reshape(trials.shape[:2]) <= highest[:, None]))
    return np.where(good.any(axis=1), good.argmax(axis=1), -1)


PHASE = 0.005  # pixels that a part of a window may be off by when it is resized alone


def render(image: np.ndarray, view: View) -> np.ndarray:
    """The image as the view shows it, (view height, view width, 3) uint8; margins have the fill colour."""
    part, view = view.crop_to_visible(image.shape)
    visible = image[part]
    if not visible.size:  # the window lies in the margin
        return np.full((view.size[1], view.size[0], 3), FILL, np.uint8)
    left, top, width, height = view.window
    x0, y0 = view.offset
    x1, y1 = x0 + visible.shape[1], y0 + visible.shape[0]
    if view.colour is not None:
        visible = cv2.transform(visible, view.colour)
    across, under = (_visible_span(*place, view.interpolation) for place in
                     ((x0 - left, x1 - left, width, view.size[0]), (y0 - top, y1 - top, height, view.size[1])))
    visible = _bordered(visible, y0 - top - under[2], under[3] - (y1 - top), x0 - left - across[2], across[3] - (x1 - left))
    seen = _resize(visible, (across[1] - across[0], under[1] - under[0]), view.interpolation)
    seen = _bordered(seen, under[0], view.size[1] - under[1], across[0], view.size[0] - across[1])
    return cv2.flip(seen, 1) if view.flip else seen


def _resize(image, size, interpolation):
    """OpenCV's resize; Lanczos through float32, in half the time of OpenCV's integers, from which it differs by a rounding."""
    if interpolation != cv2.INTER_LANCZOS4:
        return cv2.resize(image, size, interpolation=interpolation)
    seen = cv2.resize(image.astype(np.float32), size, interpolation=interpolation)
    cv2.threshold(seen, 0, 0, cv2.THRESH_TOZERO, seen)
    return cv2.convertScaleAbs(seen)


def _bordered(image, *margins):
    """The image with margins of so many pixels above, below, left and right of it."""
    return cv2.copyMakeBorder(image, *margins, cv2.BORDER_CONSTANT, value=FILL) if any(margins) else image


def _visible_span(begin, end, side, size, interpolation):
    """(i, j, a, b): pixels i to j of the resized window of `size` see the image, which lies from begin to end of the window's
    `side`; they come of its pixels a to b. All beyond is margin, and large: it need not be resized to know its colour.

    A part is resized as within the whole if it begins and ends where old and new pixels meet."""
    scale = side / size
    if (begin, end) == (0, side) or interpolation == cv2.INTER_NEAREST:
        return 0, size, 0, side
    reach = 4 * max(1, scale) + 2  # of Lanczos, the widest

    def meet(candidates, otherwise):
        return next((i for i in candidates if abs(i * scale - round(i * scale)) <= PHASE), otherwise)

    i = meet(range(max(0, int((begin - reach) / scale)), 0, -1), 0)
    j = meet(range(min(size, int((end + reach) / scale) + 1), size), size)
    return i, j, round(i * scale), round(j * scale)


def transform_boxes(truth: np.ndarray, view: View) -> np.ndarray:
    """The boxes as the view shows them, (K, 6); those whose centre falls outside the window go."""
    seen = boxes.crop(boxes.translate(truth, *view.offset), *view.window)
    seen = boxes.resize(seen, view.size[0] / view.window[2], view.size[1] / view.window[3])
    if view.flip:
        seen = boxes.flip(seen, view.size[0])
    # rounding must not push a side below 0, which would mark the row as padding
    seen[:, :4] = np.clip(seen[:, :4], 0, np.tile(view.size, 2))
    return seen


def transform_masks(run_lengths: np.ndarray, size: Sequence[int], view: View) -> np.ndarray:
    """Masks (M,) of an image of size (height, width) as the view shows them: dense, (M, view height, view width) uint8. Whether a
    box goes is for `transform_boxes` to say."""
    left, top, width, height = view.window
    seen = masks.crop_dense(masks.decode(run_lengths, size), left - view.offset[0], top - view.offset[1], width, height)
    seen = masks.resize_dense(seen, (view.size[1], view.size[0]))
    return seen[:, :, ::-1] if view.flip else seen


def augment(image: np.ndarray, truth: np.ndarray, size: tuple[int, int], seed: int = 0,
            augmentation: Augmentation | None = None) -> tuple[np.ndarray, np.ndarray]:
    """(image (size[1], size[0], 3) uint8, its boxes (K, 6)): one random view of an image (H, W, 3) uint8 RGB with boxes
    (M, 6), at `size` = (width, height) in pixels; the same for the same seed. augmentation: all of section 3.3 by default.
    Raises ValueError for other images, boxes and sizes."""
    boxes.require_image(image)
    sides = np.asarray(size)
    if sides.shape != (2,) or sides.dtype.kind not in "iu" or sides.min() < 1:
        raise ValueError(f"the size {size!r} is no width and height in pixels, such as (416, 416)")
    rng = np.random.Generator(np.random.Philox(seed))
    view = (augmentation or Augmentation()).draw(rng, image.shape, truth, size)
    return render(image, view), transform_boxes(truth, view)

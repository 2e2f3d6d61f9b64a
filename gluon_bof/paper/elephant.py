"""The elephant in the room: an object slid through an image, and what a detector then misses (paper, section 3.1, Fig. 5).

Nothing in here knows a network: `slide` takes whatever turns images into Detections."""
from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Callable, Iterable, Sequence

import numpy as np

from gluon_bof.boxes import area, intersection, iou
from gluon_bof.evaluation.matching import claim

if TYPE_CHECKING:
    from gluon_bof.boxes import Detections

ANY_CLASS = -1
MIN_IOU = 0.5  # of a detection with what it finds
HIDDEN_FROM = 0.5  # share of an object under the patch from which on it counts as hidden
IMAGES_AT_ONCE = 16


@dataclass(frozen=True, eq=False)
class Slide:
    """What was found at every place of the patch, rows from top to bottom, columns from left to right.

    lefts (X,), tops (Y,): the patch's corner in pixels. patch_scores (Y, X): the detection's that finds the patch, 0 if
    none does. scores (Y, X, M): the same of each other object; covered (Y, X, M): the share of it under the patch, in [0, 1].
    clean_scores (M,): without the patch. threshold: the score from which on a detection counts."""

    lefts: np.ndarray
    tops: np.ndarray
    patch_scores: np.ndarray
    scores: np.ndarray
    covered: np.ndarray
    clean_scores: np.ndarray
    threshold: float

    @property
    def hidden(self) -> np.ndarray:
        """(Y, X, M) bool: objects that lie mostly under the patch, which nobody is asked to find."""
        return self.covered >= HIDDEN_FROM

    @property
    def visible(self) -> np.ndarray:
        """(Y, X) number of other objects that are not hidden."""
        return (~self.hidden).sum(axis=2)

    @property
    def found(self) -> np.ndarray:
        """(Y, X) number of other objects that are found and not hidden."""
        return ((self.scores >= self.threshold) & ~self.hidden).sum(axis=2)

    @property
    def recall(self) -> np.ndarray:
        """(Y, X) share of the visible objects that are found; NaN where all are hidden."""
        return _ratio(self.found, self.visible)

    @property
    def score_change(self) -> np.ndarray:
        """(Y, X) mean of the visible objects' score minus that without the patch; NaN where all are hidden."""
        return _ratio(np.where(self.hidden, 0, self.scores - self.clean_scores).sum(axis=2), self.visible)

    @property
    def patch_found(self) -> np.ndarray:
        """(Y, X) bool."""
        return self.patch_scores >= self.threshold

    def summary(self) -> dict[str, float | None]:
        """Means over all places: recall of the others, of those among them that the patch does not touch, of the patch; the
        change of scores; and the recall without the patch. None for a mean of nothing."""
        return {"recall": _mean(self.recall), "recall_untouched": _mean((self.scores >= self.threshold)[self.covered == 0]),
                "recall_without_patch": _mean(self.clean_scores >= self.threshold),
                "patch_recall": _mean(self.patch_found), "score_change": _mean(self.score_change)}


def slide(detect: Callable[[list[np.ndarray]], Sequence[Detections]], image: np.ndarray, patch: np.ndarray, boxes: np.ndarray,
          classes: np.ndarray, patch_class: int = ANY_CLASS, mask: np.ndarray | None = None, step: float | None = None,
          threshold: float = 0.5, progress: Callable[[range], Iterable[int]] = lambda places: places) -> Slide:
    """Paste the patch at every place of a grid, detect, and see what is found -> Slide.

    detect([images]) -> [Detections]. image (H, W, 3), patch (h, w, 3) uint8; mask (h, w) bool: which of the patch's
    pixels are pasted. boxes (M, 4), classes (M,): the other objects. step: most pixels between places."""
    lefts, tops = places(image.shape, patch.shape, step or default_step(image.shape))
    corners = [(left, top) for top in tops for left in lefts]
    height, width = patch.shape[:2]
    looked_for = np.append(classes, patch_class)
    scores, covered = [], []
    for first in progress(range(0, len(corners), IMAGES_AT_ONCE)):
        part = corners[first:first + IMAGES_AT_ONCE]
        answers = detect([paste(image, patch, left, top, mask) for left, top in part])
        for (left, top), found in zip(part, answers):
            own = np.array((left, top, left + width, top + height), np.float32)
            scores.append(scores_of(found, np.vstack([boxes, own]), looked_for))
            covered.append(covered_share(boxes, own))
    grid = (len(tops), len(lefts), -1)
    scores = np.array(scores).reshape(grid)
    clean = scores_of(detect([image])[0], boxes, classes)
    return Slide(lefts, tops, scores[:, :, -1], scores[:, :, :-1], np.array(covered).reshape(grid), clean,
                 threshold)


def places(shape: Sequence[int], patch_shape: Sequence[int], step: float) -> tuple[np.ndarray, np.ndarray]:
    """(lefts, tops) of evenly spaced places at which a patch (h, w, …) lies wholly in an image (H, W, …), the edges among
    them, at most `step` pixels apart. Raises ValueError if the patch is larger than the image."""
    found = []
    for side, patch_side in ((shape[1], patch_shape[1]), (shape[0], patch_shape[0])):
        room = side - patch_side
        if room < 0:
            raise ValueError(f"a patch of {patch_shape[1]} x {patch_shape[0]} does not fit into {shape[1]} x {shape[0]}")
        found.append(np.round(np.linspace(0, room, math.ceil(room / step) + 1)).astype(int))
    return tuple(found)


def default_step(shape: Sequence[int]) -> int:
    """A twentieth of the longer side, in pixels."""
    return max(1, round(max(shape[:2]) / 20))


def paste(image: np.ndarray, patch: np.ndarray, left: int, top: int, mask: np.ndarray | None = None) -> np.ndarray:
    """A copy of the image with the patch's pixels, those of its mask (h, w) bool, at this corner."""
    copy = image.copy()
    window = copy[top:top + patch.shape[0], left:left + patch.shape[1]]
    window[...] = patch if mask is None else np.where(mask[:, :, None], patch, window)
    return copy


def covered_share(boxes: np.ndarray, patch_box: np.ndarray) -> np.ndarray:
    """(M,) share of the area of each box (M, 4) that lies under the patch's box (4,)."""
    return intersection(boxes, patch_box[None])[:, 0] / area(boxes)


def scores_of(found: Detections, boxes: np.ndarray, classes: np.ndarray) -> np.ndarray:
    """(M,) score of the detection that finds each object (M, 4), (M,), 0 where none does.

    Best score first, a detection finds the free object of its class that it overlaps most, with an IoU of 0.5 or more."""
    order = np.argsort(-np.asarray(found.scores), kind="stable")
    overlap = iou(np.asarray(found.boxes).reshape(-1, 4)[order], boxes)
    wanted = (classes == np.asarray(found.classes)[order][:, None]) | (classes == ANY_CLASS)
    claimed = claim(np.where(wanted, overlap, 0), MIN_IOU)
    scores = np.zeros(len(boxes))
    scores[claimed[claimed >= 0]] = np.asarray(found.scores)[order[claimed >= 0]]
    return scores


def _ratio(numerator, denominator):
    return np.where(denominator > 0, numerator / np.maximum(denominator, 1), np.nan)


def _mean(values):
    """Mean of what is a number; None if nothing is."""
    known = np.asarray(values, float)
    known = known[~np.isnan(known)]
    return float(known.mean()) if known.size else None

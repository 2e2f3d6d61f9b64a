"""Which detection found which ground truth, image by image: what all parts of a report count from.

Best score first, a detection claims the box of its class that it overlaps most among those that nobody has claimed, from the
IoU threshold on, as COCO and TIDE do. (VOC's metric, in `voc.py`, has other rules: a pixel more, and no second choice.)
A detection is excused, neither hit nor miss, where it covers a difficult box or lies in a crowd of its class."""
from __future__ import annotations

from typing import NamedTuple, Sequence

import numpy as np

from gluon_bof.boxes import Detections, Record, area, intersection, iou

EVERY_SIZE = (-np.inf, np.inf)  # square pixels
POSITIVE = 0.5  # IoU from which a detection hits
COCO_POINTS = np.linspace(0, 1, 101)  # of recall; ten of them are not hundredths to the last bit


class ImageMatch(NamedTuple):
    """One image's detections, best score first, against those of its boxes that count.

    rows (D,): places in the image's Detections; truths (G,): places in its Record; overlap (D, G) IoU in [0, 1];
    same (D, G) bool: of one class; claimed (D,): the column that a detection claims, or -1; excused (D,) bool."""

    rows: np.ndarray
    truths: np.ndarray
    overlap: np.ndarray
    same: np.ndarray
    claimed: np.ndarray
    excused: np.ndarray


class Matches(NamedTuple):
    """The detections of a whole set that are hit or miss, best score first, and how many boxes there are to find.

    classes (N,) int64, scores (N,) float64, hits (N,) bool, positives (C,) int64."""

    classes: np.ndarray
    scores: np.ndarray
    hits: np.ndarray
    positives: np.ndarray

    def of_class(self, index: int) -> tuple[np.ndarray, np.ndarray, int]:
        """(scores, hits, number of boxes) of a class."""
        mine = self.classes == index
        return self.scores[mine], self.hits[mine], int(self.positives[index])


def match_image(found: Detections, record: Record, threshold: float = POSITIVE, most: int | None = None,
                sizes: tuple[float, float] = EVERY_SIZE) -> ImageMatch:
    """ImageMatch of Detections and a Record.

    most: detections of an image that count. sizes: smallest and largest area in square pixels of boxes that count; a
    detection is excused where it claims one of another size, or nothing and is of another size itself (COCO's rule)."""
    rows = np.argsort(-np.asarray(found.scores, np.float64), kind="stable")[:most]
    boxes = np.asarray(found.boxes, np.float64).reshape(-1, 4)[rows]
    truths = np.asarray(record.boxes, np.float64).reshape(-1, 4)
    same = np.asarray(found.classes)[rows][:, None] == record.classes
    overlap = np.nan_to_num(iou(boxes, truths))  # a box that is not a number is a miss
    fits = ~_of_other_size(truths, sizes)
    counted = ~record.ignored & fits
    claimed = claim(np.where(same & counted, overlap, 0), threshold)
    excused = (same & record.difficult & (overlap >= threshold)).any(axis=1)
    excused |= (same & record.crowd & (_inside(boxes, truths) >= threshold)).any(axis=1)
    if not fits.all():
        of_other_size = same & ~fits & ~record.crowd & (claimed < 0)[:, None]
        excused |= claim(np.where(of_other_size, overlap, 0), threshold) >= 0
    excused |= _of_other_size(boxes, sizes)
    kept = np.flatnonzero(counted)
    columns = np.append(np.cumsum(counted) - 1, -1)[claimed]
    return ImageMatch(rows, kept, overlap[:, kept], same[:, kept], columns, excused & (claimed < 0))


def claim(overlap: np.ndarray, threshold: float) -> np.ndarray:
    """(D,) the column that each row of (D, G) overlaps claims, in turn the largest that is left, from the threshold on; or -1."""
    claimed = np.full(len(overlap), -1)
    if not overlap.size:
        return claimed
    left = overlap.copy()
    for row in np.flatnonzero(overlap.max(axis=1) >= threshold):
        best = left[row].argmax()
        if left[row, best] >= threshold:
            claimed[row] = best
            left[:, best] = -1
    return claimed


def pairs(worth: np.ndarray, least: float) -> list[tuple[int, int]]:
    """[(row, column)] of one-to-one pairs of (D, G) worths, the largest first, from the least on, which is above 0."""
    left = worth.copy()
    found = []
    while left.max(initial=0) >= least:
        row, column = (int(place) for place in np.unravel_index(left.argmax(), left.shape))
        found.append((row, column))
        left[row] = left[:, column] = 0
    return found


def match_set(detections: Sequence[Detections], records: Sequence[Record], class_count: int, threshold: float = POSITIVE,
              sizes: tuple[float, float] = EVERY_SIZE) -> Matches:
    """Matches of [Detections] and [Record], one of each an image. Raises ValueError if they differ in number."""
    check_lengths(detections, records)
    columns = [(np.zeros(0, np.int64), np.zeros(0), np.zeros(0, bool))]
    positives = np.zeros(class_count, np.int64)
    for found, record in zip(detections, records):
        match = match_image(found, record, threshold, sizes=sizes)
        np.add.at(positives, record.classes[match.truths], 1)
        rows = match.rows[~match.excused]
        columns.append((np.asarray(found.classes)[rows], np.asarray(found.scores, np.float64)[rows],
                        match.claimed[~match.excused] >= 0))
    classes, scores, hits = (np.concatenate(parts) for parts in zip(*columns))
    order = np.argsort(-scores, kind="stable")
    return Matches(classes[order], scores[order], hits[order], positives)


def check_lengths(detections: Sequence[Detections], records: Sequence[Record]) -> None:
    """Raise ValueError where detections and records are not of the same images."""
    if len(detections) != len(records):
        raise ValueError(f"{len(detections)} images of detections for {len(records)} records")


def average_precision(hits: np.ndarray, positives: int, points: np.ndarray = COCO_POINTS) -> float:
    """COCO's, in [0, 1]: the mean of `precision_at_recall`; NaN without boxes to find."""
    return float(precision_at_recall(hits, positives, points).mean()) if positives else np.nan


def precision_at_recall(hits: np.ndarray, positives: int, points: np.ndarray = COCO_POINTS) -> np.ndarray:
    """(101,) the highest precision at each of the points or beyond it.

    hits: (N,) bool, best score first; positives: boxes to find, at least 1; points: those of recall, in [0, 1]."""
    found = np.cumsum(hits)
    precision = found / np.arange(1, len(hits) + 1)
    ceiling = np.append(np.maximum.accumulate(precision[::-1])[::-1], 0)
    return ceiling[np.searchsorted(found / positives, points)]


def _of_other_size(boxes, sizes):
    areas = area(boxes)
    return (areas < sizes[0]) | (areas > sizes[1])  # as in COCOeval what is not a number is of no other size


def _inside(boxes, regions):
    """(D, G) share of each box that lies in each region, in [0, 1]."""
    return np.nan_to_num(intersection(boxes, regions) / np.maximum(area(boxes), 1e-12)[:, None])

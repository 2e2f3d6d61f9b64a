"""Which detection found which ground truth, image by image: what all parts of a report count from.

Best score first, a detection claims the box of its class that it overlaps most among those that nobody has claimed, from the
IoU threshold on, as COCO and TIDE do. (VOC's metric, in `voc.py`, has other rules: a pixel more, and no second choice.)
A detection is excused, neither hit nor miss, where it covers a difficult box or lies in a crowd of its class."""
from __future__ import annotations

from typing import Iterable, Iterator, NamedTuple, Sequence

import numpy as np

from gluon_bof.boxes import Detections, Record, area, intersection, iou

EVERY_SIZE = (-np.inf, np.inf)  # square pixels
POSITIVE = 0.5  # IoU from which a detection hits
COCO_POINTS = np.linspace(0, 1, 101)  # of recall; ten of them are not hundredths to the last bit


class ImageMatch(NamedTuple):
    """One image's detections, best score first, against those of its boxes that count.

    rows (D,): places in the image's Detections; classes (D,); scores (D,) float64; truths (G,): places in its Record;
    true_classes (G,); overlap (D, G): IoU in [0, 1]; claimed (D,): the column that a detection claims, or -1; excused (D,):
    bool."""

    rows: np.ndarray
    classes: np.ndarray
    scores: np.ndarray
    truths: np.ndarray
    true_classes: np.ndarray
    overlap: np.ndarray
    claimed: np.ndarray
    excused: np.ndarray

    def best(self, most: int) -> ImageMatch:
        """The match of so many detections alone, those of the best scores: what they claim no other changes."""
        return self._replace(**{name: getattr(self, name)[:most]
                                for name in ("rows", "classes", "scores", "overlap", "claimed", "excused")})


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


def match_images(detections: Sequence[Detections], records: Sequence[Record]) -> list[ImageMatch]:
    """[ImageMatch] of [Detections] and [Record], for what needs them more than once. Raises ValueError as `each_match` does."""
    return list(each_match(detections, records))


def each_match(detections: Sequence[Detections], records: Sequence[Record],
               sizes: tuple[float, float] = EVERY_SIZE) -> Iterator[ImageMatch]:
    """ImageMatch after ImageMatch of [Detections] and [Record], one of each an image, made as they are asked for. Raises
    ValueError if they differ in number.

    sizes: smallest and largest area in square pixels of boxes that count; a detection is excused where it claims one of another
    size, or nothing and is of another size itself (COCO's rule)."""
    check_lengths(detections, records)
    return (_match_image(found, record, sizes) for found, record in zip(detections, records))


def _match_image(found, record, sizes):
    rows = np.argsort(-np.asarray(found.scores, np.float64), kind="stable")
    boxes = np.asarray(found.boxes, np.float64).reshape(-1, 4)[rows]
    truths = np.asarray(record.boxes, np.float64).reshape(-1, 4)
    classes = np.asarray(found.classes)[rows]
    same = classes[:, None] == record.classes
    overlap = np.nan_to_num(iou(boxes, truths))  # a box that is not a number is a miss
    fits = ~_of_other_size(truths, sizes)
    counted = ~record.ignored & fits
    claimed = claim(np.where(same & counted, overlap, 0), POSITIVE)
    excused = (same & record.difficult & (overlap >= POSITIVE)).any(axis=1)
    excused |= (same[:, record.crowd] & (_inside(boxes, truths[record.crowd]) >= POSITIVE)).any(axis=1)
    if not fits.all():
        of_other_size = same & ~fits & ~record.crowd & (claimed < 0)[:, None]
        excused |= claim(np.where(of_other_size, overlap, 0), POSITIVE) >= 0
    excused |= _of_other_size(boxes, sizes)
    kept = np.flatnonzero(counted)
    columns = np.append(np.cumsum(counted) - 1, -1)[claimed]
    return ImageMatch(rows, classes, np.asarray(found.scores, np.float64)[rows], kept, record.classes[kept], overlap[:, kept],
                      columns, excused & (claimed < 0))


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


def match_set(matches: Iterable[ImageMatch], class_count: int) -> Matches:
    """Matches of all images' together."""
    columns = [(np.zeros(0, np.int64), np.zeros(0), np.zeros(0, bool))]
    positives = np.zeros(class_count, np.int64)
    for match in matches:
        np.add.at(positives, match.true_classes, 1)
        counted = ~match.excused
        columns.append((match.classes[counted], match.scores[counted], match.claimed[counted] >= 0))
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

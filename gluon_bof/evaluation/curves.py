"""What one number hides: precision and recall at every score, confusion, calibration, AP by size of the boxes."""
from __future__ import annotations

from typing import NamedTuple, Sequence

import numpy as np

from gluon_bof.boxes import Detections, Record, iou
from gluon_bof.evaluation.matching import POSITIVE, ImageMatch, average_precision, each_match, match_set, pairs

# COCO's bounds, in square pixels, both ends in
SIZES = {"small": (0.0, 32.0 ** 2), "medium": (32.0 ** 2, 96.0 ** 2), "large": (96.0 ** 2, 1e10)}
BINS = 10  # of scores, in calibration


class Curve(NamedTuple):
    """Precision, recall and F1 in [0, 1] of the detections from a score on, for each score that occurs, best first."""

    scores: np.ndarray
    precision: np.ndarray
    recall: np.ndarray

    @property
    def f1(self) -> np.ndarray:
        """Harmonic mean of precision and recall; 0 where both are."""
        total = self.precision + self.recall
        return np.divide(2 * self.precision * self.recall, total, out=np.zeros_like(total), where=total > 0)


class Best(NamedTuple):
    """The score from which F1 is best, and what it is there; None and zeros where nothing was found."""

    score: float | None
    f1: float
    precision: float
    recall: float


class Calibration(NamedTuple):
    """Of scores in equal bins: how many, their mean, and the share of hits among them (NaN in an empty bin); and the expected
    calibration error in [0, 1], the mean distance of the two, weighted by how many there are."""

    edges: np.ndarray
    counts: np.ndarray
    confidence: np.ndarray
    precision: np.ndarray
    error: float


def curve(scores: np.ndarray, hits: np.ndarray, positives: int) -> Curve:
    """Curve of detections, best score first; detections of one score come and go together. positives: boxes to find."""
    ends = np.append(np.flatnonzero(np.diff(scores)), len(scores) - 1) if len(scores) else np.zeros(0, int)
    found = np.cumsum(hits)[ends] if len(scores) else np.zeros(0)
    return Curve(np.asarray(scores)[ends], found / np.maximum(ends + 1, 1), found / max(positives, 1))


def best_f1(points: Curve) -> Best:
    """Best of a Curve; of equal ones the highest score."""
    f1 = points.f1
    if not f1.size or not f1.max():
        return Best(None, 0.0, 0.0, 0.0)
    place = int(f1.argmax())
    return Best(float(points.scores[place]), float(f1[place]), float(points.precision[place]), float(points.recall[place]))


def confusion_matrix(matches: Sequence[ImageMatch], class_count: int, score: float) -> np.ndarray:
    """(C + 1, C + 1) int64, row: what is there, column: what was found; the last of both is background.

    Detections from `score` on are paired with boxes, whatever their classes, the largest IoU first, from POSITIVE on.
    What is excused (see `matching`) is nowhere."""
    matrix = np.zeros((class_count + 1, class_count + 1), np.int64)
    for match in matches:
        shown = (match.scores >= score) & ~match.excused
        labels, truths = match.classes[shown], match.true_classes
        row_of, column_of = np.array(pairs(match.overlap[shown], POSITIVE), int).reshape(-1, 2).T
        np.add.at(matrix, (truths[column_of], labels[row_of]), 1)
        alone = np.ones(len(labels), bool)
        alone[row_of] = False
        unfound = np.ones(len(truths), bool)
        unfound[column_of] = False
        np.add.at(matrix, (class_count, labels[alone]), 1)
        np.add.at(matrix, (truths[unfound], class_count), 1)
    return matrix


def calibration(scores: np.ndarray, hits: np.ndarray, bins: int = BINS) -> Calibration:
    """Calibration of scores in [0, 1] (N,) and whether each was a hit (N,) bool."""
    scores, hits = np.asarray(scores, np.float64), np.asarray(hits, np.float64)
    edges = np.linspace(0, 1, bins + 1)
    places = np.clip(np.searchsorted(edges, scores, side="right") - 1, 0, bins - 1)
    counts = np.bincount(places, minlength=bins)
    with np.errstate(invalid="ignore"):
        confidence = np.bincount(places, scores, bins) / counts
        precision = np.bincount(places, hits, bins) / counts
    filled = counts > 0
    error = float((np.abs(confidence - precision)[filled] * counts[filled]).sum() / max(len(scores), 1))
    return Calibration(edges, counts, confidence, precision, error)


def ap_by_size(detections: Sequence[Detections], records: Sequence[Record],
               class_count: int) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """{size: ((C,) AP in [0, 1], NaN without boxes; (C,) number of boxes)}, COCO's AP50. A box's size is its area."""
    by_size = {}
    for name, bounds in SIZES.items():
        matches = match_set(each_match(detections, records, bounds), class_count)
        values = [average_precision(*matches.of_class(index)[1:]) for index in range(class_count)]
        by_size[name] = np.array(values), matches.positives
    return by_size


def lowest_overlaps(matches: Sequence[ImageMatch], score: float) -> list[tuple[float, int, int, int]]:
    """[(IoU, image, row of the detection, place of the box)] of hits from `score` on, lowest IoU first."""
    found = []
    for image, match in enumerate(matches):
        for place in np.flatnonzero((match.claimed >= 0) & (match.scores >= score)):
            column = match.claimed[place]
            found.append((float(match.overlap[place, column]), image, int(match.rows[place]), int(match.truths[column])))
    return sorted(found)


def nearest(box: np.ndarray, boxes: np.ndarray) -> tuple[int, float]:
    """(place of the box that overlaps most, or -1; their IoU)."""
    if not len(boxes):
        return -1, 0.0
    overlap = iou(np.asarray(box, np.float64)[None], np.asarray(boxes, np.float64))[0]
    place = int(overlap.argmax())
    return (place, float(overlap[place])) if overlap[place] > 0 else (-1, 0.0)

"""Pascal VOC's average precision, 11-point (2007) and all-point (2010 on), with GluonCV's numbers.

Where GluonCV leaves something open or goes wrong, ours is fixed: equal scores count in the order of the images, and
within an image in the order of its detections (GluonCV's order is that of an unstable sort); a box that is not a
number is a miss (GluonCV makes it a hit). On difficult boxes GluonCV and VOC's own kit agree: a detection that fits
one best is neither hit nor miss, however many there are. The eleven points are GluonCV's, NumPy's rounding included:
the fourth is 0.30000000000000004, which a recall of 3/10 does not reach; the kit's MATLAB may round otherwise.
"""
from __future__ import annotations

from typing import TYPE_CHECKING, Sequence

import numpy as np

from gluon_bof.boxes import area, as_floats
from gluon_bof.evaluation.matching import check_lengths

if TYPE_CHECKING:
    from gluon_bof.boxes import Detections, Record

_ELEVEN_POINTS = np.arange(0.0, 1.1, 0.1)
_MISS, _IGNORED = -1, -2  # what a detection found that has no ground truth to claim


def voc_average_precision(detections: Sequence[Detections], records: Sequence[Record], class_count: int,
                          iou_threshold: float = 0.5, eleven_point: bool = True) -> np.ndarray:
    """(class_count,) float64 average precision in [0, 1]; NaN for a class without a box that is neither difficult nor
    crowd.

    detections: [Detections], records: [Record], one of each an image, in the same order; boxes in the image's own
    pixels. eleven_point: VOC2007's, else all points. Raises ValueError if the two lists differ in length."""
    check_lengths(detections, records)
    classes = _joined([found.classes for found in detections], np.int64)
    scores = _joined([found.scores for found in detections], np.float64)
    targets = _targets(detections, records, iou_threshold)
    truths = _joined([record.classes[~record.ignored] for record in records], np.int64)
    precision_of = _eleven_point if eleven_point else _all_point
    ap = np.full(class_count, np.nan)
    for index in range(class_count):
        positives = np.count_nonzero(truths == index)
        if positives:
            of_class = np.flatnonzero(classes == index)
            best_first = of_class[np.argsort(-scores[of_class], kind="stable")]
            ap[index] = precision_of(*_curve(targets[best_first], positives))
    return ap


def mean_ap(ap: np.ndarray | Sequence[float]) -> float:
    """Mean of the classes that have a number; 0.0 if none has."""
    known = np.asarray(ap, np.float64)
    known = known[~np.isnan(known)]
    return float(known.mean()) if known.size else 0.0


def per_class_table(ap: np.ndarray | Sequence[float], classes: Sequence[str], mean: str = "mAP") -> str:
    """The classes' AP as aligned lines of plain text, "-" where there is none; their mean, by this name, comes last."""
    rows = [(name, "-" if np.isnan(value) else f"{value:.4f}") for name, value in zip(classes, ap)]
    rows.append((mean, "-" if np.isnan(np.asarray(ap, np.float64)).all() else f"{mean_ap(ap):.4f}"))
    width = max(len(name) for name, _ in rows)
    return "\n".join(f"{name:<{width}}  {value:>6}" for name, value in rows)


def _joined(arrays, dtype):
    return np.concatenate(arrays).astype(dtype) if arrays else np.zeros(0, dtype)


def _targets(detections, records, iou_threshold):
    """What each detection of all images found: the ground truth's number in the whole set, _MISS or _IGNORED."""
    targets = []
    first = 0
    for found, record in zip(detections, records):
        target = np.full(len(found.scores), _MISS)
        if len(found.scores) and len(record.boxes):
            overlap = _iou(found.boxes, record.boxes)
            # not "below": a comparison with NaN has to come out as a miss, too
            overlap[~((found.classes[:, None] == record.classes) & (overlap >= iou_threshold))] = -1
            best = overlap.argmax(axis=1)
            hit = overlap[np.arange(len(best)), best] >= 0
            target[hit] = np.where(record.ignored[best], _IGNORED, first + best)[hit]
        targets.append(target)
        first += len(record.boxes)
    return _joined(targets, np.int64)


def _iou(a, b):
    """(A, B) IoU of boxes whose right and bottom pixels belong to them, hence 1 more; in float32 or the boxes' own precision."""
    a, b = as_floats(a), as_floats(b)
    beyond = np.array((0, 0, 1, 1), a.dtype)
    a, b = a + beyond, b + beyond
    sides = np.minimum(a[:, None, 2:], b[:, 2:]) - np.maximum(a[:, None, :2], b[:, :2])
    shared = np.where((sides > 0).all(axis=2), sides[..., 0] * sides[..., 1], 0)
    with np.errstate(divide="ignore", invalid="ignore"):
        return shared / (area(a)[:, None] + area(b) - shared)


def _curve(targets, positives):
    """(recall, precision) after each detection, best score first. The first to find a box hits, later ones miss."""
    claimed = np.flatnonzero(targets >= 0)
    hits = np.zeros(len(targets))
    hits[claimed[np.unique(targets[claimed], return_index=True)[1]]] = 1
    hit_count = np.cumsum(hits)
    counted = np.cumsum(targets != _IGNORED)
    return hit_count / positives, hit_count / np.maximum(counted, 1)


def _precision_envelope(precision):
    """Highest precision at this recall or a greater one."""
    return np.maximum.accumulate(precision[::-1])[::-1]


def _eleven_point(recall, precision):
    at_points = np.append(_precision_envelope(precision), 0)[np.searchsorted(recall, _ELEVEN_POINTS)]
    return at_points.sum() / len(_ELEVEN_POINTS)


def _all_point(recall, precision):
    return np.sum(np.diff(recall, prepend=0) * _precision_envelope(precision))

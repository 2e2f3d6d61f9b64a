"""What AP is lost to: the six kinds of error of TIDE (Bolya et al., "A General Toolbox for Identifying Object Detection
Errors", ECCV 2020), and the AP that mending each kind alone would bring.

A detection that hits nothing is, in this order: badly placed (its class, IoU with a box from NOTHING to POSITIVE),
of the wrong class (well placed on another class's box), a duplicate (of a hit), background (overlaps nothing), or both (of
another class and badly placed). A box that no hit found, nor could find if such an error were mended, is missed."""
from __future__ import annotations

from typing import NamedTuple, Sequence

import numpy as np

from gluon_bof.evaluation.matching import POSITIVE, ImageMatch, average_precision

KINDS = ("classification", "localisation", "both", "duplicate", "background", "missed")
CLASSIFICATION, LOCALISATION, BOTH, DUPLICATE, BACKGROUND, MISSED = range(6)
HIT = -1
MOST = 100  # detections of an image, as COCO counts
TIDE_POINTS = np.arange(101) / 100  # of recall, as tidecv has them; COCO's differ from ten of them in the last bit
NOTHING = 0.1  # IoU up to which a detection overlaps nothing


class Errors(NamedTuple):
    """ap: COCO's AP at the IoU POSITIVE, mean of the classes; gains: {kind: AP that mending it adds}; false_positive and
    false_negative: AP that a perfect precision, or recall, would add; all in [0, 1]. counts: {kind: errors}.
    kinds: of each image's detections in their own order, (D,) places in KINDS, -1 for hits and those beyond the most."""

    ap: float
    gains: dict
    false_positive: float
    false_negative: float
    counts: dict
    kinds: list


class _Points(NamedTuple):
    """All detections of a set. mends: it would claim a box that nobody found, were its error mended; mended_class: then."""

    classes: np.ndarray
    scores: np.ndarray
    kinds: np.ndarray
    excused: np.ndarray
    mends: np.ndarray
    mended_class: np.ndarray


def detection_errors(matches: Sequence[ImageMatch], class_count: int) -> Errors:
    """Errors of [ImageMatch]."""
    positives, unfound, missed = (np.zeros(class_count, np.int64) for _ in range(3))
    columns, kinds_of_images = [], []
    for whole in matches:
        match = whole.best(MOST)
        points, found_by, reachable = _classify(match)
        np.add.at(positives, match.true_classes, 1)
        np.add.at(unfound, match.true_classes[~found_by], 1)
        np.add.at(missed, match.true_classes[~found_by & ~reachable], 1)
        columns.append(points)
        in_own_order = np.full(len(whole.rows), HIT)
        in_own_order[match.rows] = points.kinds
        kinds_of_images.append(in_own_order)
    if not columns:
        return Errors(0.0, dict.fromkeys(KINDS, 0.0), 0.0, 0.0, dict.fromkeys(KINDS, 0), [])
    points = _Points(*map(np.concatenate, zip(*columns)))
    return _weigh(points, positives, unfound, missed, kinds_of_images)


def _classify(match):
    """(_Points of an image, (G,) bool which boxes are found, (G,) bool which an error's mending would find)."""
    count, boxes = match.overlap.shape
    classes = match.classes
    found_by = np.zeros(boxes, bool)
    found_by[match.claimed[match.claimed >= 0]] = True
    reachable = np.zeros(boxes, bool)
    kinds = np.where(match.claimed >= 0, HIT, BACKGROUND)
    mends, mended_class = np.zeros(count, bool), classes.copy()
    if not boxes:
        return _Points(classes, match.scores, kinds, match.excused, mends, mended_class), found_by, reachable
    same = classes[:, None] == match.true_classes
    own, other = match.overlap * same, match.overlap * ~same
    nearest = own.max(axis=1)
    kinds = np.select([match.claimed >= 0,
                       (NOTHING <= nearest) & (nearest <= POSITIVE),
                       other.max(axis=1) >= POSITIVE,
                       (own * found_by).max(axis=1) >= POSITIVE,
                       match.overlap.max(axis=1) <= NOTHING],
                      [HIT, LOCALISATION, CLASSIFICATION, DUPLICATE, BACKGROUND], BOTH)
    for kind, overlap in ((LOCALISATION, own), (CLASSIFICATION, other)):
        mended_class[kinds == kind] = match.true_classes[overlap.argmax(axis=1)[kinds == kind]]
    for row in np.flatnonzero((kinds == LOCALISATION) | (kinds == CLASSIFICATION)):
        target = (own if kinds[row] == LOCALISATION else other)[row].argmax()
        # only one error of a box can be mended into its hit: the one of the best score
        mends[row] = not found_by[target] and not reachable[target]
        reachable[target] |= not found_by[target]
    return _Points(classes, match.scores, kinds, match.excused, mends, mended_class), found_by, reachable


def _weigh(points, positives, unfound, missed, kinds_of_images):
    hits = points.kinds == HIT
    counted = ~points.excused
    ap = _mean_ap(points.classes[counted], points.scores[counted], hits[counted], positives)
    # the tool that TIDE's authors published puts errors before hits of the same score once one kind is mended
    order = np.argsort(hits, kind="stable")
    points = _Points(*(column[order] for column in points))
    hits, counted = hits[order], counted[order]

    gains, counts = {}, {}
    for kind, name in enumerate(KINDS):
        of_kind = points.kinds == kind
        counts[name] = int(missed.sum()) if kind == MISSED else int(of_kind.sum())
        mended = of_kind & points.mends
        kept = np.where(of_kind, mended, counted)
        classes = np.where(mended, points.mended_class, points.classes)
        left = positives - missed if kind == MISSED else positives
        gains[name] = max(_mean_ap(classes[kept], points.scores[kept], (hits | mended)[kept], left) - ap, 0.0)
    precise = _mean_ap(points.classes[counted], hits[counted].astype(float), hits[counted], positives)
    complete = _mean_ap(points.classes[counted], points.scores[counted], hits[counted], positives - unfound)
    return Errors(ap, gains, precise - ap, complete - ap, counts, kinds_of_images)


def _mean_ap(classes, scores, hits, positives):
    """Mean AP of the classes that have a box or a detection; one without a box has 0."""
    order = np.argsort(-scores, kind="stable")
    classes, hits = classes[order], hits[order]
    present = np.flatnonzero((positives > 0) | np.isin(np.arange(len(positives)), classes))
    values = [average_precision(hits[classes == index], positives[index], TIDE_POINTS) if positives[index] else 0.0
              for index in present]
    return float(np.mean(values)) if values else 0.0

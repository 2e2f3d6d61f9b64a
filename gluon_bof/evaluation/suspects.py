"""Labels that a trained model doubts: an object without a box, a box of another class, a box that is badly placed.

What the network found in an image is first brought down to objects: the best detection of a place, with the score of every
class there. Objects and labels are then paired, the largest IoU first. What stays without a label, has another class's, or
lies beside its own, is a suspect; its suspicion, in [0, 1], orders them, the kinds together."""
from __future__ import annotations

from typing import NamedTuple, Sequence

import numpy as np

from gluon_bof.boxes import Detections, Record, area, intersection, iou
from gluon_bof.evaluation.matching import check_lengths, pairs

KINDS = ("missing", "class", "place")
SAID = {"missing": "no box here", "class": "another class", "place": "badly placed"}
ONE_PLACE = 0.6  # IoU from which detections of several classes are of one object
LEAST_SCORE = 0.2  # of an object that can raise a doubt
LEAST_PAIR = 0.1  # IoU from which an object and a label may belong together
OTHER_CLASS = 0.4  # IoU from which a label of another class is meant for the object
USUAL = 0.5  # quantile: half of all pairs lie as well as this
FEW_PAIRS = 20  # below which a model's own precision is not known
PRECISION = 0.8  # IoU that is then assumed
BEST_PRECISION = 0.95  # nobody draws boxes better than this


class Suspect(NamedTuple):
    """A label that is probably wrong, or one that is probably missing.

    kind: one of KINDS; suspicion in [0, 1]; image: number of the record; label: place in the record, or -1 for a missing one;
    box (4,): where the model sees the object; class_id: what it sees; score: how sure it is; overlap: IoU with the label."""

    kind: str
    suspicion: float
    image: int
    label: int
    box: tuple
    class_id: int
    score: float
    overlap: float


class _Object(NamedTuple):
    """A place in an image where the network found something: its best detection and the score of each class there (C,)."""

    box: np.ndarray
    class_id: int
    scores: np.ndarray


def find_suspects(detections: Sequence[Detections], records: Sequence[Record], class_count: int) -> list[Suspect]:
    """[Suspect], the most suspicious first, of [Detections] against [Record], one of each an image.

    Crowds are no suspects, and what lies in one is not missing. Raises ValueError if the lists differ in length."""
    check_lengths(detections, records)
    objects = [_objects(found, class_count) for found in detections]
    pairings = [_pair(seen, record) for seen, record in zip(objects, records)]
    usual = _usual_overlap(objects, pairings, records)
    suspects = [suspect for image, (seen, pairing, record) in enumerate(zip(objects, pairings, records))
                for suspect in _doubts(image, seen, pairing, record, usual)]
    return sorted(suspects, key=lambda one: (-one.suspicion, one.image, one.label))


def _objects(found, class_count):
    """The _Objects of Detections, best first."""
    order = np.argsort(-np.asarray(found.scores, np.float64), kind="stable")
    boxes = np.asarray(found.boxes, np.float64)[order]
    classes, scores = np.asarray(found.classes)[order], np.asarray(found.scores, np.float64)[order]
    kept = np.isfinite(boxes).all(axis=1)
    boxes, classes, scores = boxes[kept], classes[kept], scores[kept]
    free = np.ones(len(scores), bool)
    objects = []
    for row in range(len(scores)):
        if scores[row] < LEAST_SCORE:
            break
        if free[row]:
            here = free & (iou(boxes[row:row + 1], boxes)[0] >= ONE_PLACE)
            here[row] = True
            of_class = np.zeros(class_count)
            np.maximum.at(of_class, classes[here], scores[here])
            objects.append(_Object(boxes[row], int(classes[row]), of_class))
            free &= ~here
    return objects


def _pair(objects, record):
    """([(object, label)], (O, M) overlap): one to one, the largest IoU first, labels of the object's own class before others."""
    overlap = np.zeros((len(objects), len(record.boxes)))
    if not overlap.size:
        return [], overlap
    overlap = iou(np.array([one.box for one in objects]), record.boxes.astype(np.float64))
    same = np.array([one.class_id for one in objects])[:, None] == record.classes
    worth = np.where(same, overlap, np.where(overlap >= OTHER_CLASS, overlap - 0.2, 0)) * ~record.crowd
    return pairs(worth, LEAST_PAIR), overlap


def _usual_overlap(objects, pairings, records):
    """The IoU that this model and these labels usually have."""
    overlaps = [overlap[row, column] for seen, (paired, overlap), record in zip(objects, pairings, records)
                for row, column in paired if seen[row].class_id == record.classes[column]]
    return min(float(np.quantile(overlaps, USUAL)), BEST_PRECISION) if len(overlaps) >= FEW_PAIRS else PRECISION


def _doubts(image, objects, pairing, record, usual):
    labelled, overlap = pairing
    label_of = dict(labelled)
    for row, seen in enumerate(objects):
        score, column = float(seen.scores[seen.class_id]), label_of.get(row, -1)
        nearest = overlap[row].max(initial=0.0)
        if column < 0:
            kind, doubt = "missing", 0 if _in_crowd(seen, record) else score * (1 - nearest)
        elif record.classes[column] != seen.class_id:
            doubt = (score - seen.scores[record.classes[column]]) * min(1.0, overlap[row, column] / usual)
            kind = "class"
        else:
            kind, doubt = "place", score * _misplaced(overlap[row, column], usual)
        if doubt > 0:
            at = overlap[row, column] if column >= 0 else nearest
            yield Suspect(kind, float(doubt), image, column, tuple(seen.box.tolist()), seen.class_id, score,
                          float(at))


def _misplaced(overlap, usual):
    """0 where a label is at most thrice as far off as half of all are, near 1 where it hardly touches and they fit well."""
    return max(0.0, 1 - 3 * (1 - usual) / max(1 - overlap, 1e-9))


def _in_crowd(seen, record):
    crowds = record.boxes[record.crowd & (record.classes == seen.class_id)].astype(np.float64)
    box = seen.box[None]
    return bool((intersection(box, crowds) >= 0.5 * area(box)).any())

"""Labels spoilt on purpose, to measure how well suspects are found."""
from __future__ import annotations

import dataclasses
from typing import NamedTuple, Sequence

import numpy as np

from gluon_bof.boxes import Record, iou
from gluon_bof.evaluation.matching import POSITIVE
from gluon_bof.evaluation.suspects import KINDS, Suspect

SHIFT = (0.3, 0.7)  # of a box's side, along both axes
LEAST_LEFT = 0.5  # of a shifted box within its image


class Spoilt(NamedTuple):
    """A label that was changed: kind (dropped, another class, shifted), image (number of the record), box (4,) as it was."""

    kind: str
    image: int
    box: np.ndarray


def spoil(records: Sequence[Record], class_count: int, share: float = 0.05, seed: int = 0) -> tuple[list[Record], list[Spoilt]]:
    """([Record] with this share of their labels spoilt, [Spoilt]): in turn a dropped box, a swapped class, a shifted box.

    Labels are drawn from all that are neither difficult nor crowd; with one class, none is swapped."""
    rng = np.random.default_rng(seed)
    places = [(image, label) for image, record in enumerate(records)
              for label in np.flatnonzero(~record.difficult & ~record.crowd)]
    kinds = KINDS if class_count > 1 else ("missing", "place")
    chosen = rng.permutation(len(places))[:round(share * len(places))]
    changes, spoilt = {}, []
    for number, place in enumerate(chosen):
        image, label = places[place]
        kind = kinds[number % len(kinds)]
        changes.setdefault(image, []).append((kind, label))
        spoilt.append(Spoilt(kind, image, records[image].boxes[label].astype(float)))
    changed = [_changed(record, changes.get(image, ()), class_count, rng) for image, record in enumerate(records)]
    return changed, spoilt


def _changed(record, changes, class_count, rng):
    boxes, classes = record.boxes.copy(), record.classes.copy()
    keep = np.ones(len(boxes), bool)
    for kind, label in changes:
        if kind == "missing":
            keep[label] = False
        elif kind == "class":
            classes[label] = (classes[label] + rng.integers(1, class_count)) % class_count
        else:
            boxes[label] = _shifted(boxes[label], record, rng)
    return dataclasses.replace(record, boxes=boxes[keep], classes=classes[keep], difficult=record.difficult[keep],
                               crowd=record.crowd[keep])


def _shifted(box, record, rng):
    """The box moved along both axes, cut to the image, so that most of it is still inside."""
    sides = box[2:] - box[:2]
    limits = np.array((record.width, record.height) * 2, np.float32)
    for _ in range(50):
        step = rng.uniform(*SHIFT, 2) * rng.choice((-1, 1), 2) * sides
        moved = np.clip(box + np.tile(step, 2), 0, limits).astype(np.float32)
        if np.prod(moved[2:] - moved[:2]) >= LEAST_LEFT * np.prod(sides):
            return moved
    step = np.where(box[:2] + box[2:] < limits[:2], 1, -1) * SHIFT[0] * sides  # towards the middle
    return np.clip(box + np.tile(step, 2), 0, limits).astype(np.float32)


def judge(suspects: Sequence[Suspect], spoilt: Sequence[Spoilt]) -> np.ndarray:
    """(N,) number in `spoilt` that each suspect found, or -1: the first at a place counts, later ones there do not.

    It is found by a suspect of the same image whose box covers the object as it was, whatever kind was suspected."""
    left = {}
    for number, one in enumerate(spoilt):
        left.setdefault(one.image, []).append(number)
    found = np.full(len(suspects), -1)
    for place, suspect in enumerate(suspects):
        for number in left.get(suspect.image, ()):
            if iou(np.array([suspect.box]), spoilt[number].box[None])[0, 0] >= POSITIVE:
                found[place] = number
                left[suspect.image].remove(number)
                break
    return found

"""Boxes: formats, IoU, crop, flip, resize. This page fixes the names and shapes that all of gluon_bof obeys.

image     (H, W, 3) uint8, RGB.
boxes       (M, 4) float32: xmin, ymin, xmax, ymax in pixels that count from 0; corner format unless a name says otherwise.
classes     (M,) int64: index into the set's class names.
difficult   (M,) bool: trained on, neither hit nor miss in VOC's metric.
crowd       (M,) bool: COCO's iscrowd; never trained on, ignored in evaluation.
truth       (M, 6) float32, what crosses the wire: the four corners, class id, mix weight in [0, 1]; padding rows are -1.
scores      (D,) float32 in [0, 1].
"""
from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

TRUTH_COLUMNS = 6


@dataclass(frozen=True, eq=False)
class Record:
    """One image and its ground truth, as a reader found it. `source` is the file that holds the annotation."""

    path: str
    source: str
    image_id: object  # VOC: the name without ending; COCO: the integer id
    width: int
    height: int
    boxes: np.ndarray
    classes: np.ndarray
    difficult: np.ndarray
    crowd: np.ndarray

    def truth(self):
        """Ground truth to train on, (M, 6) float32 with mix weight 1; crowds are left out."""
        keep = ~self.crowd
        rows = np.ones((int(keep.sum()), TRUTH_COLUMNS), np.float32)
        rows[:, :4] = self.boxes[keep]
        rows[:, 4] = self.classes[keep]
        return rows


class Fault(NamedTuple):
    """Something wrong in a data set: the file, a kind (a short fixed word) and one sentence."""

    path: str
    kind: str
    message: str


@dataclass
class DetectionSet:
    """Images with boxes of named classes. `faults` are those that were skipped while reading."""

    name: str
    classes: tuple
    records: list
    faults: list = field(default_factory=list)
    annotation_file: str | None = None  # COCO's JSON, for pycocotools

    def __len__(self):
        return len(self.records)


class Detections(NamedTuple):
    """What a detector found in one image, in that image's own pixels: (D, 4), (D,), (D,), best score first."""

    boxes: np.ndarray
    classes: np.ndarray
    scores: np.ndarray


def area(boxes):
    """(M,) areas of (M, 4) corner boxes in square pixels."""
    return (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])


def iou(a, b):
    """(A, B) intersection over union, in [0, 1], of (A, 4) and (B, 4) corner boxes."""
    # column by column: a third of the time of arrays of corners
    width = np.minimum(a[:, 2, None], b[:, 2]) - np.maximum(a[:, 0, None], b[:, 0])
    height = np.minimum(a[:, 3, None], b[:, 3]) - np.maximum(a[:, 1, None], b[:, 1])
    shared = np.maximum(width, 0) * np.maximum(height, 0)
    return shared / np.maximum(area(a)[:, None] + area(b)[None] - shared, 1e-12)


def crop(truth, left, top, width, height):
    """Boxes cut to a window and moved to its corner; rows whose centre falls outside it, or without area, go.

    truth: (M, 4 or more), the further columns ride along. Returns (K, same columns), K <= M."""
    window = np.array((left, top, left + width, top + height), truth.dtype)
    centres = (truth[:, :2] + truth[:, 2:4]) / 2
    inside = ((window[:2] <= centres) & (centres < window[2:])).all(axis=1)
    cut = truth.copy()
    cut[:, :2] = np.maximum(truth[:, :2], window[:2]) - window[:2]
    cut[:, 2:4] = np.minimum(truth[:, 2:4], window[2:]) - window[:2]
    return cut[inside & (cut[:, :2] < cut[:, 2:4]).all(axis=1)]


def translate(truth, right, down):
    """Boxes moved by so many pixels."""
    moved = truth.copy()
    moved[:, 0:4:2] += right
    moved[:, 1:4:2] += down
    return moved


def resize(truth, scale_x, scale_y):
    """Boxes scaled along x and y."""
    scaled = truth.copy()
    scaled[:, 0:4:2] *= scale_x
    scaled[:, 1:4:2] *= scale_y
    return scaled


def flip(truth, width):
    """Boxes mirrored left to right in an image of that width."""
    mirrored = truth.copy()
    mirrored[:, 0] = width - truth[:, 2]
    mirrored[:, 2] = width - truth[:, 0]
    return mirrored

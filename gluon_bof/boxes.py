"""Boxes: formats, IoU, crop, flip, resize. This page fixes the names and shapes that all of gluon_bof obeys.

image     (H, W, 3) uint8, RGB.
boxes       (M, 4) float32: xmin, ymin, xmax, ymax in pixels that count from 0; corner format unless a name says otherwise.
            A reader takes xmax and ymax as its format has them: COCO's are edges (x + width), VOC's the last pixel's number.
            What a detector finds ends as what it was trained on; see `BoxEnds`.
classes     (M,) int64: index into the set's class names.
difficult   (M,) bool: trained on, neither hit nor miss in VOC's metric.
crowd       (M,) bool: COCO's iscrowd; never trained on, ignored in evaluation.
truth       (M, 6) float32, what crosses the wire: the four corners, class id, mix weight in [0, 1]; padding rows are -1.
scores      (D,) float32 in [0, 1].
masks       (M,) bytes: compressed run lengths of each object in the image's size; see masks.py. Only where a family wants them.
"""
from __future__ import annotations

import os
from dataclasses import dataclass, field
from enum import Enum
from typing import Any, NamedTuple, Sequence

import numpy as np

TRUTH_COLUMNS = 6


@dataclass(frozen=True, eq=False)
class Record:
    """One image and its ground truth, as a reader found it. `source` is the file that holds the annotation; width, height
    and boxes are those of the image turned by `orientation`."""

    path: str
    source: str
    image_id: object  # VOC: the name without ending; COCO: the integer id
    width: int
    height: int
    boxes: np.ndarray
    classes: np.ndarray
    difficult: np.ndarray
    crowd: np.ndarray
    orientation: int = 1  # what the stored image is turned by: EXIF's values, 1 is not at all; see data.images
    masks: np.ndarray | None = None  # of each box, in the size of the image so turned; None: they were not read
    outlines: int = 0  # boxes that are drawn around outlines, which are not kept: those of YOLO's text and LabelMe's JSON

    @classmethod
    def of_rows(cls, path: str, source: str, image_id: object, size: Sequence[int], rows: Sequence[tuple], orientation: int,
                masks: np.ndarray | None = None, outlines: int = 0) -> Record:
        """Of an image of this size (width, height) and the rows (corners, class, difficult, crowd) of its boxes."""
        corners, classes, difficult, crowd = zip(*rows) if rows else ((),) * 4
        return cls(path, source, image_id, *size, np.array(corners, np.float32).reshape(-1, 4), np.array(classes, np.int64),
                   np.array(difficult, bool), np.array(crowd, bool), orientation, masks, outlines)

    @property
    def ignored(self) -> np.ndarray:
        """(M,) bool: difficult boxes and crowds, which no detector is asked to find."""
        return self.difficult | self.crowd

    def truth(self) -> np.ndarray:
        """Ground truth to train on, (M, 6) float32 with mix weight 1; crowds are left out."""
        keep = ~self.crowd
        rows = np.ones((int(keep.sum()), TRUTH_COLUMNS), np.float32)
        rows[:, :4] = self.boxes[keep]
        rows[:, 4] = self.classes[keep]
        return rows

    def true_masks(self) -> np.ndarray:
        """The masks of `truth`'s rows, (M,) bytes."""
        return self.masks[~self.crowd]


class Fault(NamedTuple):
    """Something wrong in a data set: the file, a kind (a short fixed word) and one sentence; annotation: of an image that has one
    of its own, the annotation's file."""

    path: str
    kind: str
    message: str
    annotation: str = ""


class Origin(NamedTuple):
    """Whether a set's pixels count from 0 or 1, and what speaks for it: of so many files, those with a box that begins at 0
    (left or top), and those of which the foremost begins at 1."""

    value: int
    from_zero: int
    from_one: int
    files: int

    def __str__(self):
        return (f"pixels count from {self.value}: of {self.files} files, {self.from_zero} have a box that begins at 0 and "
                f"{self.from_one} one that begins at 1")


@dataclass
class DetectionSet:
    """Images with boxes of named classes. `faults` are those that were skipped while reading; `remarks` are told, but nothing
    is left out for them; `unannotated` are paths of images without an annotation file."""

    name: str
    classes: tuple
    records: list
    faults: list = field(default_factory=list)
    annotation_file: str | None = None  # COCO's JSON, for pycocotools
    remarks: list = field(default_factory=list)
    unannotated: list = field(default_factory=list)
    negatives_of_unannotated: bool = False  # whether those are among the records
    origin: Origin | None = None  # of VOC's layout
    layout: str = ""  # what its folder was taken for, and why
    folder: str = ""  # that it lies in, with its other parts; "" of a drawn one
    unnamed: bool = False  # whether its labels are numbers that nothing in it names
    categories: dict = field(default_factory=dict)  # of COCO's JSON as it was read: {class name: category id}

    def __len__(self):
        return len(self.records)

    @property
    def files(self) -> set[str]:
        """The images, and what annotates them."""
        return {path for record in self.records for path in (record.path, record.source)} | {self.annotation_file} - {None}

    @property
    def folders(self) -> set[str]:
        """Those that its images, and what annotates them, lie in."""
        return set(map(os.path.dirname, self.files))

    @property
    def turned(self) -> int:
        """Number of images that are turned because their EXIF tag says so."""
        return sum(record.orientation != 1 for record in self.records)

    def ends_of(self, detector: BoxEnds) -> BoxEnds:
        """Where a detector's boxes end beside those of this set: as it was trained, on COCO's format; on others at the edge."""
        return detector if self.annotation_file else BoxEnds.EDGE

    def notes(self) -> list[str]:
        """What is to know of the set, as sentences."""
        notes = [str(self.origin)] if self.origin else []
        if self.turned:
            notes.append(f"{self.turned} images are turned upright, as their EXIF orientation says")
        if self.unannotated:
            what = "trained on as negatives" if self.negatives_of_unannotated else \
                "left out; with --unannotated negative they are negatives"
            notes.append(f"{len(self.unannotated)} images have no annotation file: {what}")
        return notes


class BoxEnds(Enum):
    """Where a detector ends the boxes of COCO's format: at their EDGE, x + width, as our reader does; or at the number of their
    LAST_PIXEL, x + width - 1, as GluonCV's does and so all weights that it publishes."""

    EDGE = "edge"
    LAST_PIXEL = "last pixel"

    def as_edges(self, found: Detections) -> Detections:
        """The detections with boxes that end at their edges, as those of COCO's format do."""
        if self is BoxEnds.EDGE:
            return found
        boxes = as_floats(found.boxes)
        return found._replace(boxes=boxes + np.array((0, 0, 1, 1), boxes.dtype))


class Detections(NamedTuple):
    """What a detector found in one image, in that image's own pixels: (D, 4), (D,), (D,), best score first; and the masks, (D,)
    bytes, of a family that finds them."""

    boxes: np.ndarray
    classes: np.ndarray
    scores: np.ndarray
    masks: np.ndarray | None = None


def is_image(image: Any) -> bool:
    """Whether this is an image as above."""
    return isinstance(image, np.ndarray) and image.dtype == np.uint8 and image.ndim == 3 and image.shape[2] == 3


def require_image(image: Any) -> None:
    """Raise ValueError for anything else than an image as above: of floats, grey or with alpha the pixels would be wrong."""
    if not is_image(image):
        what = f"an array {image.shape} of {image.dtype}" if isinstance(image, np.ndarray) else type(image).__name__
        raise ValueError(f"{what} is no image (height, width, 3) of uint8")


def as_floats(truth: np.ndarray) -> np.ndarray:
    """Boxes that may be moved and weighed by fractions: those of whole numbers and of 16 bits as float32, others as they are; of
    lists an array. Raises ValueError for what is no (M, 4 or more)."""
    truth = np.asarray(truth)
    if truth.ndim != 2 or truth.shape[1] < 4 or truth.dtype.kind not in "fiu":
        raise ValueError(f"an array {truth.shape} of {truth.dtype} is no boxes (M, 4), nor a truth (M, 6)")
    return truth if truth.dtype.kind == "f" and truth.itemsize >= 4 else truth.astype(np.float32)


def area(boxes: np.ndarray) -> np.ndarray:
    """(M,) areas of (M, 4) corner boxes in square pixels."""
    boxes = as_floats(boxes)
    return (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])


def intersection(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """(A, B) areas that (A, 4) and (B, 4) corner boxes share, in square pixels."""
    a, b = as_floats(a), as_floats(b)
    # column by column: a third of the time of arrays of corners
    width = np.minimum(a[:, 2, None], b[:, 2]) - np.maximum(a[:, 0, None], b[:, 0])
    height = np.minimum(a[:, 3, None], b[:, 3]) - np.maximum(a[:, 1, None], b[:, 1])
    return np.maximum(width, 0) * np.maximum(height, 0)


def iou(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """(A, B) intersection over union, in [0, 1], of (A, 4) and (B, 4) corner boxes."""
    shared = intersection(a, b)
    return shared / np.maximum(area(a)[:, None] + area(b)[None] - shared, 1e-12)


def crop(truth: np.ndarray, left: float, top: float, width: float, height: float) -> np.ndarray:
    """Boxes cut to a window and moved to its corner; rows whose centre falls outside it, or without area, go.

    truth: (M, 4 or more), the further columns ride along. Returns (K, same columns), K <= M."""
    truth = as_floats(truth)
    window = np.array((left, top, left + width, top + height), truth.dtype)
    centres = (truth[:, :2] + truth[:, 2:4]) / 2
    inside = ((window[:2] <= centres) & (centres < window[2:])).all(axis=1)
    cut = truth.copy()
    cut[:, :2] = np.maximum(truth[:, :2], window[:2]) - window[:2]
    cut[:, 2:4] = np.minimum(truth[:, 2:4], window[2:]) - window[:2]
    return cut[inside & (cut[:, :2] < cut[:, 2:4]).all(axis=1)]


def translate(truth: np.ndarray, right: float, down: float) -> np.ndarray:
    """Boxes moved by so many pixels."""
    moved = as_floats(truth).copy()
    moved[:, 0:4:2] += right
    moved[:, 1:4:2] += down
    return moved


def resize(truth: np.ndarray, scale_x: float, scale_y: float) -> np.ndarray:
    """Boxes scaled along x and y."""
    scaled = as_floats(truth).copy()
    scaled[:, 0:4:2] *= scale_x
    scaled[:, 1:4:2] *= scale_y
    return scaled


def flip(truth: np.ndarray, width: float) -> np.ndarray:
    """Boxes mirrored left to right in an image of that width."""
    truth = as_floats(truth)
    mirrored = truth.copy()
    mirrored[:, 0] = width - truth[:, 2]
    mirrored[:, 2] = width - truth[:, 0]
    return mirrored

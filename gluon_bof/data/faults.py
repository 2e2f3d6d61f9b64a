"""What to do about something wrong in a data set: stop, or leave it out and remember."""
from __future__ import annotations

import math
import os
from typing import TYPE_CHECKING, Any, Callable, Iterable, Sequence

import numpy as np

from gluon_bof.boxes import Fault
from gluon_bof.data.fields import around_turned
from gluon_bof.data.images import AS_STORED, check_header, settle
from gluon_bof.errors import LOGGER, UserError, abbreviate, warn
from gluon_bof.masks import boxes_of
from gluon_bof.options.training import MOST_FOUND

if TYPE_CHECKING:
    from gluon_bof.boxes import DetectionSet, Record
    from gluon_bof.data.headers import Header

TOLERANCES = ("error", "skip", "list")  # values of on_bad_sample
SLACK = 1.0  # pixels by which a box may reach over the edge: sets differ in where they count from
MOST_REMARKS = 10  # that a log repeats
THIN = 0.1  # pixels; of wider boxes float32 keeps both sides apart in any image
TINY = 8  # pixels; the boxes of smaller images may well lie in 0..1
REMEDY = "fix it, leave it out with --on-bad-sample skip, or list all faults with: gluon-bof check"
REMEDY_OF_MASKS = f"{REMEDY} --masks"


class UnknownClass(UserError):
    """A box of a class, `name`, that is none of those that are asked for."""

    def __init__(self, problem: str, path: Any = None, remedy: str | None = None, name: str = ""):
        super().__init__(problem, path, remedy)
        self.name = name


class FaultPolicy:
    """on_bad_sample "error": the first fault raises UserError; "skip": faults are collected, and what they are about is left
    out; "list": they are collected, and images that could be read stay, to be looked at."""

    def __init__(self, on_bad_sample):
        if on_bad_sample not in TOLERANCES:
            raise ValueError(f"on_bad_sample is {on_bad_sample!r}, none of {', '.join(TOLERANCES)}")
        self.skip = on_bad_sample != "error"
        self.keeps_images = on_bad_sample == "list"
        self.faults = []
        self.remarks = []

    def report(self, path: str, kind: str, message: str, remedy: str = REMEDY, annotation: str = "") -> None:
        """One fault; annotation: as in Fault. Raises UserError unless faults are skipped."""
        if not self.skip:
            raise UserError(f"{kind}: {message}", path, remedy)
        self.faults.append(Fault(str(path), kind, message, annotation))

    def unknown_class(self, path: str, name: str, count: int, where: str = "") -> None:
        """A box of a class that is none of the `count` that are asked for. Raises UnknownClass unless faults are skipped."""
        try:
            self.report(path, "unknown class", f"{where}{name!r} is not among the {count} classes given; name it in --classes")
        except UserError as error:
            raise UnknownClass(error.problem, error.path, error.remedy, name) from None

    def sound(self, make: Callable[[Any], Any], items: Iterable[Any]) -> list:
        """make(item) of all items but those for which it raises UserError: each is a fault, named in the log. Raises UserError
        unless faults are skipped, and where nothing is left."""
        made, path = [], None
        for item in items:
            try:
                made.append(make(item))
            except UserError as error:
                if not self.skip:
                    raise or_skip(error) from None
                path = error.path
                LOGGER.warning("skipped: %s: %s", path, error.problem)
                self.faults.append(Fault(str(path), "broken", error.problem))
        if path and not made:
            raise UserError("no image of the set can be used, this one among them", path, "fix or replace the data set")
        return made

    def remark(self, path: str, kind: str, message: str) -> None:
        """Something that is told and stops nobody."""
        self.remarks.append(Fault(str(path), kind, message))


def or_skip(error: UserError) -> UserError:
    """The same error, whose remedy names the flag that leaves out what it is about."""
    return UserError(error.problem, error.path, f"{error.remedy}, or start with --on-bad-sample skip")


def whole_or_next(read: Callable[[int], Any], index: int, count: int, on_bad_sample: str, broken: list[str]) -> tuple[Any, int]:
    """(read(place), place) of a set's image, or with on_bad_sample "skip" of the next whole one that stands in for it; the errors
    of those passed over go into `broken`. Raises UserError where none can be read."""
    for step in range(count):
        place = (index + step) % count
        try:
            return read(place), place
        except UserError as error:
            if on_bad_sample == "error":
                raise
            broken.append(str(error))
            path = error.path
    raise UserError("no image of the set can be read", path, "fix or replace the data set")


def settled(faults: FaultPolicy, source: str, path: str, header: Header | Exception, stated: tuple[float, float] | None,
            annotation: str = "") -> tuple[int, tuple[int, int], tuple[float, float]] | None:
    """(orientation to turn an image by, its (width, height) so turned, (width, height) that its boxes are fitted into); None
    where a fault takes it.

    header: of the image, or the exception that reading it raised; stated: (width, height) that `source` states, or None;
    annotation: as in Fault, should the image be broken. Raises UserError unless faults are skipped."""
    try:
        header = check_header(header, path)
    except UserError as error:
        faults.report(path, "broken image", error.problem, annotation=annotation)
        return None
    try:
        orientation, size = settle(header, stated)
    except ValueError as error:
        faults.report(source, "wrong size", f"{error}: {path}")
        frame = tuple(map(max, header.size, stated))  # boxes fit into it if one of the two sizes is right
        return (AS_STORED, header.size, frame) if faults.keeps_images else None
    return orientation, size, size


def is_normalised(box: Sequence[float], width: float, height: float) -> bool:
    """Whether corners (from 0, or from 1) lie in 0..1, where no box in pixels lies but in the tiniest image."""
    return max(width, height) > TINY and 0 <= min(box) and max(box) <= 1 and box[0] < box[2] and box[1] < box[3]


def report_normalised(faults: FaultPolicy, path: str, count: int, total: int, where: str) -> None:
    """The boxes of one image that lie in 0..1."""
    faults.report(path, "normalised", f"{count} of {total} boxes{where} lie in 0..1: they are to be in pixels")


def remark_repeated_boxes(faults: FaultPolicy, path: str, boxes: Sequence[tuple], where: str = "") -> None:
    """boxes: [(corners, class, …)] of one image; the same one twice is told once an image."""
    repeated = len(boxes) - len(set(boxes))
    if repeated:
        faults.remark(path, "duplicate box", f"{repeated} of {len(boxes)} boxes{where} are there already")


def remark_masks(faults: FaultPolicy, path: str, corners: np.ndarray, found: np.ndarray, size: Sequence[int],
                 where: str = "") -> None:
    """Masks (M,) of one image of size (height, width) that cover no pixel, and those that nowhere touch their box of corners
    (M, 4), and may well be another object's or in other units; each is told once an image."""
    around = boxes_of(found, size)
    bare = (around[:, 2:] <= around[:, :2]).any(axis=1)
    wide = np.asarray(corners, np.float32).reshape(-1, 4) + np.array((-SLACK, -SLACK, SLACK, SLACK), np.float32)
    apart = ~bare & ((np.minimum(around, wide)[:, 2:] <= np.maximum(around, wide)[:, :2]).any(axis=1))
    for kind, which, what in (("no pixel", bare, "no pixel"), ("mask apart", apart, "none within its box")):
        if which.any():
            faults.remark(path, kind, f"{which.sum()} of {len(found)} masks{where} have {what}, the first that of box "
                                      f"{np.flatnonzero(which)[0] + 1}")


def remark_repeated_files(faults: FaultPolicy, path: str, named: Sequence[tuple[object, str]]) -> None:
    """named: [(name of an entry, path of its image)]; a file that several have is told once."""
    entries = {}
    for entry, place in zip(named, _real_paths(image_path for _, image_path in named)):
        entries.setdefault(place, []).append(entry)
    for same in entries.values():
        if len(same) > 1:
            faults.remark(path, "same file twice", f"{os.path.normpath(same[0][1])} is the image of {len(same)} entries: "
                                                   f"{abbreviate(name for name, _ in same)}")


def log_faults(found: DetectionSet, others: Iterable[DetectionSet] = ()) -> None:
    """What was left out of a DetectionSet, what else was found in it (the first of it; `check` lists all), and what is to know
    that the other sets have not said."""
    said = {note for other in others for note in other.notes() if note == str(other.origin)}
    for fault in found.faults:
        LOGGER.warning("skipped: %s: %s", fault.path, fault.message)
    for remark in found.remarks[:MOST_REMARKS]:
        LOGGER.warning("%s: %s: %s", remark.kind, remark.path, remark.message)
    if len(found.remarks) > MOST_REMARKS:
        LOGGER.warning("%d such warnings in all", len(found.remarks))
    for note in found.notes():
        if note not in said:
            LOGGER.info("%s", note)


def warn_of_shared(training: Iterable[Any], validation: Sequence[Any], score: str) -> None:
    """Warn of images that validate and are trained on: two parts that are named may be one, or one within the other, as VOC's
    trainval and val. training, validation: what has the `path` of an image; score: what says little then."""
    shared = set(_real_paths(sample.path for sample in training)) & set(_real_paths(sample.path for sample in validation))
    if shared:
        warn(f"{len(shared)} of the {len(validation)} images that validate are trained on too, such as {min(shared)}: the "
             f"{score} says little of other images; name other parts with --train-split and --val-split")


def _real_paths(paths):
    """Paths behind folders that are links; of each folder that is asked once."""
    places = list(map(os.path.split, paths))
    real = {folder: os.path.realpath(folder) for folder in {folder for folder, _ in places}}
    return [os.path.join(real[folder], name) for folder, name in places]


def require_records(records: Sequence[Record], count: int, root: str, faults: FaultPolicy) -> None:
    """Raise UserError where none of so many images can be used."""
    if not records:
        first = f"; the first: {faults.faults[0].path}: {faults.faults[0].message}" if faults.faults else ""
        raise UserError(f"none of its {count} images can be used{first}", root, "fix the data set")


def require_boxes(records: Sequence[Record], where: str) -> None:
    """Raise UserError where there is no box to train on."""
    if not any((~record.crowd).any() for record in records):
        raise UserError(f"none of the {len(records)} images to train on has a box to train on (crowds are not)", where,
                        "annotate the set, or choose another split")


def warn_of_unlearnt(where: str, records: Sequence[Record]) -> None:
    """Warn of images without a box to train on, for a network that learns nothing from them."""
    empty = sum(not (~record.crowd).any() for record in records)
    if empty:
        warn(f"{where}: images to train on without a box: {empty} of {len(records)}; SSD learns nothing from them, but where "
             "mixup mixes them with others: three anchors of background learn for each that a box has. --skip-empty leaves them "
             "out")


def nothing_to_find(records: Sequence[Record]) -> str | None:
    """What is wrong where no image that validates has a box to find; None where one has."""
    if any((~record.ignored).any() for record in records):
        return None
    return f"none of the {len(records)} images to validate on has a box to find (difficult ones and crowds are not): mAP is null"


def crowded(records: Sequence[Record], limit: int = MOST_FOUND) -> str | None:
    """What is to know where an image has more boxes to find than a network that gives so many; None where none has."""
    count, path = max(((int((~record.ignored).sum()), record.path) for record in records), default=(0, ""))
    if count <= limit:
        return None
    return (f"{path} has {count} boxes to find: YOLOv3 and SSD give at most {MOST_FOUND} for an image, and more with --tile of "
            "predict and evaluate; Faster and Mask R-CNN hardly more than --rpn-test-post-nms")


def warn_of_score(where: str, records: Sequence[Record], limit: int, whole: Sequence[Record] | None = None) -> None:
    """Warn of what the score of these records does not say: that there is nothing to find, or more than a network that gives so
    many boxes. whole: those of them that are not looked at in slices, of which each gives as many; default: all."""
    for sentence in filter(None, (nothing_to_find(records), crowded(records if whole is None else whole, limit))):
        warn(f"{where}: {sentence}")


def fit_box(box: Sequence[float], width: float, height: float,
            name: str, slack: float = SLACK) -> tuple[tuple[float, float, float, float] | None, tuple[str, str] | None]:
    """(box cut to the image or None, fault (kind, message) or None). box: four floats, corners from 0; slack: how far outside
    the image, in pixels, it may reach without a fault."""
    left, top, right, bottom = box
    text = f"{name} at {left:g}, {top:g}, {right:g}, {bottom:g}"
    if not all(abs(side) < 1e9 for side in box):  # also catches NaN
        return None, ("no number", text)
    if _is_empty(box):
        return None, ("no area", text)
    cut = max(left, 0.0), max(top, 0.0), min(right, float(width)), min(bottom, float(height))
    if left >= -slack and top >= -slack and right <= width + slack and bottom <= height + slack:
        if _is_empty(cut):
            return None, ("outside", f"{text} in an image of {width} x {height}")
        return cut, None
    centre = (left + right) / 2, (top + bottom) / 2
    inside = 0 <= centre[0] < width and 0 <= centre[1] < height
    return cut if inside else None, ("outside", f"{text} in an image of {width} x {height}")


def fit_turned(box: Sequence[float], degrees: float, width: float, height: float,
               name: str) -> tuple[tuple[float, float, float, float] | None, tuple[str, str] | None]:
    """`fit_box` of a rectangle that is turned about its centre: CVAT lets it stick out of the image with its corners."""
    return fit_box(around_turned(box, degrees), width, height, name, math.inf if degrees % 360 else SLACK)


def _is_empty(box):
    """Whether corners have no area between them, as records keep them: in float32."""
    left, top, right, bottom = box if min(box[2] - box[0], box[3] - box[1]) > THIN else np.float32(box)
    return bool(right <= left or bottom <= top)

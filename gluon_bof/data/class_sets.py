"""Sets of images of one class each, to pre-train backbones on: ImageNet as RecordIO or folders, or the objects of a detection
set."""
from __future__ import annotations

import hashlib
import os
import struct
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple, Sequence

import numpy as np

from gluon_bof.data.faults import log_faults
from gluon_bof.data.images import ENDINGS, files_in, folders_in
from gluon_bof.data.layouts import annotated_as, refuse_images_with_maps
from gluon_bof.data.names import refuse_no_text
from gluon_bof.data.parts import FALLBACKS, ROLES
from gluon_bof.data.sets import DRAWN as DRAWN_SETS
from gluon_bof.data.sets import open_set, refuse_root, warn_of_namesake
from gluon_bof.data.shapes import load_backbone_shapes
from gluon_bof.errors import UserError, abbreviate, warn

if TYPE_CHECKING:
    from gluon_bof.boxes import DetectionSet

IMAGENET_ROOT = os.path.join("~", ".mxnet", "datasets", "imagenet")
DRAWN = (*DRAWN_SETS, "shapes-backbone")
MARGIN = 0.15  # around an object that is cut out of an image, as a share of its sides
SQUARE_SIDE = 48  # pixels that a square window has at least, without its margin
SHORTEST_SIDE = 12  # pixels; smaller objects are left out
MOST_CLASSES = 1_000_000
NO_SUCH_FLAG = " (here there is no such flag, but what gluon-bof convert writes is read)"

RECORD_MAGIC = 0xced7230a
HEADER = struct.Struct("<IfQQ")  # number of labels if above 0, label, id, second id


class Sample(NamedTuple):
    """One image: a file's path, or a place in a RecordIO file; the part of it, or None; its class; what it is turned by
    (None: as its own EXIF tag says); its object's box in pixels of that part, or None."""

    path: str
    class_id: int
    place: int = -1  # byte at which a record begins
    window: tuple | None = None  # left, top, width, height
    orientation: int | None = None
    box: tuple | None = None


@dataclass
class ClassificationSet:
    """Samples of named classes."""

    name: str
    classes: tuple
    samples: list = field(default_factory=list)

    def __len__(self):
        return len(self.samples)


def class_mark(found: ClassificationSet) -> str:
    """A checksum of what a set asks of a network: classes, names of images, what is cut out of them, and their boxes."""
    digest = hashlib.sha256(repr(tuple(found.classes)).encode())
    for sample in found.samples:
        digest.update(repr((os.path.basename(sample.path), sample[1:])).encode())
    return digest.hexdigest()


def open_classes(dataset: str, root: str | None = None) -> tuple[ClassificationSet, ClassificationSet]:
    """(training, validation) ClassificationSet.

    dataset: "shapes", "shapes-backbone", "vocmini", "imagenet" (in `root`, by default GluonCV's place for it), or a folder:
    of train.rec, train.idx, val.rec and val.idx; of train/CLASS/ and val/CLASS/ (or valid/, else test/); or of a detection set,
    whose faults are left out and named. Raises UserError for any other."""
    warn_of_namesake(dataset, root, ("imagenet", *DRAWN))
    folder = os.path.expanduser((root or IMAGENET_ROOT) if dataset == "imagenet" else dataset)
    if dataset not in DRAWN and not os.path.isdir(folder):
        raise UserError("the folder of the data set does not exist", folder, "give --dataset shapes, a folder, or "
                                                                             "--dataset imagenet with --dataset-root")
    warn_of_root(dataset, root)
    if dataset not in ("imagenet", *DRAWN):
        refuse_root(dataset, root)
    for part in (folder, os.path.join(folder, "rec")):
        if dataset not in DRAWN and os.path.isfile(os.path.join(part, "train.rec")):
            return _from_records(part)
    if dataset not in DRAWN and _is_of_classes(folder, dataset == "imagenet"):
        return _from_folders(folder)
    if dataset == "imagenet":
        raise UserError("there is neither train.rec nor a folder train", folder, "point --dataset-root at ImageNet")
    return _from_objects(dataset)


def warn_of_root(dataset: str, root: str | None) -> None:
    """Warn of a root of a set that is drawn, which lies in the cache."""
    if root and dataset in DRAWN:
        warn(f"--dataset-root {root} does nothing: {dataset} is drawn into the cache")


def _is_of_classes(folder, is_told):
    """Whether train/ holds folders of classes, or of images and labels. Annotations may lie beside the images of several classes.
    is_told: whether the set's name tells."""
    train = os.path.join(folder, "train")
    if is_told or not os.path.isdir(train):
        return os.path.isdir(train)
    beside = len(folders_in(train)) > 1 and all(files_in(os.path.join(train, name)) for name in folders_in(train))
    return not annotated_as(folder) - ({"voc", "labelme", "yolo"} if beside else set())


def _from_folders(folder):
    classes = folders_in(os.path.join(folder, "train"))
    if not classes:
        raise UserError("the folder train holds no folder of a class", folder, "put images into train/CLASS/")
    refuse_no_text(classes, folder)
    refuse_images_with_maps(folder, classes)
    part = next((name for name in FALLBACKS["val"] if os.path.isdir(os.path.join(folder, name))), "val")
    others = [name for name in folders_in(os.path.join(folder, part)) if name not in classes
              and files_in(os.path.join(folder, part, name))]
    if others:
        raise UserError(f"no class of train is called {abbreviate(others)}, as folders of {part} are", folder,
                        "call the folders of a class alike")
    training, validation = (_of_classes(folder, name, classes) for name in ("train", part))
    empty = _without_images(training)
    if empty:
        raise UserError(f"no image lies directly in the folder of {abbreviate(empty)}", os.path.join(folder, "train"),
                        f"move images ({' '.join(ENDINGS)}) there, or take the folder away")
    if not validation.samples:
        raise UserError(f"no folder of a class in {part} holds an image", folder, f"put images into {part}/CLASS/")
    _warn_of_unvalidated(validation, os.path.join(folder, part))
    return training, validation


def _of_classes(folder, part, classes):
    samples = [Sample(os.path.join(folder, part, name, image), class_id) for class_id, name in enumerate(classes)
               for image in files_in(os.path.join(folder, part, name))]
    return ClassificationSet(os.path.basename(folder), tuple(classes), samples)


def _warn_of_unvalidated(validation, place):
    empty = _without_images(validation)
    if empty:
        warn(f"{place} has no image of {abbreviate(empty)}, of which its accuracy says nothing")


def _without_images(found):
    seen = {sample.class_id for sample in found.samples}
    return [name for class_id, name in enumerate(found.classes) if class_id not in seen]


def open_boxes(dataset: str, root: str | None, role: str, classes: Sequence[str] | None,
               others: Sequence[DetectionSet] = ()) -> DetectionSet:
    """A part of a detection set, whose faults are left out and named in the log. others: parts that were opened before. Raises
    UserError as `open_set` does, whose ways out may be flags that its caller has not."""
    try:
        found = open_set(dataset, root, role, classes, "skip")
    except UserError as error:
        remedy = error.remedy or ""
        if "--" in remedy.replace("--dataset", ""):
            remedy += NO_SUCH_FLAG
        raise UserError(error.problem, error.path, remedy) from None
    log_faults(found, others)
    return found


def open_roles(dataset: str, root: str | None = None) -> list[DetectionSet]:
    """Both parts of a drawn or of a detection set, which have the training part's classes. Raises UserError as `open_boxes`."""
    opened = []
    for role in ROLES:
        classes = opened[0].classes if opened else None
        opened.append(open_drawn(dataset, role) if dataset in DRAWN else open_boxes(dataset, root, role, classes, opened))
    return opened


def _from_objects(dataset):
    """Each box of a detection set is an image of its class; difficult ones, crowds and specks are left out."""
    sets = []
    for role, found in zip(ROLES, open_roles(dataset)):
        samples = []
        for record in found.records:
            for box, class_id in zip(record.boxes[~record.ignored], record.classes[~record.ignored]):
                window = window_around(_squared(box) if dataset == "vocmini" else box, MARGIN, record.width, record.height)
                if min(window[2:]) >= SHORTEST_SIDE:
                    samples.append(Sample(record.path, int(class_id), window=window, orientation=record.orientation))
        sets.append(not_empty(ClassificationSet(found.name, found.classes, samples), dataset, role))
    return tuple(sets)


def open_drawn(dataset: str, role: str) -> DetectionSet:
    """The part of a set drawn here that backbones are pre-trained on."""
    if dataset == "shapes-backbone":
        return load_backbone_shapes(role)
    splits = {"train": "pretrain", "val": "pretrain-val"}
    return open_set(dataset, None, role, split=splits[role] if dataset == "vocmini" else None)


def _squared(box):
    """What shows the whole of a long object to a view that is square, and what is around a small one."""
    spare = max(SQUARE_SIDE, (box[2:] - box[:2]).max()) - (box[2:] - box[:2])
    return box + np.concatenate([-spare, spare]) / 2


def window_around(box: np.ndarray, room: float | np.ndarray, width: int, height: int) -> tuple[int, int, int, int]:
    """(left, top, width, height) of a box (4,) with such room beside its sides, one or (4,), as shares of them, within the
    image."""
    grown = box + room * np.tile(box[2:] - box[:2], 2) * (-1, -1, 1, 1)
    left, top, right, bottom = np.clip(np.round(grown), 0, (width, height) * 2).astype(int).tolist()
    return left, top, right - left, bottom - top


def not_empty(found: ClassificationSet, folder: str, role: str, which: str = "") -> ClassificationSet:
    """The set itself. Raises UserError where it has no image, or none `which`."""
    if not found.samples:
        raise UserError(f"the part {role} holds no image {which}".rstrip(), folder,
                        f"classes are {abbreviate(found.classes)}")
    return found


# ---- RecordIO ------------------------------------------------------------------------------------------------------

def _from_records(folder):
    training, validation = (_of_records(folder, role) for role in ROLES)
    path = os.path.join(folder, "val.rec")
    others = sorted({sample.class_id for sample in validation.samples} - {sample.class_id for sample in training.samples})
    if others:
        raise UserError(f"no record of train has the label {abbreviate(others)}, as records here have", path,
                        "number the classes of both alike")
    validation.classes = training.classes
    _warn_of_unvalidated(validation, path)
    return training, validation


def _of_records(folder, role):
    path, index = (os.path.join(folder, f"{role}.{ending}") for ending in ("rec", "idx"))
    try:
        with open(index) as file:
            places = [_place(line) for line in file if line.strip()]
        with open(path, "rb") as file:
            labels = [_label_at(file, place, path) for place in places]
    except OSError as error:
        raise UserError(f"cannot be read ({error.strerror})", error.filename or path,
                        "make both with MXNet's im2rec.py") from None
    except (ValueError, IndexError):
        raise UserError("not an index of lines KEY<tab>PLACE", index, "make it with MXNet's im2rec.py") from None
    classes = tuple(map(str, range(max(labels, default=-1) + 1)))
    return not_empty(ClassificationSet(os.path.basename(os.path.abspath(folder)), classes,
                                        [Sample(path, label, place) for label, place in zip(labels, places)]), path, role)


def _place(line):
    """The byte that a line of an index, KEY<tab>PLACE, names. Raises ValueError or IndexError."""
    place = int(line.split("\t")[1])
    if place < 0:
        raise ValueError(line)
    return place


def _label_at(file, place, path):
    file.seek(place)
    head, more = file.read(8 + HEADER.size), file.read(4)
    if len(more) < 4 or struct.unpack("<I", head[:4])[0] != RECORD_MAGIC:
        raise UserError(f"no record begins at byte {place}", path, "make the file and its index with MXNet's im2rec.py")
    count, label, _, _ = HEADER.unpack(head[8:])
    if count:
        label = struct.unpack("<f", more)[0]
    if not (0 <= label < MOST_CLASSES and label == int(label)):  # NaN is neither
        raise UserError(f"the record at byte {place} has the label {label:g}, which is no class's number", path,
                        "number the classes from 0 on")
    return int(label)


def read_record(path: str, place: int) -> bytes:
    """The bytes of the image in the record that begins there. Raises UserError where no whole record does."""
    parts = []
    with open(path, "rb") as file:
        file.seek(place)
        while True:
            magic, kind_and_length = struct.unpack("<II", file.read(8).ljust(8, b"\0"))
            kind, length = kind_and_length >> 29, kind_and_length & (1 << 29) - 1
            data = file.read(length)
            if magic != RECORD_MAGIC or len(data) < length:
                raise UserError(f"no whole record begins at byte {place}", path, "make the file again with MXNet's im2rec.py")
            parts.append(data)
            if kind in (0, 3):  # a whole one, or the last part of one that was cut at bytes that look like the magic number
                break
            file.seek(-length % 4, os.SEEK_CUR)
    record = struct.pack("<I", RECORD_MAGIC).join(parts)
    if len(record) < HEADER.size:
        raise UserError(f"the record at byte {place} is shorter than its header", path,
                        "make the file again with MXNet's im2rec.py")
    labels = HEADER.unpack(record[:HEADER.size])[0]
    return record[HEADER.size + 4 * labels:]

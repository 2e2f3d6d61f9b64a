"""Pascal VOC's layout, the standard sets and anybody's own: Annotations/*.xml, JPEGImages/, ImageSets/Main/*.txt.

A root holds year folders (VOC2007, VOC2012, ...), perhaps inside VOCdevkit, or is itself one such folder.
"""
from __future__ import annotations

import logging
import os
import xml.etree.ElementTree as ElementTree
from typing import NamedTuple

import numpy as np

from gluon_bof.boxes import DetectionSet, Record
from gluon_bof.data.faults import FaultPolicy, fit_box
from gluon_bof.data.images import ENDINGS, finite_number, image_size, unique_names
from gluon_bof.errors import UserError

VOC_CLASSES = ("aeroplane", "bicycle", "bird", "boat", "bottle", "bus", "car", "cat", "chair", "cow", "diningtable",
               "dog", "horse", "motorbike", "person", "pottedplant", "sheep", "sofa", "train", "tvmonitor")
HELD_OUT_EVERY = 5  # without split files, every fifth image validates

_CORNERS = ("xmin", "ymin", "xmax", "ymax")
_LAYOUT = "a VOC set has Annotations/*.xml and JPEGImages/, in the folder itself or in VOC2007, VOC2012, ... below it"
_log = logging.getLogger("gluon_bof")
_parsed = {}  # annotation file -> (its size and time, Annotation): the training and validation sets share one pass


class Object(NamedTuple):
    """One <object>: corners as the file counts them, or `problem` says what is wrong with it."""

    name: str
    corners: tuple
    difficult: bool
    problem: str | None = None


class Annotation(NamedTuple):
    """One XML file: what it says of its image, or `problem` says why it cannot be read."""

    filename: str | None
    size: tuple | None  # width, height
    objects: tuple
    problem: str | None = None


class Folder:
    """One folder of VOC's layout: its annotations, images and split files by name."""

    def __init__(self, path):
        parts = {entry.name.lower(): entry.path for entry in sorted(os.scandir(path), key=lambda entry: entry.name,
                                                                    reverse=True) if entry.is_dir()}
        self.path = path
        self.annotation_folder = parts.get("annotations")
        self.image_folder = parts.get("jpegimages") or parts.get("images")
        self.annotations = _files(self.annotation_folder, (".xml",))
        self.images = _files(self.image_folder, ENDINGS)
        main = os.path.join(parts["imagesets"], "Main") if "imagesets" in parts else None
        self.splits = _files(main, (".txt",)) or _files(parts.get("imagesets"), (".txt",))

    def annotation_path(self, image_id):
        """Where the annotation of an image is, or should be."""
        return self.annotations.get(image_id) or os.path.join(self.annotation_folder, image_id + ".xml")

    def image_path(self, image_id, filename):
        """Where the image is, found by its id, else by the annotation's <filename>; None if there is none."""
        if image_id in self.images:
            return self.images[image_id]
        stem = os.path.splitext((filename or "").replace("\\", "/").rsplit("/", 1)[-1])[0]
        return self.images.get(stem)


def load_voc(root, role, classes=None, on_bad_sample="error", split=None, name="voc", origin=None):
    """Read one part of a VOC-layout set -> DetectionSet.

    role: "train" (trainval of every year folder; train if there is no test part) or "val" (test, else val). Without
    split files every fifth image validates. split: comma-separated names of split files instead of the role's.
    classes: names in the order of their ids; default: those of all annotations of the root, sorted. origin: whether
    pixels count from 0 or 1; default: 0 if any box of the root begins before 1. on_bad_sample: "error" raises at the
    first fault, "skip" drops the box or the image and lists it in `faults`.
    Raises UserError for a missing root or split, an empty one, and faults."""
    if role not in ("train", "val"):
        raise ValueError(f"role is train or val, not {role!r}")
    faults = FaultPolicy(on_bad_sample)
    names = unique_names(classes) if classes is not None else None
    folders = _open_folders(os.path.expanduser(root))
    # which images belong to the part comes first: a wrong split name should not wait for thousands of annotations
    members = [(folder, image_id) for folder, image_ids in _members(folders, role, split) for image_id in image_ids]
    found_names, found_origin = _survey(folders)
    if names is None:
        if not found_names:
            raise UserError("no annotation names an object", root, "annotate it, or give --classes")
        names = found_names
    origin = found_origin if origin is None else origin
    class_ids = {class_name: index for index, class_name in enumerate(names)}
    records = [record for folder, image_id in members
               for record in [_read_record(folder, image_id, class_ids, origin, faults)] if record is not None]
    if not records:
        first = f"; the first: {faults.faults[0].path}: {faults.faults[0].message}" if faults.faults else ""
        raise UserError(f"none of its {len(members)} images can be used{first}", root, "fix the data set")
    return DetectionSet(name, names, records, faults.faults)


def is_voc(root):
    """Whether a folder has VOC's layout."""
    return bool(_folder_paths(os.path.expanduser(root)))


def declared_size(annotation_path):
    """(width, height) as the annotation states it, which need not be true; None if it doesn't."""
    return _annotation(annotation_path).size


def _folder_paths(root):
    """Folders of VOC's layout: the year folders of a root, else those of its VOCdevkit, else the root itself."""
    for parent in (root, os.path.join(root, "VOCdevkit")):
        if os.path.isdir(parent):
            years = [entry.path for entry in os.scandir(parent)
                     if entry.name.lower().startswith("voc") and entry.is_dir() and _has_annotations(entry.path)]
            if years:
                return sorted(years)
    return [root] if os.path.isdir(root) and _has_annotations(root) else []


def _has_annotations(path):
    """Whether Annotations/ is there and holds XML (or nothing at all; COCO's holds JSON)."""
    for entry in os.scandir(path):
        if entry.name.lower() == "annotations" and entry.is_dir():
            listed = [name.lower() for name in os.listdir(entry.path)]
            return any(name.endswith(".xml") for name in listed) or not any(name.endswith(".json") for name in listed)
    return False


def _open_folders(root):
    if not os.path.isdir(root):
        raise UserError("the folder does not exist", root, "point --dataset-root at the data")
    folders = [Folder(path) for path in _folder_paths(root)]
    if not folders:
        raise UserError("no data of VOC's layout in the folder", root, _LAYOUT)
    for folder in folders:
        if folder.image_folder is None:
            raise UserError("the folder has Annotations, but neither JPEGImages nor images", folder.path, _LAYOUT)
        if not folder.annotations:
            raise UserError("no annotation (.xml) in the folder", folder.annotation_folder, _LAYOUT)
    return folders


def _files(folder, endings):
    """{name without ending: path} of a folder's files; of two endings the one listed first wins."""
    if folder is None or not os.path.isdir(folder):
        return {}
    found = {}
    for entry in os.scandir(folder):
        stem, ending = os.path.splitext(entry.name)
        if ending.lower() in endings and not entry.name.startswith("."):
            found.setdefault(stem, []).append((endings.index(ending.lower()), entry.path))
    return {stem: min(paths)[1] for stem, paths in sorted(found.items())}


def _members(folders, role, split):
    """[(folder, ids in it)] of a part. Raises UserError if no folder has it, or it is empty."""
    if split:
        parts = [(folder, _split_ids(folder, name)) for name in _split_names(folders, split)
                 for folder in folders if name in folder.splits]
    else:
        tested = [folder for folder in folders if _can_test(folder, folders)]
        parts = [(folder, _role_ids(folder, role, tested)) for folder in folders]
        parts = [(folder, ids) for folder, ids in parts if ids is not None]
    if not parts:
        wanted = "train on" if role == "train" else "validate on"
        raise UserError(f"no split to {wanted} (found: {_found_splits(folders)})", folders[0].path,
                        "add ImageSets/Main/" + ("trainval.txt or train.txt" if role == "train" else
                                                 "test.txt or val.txt"))
    unique = [(folder, list(dict.fromkeys(ids))) for folder, ids in parts]
    if not any(ids for _, ids in unique):
        raise UserError(f"nothing to {'train' if role == 'train' else 'validate'} on: the split is empty",
                        _where(parts[0][0], role, split), "list its images, one name a line")
    return _without_repeats(unique)


def _where(folder, role, split):
    names = split.split(",") if split else (("trainval", "train") if role == "train" else ("test", "val", "valid"))
    return next((folder.splits[name.strip()] for name in names if name.strip() in folder.splits), folder.path)


def _without_repeats(parts):
    """Each image once, though two splits may list it."""
    seen = set()
    kept = []
    for folder, ids in parts:
        kept.append((folder, [image_id for image_id in ids if (folder.path, image_id) not in seen]))
        seen.update((folder.path, image_id) for image_id in ids)
    return kept


def _split_names(folders, split):
    names = [name.strip() for name in split.split(",") if name.strip()]
    for name in names:
        if not any(name in folder.splits for folder in folders):
            raise UserError(f"no split {name!r} (found: {_found_splits(folders)})", folders[0].path,
                            f"choose another, or add ImageSets/Main/{name}.txt")
    return names


def _found_splits(folders):
    names = sorted({name for folder in folders for name in folder.splits})
    plain = [name for name in names if "_" not in name] or names  # VOC has 80 more, such as cat_train
    return ", ".join(plain[:8]) or "none"


def _can_test(folder, folders):
    """Whether the folder has a test part with annotations: that of VOC2012 was never published."""
    if "test" not in folder.splits:
        return False
    return len(folders) == 1 or any(image_id in folder.annotations for image_id in _split_ids(folder, "test"))


def _role_ids(folder, role, tested):
    """Ids of a role in one folder, or None if it has no such part. `tested`: the folders with a test part; if there
    are none, validation takes `val`, and training must keep off it."""
    if not folder.splits:
        return _held_out(folder, role)
    if tested and role == "val":
        return _split_ids(folder, "test") if folder in tested else None
    validation = None if tested else next((name for name in ("val", "valid") if name in folder.splits), None)
    if role == "val":
        return _split_ids(folder, validation) if validation else None
    for name in ("train", "trainval") if validation else ("trainval", "train"):
        if name in folder.splits:
            held_out = set(_split_ids(folder, validation)) if validation and name == "trainval" else ()
            return [image_id for image_id in _split_ids(folder, name) if image_id not in held_out]
    return None


def _held_out(folder, role):
    _log.warning("%s has no ImageSets/Main: every %dth image validates, the others train",
                 folder.path, HELD_OUT_EVERY)
    return [image_id for index, image_id in enumerate(sorted(folder.annotations))
            if (index % HELD_OUT_EVERY == HELD_OUT_EVERY - 1) == (role == "val")]


def _split_ids(folder, name):
    """Image ids of a split file. A line is an id, or an id and a flag (1, 0, and -1: not in the split)."""
    path = folder.splits[name]
    try:
        with open(path, encoding="utf-8-sig") as file:
            lines = [line.strip() for line in file]
    except UnicodeDecodeError:
        raise UserError("the split is not UTF-8 text", path, "list its images, one name a line") from None
    return [image_id for line in lines if line for image_id in _line_ids(line, folder.annotations)]


def _line_ids(line, annotations):
    if line in annotations:
        return [line]
    stem, ending = os.path.splitext(line)
    if ending.lower() in ENDINGS and stem in annotations:
        return [stem]
    image_id, _, flag = line.rpartition(" ")
    if flag in ("-1", "0", "1") and image_id.strip():
        return [] if flag == "-1" else [image_id.strip()]
    return [line]


def _survey(folders):
    """(class names sorted, origin) of all annotations, whatever split they are in."""
    names = set()
    from_zero = False
    for folder in folders:
        for path in folder.annotations.values():
            for item in _annotation(path).objects:
                if item.problem is None:
                    names.add(item.name)
                    from_zero = from_zero or 0 <= min(item.corners[:2]) < 1
    # VOC itself counts from 1; a stray 0 among its 40,000 boxes must not move all the others
    standard = tuple(sorted(names)) == VOC_CLASSES and all(
        os.path.basename(folder.path) in ("VOC2007", "VOC2012") for folder in folders)
    return tuple(sorted(names)), 0 if from_zero and not standard else 1


def _annotation(path):
    """Parse an annotation, once per process as long as the file does not change."""
    try:
        status = os.stat(path)
    except OSError as error:
        return Annotation(None, None, (), f"cannot be read ({error.strerror})")
    stamp = (status.st_mtime_ns, status.st_size, status.st_ino)
    if path not in _parsed or _parsed[path][0] != stamp:
        _parsed[path] = (stamp, _parse(path))
    return _parsed[path][1]


def _parse(path):
    try:
        with open(path, "rb") as file:
            data = file.read()
        root = _element(data)
    except OSError as error:
        return Annotation(None, None, (), f"cannot be read ({error.strerror})")
    except (ElementTree.ParseError, ValueError, LookupError) as error:
        return Annotation(None, None, (), f"not well-formed XML ({error})" if data.strip() else "an empty file")
    if root.tag != "annotation":
        return Annotation(None, None, (), f"its outermost element is <{root.tag}>, not <annotation>")
    return Annotation(root.findtext("filename"), _size(root), tuple(map(_object, root.findall("object"))))


def _element(data):
    plain = data.replace(b"\0", b"")  # UTF-16 must not hide a declaration
    if b"<!DOCTYPE" in plain or b"<!ENTITY" in plain:
        raise ValueError("it declares a document type or entities, which no annotation needs")
    return ElementTree.fromstring(data)


def _size(root):
    try:
        size = tuple(int(finite_number(root.findtext("size/" + side))) for side in ("width", "height"))
    except ValueError:
        return None
    return size if min(size) > 0 else None


def _object(element):
    name = " ".join((element.findtext("name") or "").split())
    if not name:
        return Object("", (), False, "an <object> has no <name>")
    box = element.find("bndbox")
    if box is None:
        return Object(name, (), False, f"an object ({name}) has no <bndbox>")
    corners = []
    for corner in _CORNERS:
        text = box.findtext(corner)
        if text is None:
            return Object(name, (), False, f"the box of an object ({name}) has no <{corner}>")
        try:
            corners.append(finite_number(text))
        except ValueError:
            return Object(name, (), False, f"<{corner}> of an object ({name}) is {text.strip()!r}, not a number")
    return Object(name, tuple(corners), _is_set(element.findtext("difficult")))


def _is_set(text):
    """A flag of VOC, 0 or 1; missing, empty or unspecified is 0."""
    try:
        return finite_number(text) != 0
    except ValueError:
        return (text or "").strip().lower() == "true"


def _read_record(folder, image_id, class_ids, origin, faults):
    """Record of one image, or None if a fault takes the whole image."""
    source = folder.annotation_path(image_id)
    if image_id not in folder.annotations:
        faults.report(source, "missing annotation", f"the annotation of image {image_id!r} does not exist")
        return None
    annotation = _annotation(source)
    if annotation.problem:
        faults.report(source, "malformed annotation", annotation.problem)
        return None
    path = folder.image_path(image_id, annotation.filename)
    if path is None:
        faults.report(os.path.join(folder.image_folder, image_id + ENDINGS[0]), "missing image",
                   f"the image of {os.path.basename(source)} does not exist (nor with another ending)")
        return None
    try:
        width, height = image_size(path)
    except UserError as error:
        faults.report(path, "broken image", error.problem)
        return None
    rows = [(corners, class_ids[item.name], item.difficult) for item in annotation.objects
            for corners in [_corners(item, class_ids, origin, width, height, source, faults)] if corners is not None]
    corners, classes, difficult = zip(*rows) if rows else ((), (), ())
    return Record(path, source, image_id, width, height, np.array(corners, np.float32).reshape(-1, 4),
                  np.array(classes, np.int64), np.array(difficult, bool), np.zeros(len(rows), bool))


def _corners(item, class_ids, origin, width, height, source, faults):
    """Corners in pixels from 0, inside the image; None if a fault takes the box."""
    if item.problem:
        faults.report(source, "malformed annotation", item.problem)
        return None
    if item.name not in class_ids:
        faults.report(source, "unknown class", f"{item.name!r} is not among the {len(class_ids)} classes given; "
                      "name it in --classes")
        return None
    corners, fault = fit_box([corner - origin for corner in item.corners], width, height, item.name)
    if fault:
        faults.report(source, *fault)
    return corners

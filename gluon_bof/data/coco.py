"""COCO's layout, the standard sets and anybody's own: one JSON of images, categories and annotations for each part.

Known places of the JSON: annotations/instances_train2017.json, annotations/*train*.json, train.json and
train/_annotations.coco.json (Roboflow's export), and the same with val or valid.
"""
from __future__ import annotations

import json
import os
from typing import Any, Iterable, Mapping, NamedTuple

import numpy as np

from gluon_bof.boxes import DetectionSet, Fault, Record
from gluon_bof.data.faults import (
    REMEDY,
    REMEDY_OF_MASKS,
    FaultPolicy,
    fit_turned,
    is_normalised,
    remark_masks,
    remark_repeated_boxes,
    remark_repeated_files,
    report_normalised,
    require_records,
    settled,
)
from gluon_bof.data.fields import brief, finite_number, json_text, read_flag, repeated_keys, rotation_in, stated_size
from gluon_bof.data.headers import read_headers
from gluon_bof.data.images import files_in, folders_in, in_other_form
from gluon_bof.data.parts import require_role, roles_of_words
from gluon_bof.data.samples import class_numbers
from gluon_bof.errors import UserError, abbreviate
from gluon_bof.files import may_be_path
from gluon_bof.masks import no_masks, of_segmentation

TRAIN2017_IMAGES = 118287
MOST_NAMES = 40  # of images that have one id, in one line
# of COCO's 80 classes, in its order: ten below 90 are not used
COCO_IDS = tuple(number for number in range(1, 91) if number not in (12, 26, 29, 30, 45, 66, 68, 69, 71, 83))

_KEYS = ("images", "annotations", "categories")
_OTHER_TASKS = ("captions_", "person_keypoints_", "stuff_", "panoptic_", "image_info_")  # lie beside COCO's instances
_LAYOUT = "a COCO set has annotations/*train*.json and *val*.json, train.json or train/_annotations.coco.json"
_MISSING_REMEDY = REMEDY.replace("fix it", "put it there, correct its file_name (a path, no address)")


def load_coco(root_or_json: str, role: str, classes: Iterable[str] | None = None, on_bad_sample: str = "error",
              split: str | None = None, name: str = "coco", skip_empty: bool = False, masks: bool = False) -> DetectionSet:
    """Read one part of a COCO-layout set -> DetectionSet, in the order of the image ids.

    root_or_json: the set's folder, or the JSON itself. role: "train" or "val". split: the one JSON's name, with or without
    .json, instead of the role's. classes: names in the order of their ids; default: the JSON's categories in the order of
    theirs. skip_empty: leave out images without a box to train on. Boxes are x, y, x + w, y + h, or the upright box around that
    where CVAT turned it, cut to the image. `ignore` is read as `iscrowd`: such a box does not train, as in GluonCV, no metric
    asks for it, and a detection on it is neither hit nor miss; one outside the image, without area, in 0..1 or with a faulty
    mask is left out without a word, but a `bbox` that is none, as of a negative width, is a fault there, too. `area` counts for
    nothing here: a box is a box, whatever its exporter thought of the outline. masks: read `segmentation`, too, in any of its
    forms. on_bad_sample: "error" raises at the first fault, "skip" drops the box or the image and lists it in `faults`.
    Raises UserError for a missing root or JSON, an empty one, and faults."""
    require_role(role)
    faults = FaultPolicy(on_bad_sample)
    path = _annotation_file(os.path.expanduser(root_or_json), role, split)
    content = _read_json(path)
    categories = _categories(content["categories"], path)
    names, numbers = class_numbers(classes, tuple(categories), role, path)
    if len(content["images"]) == TRAIN2017_IMAGES:
        faults = _TolerantOfBoxes(on_bad_sample)
    images, dropped = _images(content["images"], _ImageFinder(root_or_json, path), path, faults)
    class_of = {categories[class_name]: number for class_name, number in numbers.items() if class_name in categories}
    masks = {} if masks else None
    name_of = {category_id: class_name for class_name, category_id in categories.items()}
    boxes = _boxes(content["annotations"], images, dropped, class_of, name_of, path, faults, masks)
    records = [_record(images[image_id], boxes.get(image_id, ()), path, None if masks is None else masks.get(image_id, ()))
               for image_id in sorted(images, key=id_order)]
    if skip_empty:
        records = without_empty(records)
    require_records(records, len(content["images"]), path, faults)
    return DetectionSet(name, names, records, faults.faults, path, faults.remarks, categories=categories)


def without_empty(records: Iterable[Record]) -> list[Record]:
    """The records that have a box to train on."""
    return [record for record in records if (~record.crowd).any()]


def category_ids(detection_set: DetectionSet) -> list[int | str]:
    """The JSON's category ids, [id of class 0, id of class 1, ...], for COCO's evaluation; free ones for absent classes."""
    path = detection_set.annotation_file
    known = detection_set.categories or _categories(_read_json(path)["categories"], path)  # a set that a program made has none
    free = max([number for number in known.values() if isinstance(number, int)], default=0) + 1
    return [known.get(name, free + number) for number, name in enumerate(detection_set.classes)]


def is_coco(root: str, *splits: str) -> bool:
    """Whether a folder has COCO's layout: JSON of a role's or of these splits' names, or any in annotations/."""
    root = os.path.expanduser(root)
    return any(_candidates(root, role) for role in ("train", "val")) or bool(_json_files(os.path.join(root, "annotations"))) \
        or any(_named(root, split) for split in splits)


def coco_roles(root: str) -> tuple[str, ...]:
    """Which of train, val and test a folder of COCO's layout has a JSON for."""
    return tuple(role for role in ("train", "val", "test") if _role_json(root, role))


def coco_splits(root: str) -> dict[str, str]:
    """{name: path} of all JSON files of a folder, as `split` takes them: the file's, or its folder's where several have it."""
    paths = all_json(root)
    stems = [_stem(path) for path in paths]
    return {stem if stems.count(stem) == 1 else os.path.basename(os.path.dirname(path)): path for stem, path in zip(stems, paths)}


def _role_json(root, role):
    """A role's own JSON: unlike `_candidates`, what is called "test" is not taken for "val"."""
    if role != "test":
        found = _candidates(root, role)
        return [path for path in found if role == "train" or not _is_called(path, "test") or _is_called(path, "val")]
    return [path for path in all_json(root) if _is_called(path, "test")]


def _is_called(path, role):
    return any(role in roles_of_words(name.lower()) for name in (_stem(path), os.path.basename(os.path.dirname(path))))


class _TolerantOfBoxes(FaultPolicy):
    """COCO's own training set holds two boxes without height: left out and listed, but no reason to stop."""

    def report(self, path, kind, message, remedy=REMEDY, annotation=""):
        if kind in ("no area", "outside"):
            self.faults.append(Fault(str(path), kind, message, annotation))
        else:
            super().report(path, kind, message, remedy, annotation)


def _annotation_file(root, role, split):
    """The JSON of a part."""
    if os.path.isfile(root):
        return root
    if not os.path.isdir(root):
        raise UserError("the folder does not exist", root, "point --dataset-root at the data")
    found = _named(root, split) if split else _candidates(root, role)
    if not found:
        wanted = f"no annotations of split {split!r}" if split else f"no annotations for {role}"
        wanted += ": COCO's layout takes one split, not several" if "," in (split or "") else ""
        raise UserError(f"{wanted} (found: {abbreviate(os.path.relpath(path, root) for path in all_json(root))})", root,
                        f"{_LAYOUT}; --val-share 0.2 shares out the images of one, check takes any with --split, training with "
                        "--train-split and --val-split")
    if len(found) > 1:
        raise UserError(f"several files may be meant for {split or role}: "
                        f"{abbreviate(os.path.relpath(path, root) for path in found)}", root,
                        "keep one of them, or choose the split by name")
    return found[0]


def _candidates(root, role):
    """The JSON files that may be a role's, from the first place that has any."""
    official = os.path.join(root, "annotations", f"instances_{role}2017.json")
    if os.path.isfile(official):
        return [official]
    for roles_in in (roles_of_words, _roles_of_letters):
        # what is called "test" validates only where nothing is called "val"
        for wanted in ("train",) if role == "train" else ("val", "test"):
            for folder in ("annotations", ""):
                found = [path for path in _json_files(os.path.join(root, folder)) if roles_in(_stem(path)) == {wanted}]
                if found:
                    return found
            for folder in _folders(root):
                name = os.path.basename(folder).lower()
                if (name.startswith(wanted) or roles_in(name) == {wanted}) and _json_files(folder):
                    return _json_files(folder)
    return []


def _roles_of_letters(name):
    """The roles whose letters a name holds anywhere, as in "mytrain" and "minival"."""
    return {role for role in ("train", "val", "test") if role in name}


def _named(root, split):
    split = split.lower()
    return [path for path in all_json(root)
            if split in (_stem(path), os.path.basename(path).lower(), os.path.basename(os.path.dirname(path)).lower())
            or _stem(path) == f"instances_{split}"]


def all_json(root: str) -> list[str]:
    """The JSON files of a folder and of those directly in it, but for those of COCO's other tasks."""
    return [path for folder in [root] + _folders(root) for path in _json_files(folder)]


def _folders(root):
    return [os.path.join(root, name) for name in folders_in(root)]


def _json_files(folder):
    return [os.path.join(folder, name) for name in files_in(folder, ".json") if not name.startswith(_OTHER_TASKS)]


def _stem(path):
    return os.path.splitext(os.path.basename(path))[0].lower()


def _read_json(path):
    """The JSON's content, its three lists checked to be lists."""
    try:
        text = json_text(path)
        content, repeated = json.loads(text), repeated_keys(text, _KEYS)
    except json.JSONDecodeError as error:
        raise UserError(f"not valid JSON: {error.msg} in line {error.lineno}, column {error.colno}", path,
                        "fix or export the file again") from None
    except (ValueError, RecursionError) as error:
        reason = "not UTF-8 text, save it as UTF-8" if isinstance(error, UnicodeDecodeError) else error
        raise UserError(f"not valid JSON: {reason}", path, "fix or export the file again") from None
    if not isinstance(content, dict):
        raise UserError(f"holds a JSON {type(content).__name__} where COCO's layout has an object", path, _LAYOUT)
    if repeated:
        raise UserError(f"has {repeated[0]!r} several times, and the last alone would count", path,
                        "make one list of them, in which each id is there once")
    for key in _KEYS:
        if key not in content:
            raise UserError(f"has no {key!r}", path, f"COCO's layout has {', '.join(_KEYS)} (of VIA's JSON: export it as COCO's)")
        if not isinstance(content[key], list):
            raise UserError(f"{key!r} is not a list", path, f"COCO's layout has {', '.join(_KEYS)} as lists")
    for key in ("images", "categories"):
        if not content[key]:
            raise UserError(f"{key!r} is an empty list", path, "export the file again with images and categories")
    return content


def _categories(entries, path):
    """{class name: category id} in the order of the ids; white space in a name is joined, as in VOC's."""
    pairs = []
    for entry in entries:
        if not isinstance(entry, dict) or as_id(entry.get("id")) is None or not isinstance(entry.get("name"), str) \
                or not entry["name"].strip():
            raise UserError(f"category {brief(entry)} has no id or no name", path, "fix 'categories'")
        pairs.append((as_id(entry["id"]), " ".join(entry["name"].split())))
    for place, what in ((0, "id"), (1, "name")):
        values = [pair[place] for pair in pairs]
        if len(set(values)) < len(values):
            twice = next(value for value in values if values.count(value) > 1)
            raise UserError(f"two categories have the {what} {twice!r}", path, "fix 'categories'")
    return {name: category_id for category_id, name in sorted(pairs, key=lambda pair: id_order(pair[0]))}


def as_id(value: Any) -> int | str | None:
    """An id of the JSON, a whole number or text; 1.0 is 1. None for anything else."""
    if type(value) in (int, str):  # not bool
        return value
    return int(value) if isinstance(value, float) and value.is_integer() else None


def id_order(value: int | str) -> tuple[bool, int | str]:
    """The key that sorts ids: numbers before texts."""
    return isinstance(value, str), value


class _ImageFinder:
    """Finds images by the JSON's file_name, from one listing per folder: a look-up per image takes minutes on
    network disks."""

    def __init__(self, root_or_json, json_path):
        beside = os.path.dirname(json_path)
        root = beside if os.path.isfile(root_or_json) else os.path.expanduser(root_or_json)
        if os.path.isfile(root_or_json) and os.path.basename(beside).lower() == "annotations":
            root = os.path.dirname(beside) or "."
        stem = _stem(json_path)
        splits = [stem, stem.replace("instances_", "", 1), stem.rsplit("_", 1)[-1]]
        splits += [word for word in ("train", "valid", "val", "test") if word in stem]
        self._names = {}
        # the split's own folders come first, such as CVAT's Train: another part may have an image of the same name
        folders = [beside, os.path.join(beside, "data")] if os.path.normpath(beside) != os.path.normpath(root) else []
        for place in (root, os.path.join(root, "images")):
            alike = sorted(name for name in self._listing(place) if name.lower() in splits)
            folders += [os.path.join(place, name) for split in splits for name in (split, *alike) if name.lower() == split]
        folders += [root, os.path.join(root, "images"), os.path.join(root, "data")]  # the last is FiftyOne's
        self.beside = beside
        self.root = root
        self.folders = list(dict.fromkeys(folders))

    def find(self, file_name, coco_url):
        """Path of the image, or None."""
        if os.path.isabs(file_name):
            return file_name if os.path.isfile(file_name) else None
        for folder in self.folders:
            path = os.path.join(folder, file_name)
            if self._has(path):
                return path
        if isinstance(coco_url, str) and coco_url.count("/") > 1:
            path = os.path.join(self.root, *coco_url.split("/")[-2:])
            if self._has(path):
                return path
        return None

    def _has(self, path):
        folder, name = os.path.split(path)
        return name in self._listing(folder)

    def _listing(self, folder):
        if folder not in self._names:
            try:
                self._names[folder] = {entry.name for entry in os.scandir(folder)}
            except (OSError, ValueError):
                self._names[folder] = frozenset()
        return self._names[folder]


class _Image(NamedTuple):
    """An image of the JSON that can be used; frame: (width, height) that its boxes are fitted into."""

    image_id: object
    path: str
    width: int
    height: int
    orientation: int
    frame: tuple


def _images(entries, finder, path, faults):
    """({image id: _Image} of those that can be used, ids of those that cannot)."""
    named = _named_images(entries, path, faults)
    found = []
    for image_id, file_name, entry in _unique_images(named, path, faults):
        image_path = finder.find(file_name, entry.get("coco_url"))
        if image_path is None and not may_be_path(file_name):
            faults.report(path, "missing image", f"no file can have the file_name of image {image_id!r}, {brief(file_name)}")
        elif image_path is None:
            other = in_other_form(*(os.path.join(folder, file_name) for folder in finder.folders))
            faults.report(os.path.join(finder.beside, file_name), "missing image",
                          f"the image does not exist, nor in {finder.root}, images/, data/ or a folder of the part's name there; "
                          f"it is listed in {path}{other}", _MISSING_REMEDY)
        else:
            found.append((image_id, image_path, stated_size(entry.get("width"), entry.get("height"))))
    headers = read_headers([image_path for _, image_path, _ in found])
    images = {}
    for (image_id, image_path, stated), header in zip(found, headers):
        settling = settled(faults, path, image_path, header, stated)
        if settling:
            orientation, size, frame = settling
            images[image_id] = _Image(image_id, image_path, *size, orientation, frame)
    remark_repeated_files(faults, path, [(f"id {image.image_id!r}", image.path) for image in images.values()])
    return images, {image_id for image_id, _, _ in named if image_id not in images}


def _named_images(entries, path, faults):
    """[(id, file name, entry)] of the entries that have both."""
    named = []
    for entry in entries:
        image_id = as_id(entry.get("id")) if isinstance(entry, dict) else None
        file_name = entry.get("file_name") if image_id is not None else None
        if not isinstance(file_name, str) or not file_name.strip():
            faults.report(path, "malformed annotation", f"image {brief(entry)} has no id (a whole number or text) or no "
                                                        "file_name")
        else:
            named.append((image_id, file_name.strip().replace("\\", "/"), entry))
    return named


def _unique_images(named, path, faults):
    """Those whose id is theirs alone: of an id that several have, nobody knows whose boxes are whose."""
    names_of = {}
    for image_id, file_name, _ in named:
        names_of.setdefault(image_id, []).append(file_name)
    for image_id, names in names_of.items():
        if len(names) > 1:
            faults.report(path, "duplicate id", f"{len(names)} images have the id {image_id!r}, so that none of them can be "
                                                f"used: {abbreviate(names, MOST_NAMES)}")
    return [place for place in named if len(names_of[place[0]]) == 1]


def _boxes(entries, images, dropped, class_of, known_categories, path, faults, masks=None):
    """{image id: [(corners, class, difficult, crowd), …]} of the boxes worth keeping; images all of whose boxes lie in 0..1
    are taken out of `images`. known_categories: {id: name}. masks: a dict that is filled with {image id: [mask of each]}; None:
    they are not read."""
    boxes, normalised = {}, {}
    _report_ids(entries, path, faults)
    for number, entry in enumerate(entries):
        read = _read_entry(entry, number, images, dropped, class_of, known_categories, path, faults)
        if read is None:
            continue
        image_id, corners, class_id, crowd, who = read
        frame = images[image_id].frame
        ignored = read_flag(entry, "ignore")
        told = FaultPolicy("skip") if ignored else faults  # nobody misses one that lies wrong
        if is_normalised(corners, *frame):
            if not ignored:
                normalised[image_id] = normalised.get(image_id, 0) + 1
            continue
        corners, fault = fit_turned(corners, turned_by(entry), *frame, who)
        if fault:
            told.report(path, *fault)
        if corners is not None and (masks is None or _keep_mask(entry, images[image_id], who, path, told, masks)):
            boxes.setdefault(image_id, []).append((corners, class_id, False, crowd))
    _report_normalised(normalised, boxes, images, path, faults)
    for image_id, of_image in boxes.items():
        image = images[image_id]
        where = f" of image {image_id!r} ({os.path.basename(image.path)})"
        remark_repeated_boxes(faults, path, of_image, where)
        if masks is not None:
            remark_masks(faults, path, [corners for corners, *_ in of_image], masks[image_id], (image.height, image.width), where)
    return boxes


def _report_normalised(normalised, boxes, images, path, faults):
    """Of {image id: number of its boxes in 0..1}; an image that has no other box but crowds is taken out of `images` and `boxes`:
    it would train as background."""
    for image_id, count in normalised.items():
        whole = count + sum(not crowd for *_, crowd in boxes.get(image_id, ()))
        report_normalised(faults, path, count, whole, f" of image {image_id!r} ({os.path.basename(images[image_id].path)})")
        if count == whole and not faults.keeps_images:
            del images[image_id]
            boxes.pop(image_id, None)


def _keep_mask(entry, image, who, path, faults, masks):
    """Whether the annotation's mask is sound, and is now among those of its image."""
    try:
        mask = of_segmentation(entry.get("segmentation"), (image.height, image.width))
    except ValueError as error:
        faults.report(path, "malformed annotation", f"{who}: 'segmentation' {error}", REMEDY_OF_MASKS)
        return False
    masks.setdefault(image.image_id, []).append(mask)
    return True


def _read_entry(entry, number, images, dropped, class_of, known_categories, path, faults):
    """(image id, corners as they are written, class, crowd, words that name it) of an annotation; None of one that is faulty,
    or of an image that was left out."""
    problem = _entry_problem(entry, number, images, dropped, known_categories)
    if problem:
        faults.report(path, *problem)
        return None
    image_id, category_id = as_id(entry["image_id"]), as_id(entry["category_id"])
    if image_id in dropped:
        return None
    who = f"{_who(entry, number)} (image {image_id!r})"
    if category_id not in class_of:
        faults.unknown_class(path, known_categories[category_id], len(class_of), f"{who}: ")
        return None
    try:
        corners, crowd = read_box(entry)
    except ValueError as error:
        faults.report(path, "malformed annotation", f"{who}: {error}")
        return None
    return image_id, corners, class_of[category_id], crowd, who


def _report_ids(entries, path, faults):
    """Annotations' ids are not needed; those that repeat or lack are told once."""
    ids = [as_id(entry.get("id")) for entry in entries if isinstance(entry, dict)]
    lacking = ids.count(None)
    repeated = len(ids) - lacking - len(set(ids) - {None})
    if lacking or repeated:
        told = " and ".join(part for count, part in ((lacking, f"{lacking} annotations have no id"),
                                                     (repeated, f"{repeated} have one that is there already")) if count)
        faults.report(path, "duplicate id", f"of {len(ids)} annotations {told}; ids are not needed, no box is left out")


def _entry_problem(entry, number, images, dropped, known_categories):
    """(kind, message) of what is wrong with an annotation's keys, or None."""
    if not isinstance(entry, dict):
        return "malformed annotation", f"annotation {brief(entry)} is not an object"
    for key in ("image_id", "category_id"):
        if as_id(entry.get(key)) is None:
            return "malformed annotation", f"annotation {brief(entry)} wants {key!r}, a whole number or text"
    image_id, category_id = as_id(entry["image_id"]), as_id(entry["category_id"])
    if image_id not in images and image_id not in dropped:
        return "unknown image", f"{_who(entry, number)}: no image has the id {image_id!r}"
    if category_id not in known_categories:
        return "unknown class", f"{_who(entry, number)}: no category has the id {category_id!r}"
    return None


def _who(entry, number):
    return f"annotation {entry['id']!r}" if as_id(entry.get("id")) is not None else f"annotation number {number + 1}"


def read_box(entry: Mapping[str, Any]) -> tuple[tuple[float, float, float, float], bool]:
    """(corners, crowd) of an annotation. What is to be ignored counts as a crowd: pycocotools knows the one word alone, and
    detections are forgiven on both. Raises ValueError saying what is wrong."""
    box = entry.get("bbox")
    if not isinstance(box, list) or len(box) != 4:
        raise ValueError(f"'bbox' is {brief(box)}, not [x, y, width, height]")
    if any(isinstance(value, str) for value in box):
        raise ValueError(f"'bbox' {brief(box)} holds text")
    try:
        x, y, width, height = map(finite_number, box)
    except ValueError as error:
        raise ValueError(f"'bbox' {brief(box)}: {error}") from None
    if width < 0 or height < 0:
        raise ValueError(f"'bbox' {brief(box)} has a negative width or height")
    flags = [read_flag(entry, key) for key in ("iscrowd", "ignore")]
    return (x, y, x + width, y + height), any(flags)


def turned_by(entry: Mapping[str, Any]) -> float:
    """The degrees by which an annotation's `bbox` is to be turned: CVAT writes a rotated rectangle as it was before that, and the
    angle among the attributes. Of an object with an outline `bbox` is the box around that."""
    return 0.0 if has_outline(entry) else rotation_in(entry.get("attributes"))


def has_outline(entry: Mapping[str, Any]) -> bool:
    """Whether `segmentation`, which may be anything, says an outline: exporters of boxes write [], [[]] or null."""
    segmentation = entry.get("segmentation")
    if isinstance(segmentation, dict):
        return bool(segmentation.get("counts"))
    return isinstance(segmentation, list) and any(segmentation)


def read_area(entry: Mapping[str, Any]) -> float:
    """The stated area of an outline, in square pixels; that of the box where it cannot be right. The box has to be sound."""
    try:
        area = finite_number(entry.get("area"))
    except ValueError:
        area = 0.0
    return area if area > 0 else float(entry["bbox"][2]) * float(entry["bbox"][3])


def _record(image, rows, path, masks=None):
    return Record.of_rows(image.path, path, image.image_id, (image.width, image.height), rows, image.orientation,
                          None if masks is None else np.array(masks) if len(masks) else no_masks())

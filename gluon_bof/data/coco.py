"""COCO's layout, the standard sets and anybody's own: one JSON of images, categories and annotations for each part.

Known places of the JSON: annotations/instances_train2017.json, annotations/*train*.json, train.json and
train/_annotations.coco.json (Roboflow's export), and the same with val or valid.
"""
from __future__ import annotations

import json
import os

import numpy as np

from gluon_bof.boxes import DetectionSet, Fault, Record
from gluon_bof.data.faults import FaultPolicy, fit_box
from gluon_bof.data.images import finite_number, image_size, unique_names
from gluon_bof.errors import UserError

TRAIN2017_IMAGES = 118287

_KEYS = ("images", "annotations", "categories")
_OTHER_TASKS = ("captions_", "person_keypoints_", "stuff_", "panoptic_", "image_info_")  # lie beside COCO's instances
_LAYOUT = "a COCO set has annotations/*train*.json and *val*.json, train.json or train/_annotations.coco.json"
_category_ids = {}  # JSON file -> {class name: category id}, of the sets that were loaded


def load_coco(root_or_json, role, classes=None, on_bad_sample="error", split=None, name="coco", skip_empty=False):
    """Read one part of a COCO-layout set -> DetectionSet, in the order of the image ids.

    root_or_json: the set's folder, or the JSON itself. role: "train" or "val". split: the JSON's name, with or
    without .json, instead of the role's. classes: names in the order of their ids; default: the JSON's categories in
    the order of theirs. skip_empty: leave out images without a box to train on. Boxes are x, y, x + w, y + h cut to
    the image; boxes with `ignore` and those whose `area` is 0 are left out, as in GluonCV. on_bad_sample: "error"
    raises at the first fault, "skip" drops the box or the image and lists it in `faults`.
    Raises UserError for a missing root or JSON, an empty one, and faults."""
    if role not in ("train", "val"):
        raise ValueError(f"role is train or val, not {role!r}")
    faults = FaultPolicy(on_bad_sample)
    path = _annotation_file(os.path.expanduser(root_or_json), role, split)
    content = _read_json(path)
    categories = _categories(content["categories"], path)
    names = tuple(categories) if classes is None else unique_names(classes)
    unknown = [class_name for class_name in names if class_name not in categories]
    # what validates may lack a class that was trained on; what trains must hold all that were asked for
    if unknown and (role == "train" or len(unknown) == len(names)):
        raise UserError(f"class {unknown[0]!r} is not among its categories ({_some(list(categories))})", path,
                        "fix --classes")
    if len(content["images"]) == TRAIN2017_IMAGES:
        faults = _TolerantOfBoxes(on_bad_sample)
    finder = _ImageFinder(root_or_json, path)
    images = _images(content["images"], finder, path, faults)
    dropped = {entry["id"] for entry in content["images"] if _is_entry(entry) and entry["id"] not in images}
    class_of = {categories[class_name]: index for index, class_name in enumerate(names) if class_name in categories}
    boxes = _boxes(content["annotations"], images, dropped, class_of, set(categories.values()), path, faults)
    records = [_record(images[image_id], boxes.get(image_id, ()), path) for image_id in sorted(images, key=_id_order)]
    if skip_empty:
        records = [record for record in records if (~record.crowd).any()]
    if not records:
        first = f"; the first: {faults.faults[0].path}: {faults.faults[0].message}" if faults.faults else ""
        raise UserError(f"none of its {len(content['images'])} images can be used{first}", path, "fix the data set")
    _category_ids[path] = categories
    return DetectionSet(name, names, records, faults.faults, path)


def category_ids(detection_set):
    """The JSON's category ids, [id of class 0, id of class 1, ...], for COCO's evaluation; free ones for absent classes."""
    path = detection_set.annotation_file
    if path not in _category_ids:
        _category_ids[path] = _categories(_read_json(path)["categories"], path)
    known = _category_ids[path]
    free = max(known.values()) + 1
    return [known.get(name, free + number) for number, name in enumerate(detection_set.classes)]


def is_coco(root):
    """Whether a folder has COCO's layout."""
    return any(_candidates(os.path.expanduser(root), role) for role in ("train", "val"))


class _TolerantOfBoxes(FaultPolicy):
    """COCO's own training set holds two boxes without height: left out and listed, but no reason to stop."""

    def report(self, path, kind, message):
        if kind in ("no area", "outside"):
            self.faults.append(Fault(str(path), kind, message))
        else:
            super().report(path, kind, message)


def _annotation_file(root, role, split):
    """The JSON of a part."""
    if os.path.isfile(root):
        return root
    if not os.path.isdir(root):
        raise UserError("the folder does not exist", root, "point --dataset-root at the data")
    found = _named(root, split) if split else _candidates(root, role)
    if not found:
        wanted = f"no annotations of split {split!r}" if split else f"no annotations for {role}"
        raise UserError(f"{wanted} (found: {_some([os.path.relpath(path, root) for path in _all_json(root)])})", root,
                        _LAYOUT)
    if len(found) > 1:
        raise UserError(f"several files may be meant for {split or role}: "
                        f"{_some([os.path.relpath(path, root) for path in found])}", root,
                        "keep one of them, or choose the split by name")
    return found[0]


def _candidates(root, role):
    """The JSON files that may be a role's, from the first place that has any."""
    official = os.path.join(root, "annotations", f"instances_{role}2017.json")
    if os.path.isfile(official):
        return [official]
    # what is called "test" validates only where nothing is called "val"
    for wanted in (("train",),) if role == "train" else (("val",), ("test",)):
        unwanted = {"train", "val", "test"} - set(wanted)
        for folder in ("annotations", ""):
            found = [path for path in _json_files(os.path.join(root, folder))
                     if any(word in _stem(path) for word in wanted)
                     and not any(word in _stem(path) for word in unwanted)]
            if found:
                return found
        for folder in _folders(root):
            if any(os.path.basename(folder).lower().startswith(word) for word in wanted) and _json_files(folder):
                return _json_files(folder)
    return []


def _named(root, split):
    return [path for path in _all_json(root)
            if split in (_stem(path), os.path.basename(path), os.path.basename(os.path.dirname(path)))
            or _stem(path) == f"instances_{split}"]


def _all_json(root):
    return [path for folder in [root] + _folders(root) for path in _json_files(folder)]


def _folders(root):
    return sorted(entry.path for entry in os.scandir(root) if entry.is_dir()) if os.path.isdir(root) else []


def _json_files(folder):
    if not os.path.isdir(folder):
        return []
    return sorted(entry.path for entry in os.scandir(folder) if entry.name.lower().endswith(".json")
                  and not entry.name.startswith((".",) + _OTHER_TASKS))


def _stem(path):
    return os.path.splitext(os.path.basename(path))[0].lower()


def _some(names):
    return ", ".join(map(str, names[:8])) + (", ..." if len(names) > 8 else "") if names else "none"


def _read_json(path):
    """The JSON's content, its three lists checked to be lists."""
    try:
        with open(path, encoding="utf-8-sig") as file:
            content = json.load(file)
    except json.JSONDecodeError as error:
        raise UserError(f"not valid JSON: {error.msg} in line {error.lineno}, column {error.colno}", path,
                        "fix or export the file again") from None
    except (ValueError, RecursionError) as error:
        reason = "not UTF-8 text" if isinstance(error, UnicodeDecodeError) else error
        raise UserError(f"not valid JSON: {reason}", path, "fix or export the file again") from None
    if not isinstance(content, dict):
        raise UserError(f"holds a JSON {type(content).__name__} where COCO's layout has an object", path, _LAYOUT)
    for key in _KEYS:
        if key not in content:
            raise UserError(f"has no {key!r}", path, f"COCO's layout has {', '.join(_KEYS)}")
        if not isinstance(content[key], list):
            raise UserError(f"{key!r} is not a list", path, f"COCO's layout has {', '.join(_KEYS)} as lists")
    for key in ("images", "categories"):
        if not content[key]:
            raise UserError(f"{key!r} is an empty list", path, "export the file again with images and categories")
    return content


def _categories(entries, path):
    """{class name: category id} in the order of the ids."""
    pairs = []
    for entry in entries:
        if not isinstance(entry, dict) or not _is_id(entry.get("id")) or not isinstance(entry.get("name"), str) \
                or not entry["name"].strip():
            raise UserError(f"category {_brief(entry)} has no id or no name", path, "fix 'categories'")
        pairs.append((entry["id"], entry["name"].strip()))
    for place, what in ((0, "id"), (1, "name")):
        values = [pair[place] for pair in pairs]
        if len(set(values)) < len(values):
            twice = next(value for value in values if values.count(value) > 1)
            raise UserError(f"two categories have the {what} {twice!r}", path, "fix 'categories'")
    return {name: category_id for category_id, name in sorted(pairs, key=lambda pair: _id_order(pair[0]))}


def _is_id(value):
    return isinstance(value, (int, str)) and not isinstance(value, bool)


def _id_order(value):
    return isinstance(value, str), value


def _is_entry(entry):
    return isinstance(entry, dict) and _is_id(entry.get("id"))


def _brief(entry):
    text = repr(entry)
    return text if len(text) <= 80 else text[:77] + "..."


class _ImageFinder:
    """Finds images by the JSON's file_name, from one listing per folder: a look-up per image takes minutes on
    network disks."""

    def __init__(self, root_or_json, json_path):
        beside = os.path.dirname(json_path)
        root = beside if os.path.isfile(root_or_json) else os.path.expanduser(root_or_json)
        if os.path.isfile(root_or_json) and os.path.basename(beside).lower() == "annotations":
            root = os.path.dirname(beside) or "."
        stem = _stem(json_path)
        splits = [stem, stem.rsplit("_", 1)[-1]]
        splits += [word for word in ("train", "valid", "val", "test") if word in stem]
        folders = [beside, root] + [os.path.join(root, split) for split in splits]
        folders += [os.path.join(root, "images")] + [os.path.join(root, "images", split) for split in splits]
        self.root = root
        self.folders = list(dict.fromkeys(folders))
        self._names = {}

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
        if folder not in self._names:
            try:
                self._names[folder] = {entry.name for entry in os.scandir(folder)}
            except (OSError, ValueError):
                self._names[folder] = frozenset()
        return name in self._names[folder]


def _images(entries, finder, path, faults):
    """{image id: (id, path, width, height)} of the images that are there."""
    images = {}
    for entry in entries:
        if not _is_entry(entry) or not isinstance(entry.get("file_name"), str) or not entry["file_name"].strip():
            faults.report(path, "malformed annotation", f"image {_brief(entry)} has no id or no file_name")
            continue
        if entry["id"] in images:
            faults.report(path, "duplicate id", f"two images have the id {entry['id']!r}")
            continue
        file_name = entry["file_name"].strip().replace("\\", "/")
        image_path = finder.find(file_name, entry.get("coco_url"))
        if image_path is None:
            faults.report(os.path.join(finder.folders[0], file_name), "missing image",
                       f"the image does not exist, nor elsewhere below {finder.root}; it is listed in {path}")
            continue
        try:
            width, height = _stated_size(entry) or image_size(image_path)
        except UserError as error:
            faults.report(image_path, "broken image", error.problem)
            continue
        images[entry["id"]] = (entry["id"], image_path, width, height)
    return images


def _stated_size(entry):
    """(width, height) of the JSON if they are positive whole numbers, else None."""
    size = entry.get("width"), entry.get("height")
    return size if all(type(side) is int and side > 0 for side in size) else None


def _boxes(entries, images, dropped, class_of, known_categories, path, faults):
    """{image id: [(corners, class, crowd), ...]} of the boxes that are worth keeping."""
    boxes = {}
    seen = set()
    for entry in entries:
        problem = _entry_problem(entry, seen, images, dropped, known_categories)
        if problem:
            faults.report(path, *problem)
            continue
        seen.add(entry["id"])
        if entry["image_id"] in dropped or entry.get("ignore", 0) == 1:
            continue
        who = f"annotation {entry['id']!r} (image {entry['image_id']!r})"
        if entry["category_id"] not in class_of:
            faults.report(path, "unknown class", f"{who}: category {entry['category_id']!r} is not among the "
                                              f"{len(class_of)} classes given")
            continue
        try:
            corners, crowd = _read_box(entry)
        except ValueError as error:
            faults.report(path, "malformed annotation", f"{who}: {error}")
            continue
        if corners is None:
            continue
        corners, fault = fit_box(corners, *images[entry["image_id"]][2:], who)
        if fault:
            faults.report(path, *fault)
        if corners is not None:
            boxes.setdefault(entry["image_id"], []).append((corners, class_of[entry["category_id"]], crowd))
    return boxes


def _entry_problem(entry, seen, images, dropped, known_categories):
    """(kind, message) of what is wrong with an annotation's keys, or None."""
    if not isinstance(entry, dict):
        return "malformed annotation", f"annotation {_brief(entry)} is not an object"
    for key in ("id", "image_id", "category_id"):
        if not _is_id(entry.get(key)):
            return "malformed annotation", f"annotation {_brief(entry)} wants {key!r}"
    if entry["id"] in seen:
        return "duplicate id", f"two annotations have the id {entry['id']!r}"
    if entry["image_id"] not in images and entry["image_id"] not in dropped:
        return "unknown image", f"annotation {entry['id']!r}: no image has the id {entry['image_id']!r}"
    if entry["category_id"] not in known_categories:
        return "unknown class", f"annotation {entry['id']!r}: no category has the id {entry['category_id']!r}"
    return None


def _read_box(entry):
    """(corners or None if the stated area is 0, crowd) of an annotation. Raises ValueError saying what is wrong."""
    box = entry.get("bbox")
    if not isinstance(box, list) or len(box) != 4:
        raise ValueError(f"'bbox' is {_brief(box)}, not [x, y, width, height]")
    if any(isinstance(value, str) for value in box):
        raise ValueError(f"'bbox' {_brief(box)} holds text")
    try:
        x, y, width, height = map(finite_number, box)
    except ValueError as error:
        raise ValueError(f"'bbox' {_brief(box)}: {error}") from None
    if width < 0 or height < 0:
        raise ValueError(f"'bbox' {_brief(box)} has a negative width or height")
    area = entry.get("area")
    if width > 0 and height > 0 and isinstance(area, (int, float)) and not area > 0:
        return None, False
    return (x, y, x + width, y + height), bool(entry.get("iscrowd", 0))


def _record(image, boxes, path):
    image_id, image_path, width, height = image
    corners, classes, crowd = zip(*boxes) if boxes else ((), (), ())
    return Record(image_path, path, image_id, width, height, np.array(corners, np.float32).reshape(-1, 4),
                  np.array(classes, np.int64), np.zeros(len(boxes), bool), np.array(crowd, bool))

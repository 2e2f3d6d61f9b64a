"""LabelMe's JSON, one file an image: shapes of labels and points. A rectangle is a box, an outline the box around it, and
shapes of one label and group_id the box around all of them."""
from __future__ import annotations

import math
import os
from typing import Any, NamedTuple

from gluon_bof.boxes import DetectionSet
from gluon_bof.data.faults import FaultPolicy, require_records
from gluon_bof.data.fields import around, finite_number, load_json, read_flag, stated_size
from gluon_bof.data.images import files_in, in_other_form
from gluon_bof.data.layouts import Layout, Part
from gluon_bof.data.parts import every_fifth, fifth, role_of
from gluon_bof.data.samples import Row, Sample, class_numbers, image_ids, read_records
from gluon_bof.data.voc import owners
from gluon_bof.errors import UserError, abbreviate
from gluon_bof.files import may_be_path

_OUTLINES = {"rectangle": 2, "polygon": 3, "linestrip": 2, "mask": 2, "rotation": 3, "oriented_rectangle": 3}  # least points


class _Places(dict):
    """{folder, by any of its paths: the one by which the set knows it as one of images, else None}. Real paths tell them apart,
    which are looked up once a folder, not once a file."""

    def __init__(self, folders):
        super().__init__((os.path.realpath(folder), os.path.normpath(folder)) for folder in folders)

    def __missing__(self, folder):
        self[folder] = self.get(os.path.realpath(folder)) if may_be_path(folder) else None
        return self[folder]


class _File(NamedTuple):
    """One JSON: its image (None if there is none), and its content or what is wrong with it."""

    path: str
    image: str | None
    content: dict
    problem: str | None = None


def load_labelme(layout: Layout, role: str, classes: Any = None, on_bad_sample: str = "error", split: str | None = None,
                 whole: bool = False, unannotated: str = "skip") -> DetectionSet:
    """Read one part of a set of LabelMe's files -> DetectionSet, in the order of the files' names.

    role: "train" or "val" (a folder called val, else test); where no folder tells, every fifth image validates, or with `whole`
    all train. split: comma-separated names of folders. classes: names in the order of their ids; default: all labels, sorted.
    unannotated: images without a file are left out ("skip") or are negatives ("negative").
    Raises UserError for a missing part, for files that are not right, and for other faults."""
    faults = FaultPolicy(on_bad_sample)
    files = _read_parts(layout)
    found = sorted({name for of_part in files.values() for file in of_part for name in _labels(file)})
    if not found and not classes:
        raise UserError("no file names an object", layout.folder, "annotate it, or give --classes")
    names, numbers = class_numbers(classes, found, role, layout.folder)
    chosen = _chosen(layout, role, split)
    members = [file for part in chosen for file in files[part]]
    spare = [path for part in chosen for path in _spare(part, files)]
    if not whole and not any(part.split for part in layout.parts):
        members, spare = fifth(members, role, layout.folder), every_fifth(spare, role)
    samples = _samples(members, layout.folder, faults)
    if unannotated == "negative":
        samples += [Sample(path, path, image_id) for path, image_id in zip(spare, image_ids(spare, layout.folder))]
    records = read_records(samples, lambda sample, size: _rows(sample, numbers, faults), faults)
    require_records(records, len(members), layout.folder, faults)
    return DetectionSet("labelme", names, records, faults.faults, None, faults.remarks, spare, unannotated == "negative")


def _chosen(layout, role, split):
    """The parts of a role or of named splits."""
    if split:
        names = [name.strip() for name in split.split(",") if name.strip()]
        found = list(dict.fromkeys(part for name in names for part in layout.parts if name in (part.split, part.role)))
    elif not any(part.split for part in layout.parts):
        return layout.parts
    else:
        roles = ("train",) if role == "train" else ("val", "test")
        found = next((parts for wanted in roles for parts in [[part for part in layout.parts if role_of(part.split) == wanted]]
                      if parts), [])
    if not found:
        known = abbreviate(dict.fromkeys(part.split for part in layout.parts if part.split))
        raise UserError(f"no split {split or 'to ' + ('train on' if role == 'train' else 'validate on')} (found: {known})",
                        layout.folder, "choose another, or share the images out with --val-share 0.2")
    return found


def labelme_files(layout: Layout) -> list[str]:
    """Paths of all files of a set, whatever part they are of."""
    return [file.path for files in _read_parts(layout).values() for file in files]


def _read_parts(layout):
    """{Part: its _Files}. Of a folder of JSON that several parts have, each keeps the files of its images, and the first those of
    none."""
    files = {part: _read_part(part, _Places(other.images for other in (*layout.parts, part)  # its own path is the last
                                            if other.annotations == part.annotations)) for part in layout.parts}
    owner = owners((file.path, part.images) for part, of_part in files.items() for file in of_part
                   if file.image and os.path.dirname(os.path.normpath(file.image)) == os.path.normpath(part.images))
    for part, of_part in files.items():
        for file in of_part:
            owner.setdefault(file.path, part.images)
    return {part: [file for file in of_part if owner[file.path] == part.images] for part, of_part in files.items()}


def _read_part(part: Part, places: _Places) -> list[_File]:
    """The files of a part's folder; places: all folders of images that they are about."""
    images = {os.path.splitext(name)[0]: os.path.join(part.images, name) for name in reversed(files_in(part.images))}
    files = [_read(os.path.join(part.annotations, name), part.images, images, places)
             for name in files_in(part.annotations, ".json")]
    return [file for file in files if file.problem or "shapes" in file.content]


def _read(path, folder, images, places):
    stem = os.path.splitext(os.path.basename(path))[0]
    try:
        content = load_json(path)
        problem = None if isinstance(content, dict) else f"holds a JSON {type(content).__name__}, not an object"
    except (OSError, ValueError, RecursionError) as error:
        content, problem = {}, f"not valid JSON: {error}"
    if problem:
        return _File(path, images.get(stem), {}, problem)
    if "shapes" in content and not isinstance(content["shapes"], list):
        return _File(path, images.get(stem), content, "'shapes' is not a list")
    return _File(path, _image_of(path, _named(content), stem, folder, images, places), content)


def _named(content):
    """The path of the image as the file says it, perhaps on Windows; "" where it says none."""
    value = content.get("imagePath")
    return value.replace("\\", "/") if isinstance(value, str) else ""


def _image_of(path, named, stem, folder, images, places):
    """The image that the file names, else the one of its own name; None if there is none. Where the set has one of its own name,
    what is named beyond the set's places is the original that it was copied from."""
    beside = os.path.normpath(os.path.join(os.path.dirname(path), named))
    other = os.path.splitext(os.path.basename(named))[0]
    place = places[os.path.dirname(beside)]
    if stem in images and (other != stem or place is None):  # left behind by copying
        return images[stem]
    if place is not None:
        beside = os.path.normpath(os.path.join(place, os.path.basename(beside)))
    for tried in (beside, os.path.join(folder, os.path.basename(named))):
        if named and os.path.isfile(tried):
            return tried
    return images.get(stem) or images.get(other)


def _labels(file):
    shapes = [] if file.problem else file.content["shapes"]
    return {_label(shape) for shape in shapes if isinstance(shape, dict)} - {""}


def _label(shape):
    value = shape.get("label")
    return " ".join(value.split()) if isinstance(value, str) else ""


def _spare(part, files):
    """Images of a part that no file is about."""
    used = {os.path.normpath(file.image) for of_part in files.values() for file in of_part if file.image}
    paths = [os.path.normpath(os.path.join(part.images, name)) for name in files_in(part.images)]
    return [path for path in paths if path not in used]


def _samples(files, root, faults):
    usable = []
    for file in files:
        if file.problem:
            faults.report(file.path, "malformed annotation", file.problem)
        elif file.image is None:
            other = in_other_form(os.path.join(os.path.dirname(file.path), _named(file.content)), file.path)
            faults.report(file.path, "missing image", f"its image {file.content.get('imagePath')!r} does not exist{other}")
        else:
            usable.append(file)
    return [Sample(file.image, file.path, image_id, stated_size(file.content.get("imageWidth"), file.content.get("imageHeight")),
                   file.content["shapes"]) for file, image_id in zip(usable, image_ids([file.image for file in usable], root))]


def _rows(sample, numbers, faults):
    """Rows of one file, one of all the shapes of a label that have the same group_id: they are parts of one object."""
    rows = {}
    for number, shape in enumerate(sample.labels, 1):
        try:
            name = _label(shape) if isinstance(shape, dict) else ""
            if not name:
                raise ValueError("has no label")
            box = _box(shape)
            difficult = read_flag(shape, "difficult") or read_flag(shape.get("flags") or {}, "difficult")
        except (ValueError, AttributeError) as error:
            faults.report(sample.source, "malformed annotation", f"shape {number} {error}")
            continue
        if name not in numbers:
            faults.unknown_class(sample.source, name, len(numbers))
            continue
        group = shape.get("group_id")
        key = (number,) if group is None or not str(group).strip() else (name, str(group))
        rows[key] = _united(rows.get(key), Row(box, numbers[name], name, difficult, _kind(shape) != "rectangle"))
    return list(rows.values())


def _united(before, row):
    if before is None:
        return row
    (left, top, right, bottom), other = before.corners, row.corners
    around = min(left, other[0]), min(top, other[1]), max(right, other[2]), max(bottom, other[3])
    return row._replace(corners=around, difficult=before.difficult or row.difficult, outline=before.outline or row.outline)


def _kind(shape):
    return str(shape.get("shape_type") or "polygon")


def _box(shape):
    """(left, top, right, bottom) around a shape. Raises ValueError."""
    kind, points = _kind(shape), shape.get("points")
    try:
        pairs = [tuple(map(finite_number, point)) for point in points]
    except (TypeError, ValueError):
        raise ValueError(f"has points that are not pairs of numbers: {str(points)[:60]}") from None
    # of a text the letters would be numbers, and of an object its keys
    if any(not isinstance(some, list) for some in (points, *points)) or any(len(pair) != 2 for pair in pairs):
        raise ValueError(f"has points that are not pairs of numbers: {str(points)[:60]}")
    if kind == "circle" and len(pairs) == 2:
        (x, y), edge = pairs
        radius = math.dist((x, y), edge)
        return x - radius, y - radius, x + radius, y + radius
    if len(pairs) < _OUTLINES.get(kind, len(pairs) + 1):
        raise ValueError(f"is a {kind[:20]} of {len(pairs)} points, which has no box")
    return around(pairs)

"""Writing a set in another layout: VOC's, COCO's or YOLO's, whichever it was read from, and reading it back to compare."""
from __future__ import annotations

import dataclasses
import json
import os
import shutil
from collections import Counter
from typing import Any, NamedTuple
from xml.sax.saxutils import escape

import numpy as np

from gluon_bof.boxes import DetectionSet, Record
from gluon_bof.data.coco import as_id, has_outline
from gluon_bof.data.fields import load_json
from gluon_bof.data.images import AS_STORED, image_header
from gluon_bof.data.names import class_names
from gluon_bof.data.parts import role_of
from gluon_bof.data.sets import DRAWN, annotated_in, annotations_of, left_out, open_set, split_names
from gluon_bof.data.voc_lists import is_of_one_class
from gluon_bof.errors import UserError, abbreviate
from gluon_bof.files import is_utf8, lies_in, refuse_filled, refuse_unmakeable, whole_folder

TARGETS = ("voc", "coco", "yolo")
TOLERANCE = 0.01  # pixels that a box may be off when it is read back; what formats round is far below

# where a stored box (left, top, right, bottom) of an image (width, height) is when the image is turned by EXIF's value
_TURNED = {5: lambda x, y, right, bottom, w, h: (y, x, bottom, right),
           6: lambda x, y, right, bottom, w, h: (h - bottom, x, h - y, right),
           7: lambda x, y, right, bottom, w, h: (h - bottom, w - right, h - y, w - x),
           8: lambda x, y, right, bottom, w, h: (y, w - right, bottom, w - x)}


class Conversion(NamedTuple):
    """What was written. images: {part: number}; notes: what the layout could not say, or was not written, as sentences;
    difference: of a box's corner from its source when read back, in pixels, the largest."""

    layout: str
    classes: tuple
    images: dict
    boxes: int
    notes: tuple
    difference: float


def convert_set(dataset: str, out: str, to: str, root: str | None = None, classes: Any = None, on_bad_sample: str = "error",
            unannotated: str = "skip", layout: str = "auto", val_share: float = 0.0, copy: bool = False) -> Conversion:
    """Write a set, as `open_set` names and reads it, in the layout `to` (one of TARGETS) into the folder `out`, which appears
    when all of it is written and has been read back equal.

    copy: copy the images; default: hard links, where the file system can. Raises UserError where `out` holds something or cannot
    be written or lies in the set's folder, what is read back differs, and as `open_set` does."""
    if to not in TARGETS:
        raise UserError(f"--to cannot be {to!r}", remedy=f"choose one of {', '.join(TARGETS)}")
    refuse_filled(out)
    out = os.path.realpath(out)  # of a link to an empty folder, that is filled
    refuse_unmakeable(os.path.dirname(out), "give a new folder at another place")
    classes = None if classes is None else class_names(classes)
    parts, missing = _read_parts(dataset, dict(root=root, on_bad_sample=on_bad_sample, unannotated=unannotated, layout=layout,
                                               val_share=val_share), classes)
    _refuse_within(out, dataset, parts.values())
    if to == "yolo" and "train" not in parts:
        raise UserError(f"no part of it trains (found: {abbreviate(parts)}), and YOLO's data.yaml has to name one that does",
                        dataset, "choose another layout" if val_share or {"val", "test"} & set(parts) else
                        "share it out with --val-share 0.2, or choose another layout")
    notes = missing + _losses(parts, to)
    parts = {name: dataclasses.replace(found, records=[_as_said(record, to) for record in found.records])
             for name, found in parts.items()}
    names = _file_names(parts, notes)
    with whole_folder(out) as unfinished:
        _WRITERS[to](unfinished, parts, names, _copy if copy else _link)
        difference = _compare(parts, unfinished, to, out)
    first = next(iter(parts.values()))
    return Conversion(to, first.classes, {name: len(found) for name, found in parts.items()},
                      sum(len(record.boxes) for found in parts.values() for record in found.records), tuple(notes), difference)


def _refuse_within(out, dataset, parts):
    """Raise UserError where the new set would lie in a folder that the old one is read from: it might be taken for either then.
    What lies beside a YAML file that names the folders is none of its set's."""
    told = {"" if os.path.isfile(dataset) else found.folder for found in parts}
    for folder in sorted(told.union(*(found.folders for found in parts)) - {""}):
        if lies_in(out, folder):
            raise UserError(f"the new set would lie in the one that is read, {folder}, which could be taken for either then", out,
                            "give a new folder outside of it")


def _read_parts(dataset, how, classes):
    """({part's name: DetectionSet}, sentences of what is in none): what trains and what validates, and what neither does under
    its own name."""
    roles, splits, place = ((), (), None) if dataset in DRAWN else split_names(dataset, how["root"], how["layout"], classes)
    # VOC's lists, of which several may be of one role
    has_files = place is not None and place.name == "voc" and not any(part.split for part in place.parts)
    parts = {}
    if not splits or "train" in roles or how["val_share"] and not roles & {"val", "test"}:
        parts["train"] = open_set(dataset, role="train", classes=classes, **how)
        classes = parts["train"].classes
    if not splits or roles & {"val", "test"} or how["val_share"]:
        # VOC's files: test validates where there is one
        tests = has_files and "test" in splits and any(role_of(split) == "val" for split in splits if not is_of_one_class(split))
        name = "test" if tests and "trainval" not in splits else "val"
        parts[name] = open_set(dataset, role="val", classes=classes, **how)
    rest = _Rest(dataset, {**how, "val_share": 0}, parts, annotations_of(place) if place else set())
    # elsewhere than among VOC's lists these are all of their role
    by_role = () if has_files else set(parts) & {"train", "val"}
    for split in splits:
        if not (has_files and is_of_one_class(split)) and role_of(split) not in by_role:
            rest.add(split)
    for split in splits if has_files and rest.unread else ():
        # others list its images, too, so only what nobody has read yet counts
        if is_of_one_class(split) and annotations_of(place, split) & rest.unread:
            rest.add(split)
    if not parts:
        raise UserError("no split is called train, val or test", dataset, f"found: {', '.join(splits)}")
    if rest.unread:
        rest.notes.append(left_out(len(rest.unread), "part that was read"))
    return parts, rest.notes


class _Rest:
    """Adds splits of their own to the parts of a set. how: as `open_set` takes it. unread: real paths of annotations of images
    that are in no part; notes: of splits that could not be read."""

    def __init__(self, dataset, how, parts, unread):
        self.dataset = dataset
        self.how = how
        self.parts = parts
        self.unread = unread
        self.notes = []
        self._seen = set()
        for found in parts.values():
            self._see(found)

    def add(self, split):
        """Read a split, and keep what no other part has. Raises UserError unless faults are skipped."""
        classes = next(iter(self.parts.values())).classes if self.parts else None
        try:
            found = open_set(self.dataset, role="val", classes=classes, split=split, **self.how)
        except UserError as error:
            if self.how["on_bad_sample"] == "error":
                raise
            self.notes.append(f"the part {split} was left out: {UserError(error.problem, error.path)}")
            return
        kept = [record for record in found.records if record.path not in self._seen]
        self._see(found)
        if kept:
            found.records = kept
            name = role_of(split) or split
            self.parts[name if name not in self.parts else split] = found

    def _see(self, found):
        self._seen |= {record.path for record in found.records}
        self.unread -= annotated_in(found)


def _losses(parts, to):
    """Sentences of what the layout cannot say, and of what was left out when reading."""
    records = [record for found in parts.values() for record in found.records]
    difficult, crowd = (int(sum(getattr(record, mark).sum() for record in records)) for mark in ("difficult", "crowd"))
    shared = Counter()  # parts that are shares of one have its faults, each of them all
    for found in parts.values():
        shared |= Counter(found.faults)
    faults = sum(shared.values())
    spare = sum(len(found.unannotated) for found in parts.values() if not found.negatives_of_unannotated)
    notes = [f"{faults} faults were left out"] if faults else []
    notes += [f"{spare} images without an annotation file were left out; --unannotated negative writes them"] if spare else []
    masks = sum(map(_masks_beside, parts.values()))
    notes += [f"{masks} masks or outlines were left out: boxes alone are written"] if masks else []
    if difficult and to != "voc":
        notes.append(f"{difficult} boxes are no longer marked difficult, which {to} cannot say")
    if crowd and to != "coco":
        notes.append(f"{crowd} crowds were left out, which {to} cannot say")
    turned = sum(_turn(record) != AS_STORED for record in records) if to == "yolo" else 0
    notes += [f"{turned} images were annotated as stored; their boxes are turned, as the EXIF tag of the images says"] \
        if turned else []
    if to == "voc" and {"val", "test"} <= set(parts):
        notes.append("VOC's layout validates on test; --val-split val chooses the other")
    return notes


def _masks_beside(found):
    """How many objects of a set have masks where its layout keeps them; of VOC, those of its images with such a file."""
    if found.annotation_file:
        images = {record.image_id for record in found.records}
        return sum(isinstance(entry, dict) and as_id(entry.get("image_id")) in images and has_outline(entry)
                   for entry in load_json(found.annotation_file)["annotations"])
    return sum(len(record.boxes) if os.path.isfile(_voc_mask(record)) else record.outlines for record in found.records)


def _voc_mask(record):
    folder = os.path.dirname(os.path.dirname(record.source))
    return os.path.join(folder, "SegmentationObject", os.path.splitext(os.path.basename(record.source))[0] + ".png")


def _as_said(record, to):
    """The record with what a layout can say of it."""
    keep = ~record.crowd if to != "coco" else np.ones(len(record.boxes), bool)
    difficult = record.difficult if to == "voc" else np.zeros(len(record.boxes), bool)
    kept = dataclasses.replace(record, boxes=record.boxes[keep], classes=record.classes[keep], difficult=difficult[keep],
                               crowd=record.crowd[keep])
    turn = _turn(record) if to == "yolo" else AS_STORED
    if turn == AS_STORED:
        return kept
    boxes = [_TURNED[turn](*box, record.width, record.height) for box in kept.boxes.tolist()]
    return dataclasses.replace(kept, boxes=np.array(boxes, np.float32).reshape(-1, 4), width=record.height, height=record.width,
                               orientation=turn)


def _turn(record):
    """What an image is turned by where nothing states its size, if it is not in its record."""
    if record.orientation != AS_STORED:
        return AS_STORED
    orientation = image_header(record.path).orientation
    return orientation if orientation in _TURNED else AS_STORED


def _file_names(parts, notes):
    """{part: [name of each record's image]}, no two of the same stem."""
    used, renamed, names = set(), 0, {}
    for part, found in parts.items():
        names[part] = []
        for record in found.records:
            stem, ending = os.path.splitext(os.path.basename(record.path))
            free, number = stem, 1
            while free.lower() in used:
                free, number = f"{stem}_{number}", number + 1
            renamed += free != stem
            used.add(free.lower())
            names[part].append(free + ending)
    if renamed:
        notes.append(f"{renamed} images have another name, since one of theirs was there already")
    return names


def _link(source, target):
    try:
        os.link(os.path.realpath(source), target)
    except OSError:  # another file system, or one without hard links
        _copy(source, target)


def _copy(source, target):
    shutil.copyfile(source, target)


def _write(path, text):
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "w", encoding="utf-8") as file:
        file.write(text)


def _put_images(folder, found, names, put):
    os.makedirs(folder, exist_ok=True)
    for record, name in zip(found.records, names):
        put(record.path, os.path.join(folder, name))


def _refuse_no_text(found, names):
    """Raise UserError for an image whose name, which is no UTF-8, no list or annotation can hold."""
    for record, name in zip(found.records, names):
        if not is_utf8(name):
            raise UserError("its name cannot be written as text", record.path, "rename it, or give --to coco")


def _write_voc(root, parts, names, put):
    for part, found in parts.items():
        _refuse_no_text(found, names[part])
    classes = next(iter(parts.values())).classes
    _write(os.path.join(root, "classes.txt"), "".join(f"{name}\n" for name in classes))
    os.makedirs(os.path.join(root, "Annotations"))
    for part, found in parts.items():
        _put_images(os.path.join(root, "JPEGImages"), found, names[part], put)
        stems = [os.path.splitext(name)[0] for name in names[part]]
        _write(os.path.join(root, "ImageSets", "Main", f"{part}.txt"), "".join(f"{stem}\n" for stem in stems))
        for record, name, stem in zip(found.records, names[part], stems):
            _write(os.path.join(root, "Annotations", f"{stem}.xml"), _xml(record, name, found.classes))


def _xml(record: Record, name: str, classes: tuple) -> str:
    """VOC's annotation of a record, pixels counted from 1."""
    lines = ["<annotation>", f"  <filename>{escape(name)}</filename>", f"  <size><width>{record.width}</width>"
             f"<height>{record.height}</height><depth>3</depth></size>"]
    for box, class_id, difficult in zip(record.boxes.tolist(), record.classes.tolist(), record.difficult.tolist()):
        corners = "".join(f"<{key}>{_short(value + 1)}</{key}>" for key, value in zip(("xmin", "ymin", "xmax", "ymax"), box))
        lines.append(f"  <object><name>{escape(classes[class_id])}</name><difficult>{int(difficult)}</difficult>"
                     f"<bndbox>{corners}</bndbox></object>")
    return "\n".join(lines + ["</annotation>", ""])


def _short(value):
    return str(int(value)) if value == int(value) else repr(value)


def _write_coco(root, parts, names, put):
    number, boxes = 0, 0
    for part, found in parts.items():
        _put_images(os.path.join(root, part), found, names[part], put)
        images, annotations = [], []
        for record, name in zip(found.records, names[part]):
            number += 1
            images.append({"id": number, "file_name": name, "width": record.width, "height": record.height})
            for (left, top, right, bottom), class_id, crowd in zip(record.boxes.tolist(), record.classes.tolist(),
                                                                   record.crowd.tolist()):
                boxes += 1
                annotations.append({"id": boxes, "image_id": number, "category_id": class_id + 1, "iscrowd": int(crowd),
                                    "bbox": [left, top, right - left, bottom - top], "area": (right - left) * (bottom - top)})
        categories = [{"id": index, "name": name} for index, name in enumerate(found.classes, 1)]
        content = {"images": images, "annotations": annotations, "categories": categories}
        _write(os.path.join(root, "annotations", f"instances_{part}.json"), json.dumps(content, separators=(",", ":")))


def _write_yolo(root, parts, names, put):
    import yaml

    config = {}
    for part, found in parts.items():
        _put_images(os.path.join(root, "images", part), found, names[part], put)
        config[part] = f"images/{part}"
        if names[part] != sorted(names[part]):  # a folder's order is that of its names
            config[part] = f"{part}.txt"
            _refuse_no_text(found, names[part])
            _write(os.path.join(root, config[part]), "".join(f"images/{part}/{name}\n" for name in names[part]))
        for record, name in zip(found.records, names[part]):
            _write(os.path.join(root, "labels", part, os.path.splitext(name)[0] + ".txt"), _label(record))
    classes = next(iter(parts.values())).classes
    config = {"train": config.pop("train", None), **config, "nc": len(classes), "names": dict(enumerate(classes))}
    text = yaml.safe_dump({key: value for key, value in config.items() if value is not None}, sort_keys=False, allow_unicode=True)
    _write(os.path.join(root, "data.yaml"), text)


def _label(record: Record) -> str:
    """YOLO's lines of a record."""
    lines = []
    for (left, top, right, bottom), class_id in zip(record.boxes.tolist(), record.classes.tolist()):
        values = ((left + right) / 2 / record.width, (top + bottom) / 2 / record.height, (right - left) / record.width,
                  (bottom - top) / record.height)
        lines.append(" ".join([str(class_id)] + [f"{value:.12f}" for value in values]) + "\n")
    return "".join(lines)


_WRITERS = {"voc": _write_voc, "coco": _write_coco, "yolo": _write_yolo}


def _compare(parts: dict[str, DetectionSet], folder: str, to: str, out: str) -> float:
    """The largest difference of a corner, in pixels, of what was written from what was meant. Raises UserError where anything
    else differs."""
    largest = 0.0
    for part, found in parts.items():
        try:
            again = open_set(folder, None, "val", split=part, layout=to)
        except UserError as error:  # such as of a name with a line break, or with a backslash, which is a folder's to others
            of = f"{os.path.relpath(error.path, folder)}: " if error.path else ""
            raise UserError(f"{to} cannot hold this set: {of}{error.problem}", out,
                            "choose another layout, or rename what is at fault") from None
        if again.classes != found.classes or len(again) != len(found):
            raise UserError(f"{to} cannot hold this set: its classes or images read back differ in part {part}", out,
                            "choose another layout")
        for ours, theirs in zip(found.records, again.records):
            same = all(np.array_equal(getattr(ours, key), getattr(theirs, key)) for key in ("classes", "difficult", "crowd"))
            off = float(np.abs(ours.boxes - theirs.boxes).max(initial=0)) if same else np.inf
            if off > TOLERANCE or (ours.width, ours.height) != (theirs.width, theirs.height):
                raise UserError(f"{to} cannot hold the boxes of {ours.path}", out, "choose another layout")
            largest = max(largest, off)
    return largest

"""YOLO's text: one .txt an image, a line an object (class id, centre x and y, width and height, as fractions of the image; or
the class id and the corners of an outline), and data.yaml (Ultralytics, Roboflow, CVAT), obj.data (Darknet) or classes.txt
(LabelImg), which name the classes.

The fractions are of the image turned upright, as its EXIF tag says. A corner that is a whole number of pixels, but for the digits
that the text leaves out, is taken for that number: what a tool wrote with six digits comes back as it was drawn."""
from __future__ import annotations

import functools
import math
import os
import re
from typing import Any, NamedTuple

from gluon_bof.boxes import DetectionSet
from gluon_bof.data.faults import FaultPolicy, require_records
from gluon_bof.data.fields import brief, finite_number, load_json
from gluon_bof.data.images import ENDINGS, files_in, in_other_form, is_hidden, named_otherwise
from gluon_bof.data.layouts import NAME_FILES, Layout, images_root, is_text, labels_folder, refuse_unread
from gluon_bof.data.names import class_names, composed, unique_names
from gluon_bof.data.parts import fifth, role_of
from gluon_bof.data.samples import Row, Sample, class_numbers, image_ids, read_records
from gluon_bof.errors import UserError, abbreviate, warn
from gluon_bof.files import folders_below, may_be_path

_REMEDY = "YOLO's data.yaml has names: (a list, or a map from ids) and train: and val: (folders, or lists of images)"
_NOTES = "notes.json"  # of Label Studio
_LEAST_DIGITS = 6  # that tools write behind the point
_MOST_VALUES = 1_000_000  # of a YAML file, each alias counted as what it stands for
_FAR = 2.0  # no fraction reaches so far; pixels do
_OBJECT = re.compile(r"\s*[\d.]+(?:\s+[-+.\de]+){4,}\s*", re.IGNORECASE)  # a line of a label: its numbers
_PARTS = {"train": ("train",), "val": ("val", "valid", "validation"), "test": ("test",)}
_NO_LABELS = (*NAME_FILES, *(f"{name}.txt" for names in _PARTS.values() for name in names))


class Config(NamedTuple):
    """What names the classes and the parts. path: the file that does; images: {part: its folders, lists and images}; all:
    folders of a set without parts; values: numbers of a line of a pose, None where lines are boxes or outlines; deep: whether
    folders are meant with those below them."""

    path: str
    root: str
    names: tuple
    images: dict
    all: tuple = ()
    values: int | None = None
    deep: bool = True


def load_yolo(layout: Layout, role: str, classes: Any = None, on_bad_sample: str = "error", split: str | None = None,
              whole: bool = False) -> DetectionSet:
    """Read one part of a set of YOLO's text -> DetectionSet, folders in the order of the images' paths, lists in their own.

    role: "train" or "val" (val, else test); without parts every fifth image validates, or with `whole` all train. split:
    comma-separated names of parts. classes: names in the order of their ids; default: all that the set names. An image without
    a label file is a negative; a label without an image, an id beyond the names and what is no number are faults.
    Raises UserError for a configuration that cannot be read, a missing part, and faults."""
    faults = FaultPolicy(on_bad_sample)
    config = read_config(layout, classes)
    labels = _Labels()
    paths = _images(config, role, split, whole, faults, labels)
    if not paths:
        raise UserError("no image in the part to " + ("train on" if role == "train" else "validate on"), config.path, _REMEDY)
    names, numbers = class_numbers(classes, config.names, role, config.path)
    samples = [Sample(path, labels.of(path) or path, image_id) for path, image_id in zip(paths, image_ids(paths, layout.folder))
               if not _report_astray(path, labels, faults)]
    _remark_shared(samples, faults)
    records = read_records(samples, lambda sample, size: _rows(sample, size, config, numbers, faults), faults)
    require_records(records, len(paths), config.path, faults)
    return DetectionSet("yolo", names, records, faults.faults, None, faults.remarks)


def parts_of(layout: Layout, classes: Any = None) -> tuple[str, ...]:
    """Names of a set's parts."""
    return tuple(read_config(layout, classes).images)


def read_config(layout: Layout, classes: Any = None) -> Config:
    """What the layout's file says. Raises UserError for a file that is not right."""
    if layout.parts:
        images = {}
        for part in layout.parts:
            if part.split:
                images.setdefault(part.split, []).append(part.images)
        folders = () if images else tuple(part.images for part in layout.parts)
        if not layout.file and not classes:
            raise UserError("nothing names the classes of its labels", layout.folder,
                            "add classes.txt, one name a line, or give --classes in the order of their ids")
        path, names = _longest(layout.lists) if layout.lists else (layout.folder, tuple(classes))
        return Config(path, layout.folder, names, images, folders, deep=False)
    return _darknet(layout.file) if layout.file.endswith(".data") else _ultralytics(layout.file)


def _ultralytics(path):
    content = _read_yaml(path)
    if not isinstance(content, dict):
        raise UserError("holds no keys", path, _REMEDY)
    for key in ("names", "train"):
        if not content.get(key):
            raise UserError(f"has no {key!r}", path, _REMEDY)
    names = _names(content["names"], path)
    _refuse_other_count("nc", content.get("nc"), names, path)
    if _as_noted(names, path) != names:
        raise UserError(f"names are not in the order of the ids that {_NOTES} beside it gives them", path,
                        f"put them into that order, or take {_NOTES} away where the labels are not of its ids")
    folder = os.path.dirname(os.path.abspath(path))
    base = content.get("path") or folder
    if not isinstance(base, str):
        raise UserError(f"path is {base!r}, not text", path, _REMEDY)
    base = os.path.join(folder, os.path.expanduser(base))
    base = base if os.path.isdir(base) else folder  # where its author had it
    images = _parts_in(content, (base, folder), path)
    shape = content.get("kpt_shape")
    return Config(path, folder, names, images, (), _pose_values(shape, path) if shape else None)


def _refuse_other_count(key, count, names, path):
    """Raise UserError where a configuration says another number of classes than it names."""
    if count is not None and count != len(names):
        raise UserError(f"{key} is {count!r}, but names are {len(names)}", path, "make them agree")


def _parts_in(content, bases, path):
    """{part: paths of its folders, lists and images}."""
    images = {}
    for part, keys in _PARTS.items():
        key = next((key for key in keys if content.get(key)), None)
        if key is None:
            continue
        try:
            images[part] = [_find_one(value, bases, path) for value in _values(content[key], key, path)]
        except UserError:
            if part != "test" or "val" not in images:  # Roboflow names one that it has not written
                raise
    return images


def _pose_values(shape, path):
    whole = isinstance(shape, list) and all(type(number) in (int, float) and number % 1 == 0 for number in shape)
    if not whole or len(shape) != 2 or min(shape) < 0:
        raise UserError(f"kpt_shape is {brief(shape)}, not two whole numbers", path, _REMEDY)
    points, dimensions = map(int, shape)
    return 4 + points * dimensions


def _read_yaml(path):
    """What the file holds, `names` as they are written: to YAML a class off is False, 010 is 8, 1.10 is 1.1."""
    import yaml

    try:
        with open(path, "rb") as file:
            loader = yaml.SafeLoader(file.read())
        root = loader.get_single_node()
        if root and _count_of(root, {}) > _MOST_VALUES:
            raise ValueError("its aliases unfold without end")
        content = root and loader.construct_document(root)  # which also puts in what is merged
        if isinstance(content, dict):
            for name in [value for key, value in root.value if key.value == "names"][-1:]:
                _as_text(name)
                content["names"] = loader.construct_document(name)
        return content
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f" in line {mark.line + 1}, column {mark.column + 1}" if mark else ""
        raise UserError(f"not valid YAML: {getattr(error, 'problem', None) or error}{where}", path, "fix it") from None
    except (ValueError, RecursionError) as error:  # such as text that is not UTF-8
        raise UserError(f"not valid YAML: {error}", path, "fix it, in UTF-8") from None
    except (ArithmeticError, AttributeError, LookupError, TypeError):  # PyYAML's own slips, as of !!bool maybe
        raise UserError("not valid YAML: a value is not of the kind that its tag names", path, "take the tag (!!) away") from None


def _nodes_in(node):
    """What a node of YAML holds, the nodes of a map's keys and values among them; nothing of text."""
    held = () if isinstance(node.value, str) else node.value
    return [inner for part in held for inner in (part if isinstance(part, tuple) else (part,))]


def _count_of(node, counted):
    """How many values a node of YAML stands for, itself too; infinity where it holds itself. counted: {id of a node: count}."""
    if id(node) not in counted:
        counted[id(node)] = math.inf  # should it be met again inside
        counted[id(node)] = 1 + sum(_count_of(inner, counted) for inner in _nodes_in(node))
    return counted[id(node)]


def _as_text(node):
    """Make text of all that a node of YAML holds, but of what is empty."""
    if isinstance(node.value, str):
        node.tag = node.tag if node.tag.endswith(":null") else "tag:yaml.org,2002:str"
    for inner in _nodes_in(node):
        _as_text(inner)


def _names(value, path):
    if isinstance(value, dict):
        numbered = {int(key): name for key, name in value.items() if str(key).isdecimal()}
        if sorted(numbered) != list(range(len(value))):
            raise UserError(f"names has the ids {abbreviate(value)}, not 0 to {len(value) - 1}", path, "number them from 0")
        value = [numbered[number] for number in range(len(value))]
    if not isinstance(value, list) or any(isinstance(name, (dict, list)) or name is None for name in value):
        raise UserError(f"names is {str(value)[:60]!r}, neither a list nor a map from ids", path, _REMEDY)
    return unique_names([" ".join(str(name).split()) for name in value], path)


def _longest(paths):
    """(path, names) of the longest list of class names, as which the others must begin: LabelImg writes one into every folder, in
    the order in which the names were first used there."""
    lists = {path: _as_noted(class_names(path), path) for path in paths}
    longest = max(paths, key=lambda path: len(lists[path]))
    for path in paths:
        for number, (name, other) in enumerate(zip(lists[path], lists[longest])):
            if name != other:
                raise UserError(f"class {number} is {name!r}, and {other!r} in {longest}", path, "give the labels of both the "
                                "numbers of one list, or take away the list that is of no labels")
    return longest, lists[longest]


def _as_noted(names, path):
    """The names in the order of the ids that notes.json gives them: Label Studio writes it and the list side by side, and the
    list in the order of its setup. Of classes that were renamed since, they are as they stand. path: of the file that names them.
    Raises UserError where a class has another id there, and not all are told."""
    notes = os.path.join(os.path.dirname(path), _NOTES)
    noted = _noted(notes)
    if all(names[number:number + 1] == (name,) for number, name in noted.items()):
        return names
    if sorted(noted) == list(range(len(names))) and set(noted.values()) == set(names):
        return tuple(noted[number] for number in range(len(names)))
    if not any(name in names and names.index(name) != number for number, name in noted.items()):
        warn(f"{path} names other classes than {notes}: it counts")
        return names
    raise UserError(f"it names the classes {abbreviate(f'{number} {name}' for number, name in enumerate(names))}, and {notes} "
                    f"{abbreviate(f'{number} {noted[number]}' for number in sorted(noted))}", path,
                    f"make them agree, ids from 0 on, or take {_NOTES} away where the labels are not of its ids")


def _noted(path):
    """{id: class name} of Label Studio's notes.json; {} where there is none, or it is of another kind."""
    try:
        entries = load_json(path)["categories"]
        return {entry["id"]: " ".join(entry["name"].split()) for entry in entries if type(entry["id"]) is int}
    except (OSError, ValueError, RecursionError, LookupError, TypeError, AttributeError):
        return {}


def _values(value, key, path):
    values = value if isinstance(value, list) else [value]
    if not all(isinstance(item, str) for item in values):
        raise UserError(f"{key} is {str(value)[:60]!r}, not a folder, a list file or several", path, _REMEDY)
    return values


def _find_one(value, bases, path):
    """As `_find`; raises UserError where ../train, as which Roboflow writes train, and train are two places."""
    found, inside = _find(value, bases, path), re.sub(r"^(\.\.[/\\])+", "", value)
    for place in (os.path.join(base, inside) for base in bases if inside != value):
        if os.path.exists(place) and os.path.realpath(place) != os.path.realpath(found):
            raise UserError(f"{value!r} is {found}, and {place} is there too", path, "write the whole path of the one you mean")
    return found


def _find(value, bases, path, authors=None):
    """Where a folder or file of a configuration is: below the bases, perhaps with leading parts that were its author's. authors:
    the only folder that may be missing right above an image; default: any. One of a part's name may not."""
    parts = value.replace("\\", "/").split("/")
    rest = [part for part in parts if part not in ("..", ".")]  # Roboflow writes ../train for train
    first = rest[0] if rest else ""
    is_part = any(first.lower() in keys for keys in _PARTS.values())
    shorter = () if is_part or authors and first != authors and len(rest) < 3 else rest[1:]
    for tried in (os.path.join(*parts) if parts[0] else value, os.path.join("", *rest), os.path.join("", *shorter)):
        for base in bases:
            if tried and os.path.exists(os.path.join(base, tried)):
                return os.path.normpath(os.path.join(base, tried))
    raise UserError(f"{value!r} does not exist, nor below {' or '.join(dict.fromkeys(bases))}", path, "fix its path")


def _darknet(path):
    """obj.data: lines of `key = value`, with classes, names, train and valid."""
    try:
        with open(path, encoding="utf-8-sig") as file:
            pairs = {key.strip(): value.strip() for line in file if "=" in line for key, value in [line.split("=", 1)]}
    except UnicodeDecodeError:
        raise UserError("not text", path, "save it as UTF-8") from None
    folder = os.path.dirname(os.path.abspath(path))
    for key in ("names", "train"):
        if not pairs.get(key):
            raise UserError(f"has no {key!r}", path, "Darknet's obj.data has names = and train = lines")
    images = {part: [_find(pairs[key], (folder,), path)] for part, keys in _PARTS.items() for key in keys if pairs.get(key)}
    names = class_names(_find(pairs["names"], (folder,), path))
    told = pairs.get("classes") or None
    count = told and re.match(r"\d+", told)  # Darknet, too, passes over what stands behind it
    _refuse_other_count("classes", int(count[0]) if count else told, names, path)
    return Config(path, folder, names, images)


class _Labels:
    """Where the labels of images are, by one listing a folder. A link to what is not there is listed, too: it is a label that
    cannot be read, not none."""

    def __init__(self):
        self._place = functools.lru_cache(maxsize=None)(labels_folder)
        self._texts = functools.lru_cache(maxsize=None)(_texts)  # folder -> {stem: path}
        self._spare = functools.lru_cache(maxsize=None)(self._without_image)

    def of(self, path: str) -> str | None:
        """Path of an image's label, None if it has none."""
        return self._texts(self._place(os.path.dirname(path))).get(_stem(path))

    def wanted(self, path: str) -> str:
        """Where an image's label would be."""
        return os.path.join(self._place(os.path.dirname(path)), _stem(path) + ".txt")

    def alike(self, path: str) -> str | None:
        """Path of a label of no image whose name is, but for capitals and Unicode's form, that of an image that has none; None if
        there is none."""
        return None if self.of(path) else self._spare(os.path.dirname(path)).get(_plain(_stem(path)))

    def _without_image(self, folder):
        """{plain stem: path} of the labels of a folder of images of which it has no image, be it listed or not."""
        images = set(map(_stem, files_in(folder or os.curdir)))
        texts = self._texts(self._place(folder))
        return {_plain(stem): path for stem, path in texts.items() if stem not in images and not _is_other_text(path)}

    def stray(self, path: str) -> str | None:
        """Path of a label beside an image that has none, where labels are read from another folder; None if there is none."""
        folder = os.path.dirname(path)
        beside = None if self.of(path) or self._place(folder) == folder else self._texts(folder).get(_stem(path))
        return beside if beside and _has_object(beside) else None


def _texts(folder):
    """{name without ending: path} of the files in a folder that have a label's ending."""
    try:
        return {_stem(name): os.path.join(folder, name) for name in sorted(os.listdir(folder or os.curdir)) if is_text(name)}
    except OSError as error:
        refuse_unread(error)


def _stem(path):
    return os.path.splitext(os.path.basename(path))[0]


def _plain(stem):
    """A name in one form of those that look the same, or differ in capitals alone."""
    return composed(stem.casefold())


def _is_other_text(path):
    """Whether a text's name says that it is no image's label."""
    name = os.path.basename(path).lower()
    return name in _NO_LABELS or name.startswith("readme")


def _has_object(path):
    """Whether a text has a line of numbers, as labels have and captions have not. One that cannot be read may."""
    try:
        with open(path, encoding="utf-8-sig", errors="replace") as file:
            return any(map(_OBJECT.fullmatch, file))
    except OSError:
        return True


def _images(config, role, split, whole, faults, labels):
    """Paths of the images of a part."""
    chosen = _chosen(config, role, split)
    if chosen is None:
        found = [path for folder in config.all for path in _of_folder(folder, config.deep, faults, labels)]
        return found if whole else fifth(found, role, config.root)
    found = {}  # path: the folder that has one place for the labels
    for place in chosen:
        for path in _of_place(place, config, faults, labels):
            found.setdefault(path, _root_of(path, place))
    _remark_unlabelled(found, config, split or role, faults, labels)
    return list(found)


def _root_of(path, place):
    """The folder of an image of a place, for which labels are looked for together: the innermost images/, which `labels/` stands
    for, or the place itself, be it in there; a list's is where it lies."""
    return max(images_root(os.path.dirname(path)), place if os.path.isdir(place) else "", key=len) or os.path.dirname(place)


def _remark_unlabelled(found, config, part, faults, labels):
    """Tell of folders none of whose images has a label. found: {path of an image: its folder}."""
    bare = set(found.values()) - {folder for path, folder in found.items() if labels.of(path)}
    paths = [path for path, folder in found.items() if folder in bare]
    if paths:
        where = "" if len(paths) == len(found) else f" in {abbreviate(sorted(bare))}"
        faults.remark(config.path, "no label", f"none of the {len(paths)} images of {part}{where} has a label: there is no "
                      f"{labels.wanted(paths[0])} (labels/ in the place of images/ or JPEGImages/, else beside the image)")


def _chosen(config, role, split):
    """Folders and lists of a part; None where a set has no parts."""
    if split:
        names = [name.strip() for name in split.split(",") if name.strip()]
        missing = [name for name in names if name not in config.images]
        if missing:
            raise UserError(f"no split {missing[0]!r} (found: {abbreviate(config.images)})", config.path, "choose another")
        return [place for name in names for place in config.images[name]]
    if not config.images:
        return None
    of_role = {}
    for name, places in config.images.items():
        of_role.setdefault(role_of(name), []).extend(places)
    found = of_role.get("train") if role == "train" else of_role.get("val") or of_role.get("test")
    if not found:
        raise UserError(f"no split to {'train' if role == 'train' else 'validate'} on (found: {abbreviate(config.images)})",
                        config.path, "name it there, or share the images out with --val-share 0.2")
    return found


def _of_place(place, config, faults, labels):
    if os.path.isdir(place):
        return _of_folder(place, config.deep, faults, labels)
    if os.path.splitext(place)[1].lower() in ENDINGS:
        return [place]
    try:
        with open(place, encoding="utf-8-sig") as file:
            lines = [line.strip() for line in file if line.strip()]
    except UnicodeDecodeError:
        raise UserError("the list of images is not UTF-8 text", place, "list one path a line") from None
    found, bases = [], (os.path.dirname(place), config.root)
    for line in lines:
        if not may_be_path(line):
            faults.report(place, "missing image", f"it lists {brief(line)}, a name that no file can have")
            continue
        try:
            found.append(_find(line, bases, place, "data"))  # as CVAT's begin
        except UserError:
            other = in_other_form(*(os.path.join(base, line.replace("\\", "/")) for base in bases))
            faults.report(os.path.join(bases[0], line), "missing image", f"the image does not exist; it is listed in "
                                                                         f"{place}{other}")
    return found


def _of_folder(folder, deep, faults, labels):
    """Paths of the images in a folder, or also below it, in order; labels without an image are faults."""
    found = [path for path in _files(folder, deep) if os.path.splitext(path)[1].lower() in ENDINGS]
    known = {labels.of(path) or labels.alike(path) or labels.stray(path) for path in found}
    for path in filter(is_text, _files(labels_folder(folder), deep)):
        if path not in known and not _is_other_text(path):
            _report_unpaired(path, faults)
    return found


def _remark_shared(samples, faults):
    """Tell of labels that several images have, of the same name and other endings: nothing in one says which it is of."""
    images = {}
    for sample in samples:
        images.setdefault(sample.source, []).append(sample.path)
    for label, paths in images.items():
        if len(paths) > 1:
            faults.remark(label, "shared label", f"{len(paths)} images have its boxes: {abbreviate(paths)}; should they be "
                                                 "different pictures, rename those that it is not of")


def _report_unpaired(path, faults, hint=""):
    faults.report(path, "missing image", f"the image of the label {os.path.basename(path)} does not exist (with any ending of "
                                         f"{' '.join(ENDINGS)}){hint}")


def _report_astray(path, labels, faults):
    """Tell of an image's label that is not read for its name or for where it lies: the image is no negative. Returns whether."""
    alike, stray = labels.alike(path), labels.stray(path)
    folder, name = os.path.split(path)
    if alike:
        _report_unpaired(alike, faults, in_other_form(os.path.join(folder, os.path.basename(alike)))
                         or named_otherwise(name, "other capitals"))
    elif stray:
        faults.report(stray, "stray label", f"it lies beside its image, but labels are read from {labels.wanted(path)}, which is "
                                            "not there: move it")
    return bool(alike or stray)


def _files(folder, deep):
    """Paths of the files in a folder, or also below it, in order."""
    places = folders_below(folder, lambda path: not deep or is_hidden(os.path.basename(path)), refuse_unread)
    return sorted(os.path.join(place, name) for place, names in places for name in names if not is_hidden(name))


def _rows(sample, size, config, numbers, faults):
    """Rows of one label file, whose faults are reported line by line."""
    if sample.source == sample.path:
        return []
    rows = []
    for number, line in enumerate(_lines(sample.source, faults), 1):
        if not line.strip():
            continue
        try:
            name, box, digits, outline = _object(line.split(), config)
        except _Unknown as error:
            faults.report(sample.source, "unknown class", f"line {number}: {error}")
            continue
        except ValueError as error:
            faults.report(sample.source, "malformed annotation", f"line {number}: {error}")
            continue
        if name not in numbers:
            faults.unknown_class(sample.source, name, len(numbers), f"line {number}: ")
            continue
        rows.append(Row(_pixels(box, size, digits), numbers[name], name, outline=outline))
    return rows


def _lines(path, faults):
    try:
        with open(path, encoding="utf-8-sig") as file:
            return file.read().splitlines()
    except OSError as error:
        faults.report(path, "malformed annotation", f"the label cannot be read ({error.strerror})")
    except UnicodeDecodeError:
        faults.report(path, "malformed annotation", "the label is not UTF-8 text")
    return []


class _Unknown(ValueError):
    """A class id that no name has."""


def _object(words, config):
    """(class name, (left, top, right, bottom) in fractions, digits behind the point, whether it is an outline) of a line. Raises
    ValueError."""
    values = [_number(word) for word in words]
    if values[0] != int(values[0]):
        raise ValueError(f"the class id {words[0]!r} is not a whole number")
    index = int(values[0])
    if not 0 <= index < len(config.names):
        raise _Unknown(f"class id {index}, but {os.path.basename(config.path)} names {len(config.names)} (0 to "
                       f"{len(config.names) - 1})")
    rest = values[1:]
    if config.values and len(rest) == config.values:
        rest = rest[:4]
    if len(rest) != 4 and (len(rest) < 6 or len(rest) % 2):
        raise ValueError(f"{len(words)} numbers, where a box has 5 and an outline an odd number from 7 on")
    if max(map(abs, rest)) > _FAR:
        raise ValueError(f"{max(rest, key=abs):g} is no fraction of the image's side: numbers are to be in 0..1, not pixels")
    digits = max(len(word.partition(".")[2].rstrip()) for word in words[1:])
    return config.names[index], _box(rest), digits, len(rest) > 4


def _number(word):
    try:
        return finite_number(word)
    except ValueError:
        raise ValueError(f"{word[:40]!r} is not a number") from None


def _box(values):
    if len(values) > 4:
        return min(values[::2]), min(values[1::2]), max(values[::2]), max(values[1::2])
    x, y, width, height = values
    if width < 0 or height < 0:
        raise ValueError(f"its width or height is negative: {width:g} x {height:g}")
    return x - width / 2, y - height / 2, x + width / 2, y + height / 2


def _pixels(box, size, digits):
    """Corners in pixels; whole ones, where they are within what the digits leave out."""
    corners = []
    for fraction, side in zip(box, size * 2):
        value = fraction * side
        error = side * 10.0 ** -max(digits, _LEAST_DIGITS) + 1e-9
        corners.append(float(round(value)) if abs(value - round(value)) <= error else value)
    return tuple(corners)

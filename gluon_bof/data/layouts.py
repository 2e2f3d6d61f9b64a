"""Which layout a folder has, and why: VOC's, COCO's, YOLO's or LabelMe's, as the programs leave it that people draw boxes with.

Only names are looked at, and the keys of JSON files; the readers say what is wrong inside."""
from __future__ import annotations

import os
import re
from typing import Iterable, NamedTuple, NoReturn

from gluon_bof.data.coco import all_json, coco_roles, is_coco
from gluon_bof.data.images import ENDINGS, files_in, folders_in, is_hidden
from gluon_bof.data.parts import role_of, roles_of_words
from gluon_bof.data.voc import is_voc
from gluon_bof.errors import UserError, abbreviate, warn
from gluon_bof.files import lies_in

LAYOUTS = ("voc", "coco", "yolo", "labelme")
SPOKEN = {"voc": "VOC's layout", "coco": "COCO's layout", "yolo": "YOLO's text", "labelme": "LabelMe's JSON"}
NAME_FILES = ("classes.txt", "obj.names", "predefined_classes.txt")  # of LabelImg and Darknet

_DEPTH = 3  # folders below a set's own that are looked into
_SNIFFED = 1 << 18  # bytes at either end of a JSON file, whose keys tell what it is
_WHOLE = 1 << 26  # bytes up to which all of it is looked at, where the ends don't tell
_MOST_SNIFFED = 20  # files of a folder
_CONFIG_KEYS = re.compile(r"^(names|train|val|nc)\s*:", re.MULTILINE)
_COCO_KEYS = [re.compile(rb'"%s"\s*:\s*\[' % key) for key in (b"images", b"annotations", b"categories")]
_LABELME_KEY = re.compile(rb'"shapes"\s*:\s*\[')
_MASKS = re.compile(r"masks?|segmentation.*")
_LABEL_MAPS = re.compile(rf"{_MASKS.pattern}|labels|gtfine|gtcoarse")  # the last two are of Cityscapes
_IMAGES = re.compile(rf"(?<![^{os.sep}])(?:jpeg)?images(?![^{os.sep}])", re.IGNORECASE)  # as Ultralytics and Darknet have it
_WORD = re.compile(r"\d+|[^\W\d_]+")
_NONE = ("neither of VOC's layout (Annotations/*.xml, or XML of its images' names) nor of COCO's (annotations/*train*.json, or "
         "one JSON), YOLO's (data.yaml, or classes.txt and labels) or LabelMe's (JSON of its images' names)")


class Part(NamedTuple):
    """Folders of annotations and of the images that they are about; split: the part's name, "" if no folder has a split's."""

    annotations: str
    images: str
    split: str = ""

    @property
    def role(self) -> str:
        """train, val, test, or "" where no folder tells."""
        return role_of(self.split)


class Layout(NamedTuple):
    """What a folder was taken for, and why. parts: of VOC's variants and of LabelMe's; file: the one JSON or YOLO's
    configuration; certain: False where only a name speaks for it; lists: of class names, that YOLO's labels may be of."""

    name: str
    folder: str
    why: str
    parts: tuple = ()
    file: str | None = None
    certain: bool = True
    lists: tuple = ()

    def __str__(self):
        return f"taken for {SPOKEN[self.name]}: {self.why}"


class _Folder(NamedTuple):
    """Names in one folder: {stem: name} of each kind of file."""

    path: str
    images: dict
    xml: dict
    json: dict
    txt: dict


def recognise(folder: str, wanted: str = "auto", split: str | None = None) -> Layout:
    """The layout of a folder; wanted: one of LAYOUTS, or auto. split: as --split, may name a JSON.

    Raises UserError for a layout that there is not, and if it has none, not the wanted one, or if two are possible: then both are
    named."""
    if wanted not in ("auto", *LAYOUTS):
        raise UserError(f"--layout cannot be {wanted!r}", remedy=f"choose one of auto, {', '.join(LAYOUTS)}")
    readings = _readings(folder, split)
    if wanted != "auto":
        readings = [found for found in readings if found.name == wanted]
        if not readings:
            raise UserError(f"nothing of {SPOKEN[wanted]} in the folder", folder, f"leave --layout {wanted} out, or point at the "
                                                                                  "folder that holds the annotations")
    if any(found.certain for found in readings):
        readings = [found for found in readings if found.certain]
    if not readings:
        _refuse_label_maps(folder)
        raise UserError(_NONE, folder, f"{_unread(folder)}point at the folder that holds the annotations")
    if len(readings) > 1:
        told = " or ".join(f"{SPOKEN[found.name]} ({found.why})" for found in readings)
        flags = " or ".join(f"--layout {found.name}" for found in readings)
        raise UserError(f"it may be {told}", folder, f"choose with {flags}")
    return readings[0]


def _unread(folder):
    """What to do about annotations in a folder that nobody reads here; "" where there seem to be none."""
    endings = {os.path.splitext(name)[1].lower() for of_folder in _tree(folder) for name in os.listdir(of_folder.path)
               if os.path.isfile(os.path.join(of_folder.path, name))}
    if not endings.isdisjoint({".rec", ".lst", ".csv"}):
        return "RecordIO, LST and CSV are not read: write VOC's XML or COCO's JSON, or "
    if ".json" in endings:
        return "its JSON holds no boxes of COCO's or LabelMe's (VIA's: export it as COCO's); give such a one, or "
    return ""


def annotated_as(folder: str) -> set[str]:
    """The LAYOUTS of which annotations are found in a folder; a JSON that only its name speaks for is none."""
    return {found.name for found in _readings(folder) if found.certain or found.name == "yolo"}


def _readings(folder, split=None):
    tree = _tree(folder)
    return [found for read in (_voc, _coco, _yolo, _labelme) for found in [read(folder, tree, split)] if found]


def refuse_images_with_maps(folder: str, names: Iterable[str]) -> None:
    """Raise UserError where a part's folders, of these names, are not of classes but of a segmentation set's images and label
    maps."""
    names = {name.lower() for name in names}
    if "images" in names and all(map(_LABEL_MAPS.fullmatch, names - {"images"})):
        _refuse_label_maps(folder)


def _refuse_label_maps(root):
    """Raise UserError where folders below the root hold label maps, by their names."""
    maps = [os.path.relpath(of_folder.path, root) for of_folder in _tree(root) if of_folder.images
            and any(map(_LABEL_MAPS.fullmatch, _names_of(of_folder.path, root)))]
    if maps:
        raise UserError(f"it holds no boxes; {abbreviate(maps)} seem to be label maps", root,
                        "those are for gluon-bof train segmentation, which checks them when it starts")


def warn_of_no_part(layout: Layout) -> None:
    """Warn of folders that tell no part where others do: the readers of YOLO's text and LabelMe's JSON leave them out."""
    without = [os.path.relpath(part.images, layout.folder) for part in layout.parts if not part.split]
    if layout.name != "voc" and 0 < len(without) < len(layout.parts):
        warn(f"{layout.folder}: what lies in {abbreviate(without)} neither trains nor validates, since other folders tell parts; "
             "put it into one whose name does, such as train/")


def split_of(path: str, root: str) -> str:
    """The name of the split that a folder's path below the root tells, in its last telling part; "" if none does."""
    for name in reversed(os.path.relpath(path, root).split(os.sep)):
        if len(roles_of_words(name.lower())) == 1:
            return name
    return ""


def _tree(root):
    """[_Folder] of the root and what lies below it."""
    found = []
    waiting = [(root, 0)]
    while waiting:
        path, depth = waiting.pop(0)
        kinds = _Folder(path, {}, {}, {}, {})
        try:
            entries = sorted(os.scandir(path), key=lambda entry: entry.name)
        except OSError as error:
            refuse_unread(error)
        for entry in entries:
            if is_hidden(entry.name):
                continue
            stem, ending = os.path.splitext(entry.name)
            kind = kinds.images if ending.lower() in ENDINGS else getattr(kinds, ending[1:].lower(), None) \
                if ending.lower() in (".xml", ".json", ".txt") else None
            if kind is not None:
                kind[stem] = entry.name
            elif depth < _DEPTH and entry.is_dir() and not _leads_back(entry):
                waiting.append((entry.path, depth + 1))
        found.append(kinds)
    return found


def refuse_unread(error: OSError) -> NoReturn:
    """Raise UserError for a folder that cannot be listed; for os.walk, too, which would pass over it."""
    raise UserError(f"the folder cannot be read ({error.strerror})", error.filename,
                    "let it be read, or move it out of the set") from None


def _voc(root, tree, split):
    parts = _parts(root, tree, lambda of_folder: of_folder.xml)
    if is_voc(root) and not (parts and _is_variant(root, tree, parts)):
        has_xml = any(of_folder.xml for of_folder in tree)
        return Layout("voc", root, "Annotations/ with XML in it, or in a folder of a year", certain=has_xml)
    return Layout("voc", root, _told(parts, root, "XML"), tuple(parts)) if parts else None


def _is_variant(root, tree, parts):
    """Whether a root with Annotations/ keeps its images or its XML elsewhere than the reader of the usual layout looks."""
    lying = {os.path.relpath(of_folder.path, root).lower(): of_folder for of_folder in tree}
    usual = [lying[name] for name in ("jpegimages", "images") if name in lying]
    if "annotations" not in lying or not lying["annotations"].xml or not usual:
        return not any(name.startswith("voc") for name in lying)
    return not usual[0].images and all(part.split for part in parts) and "imagesets" not in lying


def _labelme(root, tree, split):
    parts = _parts(root, tree, lambda of_folder: of_folder.json)
    parts = [part for part in parts if "labelme" in map(sniff, _some_json(part.annotations))]
    return Layout("labelme", root, _told(parts, root, "LabelMe's JSON"), tuple(parts)) if parts else None


def _some_json(folder):
    return [os.path.join(folder, name) for name in files_in(folder, ".json")[:_MOST_SNIFFED]]


def _parts(root, tree, kind):
    """[Part] of folders that hold annotations of a kind and the images of the same names, each once."""
    pictured = [of_folder for of_folder in tree if of_folder.images]
    parts = []
    for place in tree:
        stems = set(kind(place))
        if not stems:
            continue
        shared = {other.path: stems & set(other.images) for other in pictured if stems & set(other.images)}
        parts += [_part(place.path, place.path, root)] if place.path in shared else _of_images(place.path, shared, root)
    return _each_once(parts, root)


def _leads_back(entry):
    """Whether a folder is a link to one that it lies in."""
    return entry.is_symlink() and lies_in(entry.path, entry.path)


def _each_once(parts, root):
    """The parts but those that a link shows again, of which an image would count twice, and train and validate where shares do.
    Of the paths of the same two folders those are kept that tell a part, one for each, else the first; links come last."""
    def is_linked(part):
        path = os.path.relpath(part.images, root)
        return os.path.realpath(part.images) != os.path.normpath(os.path.join(os.path.realpath(root), path))

    paths = {}
    for part in sorted(parts, key=is_linked):
        places = os.path.realpath(part.annotations or labels_folder(part.images)), os.path.realpath(part.images)
        paths.setdefault(places, {}).setdefault(part.role, part)
    kept = {part for by_role in paths.values() for role, part in by_role.items() if role or len(by_role) == 1}
    return [part for part in parts if part in kept]


def _of_images(annotations, shared, root):
    """Parts of one folder of annotations: its images lie in one folder, or in one a split. shared: {folder: names of its images
    that the annotations have, too}. Frame numbers repeat from folder to folder, so that names say less than the place; of several
    that are as good the reader refuses an annotation that may be of two images."""
    near = _nearest(annotations, _without_masks(shared, root), root)
    if len({split_of(path, root) for path in near} - {""}) == len(near) > 1 and not split_of(annotations, root):
        return [Part(annotations, path, split_of(path, root)) for path in near]
    likeness = {path: _nearness(annotations, path, root) for path in near}
    best = [path for path in near if likeness[path] == max(likeness.values())]
    return [_part(annotations, path, root) for path in best if not any(shared[path] < shared[other] for other in best)]


def _without_masks(shared, root):
    """The folders but those called masks most of whose names others have: a set may be of faces with a mask and without."""
    masks = {path for path in shared if any(_MASKS.fullmatch(name) for name in _names_of(path, root))}
    others = set().union(*(stems for path, stems in shared.items() if path not in masks))
    return [path for path, stems in shared.items() if path not in masks or 2 * len(stems & others) <= len(stems)]


def _nearness(annotations, images, root):
    """(whether a folder is called images, as those of masks or of smaller images are not; how many words of its path are the
    annotations', too, from the beginning and from the end on)."""
    ours, theirs = (_names_of(path, root) for path in (annotations, images))
    called = not {"images", "jpegimages"}.isdisjoint(theirs[len(os.path.commonprefix([ours, theirs])):])
    ours, theirs = (_WORD.findall(os.sep.join(names)) for names in (ours, theirs))
    same = len(os.path.commonprefix([ours, theirs]))
    return called, same + len(os.path.commonprefix([ours[same:][::-1], theirs[same:][::-1]]))


def _names_of(path, root):
    return os.path.relpath(path, root).lower().split(os.sep)


def _nearest(annotations, folders, root):
    """Of several folders with images of the same names, those of the annotations' own split."""
    own = role_of(split_of(annotations, root))
    same = [path for path in folders if role_of(split_of(path, root)) == own]
    return (same if own else same or folders) or [path for path in folders if not split_of(path, root)]


def _part(annotations, images, root):
    return Part(annotations, images, split_of(annotations, root) or split_of(images, root))


def _told(parts, root, what):
    places = []
    for part in parts:
        here, there = (os.path.relpath(path, root) for path in (part.annotations, part.images))
        places.append(f"images and {what} in {here}" if here == there else f"{what} in {here}, images in {there}")
    return abbreviate(places)


def _coco(root, tree, split):
    kinds = {path: sniff(path) for folder in {os.path.dirname(path) for path in all_json(root)} for path in _some_json(folder)}
    found = [path for path, kind in kinds.items() if kind == "coco"]
    if is_coco(root, *(split or "").split(",")):
        if found or "labelme" not in kinds.values():
            told = abbreviate(os.path.relpath(path, root) for path in sorted(found or kinds))
            only = found[0] if len(found) == 1 and not coco_roles(root) else None
            return Layout("coco", root, f"JSON with COCO's lists in {told}" if found else f"the names of {told}", (), only,
                          bool(found))
        return None
    if found:
        told = abbreviate(os.path.relpath(path, root) for path in sorted(found))
        return Layout("coco", root, f"JSON with COCO's lists in {told}", file=found[0] if len(found) == 1 else None)
    return None


def sniff(path: str) -> str:
    """What a JSON file is by its keys: "coco", "labelme" or ""."""
    try:
        with open(path, "rb") as file:
            size = os.fstat(file.fileno()).st_size
            ends = [file.read(_SNIFFED)]
            file.seek(max(_SNIFFED, size - _SNIFFED))
            ends.append(file.read())
            kind = _kind_of(b"".join(ends))
            if not kind and 2 * _SNIFFED < size <= _WHOLE:
                file.seek(0)
                kind = _kind_of(file.read())
    except OSError:
        return ""
    return kind


def _kind_of(data):
    data = data.replace(b"\0", b"")  # of UTF-16 and UTF-32
    if sum(bool(key.search(data)) for key in _COCO_KEYS) >= 2:
        return "coco"
    return "labelme" if _LABELME_KEY.search(data) else ""


def _yolo(root, tree, split):
    config = yolo_config(root) or _config_inside(root, tree)
    if config:
        return Layout("yolo", root, f"{os.path.relpath(config, root)} names the classes and the parts", file=config)
    labelled = _each_once([Part("", of_folder.path, split_of(of_folder.path, root)) for of_folder in tree
                           if of_folder.images and _labels_of(of_folder, tree)], root)
    if not labelled:
        return None
    places = abbreviate(os.path.relpath(part.images, root) for part in labelled)
    lists = _lists_of_names(tree, {root, *(labels_folder(part.images) for part in labelled)})
    if lists:
        return Layout("yolo", root, f"{os.path.relpath(lists[0], root)}, and labels of the names of the images in {places}",
                      tuple(labelled), lists[0], lists=tuple(lists))
    beside = [part for part in labelled if labels_folder(part.images) != part.images]
    if not beside:  # text beside an image may be anything
        return None
    return Layout("yolo", root, f"labels/ with text of the names of the images in {places}", tuple(beside), certain=False)


def _config_inside(root, tree):
    """The one configuration of a folder directly in the root, as of an archive that was unpacked there."""
    inside = [of_folder.path for of_folder in tree if os.path.normpath(os.path.dirname(of_folder.path)) == os.path.normpath(root)]
    found = [config for path in inside if path != root for config in [yolo_config(path)] if config]
    return found[0] if len(found) == 1 else None


def yolo_config(root: str) -> str | None:
    """Path of data.yaml, of another YAML with its keys, or of Darknet's obj.data, in a folder; None if there is none.

    Raises UserError where several may be meant."""
    names = sorted(entry.name for entry in os.scandir(root) if entry.is_file() and not is_hidden(entry.name))
    for name in ("data.yaml", "data.yml", "dataset.yaml", "dataset.yml"):
        if name in names:
            return os.path.join(root, name)
    found = [name for name in names if name.lower().endswith((".yaml", ".yml")) and _is_config(os.path.join(root, name))]
    if len(found) > 1:
        raise UserError(f"several configurations of YOLO's may be meant: {abbreviate(found)}", root,
                        "keep one of them, or give its path in the place of the folder")
    found += ["obj.data"] if "obj.data" in names else []
    return os.path.join(root, found[0]) if found else None


def _is_config(path):
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            keys = set(_CONFIG_KEYS.findall(file.read(1 << 20)))
    except OSError:
        return False
    return "names" in keys and bool(keys & {"train", "val"})


def labels_folder(images: str) -> str:
    """Where the labels of a folder's images are: in `labels` in the place of `images` or JPEGImages, in any case, where there is
    such a folder (for other than these two words: one that holds labels); else in the folder itself."""
    for found in reversed(list(_IMAGES.finditer(images))):
        before, after = images[:found.start()], images[found.end():]
        try:
            spelt = [name for name in folders_in(before or os.curdir) if name.lower() == "labels"]
        except PermissionError:  # of what lies above the set
            spelt = ["labels"]
        for name in reversed(spelt):  # labels before Labels
            other = f"{before}{name}{after}".rstrip(os.sep)
            if os.path.isdir(other) and ((found[0], name) == ("images", "labels") or any(map(is_text, os.listdir(other)))):
                return other
    return images


def images_root(folder: str) -> str:
    """A folder's path as far as its innermost `images` or JPEGImages; "" where none is in it."""
    return folder[:max((found.end() for found in _IMAGES.finditer(folder)), default=0)]


def is_text(name: str) -> bool:
    """Whether a file's name is one that labels have, in capital or small letters."""
    return name.lower().endswith(".txt")


def labels_in(root: str) -> list[str]:
    """Paths of YOLO's labels in a folder and below it that have an image."""
    tree = _tree(root)
    return [path for of_folder in tree if of_folder.images for path in _labels_of(of_folder, tree)]


def _labels_of(of_folder, tree):
    """Paths of the labels of a folder's images."""
    place = labels_folder(of_folder.path)
    labels = next((other.txt for other in tree if other.path == place), {})
    return [os.path.join(place, labels[stem]) for stem in of_folder.images
            if stem in labels and labels[stem].lower() not in NAME_FILES]


def _lists_of_names(tree, places):
    """Paths of lists of class names, one a folder: those in these places, else all."""
    found = {of_folder.path: path for of_folder in tree for name in reversed(NAME_FILES)
             for path in [os.path.join(of_folder.path, name)] if os.path.isfile(path)}
    return [path for place, path in found.items() if place in places] or list(found.values())

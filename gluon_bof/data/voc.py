"""Pascal VOC's layout, the standard sets and anybody's own: Annotations/*.xml, JPEGImages/, ImageSets/Main/*.txt.

A root holds year folders (VOC2007, VOC2012, ...), perhaps inside VOCdevkit, or is itself one such folder.
"""
from __future__ import annotations

import os
from collections import Counter
from dataclasses import replace
from typing import Any, Iterable, NamedTuple, Sequence

import numpy as np

from gluon_bof.boxes import DetectionSet, Origin, Record
from gluon_bof.data.faults import (
    REMEDY_OF_MASKS,
    TINY,
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
from gluon_bof.data.fields import brief
from gluon_bof.data.headers import read_headers
from gluon_bof.data.images import ENDINGS, image_header, in_other_form, is_hidden
from gluon_bof.data.names import unique_names
from gluon_bof.data.parts import every_fifth, require_role
from gluon_bof.data.voc_lists import is_of_one_class, members_of, of_role, split_ids
from gluon_bof.data.voc_xml import Annotation, read_annotation
from gluon_bof.errors import UserError
from gluon_bof.files import may_be_path
from gluon_bof.masks import NOBODY, no_masks, of_numbers, read_numbers
from gluon_bof.options.training import UNANNOTATED

VOC_CLASSES = ("aeroplane", "bicycle", "bird", "boat", "bottle", "bus", "car", "cat", "chair", "cow", "diningtable",
               "dog", "horse", "motorbike", "person", "pottedplant", "sheep", "sofa", "train", "tvmonitor")

TWO_IMAGES = ("it may be of the image in {} or of that in {}",
              "let each folder of images have its own of annotations, of the same name: images/a and annotations/a; "
              "or move the other folder out of the set's")
TWO_ANNOTATIONS = ("it has an annotation in {} and one in {}", "keep one of the two in the set's folder")

_LAYOUT = "a VOC set has Annotations/*.xml and JPEGImages/, in the folder itself or in VOC2007, VOC2012, ... below it"


class Folder:
    """One folder of VOC's layout: its annotations, images and split files by name. annotations, images: folders of other names
    that hold them. is_part: whether all that it holds is of each of its splits, which have no files. place: its annotations'
    folder below Annotations/, "" of that itself; elsewhere: the other folders' places."""

    def __init__(self, path, annotations=None, images=None):
        parts = {entry.name.lower(): entry.path for entry in sorted(os.scandir(path), key=lambda entry: entry.name,
                                                                    reverse=True) if entry.is_dir()}
        self.path = path
        self.annotation_folder = annotations or parts.get("annotations")
        self.image_folder = images or parts.get("jpegimages") or parts.get("images")
        self.annotations = _files(_names(self.annotation_folder), (".xml",))
        self.image_names = _names(self.image_folder)
        self.images = _images(self.image_names)
        main = os.path.join(parts["imagesets"], "Main") if "imagesets" in parts else None
        self.splits = _files(_names(main), (".txt",)) or _files(_names(parts.get("imagesets")), (".txt",))
        self.is_part = False
        self.place = ""
        self.elsewhere = set()
        self.mask_folder = parts.get("segmentationobject")
        self.masks = None
        self._mask_splits = os.path.join(parts["imagesets"], "Segmentation") if "imagesets" in parts else None

    @classmethod
    def of_part(cls, part: Any) -> Folder:
        """A folder of other names: part.annotations, part.images, and part.split and part.role, which all its images are of."""
        folder = cls(os.path.commonpath((part.annotations, part.images)) or os.curdir, part.annotations, part.images)
        folder.place = os.path.relpath(part.annotations, folder.path).partition(os.sep)[2]
        if part.split:
            folder.splits = dict.fromkeys((part.split, part.role))
            folder.is_part = True
        return folder

    def take_masks(self) -> None:
        """Find the images of SegmentationObject, and let the splits be those of the images that have one, where they are told."""
        self.masks = _files(_names(self.mask_folder), (".png",))
        if not self.is_part:
            self.splits = _files(_names(self._mask_splits), (".txt",)) or self.splits

    def annotation_path(self, image_id: str) -> str:
        """Where the annotation of an image is, or should be."""
        return self.annotations.get(image_id) or os.path.join(self.annotation_folder, image_id + ".xml")

    def image_path(self, image_id: str, annotation: Annotation) -> str | None:
        """Where the image is: the one of the annotation's own name, of several the one that its <filename> names; else the file
        that <filename> names; None if there is none. Where there is one of its own name, or another annotation's, any other
        was left behind by copying or renaming, and counts last; but of two images the one is read that alone has the stated
        size: that of its own name may be a thumbnail."""
        named = (annotation.filename or "").strip().replace("\\", "/")
        stem = os.path.splitext(named.rsplit("/", 1)[-1])[0]
        own = self.images.get(image_id)
        if stem == image_id or stem not in self.annotations:
            found = self._named_image(named)
            if found and (stem == image_id or own is None or _alone_fits(found, own, annotation.size)):
                return found
        return own or self.images.get(stem)

    def _named_image(self, named):
        """Where a file is that a <filename> names, with its folders or without; None if there is none."""
        deep = os.path.join(self.image_folder, named)
        if "/" in named and not named.startswith("/") and ".." not in named.split("/") and os.path.isfile(deep):
            return deep
        return self.image_names.get(named.rsplit("/", 1)[-1])

    def unread_image(self, image_id: str) -> str | None:
        """Name of a file that would be the image, if its ending were one of those that are read; None if there is none."""
        return next((name for name in self.image_names if os.path.splitext(name)[0] == image_id and not name.endswith(".xml")),
                    None)


def _alone_fits(path, other, size):
    """Whether an image has the size that is stated, and another one has not."""
    return size is not None and not _fits(other, size) and _fits(path, size)


def _fits(path, size):
    try:
        header = image_header(path)
    except UserError:
        return False
    return size in (header.size, header.upright_size)


def load_voc(root: str, role: str, classes: Iterable[str] | None = None, on_bad_sample: str = "error", split: str | None = None,
             name: str = "voc", origin: int | None = None, unannotated: str = "skip", parts: Sequence[Any] = (),
             whole: bool = False, masks: bool = False) -> DetectionSet:
    """Read one part of a VOC-layout set -> DetectionSet.

    role: "train" (trainval of every year folder; train if there is no test part) or "val" (test, else val); where no list
    has such a name, the only one whose words tell the role, such as validation. Without split files every fifth image validates.
    split: comma-separated names of split files instead of the role's. classes: names in the order of their ids; default: those
    of all annotations of the root, sorted. origin: whether pixels count from 0 or 1; default: what the set's boxes say, see
    `_origin`. on_bad_sample: "error" raises at the first fault, "skip" drops the box or the image and lists it in `faults`.
    unannotated: images without an annotation file are left out ("skip") or are images without boxes ("negative"). parts:
    `layouts.Part`s, of a set whose folders have other names; whole: without split files all images train. A classes.txt in the
    root that names all classes gives their order.
    masks: read SegmentationObject/*.png, too, whose pixels are the numbers of the objects; splits are then those of
    ImageSets/Segmentation, where it is there. Raises UserError for a missing root or split, an empty one, and faults."""
    require_role(role)
    if unannotated not in UNANNOTATED:
        raise ValueError(f"unannotated is skip or negative, not {unannotated!r}")
    faults = FaultPolicy(on_bad_sample)
    names = unique_names(classes) if classes is not None else None
    folders = _folders(root, parts)
    if masks:
        _take_masks(folders, root)
    if whole and not of_role(folders, "train"):
        for folder in folders:  # lists of other names, such as CVAT's default, tell no part
            folder.splits = {}
    # which images belong to the part comes first: a wrong split name should not wait for thousands of annotations
    members = [(folder, image_id) for folder, image_ids in members_of(folders, role, split, whole) for image_id in image_ids]
    found_names, found_origin = _survey(folders)
    if names is None:
        if not found_names:
            raise UserError(f"no annotation names an object{_first_unread(folders)}", root, "annotate it, or give --classes")
        names = _ordered(found_names, os.path.expanduser(root))
    if origin is not None:
        found_origin = found_origin._replace(value=origin)
    negatives = _without_annotation(members, role, split, unannotated, whole)
    if unannotated == "negative":
        negatives = _without_twins(negatives, faults)
        known = set(members)
        members += [place for place in negatives if place not in known]
    class_ids = {class_name: index for index, class_name in enumerate(names)}
    records = _read_records(members, class_ids, found_origin.value, faults, unannotated)
    require_records(records, len(members), root, faults)
    return DetectionSet(name, names, _told_apart(records, os.path.expanduser(root)), faults.faults, None, faults.remarks,
                        [folder.images[image_id] for folder, image_id in negatives], unannotated == "negative", found_origin)


def _take_masks(folders, root):
    for folder in folders:
        folder.take_masks()
    if not any(folder.masks for folder in folders):
        raise UserError("the set has no masks: there is no SegmentationObject/*.png", root,
                        "add it as VOC has it, or export masks in COCO's format")


def is_voc(root: str) -> bool:
    """Whether a folder has VOC's layout."""
    return bool(_folder_paths(os.path.expanduser(root)))


def _folder_paths(root):
    """Folders of VOC's layout: the year folders of a root, else those of its VOCdevkit, else the root itself."""
    for parent in (root, os.path.join(root, "VOCdevkit")):
        if os.path.isdir(parent):
            years = [entry.path for entry in os.scandir(parent)
                     if entry.name.lower().startswith("voc") and entry.is_dir() and _has_annotations(entry.path)]
            if years:
                first = {os.path.realpath(path): path for path in sorted(years, reverse=True)}  # a link is no other year
                return sorted(first.values())
    return [root] if os.path.isdir(root) and _has_annotations(root) else []


def _has_annotations(path):
    """Whether Annotations/ is there and holds XML (or nothing at all; COCO's holds JSON)."""
    for entry in os.scandir(path):
        if entry.name.lower() == "annotations" and entry.is_dir():
            listed = [name.lower() for name in os.listdir(entry.path)]
            return any(name.endswith(".xml") for name in listed) or not any(name.endswith(".json") for name in listed)
    return False


def _folders(root, parts):
    """`Folder`s of a set: of `layouts.Part`s where there are any, else those of VOC's own names. Raises UserError."""
    if parts:
        return _folders_of_parts(parts)
    root = os.path.expanduser(root)
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


def _folders_of_parts(parts):
    """Folders of `layouts.Part`s. Of annotations that several have, each keeps those of its images; those of none, which are of
    no part either, are left out, and without parts the first folder's. Raises UserError where an annotation may be of two images,
    or an image has two."""
    folders = [Folder.of_part(part) for part in parts]
    pairs = [(folder, stem) for folder in folders for stem in folder.annotations if stem in folder.images]
    owner = owners((folder.annotations[stem], folder.image_folder) for folder, stem in pairs)
    owners(((folder.images[stem], folder.annotation_folder) for folder, stem in pairs), TWO_ANNOTATIONS)
    count = Counter(folder.annotation_folder for folder in folders)
    for folder in folders:
        folder.elsewhere = {other.place for other in folders} - {folder.place, ""}
        if not folder.is_part or count[folder.annotation_folder] == 1:
            for path in folder.annotations.values():
                owner.setdefault(path, folder.image_folder)
        folder.annotations = {stem: path for stem, path in folder.annotations.items() if owner.get(path) == folder.image_folder}
    return folders


def owners(claims: Iterable[tuple[str, str]], two: tuple[str, str] = TWO_IMAGES) -> dict[str, str]:
    """{file: folder of its counterpart}, of (file, folder that has it). Raises UserError, in the words `two`, where two have."""
    found = {}
    for path, folder in claims:
        if found.setdefault(path, folder) != folder:
            raise UserError(two[0].format(found[path], folder), path, two[1])
    return found


def voc_splits(root: str, parts: Sequence[Any] = ()) -> tuple[str, ...]:
    """Names of a set's splits, such as trainval and test; () if it has none."""
    folders = _folders(root, parts)
    return tuple(dict.fromkeys(name for folder in folders for name in folder.splits))


def voc_annotations(root: str, parts: Sequence[Any] = (), split: str | None = None) -> list[str]:
    """Paths of a set's annotations, or of those alone whose images a split lists; none of a split that is not text."""
    folders = _folders(root, parts)
    if split is None:
        return [path for folder in folders for path in folder.annotations.values()]
    try:
        return [folder.annotations[image_id] for folder in folders if split in folder.splits
                for image_id in split_ids(folder, split) if image_id in folder.annotations]
    except UserError:
        return []


def voc_unlisted(root: str, parts: Sequence[Any] = ()) -> list[str]:
    """Paths of a set's annotations that no list of detection's names, of folders that have such; none where one is not text."""
    found = []
    for folder in _folders(root, parts):
        left = dict(folder.annotations) if folder.splits else {}
        for split in sorted(folder.splits, key=is_of_one_class):  # of which there are 80, that say nothing more
            try:
                named = split_ids(folder, split) if left else ()
            except UserError:
                return []
            for image_id in named:
                left.pop(image_id, None)
        found += left.values()
    return found


def _ordered(names, root):
    """The class names in the order of the root's classes.txt, where that names them all; else as they are."""
    try:
        with open(os.path.join(root, "classes.txt"), encoding="utf-8-sig") as file:
            listed = tuple(" ".join(line.split()) for line in file if line.strip())
    except (OSError, UnicodeDecodeError):
        return names
    return listed if set(names) <= set(listed) and len(set(listed)) == len(listed) else names


def _files(names, endings):
    """{name without ending: path} of those of {name: path} that end so; of two endings the one listed first wins."""
    found = {}
    for name, path in names.items():
        stem, ending = os.path.splitext(name)
        if ending.lower() in endings:
            found.setdefault(stem, []).append((endings.index(ending.lower()), path))
    return {stem: min(paths)[1] for stem, paths in sorted(found.items())}


def _images(names):
    """{name without ending: path} of the images of {name: path}; where several have it, also {name: path} of each: an annotation
    is of one of them, and the others are to be told as any image without one."""
    stems = {name: os.path.splitext(name)[0] for name in sorted(names) if name.lower().endswith(ENDINGS)}
    count = Counter(stems.values())
    return {**{name: names[name] for name, stem in stems.items() if count[stem] > 1}, **_files(names, ENDINGS)}


def _names(folder):
    """{name: path} of what lies in a folder and is not hidden."""
    if folder is None or not os.path.isdir(folder):
        return {}
    return {entry.name: entry.path for entry in os.scandir(folder) if not is_hidden(entry.name)}


def _without_annotation(members, role, split, unannotated, whole):
    """[(folder, image id)] of a part's images that no annotation is about. Without split files they are shared out as the
    annotated ones are; where a split lists them, and they are not wanted, each is a fault of its own."""
    folders = list(dict.fromkeys(folder for folder, _ in members))
    found = []
    for folder in folders:
        if (folder.splits or split) and not folder.is_part:
            listed = [image_id for other, image_id in members if other is folder]
            found += [(folder, image_id) for image_id in listed if unannotated == "negative" and
                      image_id not in folder.annotations and image_id in folder.images]
        elif folder.images.keys() - folder.annotations.keys():
            used = {folder.image_path(image_id, read_annotation(path)) for image_id, path in folder.annotations.items()}
            spare = {path: stem for stem, path in folder.images.items() if stem not in folder.annotations and path not in used}
            spare = list(spare.values())  # of the two names of one image, that without ending
            found += [(folder, stem) for stem in (spare if whole or folder.is_part else every_fifth(sorted(spare), role))]
    return found


def _without_twins(negatives, faults):
    """The negatives but those that have an annotated image's name with another ending: a mask or a copy of it has its objects."""
    kept = []
    for folder, image_id in negatives:
        stem, ending = os.path.splitext(image_id)
        if ending.lower() in ENDINGS and stem in folder.annotations:
            faults.remark(folder.images[image_id], "shared name", f"left out: {os.path.basename(folder.annotations[stem])} is of "
                          "another image of that name, whose objects may be here, too; rename it if it has none")
        else:
            kept.append((folder, image_id))
    return kept


def _survey(folders):
    """(class names sorted, Origin) of all annotations, whatever split they are in."""
    names = set()
    firsts = []  # of each file, where its foremost box begins
    for folder in folders:
        for path in folder.annotations.values():
            annotation = read_annotation(path)
            sound = [item for item in annotation.objects if item.problem is None]
            names.update(item.name for item in sound)
            frame = annotation.size or (TINY + 1, TINY + 1)
            begins = [min(item.corners[:2]) for item in sound if not is_normalised(item.corners, *frame)]
            firsts.append(min((begin for begin in begins if begin >= 0), default=None))
    # VOC itself counts from 1; stray zeros among its 40,000 boxes must not move all the others
    standard = tuple(sorted(names)) == VOC_CLASSES and all(
        os.path.basename(folder.path) in ("VOC2007", "VOC2012") for folder in folders)
    return tuple(sorted(names)), _origin(firsts, standard)


def _first_unread(folders):
    """Why: of annotations none of which can be read, or none of whose objects, what is wrong with the first."""
    unread = [(path, problem) for folder in folders for path in folder.annotations.values()
              for annotation in [read_annotation(path)]
              for problem in [annotation.problem or next((item.problem for item in annotation.objects), None)] if problem]
    return "; {} of them cannot be read, the first: {}: {}".format(len(unread), *unread[0]) if unread else ""


def _origin(firsts, standard):
    """Origin of a set from where each of its files' foremost box begins (None: it says nothing).

    A box at an image's edge begins at 0 in a set that counts from 0 and at 1 in VOC's own way, so those two are counted
    against each other. One file alone moves no set of three or more."""
    spoken = [first for first in firsts if first is not None]
    zero, one = sum(first < 1 for first in spoken), sum(1 <= first < 2 for first in spoken)
    from_zero = zero > one and (zero > 1 or len(firsts) <= 2) and not standard
    return Origin(0 if from_zero else 1, zero, one, len(firsts))


class _Place(NamedTuple):
    """Where a member's annotation and image are; path: None if there is no image."""

    folder: Folder
    image_id: str
    source: str
    annotation: Annotation | None  # None: there is none, and none is needed
    path: str | None


def _read_records(members, class_ids, origin, faults, unannotated):
    """Records of the (folder, image id) that can be used."""
    places = [_place(folder, image_id, unannotated) for folder, image_id in members]
    paths = list(dict.fromkeys(place.path for place in places if place.path))
    headers = dict(zip(paths, read_headers(paths)))
    records = [record for place in places for record in [_read_record(place, headers, class_ids, origin, faults)] if record]
    if records:
        remark_repeated_files(faults, members[0][0].annotation_folder, [(record.image_id, record.path) for record in records])
    return records


def _told_apart(records, root):
    """The records, those of one name in several folders with ids of their own, as of `samples.image_ids`."""
    count = Counter(record.image_id for record in records)
    return [replace(record, image_id=os.path.relpath(record.path, root)) if count[record.image_id] > 1 else record
            for record in records]


def _place(folder, image_id, unannotated):
    source = folder.annotation_path(image_id)
    if image_id not in folder.annotations:
        path = folder.images.get(image_id) if unannotated == "negative" else None
        nothing = Annotation(None, None, ()) if path else None
        return _Place(folder, image_id, path or source, nothing, path)
    annotation = read_annotation(source)
    return _Place(folder, image_id, source, annotation, folder.image_path(image_id, annotation))


def _read_record(place, headers, class_ids, origin, faults):
    """Record of one image, or None if a fault takes the whole image."""
    source, annotation = place.source, place.annotation
    if not may_be_path(place.image_id):
        faults.report(place.folder.path, "missing annotation", f"a list of it names {brief(place.image_id)}, a name that no file "
                                                               "can have")
        return None
    if annotation is None:
        spare = ", though its image does; with --unannotated negative it is a negative"
        faults.report(source, "missing annotation", f"the annotation of image {place.image_id!r} does not exist"
                      f"{spare if place.image_id in place.folder.images else ''}{in_other_form(source, endings='.xml')}")
        return None
    if annotation.problem:
        faults.report(source, "malformed annotation", annotation.problem)
        return None
    if place.path is None:
        _report_missing(place, faults)
        return None
    found = settled(faults, source, place.path, headers[place.path], annotation.size, source)
    if found is None:
        return None
    orientation, size, frame = found
    numbered = _rows(annotation, class_ids, origin, frame, source, faults)
    if numbered is None:
        return None
    numbers, rows = zip(*numbered) if numbered else ((), ())
    masks = None
    if place.folder.masks is not None:
        masks = _read_masks(place, numbers, [corners for corners, *_ in rows], size[::-1], faults)
        if masks is None and not faults.keeps_images:
            return None
    return Record.of_rows(place.path, source, place.image_id, size, rows, orientation, masks)


def _read_masks(place, numbers, corners, size, faults):
    """Masks of the objects of these numbers, from 0, and boxes, of an image of size (height, width); None where a fault takes
    them."""
    if not numbers:
        return no_masks()
    path, count = place.folder.masks.get(place.image_id), len(place.annotation.objects)
    if path is None:
        problem = "missing mask", f"image {place.image_id!r} has objects, but no PNG in SegmentationObject"
        return faults.report(place.source, *problem, REMEDY_OF_MASKS)
    try:
        owners = read_numbers(path)
    except (OSError, ValueError) as error:
        return faults.report(path, "broken mask", str(error), REMEDY_OF_MASKS)
    if owners.shape != tuple(size):
        problem = f"{owners.shape[1]} x {owners.shape[0]}, and its image is {size[1]} x {size[0]}"
        return faults.report(path, "wrong size", problem, REMEDY_OF_MASKS)
    highest = max(set(np.unique(owners).tolist()) - {NOBODY}, default=0)
    if highest > count:
        problem = f"object {highest} is in it, and {place.source} has {count}"
        return faults.report(path, "foreign mask", problem, REMEDY_OF_MASKS)
    found = of_numbers(owners, count)[list(numbers)]
    remark_masks(faults, path, corners, found, size)
    return found


def _report_missing(place, faults):
    folder, unread = place.folder, place.folder.unread_image(place.image_id)
    if unread:
        what = f"{unread} is there, but the ending {os.path.splitext(unread)[1]} is not read ({' '.join(ENDINGS)} are)"
    else:
        what = f"the image of {os.path.basename(place.source)} does not exist (nor with another ending)"
    path = os.path.join(folder.image_folder, unread or place.image_id + ENDINGS[0])
    what += in_other_form(path)
    faults.report(path, "missing image", what, annotation=place.source)


def _rows(annotation, class_ids, origin, frame, source, faults):
    """[(number of the object, (corners, class, difficult, crowd))] of one annotation; None where all of its boxes lie in 0..1."""
    sound = [item for item in annotation.objects if item.problem is None]
    normalised = [item for item in sound if is_normalised(item.corners, *frame)]
    if normalised:
        report_normalised(faults, source, len(normalised), len(sound), "")
        if len(normalised) == len(sound) and not faults.keeps_images:
            return None
    rows = [(number, (corners, class_ids[item.name], item.difficult, False))
            for number, item in enumerate(annotation.objects) if item not in normalised
            for corners in [_corners(item, class_ids, origin, *frame, source, faults)] if corners is not None]
    remark_repeated_boxes(faults, source, [row for _, row in rows])
    return rows


def _corners(item, class_ids, origin, width, height, source, faults):
    """Corners in pixels from 0, inside the image; None if a fault takes the box."""
    if item.problem:
        faults.report(source, "malformed annotation", item.problem)
        return None
    if item.name not in class_ids:
        faults.unknown_class(source, item.name, len(class_ids))
        return None
    corners, fault = fit_turned([corner - origin for corner in item.corners], item.rotation, width, height, item.name)
    if fault:
        faults.report(source, *fault)
    return corners

"""Sets of images whose pixels have classes, by name or by folder: VOC's SegmentationClass, SBD's (pascal_aug), COCO's instances,
ADE20K, Cityscapes, folders of images and masks, the drawn sets. Here files are found; `segmentation` reads them."""
from __future__ import annotations

import dataclasses
import os
from functools import lru_cache
from typing import Iterable, NamedTuple

import numpy as np

from gluon_bof import masks
from gluon_bof.data.faults import FaultPolicy, UnknownClass, log_faults
from gluon_bof.data.images import ENDINGS, files_in, in_other_form, is_hidden
from gluon_bof.data.layouts import recognise
from gluon_bof.data.names import class_names
from gluon_bof.data.parts import FALLBACKS, fifth, require_role
from gluon_bof.data.sets import open_set, refuse_root, warn_of_namesake
from gluon_bof.data.shapes import CLASSES as SHAPES
from gluon_bof.data.shapes import ensure_shapes
from gluon_bof.data.voc import VOC_CLASSES
from gluon_bof.data.voc_lists import read_split
from gluon_bof.data.vocmini import DEFAULT_SPLIT, ensure_vocmini
from gluon_bof.data.vocmini import NAMES as VOCMINI
from gluon_bof.errors import UserError, abbreviate, warn
from gluon_bof.masks import NOBODY

BACKGROUND = "background"
DATASETS = os.path.join("~", ".mxnet", "datasets")  # where GluonCV puts them
NAMED = ("shapes", "vocmini", "pascal_voc", "pascal_aug", "coco", "ade20k", "citys")
MASKS = ("masks", "labels")  # names of the folder beside images/
FEW = "five images are the least"

# COCO's categories that are VOC's classes, in the order of those; as GluonCV an image of COCO takes part from so many pixels on
COCO_AS_VOC = ("airplane", "bicycle", "bird", "boat", "bottle", "bus", "car", "cat", "chair", "cow", "dining table", "dog",
               "horse", "motorcycle", "person", "potted plant", "sheep", "couch", "train", "tv")
COCO_LEAST_PIXELS = 1001
ADE20K_PARTS = {"train": "training", "val": "validation"}  # folders
ADE20K_CLASSES = os.path.join(os.path.dirname(__file__), "ade20k.txt")
# Cityscapes' classes that are trained on, by the numbers that its maps have for them; the others count nowhere
CITYSCAPES = {7: "road", 8: "sidewalk", 11: "building", 12: "wall", 13: "fence", 17: "pole", 19: "traffic light",
              20: "traffic sign", 21: "vegetation", 22: "terrain", 23: "sky", 24: "person", 25: "rider", 26: "car", 27: "truck",
              28: "bus", 31: "train", 32: "motorcycle", 33: "bicycle"}
CITYSCAPES_NUMBERS = 34  # 0 to 33
UNKNOWN = -1  # of a number that a set does not have


class Objects(NamedTuple):
    """A label map as COCO writes it: classes (M,) and masks (M,) of objects, in the order of their annotation, and the image's
    size (height, width). A pixel is of the first object that covers it, as in GluonCV."""

    classes: np.ndarray
    masks: np.ndarray
    size: tuple

    def labels(self) -> np.ndarray:
        """(H, W) uint8, the label map."""
        labels = np.zeros(self.size, np.uint8)
        for place in reversed(range(len(self.masks))):
            labels[masks.decode(self.masks[place:place + 1], self.size)[0] == 1] = self.classes[place]
        return labels


class LabelledImage(NamedTuple):
    """An image and its label map.

    mask: the file that holds the map. numbers: (256,) int16, the class of each number that the file may have, NOBODY and UNKNOWN
    too; None: the numbers are the classes'. objects: what the map is made of where the file is COCO's JSON."""

    path: str
    mask: str
    image_id: str
    numbers: np.ndarray | None = None
    objects: Objects | None = None


@dataclasses.dataclass
class SegmentationSet:
    """name; classes, in the order of the maps' numbers, background first where the set has one; samples, LabelledImages; faults,
    Faults that were skipped."""

    name: str
    classes: tuple
    samples: list
    faults: tuple = ()

    def __len__(self):
        return len(self.samples)


def open_segmentation(dataset: str, root: str | None, role: str, classes: Iterable[str] | None = None,
                      split: str | None = None, on_bad_sample: str = "error") -> SegmentationSet:
    """One part, "train" or "val", of a set -> SegmentationSet.

    dataset: one of NAMED (pascal_voc is of 2012, pascal_aug is SBD, coco has VOC's classes), or a folder: VOC's layout
    (SegmentationClass/, JPEGImages/, ImageSets/Segmentation/), images/ and masks/ with files of the same names, perhaps in
    folders of the parts' names, or COCO's layout, of which every category is a class behind the background. root: where a named
    set lies; None: where GluonCV puts it. classes: their names, which only a folder of masks needs; split: another part than the
    role's; on_bad_sample: "error", or "skip": images without a map, maps without an image and what COCO's JSON has wrong are left
    out and named. Raises UserError for them otherwise, and for an unknown or missing set."""
    require_role(role)
    classes = None if classes is None else class_names(classes)
    faults = FaultPolicy(on_bad_sample)
    warn_of_namesake(dataset, root, ("voc", *NAMED))
    found = _open(dataset, root, role, classes, split, faults)
    return dataclasses.replace(found, faults=tuple(faults.faults))


def _open(dataset, root, role, classes, split, faults):
    place = os.path.expanduser(root or os.path.join(DATASETS, "voc"))
    if dataset == "shapes":
        return _voc(os.path.join(ensure_shapes(root), "VOC2007"), role, split, (BACKGROUND, *SHAPES), "shapes", classes, faults)
    if dataset == "vocmini":
        split = split or DEFAULT_SPLIT[role]  # "train" is one of its splits, the largest
        folder = os.path.join(ensure_vocmini(split, root), "VOC2007")
        return _voc(folder, role, split, (BACKGROUND, *VOCMINI), "vocmini", classes, faults)
    if dataset in ("pascal_voc", "voc"):
        return _voc(os.path.join(place, "VOC2012"), role, split, (BACKGROUND, *VOC_CLASSES), "pascal_voc", classes, faults)
    if dataset == "pascal_aug":
        return _sbd(os.path.join(place, "VOCaug", "dataset"), role, split, classes, faults)
    if dataset == "coco":
        return _coco_as_voc(os.path.expanduser(root or os.path.join(DATASETS, "coco")), role, split, classes, faults)
    if dataset == "ade20k":
        return _ade20k(os.path.expanduser(root or os.path.join(DATASETS, "ade")), role, split, classes, faults)
    if dataset == "citys":
        return _cityscapes(os.path.expanduser(root or os.path.join(DATASETS, "citys")), role, split, classes, faults)
    return _folder(dataset, root, role, split, classes, faults)


def _folder(dataset, root, role, split, classes, faults):
    folder = os.path.expanduser(dataset)
    if not os.path.isdir(folder):
        raise UserError(f"no data set {dataset!r}", remedy=f"known are {', '.join(NAMED)} and folders")
    refuse_root(dataset, root)
    for place in (folder, os.path.join(folder, "VOC2012"), os.path.join(folder, "VOC2007")):
        if os.path.isdir(os.path.join(place, "SegmentationClass")):
            return _voc(place, role, split, None, os.path.basename(folder), classes, faults)
    return _masks(folder, role, split, classes, faults) or _instances(folder, role, split, classes, faults)


# ---- VOC -----------------------------------------------------------------------------------------------------------

def _voc(folder, role, split, known, name, classes, faults):
    if not os.path.isdir(os.path.join(folder, "SegmentationClass")):
        raise UserError("there is no folder SegmentationClass", folder, "point --dataset-root at the folder that holds VOC2012")
    lists = os.path.join(folder, "ImageSets", "Segmentation")
    images, maps = os.path.join(folder, "JPEGImages"), os.path.join(folder, "SegmentationClass")
    samples = faults.sound(lambda image_id: _paired(images, os.path.join(maps, f"{image_id}.png"), image_id),
                           _listed(lists, role, split, images, maps))
    return SegmentationSet(name, _classes(folder, classes, known), samples)


def _listed(lists, role, split, images, maps):
    """The ids that a file of a folder lists: that of the split, or the first of those that the role may be. images, maps: the
    folders of what has an id."""
    chosen = [split] if split else []
    chosen += [name for name in FALLBACKS[role] if name not in chosen] if split in (None, "", role) else []
    for name in chosen:
        path = os.path.join(lists, f"{name}.txt")
        if os.path.isfile(path):
            ids = read_split(path, _stems(maps), _stems(images))
            if not ids:
                raise UserError("the list names no image", path, "fix the data set")
            if name == "trainval" != split and os.path.isfile(os.path.join(lists, "val.txt")):
                raise UserError("trainval is all there is to train on, and val is part of it", lists,
                                "give --train-split trainval and a --val-split, or write train.txt")
            return ids
    raise UserError(f"there is no list {' or '.join(f'{name}.txt' for name in chosen)}", lists,
                    "name one with --train-split or --val-split")


def _stems(folder):
    return {os.path.splitext(name)[0] for name in os.listdir(folder)} if os.path.isdir(folder) else set()


def _paired(images, mask, image_id):
    """The LabelledImage of this id, whose image may have any of the endings. Raises UserError where one of the two is missing."""
    path = next((path for ending in (".jpg", ".JPG", *ENDINGS) for path in [os.path.join(images, f"{image_id}{ending}")]
                 if os.path.isfile(path)), None)
    if path is None:
        path = os.path.join(images, f"{image_id}.jpg")
        raise UserError(f"the image does not exist{in_other_form(path)}", path, "fix the list, or add the image")
    _require_map(mask, "fix the list, or add the map")
    return LabelledImage(path, mask, image_id)


def _require_map(mask, remedy):
    """Raise UserError where a label map is missing, or there under another ending than .png, in capitals perhaps."""
    if os.path.isfile(mask):
        return
    stem, ending = os.path.splitext(mask)
    other = next((path for name in ENDINGS for path in (stem + name, stem + name.upper()) if os.path.isfile(path)), None)
    if other and ending == ".png":
        raise UserError("a label map's ending is .png, and this is not read", other, "rename it" if other.endswith(".PNG") else
                        "write class numbers as a PNG, and not from a JPEG, which changes them")
    raise UserError(f"the image has no label map{in_other_form(mask)}", mask, remedy)


def _sbd(folder, role, split, classes, faults):
    """SBD, GluonCV's pascal_aug: img/, cls/*.mat, train.txt and val.txt."""
    _must_be(folder, "point --dataset-root at what holds VOCaug")
    images, maps = os.path.join(folder, "img"), os.path.join(folder, "cls")
    samples = faults.sound(lambda image_id: _paired(images, os.path.join(maps, f"{image_id}.mat"), image_id),
                           _listed(folder, role, split, images, maps))
    return SegmentationSet("pascal_aug", _classes(folder, classes, (BACKGROUND, *VOC_CLASSES)), samples)


# ---- a folder of images and one of masks ---------------------------------------------------------------------------

def _masks(folder, role, split, classes, faults):
    without_parts = [(("", ""), False)] if split in (None, "", role) else []  # of which a part that is named is none
    for place, whole in [(part, True) for part in _parts(folder, role, split)] + without_parts:
        images, maps = _pair_of(folder, place)
        if images and maps:
            samples = _same_names(images, maps, faults)
            if not whole:
                samples = fifth(samples, role, folder, FEW)
            if not samples:
                raise UserError(f"the part {role} holds no image", folder, "put images into images/ and their maps into masks/")
            return SegmentationSet(os.path.basename(os.path.abspath(folder)), _classes(folder, classes, None), samples)
    if any(all(_pair_of(folder, place)) for place in [*_parts(folder, "train", None), *_parts(folder, "val", None), ("", "")]):
        raise UserError(f"its part {split or role} has no images/ and masks/", folder,
                        "name the parts that are there: --train-split, --val-split")
    return None


def _parts(folder, role, split):
    """(names of a part's folder before and behind images/) that are to be looked at: train/images and images/train."""
    names = [split] if split not in (None, "", role) else FALLBACKS[role]
    return [place for name in names for place in ((name, ""), ("", name))]


def _pair_of(folder, place):
    """The folders of a part's images and of its maps; None of one that is not there, and of labels/ that holds YOLO's text."""
    images, maps = _folder_of(folder, ("images",), place), _folder_of(folder, MASKS, place)
    if images and place == ("", "") and not files_in(images):
        images = None  # those of parts lie further down
    if maps and files_in(maps, ".txt"):
        maps = None
    return images, maps


def _folder_of(folder, names, place):
    before, behind = place
    paths = [os.path.join(folder, before, name, behind) for name in names]
    return next((path for path in paths if os.path.isdir(path)), None)


def _same_names(images, maps, faults):
    """A LabelledImage of each image in a folder, whose map is the PNG of the same name in the other. Faults are an image without
    a map, and a map whose image has an ending that is not read."""
    names = [os.path.splitext(name) for name in sorted(os.listdir(images)) if not is_hidden(name)]
    read = {stem for stem, ending in names if ending.lower() in ENDINGS}

    def pair(name):
        stem, ending = name
        path, mask = os.path.join(images, stem + ending), os.path.join(maps, f"{stem}.png")
        if ending.lower() in ENDINGS:
            _require_map(mask, "add it")
            return LabelledImage(path, mask, stem)
        if stem not in read and os.path.isfile(mask):
            raise UserError(f"it has a label map, but the ending {ending} is not read", path, f"{' '.join(ENDINGS)} are")
        return None

    return [sample for sample in faults.sound(pair, names) if sample]


# ---- COCO's instances ----------------------------------------------------------------------------------------------

def _instances(folder, role, split, classes, faults):
    """A folder of COCO's layout: its categories behind the background."""
    found = _part_of_instances(folder, role, split, faults)
    names = tuple(classes or (BACKGROUND, *(name for name in found.classes if name != BACKGROUND)))
    _require_background(names, found)
    _require_categories(names, found, role)
    _warn_of_unused(names, found, role)
    numbers = _numbered(found.classes, names)
    return SegmentationSet(os.path.basename(os.path.abspath(folder)), _classes(folder, None, names),
                           [_of_record(record, numbers) for record in found.records])


def _part_of_instances(folder, role, split, faults):
    """The DetectionSet of a part; of a JSON without parts every fifth image validates."""
    try:
        place = recognise(folder, "coco", split)
    except UserError:
        raise UserError("there are neither images/ and masks/ nor SegmentationClass/ nor a JSON of COCO's", folder,
                        "put images into images/ and their maps, PNGs of the same names, into masks/") from None
    alone = place.file if split in (None, "", role) else None
    found = _with_masks(folder, None, role, os.path.basename(alone) if alone else split, faults)
    if alone:  # the detectors' reader wants CVAT's to be named or shared out, which has no flag here
        found.records = fifth(found.records, role, folder, FEW)
    return found


def _require_categories(names, found, role):
    """Raise UserError where a class given is no category (of what validates: none is), and where an object's is not given."""
    lacking = [name for name in names[1:] if name not in found.classes]
    if lacking and (role == "train" or len(lacking) == len(names) - 1):
        raise UserError(f"class {lacking[0]!r} is not among its categories ({abbreviate(found.classes)})",
                        found.annotation_file, "fix --classes, of which the first is the background")
    beyond = {number for number, name in enumerate(found.classes) if name not in names and name != BACKGROUND}
    for record in found.records:
        for number in beyond & set(record.classes.tolist()):
            name = found.classes[number]
            raise UnknownClass(f"an object of image {record.image_id!r} is a {name}, which is none of the classes given",
                               found.annotation_file, "name it in --classes, or take it out of the set", name)


def _warn_of_unused(names, found, role):
    """Warn of classes that no object is of."""
    used = {found.classes[number] for record in found.records for number in record.classes.tolist()}
    unused = [name for name in names[1:] if name not in used]
    if unused:
        warn(f"{found.annotation_file}: what {'trains' if role == 'train' else 'validates'} has no object of "
             f"{abbreviate(unused)}, and the mean IoU counts 0 for a class without one; if it is none of yours, give "
             "--classes, the background first, without it")


def _require_background(names, found):
    """Raise UserError where the first class, of which all pixels of no object are, cannot be the background."""
    if not has_background(names):
        raise UserError(f"a pixel of no object is background, and the classes given ({abbreviate(names)}) have none",
                        found.annotation_file, "weights of ADE20K or Cityscapes want label maps, images/ and masks/")
    if names[0] != BACKGROUND and names[0] in found.classes:
        raise UserError(f"the first of the classes given is that of the pixels of no object, and {names[0]!r} is a category",
                        found.annotation_file, f"put the background before it: --classes {BACKGROUND},{','.join(names)}")


def _with_masks(dataset, root, role, split, faults):
    """The DetectionSet of COCO's layout. Its reader names a way out that segmentation has not."""
    split = None if split == role else split  # COCO's own is called train2017
    try:
        found = open_set(dataset, root, role, None, "skip" if faults.skip else "error", split, masks=True,
                         layout="coco" if root is None else "auto")
    except UserError as error:
        if "--val-share" not in str(error.remedy):
            raise
        raise UserError(error.problem, error.path, "name the JSON or its folder with --train-split or --val-split") from None
    log_faults(found)
    faults.faults += found.faults
    return found


def _numbered(categories, names):
    """The number of each category's pixels among these names, of which the first is the background; 0 of one that is left out."""
    return np.array([names.index(name) if name in names[1:] else 0 for name in categories])


def _of_record(record, numbers):
    """The LabelledImage of a record with masks. numbers: of each class, that of its pixels; 0 is what is left out."""
    kept = numbers[record.classes] > 0
    objects = Objects(numbers[record.classes[kept]].astype(np.uint8), record.masks[kept], (record.height, record.width))
    return LabelledImage(record.path, record.source, str(record.image_id), objects=objects)


def _coco_as_voc(folder, role, split, classes, faults):
    """COCO 2017 as GluonCV segments it: VOC's classes, and the images that show enough of them."""
    found = _with_masks("coco", folder, role, split, faults)
    missing = [name for name in COCO_AS_VOC if name not in found.classes]
    if missing:
        raise UserError(f"it has no category {missing[0]!r}, which COCO 2017 has", found.annotation_file,
                        f"give the folder itself: --dataset {folder}")
    numbers = _numbered(found.classes, (BACKGROUND, *COCO_AS_VOC))
    samples = [sample for record in found.records for sample in [_of_record(record, numbers)]
               if masks.covered(sample.objects.masks, sample.objects.size) >= COCO_LEAST_PIXELS]
    if not samples:
        raise UserError(f"none of its {len(found.records)} images shows {COCO_LEAST_PIXELS} pixels of VOC's classes",
                        found.annotation_file, f"give the folder itself: --dataset {folder}")
    return SegmentationSet("coco", _classes(folder, classes, (BACKGROUND, *VOC_CLASSES)), samples)


# ---- ADE20K and Cityscapes -----------------------------------------------------------------------------------------

def _ade20k(folder, role, split, classes, faults):
    """The scene parsing challenge of 2016: images/ and annotations/, each in training/ and validation/. 0 counts nowhere."""
    names = ade20k_classes()
    numbers = np.full(256, UNKNOWN, np.int16)
    numbers[0] = numbers[NOBODY] = NOBODY
    numbers[1:len(names) + 1] = np.arange(len(names))
    folder = os.path.join(folder, "ADEChallengeData2016")
    part = ADE20K_PARTS.get(split or role, split)  # --val-split train is its training/
    images = _must_be(os.path.join(folder, "images", part), "point --dataset-root at the folder that holds ADEChallengeData2016")
    maps = _must_be(os.path.join(folder, "annotations", part), "unpack the annotations, too")
    samples = [sample._replace(numbers=numbers) for sample in _same_names(images, maps, faults)]
    return SegmentationSet("ade20k", _classes(folder, classes, names), _some(samples, images))


@lru_cache(maxsize=None)  # asked of every map that is drawn
def ade20k_classes() -> tuple[str, ...]:
    """ADE20K's 150 classes. The words for one have a slash between them, not the data set's comma, which separates classes."""
    return class_names(ADE20K_CLASSES)


def has_background(classes: Iterable[str]) -> bool:
    """Whether the first of these classes is what is left over: of all sets but ADE20K and Cityscapes."""
    return tuple(classes) not in (ade20k_classes(), tuple(CITYSCAPES.values()))


def _cityscapes(folder, role, split, classes, faults):
    """Cityscapes' fine maps: leftImg8bit/PART/CITY/NAME_leftImg8bit.png and gtFine/PART/CITY/NAME_gtFine_labelIds.png."""
    numbers = np.full(256, UNKNOWN, np.int16)
    numbers[:CITYSCAPES_NUMBERS] = numbers[NOBODY] = NOBODY
    numbers[list(CITYSCAPES)] = np.arange(len(CITYSCAPES))
    part = split or role
    images = _must_be(os.path.join(folder, "leftImg8bit", part), "point --dataset-root at the folder that holds leftImg8bit/ and "
                                                                 "gtFine/")
    named = []
    for city in sorted(entry.name for entry in os.scandir(images) if entry.is_dir()):
        for name in sorted(os.listdir(os.path.join(images, city))):
            image_id, ending = os.path.splitext(name)
            if ending == ".png":
                mask = f"{image_id.replace('_leftImg8bit', '_gtFine_labelIds')}.png"
                named.append((os.path.join(images, city), os.path.join(folder, "gtFine", part, city, mask), image_id))
    samples = faults.sound(lambda pair: _paired(*pair)._replace(numbers=numbers), named)
    return SegmentationSet("citys", _classes(folder, classes, tuple(CITYSCAPES.values())), _some(samples, images))


def _must_be(folder, remedy):
    if not os.path.isdir(folder):
        raise UserError("the folder does not exist", folder, remedy)
    return folder


def _some(samples, folder):
    if not samples:
        raise UserError("the folder holds no image of the set", folder, "unpack the data set there")
    return samples


# ---- names ---------------------------------------------------------------------------------------------------------

def _classes(folder, given, known):
    """The class names: those given, those known, or those that the folder's classes.txt names. Raises UserError where both say
    something else, and for more classes than maps have numbers."""
    path = os.path.join(folder, "classes.txt")
    told = known if known is not None else class_names(path) if os.path.isfile(path) else None
    if given is None and told is None:
        raise UserError("nothing names the classes of the masks' numbers", folder,
                        "give --classes background,cat,… or a classes.txt, in the order of the numbers")
    names = tuple(told if given is None else given)
    if known is not None and names != tuple(known):
        raise UserError(f"the classes of this set are {abbreviate(known)}, not {abbreviate(names)}", folder,
                        "leave --classes out; weights of other classes cannot be scored on it")
    moved = [name for number, name in enumerate(told or ()) if name in names and names.index(name) != number]
    if moved:  # a network's classes, when it is evaluated on another folder: every number would count as another class
        raise UserError(f"{moved[0]} has another number here than among {abbreviate(names)}", path,
                        "write the maps with the numbers of those classes")
    if len(names) > NOBODY:
        raise UserError(f"there are {len(names)} classes, and a map's pixels have numbers for {NOBODY}", folder, "leave some out")
    return names



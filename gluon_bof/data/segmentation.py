"""Images whose pixels have classes: VOC's SegmentationClass, SBD's (pascal_aug), folders of images and masks, the embedded set.

A label map is (H, W) uint8: the class of each pixel, 0 the first one (the background), masks.NOBODY what counts nowhere. Workers
read with numpy and cv2 only; everything random comes from the spec, as in `loader`."""
from __future__ import annotations

import os
from typing import Callable, Iterable, NamedTuple, Sequence

import numpy as np

from gluon_bof.data.images import ENDINGS, image_header, read_image, settle
from gluon_bof.data.samples import fifth
from gluon_bof.data.sets import class_names
from gluon_bof.data.shapes import CLASSES as SHAPES
from gluon_bof.data.shapes import ensure_drawn
from gluon_bof.data.voc import VOC_CLASSES
from gluon_bof.data.vocmini import DEFAULT_SPLIT, ensure_vocmini
from gluon_bof.data.vocmini import NAMES as VOCMINI
from gluon_bof.data.workers import init_worker
from gluon_bof.errors import UserError, abbreviate, warn
from gluon_bof.freebies.augmentation import View, render
from gluon_bof.freebies.label_maps import MapView, draw_map_view, fitted_view, render_image, render_labels
from gluon_bof.freebies.mixup import blend_images
from gluon_bof.masks import NOBODY, read_numbers
from gluon_bof.rng import augmentation_rng

BACKGROUND = "background"
VOC_ROOT = os.path.join("~", ".mxnet", "datasets", "voc")
ELSEWHERE = ("coco", "ade20k", "citys", "mhpv1")  # GluonCV's names of sets that have no reader here
MASKS = ("masks", "labels")  # names of the folder beside images/
MOST_TOLD = 8  # class names in a message
LOOKED_AT = 16  # maps of a set that are read before it is trained or evaluated on
FALLBACKS = {"train": ("train", "trainval"), "val": ("val", "test")}


class LabelledImage(NamedTuple):
    """An image and its label map."""

    path: str
    mask: str
    image_id: str


class SegmentationSet(NamedTuple):
    """name; classes, in the order of the maps' numbers, background first; samples, LabelledImages."""

    name: str
    classes: tuple
    samples: list

    def __len__(self):
        return len(self.samples)


def open_segmentation(dataset: str, root: str | None, role: str, classes: Iterable[str] | None = None,
                      split: str | None = None) -> SegmentationSet:
    """One part, "train" or "val", of a set -> SegmentationSet.

    dataset: "shapes", "vocmini", "pascal_voc" (2012), "pascal_aug" (SBD), or a folder: VOC's layout (SegmentationClass/,
    JPEGImages/, ImageSets/Segmentation/), or images/ and masks/ with files of the same names, perhaps in folders of the parts'
    names. root: where a named set lies; classes: their names, which only such a folder needs; split: another part than the
    role's. Raises UserError for an unknown or missing set and for images without a map."""
    if dataset == "shapes":
        return _voc(os.path.join(ensure_drawn(root), "VOC2007"), role, split, (BACKGROUND, *SHAPES), "shapes", classes)
    if dataset == "vocmini":
        split = split or DEFAULT_SPLIT[role]  # "train" is one of its splits, the largest
        return _voc(os.path.join(ensure_vocmini(split, root), "VOC2007"), role, split, (BACKGROUND, *VOCMINI), "vocmini", classes)
    if dataset in ("pascal_voc", "voc"):
        folder = os.path.join(os.path.expanduser(root or VOC_ROOT), "VOC2012")
        return _voc(folder, role, split, (BACKGROUND, *VOC_CLASSES), "pascal_voc", classes)
    if dataset == "pascal_aug":
        return _sbd(os.path.join(os.path.expanduser(root or VOC_ROOT), "VOCaug", "dataset"), role, split, classes)
    if dataset in ELSEWHERE:
        raise UserError(f"{dataset} is not read here", remedy="write it as a folder of images/ and masks/")
    folder = os.path.expanduser(dataset)
    if not os.path.isdir(folder):
        raise UserError(f"no data set {dataset!r}", remedy="known are shapes, vocmini, pascal_voc, pascal_aug and folders")
    for place in (folder, os.path.join(folder, "VOC2012"), os.path.join(folder, "VOC2007")):
        if os.path.isdir(os.path.join(place, "SegmentationClass")):
            return _voc(place, role, split, None, os.path.basename(folder), classes)
    return _masks(folder, role, split, classes)


# ---- VOC -----------------------------------------------------------------------------------------------------------

def _voc(folder, role, split, known, name, classes):
    if not os.path.isdir(os.path.join(folder, "SegmentationClass")):
        raise UserError("there is no folder SegmentationClass", folder, "point --dataset-root at the folder that holds VOC2012")
    lists = os.path.join(folder, "ImageSets", "Segmentation")
    ids = _listed(lists, role, split)
    samples = [_paired(os.path.join(folder, "JPEGImages"), os.path.join(folder, "SegmentationClass", f"{image_id}.png"), image_id)
               for image_id in ids]
    return SegmentationSet(name, _classes(folder, classes, known), samples)


def _listed(lists, role, split):
    """The ids that a file of a folder lists: that of the split, or the first of those that the role may be."""
    chosen = [split] if split else []
    chosen += [name for name in FALLBACKS[role] if name not in chosen] if split in (None, "", role) else []
    for name in chosen:
        path = os.path.join(lists, f"{name}.txt")
        if os.path.isfile(path):
            with open(path, encoding="utf-8") as file:
                ids = [line.split()[0] for line in file if line.strip()]
            if not ids:
                raise UserError("the list names no image", path, "fix the data set")
            if name == "trainval" != split and os.path.isfile(os.path.join(lists, "val.txt")):
                raise UserError("trainval is all there is to train on, and val is part of it", lists,
                                "give --train-split trainval and a --val-split, or write train.txt")
            return ids
    raise UserError(f"there is no list {' or '.join(f'{name}.txt' for name in chosen)}", lists,
                    "name one with --train-split or --val-split")


def _paired(images, mask, image_id):
    """The LabelledImage of this id, whose image may have any of the endings. Raises UserError where one of the two is missing."""
    path = next((path for ending in (".jpg", ".JPG", *ENDINGS) for path in [os.path.join(images, f"{image_id}{ending}")]
                 if os.path.isfile(path)), None)
    if path is None:
        raise UserError("the image does not exist", os.path.join(images, f"{image_id}.jpg"), "fix the list, or add the image")
    if not os.path.isfile(mask):
        raise UserError("the image has no label map", mask, "fix the list, or add the map")
    return LabelledImage(path, mask, image_id)


def _sbd(folder, role, split, classes):
    """SBD, GluonCV's pascal_aug: img/, cls/*.mat, train.txt and val.txt."""
    if not os.path.isdir(folder):
        raise UserError("the folder of the data set does not exist", folder, "point --dataset-root at what holds VOCaug")
    samples = [_paired(os.path.join(folder, "img"), os.path.join(folder, "cls", f"{image_id}.mat"), image_id)
               for image_id in _listed(folder, role, split)]
    return SegmentationSet("pascal_aug", _classes(folder, classes, (BACKGROUND, *VOC_CLASSES)), samples)


# ---- a folder of images and one of masks ---------------------------------------------------------------------------

def _masks(folder, role, split, classes):
    for place, whole in [(part, True) for part in _parts(folder, role, split)] + [(("", ""), False)]:
        images = _folder_of(folder, ("images",), place)
        masks = _folder_of(folder, MASKS, place)
        if images and masks:
            samples = _same_names(images, masks)
            if not whole:
                samples = fifth(samples, role, folder)
            if not samples:
                raise UserError(f"the part {role} holds no image", folder, "put images into images/ and their maps into masks/")
            return SegmentationSet(os.path.basename(os.path.abspath(folder)), _classes(folder, classes, None), samples)
    raise UserError("there are neither images/ and masks/ nor SegmentationClass/", folder,
                    "put images into images/ and their maps, PNGs of the same names, into masks/")


def _parts(folder, role, split):
    """(names of a part's folder before and behind images/) that are to be looked at: train/images and images/train."""
    names = [split] if split not in (None, "", role) else FALLBACKS[role]
    return [place for name in names for place in ((name, ""), ("", name))]


def _folder_of(folder, names, place):
    before, behind = place
    paths = [os.path.join(folder, before, name, behind) for name in names]
    return next((path for path in paths if os.path.isdir(path)), None)


def _same_names(images, masks):
    samples = []
    for name in sorted(os.listdir(images)):
        stem, ending = os.path.splitext(name)
        if ending.lower() in ENDINGS:
            path = os.path.join(images, name)
            if not os.path.isfile(os.path.join(masks, f"{stem}.png")):
                raise UserError("the image has no label map", os.path.join(masks, f"{stem}.png"), "add it")
            samples.append(LabelledImage(path, os.path.join(masks, f"{stem}.png"), stem))
    return samples


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
        raise UserError(f"the classes of this set are {abbreviate(known, MOST_TOLD)}, not {abbreviate(names, MOST_TOLD)}", folder,
                        "leave --classes out; weights of other classes cannot be scored on it")
    moved = [name for number, name in enumerate(told or ()) if name in names and names.index(name) != number]
    if moved:  # a network's classes, when it is evaluated on another folder: every number would count as another class
        raise UserError(f"{moved[0]} has another number here than among {abbreviate(names, MOST_TOLD)}", path,
                        "write the maps with the numbers of those classes")
    if len(names) > NOBODY:
        raise UserError(f"there are {len(names)} classes, and a map's pixels have numbers for {NOBODY}", folder, "leave some out")
    return names


# ---- pixels --------------------------------------------------------------------------------------------------------

def read_labels(sample: LabelledImage, class_count: int) -> np.ndarray:
    """(H, W) uint8, the label map of a sample. Raises UserError where it cannot be read or has a number beyond the classes."""
    try:
        labels = _mat(sample.mask) if sample.mask.endswith(".mat") else read_numbers(sample.mask)
    except (OSError, ValueError, KeyError, AttributeError, SyntaxError) as error:
        raise UserError(f"the label map cannot be read ({error})", sample.mask,
                        "write class numbers as a PNG with 8 bits a pixel, grey or with a palette") from None
    beyond = labels[(labels >= class_count) & (labels != NOBODY)]
    if len(beyond):
        raise UserError(f"a pixel has the number {beyond[0]}, and there are {class_count} classes", sample.mask,
                        f"name all classes with --classes, or write {NOBODY} for pixels that are to be ignored")
    return labels


def _mat(path):
    """SBD's label map."""
    from scipy.io import loadmat

    return np.asarray(loadmat(path, squeeze_me=True, struct_as_record=False)["GTcls"].Segmentation, np.uint8)


def look_over(found: SegmentationSet) -> None:
    """Raise UserError where a label map has another size than its image, by the files' headers; warn where maps look as if they
    were black and white, 0 and 255, of which 255 counts nowhere."""
    for sample in found.samples:
        if sample.mask.endswith(".png"):  # SBD's are read whole for their sizes
            _orientation(sample)
    seen = set()
    for sample in found.samples[:LOOKED_AT]:
        seen.update(np.unique(read_labels(sample, len(found.classes))).tolist())
    if NOBODY in seen and seen <= {0, NOBODY} and len(found.classes) > 1:
        warn(f"{found.samples[0].mask} and the next maps have no numbers but 0, {found.classes[0]}, and {NOBODY}, which counts "
             f"nowhere: nothing else can be learnt from them; for black and white masks write 1 in place of {NOBODY}")


def read_pair(sample: LabelledImage, class_count: int) -> tuple[np.ndarray, np.ndarray]:
    """(image (H, W, 3), its label map (H, W)). Raises UserError as the readers do, and where their sizes differ."""
    labels = read_labels(sample, class_count)
    return _read(read_image, sample.path, _orientation(sample, labels.shape[::-1])), labels


def _read(reader, path, *how):
    """What one of data.images' readers says of a file. They name a way out, --on-bad-sample, that segmentation has not."""
    try:
        return reader(path, *how)
    except UserError as error:
        raise UserError(error.problem, error.path, "replace it, or take it out of the set") from None


def _orientation(sample, size=None):
    """What to turn an image by that it lies as its label map does, by the rule of data.images. size: (width, height) of the map
    where it is known. Raises UserError where the two cannot lie on each other."""
    if size is None:
        size = _map_size(sample.mask)
    try:
        return settle(_read(image_header, sample.path), size)[0]
    except ValueError as error:
        raise UserError(f"the label map has another size than its image: {error}", sample.mask, "fix the data set") from None


def _map_size(path):
    """(width, height) of a label map's file."""
    return _mat(path).shape[::-1] if path.endswith(".mat") else _read(image_header, path).size


class MapImages:
    """`dataset[spec]` -> (image (S, S, 3) uint8, label maps (M, S, S) uint8, weights (M,) float32), a pure function of the spec.

    Where nothing is mixed there is one map, of weight 1; with `mixes`, two: blended are the images as the network sees them, as
    classification does. base_size: None: images as validation sees them."""

    def __init__(self, samples: Sequence[LabelledImage], class_count: int, base_size: int | None, mixes: bool = False):
        self.samples = samples
        self.class_count = class_count
        self.base_size = base_size
        self.mixes = mixes

    def __len__(self):
        return len(self.samples)

    def __getitem__(self, spec):
        init_worker()
        rng = augmentation_rng(spec)
        image, labels = self._seen(spec.index, spec.size, rng)
        if not self.mixes:
            return image, labels[None], np.ones(1, np.float32)
        other = labels
        if spec.partner >= 0:
            other_image, other = self._seen(spec.partner, spec.size, rng)
            image = blend_images(image, other_image, spec.ratio)
        return image, np.stack([labels, other]), np.array((spec.ratio, 1 - spec.ratio), np.float32)

    def _seen(self, index, size, rng):
        image, labels = read_pair(self.samples[index], self.class_count)
        seen = MapView(fitted_view(image.shape, size)) if self.base_size is None else \
            draw_map_view(rng, image.shape, self.base_size, size)
        return np.ascontiguousarray(render_image(image, seen)), render_labels(labels, seen.view)


class FittedImages:
    """`dataset[i]` -> (image (S, S, 3) uint8 as `view` shows it, i)."""

    def __init__(self, samples: Sequence[LabelledImage], view: Callable[[Sequence[int]], View]):
        self.samples = samples
        self.view = view

    def __len__(self):
        return len(self.samples)

    def __getitem__(self, index):
        init_worker()
        sample = self.samples[index]
        image = _read(read_image, sample.path, _orientation(sample))
        return np.ascontiguousarray(render(image, self.view(image.shape))), index


def label_mark(found: SegmentationSet) -> str:
    """What a set asks of a network, as text, for processes to compare."""
    return repr([found.classes, [(sample.image_id, image_header(sample.path).size) for sample in found.samples]])

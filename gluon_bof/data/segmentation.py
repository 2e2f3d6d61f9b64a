"""What workers make of images whose pixels have classes (`label_sets` finds them).

A label map is (H, W) uint8: the class of each pixel, 0 the first one (the background), masks.NOBODY what counts nowhere. Workers
read with numpy and cv2 only; everything random comes from the spec, as in `loader`."""
from __future__ import annotations

import dataclasses
import hashlib
from typing import Callable, Sequence

import numpy as np

from gluon_bof.data.faults import FaultPolicy, or_skip, whole_or_next
from gluon_bof.data.images import image_header, read_image, read_or_name, settle
from gluon_bof.data.label_sets import UNKNOWN, LabelledImage, SegmentationSet
from gluon_bof.data.workers import init_worker
from gluon_bof.errors import UserError, warn
from gluon_bof.freebies.augmentation import View, render
from gluon_bof.freebies.label_maps import MapView, draw_map_view, fitted_view, render_image, render_labels
from gluon_bof.freebies.mixup import blend_images
from gluon_bof.masks import NOBODY, read_numbers
from gluon_bof.rng import augmentation_rng

LOOKED_AT = 16  # maps of a set that are read before it is trained or evaluated on


def read_labels(sample: LabelledImage, class_count: int) -> np.ndarray:
    """(H, W) uint8, the label map of a sample. Raises UserError where it cannot be read or has a number beyond the classes."""
    if sample.objects is not None:
        return sample.objects.labels()
    labels = _numbers(sample.mask)
    if sample.numbers is not None:
        labels = _renumbered(labels, sample)
    beyond = labels[(labels >= class_count) & (labels != NOBODY)]
    if len(beyond):
        raise UserError(f"a pixel has the number {beyond[0]}, and there are {class_count} classes", sample.mask,
                        f"write class numbers, 0 to {class_count - 1}, name all classes with --classes, or write {NOBODY} for "
                        "pixels that are to be ignored")
    return labels


def _numbers(path):
    """(H, W) uint8 of a file of numbers, SBD's or a PNG. Raises UserError where it cannot be read."""
    try:
        return _mat(path) if path.endswith(".mat") else read_numbers(path)
    except (OSError, ValueError) as error:
        raise UserError(f"the label map cannot be read ({error})", path,
                        "write class numbers as a PNG with 8 bits a pixel, grey or with a palette") from None


def _renumbered(labels, sample):
    """The map with the classes' numbers in place of the set's own."""
    classes = sample.numbers[labels]
    unknown = labels[classes == UNKNOWN]
    if len(unknown):
        raise UserError(f"a pixel has the number {unknown[0]}, and the set has no such class", sample.mask, "fix the data set")
    return classes.astype(np.uint8)


def _mat(path):
    """SBD's label map. Raises ValueError for another file, OSError for one that cannot be read."""
    from scipy.io import loadmat

    try:
        labels = np.asarray(loadmat(path, squeeze_me=True, struct_as_record=False)["GTcls"].Segmentation, np.uint8)
    except OSError:
        raise
    except Exception as error:  # on damage, SciPy's reader raises whatever came up
        raise ValueError(" ".join(filter(None, (type(error).__name__, str(error))))) from None
    if labels.ndim != 2:
        raise ValueError(f"its numbers have {labels.ndim} dimensions")
    return labels


def look_over(found: SegmentationSet, on_bad_sample: str = "error") -> SegmentationSet:
    """The set, without the images whose label map has another size, by the files' headers, or, of the first, cannot be read:
    they raise UserError with "error". Warns where maps look as if they were black and white, 0 and 255, of which 255 counts
    nowhere."""
    faults, seen = FaultPolicy(on_bad_sample), set()

    def looked_at(numbered):
        number, sample = numbered
        if sample.mask.endswith(".png"):  # SBD's are read whole for their sizes; COCO's reader has compared them
            _orientation(sample)
        if number < LOOKED_AT:
            seen.update(np.unique(read_labels(sample, len(found.classes))).tolist())
        return sample

    samples = faults.sound(looked_at, enumerate(found.samples))
    if NOBODY in seen and seen <= {0, NOBODY} and len(found.classes) > 1:
        warn(f"{found.samples[0].mask} and the next maps have no numbers but 0, {found.classes[0]}, and {NOBODY}, which counts "
             f"nowhere: nothing else can be learnt from them; for black and white masks write 1 in place of {NOBODY}")
    return dataclasses.replace(found, samples=samples, faults=(*found.faults, *faults.faults))


def read_pair(sample: LabelledImage, class_count: int) -> tuple[np.ndarray, np.ndarray]:
    """(image (H, W, 3), its label map (H, W)). Raises UserError as the readers do, and where their sizes differ."""
    labels = read_labels(sample, class_count)
    return read_or_name(read_image, sample.path, _orientation(sample, labels.shape[::-1])), labels


def _orientation(sample, size=None):
    """What to turn an image by that it lies as its label map does, by the rule of data.images. size: (width, height) of the map
    where it is known. Raises UserError where the two cannot lie on each other."""
    if size is None:
        size = _map_size(sample)
    try:
        return settle(read_or_name(image_header, sample.path), size)[0]
    except ValueError as error:
        raise UserError(f"the label map has another size than its image: {error}", sample.mask, "fix the data set") from None


def _map_size(sample):
    """(width, height) of a label map."""
    if sample.objects is not None:
        return sample.objects.size[::-1]
    return _numbers(sample.mask).shape[::-1] if sample.mask.endswith(".mat") else read_or_name(image_header, sample.mask).size


class MapImages:
    """`dataset[spec]` -> (image (S, S, 3) uint8, label maps (M, S, S) uint8, weights (M,) float32, names of broken images), a
    pure function of the spec.

    Where nothing is mixed there is one map, of weight 1; with `mixes`, two: blended are the images as the network sees them, as
    classification does. base_size: None: images as validation sees them. on_bad_sample: as of loader.TrainingImages, but of
    images and maps."""

    def __init__(self, samples: Sequence[LabelledImage], class_count: int, base_size: int | None, mixes: bool = False,
                 on_bad_sample: str = "error"):
        self.samples = samples
        self.class_count = class_count
        self.base_size = base_size
        self.mixes = mixes
        self.on_bad_sample = on_bad_sample

    def __len__(self):
        return len(self.samples)

    def __getitem__(self, spec):
        init_worker()
        rng, broken = augmentation_rng(spec), []
        image, labels = self._seen(spec.index, spec.size, rng, broken)
        if not self.mixes:
            return image, labels[None], np.ones(1, np.float32), broken
        other = labels
        if spec.partner >= 0:
            other_image, other = self._seen(spec.partner, spec.size, rng, broken)
            image = blend_images(image, other_image, spec.ratio)
        return image, np.stack([labels, other]), np.array((spec.ratio, 1 - spec.ratio), np.float32), broken

    def _read(self, place):
        try:
            return read_pair(self.samples[place], self.class_count)
        except UserError as error:
            raise (error if self.on_bad_sample == "skip" else or_skip(error)) from None

    def _seen(self, index, size, rng, broken):
        (image, labels), _ = whole_or_next(self._read, index, len(self), self.on_bad_sample, broken)
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
        sample = self.samples[index]
        image = read_or_name(read_image, sample.path, _orientation(sample))
        return np.ascontiguousarray(render(image, self.view(image.shape))), index


def label_mark(found: SegmentationSet) -> str:
    """A checksum of what a set asks of a network: classes, images, COCO's objects. Pixels are not in it, as in sets.set_mark."""
    digest = hashlib.sha256(repr(tuple(found.classes)).encode())
    for sample in found.samples:
        objects = sample.objects
        digest.update(repr(sample.image_id).encode())
        if objects is not None:
            digest.update(repr(objects.size).encode() + objects.classes.tobytes() + objects.masks.tobytes())
    return digest.hexdigest()

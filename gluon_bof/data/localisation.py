"""Images of one object each and its box, for classification with localisation.

Of a set that is drawn here, single objects with room around; of a folder with boxes, its images that have one object. Workers
read with numpy and cv2 only; everything random comes from the spec, as in `loader`."""
from __future__ import annotations

from dataclasses import replace
from typing import Sequence

import numpy as np

from gluon_bof.boxes import Record, area, intersection
from gluon_bof.data.class_sets import (
    DRAWN,
    SHORTEST_SIDE,
    ClassificationSet,
    Sample,
    not_empty,
    open_roles,
    warn_of_root,
    window_around,
)
from gluon_bof.data.classification import ClassImages, draw_view, read_sample
from gluon_bof.data.parts import ROLES
from gluon_bof.errors import UserError, warn
from gluon_bof.freebies.augmentation import View, transform_boxes, whole_view
from gluon_bof.rng import Purpose, generator

ROOM = 1.5  # at most, beside each side of an object that is cut out, as a share of the object's own; less where the image ends
TRIALS = 10  # rooms that are drawn for an object, until one shows no other
SHARED = 0.2  # share of another object's box that may be seen beside it
LEAST_SEEN = 0.7  # share of its box that a random crop keeps; else the whole image is shown


def open_objects(dataset: str, root: str | None = None) -> tuple[ClassificationSet, ClassificationSet]:
    """(training, validation) ClassificationSet of samples with a box.

    dataset: one of `class_sets.DRAWN`, whose objects are cut out with room around; or a folder in a detection set's layout,
    of whose images those with one object are taken whole, the others left out with a warning. Raises UserError for a set without
    boxes, and where none of its images has one object."""
    if dataset == "imagenet":
        raise UserError("ImageNet as it is read here has no boxes", remedy="give --dataset shapes, or a folder with boxes")
    warn_of_root(dataset, root)
    sets = []
    for role, found in zip(ROLES, open_roles(dataset, root)):
        samples = [sample for number, record in enumerate(found.records)
                   for sample in (cut_out(record, number) if dataset in DRAWN else whole(record))]
        if dataset not in DRAWN and 0 < len(samples) < len(found):
            warn(f"{role}: {len(found) - len(samples)} of {len(found)} images have not one object and are left out")
        sets.append(not_empty(ClassificationSet(found.name, found.classes, samples), dataset, role, "with one object"))
    return tuple(sets)


def whole(record: Record) -> list[Sample]:
    """The record's image, if it has one object and no crowd."""
    if len(record.boxes) != 1 or record.crowd.any():
        return []
    return [Sample(record.path, int(record.classes[0]), orientation=record.orientation,
                   box=tuple(map(float, record.boxes[0])))]


def cut_out(record: Record, number: int) -> list[Sample]:
    """The objects of the record with room around, where that can be had without another object; the same for the same number."""
    samples = []
    for place in np.flatnonzero(~record.ignored):
        box, others = record.boxes[place], np.delete(record.boxes, place, axis=0)
        rng = generator(Purpose.ROOM, 0, number, int(place))
        windows = (window_around(box, rng.uniform(0, ROOM, 4), record.width, record.height) for _ in range(TRIALS))
        window = next((window for window in windows if not shows_others(window, others)), None)
        if window and min(box[2:] - box[:2]) >= SHORTEST_SIDE:
            samples.append(Sample(record.path, int(record.classes[place]), window=window, orientation=record.orientation,
                                  box=tuple(map(float, box - np.tile(window[:2], 2)))))
    return samples


def shows_others(window: tuple, others: np.ndarray) -> bool:
    """Whether more than SHARED of one of the boxes (M, 4) lies in the window."""
    left, top, width, height = window
    seen = intersection(np.array([[left, top, left + width, top + height]], np.float32), others)[0]
    return bool((seen > SHARED * area(others)).any())


class ObjectImages(ClassImages):
    """`dataset[spec]` -> (image (S, S, 3) uint8, label (11,) float32: class, partner's class, weight of the first, the box of the
    first and that of the partner), a pure function of the spec; without a partner both are the same.

    Boxes are corners as shares of the image's sides, in [0, 1]. `dataset[i]` -> (the whole image, i)."""

    def _looked_at(self, index, rng):
        sample = self.samples[index]
        image, box = read_sample(sample), np.array([sample.box], np.float64)
        view = whole_view(image.shape, (self.size, self.size))
        if rng is not None:
            view = view_of_object(draw_view(rng, image, self.size, self.least_area), image.shape, box)
        return self.render(image, view), transform_boxes(box, view)[0] / self.size


def view_of_object(view: View, shape: Sequence[int], box: np.ndarray) -> View:
    """The view of an image of this shape (H, W, …) if it shows enough of the box (1, 4); else one of the whole image, with the
    same flip and colours."""
    left, top, width, height = view.window
    seen = intersection(box, np.array([[left, top, left + width, top + height]], np.float64))[0, 0]
    if seen >= LEAST_SEEN * area(box)[0] and len(transform_boxes(box, view)):
        return view
    return replace(whole_view(shape, view.size), flip=view.flip, colour=view.colour)


def whole_boxes(samples: Sequence[Sample]) -> np.ndarray:
    """(N, 4) boxes of samples, as shares of the sides of their whole images; these are read for their sizes where no window
    tells them."""
    sides = [sample.window[2:] if sample.window else read_sample(sample).shape[1::-1] for sample in samples]
    return np.array([sample.box for sample in samples]) / np.tile(np.array(sides, np.float64), 2)

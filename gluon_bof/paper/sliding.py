"""The elephant in the room as one number of a detector: objects of other images slid through many images (paper, section 3.1)."""
from __future__ import annotations

from functools import partial
from statistics import mean
from typing import TYPE_CHECKING, Any, Sequence

import numpy as np

from gluon_bof.boxes import BoxEnds, area
from gluon_bof.data.images import read_image
from gluon_bof.paper.elephant import slide
from gluon_bof.terminal import progress_bar

if TYPE_CHECKING:
    from gluon_bof.boxes import DetectionSet, Record
    from gluon_bof.inference.tiles import Tiling

PLACES = 5  # along the longer side of an image, about
MOST = 0.6  # of an image's sides that a patch may have
LEAST = 0.15  # of an image's shorter side


def sliding_patch(detector: Any, detection_set: DetectionSet, images: int,
                  tiling: Tiling | None = None, ends: BoxEnds = BoxEnds.EDGE) -> dict[str, float | None]:
    """Means over so many images, evenly taken from the set, through each of which an object of another image, of a class that the
    image lacks, is slid: `patch_recall`, how often the detector finds it where it is; `recall`, of the image's own objects that
    it does not hide; `recall_without_patch`, of those without it; `score_change`, of theirs by it. `images`: how many there were.

    tiling: the detector looks at slices, too. ends: how the boxes end that it finds.
    A detection counts with a score of 0.5 or more, of the right class, at an IoU of 0.5 or more."""
    found = []
    look = partial(detector.detect, tiling=tiling) if tiling else detector.detect
    rooms = _rooms(detection_set.records, images)
    for record, patch in progress_bar(rooms, "sliding", unit="image"):
        image, (pixels, label) = read_image(record.path, record.orientation), _cut(*patch)
        asked = ~record.ignored
        slid = slide(lambda images: list(map(ends.as_edges, look(images))), image, pixels, record.boxes[asked],
                     record.classes[asked], label, step=max(image.shape[:2]) / PLACES)
        found.append(slid.summary())
    names = ("patch_recall", "recall", "recall_without_patch", "score_change")
    return {**{name: _mean_of_known([one[name] for one in found]) for name in names}, "images": len(found)}


def _rooms(records, count):
    """[(record, (another one, place of the object in it))] of the images that have a fitting patch."""
    asked = [record for record in records if not record.ignored.all()]
    places = np.linspace(0, len(asked) - 1, min(count, len(asked))).round().astype(int)
    pairs = [(asked[place], _patch_for(asked[place], asked[place + 1:] + asked[:place])) for place in places]
    return [(record, patch) for record, patch in pairs if patch]


def _patch_for(room: Record, others: Sequence[Record]) -> tuple[Record, int] | None:
    """The largest fitting object of the next image that has one; None where none has."""
    for other in others:
        sides = other.boxes[:, 2:] - other.boxes[:, :2]
        fits = (sides <= np.multiply((room.width, room.height), MOST)).all(axis=1)
        fits &= sides.min(axis=1) >= LEAST * min(room.width, room.height) if len(sides) else False
        fits &= ~other.ignored & ~np.isin(other.classes, room.classes)
        if fits.any():
            return other, int(np.where(fits, area(other.boxes), 0).argmax())
    return None


def _cut(record, place):
    """(pixels of the object's box, its class)."""
    left, top, right, bottom = record.boxes[place].round().astype(int)
    image = read_image(record.path, record.orientation)
    return image[max(top, 0):max(bottom, top + 1), max(left, 0):max(right, left + 1)], int(record.classes[place])


def _mean_of_known(values):
    known = [value for value in values if value is not None]
    return mean(known) if known else None

"""An object slid through many images: a detector that sees colours finds all of it, a blind one nothing."""
from dataclasses import replace

import cv2
import numpy as np
import pytest

from gluon_bof.boxes import BoxEnds, Detections
from gluon_bof.data.images import read_image
from gluon_bof.data.voc import load_voc
from gluon_bof.inference.tiles import tiling_of
from gluon_bof.paper import sliding
from tests.tiny_sets import CLASSES, COLOURS, write_voc_set


@pytest.fixture(scope="module")
def found_set(tmp_path_factory):
    root = write_voc_set(tmp_path_factory.mktemp("set"), images=12, width=160, height=130)
    return load_voc(str(root), "train", classes=CLASSES)


class OfColours:
    """Finds every patch of a class's colour."""

    def detect(self, images):
        return [self._of(image) for image in images]

    def _of(self, image):
        boxes, classes = [], []
        for number, name in enumerate(CLASSES):
            near = (np.abs(image.astype(int) - COLOURS[name]) < 40).all(axis=2).astype(np.uint8)
            _, _, stats, _ = cv2.connectedComponentsWithStats(near)
            for left, top, width, height, size in stats[1:]:
                if size > 100:
                    boxes.append((left, top, left + width, top + height))
                    classes.append(number)
        return Detections(np.array(boxes, np.float32).reshape(-1, 4), np.array(classes, int), np.full(len(boxes), 0.9))


class Blind:
    """Finds nothing."""

    def detect(self, images):
        return [Detections(np.zeros((0, 4), np.float32), np.zeros(0, int), np.zeros(0)) for _ in images]


def test_a_detector_that_sees_finds_the_patch_and_a_blind_one_does_not(found_set):
    seen, blind = (sliding.sliding_patch(detector, found_set, 6) for detector in (OfColours(), Blind()))
    assert seen["images"] == blind["images"] > 1
    assert seen["patch_recall"] > 0.9 and seen["recall_without_patch"] > 0.7
    assert blind["patch_recall"] == blind["recall"] == blind["recall_without_patch"] == 0


def test_a_slide_counts_the_pixel_that_published_weights_leave_out(found_set, monkeypatch):
    own = sliding.slide
    seen = []

    def watched(detect, image, *rest, **how):
        seen.append((detect([image])[0].boxes, OfColours().detect([image])[0].boxes))
        return own(detect, image, *rest, **how)

    monkeypatch.setattr(sliding, "slide", watched)
    sliding.sliding_patch(OfColours(), found_set, 1, ends=BoxEnds.LAST_PIXEL)
    (told, found), = seen
    assert len(found) and np.array_equal(told, found + (0, 0, 1, 1))


def test_an_object_that_is_to_be_ignored_is_not_asked_for(found_set, monkeypatch):
    own, asked = sliding.slide, []

    def watched(detect, image, patch, boxes, *rest, **how):
        asked.append(len(boxes))
        return own(detect, image, patch, boxes, *rest, **how)

    monkeypatch.setattr(sliding, "slide", watched)
    records = [replace(record, difficult=np.arange(len(record.boxes)) == 1) for record in found_set.records]
    rooms = [record for record, _ in sliding._rooms(records, 6)]
    sliding.sliding_patch(Blind(), replace(found_set, records=records), 6)
    assert asked == [int((~record.ignored).sum()) for record in rooms] != [len(record.boxes) for record in rooms]


class OfColoursInSlices(OfColours):
    """Finds nothing in an image that it sees whole."""

    def detect(self, images, tiling=None):
        return super().detect(images) if tiling else Blind().detect(images)


def test_slices_are_looked_at_while_the_patch_slides_too(found_set):
    detector = OfColoursInSlices()
    assert sliding.sliding_patch(detector, found_set, 3)["patch_recall"] == 0
    assert sliding.sliding_patch(detector, found_set, 3, tiling_of(96, None))["patch_recall"] > 0.9


def test_a_patch_is_of_another_image_and_of_a_class_that_the_image_lacks(found_set):
    rooms = sliding._rooms(found_set.records, 12)
    assert rooms
    for record, (other, place) in rooms:
        assert other is not record and other.classes[place] not in record.classes
        sides = other.boxes[place, 2:] - other.boxes[place, :2]
        assert (sides <= np.array((record.width, record.height)) * sliding.MOST).all()
        pixels, label = sliding._cut(other, place)
        assert label == other.classes[place] and pixels.shape[:2] == tuple(sides.round().astype(int)[::-1])
        left, top = other.boxes[place, :2].round().astype(int)
        np.testing.assert_array_equal(pixels[0, 0], read_image(other.path)[top, left])


def test_a_set_in_which_nothing_fits_has_no_number(found_set):
    alone = found_set.records[:1]
    told = sliding.sliding_patch(Blind(), type(found_set)("one", CLASSES, alone), 5)
    assert told == {"patch_recall": None, "recall": None, "recall_without_patch": None, "score_change": None, "images": 0}

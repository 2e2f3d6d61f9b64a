"""The embedded set: the same on every run, whole or not there, boxes that fit."""
import io
from collections import Counter
from pathlib import Path

import cv2
import numpy as np
import pytest

from gluon_bof.data import shapes, vocmini
from gluon_bof.data.drawn import ensure_drawn, tight_box
from gluon_bof.data.voc import load_voc
from gluon_bof.masks import NOBODY, read_numbers, voc_palette, write_numbers
from tests.tiny_sets import draw_few_shapes

FEW = {"trainval": 6, "test": 3}
FIRST_ANNOTATION = """<annotation>
  <filename>test_0000.jpg</filename>
  <size><width>160</width><height>208</height><depth>3</depth></size>
  <object><name>cross</name><difficult>0</difficult><bndbox><xmin>47</xmin><ymin>1</ymin><xmax>140</xmax><ymax>81</ymax></bndbox></object>
  <object><name>circle</name><difficult>0</difficult><bndbox><xmin>118</xmin><ymin>115</ymin><xmax>160</xmax><ymax>163</ymax></bndbox></object>
  <object><name>ring</name><difficult>0</difficult><bndbox><xmin>32</xmin><ymin>171</ymin><xmax>78</xmax><ymax>208</ymax></bndbox></object>
</annotation>
"""  # as version 1 had it


def test_an_image_is_a_pure_function_of_its_place():
    first, objects = shapes.draw_image(0, 5)
    shapes.draw_image(1, 2)
    again, same = shapes.draw_image(0, 5)
    np.testing.assert_array_equal(first, again)
    assert objects == same
    assert not np.array_equal(first, shapes.draw_image(1, 5)[0]) or first.shape != shapes.draw_image(1, 5)[0].shape


# of images as these versions draw them, a pin: mean, standard deviation, its mean within the boxes, the sum of the boxes' corners
DRAWN = {(shapes, 1): {(0, 0): (122.51, 55.46, 48.17, 609), (0, 1): (103.22, 37.28, 46.76, 1193),
                       (0, 2): (112.86, 38.22, 51.21, 1105), (0, 3): (105.17, 50.27, 60.13, 2132),
                       (0, 4): (182.82, 60.18, 65.28, 1631), (1, 0): (134.29, 51.12, 64.93, 1308)},
         (vocmini, 3): {(2, 0): (129.66, 75.77, 72.08, 2241), (3, 1): (81.31, 40.33, 49.92, 382),
                        (4, 0): (114.91, 60.34, 63.93, 2375), (5, 0): (98.26, 54.31, 55.35, 1855)}}


@pytest.mark.parametrize("module", (shapes, vocmini), ids=("shapes", "vocmini"))
def test_pixels_and_boxes_do_not_change_without_a_new_version(module):
    for place, wanted in DRAWN[module, module.VERSION].items():
        image, objects = module.draw_image(*place)
        boxes = [box for _, box, *_ in objects]
        inside = np.mean([image[top:bottom, left:right].std() for left, top, right, bottom in boxes])
        np.testing.assert_allclose((image.mean(), image.std(), inside, np.sum(boxes)), wanted, rtol=0, atol=0.05)


def test_what_chooses_settings_is_not_trained_on():
    fit, held_out = (set(range(shapes.SPLITS["trainval"])[shapes.part_of(name)[1]]) for name in ("fit", "held-out"))
    assert not fit & held_out and fit | held_out == set(range(shapes.SPLITS["trainval"]))


def test_backbones_see_no_image_of_the_embedded_set(tmp_path, monkeypatch):
    """Its test images too would be those of a backbone."""
    draw_few_shapes(monkeypatch, tmp_path, 2, 1)
    monkeypatch.setattr(shapes, "BACKBONE_SPLITS", {"trainval": 2, "test": 1})
    images = [Path(record.path).read_bytes() for load in (shapes.load_shapes, shapes.load_backbone_shapes)
              for role in ("train", "val") for record in load(role).records]
    assert len(set(images)) == 6


def test_classes_are_balanced_and_boxes_lie_inside():
    drawn = [shapes.draw_image(0, index) for index in range(120)]
    counts = Counter(label for _, objects in drawn for label, _, _ in objects)
    assert set(counts) == set(shapes.CLASSES) and min(counts.values()) > 0.5 * max(counts.values())
    assert sum(not objects for _, objects in drawn) < 15
    assert sum(difficult for _, objects in drawn for _, _, difficult in objects) < 0.3 * sum(counts.values())
    assert len({image.shape for image, _ in drawn}) >= 4
    for image, objects in drawn:
        for _, (left, top, right, bottom), _ in objects:
            assert 0 <= left < right <= image.shape[1] and 0 <= top < bottom <= image.shape[0]


@pytest.mark.parametrize("label", shapes.CLASSES)
def test_boxes_are_tight(label):
    outline = shapes._outline(label, 120, 1.1, 12)
    mask, whole = shapes._mask(label, outline, np.array((130.0, 100.0)), 220, 260)
    assert mask.sum() == whole
    left, top, right, bottom = tight_box(mask)
    small = cv2.resize(mask.astype(np.uint8) * 255, (130, 110), interpolation=cv2.INTER_AREA) > 0
    rows, columns = np.nonzero(small)
    assert (left, top, right, bottom) == (columns.min(), rows.min(), columns.max() + 1, rows.max() + 1)


def test_the_embedded_set_is_written_once_and_read_by_the_real_reader(tmp_path):
    folder = shapes.ensure_shapes(tmp_path, FEW)
    stamps = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")}
    assert shapes.ensure_shapes(tmp_path, FEW) == folder
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")} == stamps
    for role, count in (("train", 6), ("val", 3)):
        found = load_voc(folder, role, classes=shapes.CLASSES)
        assert len(found) == count and not found.faults
    record = load_voc(folder, "val", classes=shapes.CLASSES).records[0]
    _, objects = shapes.draw_image(1, 0)
    # VOC's corners are those of pixels: the last one's number is one less than where the box ends
    np.testing.assert_array_equal(record.boxes, [np.array(box) - (0, 0, 1, 1) for _, box, _ in objects])


def test_silhouettes_are_whole_visible_and_numbered_as_the_boxes_are(tmp_path):
    folder = Path(shapes.ensure_shapes(tmp_path, FEW)) / "VOC2007"
    for split, (name, count) in enumerate(FEW.items()):
        assert (folder / "ImageSets" / "Segmentation" / f"{name}.txt").read_text() == \
            (folder / "ImageSets" / "Main" / f"{name}.txt").read_text()
        for index in range(count):
            image, objects, numbers = shapes.draw_scene(split, index)
            of_objects, of_classes = (read_numbers(folder / part / f"{name}_{index:04d}.png")
                                      for part in ("SegmentationObject", "SegmentationClass"))
            np.testing.assert_array_equal(of_objects, numbers)
            assert numbers.shape == image.shape[:2] and set(np.unique(numbers)) - {0, NOBODY} == set(range(1, len(objects) + 1))
            assert (numbers == NOBODY).mean() < 0.03
            for number, (label, (left, top, right, bottom), _) in enumerate(objects, 1):
                mine = numbers == number
                assert mine[top:bottom, left:right].sum() == mine.sum()
                assert (of_classes[mine] == shapes.CLASSES.index(label) + 1).all()
            np.testing.assert_array_equal(of_classes == NOBODY, numbers == NOBODY)
            np.testing.assert_array_equal(of_classes == 0, numbers == 0)


def test_silhouettes_change_neither_the_images_nor_the_boxes_of_the_set(tmp_path):
    folder = Path(shapes.ensure_shapes(tmp_path, FEW)) / "VOC2007"
    plain = Path(ensure_drawn(tmp_path, FEW, "plain", 0, shapes.draw_image, 1)) / "VOC2007"
    assert sorted(path.name for path in plain.iterdir()) == ["Annotations", "ImageSets", "JPEGImages"]
    for path in (*plain.glob("Annotations/*"), *plain.glob("JPEGImages/*")):
        assert path.read_bytes() == (folder / path.relative_to(plain)).read_bytes()
    assert (folder / "Annotations" / "test_0000.xml").read_text() == FIRST_ANNOTATION


def test_the_palette_is_that_of_vocs_own_files():
    from PIL import Image
    # of the PASCAL VOC devkit's colour map: aeroplane, bicycle, ..., tvmonitor, and what is nobody's
    known = {0: (0, 0, 0), 1: (128, 0, 0), 2: (0, 128, 0), 3: (128, 128, 0), 20: (0, 64, 128), 255: (224, 224, 192)}
    assert {number: tuple(voc_palette()[number]) for number in known} == known
    buffer = io.BytesIO()
    write_numbers(buffer, np.arange(256).reshape(16, 16))
    with Image.open(buffer) as image:
        assert image.mode == "P" and image.getpalette()[3 * 20:3 * 20 + 3] == [0, 64, 128]

"""Sets with masks: what the readers find, what they refuse, and that nobody who does not ask pays for them."""
import json
import os
import shutil
import struct
import zlib

import cv2
import numpy as np
import pytest
from PIL import ImageFile

from gluon_bof import masks
from gluon_bof.commands import check
from gluon_bof.data.coco import load_coco
from gluon_bof.data.sets import open_set
from gluon_bof.data.voc import load_voc
from gluon_bof.errors import UserError
from tests.tiny_sets import draw_few_shapes, write_voc_set


@pytest.fixture
def root(tmp_path):
    return write_voc_set(tmp_path / "set", images=6, validation=3)


def folder_of(root, name="SegmentationObject"):
    return root / "VOC2007" / name


def test_vocs_numbers_become_the_masks_of_the_boxes_in_their_order(root):
    found = load_voc(str(root), "train", masks=True)
    assert len(found) == 6 and not found.faults
    for record in found.records:
        numbers = masks.read_numbers(folder_of(root) / f"{record.image_id}.png")
        dense = masks.decode(record.masks, numbers.shape)
        np.testing.assert_array_equal(dense, [numbers == place for place in range(1, len(record.boxes) + 1)])
        np.testing.assert_array_equal(record.true_masks(), record.masks)
        last = dense[-1]  # nothing lies over the last one
        assert last.sum() == np.prod(record.boxes[-1, 2:] - record.boxes[-1, :2] + 1)


def test_a_box_that_is_left_out_takes_its_mask_along(root):
    path = folder_of(root, "Annotations") / "000000.xml"
    text = path.read_text()
    whole = load_voc(str(root), "train", masks=True).records[0]
    first = text.index("<object>")
    path.write_text(text[:first] + "<object><name>blue</name></object>" + text[first:])  # numbers move on by one
    numbers = masks.read_numbers(folder_of(root) / "000000.png")
    masks.write_numbers(folder_of(root) / "000000.png", numbers + (numbers > 0))
    found = load_voc(str(root), "train", masks=True, on_bad_sample="skip")
    assert found.faults[0].kind == "malformed annotation"
    np.testing.assert_array_equal(found.records[0].masks, whole.masks)


def test_without_asking_nothing_is_read_and_a_set_without_masks_is_as_good(root, monkeypatch):
    monkeypatch.setattr("gluon_bof.data.voc.read_numbers", None)
    assert all(record.masks is None for record in load_voc(str(root), "train").records)
    shutil.rmtree(folder_of(root))
    assert len(load_voc(str(root), "train")) == 6
    with pytest.raises(UserError, match="no masks"):
        load_voc(str(root), "train", masks=True)


def test_the_splits_of_the_images_with_masks_go_first(root):
    lists = folder_of(root, "ImageSets") / "Segmentation"
    lists.mkdir()
    (lists / "trainval.txt").write_text("000001\n000004\n")
    (lists / "test.txt").write_text("000007\n")
    assert [record.image_id for record in load_voc(str(root), "train", masks=True).records] == ["000001", "000004"]
    assert [record.image_id for record in load_voc(str(root), "val", masks=True).records] == ["000007"]
    assert len(load_voc(str(root), "train")) == 6


def missing(path):
    path.unlink()


def of_another_size(path):
    masks.write_numbers(path, np.zeros((5, 6), np.uint8))


def with_a_stranger(path):
    numbers = masks.read_numbers(path)
    numbers[0, 0] = 77
    masks.write_numbers(path, numbers)


def of_colours(path):
    cv2.imwrite(str(path), np.zeros((96, 120, 3), np.uint8))


def no_image(path):
    path.write_bytes(b"nothing")


def cut_off(path):
    content = path.read_bytes()
    path.write_bytes(content[:content.index(b"IDAT") + 20])


def huge_by_its_header(path):
    header = b"IHDR" + struct.pack(">IIBBBBB", 60000, 60000, 8, 0, 0, 0, 0)
    path.write_bytes(path.read_bytes()[:8] + struct.pack(">I", 13) + header + struct.pack(">I", zlib.crc32(header)))


@pytest.mark.parametrize("damage, kind", [(missing, "missing mask"), (cut_off, "broken mask"),
                                          (of_another_size, "wrong size"), (of_colours, "broken mask"),
                                          (huge_by_its_header, "broken mask"),
                                          (with_a_stranger, "foreign mask"), (no_image, "broken mask")])
def test_a_faulty_png_is_named_and_its_image_left_out(root, damage, kind, monkeypatch):
    monkeypatch.setattr(ImageFile, "LOAD_TRUNCATED_IMAGES", True)  # as GluonCV leaves it
    damage(folder_of(root) / "000002.png")
    with pytest.raises(UserError, match=kind):
        load_voc(str(root), "train", masks=True)
    found = load_voc(str(root), "train", masks=True, on_bad_sample="skip")
    assert len(found) == 5 and [fault.kind for fault in found.faults] == [kind]


def test_an_object_without_a_pixel_stays_and_is_told(root):
    path = folder_of(root) / "000001.png"
    numbers = masks.read_numbers(path)
    masks.write_numbers(path, np.where(numbers == 1, masks.NOBODY, numbers))
    found = load_voc(str(root), "train", masks=True)
    record = found.records[1]
    assert [remark.kind for remark in found.remarks] == ["no pixel"] and len(record.masks) == len(record.boxes)
    assert masks.area(record.masks, (record.height, record.width))[0] == 0


def test_masks_of_other_objects_than_their_boxes_are_told(root):
    path = folder_of(root) / "000001.png"
    boxes = load_voc(str(root), "train").records[1].boxes
    masks.write_numbers(path, np.zeros((96, 120), np.uint8) + np.fromfunction(
        lambda y, x: (x >= 110) & (y >= 90) if boxes[0, 2] < 108 else (x < 5) & (y < 5), (96, 120)).astype(np.uint8))
    remarks = [remark for remark in load_voc(str(root), "train", masks=True).remarks if remark.kind == "mask apart"]
    assert len(remarks) == 1 and remarks[0].path == str(path) and "the first that of box 1" in remarks[0].message


def test_the_check_that_a_fault_of_a_mask_names_lists_all_of_them(root, capsys):
    (folder_of(root) / "000001.png").write_bytes(b"nothing")
    (folder_of(root) / "000007.png").unlink()
    with pytest.raises(UserError, match="gluon-bof check --masks"):
        load_voc(str(root), "train", masks=True)
    assert check.main([str(root)]) == 0
    assert check.main([str(root), "--masks"]) == 1
    told = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert told["faults_by_kind"] == {"broken mask": 1, "missing mask": 1} and told["images"] == {"train": 6, "val": 3}


@pytest.fixture
def coco(tmp_path):
    """Path of a JSON of one image: a polygon, a crowd in run lengths, one in compressed ones."""
    cv2.imwrite(str(tmp_path / "a.png"), np.zeros((40, 60, 3), np.uint8))
    runs = np.zeros((40, 60), np.uint8)
    runs[10:20, 30:50] = 1
    counts = [30 * 40 + 10] + [10, 30] * 19 + [10, 60 * 40 - 49 * 40 - 20]
    coded = masks.as_json(masks.encode(runs[None])[0], (40, 60))
    shared = dict(image_id=1, category_id=5, bbox=[30, 10, 20, 10])
    content = {"images": [{"id": 1, "file_name": "a.png", "width": 60, "height": 40}], "categories": [{"id": 5, "name": "x"}],
               "annotations": [dict(shared, id=1, bbox=[5, 5, 10, 8], segmentation=[[5, 5, 15, 5, 15, 13, 5, 13]]),
                               dict(shared, id=2, iscrowd=1, segmentation={"size": [40, 60], "counts": counts}),
                               dict(shared, id=3, segmentation=coded)]}
    path = tmp_path / "train.json"
    path.write_text(json.dumps(content))
    return path, content, runs


def test_cocos_polygons_and_run_lengths_become_masks_and_crowds_are_not_trained_on(coco):
    path, _, runs = coco
    record, = load_coco(str(path), "train", masks=True).records
    dense = masks.decode(record.masks, (40, 60))
    assert dense[0].sum() == 80 and dense[0, 5:13, 5:15].all()
    np.testing.assert_array_equal(dense[1], runs)
    np.testing.assert_array_equal(dense[2], runs)
    assert len(record.true_masks()) == len(record.truth()) == 2
    assert load_coco(str(path), "train").records[0].masks is None


@pytest.mark.parametrize("segmentation, said", [(None, "is missing"), ([], "is empty"), ([[1, 2, 3]], "three corners"),
                                                ({"size": 40, "counts": "x"}, "of the size"),
                                                ({"size": [60, 40], "counts": "x"}, "of the size")])
def test_a_segmentation_that_cannot_be_is_a_fault_of_its_annotation(coco, segmentation, said):
    path, content, _ = coco
    content["annotations"][0]["segmentation"] = segmentation
    path.write_text(json.dumps(content))
    with pytest.raises(UserError, match=f"annotation 1 .*{said}"):
        load_coco(str(path), "train", masks=True)
    found = load_coco(str(path), "train", masks=True, on_bad_sample="skip")
    assert len(found.records[0].boxes) == len(found.records[0].masks) == 2 and len(found.faults) == 1
    assert not load_coco(str(path), "train").faults


@pytest.mark.parametrize("polygon, kind", [([500, 500, 600, 500, 600, 600], "no pixel"), ([40, 25, 55, 25, 55, 35], "mask apart"),
                                           ([0.1, 0.1, 0.3, 0.1, 0.3, 0.3], "no pixel")])
def test_outlines_in_other_units_than_the_box_or_of_other_objects_are_told(coco, polygon, kind):
    path, content, _ = coco
    content["annotations"][0]["segmentation"] = [polygon]
    path.write_text(json.dumps(content))
    found = load_coco(str(path), "train", masks=True)
    assert [remark.kind for remark in found.remarks if remark.kind != "duplicate box"] == [kind]
    assert len(found.records[0].masks) == 3 and not found.faults


def test_the_drawn_set_has_masks_within_its_boxes(tmp_path, monkeypatch):
    draw_few_shapes(monkeypatch, tmp_path, 4, 2)
    found = open_set("shapes", None, "train", masks=True)
    for record in found.records:
        assert len(record.masks) == len(record.boxes)
        if len(record.boxes):
            seen = masks.boxes_of(record.masks, (record.height, record.width))
            assert (seen[:, :2] >= record.boxes[:, :2]).all() and (seen[:, 2:] <= record.boxes[:, 2:] + 1).all()
    assert open_set("shapes", None, "train").records[0].masks is None


def test_layouts_without_masks_are_refused_by_name(tmp_path):
    for name in ("images", "labels"):
        (tmp_path / "yolo" / name).mkdir(parents=True)
    cv2.imwrite(str(tmp_path / "yolo" / "images" / "a.png"), np.zeros((8, 8, 3), np.uint8))
    (tmp_path / "yolo" / "labels" / "a.txt").write_text("0 0.5 0.5 0.5 0.5\n")
    (tmp_path / "yolo" / "classes.txt").write_text("x\n")
    with pytest.raises(UserError, match="no masks are read from yolo"):
        open_set(os.fspath(tmp_path / "yolo"), None, "train", masks=True)

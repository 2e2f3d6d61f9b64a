"""What annotations of real sets do that no standard set does: ids, boxes, names, endings, encodings, splits, missing files."""
import io
import json
import os
import shutil
import struct

import cv2
import numpy as np
import pytest
from PIL import Image

from gluon_bof.data.check import check_set
from gluon_bof.data.coco import category_ids, is_coco, load_coco, read_area
from gluon_bof.data.faults import require_boxes
from gluon_bof.data.fields import load_json, read_flag
from gluon_bof.data.images import decode_image, has_broken_strips
from gluon_bof.data.names import class_names
from gluon_bof.data.sets import open_set
from gluon_bof.data.voc import load_voc
from gluon_bof.errors import UserError
from tests.data import coco_files, test_coco, voc_files
from tests.data.coco_files import changed, content
from tests.data.voc_files import DOG, ids, xml

LISTED = {name: xml(DOG, filename=f"{name}.jpg") for name in "abcdefgh"}


def coco(root, value, **options):
    """One part of COCO's layout with this content, read."""
    coco_files.write_set(root, value)
    return load_coco(str(root), "train", **options)


def kinds(found):
    return [fault.kind for fault in found]


# ids

def test_ids_of_annotations_are_not_needed(tmp_path):
    value = content()
    for entry, number in zip(value["annotations"], (4, 4, None)):
        entry["id"] = number
    found = coco(tmp_path, value, on_bad_sample="skip")
    assert sum(len(record.boxes) for record in found.records) == 3 and kinds(found.faults) == ["duplicate id"]
    assert "1 annotations have no id and 1 have one that is there already" in found.faults[0].message
    assert "no box is left out" in found.faults[0].message


def test_images_of_one_id_are_all_left_out_and_named(tmp_path):
    value = changed("images", 0, id=3)  # b.jpg and a.jpg
    value["annotations"][0]["image_id"] = value["annotations"][2]["image_id"] = 3
    with pytest.raises(UserError, match="2 images have the id 3.*b.jpg, a.jpg"):
        coco(tmp_path, value)
    found = load_coco(str(tmp_path), "train", on_bad_sample="skip")
    assert [os.path.basename(record.path) for record in found.records] == ["c.jpg"] and kinds(found.faults) == ["duplicate id"]


@pytest.mark.parametrize("write", [float, lambda number: number * 10 ** 30, lambda number: -number, str])
def test_ids_of_all_kinds_are_taken(tmp_path, write):
    value = content()
    for key, name in (("images", "id"), ("annotations", "id"), ("annotations", "image_id"), ("annotations", "category_id"),
                      ("categories", "id")):
        for entry in value[key]:
            entry[name] = write(entry[name])
    found = coco(tmp_path, value)
    assert found.faults == [] and sum(len(record.boxes) for record in found.records) == 3
    assert {type(record.image_id) for record in found.records} == {str if write is str else int}
    assert sorted(category_ids(found), key=str) == sorted([write(2), write(5)], key=str)


def test_a_float_is_its_whole_number_in_every_place(tmp_path):
    found = coco(tmp_path, changed("annotations", 0, image_id=7.0, category_id=5.0))
    assert sum(len(record.boxes) for record in found.records) == 3
    for bad in (1.5, float("nan"), float("inf"), [1], True):
        coco_files.write_set(tmp_path, changed("images", 2, id=bad))
        assert "no id" in test_coco.raised(str(tmp_path), "train")


def test_free_ids_of_absent_classes_where_ids_are_text(tmp_path):
    value = content(categories=[{"id": "dog", "name": "dog"}, {"id": "z", "name": "Zebra"}], annotations=[])
    coco_files.write_set(tmp_path, value, "val")
    found = load_coco(str(tmp_path), "val", classes=("dog", "cat", "Zebra"))
    assert category_ids(found) == ["dog", 2, "z"]


# files

def test_one_file_of_two_entries_is_told_and_stops_nobody(tmp_path):
    found = coco(tmp_path, changed("images", 2, file_name="./a.jpg"))
    assert len(found) == 3 and kinds(found.remarks) == ["same file twice"]
    assert "a.jpg" in found.remarks[0].message and "id 3, id 9" in found.remarks[0].message
    assert "same file twice" in kinds(check_set("coco", str(tmp_path), progress=False).faults)


def test_images_that_train_and_validate_are_named(tmp_path):
    voc_files.write_set(tmp_path, LISTED, {"trainval": "abcef", "test": "efgh"})
    for name in LISTED:
        noise = np.random.default_rng(ord(name)).integers(0, 256, (80, 100, 3)).astype(np.uint8)
        cv2.imwrite(str(tmp_path / "JPEGImages" / f"{name}.jpg"), noise)
    copy = (tmp_path / "JPEGImages" / "a.jpg").read_bytes()
    (tmp_path / "JPEGImages" / "g.jpg").write_bytes(copy)  # by content
    report = check_set(str(tmp_path), progress=False)
    assert [(fault.kind, os.path.basename(fault.path)) for fault in report.faults] == [("in both parts", "e.xml"),
                                                                                        ("in both parts", "f.xml")]
    assert [[os.path.basename(path) for path in pair] for pair in report.in_both_parts] == [["a.jpg", "g.jpg"]]


def test_a_link_to_a_training_image_is_in_both_parts(tmp_path):
    for role in ("train", "val"):
        coco_files.write_set(tmp_path, role=role)
    (tmp_path / "val2017" / "a.jpg").unlink()
    (tmp_path / "val2017" / "a.jpg").symlink_to(tmp_path / "train2017" / "a.jpg")
    faults = check_set("coco", str(tmp_path), progress=False).faults
    assert kinds(faults) == ["in both parts"] and "val2017/a.jpg" in faults[0].message


def test_a_file_that_a_linked_folder_shows_again_is_told_as_twice_there(tmp_path):
    (tmp_path / "again").symlink_to("train2017")
    found = coco(tmp_path, changed("images", 1, file_name="../again/b.jpg"))
    assert kinds(found.remarks) == ["same file twice"] and "2 entries" in found.remarks[0].message


@pytest.mark.parametrize("named, read", [("p.png", "p.png"), ("p.jpg", "p.jpg"), ("p", "p.jpg"), ("P.PNG", "p.jpg"),
                                         ("", "p.jpg"), ("gone.png", "p.jpg"), ("C:\\there\\p.png", "p.png"),
                                         (" p.png\n", "p.png"),
                                         ("deep/p.png", "deep/p.png"), ("q.jpg", "p.jpg"), ("r.jpg", "p.jpg"),
                                         ("deep/r.jpg", "p.jpg"), ("p.gif", "p.gif")])
def test_of_images_of_the_annotations_own_name_the_one_that_it_names_is_read(tmp_path, named, read):
    """A stale name, of r.jpg, laid the boxes on that image."""
    voc_files.write_set(tmp_path, {"p": xml(DOG, filename=named), "q": xml(DOG, filename="q.jpg")}, {"train": ["p"]})
    folder = tmp_path / "JPEGImages"
    (folder / "deep").mkdir()
    for name in ("p.png", "r.jpg", "deep/p.png", "deep/r.jpg"):
        cv2.imwrite(str(folder / name), np.zeros((80, 100, 3), np.uint8))
    Image.new("RGB", (100, 80)).save(folder / "p.gif")
    # q.jpg belongs to another annotation: its name was left behind by copying
    assert load_voc(str(tmp_path), "train").records[0].path == str(folder / read)
    if named == "r.jpg":
        for own in folder.glob("p.*"):
            own.unlink()
        assert load_voc(str(tmp_path), "train").records[0].path == str(folder / "r.jpg")


def test_the_named_image_is_read_where_it_alone_has_the_stated_size(tmp_path):
    """Beside the photographs lay thumbnails of the annotations' own names, of which the size was said to be wrong."""
    stated = {"p": (100, 80), "q": (50, 40), "r": (60, 40), "s": (100, 80)}
    voc_files.write_set(tmp_path, {name: xml(("dog", 10, 12, 30, 30), size=size, filename=f"full_{name}.jpg")
                                   for name, size in stated.items()}, {"train": "pqs"})
    folder = tmp_path / "JPEGImages"
    for name in stated:
        shutil.copy(folder / f"{name}.jpg", folder / f"full_{name}.jpg")
        if name != "s":
            cv2.imwrite(str(folder / f"{name}.jpg"), np.zeros((40, 50, 3), np.uint8))
    found = load_voc(str(tmp_path), "train")
    assert [os.path.basename(record.path) for record in found.records] == ["full_p.jpg", "q.jpg", "s.jpg"]
    (tmp_path / "ImageSets" / "Main" / "train.txt").write_text("r\n")
    with pytest.raises(UserError, match="wrong size: stated 60 x 40, is 50 x 40: .*/r.jpg"):
        load_voc(str(tmp_path), "train")


def test_a_cocos_splits_own_folder_comes_first(tmp_path):
    coco_files.write_set(tmp_path)
    for place in (tmp_path, tmp_path / "images"):
        coco_files.write_images(place)
    assert all("train2017" in record.path for record in load_coco(str(tmp_path), "train").records)


@pytest.mark.parametrize("ending", [".webp", ".tif", ".tiff", ".bmp", ".PNG", ".JPEG"])
def test_images_of_every_ending_are_found(tmp_path, ending):
    voc_files.write_set(tmp_path, {"a": xml(DOG, filename="a")}, {"train": [f"a{ending}"]}, ending)
    assert load_voc(str(tmp_path), "train").records[0].path.endswith(ending)


def test_an_ending_that_is_not_read_is_told_so(tmp_path):
    voc_files.write_set(tmp_path, {"a": xml(DOG, filename="a")}, {"train": "a"})
    (tmp_path / "JPEGImages" / "a.jpg").rename(tmp_path / "JPEGImages" / "a.heic")
    with pytest.raises(UserError, match="a.heic is there, but the ending .heic is not read"):
        load_voc(str(tmp_path), "train")


def unannotated(root, splits=None):
    voc_files.write_set(root, LISTED, splits)
    for name in "abc":
        (root / "Annotations" / f"{name}.xml").unlink()
    return str(root)


def test_images_without_annotation_are_counted_or_negatives(tmp_path):
    root = unannotated(tmp_path)
    found = load_voc(root, "train")
    assert ids(found) == list("defg") and [os.path.basename(path) for path in found.unannotated] == ["a.jpg", "b.jpg", "c.jpg"]
    assert any("3 images have no annotation file: left out" in note for note in found.notes())
    negatives = open_set(root, None, "train", unannotated="negative")
    assert ids(negatives) == list("defgabc") and [len(record.boxes) for record in negatives.records] == [1] * 4 + [0] * 3
    assert ids(load_voc(root, "val")) == ids(load_voc(root, "val", unannotated="negative")) == ["h"]
    report = check_set(root, progress=False)
    assert len(report.unannotated) == 3 and report.faults == []


@pytest.mark.parametrize("named, others", [("", ["a.png", "b.jpg", "b.png"]), ("a.png", ["a.jpg", "b.jpg", "b.png"])])
def test_of_two_images_of_one_name_that_without_the_annotation_went_unsaid(tmp_path, named, others):
    voc_files.write_set(tmp_path, {name: xml(DOG, filename=named if name == "a" else name) for name in "abcdefgh"})
    for name in "ab":
        cv2.imwrite(str(tmp_path / "JPEGImages" / f"{name}.png"), np.zeros((80, 100, 3), np.uint8))
    (tmp_path / "Annotations" / "b.xml").unlink()
    found = load_voc(str(tmp_path), "train", whole=True)
    assert sorted(map(os.path.basename, found.unannotated)) == others and len(found) == 7
    wanted = load_voc(str(tmp_path), "train", whole=True, unannotated="negative")
    assert sorted(os.path.basename(record.path) for record in wanted.records[7:]) == others[1:]
    assert not any(len(record.boxes) for record in wanted.records[7:])
    left, = wanted.remarks  # a mask, or a copy: it may hold the objects of the other one
    assert left.kind == "shared name" and os.path.basename(left.path) == others[0]


def test_those_that_a_split_lists_are_faults_or_negatives(tmp_path):
    root = unannotated(tmp_path, {"train": "abd", "val": "ce"})
    with pytest.raises(UserError, match="though its image does; with --unannotated negative"):
        load_voc(root, "train")
    assert ids(load_voc(root, "train", on_bad_sample="skip")) == ["d"]
    negatives = load_voc(root, "train", unannotated="negative")
    assert ids(negatives) == list("abd") and len(negatives.unannotated) == 2 and negatives.faults == []
    assert ids(load_voc(root, "val", unannotated="negative")) == list("ce")


def test_a_renamed_image_is_not_without_annotation(tmp_path):
    voc_files.write_set(tmp_path, {"a": xml(DOG, filename="photo 1.jpg")})
    (tmp_path / "JPEGImages" / "a.jpg").rename(tmp_path / "JPEGImages" / "photo 1.jpg")
    assert load_voc(str(tmp_path), "train").unannotated == []


# boxes

@pytest.mark.parametrize("area", [0, -3, 0.0, float("nan"), float("inf"), None, "0", "large", True, [1], 1e999])
def test_an_area_that_cannot_be_right_drops_no_box(tmp_path, area):
    found = coco(tmp_path, changed("annotations", 0, area=area))
    assert found.faults == [] and sum(len(record.boxes) for record in found.records) == 3
    assert read_area({"area": area, "bbox": [1, 2, 30, 40.5]}) == 30 * 40.5


def test_an_area_that_can_be_right_is_kept():
    assert read_area({"area": 12.5, "bbox": [1, 2, 30, 40]}) == read_area({"area": "12.5", "bbox": [1, 2, 30, 40]}) == 12.5


@pytest.mark.parametrize("flag, meant", [(0, False), (1, True), ("0", False), ("1", True), ("false", False), ("True", True),
                                         (False, False), (True, True), (None, False), ("", False), (1.0, True), (" 0 ", False),
                                         ("no", False), ("Yes", True), ("None", False)])
def test_crowds_are_read_from_text_too(tmp_path, flag, meant):
    found = coco(tmp_path, changed("annotations", 0, iscrowd=flag))
    assert found.records[1].crowd.tolist() == [meant, False] and found.faults == []
    assert read_flag({"ignore": flag}, "ignore") is meant


@pytest.mark.parametrize("key", ["iscrowd", "ignore"])
@pytest.mark.parametrize("flag", ["maybe", [0], {}, float("nan"), "1,0"])
def test_other_flags_are_refused(tmp_path, key, flag):
    with pytest.raises(UserError, match=f"{key}.*neither 0 nor 1"):
        coco(tmp_path, changed("annotations", 0, **{key: flag}))


def test_a_set_of_crowds_has_nothing_to_train_on(tmp_path):
    value = content()
    for entry in value["annotations"]:
        entry["iscrowd"] = 1
    with pytest.raises(UserError, match="none of the 3 images to train on has a box") as caught:
        require_boxes(coco(tmp_path, value).records, str(tmp_path))
    assert caught.value.remedy and "no box" in kinds(check_set("coco", str(tmp_path), progress=False).faults)
    with pytest.raises(UserError, match="--skip-empty"):
        open_set("coco", str(tmp_path), "train", skip_empty=True)


def test_images_without_a_box_to_train_on_can_be_left_out(tmp_path):
    coco_files.write_set(tmp_path / "coco")
    assert [record.image_id for record in open_set("coco", str(tmp_path / "coco"), "train", skip_empty=True).records] == [7]
    voc_files.write_set(tmp_path / "voc", {"a": xml(), "b": xml(DOG)}, {"train": "ab"})
    assert ids(open_set("voc", str(tmp_path / "voc"), "train", skip_empty=True)) == ["b"]
    assert ids(open_set("voc", str(tmp_path / "voc"), "train")) == ["a", "b"]


NORMALISED = ("dog", 0.11, 0.21, 0.6, 0.8)


def test_normalised_boxes_are_a_fault_of_their_file(tmp_path):
    voc_files.write_set(tmp_path, {"a": xml(NORMALISED, ("dog", 0, 0, 1, 1)), "b": xml(DOG), "c": xml(DOG, NORMALISED)},
                       {"train": "abc"})
    with pytest.raises(UserError, match="a.xml: normalised: 2 of 2 boxes lie in 0..1"):
        load_voc(str(tmp_path), "train")
    found = load_voc(str(tmp_path), "train", on_bad_sample="skip")
    assert ids(found) == ["b", "c"] and kinds(found.faults) == ["normalised"] * 2
    assert [record.boxes.tolist() for record in found.records] == [[[9, 19, 49, 59]]] * 2  # they moved nobody's origin
    coco_files.write_set(tmp_path / "coco", content(annotations=[
        {"id": number, "image_id": 7 - 4 * (number > 2), "category_id": 5, "bbox": box} for number, box in
        enumerate(([0.1, 0.2, 0.5, 0.6], [0, 0, 1, 1], [0.5, 0.5, 0.5, 0.5], [0.1, 0.2, 0.5, 0.6], [10, 20, 30, 40]))] + [
        {"id": flag, "image_id": 7, "category_id": category, "bbox": [10, 20, 30, 40], flag: 1}
        for category, flag in ((2, "ignore"), (5, "iscrowd"))]))
    found = load_coco(str(tmp_path / "coco"), "train", on_bad_sample="skip")
    # crowds beside them are nothing to train on: the image was kept as background
    assert [record.image_id for record in found.records] == [3, 9] and len(found.records[0].boxes) == 1
    assert ["3 of 3 boxes of image 7 (b.jpg)" in fault.message for fault in found.faults] == [True, False]
    assert len(check_set("coco", str(tmp_path / "coco"), progress=False).faults) == 3  # and there is no part to validate on


def test_tiny_images_may_have_tiny_boxes(tmp_path):
    voc_files.write_set(tmp_path, {"a": xml(("dog", 0, 0, 1, 1), size=(1, 1), filename="a.jpg")}, {"train": "a"})
    cv2.imwrite(str(tmp_path / "JPEGImages" / "a.jpg"), np.zeros((1, 1, 3), np.uint8))
    assert load_voc(str(tmp_path), "train").faults == []


EDGES = {0: ("dog", 0, 5, 30, 30), 1: ("dog", 1, 5, 30, 30), None: DOG, "sub": ("dog", 0.5, 5, 30, 30)}
ORIGINS = [((None, None, None), 1), ((0,), 0), ((0, None), 0), ((0, None, None), 1), ((0, 0, None, None), 0), ((0, 1, None), 1),
           ((0, 0, 1), 0), ((0, 1, 1, 0), 1), ((0, 0, 1, 1, 1), 1), (("sub", "sub", None), 0), ((0,) + (None,) * 20, 1)]


@pytest.mark.parametrize("files, origin", ORIGINS)
def test_the_origin_is_what_the_files_say_together(tmp_path, files, origin):
    voc_files.write_set(tmp_path, {f"{place:02}": xml(EDGES[kind]) for place, kind in enumerate(files)},
                       {"train": [f"{place:02}" for place in range(len(files))]})
    found = load_voc(str(tmp_path), "train")
    assert found.origin.value == origin and found.origin.files == len(files)
    assert found.origin[1:3] == (sum(kind in (0, "sub") for kind in files), files.count(1))
    for kind, record in zip(files, found.records):
        if kind is None:
            assert record.boxes[0].tolist() == [10 - origin, 20 - origin, 50 - origin, 60 - origin]
    voc_files.write_set(tmp_path, {}, {"val": ["00"]})
    report = check_set(str(tmp_path), progress=False)
    assert report.origin["value"] == origin and sum(f"count from {origin}: of {len(files)} files" in note
                                                    for note in report.notes) == 1


def test_a_second_box_or_name_is_not_dropped_unsaid(tmp_path):
    box = "<bndbox><xmin>9</xmin><ymin>9</ymin><xmax>30</xmax><ymax>30</ymax></bndbox>"
    for item, said in ((f"<object><name>dog</name>{box}{box}</object>", "2 <bndbox>"),
                       (f"<object><name>dog</name><name>cat</name>{box}</object>", "2 <name>"),
                       (f"<group><object><name>dog</name>{box}</object></group>", "1 <object> do not stand directly")):
        voc_files.write_set(tmp_path, {"a": xml(DOG, item)}, {"train": "a"})
        with pytest.raises(UserError, match=said):
            load_voc(str(tmp_path), "train")
        found = load_voc(str(tmp_path), "train", on_bad_sample="skip")
        assert len(found.faults) == 1 and len(found.records[0].boxes) == 1
    part = f"<object><name>dog</name>{box}<part><name>head</name>{box}</part></object>"  # as VOC's own have
    voc_files.write_set(tmp_path, {"a": xml(part)}, {"train": "a"})
    assert load_voc(str(tmp_path), "train").faults == []


def test_the_same_box_twice_is_told_once_an_image(tmp_path):
    voc_files.write_set(tmp_path, {"a": xml(DOG, DOG, DOG), "b": xml(DOG, ("cat", *DOG[1:]))}, {"train": "ab"})
    found = load_voc(str(tmp_path), "train")
    assert [len(record.boxes) for record in found.records] == [3, 2] and kinds(found.remarks) == ["duplicate box"]
    assert "2 of 3 boxes" in found.remarks[0].message
    value = content()
    value["annotations"].append(dict(value["annotations"][0], id=4))
    found = coco(tmp_path / "coco", value)
    assert kinds(found.remarks) == ["duplicate box"] and "1 of 3 boxes of image 7 (b.jpg)" in found.remarks[0].message


# names, words and encodings

@pytest.mark.parametrize("encoding", ["gb2312", "GBK", "gb18030", "big5", "shift_jis", "euc-kr", "iso-8859-1", "windows-1251",
                                      "utf-16", "utf-8"])
def test_annotations_in_other_encodings_are_read(tmp_path, encoding):
    word = {"iso-8859-1": "gar\u00e7on", "windows-1251": "\u043a\u043e\u0442", "euc-kr": "\uace0\uc591\uc774"}.get(
        encoding, "\u8c93" if encoding == "big5" else "\u732b")
    voc_files.write_set(tmp_path, {"a": xml(DOG)}, {"train": "a"})
    text = f'<?xml version="1.0" encoding="{encoding}"?>\n' + xml((word, 10, 20, 50, 60))
    (tmp_path / "Annotations" / "a.xml").write_bytes(text.encode(encoding))
    assert load_voc(str(tmp_path), "train").classes == (word,)


HEAD = '<?xml version="1.0" encoding="{}"?><annotation><object><name>'
UNREADABLE = {"encoding klingon: save it as UTF-8": HEAD.format("klingon").encode(),
              "encoding gb2312: save it as UTF-8": HEAD.format("gb2312").encode() + b"\xff\xff",
              "encoding zip: save it": HEAD.format("zip").encode(),
              "not UTF-8 and declares no encoding": xml(("gar\u00e7on", 1, 1, 9, 9)).encode("latin-1"),
              "encoding utf-7: save it": (HEAD.format("utf-7") + "</name></object></annotation>").encode()
              + b"+ADwAIQBEAE8AQwBUAFkAUABF-"}


@pytest.mark.parametrize("said", UNREADABLE)
def test_encodings_that_cannot_be_read_name_the_remedy(tmp_path, said):
    voc_files.write_set(tmp_path, {"a": xml(DOG), "b": xml(DOG)}, {"train": "ab"})
    (tmp_path / "Annotations" / "a.xml").write_bytes(UNREADABLE[said])
    with pytest.raises(UserError, match=said):
        load_voc(str(tmp_path), "train")


def test_no_encoding_hides_an_entity(tmp_path):
    voc_files.write_set(tmp_path, {"a": xml(DOG)}, {"train": "a"})
    hidden = '<!DOCTYPE a [<!ENTITY c "dog">]>' + xml(("&c;", 1, 1, 9, 9))
    for encoding in ("utf-7", "unicode_escape", "gb18030", "big5"):
        text = hidden.encode("utf-7") if encoding == "utf-7" else \
            "".join(f"\\x{ord(char):02x}" for char in hidden).encode() if encoding == "unicode_escape" else \
            hidden.encode(encoding)
        (tmp_path / "Annotations" / "a.xml").write_bytes(f'<?xml version="1.0" encoding="{encoding}"?>'.encode() + text)
        with pytest.raises(UserError, match="a.xml"):
            load_voc(str(tmp_path), "train", classes=("dog",))


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-32"])
def test_json_in_every_utf(tmp_path, encoding):
    path = coco_files.write_set(tmp_path, content(categories=[{"id": 5, "name": "\u732b"}, {"id": 2, "name": "Zebra"}]))
    text = json.dumps(load_json(path), ensure_ascii=False)
    path.write_bytes(text.encode(encoding))
    assert load_coco(str(tmp_path), "train").classes == ("Zebra", "\u732b")
    path.write_bytes(text.replace("\u732b", "\u72d7").encode("gbk"))
    assert "save it as UTF-8" in test_coco.raised(str(tmp_path), "train")


def test_white_space_in_class_names_is_joined(tmp_path):
    value = content(categories=[{"id": 5, "name": " cup\npaper "}, {"id": 2, "name": "tab\tname"}])
    found = coco(tmp_path, value)
    assert found.classes == ("tab name", "cup paper") and len(category_ids(found)) == 2
    assert class_names("tab\tname, cup  paper") == ("tab name", "cup paper")
    assert load_coco(str(tmp_path), "train", classes=class_names("cup\tpaper,tab name")).faults == []
    value["categories"][1]["name"] = "cup paper"
    with pytest.raises(UserError, match="two categories have the name 'cup paper'"):
        coco(tmp_path, value)


ROLES = [("latest_train", "latest_val"), ("oval_train", "oval_test"), ("contest_training", "contest_validation"),
         ("train-2", "valid-2"), ("Train", "Val"), ("instances_train2014", "instances_val2014"), ("mytrain", "minival"),
         ("interval_train", "interval_val"), ("restrain_train", "restrain_val")]


@pytest.mark.parametrize("training, validation", ROLES)
def test_roles_are_whole_words_of_a_jsons_name(tmp_path, training, validation):
    for name in (training, validation):
        coco_files.write_json(tmp_path / "annotations" / f"{name}.json")
    coco_files.write_images(tmp_path / "images")
    assert is_coco(str(tmp_path))
    for role, name in (("train", training), ("val", validation)):
        assert os.path.basename(load_coco(str(tmp_path), role).annotation_file) == f"{name}.json"


@pytest.mark.parametrize("folder", ["annotations", "."])
def test_a_split_that_is_named_is_opened_whatever_its_name(tmp_path, folder):
    coco_files.write_json(tmp_path / folder / "instances_default.json")
    coco_files.write_images(tmp_path / "images")
    for split in ("default", "instances_default", "instances_default.json"):
        assert len(open_set(str(tmp_path), None, "train", split=split)) == 3
    assert check_set(str(tmp_path), split="default", progress=False).images == {"default": 3}
    with pytest.raises(UserError, match="instances_default.json.*--split|neither of VOC"):
        open_set(str(tmp_path), None, "train")


def test_trainval_is_no_training_part_of_its_own(tmp_path):
    coco_files.write_json(tmp_path / "annotations" / "trainval.json")
    with pytest.raises(UserError, match="annotations for train"):
        load_coco(str(tmp_path), "train")


def test_flags_of_splits_follow_a_tab_or_a_space(tmp_path):
    lines = ["a\t1", "b\t-1", "c \t 0", "d.jpg\t1", "e  1", "f.jpg -1", "g"]
    voc_files.write_set(tmp_path, LISTED, {"dog_train": lines})
    assert ids(load_voc(str(tmp_path), "train", split="dog_train")) == ["a", "c", "d", "e", "g"]


# damage

@pytest.mark.parametrize("compression", ("tiff_lzw", "tiff_adobe_deflate"))
def test_a_tiff_whose_strips_cannot_be_unpacked_is_named(tmp_path, compression):
    """OpenCV gives other pixels in their place, and no error."""
    voc_files.write_set(tmp_path, {name: LISTED[name] for name in "ab"}, {"train": "a", "val": "b"})
    noise = np.random.default_rng(0).integers(0, 256, (80, 100, 3)).astype(np.uint8)
    paths = {name: tmp_path / "JPEGImages" / f"{name}.tif" for name in "ab"}
    for path in paths.values():
        path.with_suffix(".jpg").unlink()
        Image.fromarray(noise).save(path, compression=compression)
    assert not check_set(str(tmp_path), progress=False).faults
    data = paths["a"].read_bytes()
    paths["a"].write_bytes(data[:len(data) // 2] + bytes(512) + data[len(data) // 2 + 512:])
    fault, = check_set(str(tmp_path), progress=False).faults
    assert (fault.kind, fault.path) == ("damaged image", str(paths["a"]))


def test_a_tiff_that_pillow_cannot_read_and_opencv_can_is_not_damaged():
    whole = cv2.imencode(".tif", np.random.default_rng(0).integers(0, 256, (40, 200, 3)).astype(np.uint8))[1].tobytes()
    width = struct.pack("<HHI", 256, 3, 1)  # its tag, of two bytes
    data = whole.replace(width, struct.pack("<HHI", 256, 1, 1))
    assert data != whole and decode_image(data).shape == (40, 200, 3)
    with pytest.raises(ValueError, match="dimensions"):
        Image.open(io.BytesIO(data)).load()
    assert not has_broken_strips(data)


def test_a_jpeg_that_lost_its_rows_but_not_its_end_is_named(tmp_path, capfd):
    names = {name: LISTED[name] for name in "abcd"}
    voc_files.write_set(tmp_path, names, {"train": "abc", "val": "d"})
    for name in names:
        noise = np.random.default_rng(ord(name)).integers(0, 256, (80, 100, 3)).astype(np.uint8)
        cv2.imwrite(str(tmp_path / "JPEGImages" / f"{name}.jpg"), noise)
    path = tmp_path / "JPEGImages" / "b.jpg"
    data = path.read_bytes()
    path.write_bytes(data[:len(data) // 2] + b"\xff\xd9")
    late = tmp_path / "JPEGImages" / "c.jpg"
    late.write_bytes(late.read_bytes()[:-2] + bytes(5) + b"\xff\xd9")  # padding harms none
    report = check_set(str(tmp_path), progress=False)
    assert [(fault.kind, fault.path) for fault in report.faults] == [("damaged image", str(path))]
    assert "premature end" in report.faults[0].message and "JPEG" not in capfd.readouterr().err
    os.write(2, b"standard error is back\n")
    assert "is back" in capfd.readouterr().err

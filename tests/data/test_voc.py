"""VOC's layout, the standard one and anybody's own, against GluonCV and against faults of many kinds."""
import os

import numpy as np
import pytest

from gluon_bof.boxes import DetectionSet
from gluon_bof.data.voc import VOC_CLASSES, is_voc, load_voc
from gluon_bof.errors import UserError
from tests.data.voc_files import DOG, FIVE, HEIGHT, WIDTH, ids, write_set, xml
from tests.tiny_sets import BCCD


def one(tmp_path, *objects, **options):
    write_set(tmp_path, {"a": xml(*objects)}, {"train": ["a"]})
    return load_voc(str(tmp_path), "train", **options)


def test_boxes_equal_gluoncv(tmp_path):
    import gluon_bof.backend  # noqa: F401  settles NumPy's old names before GluonCV asks for them

    from gluoncv.data import VOCDetection
    rng = np.random.default_rng(3)
    for year in (2007, 2012):
        annotations = {}
        for number in range(6):
            corners = [(rng.integers(1, 40), rng.integers(1, 30), rng.integers(50, WIDTH), rng.integers(40, HEIGHT))
                       for _ in range(rng.integers(1, 5))]
            annotations[f"{year}_{number}"] = xml(*[(VOC_CLASSES[rng.integers(20)],) + box + (int(rng.integers(2)),)
                                                    for box in corners])
        write_set(tmp_path / f"VOC{year}", annotations, {"trainval": list(annotations)})
    ours = load_voc(str(tmp_path), "train", classes=VOC_CLASSES)
    theirs = VOCDetection(str(tmp_path), splits=((2007, "trainval"), (2012, "trainval")))
    assert VOC_CLASSES == VOCDetection.CLASSES and len(ours) == len(theirs) == 12
    for record, (image, label) in zip(ours.records, theirs):
        assert image.shape == (record.height, record.width, 3)
        np.testing.assert_array_equal(record.boxes, label[:, :4])
        np.testing.assert_array_equal(record.classes, label[:, 4])
        np.testing.assert_array_equal(record.difficult, label[:, 5])


def test_types_and_shapes(tmp_path):
    found = one(tmp_path, DOG, ("cat", 1, 1, WIDTH, HEIGHT, 1))
    record = found.records[0]
    assert isinstance(found, DetectionSet) and found.classes == ("cat", "dog") and found.faults == []
    assert record.boxes.dtype == np.float32 and record.classes.dtype == np.int64
    assert record.difficult.tolist() == [False, True] and record.crowd.tolist() == [False, False]
    assert record.boxes.tolist() == [[9, 19, 49, 59], [0, 0, WIDTH - 1, HEIGHT - 1]]
    assert os.path.isfile(record.path) and os.path.isfile(record.source)


def test_sets_that_count_from_zero(tmp_path):
    assert one(tmp_path, DOG, ("cat", 0, 5, 30, 30)).records[0].boxes.tolist() == [[10, 20, 50, 60], [0, 5, 30, 30]]
    assert load_voc(str(tmp_path), "train", origin=1).records[0].boxes.tolist() == [[9, 19, 49, 59], [0, 4, 29, 29]]


def test_origin_is_one_for_the_whole_root(tmp_path):
    write_set(tmp_path, {"a": xml(DOG), "b": xml(("dog", 0, 3, 9, 9))}, {"train": ["a"], "val": ["b"]})
    assert load_voc(str(tmp_path), "train").records[0].boxes.tolist() == [[10, 20, 50, 60]]


def test_a_stray_zero_does_not_move_voc_itself(tmp_path):
    every = [(name, 5, 5, 30, 30) for name in VOC_CLASSES]
    write_set(tmp_path / "VOC2007", {"a": xml(*every), "b": xml(("dog", 0, 3, 9, 9))}, {"trainval": ["a", "b"]})
    found = load_voc(str(tmp_path), "train")
    assert found.classes == VOC_CLASSES and found.records[0].boxes[0].tolist() == [4, 4, 29, 29]
    assert found.records[1].boxes.tolist() == [[0, 2, 8, 8]]


def test_classes_come_from_all_annotations_with_their_case(tmp_path):
    write_set(tmp_path / "VOC2007", {"a": xml(("Zebra ", 1, 1, 9, 9))}, {"trainval": ["a"], "test": ["a"]})
    write_set(tmp_path / "VOC2012", {"b": xml(("ant", 1, 1, 9, 9)), "c": xml(("RBC", 1, 1, 9, 9))}, {"trainval": ["b"]})
    assert load_voc(str(tmp_path), "val").classes == ("RBC", "Zebra", "ant")
    given = load_voc(str(tmp_path), "train", classes=("ant", "RBC", "Zebra", "more"))
    assert [record.classes.tolist() for record in given.records] == [[2], [0]]


def test_an_image_without_objects_is_a_negative(tmp_path):
    write_set(tmp_path, {"a": xml(DOG), "b": xml()}, {"train": ["a", "b"]})
    record = load_voc(str(tmp_path), "train").records[1]
    assert record.boxes.shape == (0, 4) and record.truth().shape == (0, 6)


def test_a_changed_annotation_is_read_again(tmp_path):
    assert one(tmp_path, DOG).classes == ("dog",)
    (tmp_path / "Annotations" / "a.xml").write_text(xml(("hamster", 1, 1, 9, 9)))
    assert load_voc(str(tmp_path), "train").classes == ("hamster",)


def test_one_folder_of_any_name_and_images_of_any_ending(tmp_path):
    annotations = {"a b": xml(DOG), "c": xml(DOG)}
    folder = write_set(tmp_path / "mine", annotations, {"train": ["a b", "c.PNG"]}, ".PNG", "images")
    assert is_voc(str(folder)) and not is_voc(str(tmp_path / "mine" / "images"))
    assert ids(load_voc(str(folder), "train")) == ["a b", "c"]


def test_where_no_annotation_can_be_read_the_first_reason_is_told(tmp_path):
    write_set(tmp_path, FIVE, {"train": "ab"})
    for path in (tmp_path / "Annotations").iterdir():
        path.write_bytes(xml(("gar\xe7on", 10, 20, 50, 60)).encode("latin-1"))
    with pytest.raises(UserError, match="5 of them cannot be read, the first: .*a.xml: .*declares no encoding: save it as UTF-8"):
        load_voc(str(tmp_path), "train")


def test_where_no_object_can_be_read_the_set_was_told_to_be_without_annotations(tmp_path):
    text = xml(DOG).replace("<object>", "<Object>").replace("</object>", "</Object>")
    write_set(tmp_path, {"a": xml(), "b": text, "c": text}, {"train": "abc"})
    with pytest.raises(UserError, match="2 of them cannot be read, the first: .*b.xml: 1 boxes stand in no <object>, but in 'O"):
        load_voc(str(tmp_path), "train")


def test_the_filename_in_the_xml_finds_a_renamed_image(tmp_path):
    write_set(tmp_path, {"a": xml(DOG, filename="C:\\photos\\renamed.jpg")}, {"train": ["a"]})
    os.rename(tmp_path / "JPEGImages" / "a.jpg", tmp_path / "JPEGImages" / "renamed.jpg")
    assert load_voc(str(tmp_path), "train").records[0].path.endswith("renamed.jpg")


def test_another_size_than_the_stated_one_is_a_fault_and_without_one_the_real_size_counts(tmp_path):
    write_set(tmp_path, {"a": xml(DOG, size=(7, 9)), "b": xml(DOG, size=(0, 0))}, {"train": ["a", "b"]})
    with pytest.raises(UserError, match="a.xml: wrong size: stated 7 x 9, is 100 x 80"):
        load_voc(str(tmp_path), "train")
    found = load_voc(str(tmp_path), "train", on_bad_sample="skip")
    record = found.records[0]
    assert ids(found) == ["b"] and [fault.kind for fault in found.faults] == ["wrong size"]
    assert (record.width, record.height) == (WIDTH, HEIGHT)


def test_difficult_flags_of_all_kinds(tmp_path):
    box = "<bndbox><xmin>1</xmin><ymin>1</ymin><xmax>9</xmax><ymax>9</ymax></bndbox>"
    flags = ["", "<difficult/>", "<difficult>Unspecified</difficult>", "<difficult> 1 </difficult>",
             "<difficult>True\n</difficult>", "<difficult>0</difficult>", "<difficult> FALSE</difficult>"]
    record = one(tmp_path, *[f"<object><name>dog</name>{flag}{box}</object>" for flag in flags]).records[0]
    assert record.difficult.tolist() == [False, False, False, True, True, False, False]


def test_a_rectangle_that_cvat_rotated_was_read_as_before_it_was_turned(tmp_path):
    text = ("<object><name>dog</name><bndbox><xmin>23</xmin><ymin>23</ymin><xmax>43</xmax><ymax>25</ymax></bndbox><attributes>"
            "<attribute><name>colour</name><value>red</value></attribute>"
            "<attribute><name>rotation</name><value>{}</value></attribute></attributes></object>")
    boxes = one(tmp_path, *map(text.format, ("90.0", "0.0", "", "-270"))).records[0].boxes
    assert boxes.tolist() == [[31, 13, 33, 33], [22, 22, 42, 24], [22, 22, 42, 24], [31, 13, 33, 33]]


def test_the_edge_gives_one_pixel(tmp_path):
    boxes = one(tmp_path, ("dog", 0, 0, WIDTH + 1, HEIGHT + 1)).records[0].boxes
    assert boxes.tolist() == [[0, 0, WIDTH, HEIGHT]]


def test_skipping_names_the_box_and_keeps_the_rest(tmp_path):
    found = one(tmp_path, DOG, ("dog", 9, 9, 9, 40), ("dog", 50, 50, 140, 70), ("dog", 95, 50, 190, 70),
                ("cat", 3, 3, 9, 9), "<object><bndbox/></object>", on_bad_sample="skip", classes=("dog",))
    assert found.records[0].boxes.tolist() == [[9, 19, 49, 59], [49, 49, 100, 69]]
    assert [fault.kind for fault in found.faults] == ["no area", "outside", "outside", "unknown class",
                                                      "malformed annotation"]
    assert all(fault.path.endswith("a.xml") for fault in found.faults)


def test_skipping_drops_bad_images(tmp_path):
    write_set(tmp_path, FIVE, {"train": ["a", "b", "c", "d", "gone"]})
    (tmp_path / "JPEGImages" / "b.jpg").unlink()
    (tmp_path / "JPEGImages" / "c.jpg").write_bytes(b"no image")
    (tmp_path / "Annotations" / "d.xml").write_text("<annotation>")
    found = load_voc(str(tmp_path), "train", on_bad_sample="skip")
    assert ids(found) == ["a"]
    assert [fault.kind for fault in found.faults] == ["missing image", "broken image", "malformed annotation",
                                                      "missing annotation"]


BOX = "<bndbox><xmin>{}</xmin><ymin>2</ymin><xmax>9</xmax><ymax>9</ymax></bndbox>"
BOMB = ('<?xml version="1.0"?><!DOCTYPE a [<!ENTITY b "bb"><!ENTITY c "&b;&b;&b;">]>'
        '<annotation><object><name>&c;</name></object></annotation>')
MALFORMED = {
    "empty": b"",
    "blank": b"  \n",
    "text": b"dog 1 2 3 4",
    "binary": bytes(range(256)),
    "unclosed": xml(DOG)[:-5].encode(),
    "mismatched": b"<annotation><object></annotation></object>",
    "two roots": xml(DOG).encode() * 2,
    "other root": b"<html><body>404</body></html>",
    "bomb": BOMB.encode(),
    "bomb in UTF-16": BOMB.encode("utf-16"),
    "unknown encoding": b'<?xml version="1.0" encoding="klingon"?><annotation/>',
    "wrong encoding": b'<?xml version="1.0" encoding="utf-8"?><annotation>\xff\xfe</annotation>',
    "unknown entity": b"<annotation>&nbsp;</annotation>",
    "an object in capitals": xml(f"<Object><name>dog</name>{BOX.format(1)}</Object>").encode(),
    "an object of another name": xml(f"<items><item><name>dog</name>{BOX.format(1)}</item></items>").encode(),
    "an object of a namespace": xml(f'<v:object xmlns:v="urn:v"><name>dog</name>{BOX.format(1)}</v:object>').encode(),
    "a turned box of no object": xml("<Object><robndbox><cx>9</cx><cy>9</cy></robndbox></Object>").encode(),
    "no flag": xml(("dog", 1, 2, 9, 9, "maybe")).encode(),
    "a flag of a letter": xml(("dog", 1, 2, 9, 9, "T")).encode(),
    "no name": xml(f"<object>{BOX.format(1)}</object>").encode(),
    "empty name": xml(f"<object><name> </name>{BOX.format(1)}</object>").encode(),
    "no box": xml("<object><name>dog</name></object>").encode(),
    "empty box": xml("<object><name>dog</name><bndbox/></object>").encode(),
    "word": xml(f"<object><name>dog</name>{BOX.format('left')}</object>").encode(),
    "nothing": xml(f"<object><name>dog</name>{BOX.format('')}</object>").encode(),
    "decimal comma": xml(f"<object><name>dog</name>{BOX.format('1,5')}</object>").encode(),
    "two edges": xml(f"<object><name>dog</name>{BOX.format('1</xmin><xmin>5')}</object>").encode(),
    "no edge": xml(f"<object><name>dog</name>{BOX.format(1).replace('xmax', 'xMax')}</object>").encode(),
    "nothing to see": xml(("dog", 5, 5, 5.0000001, 9)).encode(),
    "NaN": xml(f"<object><name>dog</name>{BOX.format('nan')}</object>").encode(),
    "infinite": xml(f"<object><name>dog</name>{BOX.format('-inf')}</object>").encode(),
    "overflow": xml(f"<object><name>dog</name>{BOX.format('1e999')}</object>").encode(),
    "huge": xml(f"<object><name>dog</name>{BOX.format('-1e300')}</object>").encode(),
    "no width": xml(("dog", 5, 5, 5, 9)).encode(),
    "no height": xml(("dog", 5, 9, 8, 9)).encode(),
    "inverted": xml(("dog", 50, 5, 8, 9)).encode(),
    "right of it": xml(("dog", 50, 5, WIDTH + 9, 9)).encode(),
    "below it": xml(("dog", 50, 5, 60, HEIGHT + 9)).encode(),
    "negative": xml(("dog", -7, 5, 60, 9)).encode(),
    "elsewhere": xml(("dog", 1000, 1000, 1100, 1100)).encode(),
    "other class": xml(("cat", 5, 5, 9, 9)).encode(),
}


@pytest.mark.parametrize("kind", MALFORMED)
def test_malformed_annotations_are_named_in_one_line(tmp_path, kind):
    write_set(tmp_path, FIVE, {"train": "abcde"})
    (tmp_path / "Annotations" / "c.xml").write_bytes(MALFORMED[kind])
    with pytest.raises(UserError) as caught:
        load_voc(str(tmp_path), "train", classes=("dog",))
    assert str(tmp_path / "Annotations" / "c.xml") in str(caught.value)
    assert "--on-bad-sample skip" in str(caught.value) and len(str(caught.value).splitlines()) == 1
    skipped = load_voc(str(tmp_path), "train", classes=("dog",), on_bad_sample="skip")
    assert len(skipped.faults) == 1 and len(skipped) in (4, 5)
    assert all(np.isfinite(record.boxes).all() for record in skipped.records)


def broken_roots(tmp_path):
    """{what is wrong: (root, part of the message, options)}"""
    plain = write_set(tmp_path / "plain", FIVE, {"train": "abc", "trainval": "abcde"})
    empty_split = write_set(tmp_path / "empty", FIVE, {"train": [], "val": "a"})
    binary = write_set(tmp_path / "binary", FIVE, {"train": "a"})
    (binary / "ImageSets" / "Main" / "train.txt").write_bytes(b"\xff\xfe\x00a")
    nameless = write_set(tmp_path / "nameless", {"a": xml()}, {"train": "a"})
    no_images = write_set(tmp_path / "no_images", FIVE, {"train": "ab"})
    for path in (no_images / "JPEGImages").iterdir():
        path.unlink()
    no_folder = write_set(tmp_path / "no_folder", FIVE, {"train": "ab"})
    (no_folder / "JPEGImages").rename(no_folder / "photos")
    (tmp_path / "hollow" / "Annotations").mkdir(parents=True)
    (tmp_path / "hollow" / "JPEGImages").mkdir()
    (tmp_path / "nothing").mkdir()
    (tmp_path / "file").write_text("")
    return {"missing root": (tmp_path / "gone", "does not exist", {}), "a file": (tmp_path / "file", "file", {}),
            "nothing in it": (tmp_path / "nothing", "layout", {}), "no XML": (tmp_path / "hollow", "no annotation", {}),
            "no split to validate on": (plain, "validate on", {"role": "val"}),
            "unknown split": (plain, "'holdout'", {"split": "holdout"}),
            "only commas": (plain, "split", {"split": ","}),
            "empty split": (empty_split, "train.txt", {}), "binary split": (binary, "train.txt", {}),
            "no class": (nameless, "--classes", {}), "class twice": (plain, "twice", {"classes": ("dog", "dog")}),
            "no classes": (plain, "empty", {"classes": ()}), "no image folder": (no_folder, "JPEGImages", {}),
            "nothing left": (no_images, "none of its 2 images can be used", {"on_bad_sample": "skip"})}


@pytest.mark.parametrize("case", ["missing root", "a file", "nothing in it", "no XML", "no split to validate on",
                                  "unknown split", "only commas", "empty split", "binary split", "no class",
                                  "class twice", "no classes", "no image folder", "nothing left"])
def test_roots_that_cannot_be_read(tmp_path, case):
    root, part, options = broken_roots(tmp_path)[case]
    with pytest.raises(UserError) as caught:
        load_voc(str(root), **{"role": "train", **options})
    assert part in str(caught.value) and len(str(caught.value).splitlines()) == 1 and caught.value.remedy


@pytest.mark.skipif(not BCCD.is_dir(), reason="the BCCD set does not lie beside the checkout")
def test_bccd():
    parts = {split: load_voc(str(BCCD), "train", on_bad_sample="skip", split=split)
             for split in ("train", "val", "trainval", "test")}
    assert {split: len(part) for split, part in parts.items()} == {"train": 205, "val": 87, "trainval": 292, "test": 72}
    assert len(load_voc(str(BCCD), "train", on_bad_sample="skip")) == 292
    whole = parts["trainval"].records + parts["test"].records
    assert sum(len(record.boxes) for record in whole) == 4888 - 2
    assert [fault.kind for fault in parts["trainval"].faults] == ["no area", "no area"]
    assert parts["test"].classes == ("Platelets", "RBC", "WBC") and parts["test"].faults == []
    with pytest.raises(UserError, match="BloodImage_00338.xml"):
        load_voc(str(BCCD), "train")

"""COCO's layout, the standard one and anybody's own, against pycocotools and GluonCV, and against malformed JSON."""
import dataclasses
import json
import os
import time

import cv2
import numpy as np
import pytest
from pycocotools.coco import COCO

from gluon_bof.boxes import DetectionSet
from gluon_bof.data.coco import category_ids, is_coco, load_coco
from gluon_bof.errors import UserError
from tests.data.coco_files import CONTENT, HEIGHT, WIDTH, changed, content, without, write_images, write_json, write_set


def test_a_set_that_is_open_keeps_its_ids_when_its_file_is_written_anew(tmp_path):
    path = write_set(tmp_path)
    found = load_coco(str(tmp_path), "train")
    write_json(path, {**content(), "annotations": [], "categories": [{"id": 18, "name": "dog"}, {"id": 17, "name": "Zebra"}]})
    assert category_ids(load_coco(str(tmp_path), "train")) == [17, 18] and category_ids(found) == [2, 5]
    assert category_ids(DetectionSet("mine", found.classes, found.records, annotation_file=str(path))) == [17, 18]


def test_boxes_equal_pycocotools(tmp_path):
    path = write_set(tmp_path)
    found = load_coco(str(tmp_path), "train")
    oracle = COCO(str(path))
    assert [record.image_id for record in found.records] == sorted(oracle.getImgIds())
    in_order = sorted(oracle.getCatIds())  # pycocotools keeps the file's order, which is that of the ids in COCO's own
    assert list(found.classes) == [entry["name"] for entry in oracle.loadCats(in_order)] == ["Zebra", "dog"]
    assert category_ids(found) == in_order == [2, 5] and found.annotation_file == str(path)
    for record in found.records:
        entries = oracle.loadAnns(oracle.getAnnIds(imgIds=[record.image_id]))
        boxes = record.boxes.copy()
        boxes[:, 2:] -= boxes[:, :2]
        np.testing.assert_allclose(boxes, np.reshape([entry["bbox"] for entry in entries], (-1, 4)))
        assert [category_ids(found)[index] for index in record.classes] == [entry["category_id"] for entry in entries]
        assert record.crowd.tolist() == [bool(entry["iscrowd"]) for entry in entries]


def test_boxes_to_train_on_are_gluoncvs_but_for_the_last_pixel_and_those_whose_area_is_0(tmp_path):
    import gluon_bof.backend  # noqa: F401  settles NumPy's old names before GluonCV asks for them

    from gluoncv.data import COCODetection
    rng = np.random.default_rng(5)
    names = COCODetection.CLASSES
    boxes = rng.integers((0, 0, 2, 2), (40, 30, 60, 50), (40, 4)).tolist()
    images = [{"id": number, "file_name": f"{number}.jpg", "width": WIDTH, "height": HEIGHT,
               "coco_url": f"http://there/train2017/{number}.jpg"} for number in range(8)]
    write_set(tmp_path, {"images": images, "categories": [{"id": 2 * number + 1, "name": name}
                                                          for number, name in enumerate(names)],
                         "annotations": [{"id": number + 1, "image_id": number % 8, "bbox": box, "iscrowd": 0,
                                          "area": box[2] * box[3] * (number != 11), "ignore": int(number == 12),
                                          "category_id": 2 * (number % 80) + 1} for number, box in enumerate(boxes)]})
    write_images(tmp_path / "train2017", [f"{number}.jpg" for number in range(8)])
    ours = load_coco(str(tmp_path), "train")
    theirs = COCODetection(str(tmp_path), splits=("instances_train2017",))
    assert len(ours) == len(theirs) == 8 and sum((~record.crowd).sum() for record in ours.records) == 39
    with_area_0 = ours.records[11 % 8]
    assert with_area_0.classes[1] == 11 and with_area_0.boxes[1, :2].tolist() == boxes[11][:2]
    ours.records[11 % 8] = dataclasses.replace(with_area_0, boxes=np.delete(with_area_0.boxes, 1, 0),
                                               classes=np.delete(with_area_0.classes, 1),
                                               crowd=np.delete(with_area_0.crowd, 1))  # GluonCV drops it
    for record, (_, label) in zip(ours.records, theirs):
        np.testing.assert_array_equal(record.truth()[:, 4], label[:, 4])
        np.testing.assert_array_equal(record.truth()[:, :4] - [0, 0, 1, 1], label[:, :4])  # theirs is the last pixel inside


def test_types_negatives_and_crowds(tmp_path):
    write_set(tmp_path)
    found = load_coco(str(tmp_path), "train")
    crowd, two, empty = found.records
    assert two.boxes.dtype == np.float32 and two.classes.dtype == np.int64 and not two.difficult.any()
    assert two.boxes[0].tolist() == [10.5, 20, 40.5, 60.25]
    assert crowd.truth().shape == (0, 6) and empty.boxes.shape == (0, 4)
    assert [record.image_id for record in load_coco(str(tmp_path), "train", skip_empty=True).records] == [7]


@pytest.mark.parametrize("box", ([90, 9, 40, 9], [300, 300, 40, 9], [9, 9, 0, 4], [0.1, 0.1, 0.4, 0.4], [1, 2, 30, 40]))
def test_where_a_box_to_be_ignored_lies_wrong_it_stops_nobody(tmp_path, box):
    write_set(tmp_path, changed("annotations", 0, bbox=box, ignore=1))
    for masks in (False, True):
        value = json.loads((tmp_path / "annotations" / "instances_train2017.json").read_text())
        value["annotations"] = [dict(entry, **({} if entry.get("ignore") else {"segmentation": [[1, 1, 9, 1, 9, 9]]}))
                                for entry in value["annotations"]]
        write_json(tmp_path / "annotations" / "instances_train2017.json", value)
        found = load_coco(str(tmp_path), "train", masks=masks)
        assert len(found) == 3 and not found.faults and found.records[1].truth()[:, 4].tolist() == [0]


def test_a_box_over_the_edge_is_cut(tmp_path):
    write_set(tmp_path, content(annotations=[{"id": 1, "image_id": 3, "category_id": 5, "bbox": [-0.5, 70, 20, 10.9]}]))
    assert load_coco(str(tmp_path), "train").records[0].boxes.tolist() == [[0, 70, 19.5, 80]]


@pytest.mark.parametrize("attributes, outline, expected", [
    ({"occluded": False, "rotation": 90.0}, [], [31, 13, 33, 33]), ({"rotation": "-90"}, [[]], [31, 13, 33, 33]),
    ({"rotation": 45}, None, [32 - 11 / 2 ** 0.5, 23 - 11 / 2 ** 0.5, 32 + 11 / 2 ** 0.5, 23 + 11 / 2 ** 0.5]),
    ({"rotation": 180.0}, [], [22, 22, 42, 24]), ({"rotation": "left"}, [], [22, 22, 42, 24]), ("rotation", [], [22, 22, 42, 24]),
    ({"rotation": 90.0}, [[22, 22, 42, 22, 42, 24]], [22, 22, 42, 24])])  # of an outline, which bbox is around
def test_a_rectangle_that_cvat_rotated_was_read_as_before_it_was_turned(tmp_path, attributes, outline, expected):
    entry = {"id": 1, "image_id": 3, "category_id": 5, "bbox": [22, 22, 20, 2], "attributes": attributes, "segmentation": outline}
    write_set(tmp_path, content(annotations=[entry]))
    np.testing.assert_allclose(load_coco(str(tmp_path), "train").records[0].boxes, [expected], rtol=1e-6)


def test_a_rotated_rectangle_may_reach_over_the_edge_and_has_an_area_as_other_boxes(tmp_path):
    def faults(**changes):
        write_set(tmp_path, changed("annotations", 0, **{"attributes": {"rotation": 90}, **changes}))
        return [fault.kind for fault in load_coco(str(tmp_path), "train", on_bad_sample="skip").faults]
    assert faults(bbox=[90, 10, 30, 20], attributes={"rotation": 180}) == []
    assert faults(bbox=[10, 0, 60, 4]) == []  # as it is drawn, with its corners outside
    assert load_coco(str(tmp_path), "train").records[1].boxes[0].tolist() == [38, 0, 42, 32]
    assert faults(bbox=[-80, 10, 60, 4]) == ["outside"] and faults(bbox=[10, 40, 60, 0]) == ["no area"]
    assert faults(bbox=[0.1, 0.1, 0.8, 0.1]) == ["normalised"]


def test_classes_may_be_reordered_and_be_fewer(tmp_path):
    write_set(tmp_path)
    found = load_coco(str(tmp_path), "train", classes=("dog", "Zebra"))
    assert category_ids(found) == [5, 2] and found.records[1].classes.tolist() == [0, 1]
    with pytest.raises(UserError, match="train2017.json: .*'Zebra' is not among the 1 classes given; name it in --classes"):
        load_coco(str(tmp_path), "train", classes=("dog",))
    fewer = load_coco(str(tmp_path), "train", classes=("dog",), on_bad_sample="skip")
    assert [fault.kind for fault in fewer.faults] == ["unknown class"] * 2 and category_ids(fewer) == [5]
    with pytest.raises(UserError, match="'cat' is not among"):
        load_coco(str(tmp_path), "train", classes=("dog", "cat"))


def test_a_refusal_that_cuts_names_short_says_how_many_more_there_are(tmp_path):
    write_set(tmp_path, content(categories=[{"id": number, "name": f"class {number}"} for number in range(10)]))
    with pytest.raises(UserError, match="class 7 and 2 more"):
        load_coco(str(tmp_path), "train", classes=("cat",))
    for number in range(11):
        write_json(tmp_path / "annotations" / f"more-{number}.json")
    with pytest.raises(UserError, match="no annotations for val .found: .* and 4 more"):
        load_coco(str(tmp_path), "val")


LAYOUTS = {  # where the JSON lies: where the images lie
    "annotations/instances_{}2017.json": "{}2017",
    "annotations/mine_{}.json": "images",
    "annotations/{}.json": "images/{}",
    "{}.json": ".",
    "{}_boxes.json": "{}",
    "{}/_annotations.coco.json": "{}",
    "{}/labels.json": "{}/data",  # FiftyOne's
}


@pytest.mark.parametrize("place", LAYOUTS)
@pytest.mark.parametrize("validation", ["val", "valid"])
def test_layouts_of_ones_own(tmp_path, place, validation):
    if "2017" in place and validation == "valid":
        pytest.skip("COCO's own layout has no valid")
    for part in ("train", validation):
        write_json(tmp_path / place.format(part))
        write_images(tmp_path / LAYOUTS[place].format(part))
    assert is_coco(str(tmp_path))
    for role, part in (("train", "train"), ("val", validation)):
        found = load_coco(str(tmp_path), role)
        assert found.annotation_file == str(tmp_path / place.format(part)) and len(found) == 3


def test_capitals_of_cvats_subsets_are_read_with_and_without_the_splits_name(tmp_path):
    """Their images were looked for in images/train, and no split was called Train."""
    for part in ("Train", "Validation"):
        write_json(tmp_path / "annotations" / f"instances_{part}.json")
        write_images(tmp_path / "images" / part)
    for split, part in ((None, "Train"), ("Train", "Train"), ("train", "Train"), ("Validation", "Validation")):
        paths = [record.path for record in load_coco(str(tmp_path), "train", split=split).records]
        assert len(paths) == 3 and {os.path.dirname(path) for path in paths} == {str(tmp_path / "images" / part)}


def test_test_validates_only_where_nothing_is_called_val(tmp_path):
    for part in ("train", "test"):
        write_json(tmp_path / "annotations" / f"{part}.json")
    write_images(tmp_path / "images")
    assert load_coco(str(tmp_path), "val").annotation_file.endswith("test.json")
    write_json(tmp_path / "annotations" / "val.json")
    assert load_coco(str(tmp_path), "val").annotation_file.endswith("val.json")
    assert load_coco(str(tmp_path), "val", split="test").annotation_file.endswith("test.json")


def test_one_json_and_folders_in_file_names(tmp_path):
    value = content()
    value["images"] = [dict(entry, file_name="deep\\" + entry["file_name"]) for entry in value["images"]]
    path = write_json(tmp_path / "annotations" / "all.json", value)
    write_images(tmp_path / "deep")
    assert len(load_coco(str(path), "train")) == 3


def test_one_json_of_fiftyones_has_its_images_in_data(tmp_path):
    path = write_json(tmp_path / "labels.json")
    write_images(tmp_path / "data")
    assert len(load_coco(str(path), "train")) == 3


@pytest.mark.parametrize("name", ("https://images.org/c.jpg", "images/c%20d.jpg"))
def test_an_address_in_the_place_of_a_path_is_to_be_corrected(tmp_path, name):
    write_set(tmp_path, changed("images", 2, file_name=name))
    assert "put it there, correct its file_name" in raised(str(tmp_path), "train")


def test_without_sizes_the_header_tells(tmp_path):
    value = content()
    for entry in value["images"]:
        del entry["width"]
    write_set(tmp_path, value)
    assert {(record.width, record.height) for record in load_coco(str(tmp_path), "train").records} == {(WIDTH, HEIGHT)}


NAN_BOX = json.dumps(changed("annotations", 0, bbox=[1, 2, 3, "here"])).replace('"here"', "NaN")
WHOLE_FILE = {  # nothing can be skipped here
    "empty": "", "text": "no JSON", "cut short": json.dumps(content())[:-40], "single quotes": "{'images': []}",
    "comma": '{"images": [],}', "list": "[]", "number": "3", "null": "null", "string": '"images"',
    "binary": b"\xff\xfe\x00\x01", "deep": "[" * 100000, "long number": "1" * 5000 + "x",
    "no images": without("images"), "no annotations": without("annotations"), "no categories": without("categories"),
    "images are an object": content(images={}), "annotations are null": content(annotations=None),
    "categories are text": content(categories="dog"), "no image": content(images=[]),
    "no category": content(categories=[]),
    "annotations twice": json.dumps(content())[:-1] + ', "annotations": []}',
    "images twice": '{"images" : [{}], ' + json.dumps(content())[1:],
    "category without id": changed("categories", 0, id=None),
    "category without name": changed("categories", 0, name=None),
    "category is text": content(categories=["dog"]), "category name is a number": changed("categories", 0, name=4),
    "two categories of one id": changed("categories", 0, id=2),
    "two of one name": changed("categories", 0, name="Zebra"),
}
ENTRIES = {  # these may be skipped
    "image is text": content(images=CONTENT["images"] + ["a.jpg"]), "image without id": changed("images", 2, id=None),
    "image without file": changed("images", 2, file_name=None), "file is a number": changed("images", 2, file_name=3),
    "image id is a list": changed("images", 2, id=[1]),
    "missing image": changed("images", 2, file_name="gone.jpg"),
    "no such folder": changed("images", 2, file_name="x/c.jpg"),
    "NUL in the name": changed("images", 2, file_name="c\0.jpg"),
    "half a character in it": changed("images", 2, file_name="c\ud83d.jpg"),
    "annotation is null": content(annotations=[None]), "no id": changed("annotations", 0, id=None),
    "no image id": changed("annotations", 0, image_id=None),
    "no category id": changed("annotations", 0, category_id=None),
    "unknown image": changed("annotations", 0, image_id=77),
    "unknown category": changed("annotations", 0, category_id=77),
    "id is true": changed("annotations", 0, id=True), "two annotations of one id": changed("annotations", 0, id=2),
    "no box": changed("annotations", 0, bbox=None), "three numbers": changed("annotations", 0, bbox=[1, 2, 3]),
    "box is an object": changed("annotations", 0, bbox={"x": 1}),
    "words": changed("annotations", 0, bbox=[1, 2, "3", 4]),
    "null in it": changed("annotations", 0, bbox=[1, 2, None, 4]), "NaN": NAN_BOX,
    "infinite": NAN_BOX.replace("NaN", "Infinity"),
    "too large": NAN_BOX.replace("NaN", "1" * 400), "list in it": changed("annotations", 0, bbox=[1, [2], 3, 4]),
    "negative width": changed("annotations", 0, bbox=[9, 9, -3, 4]),
    "no box, and to be ignored": changed("annotations", 0, bbox=[9, 9, -3, 4], ignore=1),
    "no width": changed("annotations", 0, bbox=[9, 9, 0, 4]),
    "no height": changed("annotations", 0, bbox=[9, 9, 4, 0.0]),
    "negative corner": changed("annotations", 0, bbox=[-9, 9, 40, 9]),
    "outside": changed("annotations", 0, bbox=[300, 300, 40, 9]),
    "beyond": changed("annotations", 0, bbox=[90, 9, 40, 9]),
}


def write_raw(tmp_path, value):
    path = write_set(tmp_path)
    path.write_bytes(value if isinstance(value, bytes) else
                     (value if isinstance(value, str) else json.dumps(value)).encode())
    return path


def raised(*arguments, **options):
    with pytest.raises(UserError) as caught:
        load_coco(*arguments, **options)
    assert len(str(caught.value).splitlines()) == 1 and caught.value.remedy
    return str(caught.value)


@pytest.mark.parametrize("kind", WHOLE_FILE)
def test_malformed_json_is_named_in_one_line(tmp_path, kind):
    path = write_raw(tmp_path, WHOLE_FILE[kind])
    for on_bad_sample in ("error", "skip"):
        assert str(path) in raised(str(tmp_path), "train", on_bad_sample=on_bad_sample)


def test_a_syntax_error_has_line_and_column(tmp_path):
    write_raw(tmp_path, '{"images": [],\n "annotations": [}')
    assert "line 2, column 18" in raised(str(tmp_path), "train")


def test_a_list_that_is_there_twice_is_named_and_the_same_word_elsewhere_is_not(tmp_path):
    """Of two files that were joined by hand the first one's boxes were dropped, and its images trained as background."""
    write_raw(tmp_path, WHOLE_FILE["annotations twice"])
    assert "has 'annotations' several times, and the last alone would count" in raised(str(tmp_path), "train")
    value = changed("categories", 0, name="images", annotations=[1])
    write_raw(tmp_path, {"info": {"annotations": 3}, **value, "more": [{"annotations": [], "categories": []}]})
    assert load_coco(str(tmp_path), "train").classes == ("Zebra", "images")


@pytest.mark.parametrize("kind", ENTRIES)
def test_malformed_entries_stop_or_are_skipped(tmp_path, kind):
    path = write_raw(tmp_path, ENTRIES[kind])
    message = raised(str(tmp_path), "train")
    assert str(path) in message and "--on-bad-sample skip" in message
    skipped = load_coco(str(tmp_path), "train", on_bad_sample="skip")
    assert len(skipped.faults) == 1 and len(skipped) >= 2
    assert all(np.isfinite(record.boxes).all() for record in skipped.records)


def test_annotations_of_a_dropped_image_go_with_it(tmp_path):
    write_set(tmp_path)
    (tmp_path / "train2017" / "b.jpg").unlink()
    found = load_coco(str(tmp_path), "train", on_bad_sample="skip")
    assert [fault.kind for fault in found.faults] == ["missing image"] and len(found) == 2


def test_a_broken_image_without_stated_size(tmp_path):
    write_set(tmp_path, changed("images", 0, width=0))
    (tmp_path / "train2017" / "b.jpg").write_bytes(b"no image")
    assert "b.jpg" in raised(str(tmp_path), "train")


def test_roots_that_cannot_be_read(tmp_path):
    assert "does not exist" in raised(str(tmp_path / "gone"), "train")
    assert "annotations for train" in raised(str(tmp_path), "train")
    write_set(tmp_path)
    assert "annotations for val" in raised(str(tmp_path), "val")
    assert "'holdout'" in raised(str(tmp_path), "val", split="holdout")
    for name in ("a_train", "b_train"):
        write_json(tmp_path / "two" / "annotations" / f"{name}.json")
    assert "a_train.json" in raised(str(tmp_path / "two"), "train")
    write_json(tmp_path / "bare" / "train.json")
    assert "none of its 3 images can be used" in raised(str(tmp_path / "bare"), "train", on_bad_sample="skip")


@pytest.mark.slow
def test_ten_thousand_images_take_no_minutes(tmp_path):
    images = [{"id": number, "file_name": f"{number % 3}.jpg", "width": WIDTH, "height": HEIGHT}
              for number in range(10000)]
    annotations = [{"id": number, "image_id": number // 7, "category_id": 5, "bbox": [1.5, 2, 30, 40], "area": 12}
                   for number in range(70000)]
    write_set(tmp_path, content(images=images, annotations=annotations))
    write_images(tmp_path / "train2017", ["0.jpg", "1.jpg", "2.jpg"])
    began = time.process_time()
    found = load_coco(str(tmp_path), "train")
    assert sum(len(record.boxes) for record in found.records) == 70000
    assert time.process_time() - began < 30  # about 1 s of CPU time; what is quadratic in the boxes takes minutes


def test_a_validation_part_may_lack_a_class_that_was_trained_on(tmp_path):
    (tmp_path / "annotations").mkdir()
    for role, names in (("train", ("cat", "dog")), ("val", ("cat",))):
        cv2.imwrite(str(tmp_path / f"{role}.jpg"), np.zeros((40, 60, 3), np.uint8))
        content = {"images": [{"id": 1, "file_name": f"{role}.jpg", "width": 60, "height": 40}],
                   "categories": [{"id": 5 + number, "name": name} for number, name in enumerate(names)],
                   "annotations": [{"id": 1, "image_id": 1, "category_id": 5, "bbox": [1, 2, 30, 20], "area": 600,
                                    "iscrowd": 0}]}
        (tmp_path / "annotations" / f"instances_{role}2017.json").write_text(json.dumps(content))
        (tmp_path / f"{role}2017").mkdir()
        (tmp_path / f"{role}.jpg").rename(tmp_path / f"{role}2017" / f"{role}.jpg")
    training = load_coco(str(tmp_path), "train")
    validation = load_coco(str(tmp_path), "val", classes=training.classes)
    assert validation.classes == ("cat", "dog") and len(set(category_ids(validation))) == 2
    with pytest.raises(UserError, match="cow"):
        load_coco(str(tmp_path), "train", classes=("cat", "cow"))

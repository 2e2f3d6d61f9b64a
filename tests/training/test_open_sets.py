"""What training says of its sets and refuses in them: negatives, empty images, nothing to train on."""
import json
import logging
import os
import tempfile

import cv2
import numpy as np
import pytest

from gluon_bof.data.check import check_set
from gluon_bof.data.sets import set_mark
from gluon_bof.errors import UserError
from gluon_bof.evaluation.validation import validation_set
from gluon_bof.models.ssd.network import build_ssd
from gluon_bof.models.yolo3.network import build_yolo3
from gluon_bof.options.faster_rcnn import FasterRcnnOptions
from gluon_bof.options.ssd import SsdOptions
from gluon_bof.options.training import MOST_FOUND
from gluon_bof.options.yolo3 import Yolo3Options
from gluon_bof.runs.folder import Run
from gluon_bof.runs.opening import create_run
from gluon_bof.training.pipeline import open_sets
from gluon_bof.weights.resolve import resolve
from tests.data import coco_files, layout_files, test_real_sets, voc_files


def opened(caplog, folder, kind=Yolo3Options, **options):
    caplog.clear()
    run = Run(tempfile.mkdtemp(dir=os.path.dirname(folder)))
    with caplog.at_level(logging.INFO, "gluon_bof"):
        sets = open_sets(kind(dataset=str(folder), **options), run)
    run.close()
    return sets, caplog.text


def test_unannotated_images_are_counted_or_trained_on(tmp_path, caplog):
    folder = test_real_sets.unannotated(tmp_path)
    (training, validation), said = opened(caplog, folder)
    assert len(training) == 4 and len(validation) == 1 and "3 images have no annotation file: left out" in said
    (training, validation), said = opened(caplog, folder, unannotated="negative")
    assert len(training) == 7 and len(validation) == 1 and "3 images have no annotation file: trained on as negatives" in said


def test_skip_empty_leaves_validation_as_it_is(tmp_path, caplog):
    for role in ("train", "val"):
        coco_files.write_set(tmp_path, role=role)
    assert [len(part) for part in opened(caplog, tmp_path)[0]] == [3, 3]
    assert [len(part) for part in opened(caplog, tmp_path, skip_empty=True)[0]] == [1, 3]


def test_images_that_an_ssd_learns_nothing_from_are_counted(tmp_path, caplog):
    for role in ("train", "val"):
        coco_files.write_set(tmp_path, role=role)
    told = "images to train on without a box: 2 of 3; SSD learns nothing from them"
    assert opened(caplog, tmp_path, SsdOptions)[1].count(told) == 1
    rcnn = FasterRcnnOptions, {"rpn_test_post_nms": 300}
    for family, changes in ((SsdOptions, {"skip_empty": True}), (Yolo3Options, {}), rcnn):
        assert "learns nothing" not in opened(caplog, tmp_path, family, **changes)[1]


def test_a_class_that_validates_alone_is_not_to_be_named_in_a_flag_that_refuses_it(tmp_path, caplog):
    """Nobody had given --classes, and what trains has no category of its name."""
    coco_files.write_set(tmp_path, {**coco_files.content(annotations=[coco_files.CONTENT["annotations"][0]]),
                                    "categories": [{"id": 5, "name": "dog"}]})
    coco_files.write_set(tmp_path, role="val")
    with pytest.raises(UserError, match="the class 'Zebra' validates, and what trains does not know it; add it there, or"):
        opened(caplog, tmp_path)
    assert [len(part) for part in opened(caplog, tmp_path, on_bad_sample="skip")[0]] == [3, 3]


def test_a_set_without_a_box_to_train_on_is_refused(tmp_path, caplog):
    voc_files.write_set(tmp_path, {"a": voc_files.xml(), "b": voc_files.xml(voc_files.DOG)}, {"train": "a", "val": "b"})
    with pytest.raises(UserError, match="has a box to train on") as caught:
        opened(caplog, tmp_path)
    assert caught.value.remedy and str(tmp_path) in str(caught.value)


def test_a_set_without_a_box_to_find_is_told_before_hours_of_training_whose_map_is_null(tmp_path, caplog):
    parts = {"train": "a", "val": "b"}
    for val, told in ((voc_files.xml(), True), (voc_files.xml(voc_files.DOG), False)):
        voc_files.write_set(tmp_path, {"a": voc_files.xml(voc_files.DOG), "b": val}, parts)
        assert ("none of the 1 images to validate on has a box to find" in opened(caplog, tmp_path)[1]) is told
        assert ("no box" in [fault.kind for fault in check_set(str(tmp_path), progress=False).faults]) is told


def test_more_boxes_in_an_image_than_a_network_gives_are_told(tmp_path, caplog):
    """YOLOv3 and SSD gave 100 detections of more objects without a word."""
    networks = build_yolo3("darknet-mini", ("dog",)), build_ssd("darknet-mini", 64, "voc", ("dog",))
    assert {network.post_nms for network in networks} == {MOST_FOUND}
    for count, told in ((MOST_FOUND, False), (MOST_FOUND + 1, True)):
        dogs = [("dog", 1 + number % 50, 1 + number // 50, 60, 60) for number in range(count)]
        voc_files.write_set(tmp_path, {"a": voc_files.xml(voc_files.DOG), "b": voc_files.xml(*dogs)}, {"train": "a", "val": "b"})
        assert ("has 101 boxes to find: YOLOv3 and SSD give at most 100" in opened(caplog, tmp_path)[1]) is told
        assert any("has 101 boxes" in note for note in check_set(str(tmp_path), progress=False).notes) is told
    assert "boxes to find" not in opened(caplog, tmp_path, FasterRcnnOptions, rpn_test_post_nms=300)[1]


def test_why_no_image_has_a_box_is_told_before_it_is_refused(tmp_path, caplog):
    layout_files.ultralytics(str(tmp_path))
    (tmp_path / "labels").rename(tmp_path / "boxes")
    with pytest.raises(UserError, match="has a box to train on"):
        opened(caplog, tmp_path)
    assert f"no label: {tmp_path}/data.yaml: none of the 4 images of train has a label" in caplog.text


def test_a_category_that_no_box_is_of_is_told_with_a_remedy_that_works(tmp_path, caplog):
    """Roboflow writes one above all others, which the network learnt as a class."""
    layout_files.roboflow_coco(str(tmp_path / "set"))
    for part in ("train", "valid"):
        path = tmp_path / "set" / part / "_annotations.coco.json"
        content = json.loads(path.read_text())
        content["categories"].insert(0, {"id": 0, "name": "animals"})
        path.write_text(json.dumps(content))
    told = "no box of the class animals trains or validates"
    assert opened(caplog, tmp_path / "set")[1].count(told) == 1
    assert any(told in note for note in check_set(str(tmp_path / "set"), progress=False).notes)
    sets, said = opened(caplog, tmp_path / "set", classes="cat,dog")
    assert sets[0].classes == ("cat", "dog") and sum(len(record.boxes) for record in sets[0].records) == 4
    assert "no box" not in said and not check_set(str(tmp_path / "set"), classes=("cat", "dog"), progress=False).notes


@pytest.mark.parametrize("train, val, told", (
    ("cat dog", "cat", None), ("cat", "dog", "no box trains the class dog, of which others validate"),
    ("cat dog bird", "dog", None)))
def test_a_class_that_only_validates_is_told_and_one_that_only_trains_is_not(tmp_path, caplog, train, val, told):
    boxes = {"a": train, "b": val}
    voc_files.write_set(tmp_path, {name: voc_files.xml(*[(label, 11, 21, 51, 61) for label in of.split()])
                                   for name, of in boxes.items()}, {"train": "a", "val": "b"})
    said = opened(caplog, tmp_path)[1]
    assert told in said if told else "no box" not in said


def test_names_of_yolos_that_no_label_has_are_told_with_a_remedy_that_works(tmp_path, caplog):
    layout_files.ultralytics(str(tmp_path / "set"))
    with open(tmp_path / "set" / "data.yaml", "a") as file:
        file.write("  2: bird\n")
    assert "no box of the class bird" in opened(caplog, tmp_path / "set")[1]
    assert "no box" not in opened(caplog, tmp_path / "set", classes="cat,dog")[1]
    (tmp_path / "set" / "data.yaml").unlink()  # the names are then those of the numbers, in their order
    assert "no box" not in opened(caplog, tmp_path / "set", classes="cat,bird,dog", on_bad_sample="skip")[1]


def test_repeats_are_told_and_a_flood_of_them_is_counted(tmp_path, caplog):
    twice = voc_files.xml(voc_files.DOG, voc_files.DOG)
    names = [f"{number:02}" for number in range(15)]
    voc_files.write_set(tmp_path, dict.fromkeys(names, twice), {"train": names[:13], "val": names[13:]})
    said = opened(caplog, tmp_path)[1]
    assert said.count("duplicate box: ") == 10 + 2 and "13 such warnings in all" in said


def test_recipes_of_cocos_tables_skip_empty_images_and_no_others_do():
    from gluon_bof.options.recipes import EMBEDDED_FASTER_RCNN, EMBEDDED_YOLO3, TABLES

    for number, table in TABLES.items():
        for row in table.rows:
            assert row.paper.options.skip_empty == (number >= 4) and not row.small.options.skip_empty, row.key
    assert not Yolo3Options().skip_empty and not EMBEDDED_YOLO3.skip_empty and not EMBEDDED_FASTER_RCNN.skip_empty


def test_a_split_that_trains_and_a_share_of_the_same_images_are_refused(tmp_path, caplog):
    """Two of four images trained and validated, without a word."""
    layout_files.cvat_coco(str(tmp_path / "set"))
    for options in ({"train_split": "default"}, {"val_split": "default"}):
        with pytest.raises(UserError, match="its split 'default' is named, all of which") as caught:
            opened(caplog, tmp_path / "set", val_share=0.5, **options)
        assert caught.value.remedy and "--val-share 0.5" in str(caught.value)
    (training, validation), said = opened(caplog, tmp_path / "set", val_share=0.5)
    assert len(training) == 4 and len(validation) == 2 and "trained on too" not in said
    assert len(validation_set(Yolo3Options(dataset=str(tmp_path / "set"), val_split="default", val_share=0.5))) == 6


def test_a_share_of_a_set_that_has_a_part_to_validate_on_is_told_to_do_nothing(tmp_path, caplog):
    layout_files.ultralytics(str(tmp_path / "set"))
    said = opened(caplog, tmp_path / "set", val_share=0.5)[1]
    assert said.count("has a part to validate on: --val-share 0.5 does nothing") == 1


def begun(options):
    """A run of these options that goes on from a checkpoint."""
    run = create_run(options)
    open_sets(options, run)
    run.origin = run.checkpoint(1)
    return run


def test_a_run_goes_on_after_an_image_was_replaced_and_not_with_other_boxes(tmp_path):
    """As many images are no sign that they are the same; a broken one is to be mended, and the run to go on."""
    annotations = {name: voc_files.xml(voc_files.DOG) for name in "abcdef"}
    voc_files.write_set(tmp_path / "set", annotations, {"train": "abcd", "val": "ef"})
    options = Yolo3Options(dataset=str(tmp_path / "set"), runs=str(tmp_path / "runs"))
    run = begun(options)
    cv2.imwrite(str(tmp_path / "set" / "JPEGImages" / "a.jpg"), np.full((voc_files.HEIGHT, voc_files.WIDTH, 3), 9, np.uint8))
    open_sets(options, run)
    (tmp_path / "set" / "Annotations" / "a.xml").write_text(voc_files.xml(("dog", 10, 20, 50, 61)))
    with pytest.raises(UserError, match=f"trained on: images, .* or start another run with --transfer {run.folder}$"):
        open_sets(options, run)
    run.close()


@pytest.mark.parametrize("given, is_told", (({}, True), ({"val_share": 0.5}, False), ({"classes": "dog"}, True),
                                            ({"unannotated": "negative"}, False), ({"on_bad_sample": "skip"}, False)))
def test_images_that_validate_today_and_were_trained_on_are_told_of(given, is_told, tmp_path, caplog):
    """Every fifth image validates: one that is added moves all others on."""
    names = [f"{number:02}" for number in range(10)]
    voc_files.write_set(tmp_path / "set", {name: voc_files.xml(voc_files.DOG) for name in names})
    options = Yolo3Options(dataset=str(tmp_path / "set"), runs=str(tmp_path / "runs"))
    run = begun(options)
    run.close()

    def look():
        resolved = resolve(run.folder, given)
        resolved.warn_of_another_set(set_mark(validation_set(resolved.options)))

    look()
    assert "was validated on" not in caplog.text
    voc_files.write_set(tmp_path / "set", {"00a": voc_files.xml(voc_files.DOG)})
    look()
    assert ("it may hold images that the run was trained on" in caplog.text) is is_told


@pytest.mark.parametrize("is_link", (False, True))
def test_images_that_validate_and_train_are_told_of(tmp_path, caplog, is_link):
    layout_files.ultralytics(str(tmp_path / "set"))
    assert "trained on too" not in opened(caplog, tmp_path / "set")[1]
    (tmp_path / "set" / "data.yaml").write_text("train: images\nval: images/val\nnames: [cat, dog]\n")
    if is_link:
        for kind in ("images", "labels"):
            (tmp_path / "set" / kind / "val").rename(tmp_path / "set" / kind / "more")
            (tmp_path / "set" / kind / "val").symlink_to("more")
    assert "2 of the 2 images that validate are trained on too" in opened(caplog, tmp_path / "set")[1]

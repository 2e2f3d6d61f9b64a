"""gluon-bof convert: there and back is the identity, what a layout cannot say is told, and nothing is written half."""
import contextlib
import dataclasses
import io
import json
import os
import shutil
from itertools import product

import numpy as np
import pytest
from pycocotools.coco import COCO

from gluon_bof.commands.convert import main
from gluon_bof.data import convert, vocmini
from gluon_bof.data.convert import convert_set
from gluon_bof.data.sets import open_set
from gluon_bof.errors import UserError
from gluon_bof.masks import write_numbers
from tests.command_lines import refused
from tests.data import coco_files, layout_files, voc_files
from tests.data.layout_files import assert_is_the_set, names_of
from tests.data.test_layouts import WRITERS
from tests.marks import slow_but

TARGETS = ("voc", "coco", "yolo")
WRITES = [write for _, write in WRITERS]
SOME = (layout_files.voc_standard, layout_files.coco_standard, layout_files.ultralytics)  # written as each; the others as VOC's


def same(ours, theirs):
    keys = ("boxes", "classes", "difficult", "crowd")
    return len(ours) == len(theirs) and ours.classes == theirs.classes and all(
        (a.width, a.height, os.path.basename(a.path)) == (b.width, b.height, os.path.basename(b.path))
        and all(np.array_equal(getattr(a, key), getattr(b, key)) for key in keys) for a, b in zip(ours.records, theirs.records))


@pytest.mark.parametrize("write, target", slow_but(product(WRITES, TARGETS), *product(WRITES, ("voc",)), *product(SOME, TARGETS)),
                         ids=lambda value: getattr(value, "__name__", value))
def test_any_layout_is_written_as_another(tmp_path, write, target):
    write(str(tmp_path / "in"))
    made = convert_set(str(tmp_path / "in"), str(tmp_path / "out"), target)
    assert made.images == {"train": 4, "val": 2} and made.boxes == 7 and made.difference == 0
    outlines = write in (layout_files.yolo_segments, layout_files.labelme_apart)  # they were lost without a word
    assert made.notes == (("7 masks or outlines were left out: boxes alone are written",) if outlines else ())
    for role in ("train", "val"):
        assert_is_the_set(open_set(str(tmp_path / "out"), None, role), names_of(role))


def test_a_set_that_was_written_into_the_one_that_was_read_made_both_unreadable(tmp_path):
    layout_files.coco_standard(str(tmp_path / "in"))
    (tmp_path / "link").symlink_to("in")
    for out in (tmp_path / "in" / "voc", tmp_path / "link" / "a" / ".." / "voc", tmp_path / "in" / "annotations" / "voc"):
        with pytest.raises(UserError, match="the new set would lie in the one that is read, .*; give a new folder outside of it"):
            convert_set(str(tmp_path / "in"), str(out), "voc")
    assert sorted(os.listdir(tmp_path)) == ["in", "link"] and len(open_set(str(tmp_path / "in"), None, "train")) == 4


def test_a_set_that_a_yaml_names_may_be_written_beside_it_and_not_into_the_folders_that_it_names(tmp_path):
    layout_files.ultralytics(str(tmp_path / "in"))
    (tmp_path / "own.yaml").write_text((tmp_path / "in" / "data.yaml").read_text().replace("../elsewhere", "in"))
    given = str(tmp_path / "own.yaml")
    images = open_set(given, None, "train").folders
    with pytest.raises(UserError, match="would lie in the one that is read"):
        convert_set(given, os.path.join(min(images), "out"), "yolo")
    assert convert_set(given, str(tmp_path / "in-voc"), "voc").boxes == 7


@pytest.mark.parametrize("way", [("coco", "voc"), ("yolo", "voc"), ("yolo", "coco", "voc"), ("voc", "yolo", "coco", "voc")])
def test_there_and_back_is_the_identity_of_boxes_between_pixels(tmp_path, way):
    xml = voc_files.xml
    annotations = {"a": xml(("dog", 1, 1.25, 50.123, 60)), "b": xml(), "c": xml(("cat", 2.0625, 3, 99.7, 80)),
                   "d": xml(("owl", 9, 9, 17, 21))}
    voc_files.write_set(tmp_path / "0", annotations, {"train": "dba", "val": "c"})
    for step, target in enumerate(way):
        convert_set(str(tmp_path / str(step)), str(tmp_path / str(step + 1)), target)
    for role in ("train", "val"):
        first, last = (open_set(str(tmp_path / str(step)), None, role) for step in (0, len(way)))
        assert same(first, last)


def test_classes_keep_their_order_and_those_without_a_box_stay(tmp_path):
    content = coco_files.content()
    content["categories"].append({"id": 9, "name": "owl: a <bird>"})
    content["annotations"][1]["iscrowd"] = 0
    for role in ("train", "val"):
        coco_files.write_set(tmp_path / "0", content, role)
    for step, target in enumerate(("voc", "yolo", "coco")):
        convert_set(str(tmp_path / str(step)), str(tmp_path / str(step + 1)), target)
        assert open_set(str(tmp_path / str(step + 1)), None, "train").classes == ("Zebra", "dog", "owl: a <bird>")


def test_cocos_areas_are_those_that_pycocotools_has_of_the_boxes(tmp_path):
    layout_files.ultralytics(str(tmp_path / "in"))
    convert_set(str(tmp_path / "in"), str(tmp_path / "out"), "coco")
    with contextlib.redirect_stdout(io.StringIO()):
        written = COCO(str(tmp_path / "out" / "annotations" / "instances_train.json"))
        found = written.loadRes([{**{key: one[key] for key in ("image_id", "category_id", "bbox")}, "score": 1}
                                 for one in written.anns.values()])
    areas = [one["area"] for one in found.anns.values()]
    assert len(set(areas)) > 2 and [one["area"] for one in written.anns.values()] == pytest.approx(areas)


def test_boxes_that_are_read_back_elsewhere_are_refused_and_nothing_is_left(tmp_path, monkeypatch):
    layout_files.ultralytics(str(tmp_path / "in"))
    write = convert._WRITERS["coco"]

    def write_shifted(root, parts, names, put):
        write(root, {part: dataclasses.replace(found, records=[dataclasses.replace(record, boxes=record.boxes + np.float32(0.02))
                                                               for record in found.records])
                     for part, found in parts.items()}, names, put)

    monkeypatch.setitem(convert._WRITERS, "coco", write_shifted)
    with pytest.raises(UserError, match="coco cannot hold the boxes of"):
        convert_set(str(tmp_path / "in"), str(tmp_path / "out"), "coco")
    assert os.listdir(tmp_path) == ["in"]


def test_what_a_layout_cannot_say_is_told(tmp_path):
    for role in ("train", "val"):
        coco_files.write_set(tmp_path / "crowd", role=role)
    for target, notes in (("coco", 0), ("voc", 1), ("yolo", 1)):
        made = convert_set(str(tmp_path / "crowd"), str(tmp_path / f"crowd-{target}"), target)
        assert sum("2 crowds were left out" in note for note in made.notes) == notes
    assert [record.crowd.tolist() for record in open_set(str(tmp_path / "crowd-coco"), None, "train").records][:1] == [[True]]
    voc_files.write_set(tmp_path / "hard", {"a": voc_files.xml(("dog", 1, 2, 30, 40, 1)), "b": voc_files.xml(voc_files.DOG)},
                        {"train": "a", "val": "b"})
    for target, notes in (("voc", 0), ("coco", 1), ("yolo", 1)):
        made = convert_set(str(tmp_path / "hard"), str(tmp_path / f"hard-{target}"), target)
        assert sum("1 boxes are no longer marked difficult" in note for note in made.notes) == notes
    assert open_set(str(tmp_path / "hard-voc"), None, "train").records[0].difficult.tolist() == [True]


def test_masks_that_are_not_written_are_told(tmp_path):
    content = coco_files.content()
    content["annotations"][0]["segmentation"] = [[1, 1, 9, 1, 9, 9]]
    for role in ("train", "val"):
        coco_files.write_set(tmp_path / "coco", content, role)
    voc_files.write_set(tmp_path / "voc", {"a": voc_files.xml(voc_files.DOG), "b": voc_files.xml(voc_files.DOG)},
                        {"train": "a", "val": "b"})
    folder = tmp_path / "voc" / "SegmentationObject"
    folder.mkdir()
    write_numbers(str(folder / "a.png"), np.ones((10, 10), np.uint8))
    for source, count in (("coco", 2), ("voc", 1)):
        for target in TARGETS:
            made = convert_set(str(tmp_path / source), str(tmp_path / f"{source}-{target}"), target)
            assert f"{count} masks or outlines were left out: boxes alone are written" in made.notes


@pytest.mark.parametrize("encoding", ("utf-8-sig", "utf-16"))
def test_masks_are_counted_in_every_encoding_that_is_read(tmp_path, encoding):
    content = coco_files.content()
    content["annotations"][0]["segmentation"] = [[1, 1, 9, 1, 9, 9]]
    path = coco_files.write_set(tmp_path / "coco", content)
    path.write_text(path.read_text(), encoding=encoding)
    made = convert_set(str(tmp_path / "coco"), str(tmp_path / "new"), "voc")
    assert "1 masks or outlines were left out: boxes alone are written" in made.notes


def test_what_is_skipped_as_malformed_or_says_no_outline_is_no_mask(tmp_path):
    """A traceback each, where --on-bad-sample skip leaves such an annotation out."""
    outline, box = [[1, 1, 9, 1, 9, 9]], {"category_id": 5, "bbox": [1, 1, 8, 8]}
    content = coco_files.content()
    content["annotations"][0]["segmentation"] = {"size": [80, 100], "counts": [8000]}
    content["annotations"] += [5, None, dict(box, segmentation=outline), dict(box, image_id=[7], segmentation=outline)]
    content["annotations"] += [{**box, "id": 80 + number, "image_id": 7, "segmentation": value}
                               for number, value in enumerate(([], [[]], None, {}, {"counts": None}, 5, "x", [None]))]
    coco_files.write_set(tmp_path / "coco", content)
    made = convert_set(str(tmp_path / "coco"), str(tmp_path / "new"), "voc", on_bad_sample="skip")
    assert "1 masks or outlines were left out: boxes alone are written" in made.notes
    assert any("faults" in note for note in made.notes)


@pytest.mark.parametrize("orientation", (5, 6, 7, 8))
def test_boxes_annotated_on_the_stored_image_are_turned_for_yolo(tmp_path, orientation):
    from PIL import Image, ImageOps

    stored = np.zeros((voc_files.HEIGHT, voc_files.WIDTH, 3), np.uint8)
    stored[20:48, 8:32] = 255  # a white box, whose corners are 8, 20, 32, 48
    annotation = voc_files.xml(("dog", 9, 21, 33, 49))
    voc_files.write_set(tmp_path / "in", {"a": annotation, "b": annotation}, {"train": "a", "val": "b"}, ".png")
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.fromarray(stored).save(tmp_path / "in" / "JPEGImages" / "a.png", exif=exif)
    made = convert_set(str(tmp_path / "in"), str(tmp_path / "out"), "yolo")
    assert "1 images were annotated as stored" in made.notes[0]
    upright = np.asarray(ImageOps.exif_transpose(Image.open(tmp_path / "in" / "JPEGImages" / "a.png")))
    rows, columns = np.nonzero(upright[:, :, 0])
    record = open_set(str(tmp_path / "out"), None, "train").records[0]
    assert record.boxes.tolist() == [[columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]]
    assert (record.width, record.height) == (voc_files.HEIGHT, voc_files.WIDTH)


def test_a_third_part_is_written_too(tmp_path):
    layout_files.ultralytics(str(tmp_path / "0"))
    (tmp_path / "0" / "data.yaml").write_text("train: images/train\nval: images/val\ntest: test.txt\nnames: [cat, dog]\n")
    layout_files.put_image(str(tmp_path / "0" / "images" / "more"), "t")
    (tmp_path / "0" / "test.txt").write_text("images/more/t.jpg\n")
    for step, target in enumerate(("coco", "voc", "yolo")):
        made = convert_set(str(tmp_path / str(step)), str(tmp_path / str(step + 1)), target)
        assert made.images == {"train": 4, "val": 2, "test": 1}
        assert any("--val-split val" in note for note in made.notes) == (target == "voc")
    for role in ("train", "val"):
        assert_is_the_set(open_set(str(tmp_path / "3"), None, role), names_of(role))


def test_vocs_test_is_not_written_as_the_val_that_another_list_is(tmp_path):
    """It was, and the images of valid.txt had that name of their own."""
    voc_files.write_set(tmp_path / "in", voc_files.FIVE, {"train": "ab", "valid": "c", "test": "de"})
    made = convert_set(str(tmp_path / "in"), str(tmp_path / "out"), "yolo")
    assert made.images == {"train": 2, "test": 2, "val": 1}


def test_names_that_meet_are_told_apart(tmp_path):
    layout_files.labelimg_yolo(str(tmp_path / "in"))
    layout_files.put_image(str(tmp_path / "in" / "val"), "a")
    made = convert_set(str(tmp_path / "in"), str(tmp_path / "out"), "voc")
    assert made.notes == ("1 images have another name, since one of theirs was there already",)
    assert len(os.listdir(tmp_path / "out" / "JPEGImages")) == 7


def test_a_set_without_a_validating_part_stays_one_and_a_share_makes_it(tmp_path):
    layout_files.ultralytics(str(tmp_path / "in"))
    (tmp_path / "in" / "data.yaml").write_text("train: [images/train, images/val]\nnames: [cat, dog]\n")
    assert convert_set(str(tmp_path / "in"), str(tmp_path / "one"), "coco").images == {"train": 6}
    assert convert_set(str(tmp_path / "in"), str(tmp_path / "two"), "voc", val_share=0.5).images == {"train": 4, "val": 2}
    assert_is_the_set(open_set(str(tmp_path / "two"), None, "val"), ["e", "f"])


@pytest.mark.parametrize("write", (layout_files.cvat_voc, layout_files.vott_voc, layout_files.cvat_coco))
def test_a_set_no_part_of_which_trains_is_shared_out(tmp_path, write):
    write(str(tmp_path / "in"))
    with pytest.raises(UserError, match="--val-share 0.2"):
        convert_set(str(tmp_path / "in"), str(tmp_path / "one"), "yolo")
    made = convert_set(str(tmp_path / "in"), str(tmp_path / "two"), "yolo", val_share=0.5)
    assert made.images == {"train": 4, "val": 2} and not made.notes
    assert_is_the_set(open_set(str(tmp_path / "two"), None, "val"), ["e", "f"])


def test_a_part_to_train_on_is_missed_before_yolos_files_are_written(tmp_path):
    """The message was of the file written, which could not be read back, and named no remedy but another layout."""
    layout_files.cvat_voc(str(tmp_path / "in"))
    with pytest.raises(UserError, match="in: no part of it trains .found: default."):
        convert_set(str(tmp_path / "in"), str(tmp_path / "out"), "yolo")
    assert convert_set(str(tmp_path / "in"), str(tmp_path / "out"), "coco").images == {"default": 6}


def test_images_are_linked_or_copied(tmp_path):
    layout_files.voc_beside(str(tmp_path / "in"))
    source = (tmp_path / "in" / "train" / "a.jpg").stat()
    for how, copy in (("linked", False), ("copied", True)):
        convert_set(str(tmp_path / "in"), str(tmp_path / how), "coco", copy=copy)
        target = tmp_path / how / "train" / "a.jpg"
        assert (target.stat().st_ino == source.st_ino) != copy
        assert target.read_bytes() == (tmp_path / "in" / "train" / "a.jpg").read_bytes()


def test_a_folder_that_holds_something_is_refused_and_an_empty_one_is_filled(tmp_path):
    layout_files.voc_beside(str(tmp_path / "in"))
    (tmp_path / "out").mkdir()
    convert_set(str(tmp_path / "in"), str(tmp_path / "out"), "coco")
    with pytest.raises(UserError, match="there is something already"):
        convert_set(str(tmp_path / "in"), str(tmp_path / "out"), "coco")


def test_a_place_that_cannot_be_written_is_told_before_the_set_is_read(tmp_path):
    (tmp_path / "file").write_text("mine")
    with pytest.raises(UserError, match="no folder can be made there"):
        convert_set("no-set", str(tmp_path / "file" / "out"), "coco")


def test_a_fault_leaves_nothing_behind(tmp_path):
    layout_files.voc_beside(str(tmp_path / "in"))
    (tmp_path / "in" / "train" / "a.xml").write_text("<annotation>")
    with pytest.raises(UserError, match="malformed"):
        convert_set(str(tmp_path / "in"), str(tmp_path / "out"), "coco")
    assert os.listdir(tmp_path) == ["in"]
    made = convert_set(str(tmp_path / "in"), str(tmp_path / "out"), "coco", on_bad_sample="skip")
    assert made.notes == ("1 faults were left out",)


def test_an_image_whose_name_is_no_utf8_is_refused_by_voc_and_written_as_coco_and_yolo(tmp_path):
    coco_files.write_set(tmp_path / "in", coco_files.content())
    (image,) = (tmp_path / "in").rglob("a.jpg")
    strange = os.fsdecode(os.fsencode(image.parent) + b"/caf\xe9.jpg")
    os.rename(image, strange)
    (annotations,) = (tmp_path / "in").rglob("*.json")
    annotations.write_text(annotations.read_text().replace("a.jpg", "caf\\udce9.jpg"))
    with pytest.raises(UserError, match="its name cannot be written as text; rename it, or give --to coco") as refusal:
        convert_set(str(tmp_path / "in"), str(tmp_path / "out"), "voc")
    assert refusal.value.path == strange and os.listdir(tmp_path) == ["in"]
    convert_set(str(tmp_path / "in"), str(tmp_path / "out"), "coco")
    assert any(record.path.endswith("caf\udce9.jpg") for record in open_set(str(tmp_path / "out"), None, "train").records)
    with pytest.raises(UserError, match="its name cannot be written as text"):  # into a list, since it comes first
        convert_set(str(tmp_path / "in"), str(tmp_path / "yolo"), "yolo")


def test_an_image_whose_name_a_layout_takes_for_another_is_named(tmp_path):
    """As Windows' programs leave them in archives: the line named the whole set alone."""
    coco_files.write_set(tmp_path / "in", coco_files.content())
    convert_set(str(tmp_path / "in"), str(tmp_path / "yolo"), "yolo")
    for path in list((tmp_path / "yolo").rglob("a.*")):
        path.rename(path.with_name("cat\\" + path.name))
    with pytest.raises(UserError, match=r"coco cannot hold this set: \S*cat/a\.jpg: missing image.*or rename"):
        convert_set(str(tmp_path / "yolo"), str(tmp_path / "out"), "coco")


def test_the_command_ends_with_one_json_object(tmp_path, capsys):
    layout_files.labelme_beside(str(tmp_path / "in"))
    assert main([str(tmp_path / "in"), str(tmp_path / "out"), "--to", "yolo"]) == 0
    said = capsys.readouterr()
    assert json.loads(said.out)["images"] == {"train": 4, "val": 2} and "read back equal" in said.err


@pytest.mark.parametrize("arguments, part", [([], "required"), (["in", "out"], "--to"), (["in", "out", "--to", "xml"], "--to"),
                                             (["gone", "out/deep/er", "--to", "voc"], "no data set 'gone'")])
def test_refusals_are_one_line_and_status_2(tmp_path, monkeypatch, capsys, arguments, part):
    monkeypatch.chdir(tmp_path)
    assert part in refused(main, capsys, *arguments)
    assert not os.path.exists("out")


def write_night(folder, **splits):
    """VOC's layout of nine images, of which `far` has a box without area."""
    annotations = {**dict.fromkeys("abcdefgh", voc_files.xml(voc_files.DOG)), "far": voc_files.xml(("dog", 9, 9, 9, 9))}
    return str(voc_files.write_set(folder, annotations, {"train": "ab", "val": "c", **splits}))


def test_a_part_of_any_name_that_cannot_be_read_ends_it_and_is_not_left_out(tmp_path):
    """Half of the images were gone, status 0."""
    source = write_night(tmp_path / "in", extra=["d", "e", "far"])
    with pytest.raises(UserError, match="far.xml.*no area"):
        convert_set(source, str(tmp_path / "out"), "coco")
    made = convert_set(source, str(tmp_path / "out"), "coco", on_bad_sample="skip")
    assert made.images == {"train": 2, "val": 1, "extra": 3} and made.notes == (
        "3 images with annotations were left out, which are in no part that was read", "1 faults were left out")


def test_a_part_that_is_skipped_is_told_with_its_error(tmp_path):
    layout_files.coco_standard(str(tmp_path / "in"))
    content = layout_files.of_coco("ab")
    content["categories"] = [{"id": 1, "name": "Cat"}, {"id": 2, "name": "Dog"}]
    layout_files.put(str(tmp_path / "in" / "annotations" / "instances_test.json"), content)
    layout_files.put(str(tmp_path / "in" / "info.json"), {"version": 3})  # of another program
    with pytest.raises(UserError, match="instances_test.json: class 'cat' is not among"):
        convert_set(str(tmp_path / "in"), str(tmp_path / "out"), "voc")
    made = convert_set(str(tmp_path / "in"), str(tmp_path / "out"), "voc", on_bad_sample="skip")
    assert made.images == {"train": 4, "val": 2} and len(made.notes) == 1
    assert made.notes[0].startswith("the part instances_test was left out: ") and "class 'cat' is not among" in made.notes[0]


@pytest.mark.parametrize("target", ("coco", "voc"))
def test_lists_of_images_that_no_other_has_are_parts_and_those_of_classes_are_none(tmp_path, target):
    source = write_night(tmp_path / "in", test_night="de", test_day="f", dog_train=["a  1", "b -1"], dog_val=["c  1"],
                         class_names=["dog"])
    made = convert_set(source, str(tmp_path / "out"), target)
    assert sorted(made.images.values()) == [1, 1, 2, 2] and made.images["train"] == 2 and made.images["val"] == 1
    assert {"test", "test_day", "test_night"} > set(made.images) - {"train", "val"}
    assert made.notes[0] == "3 images with annotations were left out, which are in no part that was read"


@pytest.mark.parametrize("write, kinds", ((layout_files.ultralytics, ("images", "labels")),
                                          (layout_files.labelme_annotations, ("images", "annotations"))))
def test_annotated_images_in_folders_of_no_part_are_counted(tmp_path, write, kinds):
    write(str(tmp_path / "in"))
    for kind in kinds:
        os.mkdir(tmp_path / "in" / kind / "more")
        for path in (tmp_path / "in" / kind / "train").glob("[ab].*"):
            path.rename(tmp_path / "in" / kind / "more" / path.name)
    made = convert_set(str(tmp_path / "in"), str(tmp_path / "out"), "voc")
    assert made.images == {"train": 2, "val": 2}
    assert made.notes == ("2 images with annotations were left out, which are in no part that was read",)


def test_images_of_one_name_in_several_folders_are_all_written(tmp_path):
    """The second was taken for the first once more, and gone without a word."""
    layout_files.sessions(str(tmp_path / "in"), "frames/{}", "labels/{}", ".xml", layout_files.of_voc)
    made = convert_set(str(tmp_path / "in"), str(tmp_path / "out"), "coco", val_share=0.7)
    assert sum(made.images.values()) == 3 and made.boxes == 4


def test_annotated_images_that_are_left_out_are_counted_where_nothing_tells_parts_too(tmp_path):
    layout_files.ultralytics(str(tmp_path / "in"))
    os.remove(tmp_path / "in" / "data.yaml")
    for kind in ("images", "labels"):
        for part in ("train", "val"):
            for path in (tmp_path / "in" / kind / part).glob("*.*"):
                path.rename(tmp_path / "in" / kind / path.name)
    layout_files.put_image(str(tmp_path / "in" / "more"), "z")
    layout_files.put(str(tmp_path / "in" / "more" / "z.txt"), "0 0.5 0.5 0.1 0.1\n")
    assert convert_set(str(tmp_path / "in"), str(tmp_path / "out"), "coco", classes=layout_files.CLASSES).notes == (
        "1 images with annotations were left out, which are in no part that was read",)


def with_nul(write, root):
    """The set whose list, or JSON, names the image a, or f of VOC's list, with a NUL."""
    write(root)
    for path, name, nul in (("annotations/instances_train2017.json", "a{}.jpg", r"\u0000"), ("train.txt", "a{}.jpg", "\0"),
                            ("train/a.json", "a{}.jpg", r"\u0000"), ("ImageSets/Main/test.txt", "f{}", "\0")):
        path = os.path.join(root, path)
        if os.path.exists(path):
            with open(path) as file:
                text = file.read()
            assert text.count(name.format("")) == 1
            layout_files.put(path, text.replace(name.format(""), name.format(nul)))


@pytest.mark.parametrize("write", (layout_files.coco_standard, layout_files.yolo_lists, layout_files.voc_standard,
                                   layout_files.labelme_beside))
def test_a_name_that_no_file_can_have_is_a_fault_and_no_traceback(tmp_path, write):
    source = tmp_path / "in"
    with_nul(write, str(source))
    if write is layout_files.labelme_beside:
        (source / "train" / "a.jpg").unlink()
    with pytest.raises(UserError) as caught:
        convert_set(str(source), str(tmp_path / "out"), "coco")
    assert str(caught.value).isprintable()
    made = convert_set(str(source), str(tmp_path / "out"), "coco", on_bad_sample="skip")
    assert sum(made.images.values()) == 5 and "1 faults were left out" in made.notes


@pytest.mark.parametrize("spoil", (lambda path: path.write_bytes(b"x"), os.remove), ids=("broken", "missing"))
@pytest.mark.parametrize("write", (layout_files.ultralytics, layout_files.labelme_annotations, layout_files.voc_split_inside))
def test_an_image_that_is_skipped_is_a_fault_and_in_a_part(tmp_path, write, spoil):
    write(str(tmp_path / "in"))
    spoil(tmp_path / "in" / "images" / "train" / "a.jpg")
    assert convert_set(str(tmp_path / "in"), str(tmp_path / "out"), "coco", on_bad_sample="skip").notes == (
        "1 faults were left out",)


@pytest.mark.parametrize("write, kinds", ((layout_files.ultralytics, ("images", "labels")),
                                          (layout_files.labelme_annotations, ("images", "annotations"))))
def test_a_broken_image_is_not_taken_for_another_of_its_name_that_is_left_out(tmp_path, write, kinds):
    write(str(tmp_path / "in"))
    for kind in kinds:
        shutil.copytree(tmp_path / "in" / kind / "train", tmp_path / "in" / kind / "more")
    (tmp_path / "in" / "images" / "train" / "a.jpg").write_bytes(b"x")
    assert convert_set(str(tmp_path / "in"), str(tmp_path / "out"), "coco", on_bad_sample="skip").notes == (
        "4 images with annotations were left out, which are in no part that was read", "1 faults were left out")


def test_vocmini_is_written_and_a_link_to_an_empty_folder_is_filled(tmp_path, monkeypatch):
    monkeypatch.setitem(vocmini.SPLITS, "train", (2, 4))
    monkeypatch.setitem(vocmini.SPLITS, "test", (4, 2))
    monkeypatch.setattr(vocmini, "DEFAULT_SPLIT", {"train": "train", "val": "test"})
    monkeypatch.setenv("GLUON_BOF_CACHE", str(tmp_path / "cache"))
    (tmp_path / "empty").mkdir()
    (tmp_path / "link").symlink_to("empty")
    made = convert_set("vocmini", str(tmp_path / "link"), "coco")
    assert made.images == {"train": 4, "val": 2} and os.path.islink(tmp_path / "link")
    assert len(open_set(str(tmp_path / "empty"), None, "train")) == 4

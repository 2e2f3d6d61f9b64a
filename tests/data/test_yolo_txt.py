"""YOLO's text: what names the classes and the parts, and every malformed line or configuration in one line."""
import os
import time

import cv2
import numpy as np
import pytest
import yaml

from gluon_bof.data.check import check_set
from gluon_bof.data.layouts import labels_folder, recognise
from gluon_bof.data.samples import image_ids
from gluon_bof.data.sets import annotations_of, open_set
from gluon_bof.errors import UserError
from tests.data import layout_files
from tests.data.layout_files import CLASSES, HEIGHT, WIDTH

CONFIG = "train: images/train\nval: images/val\nnames: [cat, dog]\n"
# names of nine aliases each: 9 ** 9 in all
BOMB = "a0: &a0 [x]\n" + "".join(f"a{n + 1}: &a{n + 1} [{', '.join([f'*a{n}'] * 9)}]\n" for n in range(9))


@pytest.fixture
def place(tmp_path):
    layout_files.ultralytics(str(tmp_path))
    (tmp_path / "data.yaml").write_text(CONFIG)
    return tmp_path


def opened(folder, role="train", **how):
    return open_set(str(folder), None, role, **how)


def boxes(found, index=0):
    return found.records[index].boxes.tolist()


@pytest.mark.parametrize("text, part", [
    ("train: images/train\nval: images/val\n", "has no 'names'"),
    ("names: [cat, dog]\nval: images/val\n", "has no 'train'"),
    ("", "holds no keys"), ("- cat\n", "holds no keys"), ("names: [cat\ntrain: x\n", "not valid YAML: .* in line 2"),
    ("names: \tcat: x: y", "not valid YAML"), (b"names: \xff\xfe\x00", "not valid YAML"),
    (CONFIG.replace("[cat, dog]", "{0: cat, 2: dog}"), "ids 0, 2, not 0 to 1"),
    (CONFIG.replace("[cat, dog]", "{0: cat, 00: dog}"), "ids 0, 00, not 0 to 1"),
    (CONFIG.replace("[cat, dog]", "{zero: cat}"), "ids zero"), (CONFIG.replace("[cat, dog]", "cat"), "neither a list nor a map"),
    (CONFIG.replace("[cat, dog]", "[cat, cat]"), "named twice"),
    (CONFIG.replace("[cat, dog]", "[cat, '']"), "must not be empty; give every class a name"),
    (CONFIG + "nc: 3\n", "nc is 3, but names are 2"), (CONFIG + "path: [1]\n", "path is"),
    (CONFIG.replace("images/train", "gone"), "'gone' does not exist"), (CONFIG.replace("images/train", "7"), "train is '7'"),
    (CONFIG + "kpt_shape: [a]\n", "kpt_shape"), (CONFIG + "kpt_shape: [17, .inf]\n", "kpt_shape"),
    (CONFIG + "kpt_shape: [17]\n", "kpt_shape"), (CONFIG + "kpt_shape: [true, 3]\n", "kpt_shape"),
    (CONFIG + "kpt_shape: [17.5, 3]\n", "kpt_shape"), (CONFIG + "kpt_shape: '17'\n", "kpt_shape"),
    (CONFIG + "x: !!bool maybe\n", "not of the kind"), (CONFIG + "x: !!timestamp today\n", "not of the kind"),
    (CONFIG + "x: !!int ''\n", "not of the kind"), (CONFIG.replace("[cat, dog]", "&own [*own]"), "unfold without end"),
    (BOMB + CONFIG.replace("[cat, dog]", "*a8"), "unfold without end")])
def test_a_bad_configuration_is_one_line(place, text, part):
    (place / "data.yaml").write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(UserError, match=part) as caught:
        opened(place)
    assert "data.yaml" in str(caught.value) and len(str(caught.value).splitlines()) == 1


def test_a_folder_in_the_place_of_the_names_is_one_line(tmp_path):
    layout_files.cvat_darknet(str(tmp_path))
    (tmp_path / "obj.data").write_text("names = obj_train_data\ntrain = train.txt\n")
    with pytest.raises(UserError, match="obj_train_data: not a text file of class names"):
        opened(tmp_path)


def test_darknets_number_of_classes_is_that_of_its_names(tmp_path):
    """Of 3 classes with 2 names the third's labels were faults, each by itself, and a network had no output for it."""
    layout_files.cvat_darknet(str(tmp_path))
    config = (tmp_path / "obj.data").read_text()
    for count in ("3", "1", "two"):
        (tmp_path / "obj.data").write_text(config.replace("classes = 2", f"classes = {count}"))
        with pytest.raises(UserError, match=f"obj.data: classes is '?{count}'?, but names are 2; make them agree"):
            opened(tmp_path)
    for line in ("classes = 2  # cats and dogs\n", "classes =\n", ""):
        (tmp_path / "obj.data").write_text(config.replace("classes = 2\n", line))
        assert opened(tmp_path).classes == CLASSES


@pytest.mark.parametrize("names", ("[off, on, 010, 1.10, 7, 'null']", "{0: off, 1: on, 2: 010, 3: 1.10, 4: 7, 5: 'null'}",
                                   "\n  3: 1.10\n  <<: {0: off, 1: on, 2: 010}\n  4: 7\n  5: 'null'"))
def test_class_names_are_as_they_are_written_and_not_what_yaml_makes_of_them(place, names):
    """They were False, True, 8 and 1.1."""
    (place / "data.yaml").write_text(CONFIG.replace("[cat, dog]", names) + "nc: 6\n")
    assert opened(place).classes == ("off", "on", "010", "1.10", "7", "null")


def test_a_configuration_is_parsed_once(place, monkeypatch):
    parsed, parse = [], yaml.SafeLoader.get_single_node
    monkeypatch.setattr(yaml.SafeLoader, "get_single_node", lambda loader: parsed.append(loader) or parse(loader))
    (place / "data.yaml").write_text("mine: &mine {names: [off, on]}\n" + CONFIG.replace("names: [cat, dog]", "<<: *mine"))
    assert opened(place).classes == ("off", "on") and len(parsed) == 1


@pytest.mark.parametrize("text", (CONFIG + "nc: 2.0\n", CONFIG + "nc: +2\n", CONFIG + "kpt_shape: false\n",
                                  CONFIG + "test: false\n", CONFIG.replace("[cat, dog]", "{00: cat, 01: dog}")))
def test_what_else_a_configuration_says_is_as_yaml_reads_it(place, text):
    """Numbers and false were text, since a class 010 or off is."""
    (place / "data.yaml").write_text(text)
    assert opened(place).classes == CLASSES


@pytest.mark.parametrize("line, part", [
    ("0 a 0.5 0.1 0.1", "line 2: 'a' is not a number"), ("cat 0.5 0.5 0.1 0.1", "line 2: 'cat' is not a number"),
    ("0 nan 0.5 0.1 0.1", "line 2: 'nan' is not a number"), ("0.5 0.5 0.5 0.1 0.1", "not a whole number"),
    ("2 0.5 0.5 0.1 0.1", "unknown class: line 2: class id 2, but data.yaml names 2 .0 to 1."),
    ("-1 0.5 0.5 0.1 0.1", "class id -1"), ("0 0.5 0.5 0.1", "line 2: 4 numbers"), ("0", "1 numbers"),
    ("0 0.1 0.1 0.2 0.2 0.3", "6 numbers"), ("0 50 40 20 10", "50 is no fraction"), ("0 0.5 0.5 -0.1 0.1", "negative"),
    ("0 0.5 0.5 0 0.1", "no area"), ("0 1.2 0.5 0.1 0.1", "outside")])
def test_a_bad_line_is_one_line_and_is_left_out_on_request(place, line, part):
    label = place / "labels" / "train" / "b.txt"
    label.write_text(label.read_text() + line + "\n")
    with pytest.raises(UserError, match=part) as caught:
        opened(place)
    assert "b.txt" in str(caught.value) and len(str(caught.value).splitlines()) == 1
    found = opened(place, on_bad_sample="skip")
    assert len(found.faults) == 1 and boxes(found, 1) == [[1, 2, 3, 79]]


def test_an_image_without_a_label_is_a_negative_and_a_label_without_an_image_a_fault(place):
    (place / "labels" / "train" / "b.txt").unlink()
    assert boxes(opened(place), 1) == []
    (place / "images" / "train" / "a.jpg").unlink()
    with pytest.raises(UserError, match="missing image: the image of the label a.txt"):
        opened(place)
    assert [fault.kind for fault in check_set(str(place), progress=False).faults] == ["missing image"]


@pytest.mark.parametrize("train", ("images/train", "train.txt"))
def test_a_label_beside_its_image_is_a_fault_and_makes_no_negative_where_others_are_in_labels(place, train):
    """LabelImg saves there what is drawn later: the image trained as background. A caption beside an image is no label."""
    (place / "train.txt").write_text("".join(f"images/train/{name}.jpg\n" for name in "abcd"))
    (place / "data.yaml").write_text(CONFIG.replace("images/train", train))
    images, labels = place / "images" / "train", place / "labels" / "train"
    (labels / "c.txt").unlink()
    (images / "c.txt").write_text("A photo of 5 cats and 2 dogs\n")
    assert boxes(opened(place), 2) == []
    (labels / "b.txt").rename(images / "b.TXT")
    with pytest.raises(UserError, match=f"{images}/b.TXT: stray label: .* are read from {labels}/b.txt, which is not there"):
        opened(place)
    found = opened(place, on_bad_sample="skip")
    assert layout_files.stems(found) == ["a", "c", "d"] and [fault.kind for fault in found.faults] == ["stray label"]


def test_a_label_beside_its_image_is_told_once_where_the_part_holds_both_folders(place):
    (place / "data.yaml").write_text("train: .\nval: images/val\nnames: [cat, dog]\n")
    (place / "labels" / "train" / "b.txt").rename(place / "images" / "train" / "b.txt")
    assert [fault.kind for fault in opened(place, on_bad_sample="skip").faults] == ["stray label"]


@pytest.mark.parametrize("image, label, how", (("caf\u00e9.jpg", "cafe\u0301.txt", "another Unicode form .NFC or NFD."),
                                               ("IMG_1.JPG", "img_1.txt", "other capitals")))
@pytest.mark.parametrize("apart", (True, False))
@pytest.mark.parametrize("listed", (True, False))
def test_a_label_of_nearly_its_images_name_is_a_fault_and_makes_no_negative_in_lists_either(tmp_path, image, label, how, apart,
                                                                                           listed):
    """The image of a list trained as background, and that of a folder did where faults are skipped."""
    folder = tmp_path / "images"
    for name in ("a", "A", "b"):
        layout_files.put_image(str(folder), name)
    (folder / "b.jpg").rename(folder / image)
    labels = tmp_path / "labels" if apart else folder
    for name in ("A.txt", label):  # a.jpg is a negative: A.txt is another image's
        layout_files.put(str(labels / name), "0 0.5 0.5 0.5 0.5\n")
    layout_files.put(str(tmp_path / "train.txt"), f"images/a.jpg\nimages/{image}\n")
    layout_files.put(str(tmp_path / "obj.names"), "cat\ndog\n")
    layout_files.put(str(tmp_path / "obj.data"), f"names = obj.names\ntrain = {'train.txt' if listed else 'images'}\n")
    with pytest.raises(UserError, match=f"{label}: missing image: the image of the label {label} does not exist .*; {image} is "
                                        f"there, a name in {how}, so write the two alike"):
        opened(tmp_path)
    found = opened(tmp_path, on_bad_sample="skip")
    assert [(record.image_id, len(record.boxes)) for record in found.records] == ([] if listed else [("A", 1)]) + [("a", 0)]
    assert [fault.kind for fault in found.faults] == ["missing image"]


def test_a_link_to_a_label_that_is_not_there_is_a_fault_and_no_negative(place):
    (place / "labels" / "train" / "b.txt").unlink()
    (place / "labels" / "train" / "b.txt").symlink_to(place / "not fetched")
    with pytest.raises(UserError, match="b.txt: malformed annotation: the label cannot be read .No such file"):
        opened(place)


@pytest.mark.skipif(os.geteuid() == 0, reason="root reads every folder")
@pytest.mark.parametrize("folder", ("labels/train", "labels", "other"))
def test_a_folder_that_may_not_be_read_is_named_and_makes_no_negatives(place, folder):
    (place / folder).mkdir(exist_ok=True)
    (place / folder).chmod(0)
    with pytest.raises(UserError, match=f"{folder}: the folder cannot be read .Permission denied.; let it be read, or move it"):
        opened(place)


def test_what_a_file_system_lost_and_found_is_no_part_of_the_set(place):
    """Where the set is a disk of its own; only root may read the folder, and others were refused."""
    layout_files.put_image(str(place / "images" / "train" / "lost+found"), "z")
    assert len(opened(place)) == 4
    layout_files.one_folder(str(place / "lost+found"), ".xml", layout_files.of_voc)
    (place / "lost+found").chmod(0)
    assert recognise(str(place)).name == "yolo"


def test_labels_of_folders_whose_names_begin_with_images_are_found(place):
    """images/images_01 had none, and its images were negatives."""
    for kind in ("images", "labels"):
        (place / kind / "train").rename(place / kind / "images_01")
    (place / "data.yaml").write_text(CONFIG.replace("images/train", "[images/images_01/]"))
    assert [len(record.boxes) for record in opened(place).records] == [2, 1, 0, 1]


def test_labels_of_images_at_the_root_are_not_looked_for_in_the_current_folder(tmp_path, monkeypatch):
    (tmp_path / "labels" / "no such part").mkdir(parents=True)
    monkeypatch.chdir(tmp_path)
    assert labels_folder("/images/no such part") == "/images/no such part"


def test_labels_in_capital_letters_are_read_and_not_passed_over(place):
    """Their images were negatives; that such a label has no image was not told either."""
    for name in "ab":
        label = place / "labels" / "train" / f"{name}.txt"
        label.rename(label.with_suffix(".TXT"))
    (place / "labels").rename(place / "Labels")
    (place / "images").rename(place / "Images")
    (place / "data.yaml").write_text(CONFIG.replace("images", "Images"))
    assert [len(record.boxes) for record in opened(place).records] == [2, 1, 0, 1] and len(boxes(opened(place, "val"))) == 1
    assert len(annotations_of(recognise(str(place)))) == len(layout_files.IMAGES)
    (place / "Images" / "train" / "a.jpg").unlink()
    with pytest.raises(UserError, match="missing image: the image of the label a.TXT"):
        opened(place)


def test_labels_is_taken_before_another_spelling_and_where_it_holds_labels(tmp_path):
    """A folder Labels of masks hid the labels that lie beside the images."""
    images = tmp_path / "Images" / "train"
    for name in ("Images", "Labels", "labels"):
        layout_files.put(str(tmp_path / name / "train" / "a.png"), "")
    assert labels_folder(str(images)) == str(images)
    for name in ("Labels", "labels"):
        layout_files.put(str(tmp_path / name / "train" / "a.txt"), "")
        assert labels_folder(str(images)) == str(tmp_path / name / "train")


def test_darknets_own_tree_of_vocs_images_has_its_labels(tmp_path):
    """Darknet has labels/ in the place of JPEGImages/, too: all images were negatives."""
    layout_files.pairs(str(tmp_path), "VOC2007/JPEGImages", "VOC2007/labels", ".txt", layout_files.of_yolo)
    for part in ("train", "val"):
        layout_files.put(str(tmp_path / f"{part}.txt"), "".join(f"VOC2007/JPEGImages/{name}.jpg\n"
                                                               for name in layout_files.names_of(part)))
    layout_files.put(str(tmp_path / "voc.names"), "cat\ndog\n")
    layout_files.put(str(tmp_path / "obj.data"), "classes = 2\ntrain = train.txt\nvalid = val.txt\nnames = voc.names\n")
    assert [len(record.boxes) for role in ("train", "val") for record in opened(tmp_path, role).records] == [2, 1, 0, 1, 1, 2]


@pytest.mark.parametrize("role", ("train", "val"))
def test_a_part_none_of_whose_images_has_a_label_is_told_and_where_they_were_looked_for(place, role):
    """All of its images were negatives without a word."""
    assert not opened(place, role).remarks
    (place / "images" / role).rename(place / role)
    (place / "data.yaml").write_text(CONFIG.replace(f"images/{role}", role))
    found = opened(place, role)
    remark, = found.remarks
    assert (remark.path, remark.kind) == (str(place / "data.yaml"), "no label")
    assert remark.message.startswith(f"none of the {len(found)} images of {role} has a label: there is no "
                                     f"{place / role / found.records[0].image_id}.txt")
    assert {"no label", "no box"} <= {fault.kind for fault in check_set(str(place), progress=False).faults}


@pytest.mark.parametrize("train", ("[A/images, B/images]", "train.txt", ".", "[images/A, images/B]", "[images/A, other]"))
def test_a_folder_without_labels_is_told_where_another_of_the_part_has_some(tmp_path, train):
    """All of its images trained as background without a word."""
    first, second = {"[images/A, images/B]": ("images/A", "images/B"), "[images/A, other]": ("images/A", "other")}.get(
        train, ("A/images", "B/images"))
    for folder, names in ((first, "abc"), (second, "de")):
        for name in names:
            layout_files.put_image(str(tmp_path / folder), name)
    label = str(tmp_path / first / "b.txt").replace("images", "labels")  # a and c are negatives
    layout_files.put(label, "0 0.5 0.5 0.5 0.5\n")
    layout_files.put(str(tmp_path / "train.txt"), "".join(f"{first}/{name}.jpg\n" for name in "abc") + f"{second}/d.jpg\n"
                     f"{second}/e.jpg\n")
    layout_files.put(str(tmp_path / "data.yaml"), f"train: {train}\nval: {first}\nnames: [cat, dog]\n")
    found = opened(tmp_path)
    assert [len(record.boxes) for record in found.records] == [0, 1, 0, 0, 0] and not opened(tmp_path, "val").remarks
    remark, = found.remarks
    assert (remark.path, remark.kind) == (str(tmp_path / "data.yaml"), "no label")
    assert remark.message.startswith(f"none of the 2 images of train in {tmp_path / second} has a label: there is no "
                                     f"{tmp_path / second}/d.txt")


def test_folders_of_negatives_below_a_folder_with_labels_are_not_told(place):
    """Exports leave the labels of images without objects out, and with them whole folders of a recording."""
    layout_files.put_image(str(place / "images" / "train" / "clip"), "z")
    assert len(opened(place)) == 5 and not opened(place).remarks
    (place / "train.txt").write_text("images/train/a.jpg\nimages/train/clip/z.jpg\n")
    (place / "data.yaml").write_text(CONFIG.replace("images/train", "train.txt"))
    assert len(opened(place)) == 2 and not opened(place).remarks


@pytest.mark.parametrize("train", ("images/train", "train.txt"))
def test_two_images_of_one_label_are_told(place, train):
    """Both had its boxes without a word, though a.png may be another picture, or a mask."""
    layout_files.put_image(str(place / "images" / "train"), "z", ".png")
    (place / "images" / "train" / "z.png").rename(place / "images" / "train" / "a.png")
    (place / "train.txt").write_text("".join(f"images/train/{name}\n" for name in ("a.jpg", "a.png", "b.jpg")))
    (place / "data.yaml").write_text(CONFIG.replace("images/train", train))
    found = opened(place)
    assert boxes(found, 0) == boxes(found, 1) != []
    remark, = found.remarks
    assert (remark.path, remark.kind) == (str(place / "labels" / "train" / "a.txt"), "shared label")
    assert remark.message.startswith(f"2 images have its boxes: {place}/images/train/a.jpg, {place}/images/train/a.png; ")
    assert "shared label" in {fault.kind for fault in check_set(str(place), progress=False).faults}


def test_text_that_is_not_utf_8_is_a_fault(place):
    (place / "labels" / "train" / "b.txt").write_bytes(b"\xff\xfe0 1")
    with pytest.raises(UserError, match="b.txt: malformed annotation: the label is not UTF-8"):
        opened(place)


def test_an_image_of_a_list_that_is_gone_is_a_fault(place):
    (place / "train.txt").write_text("images/train/a.jpg\nimages/train/gone.jpg\n")
    (place / "data.yaml").write_text(CONFIG.replace("images/train", "train.txt"))
    with pytest.raises(UserError, match="gone.jpg: missing image"):
        opened(place)
    assert len(opened(place, on_bad_sample="skip")) == 1


@pytest.mark.parametrize("name", ("val", "valid", "validation", "test"))
def test_a_parts_list_in_a_folder_of_labels_is_no_label(tmp_path, name):
    """validation.txt was a label without an image."""
    layout_files.put_image(str(tmp_path), "a")
    layout_files.put(str(tmp_path / "a.txt"), "0 0.5 0.5 0.1 0.1\n")
    layout_files.put(str(tmp_path / f"{name}.txt"), "a.jpg\n")
    layout_files.put(str(tmp_path / "data.yaml"), f"train: .\n{name}: {name}.txt\nnames: [cat, dog]\n")
    assert len(opened(tmp_path)) == 1


def test_a_missing_folder_of_a_list_is_not_left_out_of_a_path(place):
    """The root's own image of that name was trained on."""
    layout_files.put_image(str(place), "a")
    (place / "train.txt").write_text("mine/images/train/a.jpg\ngone/a.jpg\n")
    (place / "data.yaml").write_text(CONFIG.replace("images/train", "train.txt"))
    with pytest.raises(UserError, match="gone/a.jpg: missing image"):
        opened(place)
    assert len(opened(place, on_bad_sample="skip")) == 1  # its author's folder may be


@pytest.mark.parametrize("part", ("train", "val"))
def test_a_missing_folder_of_a_parts_name_is_not_left_out_of_a_path(place, part):
    """Both parts were images/, so that all images trained and validated."""
    (place / "data.yaml").write_text(CONFIG.replace(f"images/{part}", f"{part}/images"))
    with pytest.raises(UserError, match=f"data.yaml: '{part}/images' does not exist"):
        opened(place, part)
    (place / "data.yaml").write_text(CONFIG.replace(f"images/{part}", f"mine/images/{part}"))
    assert len(opened(place, part)) == len(layout_files.names_of(part))


def test_lists_keep_their_order_and_several_places_are_joined(place):
    (place / "train.txt").write_text("images/train/d.jpg\nimages/train/a.jpg\n")
    (place / "data.yaml").write_text(CONFIG.replace("images/train", "[train.txt, images/val]"))
    assert [record.image_id for record in opened(place).records] == ["d", "a", "e", "f"]


def test_a_path_out_of_the_folder_is_refused_where_it_may_be_one_inside(tmp_path):
    """Roboflow writes ../train for train: the parent's set was read, where there is one."""
    layout_files.roboflow_yolo(str(tmp_path / "mine"))
    assert len(opened(tmp_path / "mine")) == 4
    layout_files.roboflow_yolo(str(tmp_path))
    with pytest.raises(UserError, match=r"mine/data.yaml: '../train/images' is .*/images, and .*/mine/train/images is there"):
        opened(tmp_path / "mine")
    config = tmp_path / "mine" / "data.yaml"
    config.write_text(config.read_text().replace("../train", f"{tmp_path}/train").replace("../valid", "valid"))
    assert {record.path for record in opened(tmp_path / "mine").records} == {record.path for record in opened(tmp_path).records}


def test_the_configuration_may_be_named_itself(place):
    (place / "other.yaml").write_text(CONFIG.replace("images/train", "images/val"))
    assert len(opened(place / "other.yaml")) == 2 and len(opened(place)) == 4


def test_a_part_is_named(place):
    assert len(opened(place, split="val,train")) == 6
    with pytest.raises(UserError, match="no split 'gone' .found: train, val."):
        opened(place, split="gone")


def test_numbers_of_many_digits_are_not_rounded(place):
    (place / "labels" / "train" / "b.txt").write_text("0 0.500033333333 0.5 0.25 0.25\n1 0.5 0.5 0.25 0.25\n")
    (left, top, right, bottom), other = boxes(opened(place), 1)
    assert (top, bottom) == (30, 50) and other == [37.5, 30, 62.5, 50]
    assert left == np.float32(37.5033333333) and right == np.float32(62.5033333333)


@pytest.mark.parametrize("shape", ("[2, 3]", "[2.0, 3]"))
def test_poses_are_read_as_their_boxes(place, shape):
    (place / "data.yaml").write_text(CONFIG + f"kpt_shape: {shape}\n")
    (place / "labels" / "train" / "b.txt").write_text("0 0.5 0.5 0.5 0.5 0.9 0.9 2 0.1 0.1 2\n")
    assert boxes(opened(place), 1) == [[25, 20, 75, 60]] and opened(place).records[1].outlines == 0


def test_fractions_are_of_the_upright_image(place):
    from PIL import Image

    exif = Image.Exif()
    exif[0x0112] = 6
    Image.new("RGB", (WIDTH, HEIGHT)).save(place / "images" / "train" / "b.jpg", exif=exif)
    (place / "labels" / "train" / "b.txt").write_text("0 0.5 0.5 0.5 0.5\n")
    record = opened(place).records[1]
    assert (record.width, record.height, record.orientation) == (HEIGHT, WIDTH, 6)
    assert boxes(opened(place), 1) == [[20, 25, 60, 75]]


def test_classes_are_chosen_and_ordered(place):
    assert [record.classes.tolist() for record in opened(place, classes=("dog", "cat")).records] == [[0, 1], [1], [], [0]]
    with pytest.raises(UserError, match="'owl' is not among its classes"):
        opened(place, classes=("owl",))
    with pytest.raises(UserError, match="unknown class"):
        opened(place, classes=("dog",))


def test_labels_whose_classes_nothing_names_need_them_given(place):
    (place / "data.yaml").unlink()
    with pytest.raises(UserError, match="give --classes"):
        opened(place)
    assert opened(place, classes=CLASSES).records[0].classes.tolist() == [1, 0]


def test_an_empty_line_among_the_class_names_is_refused_and_at_the_end_is_none(tmp_path):
    """It was left out, and all ids behind it were of the next class."""
    layout_files.labelimg_in_one_folder(str(tmp_path))
    (tmp_path / "classes.txt").write_text("cat\ndog\n\n \n")
    assert opened(tmp_path).classes == CLASSES
    (tmp_path / "classes.txt").write_text("cat\n\ndog\n")
    with pytest.raises(UserError, match="classes.txt: line 2 is empty"):
        opened(tmp_path)


def test_lists_of_class_names_of_several_folders_agree_or_are_refused(tmp_path):
    """LabelImg writes one into each, in the order of its folder; all labels were of the first."""
    layout_files.labelimg_yolo(str(tmp_path))
    before = [opened(tmp_path, role).records[0].classes.tolist() for role in ("train", "val")]
    (tmp_path / "train" / "classes.txt").write_text("cat\n")
    (tmp_path / "val" / "classes.txt").write_text("cat\ndog\n")
    assert opened(tmp_path).classes == CLASSES
    assert [opened(tmp_path, role).records[0].classes.tolist() for role in ("train", "val")] == before
    (tmp_path / "train" / "classes.txt").write_text("dog\ncat\n")
    with pytest.raises(UserError, match="val/classes.txt: class 0 is 'cat', and 'dog' in .*train/classes.txt; give the labels"):
        opened(tmp_path)


def put_notes(folder, *ids):
    """Label Studio's, which gives the classes these ids."""
    layout_files.put(str(folder / "notes.json"), {"info": {}, "categories": [{"id": number, "name": name}
                                                                            for number, name in zip(ids, CLASSES)]})


@pytest.mark.parametrize("listed", ("cat\ndog\n", "dog\ncat\n"))
def test_label_studios_numbers_are_the_ids_of_its_notes_and_not_the_places_of_its_list(tmp_path, listed):
    """With category= in its setup the list has another order: all boxes were of the other class."""
    layout_files.labelimg_in_one_folder(str(tmp_path))
    (tmp_path / "classes.txt").write_text(listed)
    put_notes(tmp_path, 0, 1)
    found = opened(tmp_path)
    assert found.classes == CLASSES and found.records[0].classes.tolist() == [1, 0]
    put_notes(tmp_path, 1, 0)
    assert opened(tmp_path).classes == CLASSES[::-1]


def test_lists_of_several_folders_are_each_in_the_order_of_their_own_notes(tmp_path):
    layout_files.labelimg_yolo(str(tmp_path))
    for part, ids in (("train", (0, 1)), ("val", (1, 0))):
        (tmp_path / part / "classes.txt").write_text("cat\ndog\n")
        put_notes(tmp_path / part, *ids)
    with pytest.raises(UserError, match="class 0 is '(cat|dog)', and '(cat|dog)' in .*classes.txt; give the labels"):
        opened(tmp_path)


@pytest.mark.parametrize("ids", ((1, 2), (0, 3)))
def test_notes_that_name_other_ids_are_refused(tmp_path, ids):
    layout_files.labelimg_in_one_folder(str(tmp_path))
    put_notes(tmp_path, *ids)
    with pytest.raises(UserError, match=f"classes.txt: .* 0 cat, 1 dog, and .*notes.json {ids[0]} cat, {ids[1]} dog;"):
        opened(tmp_path)


def test_classes_that_were_renamed_since_are_as_the_list_has_them(tmp_path, caplog):
    layout_files.labelimg_in_one_folder(str(tmp_path))
    (tmp_path / "classes.txt").write_text("Cat\ndog\n")
    put_notes(tmp_path, 0, 1)
    assert opened(tmp_path).classes == ("Cat", "dog")
    assert "names other classes than" in caplog.text


def test_a_configuration_written_beside_label_studios_notes_has_their_order(place):
    put_notes(place, 0, 1)
    assert opened(place).classes == CLASSES
    put_notes(place, 1, 0)
    with pytest.raises(UserError, match="data.yaml: names are not in the order of the ids that notes.json"):
        opened(place)


@pytest.mark.parametrize("text", ("{", "[]", '{"categories": 3}', '{"categories": ["cat"]}', '{"categories": [{"id": 0}]}'))
def test_notes_of_another_kind_say_nothing(place, text):
    (place / "notes.json").write_text(text)
    assert opened(place).classes == CLASSES


def test_two_configurations_are_named(place):
    (place / "data.yaml").rename(place / "a.yaml")
    (place / "b.yaml").write_text(CONFIG)
    with pytest.raises(UserError, match="a.yaml, b.yaml"):
        opened(place)


def test_a_broken_image_is_a_fault(place):
    (place / "images" / "train" / "b.jpg").write_bytes(b"none")
    with pytest.raises(UserError, match="b.jpg: broken image"):
        opened(place)


def test_images_of_one_name_in_two_folders_have_ids_of_their_own(place):
    cv2.imwrite(str(place / "images" / "val" / "a.jpg"), np.zeros((HEIGHT, WIDTH, 3), np.uint8))
    ids = [record.image_id for record in opened(place, split="train,val").records]
    assert len(set(ids)) == 7


def test_folders_below_that_are_links_are_read_once_and_after_the_others(place, tmp_path_factory):
    """They were left out without a word; a link back to where it lies must end."""
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    for kind in ("images", "labels"):
        (place / kind / "train" / "more").mkdir()
        for name in "ab":
            (next((place / kind / "train").glob(f"{name}.*"))).rename(
                place / kind / "train" / "more" / (f"{name}.jpg" if kind == "images" else f"{name}.txt"))
    kept = opened(place)
    for kind in ("images", "labels"):
        (place / kind / "train" / "more").rename(elsewhere / kind)
        (place / kind / "train" / "more").symlink_to(elsewhere / kind)
        (place / kind / "train" / "again").symlink_to("more")
        (place / kind / "train" / "back").symlink_to(place / kind)
    found = opened(place)
    once = [record for record in found.records if "back" not in record.path]
    assert [record.image_id for record in kept.records] == ["c", "d", "a", "b"]
    assert sorted(record.image_id for record in once) == list("abcd") and sum(len(record.boxes) for record in once) == 4
    assert len({os.path.realpath(record.path) for record in found.records}) == len(found) == 6  # back has what validates, too


def test_names_that_repeat_are_counted_once_and_not_anew_for_each():
    paths = [f"/set/{number % 30000}/{number}.jpg" for number in range(30000)] + ["/set/other/7.jpg"]
    before = time.process_time()
    ids = image_ids(paths, "/set")
    assert time.process_time() - before < 2  # it was a minute
    assert ids[7] == "7/7.jpg" and ids[-1] == "other/7.jpg" and ids[8] == "8" and len(set(ids)) == len(ids)

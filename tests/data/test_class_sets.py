"""Sets of images of classes: records as MXNet reads them, folders, and objects of detection sets."""
import dataclasses
import os
import shutil

import numpy as np
import pytest

from gluon_bof.backend import mx
from gluon_bof.data.class_sets import class_mark, open_classes, read_record
from gluon_bof.data.classification import read_sample
from gluon_bof.data.convert import TARGETS, convert_set
from gluon_bof.data.localisation import open_objects
from gluon_bof.errors import UserError
from tests.data import layout_files, voc_files
from tests.tiny_sets import write_class_folders, write_voc_set


def write_records(root, role, images, labels):
    """RecordIO as MXNet itself writes it."""
    writer = mx.recordio.MXIndexedRecordIO(str(root / f"{role}.idx"), str(root / f"{role}.rec"), "w")
    for number, (image, label) in enumerate(zip(images, labels)):
        header = mx.recordio.IRHeader(0, label, number, 0)
        writer.write_idx(number, mx.recordio.pack_img(header, image[:, :, ::-1], img_fmt=".png"))
    writer.close()


def test_records_are_read_as_mxnet_reads_them(tmp_path):
    rng = np.random.default_rng(0)
    images = [rng.integers(0, 256, (20 + n, 30, 3)).astype(np.uint8) for n in range(5)]
    for role in ("train", "val"):
        write_records(tmp_path, role, images, [3, 0, 1, [2.0, 5.0], 1])  # several, as im2rec --pack-label writes them
    training, validation = open_classes(str(tmp_path))
    assert len(training.classes) == 4 and len(validation) == 5
    reader = mx.recordio.MXIndexedRecordIO(str(tmp_path / "train.idx"), str(tmp_path / "train.rec"), "r")
    for number, sample in enumerate(training.samples):
        header, image = mx.recordio.unpack_img(reader.read_idx(number))
        assert sample.class_id == np.ravel(header.label)[0]
        np.testing.assert_array_equal(read_sample(sample), image[:, :, ::-1])
        np.testing.assert_array_equal(read_sample(sample), images[number])


def test_other_images_classes_or_parts_of_them_are_another_set(tmp_path):
    """Processes were only told of other classes and boxes."""
    write_class_folders(tmp_path / "a", np.random.default_rng(0))
    shutil.copytree(tmp_path / "a", tmp_path / "b")
    found, copy = (open_classes(str(tmp_path / name))[0] for name in "ab")
    assert class_mark(found) == class_mark(copy)
    first, *others = found.samples
    changed = (first._replace(path="other.png"), first._replace(class_id=1), first._replace(window=(0, 0, 4, 4)),
               first._replace(box=(0.0, 0.0, 4.0, 4.0)))
    marks = {class_mark(dataclasses.replace(found, samples=[sample, *others])) for sample in (first, *changed)}
    assert len(marks) == 5


@pytest.mark.parametrize("labels, told", [([0, 4, 1], "val.rec: no record of train has the label 4"),
                                          ([0, 1, 2], "the label 2"), ([0, 1, 3], None)])
def test_records_are_not_validated_on_a_label_that_none_of_train_has(tmp_path, labels, told, caplog):
    images = [np.zeros((8, 8, 3), np.uint8)] * 3
    write_records(tmp_path, "train", images, [3, 0, 1])
    write_records(tmp_path, "val", images, labels)
    if told:
        with pytest.raises(UserError, match=told):
            open_classes(str(tmp_path))
    else:
        training, validation = open_classes(str(tmp_path))
        assert validation.classes == training.classes == ("0", "1", "2", "3") and "val.rec has no image of 2," in caplog.text


@pytest.mark.parametrize("label", [float("nan"), float("inf"), -1, 0.5, 1e9])
def test_a_label_that_is_no_classs_number_is_refused(tmp_path, label):
    """A billion took all of the memory, infinity ended in a traceback, and -1 and a half were trained on."""
    for role in ("train", "val"):
        write_records(tmp_path, role, [np.zeros((8, 8, 3), np.uint8)] * 2, [0, label])
    with pytest.raises(UserError, match="train.rec: the record at byte .* has the label .*, which is no class's number"):
        open_classes(str(tmp_path))


def test_a_record_that_holds_the_magic_number_is_put_together_again(tmp_path):
    magic = (0xced7230a).to_bytes(4, "little")
    payload = b"abcd" + magic + b"efgh" + magic * 2 + b"xyz"
    writer = mx.recordio.MXIndexedRecordIO(str(tmp_path / "train.idx"), str(tmp_path / "train.rec"), "w")
    writer.write_idx(0, mx.recordio.pack(mx.recordio.IRHeader(0, 1.0, 0, 0), payload))
    writer.write_idx(1, mx.recordio.pack(mx.recordio.IRHeader(0, [2.0, 5.0], 1, 0), b"next"))
    writer.close()
    places = [int(line.split("\t")[1]) for line in (tmp_path / "train.idx").read_text().splitlines()]
    assert [read_record(str(tmp_path / "train.rec"), place) for place in places] == [payload, b"next"]
    with pytest.raises(UserError, match="no whole record begins at byte 4"):
        read_record(str(tmp_path / "train.rec"), 4)


def test_objects_of_a_detection_set_become_images_of_their_class(tmp_path):
    training, validation = open_classes(str(write_voc_set(tmp_path / "set", images=6, validation=3)))
    assert training.classes == ("blue", "green", "red") == validation.classes
    for sample in training.samples:
        image = read_sample(sample)
        assert image.shape[0] == sample.window[3] and image.shape[1] == sample.window[2]
        middle = image[image.shape[0] // 3:-image.shape[0] // 3, image.shape[1] // 3:-image.shape[1] // 3]
        assert ("red", "green", "blue").index(training.classes[sample.class_id]) == middle.mean(axis=(0, 1)).argmax()


def test_difficult_objects_are_no_images_of_their_class(tmp_path):
    objects = voc_files.xml(("dog", 10, 20, 50, 60), ("dog", 52, 20, 90, 60, 1))
    voc_files.write_set(tmp_path, {"a": objects, "b": objects}, {"trainval": "a", "test": "b"})
    assert [[sample.window[0] < 50 for sample in found.samples] for found in open_classes(str(tmp_path))] == [[True], [True]]


@pytest.mark.parametrize("prepare, message", [
    (lambda root: None, "does not exist"),
    (lambda root: (root / "set" / "train").mkdir(parents=True), "no folder of a class"),
    (lambda root: ((root / "set").mkdir(), (root / "set" / "train.rec").write_bytes(b"")), "train.idx"),
    (lambda root: ((root / "set").mkdir(), (root / "set" / "train.rec").write_bytes(b"x" * 99),
                   (root / "set" / "train.idx").write_text("0\t0\n")), "no record begins"),
    (lambda root: ((root / "set").mkdir(), (root / "set" / "train.rec").write_bytes(b"x" * 99),
                   (root / "set" / "train.idx").write_text("0\t-8\n")), "train.idx: not an index"),
])
def test_a_set_that_cannot_be_read_is_named(tmp_path, prepare, message):
    prepare(tmp_path)
    with pytest.raises(UserError, match=message):
        open_classes(str(tmp_path / "set"))


@pytest.mark.parametrize("write", [write for writers in layout_files.LAYOUTS.values() for write in writers],
                         ids=[write.__name__ for writers in layout_files.LAYOUTS.values() for write in writers])
def test_a_detection_set_with_a_folder_train_gives_its_objects_and_not_classes_of_its_folders(tmp_path, write):
    """train/images and train/labels were two classes, train/*.jpg none."""
    write(str(tmp_path))
    training, validation = open_classes(str(tmp_path))
    assert training.classes == layout_files.CLASSES == validation.classes and len(validation) == 2  # the third is too small
    assert all(sample.window for sample in training.samples + validation.samples)


def test_what_convert_writes_is_pre_trained_on(tmp_path):
    layout_files.ultralytics(str(tmp_path / "in"))
    for target in TARGETS:
        convert_set(str(tmp_path / "in"), str(tmp_path / target), target)
        assert [len(found) for found in open_classes(str(tmp_path / target))] == [2, 2]


def test_folders_of_classes_are_such_with_annotations_or_other_json_beside_the_images(tmp_path):
    write_class_folders(tmp_path, np.random.default_rng(0))
    before = [found.samples for found in open_classes(str(tmp_path))]
    (tmp_path / "train" / "notes.json").write_text("{}")
    (tmp_path / "train" / "bright" / "0.xml").write_text("<annotation/>")
    for part in ("train", "val"):
        (tmp_path / part / ".ipynb_checkpoints").mkdir()
        (tmp_path / part / ".ipynb_checkpoints" / "0.png").write_bytes(b"x")
    (tmp_path / "train" / "bright" / "._0.png").write_bytes(b"x")
    training, validation = open_classes(str(tmp_path))
    assert training.classes == ("bright", "dark") and [training.samples, validation.samples] == before


@pytest.mark.parametrize("maps", ("masks", "labels"))
def test_images_and_their_label_maps_are_no_two_classes(tmp_path, maps):
    """A network learnt to tell photographs from label maps."""
    for part in ("train", "val"):
        layout_files.put_image(str(tmp_path / part / "images"), "a")
        layout_files.put_image(str(tmp_path / part / maps), "a", ".png")
    with pytest.raises(UserError, match=f"no boxes; train/{maps}, val/{maps} seem to be label maps; .*train segmentation"):
        open_classes(str(tmp_path))


def test_a_class_called_masks_is_one_beside_another(tmp_path):
    write_class_folders(tmp_path, np.random.default_rng(0))
    for part in ("train", "val"):
        (tmp_path / part / "dark").rename(tmp_path / part / "masks")
    assert open_classes(str(tmp_path))[0].classes == ("bright", "masks")


def test_a_class_folder_whose_name_is_no_utf8_is_refused_and_not_when_the_run_writes_its_classes(tmp_path):
    write_class_folders(tmp_path, np.random.default_rng(0))
    for part in ("train", "val"):
        os.rename(tmp_path / part / "dark", os.fsencode(tmp_path / part) + b"/caf\xe9")
    with pytest.raises(UserError, match="the class name 'caf.udce9' cannot be written as text") as refusal:
        open_classes(str(tmp_path))
    assert refusal.value.path == str(tmp_path)


def test_a_folder_that_validates_under_another_name_is_refused_and_not_left_out_of_the_accuracy(tmp_path):
    write_class_folders(tmp_path, np.random.default_rng(0))
    (tmp_path / "val" / "dark").rename(tmp_path / "val" / "Dark")
    with pytest.raises(UserError, match="no class of train is called Dark, as folders of val are"):
        open_classes(str(tmp_path))


@pytest.mark.parametrize("name", ("valid", "validation"))
def test_a_folder_called_valid_validates_and_not_test(tmp_path, name):
    write_class_folders(tmp_path, np.random.default_rng(0))
    (tmp_path / "val").rename(tmp_path / name)
    (tmp_path / "test").mkdir()
    assert len(open_classes(str(tmp_path))[1]) == 6
    (tmp_path / name).rename(tmp_path / "later")
    (tmp_path / "test").rmdir()
    with pytest.raises(UserError, match="no folder of a class in val holds an image; put images into val/CLASS/"):
        open_classes(str(tmp_path))


def test_a_class_none_of_whose_images_is_read_is_refused_and_told_of_where_it_validates(tmp_path, caplog):
    """It was a class without images: one that lie deeper, as Tiny ImageNet's, or have an ending that is not read."""
    write_class_folders(tmp_path, np.random.default_rng(0))
    for path in (tmp_path / "val" / "dark").iterdir():
        path.rename(path.with_suffix(".jfif"))
    assert len(open_classes(str(tmp_path))[1]) == 3 and "val has no image of dark, of which its accuracy" in caplog.text
    (tmp_path / "train" / "dark").rename(tmp_path / "images")
    (tmp_path / "train" / "dark").mkdir()
    (tmp_path / "images").rename(tmp_path / "train" / "dark" / "images")
    with pytest.raises(UserError, match="train: no image lies directly in the folder of dark"):
        open_classes(str(tmp_path))


@pytest.mark.parametrize("open_parts", (open_classes, open_objects))
def test_faults_of_a_detection_set_are_named_and_no_flag_that_pre_training_has_not(tmp_path, caplog, open_parts):
    """They were left out without a word; a broken image told of --on-bad-sample."""
    layout_files.ultralytics(str(tmp_path))
    (tmp_path / "labels" / "train" / "b.txt").write_text("5 0.5 0.5 0.1 0.1\n")
    training, _ = open_parts(str(tmp_path))
    assert caplog.text.count("skipped: ") == 1 and "class id 5" in caplog.text
    path = training.samples[0].path
    with open(path, "r+b") as file:
        file.truncate(300)
    with pytest.raises(UserError) as caught:
        read_sample(training.samples[0])
    assert path in str(caught.value) and "--" not in caught.value.remedy
    (tmp_path / "data.yaml").write_text("train: images/train\nnames: [cat, dog]\n")
    with pytest.raises(UserError, match="--val-share .*here there is no such flag, but what gluon-bof convert writes is read"):
        open_parts(str(tmp_path))

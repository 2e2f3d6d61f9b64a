"""The one rule of orientation and stated size, in both layouts and in everything that reads a record's image."""
import json

import cv2
import numpy as np
import pytest

from gluon_bof.data.check import check_set
from gluon_bof.data.class_sets import open_classes
from gluon_bof.data.classification import read_sample
from gluon_bof.data.images import read_image
from gluon_bof.data.loader import TrainingImages, ValidationImages
from gluon_bof.data.sampler import SampleSpec
from gluon_bof.data.sets import open_set
from gluon_bof.data.transforms import EvalTransform, square
from gluon_bof.errors import UserError
from gluon_bof.freebies.augmentation import Augmentation
from tests.data.image_files import write_image

WIDTH, HEIGHT = 60, 100  # of the upright image
BOX = (10, 20, 40, 60)  # in it, painted red


def upright(width=WIDTH, height=HEIGHT):
    image = np.full((height, width, 3), 90, np.uint8)
    image[BOX[1]:BOX[3], BOX[0]:BOX[2]] = (255, 0, 0)
    return image


def write_set(root, layout, orientation, stated, image=None, names=("a", "b")):
    """A set of two PNGs, one to train and one to validate on, of that orientation and stated size."""
    image = upright() if image is None else image
    folders = ("Annotations", "JPEGImages", "ImageSets/Main") if layout == "voc" else ("annotations", "images")
    for folder in folders:
        (root / folder).mkdir(parents=True)
    for name, role in zip(names, ("train", "val")):
        write_image(root / folders[1] / f"{name}.png", orientation, image)
        if layout == "voc":
            size = "" if stated is None else "<size><width>{}</width><height>{}</height></size>".format(*stated)
            corners = "".join(f"<{side}>{value + 1}</{side}>" for side, value in zip(("xmin", "ymin", "xmax", "ymax"), BOX))
            (root / "Annotations" / f"{name}.xml").write_text(
                f"<annotation><filename>{name}.png</filename>{size}<object><name>red</name><bndbox>{corners}</bndbox></object>"
                "</annotation>")
            (root / "ImageSets/Main" / f"{role}.txt").write_text(name)
        else:
            entry = {"id": 1, "file_name": f"{name}.png", **({} if stated is None else dict(zip(("width", "height"), stated)))}
            box = [BOX[0], BOX[1], BOX[2] - BOX[0], BOX[3] - BOX[1]]
            (root / "annotations" / f"{role}.json").write_text(json.dumps(
                {"images": [entry], "categories": [{"id": 1, "name": "red"}],
                 "annotations": [{"id": 1, "image_id": 1, "category_id": 1, "bbox": box, "area": 1, "iscrowd": 0}]}))
    return str(root)


def is_red(image):
    """Whether the part is the painted box."""
    return image.size > 0 and bool((image.reshape(-1, 3) == (255, 0, 0)).all())


RULE = [  # orientation, stated size, whether it is turned
    (1, (WIDTH, HEIGHT), False), (6, (WIDTH, HEIGHT), True), (8, (WIDTH, HEIGHT), True), (6, (HEIGHT, WIDTH), False),
    (6, None, True), (6, (0, 0), True), (3, (WIDTH, HEIGHT), True), (3, None, True), (1, None, False)]


@pytest.mark.parametrize("layout", ["voc", "coco"])
@pytest.mark.parametrize("orientation, stated, is_turned", RULE)
def test_the_stated_size_decides(tmp_path, layout, orientation, stated, is_turned):
    record = open_set(write_set(tmp_path / "a", layout, orientation, stated), None, "train").records[0]
    assert record.orientation == (orientation if is_turned else 1)
    image = read_image(record.path, record.orientation)
    assert image.shape[1::-1] == (record.width, record.height)
    if stated != (HEIGHT, WIDTH):  # with the stored size stated, the box would be one of the stored image
        left, top, right, bottom = record.boxes[0].astype(int)
        assert is_red(image[top:bottom, left:right]) and tuple(record.boxes[0]) == BOX


@pytest.mark.parametrize("layout", ["voc", "coco"])
@pytest.mark.parametrize("orientation", [1, 6])
def test_another_size_is_a_fault_in_the_same_words(tmp_path, layout, orientation):
    folder = write_set(tmp_path / "a", layout, orientation, (2 * WIDTH, 2 * HEIGHT))
    words = "stated 120 x 200, is 60 x 100" if orientation == 1 else \
        "stated 120 x 200, is 100 x 60 (60 x 100 when turned upright)"
    for role in ("train", "val"):
        with pytest.raises(UserError) as caught:
            open_set(folder, None, role)
        assert words in str(caught.value) and "wrong size" in str(caught.value)
    report = check_set(folder, progress=False)
    assert [fault.kind for fault in report.faults] == ["wrong size"] * 2
    assert all(words in fault.message for fault in report.faults)
    with pytest.raises(UserError, match="can be used"):
        open_set(folder, None, "train", on_bad_sample="skip")


@pytest.mark.parametrize("layout", ["voc", "coco"])
def test_swapped_sides_without_a_tag_are_a_fault(tmp_path, layout):
    with pytest.raises(UserError, match="stated 100 x 60, is 60 x 100"):
        open_set(write_set(tmp_path / "a", layout, 1, (HEIGHT, WIDTH)), None, "train")


@pytest.mark.parametrize("layout", ["voc", "coco"])
@pytest.mark.parametrize("orientation", [6, 8, 3])
def test_every_reader_of_a_record_turns_alike(tmp_path, layout, orientation):
    folder = write_set(tmp_path / "a", layout, orientation, (WIDTH, HEIGHT))
    plain = write_set(tmp_path / "b", layout, 1, (WIDTH, HEIGHT))
    seen = []
    for place in (folder, plain):
        train, val = (open_set(place, None, role) for role in ("train", "val"))
        image, truth, broken = TrainingImages(train.records, Augmentation.none())[SampleSpec(0, -1, 1.0, 96, (0, 0, 0, 0))]
        validated = ValidationImages(val.records, EvalTransform(square, 96))[0][0]
        samples = [read_sample(sample) for part in open_classes(place) for sample in part.samples]
        seen.append((image, truth, validated, *samples))
        assert broken == []
    for turned, stored in zip(*seen):
        np.testing.assert_array_equal(turned, stored)
    report = check_set(folder, progress=False)
    assert report.turned == 2 and report.faults == [] and any("1 images are turned" in note for note in report.notes)
    assert check_set(plain, progress=False).turned == 0


def test_a_square_image_is_turned_though_its_size_says_nothing(tmp_path):
    folder = write_set(tmp_path / "a", "voc", 6, (80, 80), upright(80, 80))
    record = open_set(folder, None, "train").records[0]
    assert record.orientation == 6 and is_red(read_image(record.path, 6)[BOX[1]:BOX[3], BOX[0]:BOX[2]])


def test_images_in_folders_of_classes_are_turned_as_their_tags_say(tmp_path):
    for role in ("train", "val"):
        (tmp_path / role / "red").mkdir(parents=True)
        write_image(tmp_path / role / "red" / "a.png", 6, upright())
    sample = open_classes(str(tmp_path))[0].samples[0]
    np.testing.assert_array_equal(read_sample(sample), upright())


def test_unturned_images_keep_their_bits(tmp_path):
    path = str(tmp_path / "a.jpg")
    noise = np.random.default_rng(0).integers(0, 256, (40, 50, 3)).astype(np.uint8)
    cv2.imwrite(path, noise)
    np.testing.assert_array_equal(read_image(path), cv2.cvtColor(cv2.imread(path), cv2.COLOR_BGR2RGB))


def test_the_pages_of_a_run_show_the_turned_image(tmp_path):
    from gluon_bof.boxes import Detections
    from gluon_bof.visualization.run_pages import draw_validation_boxes

    pages = []
    for orientation in (1, 6):
        (tmp_path / str(orientation)).mkdir()
        found = open_set(write_set(tmp_path / f"set{orientation}", "coco", orientation, (WIDTH, HEIGHT)), None, "val")
        nothing = Detections(np.zeros((0, 4), np.float32), np.zeros(0, int), np.zeros(0, np.float32))

        class Run:
            images = str(tmp_path / str(orientation))
        draw_validation_boxes(Run, found, [nothing])
        pages.append(cv2.imread(f"{Run.images}/validation_images.png"))
    np.testing.assert_array_equal(*pages)

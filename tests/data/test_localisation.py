"""Images of one object and its box: which are taken, and that the box is where the object is seen."""
import cv2
import numpy as np
import pytest

from gluon_bof.boxes import Record
from gluon_bof.data.classification import draw_view
from gluon_bof.data.localisation import ObjectImages, cut_out, open_objects, view_of_object, whole, whole_boxes
from gluon_bof.data.sampler import BatchSampler
from gluon_bof.errors import UserError
from gluon_bof.freebies.mixup import MixRatio
from gluon_bof.rng import generator
from tests.tiny_sets import draw_few_shapes, write_class_folders

SIDE = 64


def annotation(name, objects):
    rows = "".join(f"<object><name>{label}</name><difficult>0</difficult><bndbox><xmin>{box[0]}</xmin><ymin>{box[1]}</ymin>"
                   f"<xmax>{box[2]}</xmax><ymax>{box[3]}</ymax></bndbox></object>" for label, box in objects)
    return f"<annotation><filename>{name}</filename><size><width>96</width><height>72</height><depth>3</depth></size>{rows}" \
           "</annotation>"


def write_objects(root, rng, several=0):
    """train/ and val/ with a folder for each class, in which each image has its XML beside it: one white object on black; the
    first `several` of each folder have another."""
    for role, count in (("train", 6), ("val", 3)):
        for label in ("wide", "high"):
            folder = root / role / label
            folder.mkdir(parents=True)
            for number in range(count):
                image = np.zeros((72, 96, 3), np.uint8)
                wide, high = (36, 20) if label == "wide" else (20, 36)
                left, top = int(rng.integers(1, 95 - wide)), int(rng.integers(1, 71 - high))
                image[top:top + high, left:left + wide] = 255
                objects = [(label, (left, top, left + wide, top + high))]
                if number < several:
                    objects.append((label, (2, 2, 9, 9)))
                cv2.imwrite(str(folder / f"{role}-{label}-{number}.png"), image)
                (folder / f"{role}-{label}-{number}.xml").write_text(annotation(f"{role}-{label}-{number}.png", objects))
    return root


def test_images_of_one_object_are_taken_whole_and_others_named(tmp_path, caplog):
    training, validation = open_objects(str(write_objects(tmp_path / "set", np.random.default_rng(0), several=2)))
    assert training.classes == ("high", "wide") and len(training) == 8 and len(validation) == 2
    assert "train: 4 of 12 images have not one object and are left out" in caplog.text
    for sample in training.samples:
        left, top, right, bottom = sample.box
        assert sample.window is None and training.classes[sample.class_id] == ("wide" if right - left > bottom - top else "high")


def test_a_set_without_boxes_or_without_single_objects_is_refused(tmp_path):
    with pytest.raises(UserError):
        open_objects(str(write_class_folders(tmp_path / "bare", np.random.default_rng(0))))
    with pytest.raises(UserError, match="holds no image with one object"):
        open_objects(str(write_objects(tmp_path / "several", np.random.default_rng(0), several=9)))


def test_the_box_is_where_the_object_is_seen_and_mixed_images_have_both(tmp_path):
    training, _ = open_objects(str(write_objects(tmp_path / "set", np.random.default_rng(1))))
    images = ObjectImages(training.samples, SIDE, least_area=0.3)
    sampler = BatchSampler(len(training), 12, 0, (SIDE,))
    for epoch in range(4):
        for spec in sampler.draw_batch(epoch, 0):
            image, label = images[spec]
            rows, columns = np.nonzero(image.mean(axis=2) > 100)
            seen = np.array((columns.min(), rows.min(), columns.max() + 1, rows.max() + 1)) / SIDE
            np.testing.assert_allclose(label[3:7], seen, atol=2.5 / SIDE)
            assert label[:3].tolist() == [training.samples[spec.index].class_id] * 2 + [1] and (label[7:] == label[3:7]).all()
    mixed = BatchSampler(len(training), 12, 0, (SIDE,), mix=MixRatio(1.5, 1.5), mix_until=1)
    for spec in mixed.draw_batch(0, 0):
        (image, label), again = images[spec], images[spec]
        assert image.tobytes() == again[0].tobytes() and label.tobytes() == again[1].tobytes() and label.shape == (11,)
        assert label[:3].tolist() == pytest.approx([training.samples[spec.index].class_id,
                                                    training.samples[spec.partner].class_id, spec.ratio], rel=1e-6)
        strength = image.mean(axis=2)
        for box, weight in ((label[3:7], spec.ratio), (label[7:], 1 - spec.ratio)):
            left, top, right, bottom = (np.clip(box, 0, 1) * (SIDE - 1)).astype(int)
            assert strength[(top + bottom) // 2, (left + right) // 2] > 90 * weight


def test_validation_sees_the_whole_image_and_its_boxes_are_shares_of_it(tmp_path):
    _, validation = open_objects(str(write_objects(tmp_path / "set", np.random.default_rng(2))))
    images = ObjectImages(validation.samples, SIDE)
    for index, box in enumerate(whole_boxes(validation.samples)):
        image, told = images[index]
        rows, columns = np.nonzero(image[:, :, 0] > 127)
        seen = np.array((columns.min(), rows.min(), columns.max() + 1, rows.max() + 1)) / SIDE
        np.testing.assert_allclose(box, seen, atol=0.03)
        assert told == index and image.shape == (SIDE, SIDE, 3)


def test_a_crop_that_loses_the_object_gives_way_to_the_whole_image():
    image, box, crops = np.zeros((60, 90, 3), np.uint8), np.array([[5.0, 5.0, 25.0, 25.0]]), 0
    for number in range(200):
        drawn = draw_view(generator(4, 0, 0, 0, number), image, 32, 0.08)
        view = view_of_object(drawn, image.shape, box)
        left, top, width, height = view.window
        seen = max(0, min(25, left + width) - max(5, left)) * max(0, min(25, top + height) - max(5, top))
        assert seen >= 0.7 * 400 and view.flip == drawn.flip and view.colour is drawn.colour
        crops += view is drawn
    assert 20 < crops < 150


def test_objects_are_cut_out_of_drawn_images_with_room_and_alone(tmp_path, monkeypatch):
    draw_few_shapes(monkeypatch, tmp_path)
    training, validation = open_objects("shapes")
    assert len(training) > 8 and len(validation) > 4 and training.samples == open_objects("shapes")[0].samples
    boxes = whole_boxes(training.samples)
    assert (boxes >= 0).all() and (boxes <= 1).all() and (boxes[:, :2] < boxes[:, 2:]).all()
    centres = (boxes[:, :2] + boxes[:, 2:]) / 2
    assert centres.std(axis=0).min() > 0.04  # a box in the middle would need no learning


def test_neighbours_are_not_in_the_image_and_an_object_that_has_none_apart_is_left_out():
    boxes = np.array([[20, 20, 60, 60], [66, 20, 100, 60]], np.float32)
    record = Record("a.jpg", "a.xml", "a", 200, 120, boxes, np.array([1, 0]), np.zeros(2, bool), np.zeros(2, bool))
    found = [sample for number in range(30) for sample in cut_out(record, number)]
    assert len(found) > 10
    for sample in found:
        left, top, width, height = sample.window
        other = boxes[sample.class_id]  # the two have each other's number
        wide = max(0, min(other[2], left + width) - max(other[0], left))
        high = max(0, min(other[3], top + height) - max(other[1], top))
        assert wide * high <= 0.2 * (other[2:] - other[:2]).prod()
    inside = Record("a.jpg", "a.xml", "a", 200, 120, np.array([[20, 20, 60, 60], [30, 30, 50, 50]], np.float32),
                    np.array([0, 1]), np.zeros(2, bool), np.zeros(2, bool))
    assert {sample.class_id for sample in cut_out(inside, 0)} <= {1}


def test_difficult_objects_and_crowds_are_not_cut_out_and_a_crowd_is_no_object_of_its_image():
    def record(difficult=False, crowd=False):
        return Record("a.jpg", "a.xml", "a", 200, 120, np.array([[20, 20, 60, 60]], np.float32), np.zeros(1, int),
                      np.array([difficult]), np.array([crowd]))

    assert [len(cut_out(one, 0)) for one in (record(), record(difficult=True), record(crowd=True))] == [1, 0, 0]
    assert [len(whole(one)) for one in (record(), record(crowd=True))] == [1, 0]

"""vocmini: a pure function of its place, disjoint draws, classes that share what they should, statistics near VOC 2007's."""
import itertools
from collections import Counter

import numpy as np
import pytest

from gluon_bof.data import vocmini
from gluon_bof.data.class_sets import MARGIN, SQUARE_SIDE, open_classes
from gluon_bof.data.images import read_image
from gluon_bof.data.label_sets import open_segmentation
from gluon_bof.data.segmentation import read_labels
from gluon_bof.data.sets import open_set
from gluon_bof.errors import UserError
from gluon_bof.masks import NOBODY, decode

CLASSES = range(len(vocmini.NAMES))


@pytest.fixture(scope="module")
def drawn():
    return [vocmini.draw_image(2, index) for index in range(110)]


def test_an_image_is_a_pure_function_of_its_place():
    first, objects = vocmini.draw_image(4, 7)
    vocmini.draw_image(2, 3)
    again, same = vocmini.draw_image(4, 7)
    np.testing.assert_array_equal(first, again)
    assert objects == same


def test_no_two_splits_are_one_draw_and_one_alone_has_other_contexts():
    """What tunes would be what tests."""
    assert len({vocmini.draw_image(number, 7)[0].tobytes() for number, _ in vocmini.SPLITS.values()}) == len(vocmini.SPLITS)
    assert vocmini.OTHER_CONTEXTS == (vocmini.SPLITS["test-other"][0],)


@pytest.mark.parametrize(("feature", "sharing"), ((vocmini.outline_of, 2), (vocmini.texture_of, 2), (vocmini.hue_of, 4)))
def test_every_feature_is_shared_by_as_many_and_none_alone_tells_the_class(feature, sharing):
    assert set(Counter(feature(class_id) for class_id in CLASSES).values()) == {sharing}


def test_what_shares_two_features_shares_them_with_itself_alone():
    for one, other in itertools.combinations(CLASSES, 2):
        shared = [feature(one) == feature(other) for feature in (vocmini.outline_of, vocmini.texture_of, vocmini.hue_of)]
        assert sum(shared) < 2


def test_no_two_classes_share_all_and_twins_in_outline_or_texture_live_in_different_scenes():
    assert len(set(vocmini.NAMES)) == 20
    for one in CLASSES:
        for other in CLASSES:
            if one != other and (vocmini.outline_of(one) == vocmini.outline_of(other)
                                 or vocmini.texture_of(one) == vocmini.texture_of(other)):
                assert vocmini.scene_of(one) != vocmini.scene_of(other)


def test_boxes_lie_inside_and_hold_no_speck(drawn):
    for image, objects in drawn:
        for name, (left, top, right, bottom), _, _ in objects:
            assert name in vocmini.NAMES
            assert 0 <= left and left + 5 < right <= image.shape[1] and 0 <= top and top + 5 < bottom <= image.shape[0]


def test_statistics_are_near_those_of_voc_2007(drawn):
    counts = [len(objects) for _, objects in drawn]
    every = [(image.shape, *found) for image, objects in drawn for found in objects]
    areas = [(box[2] - box[0]) * (box[3] - box[1]) / (shape[0] * shape[1]) for shape, _, box, _, _ in every]
    assert np.mean(counts) == pytest.approx(3.13, abs=0.5)
    assert np.mean([found[3] for found in every]) == pytest.approx(0.195, abs=0.06)  # difficult
    assert np.mean(areas) == pytest.approx(0.241, abs=0.04)
    assert 0.3 < np.mean([found[4] for found in every]) < 0.6  # truncated


def share_at_home(split, images):
    """How often an object's class is at home in its image's scene, judged by the most common home of the objects in it."""
    homes = [[vocmini.scene_of(vocmini.NAMES.index(found[0])) for found in vocmini.draw_image(split, index)[1]]
             for index in range(images)]
    return np.mean([Counter(of_image).most_common(1)[0][1] / len(of_image) for of_image in homes if len(of_image) > 2])


@pytest.mark.slow
def test_context_tells_of_the_class_but_not_in_the_other_test():
    plain, other = (share_at_home(vocmini.SPLITS[name][0], 80) for name in ("test", "test-other"))
    assert plain > other + 0.1


def test_splits_are_parts_of_their_own_and_sizes_are_nested(tmp_path, monkeypatch):
    monkeypatch.setattr(vocmini, "SPLITS", {"train": (2, 6), "test": (4, 3)})
    monkeypatch.setattr(vocmini, "TRAINING_SIZES", (2, 4))
    small, large = (open_set("vocmini", tmp_path, "train", split=f"train-{size}") for size in (2, 4))
    test = open_set("vocmini", tmp_path, "val", split="test")
    paths = [[record.path for record in found.records] for found in (small, large, test)]
    assert paths[0] == paths[1][:2] and len(paths[1]) == 4 and len(paths[2]) == 3
    assert not set(paths[2]) & set(paths[1]) and test.classes == vocmini.NAMES
    record, (_, objects) = test.records[1], vocmini.draw_image(4, 1)
    assert record.difficult.tolist() == [found[2] for found in objects]


def test_silhouettes_are_of_the_labelled_objects_in_their_boxes_and_change_neither_image_nor_box():
    for index in range(40):
        image, objects, numbers = vocmini.draw_scene(2, index)
        plain, same = vocmini.draw_image(2, index)
        np.testing.assert_array_equal(image, plain)
        assert objects == same and numbers.shape == image.shape[:2]
        assert set(np.unique(numbers)) - {0, NOBODY} == set(range(1, len(objects) + 1))
        for number, (_, (left, top, right, bottom), _, _) in enumerate(objects, 1):
            assert (numbers[top:bottom, left:right] == number).sum() == (numbers == number).sum()


def test_what_is_too_small_to_be_labelled_is_nobodys(monkeypatch):
    _, objects, numbers = vocmini.draw_scene(2, 5)
    count = len(objects)
    assert count > 1
    first = objects[0]
    described = vocmini._described
    monkeypatch.setattr(vocmini, "_described", lambda entry: None if described(entry) == first else described(entry))
    _, fewer, without = vocmini.draw_scene(2, 5)
    assert fewer == objects[1:]
    np.testing.assert_array_equal(without == NOBODY, (numbers == NOBODY) | (numbers == 1))
    for number in range(2, count + 1):
        np.testing.assert_array_equal(without == number - 1, numbers == number)


def test_masks_and_label_maps_are_read_from_the_same_files(tmp_path, monkeypatch):
    monkeypatch.setattr(vocmini, "SPLITS", {"train": (2, 3), "test": (4, 2)})
    monkeypatch.setattr(vocmini, "TRAINING_SIZES", (2,))
    objects = open_set("vocmini", tmp_path, "val", split="test", masks=True)
    maps = open_segmentation("vocmini", tmp_path, "val")
    assert maps.classes == ("background", *vocmini.NAMES) and len(maps) == 2
    assert len(open_segmentation("vocmini", tmp_path, "train", split="train-2")) == 2
    assert len(open_segmentation("vocmini", tmp_path, "train", split="train")) == 3, "not the part that is trained on by default"
    for record, sample in zip(objects.records, maps.samples):
        labels = read_labels(sample, len(maps.classes))
        assert len(record.masks) == len(record.boxes)
        for class_id, mask in zip(record.classes, decode(record.masks, labels.shape).astype(bool)):
            assert mask.any() and (labels[mask] == class_id + 1).all()


def test_backbones_see_small_objects_with_what_is_around_them(tmp_path, monkeypatch):
    monkeypatch.setattr(vocmini, "SPLITS", {"pretrain": (0, 12), "pretrain-val": (1, 1)})
    monkeypatch.setenv("GLUON_BOF_CACHE", str(tmp_path))
    train, _ = open_classes("vocmini")
    frames = [read_image(sample.path).shape for sample in train.samples]
    inner = [sample.window for sample, (height, width, _) in zip(train.samples, frames)
             if sample.window[0] > 0 and sample.window[1] > 0 and sample.window[0] + sample.window[2] < width
             and sample.window[1] + sample.window[3] < height]
    assert inner and all(min(window[2:]) >= SQUARE_SIDE * (1 + 2 * MARGIN) - 1 for window in inner)
    assert min(min(window[2:]) for window in inner) <= SQUARE_SIDE * (1 + 2 * MARGIN) + 1  # a small object is among them


def test_an_unknown_split_is_named():
    with pytest.raises(UserError, match="'train-3'.*test-other"):
        open_set("vocmini", None, "train", split="train-3")

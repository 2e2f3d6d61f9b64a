"""Batches as workers make them: padding, weights, the same bits for any number of workers."""
import numpy as np
import pytest

from gluon_bof.data.sampler import SampleSpec
from gluon_bof.data.shared_memory import stack_to_shared
from gluon_bof.data.transforms import ShortSide
from gluon_bof.freebies.augmentation import Augmentation
from gluon_bof.freebies.mixup import MixRatio
from gluon_bof.models.faster_rcnn.batch import KeyedImages, RegionBatch
from tests.models.region_batches import GRID, arrays_of, wide_and_high


@pytest.fixture(scope="module")
def records(tmp_path_factory):
    return wide_and_high(tmp_path_factory)


def batches(records, workers, mix=None, one_ratio=False):
    dataset = KeyedImages(records, Augmentation(False, False, False, True, False, 1), True, fit=ShortSide(100))
    return arrays_of(dataset, RegionBatch, workers, mix, one_ratio)


def test_the_workers_number_changes_no_bit(records):
    expected = batches(records, 0, MixRatio())
    for workers in (1, 3):
        for ours, theirs in zip(batches(records, workers, MixRatio()), expected):
            for a, b in zip(ours, theirs):
                assert a.dtype == b.dtype and a.tobytes() == b.tobytes()


def test_images_are_bytes_padded_to_the_largest_and_sizes_say_where_they_end(records):
    for images, truths, sizes, anchors, keys in batches(records, 0):
        assert images.dtype == np.uint8 and sizes.shape == (2, 3) and anchors.shape == (2, 256, 7)
        assert keys.shape == (2, 50 + truths.shape[1]) and (sizes[:, 2] == 1).all()
        assert tuple(sizes[:, :2].max(axis=0)) == images.shape[1:3]
        assert (sizes[:, :2].min(axis=1) == 64).all() and (sizes[:, :2].max(axis=1) <= 100).all()


def test_mixed_boxes_weigh_their_ratio_and_background_1(records):
    rows = np.concatenate([anchors for _, _, _, anchors, _ in batches(records, 0, MixRatio())]).reshape(-1, 7)
    rows = rows[rows[:, 0] >= 0]
    assert (rows[rows[:, 1] == 0, 2] == 1).all() and (rows[rows[:, 1] == 1, 2] < 1).all()


def test_one_ratio_for_everything_halves_background_too(records):
    for _, truths, sizes, anchors, _ in batches(records, 0, MixRatio(even=True), one_ratio=True):
        assert (sizes[:, 2] == 0.5).all()
        assert (anchors[..., 2][anchors[..., 0] >= 0] == 0.5).all() and (truths[..., 5][truths[..., 4] >= 0] == 0.5).all()


def test_anchors_and_regions_are_drawn_anew_for_every_seed_epoch_and_place():
    def drawn(*key):
        sample = np.zeros((300, 400, 3), np.uint8), np.zeros((0, 6), np.float32), [], SampleSpec(0, -1, 1.0, 64, key)
        *_, anchors, keys, _ = RegionBatch(False, GRID, 50)([sample])
        return anchors.asnumpy().tobytes(), keys.asnumpy().tobytes()

    for of_keys in zip(*(drawn(*key) for key in ((1, 0, 0, 0), (2, 0, 0, 0), (1, 1, 0, 0), (1, 0, 1, 0), (1, 0, 0, 1)))):
        assert len(set(of_keys)) == 5


def test_padding_has_the_colour_that_normalises_to_about_0():
    canvas = stack_to_shared([np.zeros((4, 6, 3), np.uint8), np.zeros((5, 3, 3), np.uint8)], False).asnumpy()
    assert canvas.shape == (2, 5, 6, 3) and (canvas[0, 4:] == (124, 116, 104)).all() and (canvas[0, :4] == 0).all()
    assert (canvas[1, :, 3:] == (124, 116, 104)).all()

"""Batches as workers make them: each mask stays with its box, the same bits for any number of workers."""
import cv2
import numpy as np
import pytest

from gluon_bof import masks
from gluon_bof.data.sampler import BatchSampler
from gluon_bof.data.transforms import ShortSide
from gluon_bof.freebies.augmentation import Augmentation
from gluon_bof.freebies.mixup import MixRatio
from gluon_bof.models.faster_rcnn.batch import KeyedImages, RegionBatch
from gluon_bof.models.mask_rcnn.batch import MaskBatch, MaskedImages
from tests.models.region_batches import arrays_of, wide_and_high
from tests.tiny_masks import unpacked

MIXED = MixRatio()
VIEWS = {"flips": Augmentation.flips_only(), "crops": Augmentation(False, True, True, True, False, cv2.INTER_LINEAR)}


@pytest.fixture(scope="module")
def records(tmp_path_factory):
    return wide_and_high(tmp_path_factory, masks=True)


def batches(records, workers, kinds=(MaskedImages, MaskBatch), mix=MIXED, augmentation=None):
    dataset = kinds[0](records, augmentation or Augmentation.flips_only(), True, fit=ShortSide(100))
    return arrays_of(dataset, kinds[1], workers, mix)


def test_the_workers_number_changes_no_bit_and_boxes_are_those_of_faster_rcnn(records):
    expected = batches(records, 0)
    for workers in (1, 3):
        for ours, theirs in zip(batches(records, workers), expected):
            for a, b in zip(ours, theirs):
                assert a.dtype == b.dtype and a.tobytes() == b.tobytes()
    for ours, theirs in zip(batches(records, 0, (KeyedImages, RegionBatch)), expected):
        assert all(a.tobytes() == b.tobytes() for a, b in zip(ours, theirs)) and len(ours) == len(theirs) - 1


@pytest.mark.parametrize("mix", (None, MixRatio(), MixRatio(even=True)), ids=("plain", "mixed", "even"))
@pytest.mark.parametrize("how", VIEWS)
def test_a_mask_goes_where_its_box_goes(records, mix, how):
    seen = 0
    for images, truths, sizes, _, _, planes in batches(records, 0, mix=mix, augmentation=VIEWS[how]):
        assert planes.dtype == np.uint8 and planes.shape == (2, truths.shape[1] // 8, *images.shape[1:3])
        for truth, packed, (height, width, _) in zip(truths, planes, sizes):
            dense = unpacked(packed)
            assert not dense[:, int(height):].any() and not dense[:, :, int(width):].any()
            for row, mask in zip(truth, dense):
                if row[4] < 0:
                    assert not mask.any()
                    continue
                found = masks.boxes_of(masks.encode(mask[None]), mask.shape)[0]
                if mask.any():  # later rectangles lie over earlier ones: what is seen is within its box
                    assert (found[:2] >= row[:2] - 1.6).all() and (found[2:] <= row[2:4] + 2.6).all()
                    seen += 1
    assert seen > 15


def test_a_mask_without_a_view_is_the_records_own(records):
    augmentation = Augmentation.none()
    dataset = MaskedImages(records, augmentation, fit=lambda shape, size: (shape[1], shape[0]))
    spec = BatchSampler(len(records), 1, 0, (64,)).draw_batch(0, 0)[0]
    _, truth, planes, _, _ = dataset[spec]
    record = records[spec.index]
    np.testing.assert_array_equal(unpacked(planes)[:len(truth)], masks.decode(record.masks, (record.height, record.width)))


def test_masks_of_a_mixed_image_are_those_of_both(records):
    dataset = MaskedImages(records, Augmentation.none(), fit=lambda shape, size: (shape[1], shape[0]))
    spec = BatchSampler(len(records), 1, 0, (64,)).draw_batch(0, 0)[0]._replace(index=1, partner=8, ratio=0.3)
    image, truth, planes, _, _ = dataset[spec]
    first, second = records[1], records[8]
    height, width = image.shape[:2]
    assert (height, width) == (max(first.height, second.height), max(first.width, second.width))
    wanted = [np.pad(masks.decode(one.masks, (one.height, one.width)), ((0, 0), (0, height - one.height), (0, width - one.width)))
              for one in (first, second)]
    np.testing.assert_array_equal(unpacked(planes)[:len(truth)], np.concatenate(wanted))
    np.testing.assert_allclose(truth[:, 5], [0.3] * len(first.boxes) + [0.7] * len(second.boxes), rtol=1e-6)

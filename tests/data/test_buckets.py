"""Images of like shape side by side where batches are padded; and the largest batches that can come."""
from types import SimpleNamespace

import numpy as np
import pytest

from gluon_bof.data.loader import largest_batch
from gluon_bof.data.sampler import WINDOW, BatchSampler, aspect_ratio_buckets
from gluon_bof.freebies.mixup import MixRatio


def records(*counts):
    """Records with so many boxes."""
    return [SimpleNamespace(boxes=np.zeros((count, 4), np.float32)) for count in counts]


@pytest.mark.parametrize("batches, batch_size", ((1, 4), (7, 2), (WINDOW, 4), (WINDOW + 9, 4), (3 * WINDOW, 1),
                                                     (4 * WINDOW - 5, 8)))
def test_every_item_stays_once_near_its_place_and_batches_are_of_like_keys(batches, batch_size):
    rng = np.random.default_rng(0)
    order = rng.permutation(batches * batch_size)
    aspects = rng.uniform(0.5, 2, len(order))
    found = aspect_ratio_buckets(order, aspects[order], batch_size, rng)
    assert sorted(found) == list(range(len(order)))
    place, before = np.argsort(found), np.argsort(order)
    assert np.abs(place - before).max() < 1.5 * WINDOW * batch_size
    spreads = np.ptp(aspects[found].reshape(batches, batch_size), axis=1)
    assert spreads.mean() <= 1.5 * batch_size / min(len(order), WINDOW * batch_size)  # 1.5 is the range of all


def test_batches_of_a_window_are_shuffled():
    order = np.arange(2 * WINDOW)
    found = [tuple(aspect_ratio_buckets(order, order, 2, np.random.default_rng(seed))) for seed in range(6)]
    assert len(set(found)) == 6 and all(batches != tuple(order) for batches in found)


def test_a_sampler_with_aspects_pads_less_and_still_sees_every_image_once():
    aspects = np.random.default_rng(1).choice([0.5, 1.0, 2.0], 120)

    def spread(sampler):
        batches = [[spec.index for spec in batch] for batch in sampler.start(0)]
        assert sorted(index for batch in batches for index in batch) == list(range(120))
        return np.mean([np.ptp(aspects[batch]) for batch in batches])

    assert spread(BatchSampler(120, 4, 3, (64,), aspects=aspects)) < spread(BatchSampler(120, 4, 3, (64,))) / 4


def test_a_sampler_with_aspects_draws_any_epoch_alone():
    aspects = np.random.default_rng(1).uniform(0.5, 2, 37)
    one, two = (BatchSampler(37, 4, 3, (64,), mix=MixRatio(), mix_until=9, aspects=aspects) for _ in range(2))
    list(one.start(0))
    assert list(one.start(5)) == list(two.start(5)) != list(two.start(4))


@pytest.mark.parametrize("mixed, most", ((False, 9), (True, 9 + 6)))
def test_the_largest_batch_holds_the_boxes_of_the_fullest_images(mixed, most):
    images, truths = largest_batch(records(1, 9, 0, 6), 3, 64, mixed)
    assert images.shape == (3, 64, 64, 3) and images.dtype == np.uint8
    assert truths.shape == (3, 16, 6) and most <= 16 and (truths.asnumpy() == -1).all()
    assert largest_batch(records(1, 9, 0, 7), 1, 32, mixed)[1].shape[1] == 16
    assert largest_batch(records(1, 9, 0, 8), 1, 32, mixed)[1].shape[1] == (32 if mixed else 16)

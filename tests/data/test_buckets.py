"""Images of like shape side by side where batches are padded; and the largest batches that can come."""
from types import SimpleNamespace

import numpy as np
import pytest

from gluon_bof.data.loader import largest_batch
from gluon_bof.data.sampler import BatchSampler, aspect_ratio_buckets
from gluon_bof.freebies.mixup import MixRatio


def records(*counts):
    """Records with so many boxes."""
    return [SimpleNamespace(boxes=np.zeros((count, 4), np.float32)) for count in counts]


@pytest.mark.parametrize("count, batch_size, batches", ((64, 4, 4), (61, 4, 4), (7, 2, 32), (3, 8, 2)))
def test_every_item_stays_once_within_its_bucket_and_batches_are_of_like_keys(count, batch_size, batches):
    rng = np.random.default_rng(0)
    order = rng.permutation(count)
    aspects = rng.uniform(0.5, 2, count)
    found = aspect_ratio_buckets(order, aspects[order], batch_size, rng, batches)
    assert sorted(found) == list(range(count))
    bucket = batch_size * batches
    for begin in range(0, count, bucket):
        members = order[begin:begin + bucket]
        assert set(found[begin:begin + bucket]) == set(members)
        ranks = np.argsort(np.argsort(aspects[members], kind="stable"))
        rank = dict(zip(members, ranks))
        if len(members) % batch_size == 0:  # else the shorter batch may come anywhere
            for place in range(begin, begin + len(members), batch_size):
                batch = sorted(rank[item] for item in found[place:place + batch_size])
                assert batch == list(range(batch[0], batch[0] + batch_size)) and batch[0] % batch_size == 0


def test_batches_within_a_bucket_are_shuffled():
    order = np.arange(32)
    found = [tuple(aspect_ratio_buckets(order, order, 2, np.random.default_rng(seed), 16)) for seed in range(6)]
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

"""Everything random about a batch depends on (seed, epoch, batch, position) and nothing else."""
from collections import Counter

import numpy as np
import pytest
from scipy import stats

from gluon_bof.data.sampler import BatchSampler
from gluon_bof.freebies.mixup import MixRatio
from gluon_bof.rng import augmentation_rng


def epoch_of(sampler, epoch, batch=0):
    return list(sampler.start(epoch, batch))


def test_an_epoch_is_the_same_whenever_it_is_drawn():
    one = BatchSampler(37, 4, 5, (320, 352, 384), mix=MixRatio(), mix_until=9)
    two = BatchSampler(37, 4, 5, (320, 352, 384), mix=MixRatio(), mix_until=9)
    epoch_of(two, 7)
    assert epoch_of(one, 3) == epoch_of(two, 3)
    assert epoch_of(one, 3)[4:] == epoch_of(two, 3, batch=4)
    assert epoch_of(one, 3) != epoch_of(one, 4)
    assert epoch_of(one, 3) != epoch_of(BatchSampler(37, 4, 6, (320, 352, 384), mix=MixRatio(), mix_until=9), 3)


@pytest.mark.parametrize("images,batch_size", ((37, 4), (8, 8), (3, 7), (1, 2)))
def test_every_image_is_seen_equally_often_and_a_run_is_as_long_as_its_schedule(images, batch_size):
    sampler = BatchSampler(images, batch_size, 0, (416,))
    epochs = 12
    batches = [batch for epoch in range(epochs) for batch in epoch_of(sampler, epoch)]
    assert len(batches) == epochs * sampler.batches == epochs * max(1, images // batch_size)
    seen = Counter(spec.index for batch in batches for spec in batch)
    assert set(seen) == set(range(images))
    assert max(seen.values()) - min(seen.values()) <= 1


def test_mixup_is_on_until_the_last_epochs():
    sampler = BatchSampler(50, 10, 1, (416,), mix=MixRatio(), mix_until=3)
    for epoch in range(5):
        mixed = [spec.partner >= 0 for batch in epoch_of(sampler, epoch) for spec in batch]
        assert all(mixed) if epoch < 3 else not any(mixed)
        assert all(spec.ratio == 1 for batch in epoch_of(sampler, epoch) for spec in batch if spec.partner < 0)


def test_partners_are_any_other_image():
    sampler = BatchSampler(5, 5, 1, (416,), mix=MixRatio(), mix_until=400)
    pairs = Counter((spec.index, spec.partner) for epoch in range(400) for batch in epoch_of(sampler, epoch)
                    for spec in batch)
    assert set(pairs) == {(a, b) for a in range(5) for b in range(5) if a != b}
    assert stats.chisquare(list(pairs.values())).pvalue > 1e-3


def test_a_set_of_one_image_mixes_with_nothing():
    assert all(spec.partner == -1 for spec in epoch_of(BatchSampler(1, 4, 0, (32,), mix=MixRatio(), mix_until=1), 0)[0])


@pytest.mark.parametrize("alpha,beta", ((1.5, 1.5), (1.0, 1.0), (0.2, 0.2), (2.0, 5.0)))
def test_ratios_follow_the_beta_distribution(alpha, beta):
    sampler = BatchSampler(2000, 2000, 3, (416,), mix=MixRatio(alpha, beta), mix_until=1)
    ratios = [spec.ratio for spec in epoch_of(sampler, 0)[0]]
    assert stats.kstest(ratios, stats.beta(alpha, beta).cdf).pvalue > 1e-3


def test_even_mixup_is_even():
    sampler = BatchSampler(20, 20, 3, (416,), mix=MixRatio(even=True), mix_until=1)
    assert {spec.ratio for spec in epoch_of(sampler, 0)[0]} == {0.5}


def test_one_size_a_batch_redrawn_every_interval():
    sizes = tuple(range(320, 609, 32))
    sampler = BatchSampler(400, 2, 0, sizes, size_interval=10)
    per_batch = [{spec.size for spec in batch} for epoch in range(5) for batch in epoch_of(sampler, epoch)]
    assert all(len(size) == 1 for size in per_batch)
    flat = [size.pop() for size in per_batch]
    assert all(len(set(flat[start:start + 10])) == 1 for start in range(0, len(flat), 10))
    assert set(flat) == set(sizes)


def test_shards_share_a_batch_out():
    whole = epoch_of(BatchSampler(64, 8, 0, (32,), mix=MixRatio(), mix_until=1), 0)
    parts = [epoch_of(BatchSampler(64, 8, 0, (32,), mix=MixRatio(), mix_until=1, shard=(rank, 2)), 0) for rank in (0, 1)]
    assert [sorted(a + b) for a, b in zip(*parts)] == [sorted(batch) for batch in whole]


def test_no_two_samples_share_a_stream():
    sampler = BatchSampler(64, 8, 0, (32,))
    values = np.concatenate([augmentation_rng(spec).random(64) for epoch in range(4) for batch in epoch_of(sampler, epoch)
                             for spec in batch])
    assert len(np.unique(values)) == len(values) == 256 * 64  # not a number of one is another's, wherever it stands
    assert stats.kstest(values, "uniform").pvalue > 1e-3


SHAPES, SHARES = np.array([(500, 375), (375, 500), (500, 333), (333, 500), (500, 400), (500, 500)]), (.55, .2, .12, .06, .05, .02)


def like_voc(images):
    """(N, 2) widths and heights as VOC has them."""
    rng = np.random.default_rng(0)
    return SHAPES[rng.choice(len(SHAPES), images, p=SHARES)] + rng.integers(-8, 1, (images, 2))


@pytest.mark.parametrize("batch_size", (2, 4, 8))
def test_alike_images_share_batches_in_every_epoch(batch_size):
    shapes = like_voc(503)
    resized = shapes * (600 / shapes.min(axis=1, keepdims=True))
    sampler = BatchSampler(503, batch_size, 5, (600,), aspects=shapes[:, 0] / shapes[:, 1])
    for epoch in range(2):
        batches = [resized[[spec.index for spec in batch]] for batch in epoch_of(sampler, epoch)]
        padded = sum(len(batch) * batch.max(axis=0).prod() for batch in batches)
        assert padded / sum(batch.prod(axis=1).sum() for batch in batches) < 1.02


@pytest.mark.parametrize("images, batch_size, epoch_images",
                         ((50, 4, None), (37, 8, None), (3, 7, None), (90, 4, 200), (90, 4, 30)))
def test_grouping_changes_the_order_and_not_what_an_epoch_has(images, batch_size, epoch_images):
    aspects = np.random.default_rng(1).uniform(0.5, 2, images)
    grouped = BatchSampler(images, batch_size, 2, (600,), epoch_images=epoch_images, aspects=aspects)
    plain = BatchSampler(images, batch_size, 2, (600,), epoch_images=epoch_images)
    seen = Counter()
    for epoch in range(9):
        ours, theirs = ([spec.index for batch in epoch_of(sampler, epoch) for spec in batch] for sampler in (grouped, plain))
        assert sorted(ours) == sorted(theirs)
        seen.update(ours)
    assert max(seen.values()) - min(seen.get(image, 0) for image in range(images)) <= 1


def test_a_grouped_epoch_is_the_same_whenever_and_from_wherever_it_is_drawn():
    aspects = np.random.default_rng(1).uniform(0.5, 2, 61)
    whole = epoch_of(BatchSampler(61, 4, 3, (600,), aspects=aspects), 5)
    sampler = BatchSampler(61, 4, 3, (600,), aspects=aspects)
    epoch_of(sampler, 2)
    assert epoch_of(sampler, 5, batch=7) == whole[7:]
    parts = [epoch_of(BatchSampler(61, 4, 3, (600,), aspects=aspects, shard=(rank, 2)), 5) for rank in (0, 1)]
    assert [sorted(a + b) for a, b in zip(*parts)] == [sorted(batch) for batch in whole]


def test_batches_of_one_are_not_grouped():
    aspects = np.random.default_rng(1).uniform(0.5, 2, 20)
    assert epoch_of(BatchSampler(20, 1, 3, (600,), aspects=aspects), 2) == epoch_of(BatchSampler(20, 1, 3, (600,)), 2)

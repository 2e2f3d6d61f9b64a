"""Orders of training: what each lets through, at equal steps, and GraB's balance."""
import numpy as np
import pytest

from gluon_bof.errors import UserError
from gluon_bof.options.minibatch import MinibatchOptions
from gluon_bof.studies.minibatch.orders import BY_NAME, Grab, OrderSampler
from gluon_bof.studies.minibatch.partition import class_entropies, cut, random_partition, ranking

BATCHES = np.arange(200).reshape(20, 10)


def phase_of(epoch):
    return int(epoch >= 2)


def numbers(epoch_batches):
    """Which sorted mini-batches an epoch has, by their first image."""
    return [int(batch[0]) // 10 for batch in epoch_batches]


@pytest.mark.parametrize("name", BY_NAME)
def test_every_order_has_as_many_steps_and_depends_on_the_seed_alone(name):
    first, second = (BY_NAME[name](BATCHES, 3, phase_of) for _ in range(2))
    assert first(0).shape == BATCHES.shape
    assert np.array_equal(first(0), second(0))
    if name != "sorted":
        assert not np.array_equal(first(0), BY_NAME[name](BATCHES, 4, phase_of)(0))


@pytest.mark.parametrize("name", ["sorted", "shuffled", "random-batches", "sorted-shuffled", "grab"])
def test_an_epoch_of_a_full_order_has_every_image_once(name):
    assert sorted(BY_NAME[name](BATCHES, 3, phase_of)(0).ravel()) == list(range(200))


@pytest.mark.parametrize("name", ["shuffled", "random-batches", "rs2"])
def test_an_order_that_knows_no_metric_is_the_same_however_the_set_was_sorted(name):
    other = np.random.default_rng(0).permutation(200).reshape(20, 10)
    assert np.array_equal(BY_NAME[name](BATCHES, 3)(1), BY_NAME[name](other, 3)(1))


def test_the_papers_order_is_always_the_same_and_shuffling_never_is():
    assert np.array_equal(BY_NAME["sorted"](BATCHES, 0)(5), BATCHES)
    shuffled = BY_NAME["shuffled"](BATCHES, 0)
    assert not np.array_equal(shuffled(0), shuffled(1))
    assert set(map(frozenset, shuffled(0))) != set(map(frozenset, shuffled(1)))


def test_extremes_are_dropped_after_the_first_phase_only():
    order = BY_NAME["drop-extremes"](BATCHES, 0, phase_of)
    assert sorted(numbers(order(1))) == list(range(20))
    later = numbers(order(2))
    assert set(later) == set(range(2, 18)) and len(later) == 20
    assert max(later.count(number) for number in later) == 2


def test_the_upper_quartile_is_the_first_phase_and_the_middle_the_others():
    order = BY_NAME["upper-quartile"](BATCHES, 0, phase_of)
    assert sorted(numbers(order(0))) == sorted(list(range(15, 20)) * 4)
    assert set(numbers(order(2))) == set(range(2, 18))


def test_rs2_draws_each_subset_without_regard_to_the_one_before():
    epoch = BY_NAME["rs2"](BATCHES, 0)(0)
    subsets = [epoch[first:first + 5].ravel() for first in range(0, 20, 5)]
    assert all(len(set(subset)) == 50 for subset in subsets)
    assert len(set(epoch.ravel())) < 200  # of independent subsets some images are left out


def balanced(vectors, order):
    """The largest running sum, over an epoch, of what is left of the gradients without their mean."""
    return np.abs(np.cumsum((vectors - vectors.mean(axis=0))[order], axis=0)).max()


def test_grabs_order_keeps_running_sums_small_where_random_ones_do_not():
    vectors = np.random.default_rng(0).normal(size=(64, 8)).astype(np.float32)
    grab = Grab(np.arange(64)[:, None], 0)
    for epoch in range(12):
        grab(epoch)
        for number in grab.turn:
            grab.observe(vectors[int(number)])
    grab(12)
    chance = [balanced(vectors, np.random.default_rng(seed).permutation(64)) for seed in range(50)]
    assert balanced(vectors, grab.turn) < 0.6 * np.median(chance)


def test_grabs_signs_are_those_of_the_smaller_sum():
    grab = Grab(np.arange(4)[:, None], 0)
    first = grab.turn.tolist()
    for value in (3, 1, 5, 2):  # differences 2, then 3: the second is taken off
        grab.observe(np.array([value], np.float32))
    assert grab.sum == pytest.approx(-1)
    grab(1)
    assert grab.turn.tolist() == [first[0], first[3], first[2], first[1]]


def test_grab_goes_on_in_the_middle_of_a_pair():
    vectors = np.random.default_rng(0).normal(size=(7, 5)).astype(np.float32)
    whole, halted = (Grab(np.arange(7)[:, None], 1) for _ in range(2))
    for number in halted.turn[:3]:
        halted.observe(vectors[int(number)])
    meta, arrays = halted.saved()
    resumed = Grab(np.arange(7)[:, None], 1)
    resumed.restore(meta, arrays)
    for number in whole.turn:
        whole.observe(vectors[int(number)])
    for number in resumed.turn[3:]:
        resumed.observe(vectors[int(number)])
    assert np.array_equal(whole(1), resumed(1)) and sorted(whole(1).ravel()) == list(range(7))


def test_the_sampler_begins_at_any_batch_with_the_same_keys():
    sampler = OrderSampler(BY_NAME["shuffled"](BATCHES, 0), 20, 0, lambda index, key: (int(index), key))
    whole = list(sampler.start(3))
    assert list(sampler.start(3, 7)) == whole[7:] and len(sampler) == 13
    assert whole[4][2][1] == (0, 3, 4, 2)


def test_a_partition_is_sorted_by_all_numbers_and_drops_the_incomplete_batch():
    scores = np.array([[0.5, 0.2], [0.5, 0.1], [0.1, 9], [0.5, 0.1]])
    assert ranking(scores).tolist() == [2, 1, 3, 0]
    assert cut(np.arange(50000), 256).shape == (195, 256)
    images = np.arange(40).reshape(4, 10)
    assert sorted(random_partition(images, 10, 0).ravel()) == list(range(40))
    assert not np.array_equal(random_partition(images, 10, 0, 0), random_partition(images, 10, 0, 1))


def test_the_entropy_of_a_mini_batch_is_in_bits():
    labels = [(0,), (1,), (2,), (3,), (0,), (0,), (), (0, 1)]
    assert class_entropies(np.arange(8).reshape(2, 4), labels) == pytest.approx([2, 0.8112781])


@pytest.mark.parametrize("name", ["drop-extremes", "upper-quartile"])
def test_an_order_whose_extremes_are_none_is_refused(name):
    with pytest.raises(UserError, match="a tenth of 4 mini-batches is none"):
        BY_NAME[name](BATCHES[:4], 0, phase_of)
    assert set(numbers(BY_NAME[name](BATCHES[:6], 0, phase_of)(2))) == {1, 2, 3, 4}


def test_dropping_after_the_first_phase_needs_a_second():
    MinibatchOptions(order="drop-extremes").check()
    with pytest.raises(UserError, match="this training has no other"):
        MinibatchOptions(order="drop-extremes", epochs=2, lr_decay_epoch=()).check()

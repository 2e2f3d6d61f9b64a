"""Streams of random numbers, one of each seed, purpose and place."""
import numpy as np
import pytest

from gluon_bof.rng import Purpose, generator


def test_streams_of_neighbouring_places_never_meet():
    numbers = [generator(Purpose.AUGMENT, 0, *place).integers(2 ** 63, size=64) for place in np.ndindex(2, 2, 2)]
    assert len(np.unique(numbers)) == 8 * 64


@pytest.mark.parametrize("purpose, seed, place", ((Purpose.ORDER, 5, (7,)), (Purpose.AUGMENT, 9, (1, 2, 3))))
def test_a_stream_is_philox_of_seed_purpose_and_place_as_it_was_for_earlier_runs(purpose, seed, place):
    counter = sum(number << 64 * word for word, number in enumerate(place, 1))
    theirs = np.random.Generator(np.random.Philox(key=seed | int(purpose) << 64, counter=counter))
    assert generator(purpose, seed, *place).integers(2 ** 63, size=8).tolist() == theirs.integers(2 ** 63, size=8).tolist()


def test_purposes_keep_their_numbers_no_two_of_which_are_one():
    """Another number is another training of every seed."""
    assert list(map(int, Purpose)) == [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 30, 31]

"""Streams of random numbers, one of each seed, purpose and place."""
import numpy as np

from gluon_bof.rng import Purpose, generator


def test_streams_of_neighbouring_places_never_meet():
    numbers = [generator(Purpose.AUGMENT, 0, *place).integers(2 ** 63, size=64) for place in np.ndindex(2, 2, 2)]
    assert len(np.unique(numbers)) == 8 * 64


def test_no_two_purposes_are_one_number():
    assert len(Purpose) == len(Purpose.__members__)

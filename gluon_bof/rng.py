"""Counter-based random numbers: a stream depends on nothing but a seed, a purpose and a place (paper, 3.1 and 3.6)."""
from __future__ import annotations

from enum import IntEnum
from typing import Any

import numpy as np


class Purpose(IntEnum):
    """Keeps the streams of different questions apart under one seed."""

    ORDER = 1
    MIXUP = 2
    SIZE = 3
    AUGMENT = 4
    ANCHORS = 5
    REGIONS = 6
    GROUPS = 7
    REPEATS = 8
    PARTITION = 9
    MINIBATCH = 10
    NOISE = 30
    ROOM = 31


def generator(purpose: Purpose, seed: int, *place: int) -> np.random.Generator:
    """numpy Generator over Philox, keyed by (seed, purpose) and started at `place` (at most three numbers).

    The lowest word of the counter is left to the generator, so streams of neighbouring places never meet."""
    counter = np.zeros(4, np.uint64)
    counter[1:1 + len(place)] = place
    return np.random.Generator(np.random.Philox(counter=counter, key=np.array((seed, purpose), np.uint64)))


def augmentation_rng(spec: Any) -> np.random.Generator:
    """The generator from which a worker augments the sample of this spec."""
    return generator(Purpose.AUGMENT, *spec.key)

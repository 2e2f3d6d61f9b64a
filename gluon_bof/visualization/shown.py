"""Which of many things are shown."""
from __future__ import annotations

from typing import Any

import numpy as np


def first_drawn(sampler: Any, most: int) -> list:
    """At most so many specs of a run's first batches."""
    return [spec for batch in range(min(2, sampler.batches)) for spec in sampler.draw_batch(0, batch)][:most]


def evenly(count: int, most: int) -> np.ndarray:
    """(N,) int, places of at most so many of `count` things, evenly spread from the first to the last."""
    return np.linspace(0, count - 1, min(most, count)).astype(int)

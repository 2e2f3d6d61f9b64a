"""Which of many things are shown."""
from __future__ import annotations

import numpy as np


def evenly(count: int, most: int) -> np.ndarray:
    """(N,) int, places of at most so many of `count` things, evenly spread from the first to the last."""
    return np.linspace(0, count - 1, min(most, count)).astype(int)

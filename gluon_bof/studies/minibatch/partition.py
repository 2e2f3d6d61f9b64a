"""Mini-batches: a set sorted by a metric and cut, or cut at random."""
from __future__ import annotations

from typing import Sequence

import numpy as np

from gluon_bof.errors import UserError
from gluon_bof.rng import Purpose, generator
from gluon_bof.studies.minibatch.metrics import entropy


def ranking(scores: np.ndarray) -> np.ndarray:
    """(N,) indices of the images, the smallest score first; scores of several numbers are compared by the first, then the
    second, and equal ones stay in the set's order. scores: (N,) or (N, n)."""
    columns = np.atleast_2d(np.asarray(scores).T)
    return np.lexsort(columns[::-1])


def cut(order: np.ndarray, batch_size: int) -> np.ndarray:
    """(K, batch_size) the order cut into mini-batches; an incomplete last one is left out, as in the paper.

    Raises UserError where there is no whole one."""
    count = len(order) // batch_size
    if count == 0:
        raise UserError(f"{len(order)} images make no mini-batch of {batch_size}", remedy="lower --batch-size")
    return np.asarray(order)[:count * batch_size].reshape(count, batch_size)


def random_partition(images: np.ndarray, batch_size: int, seed: int, number: int = 0) -> np.ndarray:
    """(K, batch_size) these images in another order, which depends on seed and number alone."""
    rng = generator(Purpose.PARTITION, seed, number)
    return cut(rng.permutation(np.sort(np.ravel(images))), batch_size)


def class_entropies(batches: np.ndarray, labels: Sequence[Sequence[int]]) -> np.ndarray:
    """(K,) the entropy in bits of the classes in each mini-batch. labels: class ids of each image, one or several."""
    return np.array([entropy(label for index in batch for label in labels[index]) for batch in batches])

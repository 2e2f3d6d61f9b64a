"""CountSketch of gradients (Charikar, Chen and Farach-Colton, 2002): every number is added, with a random sign, to one of `width`
cells, so that products of two gradients are about those of their sketches.

One pass over the mini-batches gives each one's sketch; the mean of the sketches is the sketch of the mean. What one pass also
gives exactly, the norms of each gradient and of their mean, corrects the estimate: of the squared norm of a sketch of u and that
of v the covariance is 2 <u, v>^2 / width, so what the sketch got wrong in the two known norms tells what it probably got wrong in
the distance. A block of no more than `width` numbers is kept as it is."""
from __future__ import annotations

from typing import Sequence

import numpy as np

from gluon_bof.rng import Purpose, generator

MAX_WIDTH = 1 << 15  # a cell's number and a sign are kept in 16 bits
SEED = 20


class Sketch:
    """The cells and signs of a gradient's numbers. places: (block's number, first number, one past the last) of each parameter;
    width: cells of each of the `blocks`, a power of two."""

    def __init__(self, places: Sequence[tuple[int, int, int]], blocks: int, width: int):
        if width > MAX_WIDTH or width & (width - 1):
            raise ValueError(f"the width {width} is no power of two up to {MAX_WIDTH}")
        self.width = width
        self.drawn = generator(Purpose.MINIBATCH, SEED).integers(0, 2 * width, places[-1][2], dtype=np.uint16)
        sizes = [sum(end - first for block, first, end in places if block == number) for number in range(blocks)]
        self.cells = [min(size, width) for size in sizes]
        filled = [0] * blocks
        for block, first, end in places:
            if sizes[block] <= width:
                self.drawn[first:end] = np.arange(filled[block], filled[block] + end - first)
                filled[block] += end - first

    def empty(self) -> list[np.ndarray]:
        """A float64 array of cells for each block, of a gradient of zeros."""
        return [np.zeros(cells) for cells in self.cells]

    def add(self, sketch: list[np.ndarray], block: int, place: slice, values: np.ndarray) -> None:
        """Add a piece of a gradient of that block."""
        # the second half of the cells counts negative
        found, cells = np.bincount(self.drawn[place], values, 2 * self.width), self.cells[block]
        sketch[block] += found[:cells]
        sketch[block] -= found[self.width:self.width + cells]

    @staticmethod
    def compare(sketches: Sequence[np.ndarray], norms: np.ndarray, full: np.ndarray) -> np.ndarray:
        """(K, blocks) squared distances to the mean. sketches: of each block (K, cells); norms: (K, blocks) exact squared norms;
        full: (blocks,) that of the mean."""
        return np.stack([_compare(np.asarray(sketch, np.float64), norms[:, block], full[block])
                         for block, sketch in enumerate(sketches)], axis=1)


def _compare(sketch, norms, full):
    """The same of one block, (K,) each."""
    mean = sketch.mean(axis=0)
    away = sketch - mean
    distance = np.einsum("kw,kw->k", away, away)
    wrong = np.stack([np.einsum("kw,kw->k", sketch, sketch) - norms, np.full_like(norms, mean @ mean - full)], axis=-1)
    product = (norms + full - distance) / 2
    # covariances, without 2 / width, of what is wrong in the two known norms with each other and in the distance
    known = np.stack([np.stack([norms ** 2, product ** 2], axis=-1),
                      np.stack([product ** 2, np.full_like(norms, full ** 2)], axis=-1)], axis=-2)
    with_distance = np.stack([(norms - product) ** 2, (full - product) ** 2], axis=-1)
    weights = np.einsum("kij,kj->ki", np.linalg.pinv(known, hermitian=True), with_distance)
    return np.maximum(distance - (weights * wrong).sum(axis=-1), 0)

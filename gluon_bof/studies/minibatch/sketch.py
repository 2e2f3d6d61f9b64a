"""CountSketch of gradients (Charikar, Chen and Farach-Colton, 2002): every number is added, with a random sign, to one of `width`
cells, so that products of two gradients are about those of their sketches.

One pass over the mini-batches gives each one's sketch; the mean of the sketches is the sketch of the mean. What one pass also
gives exactly, the norms of each gradient and of their mean, corrects the estimate: of the squared norm of a sketch of u and that
of v the covariance is 2 <u, v>^2 / width, so what the sketch got wrong in the two known norms tells what it probably got wrong in
the distance."""
from __future__ import annotations

import numpy as np

from gluon_bof.rng import Purpose, generator

MAX_WIDTH = 1 << 15  # a cell's number and a sign are kept in 16 bits
SEED = 20


class Sketch:
    """The cells and signs of `size` numbers in `blocks` parts, each with its own `width` cells, a power of two."""

    def __init__(self, size: int, blocks: int, width: int):
        if width > MAX_WIDTH or width & (width - 1):
            raise ValueError(f"the width {width} is no power of two up to {MAX_WIDTH}")
        self.blocks = blocks
        self.width = width
        self.drawn = generator(Purpose.MINIBATCH, SEED).integers(0, 2 * width, size, dtype=np.uint16)

    def empty(self) -> np.ndarray:
        """(blocks, width) float64 of a gradient of zeros."""
        return np.zeros((self.blocks, self.width))

    def add(self, sketch: np.ndarray, block: int, place: slice, values: np.ndarray) -> None:
        """Add a piece of a gradient of that block."""
        # the signed values of twice as many cells, of which the second half counts negative
        cells = np.bincount(self.drawn[place], values, 2 * self.width)
        sketch[block] += cells[:self.width] - cells[self.width:]

    def compare(self, sketches: np.ndarray, norms: np.ndarray, full: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """((K, blocks) squared distances to the mean, (K, blocks) products with it) of (K, blocks, width) sketches.

        norms: (K, blocks) exact squared norms; full: (blocks,) that of the mean."""
        mean = sketches.mean(axis=0)
        away = sketches - mean
        distance = np.einsum("kbw,kbw->kb", away, away)
        wrong = np.stack([np.einsum("kbw,kbw->kb", sketches, sketches) - norms,
                          np.broadcast_to(np.einsum("bw,bw->b", mean, mean) - full, norms.shape)], axis=-1)
        product = (norms + full - distance) / 2
        # covariances, without 2 / width, of what is wrong in the two known norms with each other and in the distance
        known = np.stack([np.stack([norms ** 2, product ** 2], axis=-1),
                          np.stack([product ** 2, np.broadcast_to(full ** 2, norms.shape)], axis=-1)], axis=-2)
        with_distance = np.stack([(norms - product) ** 2, (full - product) ** 2], axis=-1)
        weights = np.einsum("kbij,kbj->kbi", np.linalg.pinv(known, hermitian=True), with_distance)
        distance = np.maximum(distance - (weights * wrong).sum(axis=-1), 0)
        return distance, (norms + full - distance) / 2

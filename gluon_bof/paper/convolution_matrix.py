"""A convolution as a matrix, and the transposed convolution as that matrix's transpose: the lecture's examples."""
from __future__ import annotations

import itertools
from typing import NamedTuple, Sequence

import numpy as np

TAPS = "xyz"  # names of a filter's weights in the lecture
VALUES = "abcd"
# the lecture's image and filter, whose convolution is 122, 148, 126, 134
IMAGE = np.array([[4, 5, 8, 7], [1, 8, 8, 8], [3, 6, 6, 4], [6, 5, 7, 8]])
FILTER = np.array([[1, 4, 1], [1, 4, 3], [3, 3, 1]])


class Example(NamedTuple):
    """A one-dimensional convolution of a padded line by a filter of three: stride; taps (outputs, inputs), which weight of the
    filter an input counts with, -1 where it does not."""

    stride: int
    taps: np.ndarray

    def matrix(self, weights: Sequence[float]) -> np.ndarray:
        """The matrix with these three weights."""
        return np.where(self.taps < 0, 0, np.asarray(weights)[self.taps])

    def letters(self) -> list[list[str]]:
        """The matrix as the lecture writes it."""
        return [[TAPS[tap] if tap >= 0 else "0" for tap in row] for row in self.taps]


def convolution_matrix(weights: np.ndarray, shape: Sequence[int], stride: int = 1) -> np.ndarray:
    """(outputs, inputs) with which a flattened array of this shape is multiplied to be convolved, without padding, by weights.

    weights: of as many dimensions as shape, of which all have one stride. Multiplying by its transpose is the transposed
    convolution."""
    steps = [(length - side) // stride + 1 for length, side in zip(shape, weights.shape)]
    rows = []
    for corner in itertools.product(*map(range, steps)):
        row = np.zeros(shape, weights.dtype)
        row[tuple(slice(stride * at, stride * at + side) for at, side in zip(corner, weights.shape))] = weights
        rows.append(row.ravel())
    return np.array(rows)


def line_example(stride: int) -> Example:
    """The lecture's: a line of four, padded by one at each end, and a filter of three."""
    return Example(stride, convolution_matrix(np.arange(1, 4), (4 + 2 * 1,), stride) - 1)


def sums(matrix: Sequence[Sequence[str]], vector: Sequence[str]) -> list[str]:
    """The product of a matrix and a vector of letters, as text: "ay + bz"; "0" where nothing is left."""
    texts = []
    for row in matrix:
        terms = [f"{value}{tap}" for tap, value in zip(row, vector) if "0" not in (tap, value)]
        texts.append(" + ".join(terms) or "0")
    return texts

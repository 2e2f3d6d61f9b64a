"""Weights as matrices and their spectra: the eigenvalues of W^T W, exact, in float64, by the smaller of the two Gram matrices."""
from __future__ import annotations

from typing import Any, Sequence

import numpy as np

from gluon_bof.errors import UserError
from gluon_bof.studies.capacity.conventions import DEFAULT, Convention, convention_of
from gluon_bof.studies.capacity.lapack import SMALL, eigenvalues_of_one, in_parallel, one_blas_thread

DENSE, CONVOLUTION = "dense", "convolution"


def kind_of(shape: Sequence[int]) -> str:
    """"dense" for (O, I), "convolution" for (O, I, W) and (O, I, H, W). Raises UserError for other shapes."""
    if len(shape) not in (2, 3, 4):
        raise UserError(f"weights of the shape {tuple(shape)} are no layer's here", remedy="give (O, I) or (O, I, H, W)")
    return DENSE if len(shape) == 2 else CONVOLUTION


def slices_of(weight: np.ndarray, factor: float = 1.0) -> np.ndarray:
    """(K, M, N) float64, M <= N: the matrices of a layer, one for each place of its kernel, times sqrt(factor).

    The product is rounded to the weights' own type (float32 at least), as WeightWatcher and TempBalance round it: that moves
    eigenvalues by some 1e-8 of themselves, and without it no comparison with their tables would go below that."""
    weight = np.asarray(weight)
    kind_of(weight.shape)
    if factor != 1:
        kind = np.result_type(weight.dtype, np.float32)
        weight = weight.astype(kind, copy=False) * kind.type(np.sqrt(factor))
    outputs, inputs = weight.shape[:2]
    kernel = int(np.prod(weight.shape[2:]))
    matrices = weight.reshape(outputs * inputs, kernel).T.astype(np.float64, order="C").reshape(kernel, outputs, inputs)
    return matrices if outputs <= inputs else matrices.transpose(0, 2, 1)


def eigenvalues_of(matrices: np.ndarray) -> np.ndarray:
    """(K, M) eigenvalues of the Gram matrices of (K, M, N), ascending; none is below 0.

    Those below some M * 2e-16 of the largest are rounding, where a decomposition of W itself would go on to 1e-31."""
    with one_blas_thread():
        if matrices.shape[1] <= SMALL:
            return np.maximum(np.linalg.eigvalsh(matrices @ matrices.transpose(0, 2, 1)), 0)
        return np.maximum(np.stack(in_parallel(lambda one: eigenvalues_of_one(one @ one.T), matrices)), 0)


def windows_of(matrices: np.ndarray) -> np.ndarray:
    """(P, K, M, M): the floor(N / M) square windows of (K, M, N) that follow each other along the larger side."""
    count, side, length = matrices.shape
    places = length // side
    cut = matrices[:, :, :places * side].reshape(count, side, places, side)
    return np.ascontiguousarray(cut.transpose(2, 0, 1, 3))


def spectra(weight: np.ndarray, convention: str | Convention = DEFAULT) -> list[np.ndarray]:
    """The spectra of a layer, each ascending: one where slices are pooled, one a slice, or one a window."""
    convention = convention_of(convention)
    shape = np.shape(weight)
    count = int(np.prod(shape[2:]))
    matrices = slices_of(weight, convention.factor(count) if kind_of(shape) == CONVOLUTION else 1.0)
    if convention.windows:
        return [np.sort(eigenvalues_of(window).ravel()) for window in windows_of(matrices)]
    values = eigenvalues_of(matrices) / (matrices.shape[2] if convention.over_n else 1)
    return [np.sort(values.ravel())] if convention.pooled else list(values)


def esd(weight: np.ndarray | Sequence[Any], convention: str | Convention = DEFAULT) -> np.ndarray:
    """(n,) the empirical spectral density's eigenvalues, ascending: all of a layer's in one.

    weight: (O, I), (O, I, W) or (O, I, H, W). Raises UserError for other shapes and for values that are not finite."""
    weight = np.asarray(weight)
    if not np.isfinite(weight).all():
        raise UserError("the weights hold values that are not finite", remedy="train again from before they appeared")
    return np.sort(np.concatenate(spectra(weight, convention)))


def shuffled(weight: np.ndarray, seed: int) -> np.ndarray:
    """The same entries in another order: what is left of a spectrum when nothing was learned but their sizes."""
    weight = np.asarray(weight)
    return np.random.Generator(np.random.Philox(seed)).permutation(weight.ravel()).reshape(weight.shape)

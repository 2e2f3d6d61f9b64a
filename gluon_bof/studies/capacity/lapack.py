"""Eigenvalues of many symmetric matrices, on all cores: each matrix on one thread, without Python's lock.

LAPACK's dsytrd and dsterf do what `numpy.linalg.eigvalsh` does, with a workspace that lets them go by blocks. They are taken
from SciPy's public table of LAPACK functions (scipy.linalg.cython_lapack), because SciPy's own wrappers hold the lock. The
threads that OpenBLAS itself would start per matrix only get in each other's way at these sizes, so they are turned off
meanwhile; where its switch is not found, everything is as right and not as fast."""
from __future__ import annotations

import contextlib
import ctypes
import functools
import glob
import os
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Callable, Iterable, Iterator

import numpy as np

from gluon_bof import threads

SMALL, BLOCK = 64, 32  # sides of matrices that numpy decomposes as quickly; columns a block of the others
SWITCHES = ("scipy_openblas_{}_num_threads64_", "scipy_openblas_{}_num_threads", "openblas_{}_num_threads64_",
            "openblas_{}_num_threads")


def in_parallel(function: Callable[[Any], Any], items: Iterable[Any]) -> list:
    """[function(item)], on as many threads as there are cores for this process, or as OMP_NUM_THREADS says if fewer."""
    items = list(items)
    if len(items) < 2 or threads.beside_mxnet() < 2:
        return [function(item) for item in items]
    return list(_pool().map(function, items))


@functools.lru_cache(maxsize=1)
def _pool():
    return ThreadPoolExecutor(threads.beside_mxnet(), "spectrum")


def eigenvalues_of_one(symmetric: np.ndarray) -> np.ndarray:
    """(M,) ascending eigenvalues of one symmetric (M, M) float64 matrix."""
    tridiagonalise, solve = _function("dsytrd"), _function("dsterf")
    side = len(symmetric)
    work = np.array(symmetric, order="F")
    diagonal, beside, scales, space = np.empty(side), np.empty(max(1, side)), np.empty(max(1, side)), np.empty(BLOCK * side)
    size, room, trouble = ctypes.c_int(side), ctypes.c_int(len(space)), ctypes.c_int(0)
    tridiagonalise(b"L", ctypes.byref(size), _at(work), ctypes.byref(size), _at(diagonal), _at(beside), _at(scales), _at(space),
                   ctypes.byref(room), ctypes.byref(trouble))
    solve(ctypes.byref(size), _at(diagonal), _at(beside), ctypes.byref(trouble))
    return diagonal if trouble.value == 0 else np.linalg.eigvalsh(symmetric)


def _at(array):
    return ctypes.c_void_p(array.ctypes.data)


@functools.lru_cache(maxsize=None)
def _function(name):
    """A LAPACK function of SciPy's table, called without Python's lock; all its arguments are pointers."""
    from scipy.linalg import cython_lapack

    capsule = cython_lapack.__pyx_capi__[name]
    signature = ctypes.pythonapi.PyCapsule_GetName
    signature.restype, signature.argtypes = ctypes.c_char_p, [ctypes.py_object]
    pointer = ctypes.pythonapi.PyCapsule_GetPointer
    pointer.restype, pointer.argtypes = ctypes.c_void_p, [ctypes.py_object, ctypes.c_char_p]
    return ctypes.CFUNCTYPE(None)(pointer(capsule, signature(capsule)))


@contextlib.contextmanager
def one_blas_thread() -> Iterator[None]:
    """OpenBLAS, NumPy's copy and SciPy's, on one thread while this lasts."""
    before = [(switch, ask()) for switch, ask in _switches()]
    try:
        for switch, _ in before:
            switch(1)
        yield
    finally:
        for switch, count in before:
            switch(count)


@functools.lru_cache(maxsize=1)
def _switches():
    """[(set, get)] of the number of threads, for each copy of OpenBLAS in the wheels of NumPy and SciPy."""
    import scipy

    found = []
    for package in (np, scipy):
        root = os.path.dirname(package.__file__)
        for path in glob.glob(os.path.join(root, "..", f"{package.__name__}.libs", "*openblas*")) + glob.glob(
                os.path.join(root, ".dylibs", "*openblas*")):
            library = ctypes.CDLL(path)
            names = [name for name in SWITCHES if hasattr(library, name.format("set"))][:1]
            found += [(getattr(library, name.format("set")), getattr(library, name.format("get"))) for name in names]
    return found

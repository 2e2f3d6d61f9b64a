"""Arrays that data workers hand to the trainer: MXNet's, in memory that both processes see."""
from __future__ import annotations

import ctypes
import os
from typing import Any, Sequence

import numpy as np

from gluon_bof.backend import mx
from gluon_bof.data.workers import FULL, SHARED_MEMORY, WorkerLost, shared_memory_room
from gluon_bof.freebies.augmentation import FILL


def shared_buffer(shape: Sequence[int], dtype: Any, shared: bool) -> tuple[mx.nd.NDArray, np.ndarray]:
    """(MXNet's array, the numpy array of its memory): in memory that other processes see where it is `shared`. Raises
    WorkerLost where there is no room for it."""
    target = _reserved(shape, dtype) if shared else mx.nd.empty(shape, ctx=mx.cpu(), dtype=dtype)
    address = ctypes.c_void_p()
    mx.base.check_call(mx.base._LIB.MXNDArrayGetData(target.handle, ctypes.byref(address)))
    count = int(np.prod(shape))
    memory = (ctypes.c_byte * (count * np.dtype(dtype).itemsize)).from_address(address.value)
    return target, np.frombuffer(memory, dtype, count).reshape(shape)


def _reserved(shape, dtype):
    """MXNet's array in shared memory that is really there: MXNet only says how long its file is, and whoever then writes where
    there is no room is ended by SIGBUS."""
    try:
        target = mx.nd.empty(shape, ctx=mx.Context("cpu_shared", 0), dtype=dtype)
        if hasattr(os, "posix_fallocate"):
            _, file, _, _ = target._to_shared_mem()
            os.posix_fallocate(file, 0, os.fstat(file).st_size)
    except (OSError, mx.base.MXNetError) as error:
        reason = getattr(error, "strerror", None) or str(error).strip().splitlines()[-1]
        wanted = np.prod(shape) * np.dtype(dtype).itemsize / 1e6
        raise WorkerLost(f"a data worker finds no room for {wanted:.3g} MB of a batch in shared memory ({reason}; "
                         f"{shared_memory_room()})", SHARED_MEMORY, FULL) from None
    return target


def to_shared(array: np.ndarray, shared: bool) -> mx.nd.NDArray:
    """The numpy array as MXNet's, in memory that other processes see where it is `shared`."""
    target, memory = shared_buffer(array.shape, array.dtype, shared)
    memory[...] = array
    return target


def stack_to_shared(images: Sequence[np.ndarray], shared: bool, least: Sequence[int] = (0, 0)) -> mx.nd.NDArray:
    """(B, H, W, 3) uint8 of images of several sizes, each in the top left corner of its canvas, in one write.

    least: height and width that the canvas has at least."""
    height, width = (max(least[axis], *(image.shape[axis] for image in images)) for axis in (0, 1))
    target, memory = shared_buffer((len(images), height, width, 3), np.uint8, shared)
    for place, image in zip(memory, images):
        place[:image.shape[0], :image.shape[1]] = image
        place[image.shape[0]:] = FILL
        place[:image.shape[0], image.shape[1]:] = FILL
    return target

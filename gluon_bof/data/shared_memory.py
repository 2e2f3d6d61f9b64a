"""Arrays that data workers hand to the trainer: MXNet's, in memory that both processes see."""
from __future__ import annotations

import ctypes

import numpy as np

from gluon_bof.backend import mx
from gluon_bof.freebies.augmentation import FILL


def shared_buffer(shape, dtype, shared):
    """(MXNet's array, the numpy array of its memory): in memory that other processes see where it is `shared`."""
    target = mx.nd.empty(shape, ctx=mx.Context("cpu_shared" if shared else "cpu", 0), dtype=dtype)
    address = ctypes.c_void_p()
    mx.base.check_call(mx.base._LIB.MXNDArrayGetData(target.handle, ctypes.byref(address)))
    count = int(np.prod(shape))
    memory = (ctypes.c_byte * (count * np.dtype(dtype).itemsize)).from_address(address.value)
    return target, np.frombuffer(memory, dtype, count).reshape(shape)


def to_shared(array, shared):
    """The numpy array as MXNet's, in memory that other processes see where it is `shared`."""
    target, memory = shared_buffer(array.shape, array.dtype, shared)
    memory[...] = array
    return target


def stack_to_shared(images, shared):
    """(B, H, W, 3) uint8 of images of several sizes, each in the top left corner of its canvas, in one write."""
    height, width = (max(image.shape[axis] for image in images) for axis in (0, 1))
    target, memory = shared_buffer((len(images), height, width, 3), np.uint8, shared)
    for place, image in zip(memory, images):
        place[:image.shape[0], :image.shape[1]] = image
        place[image.shape[0]:] = FILL
        place[:image.shape[0], image.shape[1]:] = FILL
    return target

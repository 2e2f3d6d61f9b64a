"""MXNet's `.params` format, read and written in numpy: a damaged file gives an error, never a crash or a huge allocation."""
from __future__ import annotations

import os
import struct
from typing import Any, Iterator, Mapping

import numpy as np

LIST_MAGIC = 0x112
DENSE_V1, DENSE_V2, DENSE_V3 = 0xF993FAC8, 0xF993FAC9, 0xF993FACA
DENSE_STORAGE = 0
CPU = 1
TYPES = {0: np.float32, 1: np.float64, 2: np.float16, 3: np.uint8, 4: np.int32, 5: np.int8, 6: np.int64, 7: np.bool_}
FLAGS = {np.dtype(kind): flag for flag, kind in TYPES.items()}
LEAST_BYTES = 8  # of an array or a name
MAX_DIMENSIONS = 16


class _Cursor:
    """Takes fields off a buffer; every read is checked against its end."""

    def __init__(self, data):
        self.data = memoryview(data)
        self.at = 0

    def take(self, count):
        if count < 0 or count > len(self.data) - self.at:
            raise ValueError(f"it ends at byte {len(self.data)}, inside a field of {count} bytes at {self.at}")
        self.at += count
        return self.data[self.at - count:self.at]

    def fields(self, layout):
        layout = "<" + layout
        return struct.unpack(layout, self.take(struct.calcsize(layout)))

    def number(self, layout):
        return self.fields(layout)[0]


def is_params(path: str, start: bytes) -> bool:
    """Whether a file is such a one by its name's ending, be it damaged, or by the bytes that it starts with."""
    return os.path.splitext(path)[1].lower() == ".params" or start.startswith(LIST_MAGIC.to_bytes(8, "little"))


def loads(data: bytes) -> dict[str, np.ndarray]:
    """{name: array} of the bytes of a .params file. Raises ValueError, saying where, for anything else."""
    cursor = _Cursor(data)
    if cursor.number("Q") != LIST_MAGIC:
        raise ValueError("it does not begin as an MXNet parameter file")
    cursor.number("Q")
    arrays = [_array(cursor) for _ in range(_count(cursor))]
    names = []
    for _ in range(_count(cursor)):
        try:
            names.append(str(cursor.take(cursor.number("Q")), "utf-8"))
        except UnicodeDecodeError:
            raise ValueError(f"a name before byte {cursor.at} is not text") from None
    if len(names) != len(arrays):
        raise ValueError(f"it holds {len(arrays)} arrays and {len(names)} names")
    if len(set(names)) != len(names):
        raise ValueError("a name occurs twice")
    if cursor.at != len(cursor.data):
        raise ValueError(f"{len(cursor.data) - cursor.at} bytes follow its end")
    return dict(zip(names, arrays))


def _count(cursor):
    count = cursor.number("Q")
    if count * LEAST_BYTES > len(cursor.data):
        raise ValueError(f"it claims {count} entries in {len(cursor.data)} bytes")
    return count


def _array(cursor):
    magic = cursor.number("I")
    if magic not in (DENSE_V1, DENSE_V2, DENSE_V3):
        raise ValueError(f"no array begins at byte {cursor.at - 4}")
    if magic != DENSE_V1 and cursor.number("i") != DENSE_STORAGE:
        raise ValueError(f"the array at byte {cursor.at} is sparse")
    dimensions = cursor.number("i")
    if not 0 <= dimensions <= MAX_DIMENSIONS:
        raise ValueError(f"the array at byte {cursor.at} has {dimensions} dimensions")
    shape = cursor.fields(f"{dimensions}q")
    if dimensions == 0 and magic != DENSE_V3:
        raise ValueError(f"the array at byte {cursor.at} was never filled")
    if min(shape, default=0) < 0:
        raise ValueError(f"the array at byte {cursor.at} has the shape {shape}")
    cursor.fields("ii")  # the device it was saved from
    flag = cursor.number("i")
    if flag not in TYPES:
        raise ValueError(f"the array at byte {cursor.at} has the unknown type {flag}")
    kind = np.dtype(TYPES[flag])
    size = kind.itemsize
    for side in shape:
        size *= side  # Python's integers: a wild shape cannot overflow
    return np.frombuffer(cursor.take(size), kind).reshape(shape)


def dumps(arrays: Mapping[str, np.ndarray]) -> bytes:
    """The bytes of a .params file of {name: numpy array}, as MXNet's `nd.save` writes them."""
    return b"".join(pieces(arrays))


def pieces(arrays: Mapping[str, Any]) -> Iterator[bytes | memoryview]:
    """The same bytes piece by piece, of {name: MXNet or numpy array}: one array at a time is copied to the host."""
    yield struct.pack("<QQQ", LIST_MAGIC, 0, len(arrays))
    for array in arrays.values():
        array = np.ascontiguousarray(array if isinstance(array, np.ndarray) else array.asnumpy())
        yield struct.pack(f"<Iii{array.ndim}qiii", DENSE_V2, DENSE_STORAGE, array.ndim, *array.shape,
                          CPU, 0, FLAGS[array.dtype])
        yield array.reshape(-1).view(np.uint8).data
    yield struct.pack("<Q", len(arrays))
    for name in arrays:
        name = name.encode()
        yield struct.pack("<Q", len(name)) + name

"""Safetensors files by the package of that name, which holds a file's header against its size before it reads a value; and how
the files of other programs are told apart. No MXNet in here."""
from __future__ import annotations

import json
import os
import stat
from typing import Iterable, Iterator, NamedTuple

import numpy as np
from safetensors import SafetensorError, safe_open

from gluon_bof.errors import UserError
from gluon_bof.weights.formats.exported import refuse_export
from gluon_bof.weights.formats.params import LIST_MAGIC

# in NumPy, which knows no BF16: its bits are the upper half of a float32's
FLOAT_TYPES = {"F64": "<f8", "F32": "<f4", "F16": "<f2", "BF16": "<u2"}
PREFIXES = ("module.", "backbone.", "model.")  # of wrapped networks: DataParallel's, detectors', training frameworks'
MAX_BYTES = 8 << 30  # no network here has a tenth of it, and some files are read whole
FOREIGN_MAGIC = {b"PK\3\4": "a zip archive, as PyTorch and NumPy write them, and is not read",
          b"\x80": "a pickle, which can run code, and is not read",
          LIST_MAGIC.to_bytes(8, "little"): "a file of MXNet parameters, which needs no import"}
REDOWNLOAD_REMEDY = "download it again and compare sizes or checksums"


class Entry(NamedTuple):
    """An array in a file: its type's name in safetensors, and its shape."""

    kind: str
    shape: tuple


def beginning(path: str, count: int) -> bytes:
    """The first `count` bytes of a file. Raises UserError for what is missing, unreadable, too large or no regular file."""
    try:
        status = os.stat(path)
        if not stat.S_ISREG(status.st_mode):
            raise UserError("this is no file of weights", path, "check the path")
        if status.st_size > MAX_BYTES:
            raise UserError(f"{status.st_size} bytes are more than any network here has", path, "check the path")
        with open(path, "rb") as file:
            return file.read(count)
    except OSError as error:
        raise UserError(f"the weights cannot be read ({error.strerror})", path, "check the path") from None


def is_safetensors(path: str) -> bool:
    """Whether a file is safetensors by its name's ending, else by its beginning; if not it can only be Darknet's.

    Raises UserError as `beginning`, and for files that are not looked into, such as exports and those that may hold code."""
    start = beginning(path, 9)
    ending = os.path.splitext(path)[1].lower()
    # a length, then a JSON object; in a Darknet file that would be a revision 123 of some version x.0
    if ending == ".safetensors" or (ending != ".weights" and start[4:] == b"\0\0\0\0{"):
        return True
    refuse_export(path)
    for first, what in FOREIGN_MAGIC.items():
        if start.startswith(first):
            raise UserError(f"this is {what}", path, "give a .weights or .safetensors file")
    return False


def read_header(path: str) -> dict[str, Entry]:
    """{name: Entry} of a file, of which no values are read. Raises ValueError for a damaged or foreign one."""
    try:
        with safe_open(path, "numpy") as file:
            slices = {name: file.get_slice(name) for name in file.keys()}
            return {name: Entry(part.get_dtype(), tuple(part.get_shape())) for name, part in slices.items()}
    except SafetensorError as error:
        raise ValueError(str(error)) from None


def read_arrays(path: str, names: Iterable[str]) -> dict[str, np.ndarray]:
    """{name: float32 array} of entries of a type in FLOAT_TYPES. Raises ValueError as `read_header`."""
    return {name: array.astype(np.float32) for name, array in each_array(path, names)}


def each_array(path: str, names: Iterable[str]) -> Iterator[tuple[str, np.ndarray]]:
    """(name, array) of the same entries, one in memory at a time, of their own type, of BF16 float32. Raises as `read_arrays`."""
    read_header(path)  # which holds sizes and places against the file
    with open(path, "rb") as file:
        length = int.from_bytes(file.read(8), "little")
        header = json.loads(file.read(length))
        for name in names:
            entry = header[name]
            start, end = entry["data_offsets"]
            file.seek(8 + length + start)
            values = np.frombuffer(file.read(end - start), FLOAT_TYPES[entry["dtype"]])
            if entry["dtype"] == "BF16":
                values = (values.astype(np.uint32) << 16).view(np.float32)
            yield name, values.reshape(entry["shape"])


def without_prefix(names: Iterable[str], may_lack: tuple[str, ...] = ()) -> dict[str, str]:
    """{name without what all names begin with of PREFIXES, one after the other: name}; names that begin with `may_lack`, as a
    classifier's head, need not begin so."""
    found = {name: name for name in names}
    for _ in range(len(PREFIXES)):
        prefix = next((prefix for prefix in PREFIXES if any(name.startswith(prefix) for name in found) and
                       all(name.startswith((prefix, *may_lack)) for name in found)), None)
        if prefix is None:
            break
        shorter = {name[len(prefix):] if name.startswith(prefix) else name: whole for name, whole in found.items()}
        if len(shorter) < len(found):  # two would have one name
            break
        found = shorter
    return found

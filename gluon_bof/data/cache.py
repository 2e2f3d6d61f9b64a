"""Decoded training images that are kept: whoever decodes one first keeps it for every process that trains on the set.

The pixels are those that decoding gives, so batches have the same bits with and without. Nothing outlives the training: what
lies on disk has no name, and goes when the last of its processes ends, by whatever."""
from __future__ import annotations

import mmap
import os
import socket
import tempfile
from functools import partial
from typing import TYPE_CHECKING, Callable, Sequence

import numpy as np

from gluon_bof.data.images import read_image
from gluon_bof.distributed import comm
from gluon_bof.errors import LOGGER, UserError

if TYPE_CHECKING:
    from gluon_bof.boxes import Record

KEPT = ("none", "ram", "disk")
SHARE = 0.8  # of the free memory that a cache may take
CHANNELS = 3
Reader = Callable[[int], np.ndarray]


def image_reader(records: Sequence[Record], where: str = "none", folder: str = ".") -> Reader:
    """read(i) -> (H, W, 3) uint8 of the i-th record; not to be written to. Make it before the processes that share it start.

    where: one of KEPT, the place of what is kept: memory, or a file without a name in `folder`.
    Raises UserError where there is no room; the reader raises it for a broken image, as `read_image` does."""
    if where == "none":
        return partial(_decoded, records)
    needed = bytes_of(records)
    memory = _in_memory(needed) if where == "ram" else _on_disk(needed, folder)
    LOGGER.info("--cache %s: %d decoded images in %.0f MB of %s", where, len(records), needed / 1e6,
                "memory, which all data workers share" if where == "ram" else f"the disk of {folder}")
    return _Kept(records, memory)


def _decoded(records, index):
    return read_image(records[index].path, records[index].orientation)


def bytes_of(records: Sequence[Record]) -> int:
    """What the decoded images take, and a byte each that says whether they are there."""
    return len(records) + sum(record.width * record.height * CHANNELS for record in records)


class _Kept:
    """The reader of a map: a byte for each record, then their pixels one after the other."""

    def __init__(self, records, memory):
        self.records = records
        self.bytes = np.frombuffer(memory, np.uint8)
        self.present = self.bytes[:len(records)]
        sizes = [record.width * record.height * CHANNELS for record in records]
        self.begins = len(records) + np.concatenate(([0], np.cumsum(sizes))).astype(np.int64)

    def __call__(self, index):
        record = self.records[index]
        shape = record.height, record.width, CHANNELS
        pixels = self.bytes[self.begins[index]:self.begins[index + 1]].reshape(shape)
        if not self.present[index]:
            image = read_image(record.path, record.orientation)
            if image.shape != shape:  # the file is another one by now: there is no place for it
                return image
            pixels[...] = image
            self.present[index] = 1  # last: until then others decode for themselves, and write the same
        pixels.flags.writeable = False
        return pixels


def _in_memory(needed):
    here = comm.gather(socket.gethostname()).count(socket.gethostname())  # each of them keeps its own
    free = free_memory()
    if here * needed > SHARE * free:
        workers = f" for each of {here} workers" if here > 1 else ""
        raise UserError(f"--cache ram needs {needed / 1e6:.0f} MB{workers}, and {free / 1e6:.0f} MB of memory are free",
                        remedy="--cache disk keeps the decoded images in the run's folder; none decodes them anew")
    return mmap.mmap(-1, needed)


def _on_disk(needed, folder):
    try:
        os.makedirs(folder, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder) as file:
            if hasattr(os, "posix_fallocate"):
                os.posix_fallocate(file.fileno(), 0, needed)  # a disk that gets full later would end whoever writes by SIGBUS
            else:
                file.truncate(needed)
            return mmap.mmap(file.fileno(), needed)
    except OSError as error:
        raise UserError(f"--cache disk cannot keep {needed / 1e6:.0f} MB here ({error.strerror})", folder,
                        "make room there, choose another place with --runs, or leave --cache out") from None


def free_memory(machine: str = "/proc/meminfo", group: str = "/sys/fs/cgroup") -> float:
    """Bytes of memory that this process may still take: those of the machine, or of its container where that allows fewer;
    infinity where neither is told."""
    found = [float("inf")]
    try:
        with open(machine, encoding="ascii") as file:
            found += [int(line.split()[1]) * 1024 for line in file if line.startswith("MemAvailable:")]
    except OSError:
        pass
    for limit, used in (("memory.max", "memory.current"), ("memory/memory.limit_in_bytes", "memory/memory.usage_in_bytes")):
        try:
            found.append(_number(os.path.join(group, limit)) - _number(os.path.join(group, used)))
        except (OSError, ValueError):  # "max" is no limit
            continue
    return max(0.0, min(found))


def _number(path):
    with open(path, encoding="ascii") as file:
        return float(file.read())

"""Arrays that data workers hand to the trainer: in memory that both processes see, which the worker uses again.

A worker lends a buffer under the next of its generations. The trainer copies the array out of it as soon as it arrives, and
gives buffer and generation back with the worker's next task; until then nobody writes into it. What comes back under another
generation, or arrives under an old one, is a fault and raises."""
from __future__ import annotations

import os
from typing import Any, Iterable, NamedTuple, Sequence

import numpy as np

from gluon_bof.backend import mx
from gluon_bof.data.workers import FULL, SHARED_MEMORY, WorkerLost, shared_memory_room
from gluon_bof.devices import numpy_view
from gluon_bof.freebies.augmentation import FILL

SMALL = 1 << 15  # bytes up to which an array goes through the pipe itself


class Lent(NamedTuple):
    """An array in a worker's buffer, as it crosses to the trainer. number, generation: the buffer's; buffer: MXNet's array of all
    of its bytes, if the trainer has not had it yet; gone: numbers of buffers that the worker has given up."""

    number: int
    generation: int
    shape: tuple
    dtype: np.dtype
    buffer: Any = None
    gone: tuple = ()

    @property
    def size(self) -> int:
        """Numbers in the array."""
        return int(np.prod(self.shape))


class Small(np.ndarray):
    """An array that crosses to the trainer by itself, and becomes MXNet's there; what else a batch has of numpy's stays."""


class _Buffer:
    def __init__(self, array):
        self.array = array
        self.memory = numpy_view(array)
        self.generation = 0
        self.is_lent = self.is_known = False


class Buffers:
    """A worker's side. Buffers are as many as are lent at once, and as large as the largest array that was."""

    def __init__(self):
        self._all = {}
        self._made = 0
        self._unsent = []  # lent, and the answer that tells it has not been sent
        self._gone = []

    def lend(self, shape: Sequence[int], dtype: Any) -> tuple[Lent, np.ndarray]:
        """(what crosses to the trainer, the array itself, to be filled). Raises WorkerLost where there is no room."""
        dtype, shape = np.dtype(dtype), tuple(map(int, shape))
        needed = int(np.prod(shape)) * dtype.itemsize
        number = self._free(needed)
        buffer = self._all[number]
        buffer.generation += 1
        buffer.is_lent = True
        self._unsent.append(number)
        told = Lent(number, buffer.generation, shape, dtype, None if buffer.is_known else buffer.array, tuple(self._gone))
        return told, buffer.memory[:needed].view(dtype).reshape(shape)

    def _free(self, needed):
        free = sorted((len(buffer.memory), number) for number, buffer in self._all.items() if not buffer.is_lent)
        fitting = [number for size, number in free if size >= needed]
        if fitting:
            return fitting[0]
        for _, number in free:  # all too small: their room goes to the new one
            self._gone += [number] if self._all.pop(number).is_known else []
        self._made += 1
        self._all[self._made] = _Buffer(_reserved((needed,), np.uint8))
        return self._made

    def take_back(self, returned: Iterable[tuple[int, int]]) -> None:
        """(number, generation) of buffers that the trainer has done with. Raises RuntimeError for one that is not lent so."""
        for number, generation in returned:
            buffer = self._all.get(number)
            if buffer is None or not buffer.is_lent or buffer.generation != generation:
                raise RuntimeError(f"buffer {number} came back as generation {generation}, which is not lent")
            buffer.is_lent = False

    def sent(self, told: Iterable[Lent]) -> None:
        """The trainer has been told of these, of all that was lent since the last time; the others are free again."""
        told = {part.number: part for part in told}
        for number in self._unsent:
            buffer = self._all[number]
            buffer.is_lent = number in told
            buffer.is_known |= buffer.is_lent
        gone = {number for part in told.values() for number in part.gone}
        self._unsent, self._gone = [], [number for number in self._gone if number not in gone]


_buffers = Buffers()  # of this process, if it is a worker


class Lending:
    """What `Workers` asks of memory that is lent: in a worker its buffers, and in the trainer what is known of everybody's."""

    def __init__(self):
        self._known = {}  # (worker, buffer's number): [its array, its memory, the generation that came last]

    def begin(self) -> None:
        """In a worker, first of all: it has no buffer, whatever the process that it is forked from has."""
        global _buffers
        _buffers = Buffers()

    def take_back(self, returned: Iterable[tuple[int, int]]) -> None:
        """In a worker, before its next task: these buffers are free again."""
        _buffers.take_back(returned)

    def sent(self, answer: Any) -> None:
        """In a worker, after a task: what the trainer has been told, None where the task failed."""
        _buffers.sent(_lent_in(answer))

    def take(self, worker: Any, result: Any) -> tuple[Any, list[tuple[int, int]]]:
        """In the trainer: (a worker's result with arrays of its own, [(number, generation)] of what may be lent again)."""
        own = {}
        for part in _lent_in(result):
            if part[:2] not in own:  # an array may be there twice
                own[part[:2]] = self._own(worker, part)
        return _with_own(result, own), list(own)

    def _own(self, worker, part):
        for number in part.gone:
            self._known.pop((worker, number), None)
        if part.buffer is not None:
            self._known[worker, part.number] = [part.buffer, numpy_view(part.buffer), 0]
        _, memory, last = known = self._known[worker, part.number]
        if part.generation <= last:
            raise RuntimeError(f"buffer {part.number} of a data worker came as generation {part.generation} after {last}")
        known[-1] = part.generation
        return self.copied(memory, part)

    def copied(self, memory: np.ndarray, part: Lent) -> mx.nd.NDArray:
        """The array, in memory that only this process has, of a buffer's bytes."""
        target, own = shared_buffer(part.shape, part.dtype, False)
        own[...] = memory[:own.nbytes].view(part.dtype).reshape(part.shape)
        return target


def _lent_in(result):
    """Every Lent of an answer, also in tuples and lists within."""
    if isinstance(result, Lent):
        yield result
    elif isinstance(result, (tuple, list)):
        for part in result:
            yield from _lent_in(part)


def _with_own(result, own):
    """The answer with own[number, generation] for each Lent, and MXNet's arrays for small ones."""
    if isinstance(result, Lent):
        return own[result[:2]]
    if isinstance(result, Small):
        return to_shared(result, False)
    if not isinstance(result, (tuple, list)):
        return result
    parts = [_with_own(part, own) for part in result]
    return type(result)(*parts) if hasattr(result, "_fields") else type(result)(parts)


def shared_buffer(shape: Sequence[int], dtype: Any, shared: bool) -> tuple[Any, np.ndarray]:
    """(what a batch has for an array, the numpy array of its memory, to be filled): MXNet's array; or, where it is `shared` with
    the trainer, what crosses to it: `Lent`, and of a small array `Small`. Raises WorkerLost where there is no room for it."""
    dtype = np.dtype(dtype).newbyteorder("=")  # MXNet's numbers are the machine's, whatever a file's were
    if not shared:
        target = mx.nd.empty(shape, ctx=mx.cpu(), dtype=dtype)
        return target, numpy_view(target)
    if int(np.prod(shape)) * dtype.itemsize > SMALL:
        return _buffers.lend(shape, dtype)
    array = np.empty(shape, dtype)
    return array.view(Small), array


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


def to_shared(array: np.ndarray, shared: bool) -> Any:
    """The numpy array as a batch has it, see `shared_buffer`."""
    target, memory = shared_buffer(array.shape, array.dtype, shared)
    memory[...] = array
    return target


def stack_to_shared(images: Sequence[np.ndarray], shared: bool, least: Sequence[int] = (0, 0)) -> Any:
    """(B, H, W, 3) uint8 of images of several sizes, each in the top left corner of its canvas, in one write, as a batch has it.

    least: height and width that the canvas has at least."""
    height, width = (max(least[axis], *(image.shape[axis] for image in images)) for axis in (0, 1))
    target, memory = shared_buffer((len(images), height, width, 3), np.uint8, shared)
    for place, image in zip(memory, images):
        place[:image.shape[0], :image.shape[1]] = image
        place[image.shape[0]:] = FILL
        place[:image.shape[0], image.shape[1]:] = FILL
    return target

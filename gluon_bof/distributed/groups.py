"""What joins the processes of a training: MXNet's parameter server, or Horovod. All else that they tell each other is sums, too.

A sum with zeros keeps every bit, so text and arrays travel as sums of halves of words, which float32 holds exactly."""
from __future__ import annotations

import ctypes
import json
import os
from typing import Any, Sequence

import numpy as np

from gluon_bof.backend import mx
from gluon_bof.distributed import comm
from gluon_bof.errors import UserError

FIRST_KEY = 1_000_000  # of sums beside the gradients, whose keys are the numbers of parameters
CHUNK = 1 << 18  # numbers a sum of text and arrays
SMALL_CHUNK = 1 << 10
LAUNCH = "start all of them with gluon-bof launch"


def start_group(kv_store: str, horovod: bool) -> None:
    """Join the others, if there are any: by what the environment says that this process is, or by these flags.

    Raises UserError where flags ask for others and nobody says where they are."""
    if horovod or int(os.environ.get("HOROVOD_SIZE", "1")) > 1:
        comm.join(Horovod())
    elif os.environ.get("DMLC_ROLE") == "worker":
        comm.join(ParameterServer(kv_store if kv_store.startswith("dist") else "dist_sync"))
    elif kv_store.startswith("dist"):
        raise UserError(f"--kv-store {kv_store} joins workers, and nothing says where the others are (DMLC_ROLE is not worker)",
                        remedy=LAUNCH)


class _Summing(comm.Alone):
    """A group whose `sum` does everything; by `_sum_in_place(name, number, array)`, of an array that is always the same one."""

    def __init__(self):
        self._buffers = {}

    def sum(self, name, array):
        name = f"{name}-{'x'.join(map(str, array.shape))}"
        if name not in self._buffers:
            self._buffers[name] = len(self._buffers), mx.nd.zeros(array.shape, ctx=array.context)
        number, buffer = self._buffers[name]
        # One array a name: MXNet's engine then begins no sum before the last one of that name has come. Of two arrays it would,
        # and the server would add a worker's next numbers to its own last ones.
        array.copyto(buffer)
        self._sum_in_place(name, number, buffer)
        return buffer.copyto(array)

    def gather(self, value):
        words = _words(json.dumps(value).encode())
        lengths = np.zeros(self.size, np.float32)
        lengths[self.rank] = len(words)
        lengths = self._sum_numbers(lengths).astype(int)
        begin = lengths[:self.rank].sum()
        every = np.zeros(lengths.sum(), np.float32)
        every[begin:begin + len(words)] = words
        every = self._sum_numbers(every)
        return [json.loads(_bytes(part)) for part in np.split(every, np.cumsum(lengths)[:-1])]

    def broadcast(self, value):
        return self.gather(value if self.rank == 0 else None)[0]

    def broadcast_arrays(self, arrays):
        for array in arrays:
            own = array.asnumpy()
            halves = np.zeros(2 * own.size, np.float32)
            if self.rank == 0:
                halves = np.ascontiguousarray(own, np.float32).view(np.uint16).astype(np.float32).ravel()
            told = self._sum_numbers(halves).astype(np.uint16).view(np.float32).reshape(own.shape)
            array[:] = mx.nd.array(told, ctx=array.context, dtype=array.dtype)

    def barrier(self):
        self._sum_numbers(np.zeros(1, np.float32))

    def _sum_numbers(self, numbers):
        """The sum of all processes' (N,) float32, as a new array; waited for."""
        chunk = SMALL_CHUNK if len(numbers) <= SMALL_CHUNK else CHUNK
        summed = []
        for begin in range(0, len(numbers), chunk):
            part = np.zeros(chunk, np.float32)
            part[:len(numbers) - begin] = numbers[begin:begin + chunk]
            summed.append(self.sum(f"numbers-{chunk}", mx.nd.array(part)).asnumpy())
        return np.concatenate(summed or [numbers])[:len(numbers)]


def _words(data):
    """Bytes as numbers, two in each; the last number tells whether one was added."""
    odd = len(data) % 2
    return np.append(np.frombuffer(data + b" " * odd, np.uint16).astype(np.float32), np.float32(odd))


def _bytes(words):
    data = words[:-1].astype(np.uint16).tobytes()
    return data[:-1] if words[-1] else data


class ParameterServer(_Summing):
    """The workers of MXNet's kvstore of this type, over ps-lite; its variables (DMLC_…) say where the others are."""

    def __init__(self, kind: str):
        self.store = mx.kv.create(kind)
        self.rank, self.size = self.store.rank, self.store.num_workers
        self._begun = set()
        super().__init__()

    def _sum_in_place(self, name, number, array):
        key = FIRST_KEY + number
        if key not in self._begun:
            self._begun.add(key)
            self.store.init(key, mx.nd.zeros(array.shape, ctx=array.context))
        self.store.pushpull(key, array, out=array)

    def close(self):
        """All must come here; then servers and scheduler end."""
        mx.nd.waitall()
        # Python's own end of a store comes when its last user goes, or never
        handle, self.store.handle = self.store.handle, ctypes.c_void_p()
        mx.base.check_call(mx.base._LIB.MXKVStoreFree(handle))


class Horovod(_Summing):
    """The processes that Horovod joins, of one device each, as GluonCV's scripts have it. Horovod's own trainer would divide the
    gradients by their number once more."""

    one_device = True

    def __init__(self):
        try:
            import horovod.mxnet as engine
        except ImportError as error:
            raise UserError(f"Horovod is not installed with MXNet ({error})",
                            remedy="build it as docs/distributed.md says, or leave it out and use gluon-bof launch") from None
        engine.init()
        self._engine = engine
        super().__init__()
        self.rank, self.size, self.local_rank = engine.rank(), engine.size(), engine.local_rank()

    def sum_gradients(self, gradients: Sequence[Any]) -> None:
        """The sums of all processes in place of these gradients, the same arrays every time."""
        for number, gradient in enumerate(gradients):
            self._sum_in_place(f"gradient-{number}", number, gradient)

    def _sum_in_place(self, name, number, array):
        if self.size > 1:
            self._engine.allreduce_(array, op=self._engine.Sum, name=name)

    def close(self):
        """All must come here."""
        self.barrier()
        mx.nd.waitall()
        self._engine.shutdown()

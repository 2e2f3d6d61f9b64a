"""Contexts: which there are and may be used, a batch split over them, and the host's memory."""
from __future__ import annotations

import ctypes
import shutil
import subprocess
from typing import Iterable, Sequence

import numpy as np

from gluon_bof.backend import gluon, mx
from gluon_bof.errors import UserError, warn

NEWEST_CAPABILITY = 8.9  # mxnet-cu112 holds machine code up to Ada and no PTX for what came after
M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3  # of glibc's malloc.h
LARGE = 2 << 20  # bytes. From 1 MB a Faster R-CNN's step took 60,000 pages anew; up to 8 MB sizes that change doubled its memory
KEPT = 64 << 20  # bytes, at the heap's end


def refuse_numpy_arrays() -> None:
    """Raise UserError in a program that has chosen NumPy's arrays by mx.npx.set_np(): these networks cannot compute with them."""
    if mx.util.is_np_array():
        raise UserError("MXNet's arrays are NumPy's here (mx.npx.set_np()), and these networks compute with its own",
                        remedy="call mx.npx.reset_np() before")


def contexts(gpus: str | None, cpus: int = 0) -> list[mx.Context]:
    """The devices of "0,1" (those GPUs), "" (the CPU) or None (all GPUs that are there, else the CPU); or `cpus` contexts of
    the CPU.

    Raises UserError for a GPU that is missing, named twice, or too new for MXNet 1.9.1."""
    if cpus:
        return [mx.cpu(number) for number in range(cpus)]
    there = mx.context.num_gpus()
    if gpus is None:
        wanted = list(range(there))
    else:
        try:
            wanted = [int(word) for word in gpus.split(",") if word.strip()]
        except ValueError:
            raise UserError(f"--gpus {gpus!r} is not a list of numbers", remedy="write for example --gpus 0,1") from None
    if len(set(wanted)) != len(wanted):
        raise UserError(f"--gpus {gpus} names a GPU twice", remedy="name each once")
    missing = [number for number in wanted if not 0 <= number < there]
    if missing:
        raise UserError(f"GPU {missing[0]} was asked for, but MXNet sees {there}",
                        remedy="leave --gpus out to take what is there, or give --gpus '' for the CPU")
    if not wanted:
        return [mx.cpu(0)]
    refuse_too_new([card for number, card in enumerate(nvidia_cards()) if number in wanted])
    return [mx.gpu(number) for number in wanted]


def first_context(gpus: str | None, of_run: bool = False) -> mx.Context:
    """The first device of these, as `contexts` takes them. of_run: a run says so, and nobody now: where they are not there,
    what is there takes their place, with a warning. Raises UserError as `contexts` does."""
    try:
        return contexts(gpus)[0]
    except UserError as error:
        if not of_run:
            raise
        device = contexts(None)[0]
        warn(f"the run was trained with --gpus {gpus}, which cannot be had here ({error.problem}): {device} takes their place")
        return device


def return_large_arrays() -> None:
    """Have the host's memory for each large array go back to the system when the array goes.

    By default glibc keeps up to 32 MB a block in its heap, which arrays of changing sizes break into ever more pieces. Smaller
    arrays stay there, with a free end that the next step takes again. Other C libraries are left as they are."""
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt:
        mallopt(M_MMAP_THRESHOLD, LARGE)
        mallopt(M_TRIM_THRESHOLD, KEPT)


def nvidia_cards() -> list[tuple[str, float]]:
    """[(name, compute capability)] of the machine's cards, as nvidia-smi tells; [] where it is not there."""
    if not shutil.which("nvidia-smi"):
        return []
    told = subprocess.run(["nvidia-smi", "--query-gpu=name,compute_cap", "--format=csv,noheader"],
                          stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, check=False)
    return parse_cards(told.stdout)


def parse_cards(text: str) -> list[tuple[str, float]]:
    """[(name, capability)] from lines "NVIDIA A100, 8.0"; lines of another form are passed over."""
    cards = []
    for line in text.splitlines():
        name, _, capability = line.rpartition(",")
        try:
            cards.append((name.strip(), float(capability)))
        except ValueError:
            continue
    return cards


def refuse_too_new(cards: Iterable[tuple[str, float]]) -> None:
    """Raise UserError for a card that MXNet 1.9.1's GPU build has no machine code for."""
    for name, capability in cards:
        if capability > NEWEST_CAPABILITY:
            raise UserError(f"{name} (compute capability {capability}) is newer than MXNet 1.9.1 can use "
                            f"(up to {NEWEST_CAPABILITY})", remedy="use an older card, or the CPU: --gpus ''")


def numpy_view(array: mx.nd.NDArray) -> np.ndarray:
    """An array that the host holds as numpy's, of its shape and type and in the same memory: to be used once its numbers are
    there (`wait_to_read`), and as long as it is."""
    if not array.size:
        return np.empty(array.shape, array.dtype)
    address = ctypes.c_void_p()
    mx.base.check_call(mx.base._LIB.MXNDArrayGetData(array.handle, ctypes.byref(address)))
    count = array.size * np.dtype(array.dtype).itemsize
    return np.frombuffer((ctypes.c_byte * count).from_address(address.value), array.dtype).reshape(array.shape)


def split(array: mx.nd.NDArray, devices: Sequence[mx.Context]) -> list[mx.nd.NDArray]:
    """The batch cut into as many parts as there are devices, each on its own."""
    if len(devices) == 1:
        return [array.as_in_context(devices[0])]
    return gluon.utils.split_and_load(array, devices, even_split=False)

"""How many threads MXNet computes with. It reads OMP_NUM_THREADS once, as it is imported; without it, it takes half of the
machine's cores, whatever a container's quota pays for.

The number is part of a run: sums over a batch are cut among the threads, so another number gives other bits."""
from __future__ import annotations

import math
import os
import re
import sys
from typing import Iterable

from gluon_bof.errors import UserError, warn

VARIABLE = "OMP_NUM_THREADS"
QUOTAS = (("/sys/fs/cgroup/cpu.max",),
          ("/sys/fs/cgroup/cpu/cpu.cfs_quota_us", "/sys/fs/cgroup/cpu/cpu.cfs_period_us"))  # of version 2 and 1
_left = False  # to MXNet, as it was when the run that goes on began
_own: str | None = None  # what was put into the environment here, and not by the user


def choose(kept: str | None = None) -> str:
    """Set the number of threads, as text, before MXNet is imported, and return it; "" where it is left to MXNet.

    What the environment says holds. Else it is what a run that goes on has `kept`, or half of the cores for anything new
    (None): the others load, and where all compute, two trainings on a machine wait for each other and take thrice as long.
    Where MXNet is imported already nothing is changed. Raises UserError for what is no number to MXNet, which would abort."""
    global _left, _own
    told = os.environ.get(VARIABLE, "")
    if told:
        if not re.fullmatch(r"\s*[+-]?[0-9]{1,9}\s*", told) and "mxnet" not in sys.modules:
            raise UserError(f"{VARIABLE} is {told!r}, and MXNet takes one whole number", remedy="set it so, or unset it")
        if kept is not None and told != kept:
            warn(f"{VARIABLE} is {told}, and the run began with {kept or 'none'}: the last bits of its numbers may be others")
        return told
    _left = _left or kept == "" or "mxnet" in sys.modules
    if not _left:
        os.environ[VARIABLE] = _own = kept or str(max(1, cores() // 2))
    return os.environ.get(VARIABLE, "")


def beside_mxnet() -> int:
    """Threads for what computes outside of MXNet: all cores, or fewer where the user's environment says so."""
    told = os.environ.get(VARIABLE, "").split(",")[0].strip()
    return min(cores(), int(told)) if told.isdecimal() and int(told) and told != _own else cores()


def cores() -> int:
    """Cores that this process may use: those it is bound to, and no more than its container's quota pays for."""
    bound = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, min([bound, *quotas(QUOTAS)]))


def quotas(places: Iterable[tuple]) -> list[int]:
    """Cores that each control group's quota pays for, rounded up. places: (cpu.max,) or (quota, period), paths."""
    found = []
    for paths in places:
        try:
            quota, period = " ".join(map(_text, paths)).split()
            if quota not in ("max", "-1"):
                found.append(math.ceil(int(quota) / int(period)))
        except (OSError, ValueError, ZeroDivisionError):
            continue
    return found


def _text(path):
    with open(path, encoding="ascii") as file:
        return file.read()

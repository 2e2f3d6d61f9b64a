"""Who this process is among those that train one network: `rank`, `size`, `is_main`, `from_main`, `barrier`. No MXNet in here.

A process by itself is rank 0 of 1, and everything here costs it nothing. What joins several, MXNet's parameter server or Horovod,
is a group of `distributed.groups` that the start of a training puts in place with `join`. All that the processes tell each other
waits for all of them: every process must call the same functions in the same order."""
from __future__ import annotations

import functools
import os
import sys
import traceback
from typing import Any, Callable, Sequence

from gluon_bof.errors import UserError

TOLD_BY = ("DMLC_ROLE", "HOROVOD_SIZE")  # variables that say that there are others
FAILED = 1  # status of an exception that is nobody's fault but ours


class Alone:
    """The group of a process that trains by itself."""

    rank, size, local_rank = 0, 1, 0
    store = None  # MXNet's kvstore, where it sums the gradients
    one_device = False  # whether each process has one device, of those of its host the one of its local rank

    def sum(self, name: str, array: Any) -> Any:
        """The array, an MXNet one, with the sum of all processes' in it; not waited for. name: the same for the same use."""
        return array

    def gather(self, value: Any) -> list:
        """Every process's value, of JSON's kinds, by rank."""
        return [value]

    def broadcast(self, value: Any) -> Any:
        """Rank 0's value, of JSON's kinds; what the others give is not looked at."""
        return value

    def broadcast_arrays(self, arrays: Sequence[Any]) -> None:
        """Give float32 arrays of MXNet's the values that rank 0 has in them, to the bit."""

    def barrier(self) -> None:
        """Wait until all are here."""

    def close(self) -> None:
        """Part from the others, all at the same place of the program."""


_group: Any = Alone()


def join(group: Any) -> None:
    """Have this process be one of a group from now on."""
    global _group
    _group = group


def group() -> Any:
    """The group that this process belongs to."""
    return _group


def rank() -> int:
    """The number of this process, from 0 on."""
    return _group.rank


def size() -> int:
    """How many processes train together."""
    return _group.size


def is_main() -> bool:
    """Whether this process is the one that writes."""
    return _group.rank == 0


def is_told_of_others() -> bool:
    """Whether the environment says that this process is one of a job's, be it the only one that trains."""
    return any(os.environ.get(name) for name in TOLD_BY)


def gather(value: Any) -> list:
    """Every process's value, of JSON's kinds, by rank."""
    return _group.gather(value)


def barrier() -> None:
    """Wait until all processes are here."""
    _group.barrier()


def from_main(make: Callable[[], Any]) -> Any:
    """What make() returns at rank 0, which alone calls it, of JSON's kinds. Raises UserError everywhere where it does there."""
    if _group.size == 1:
        return make()
    told, error = None, None
    if is_main():
        try:
            told = {"made": make()}
        except UserError as problem:
            told, error = {"error": str(problem)}, problem
    told = _group.broadcast(told)
    if error:
        raise error
    if "error" in told:
        raise UserError(f"worker 0 cannot go on: {told['error']}")
    return told["made"]


def main_first(make: Callable[[], Any]) -> Any:
    """What make() returns here, after rank 0 has called it: for what the first one downloads or draws, and the others find."""
    made = []
    from_main(lambda: made.append(make()))
    return made[0] if made else make()


def require_same(what: str, mark: Callable[[], str]) -> None:
    """Raise UserError, everywhere, unless mark() is the same text of `what` in every process. One by itself does not call it."""
    if _group.size == 1:
        return
    marks = _group.gather(mark())
    others = [str(number) for number, other in enumerate(marks) if other != marks[0]]
    if others:
        raise UserError(f"{what} of worker {', '.join(others)} is another one than that of worker 0",
                        remedy="all workers need the same files and the same version of everything")


def close() -> None:
    """End the group: the processes go on alone, in step up to here."""
    global _group
    ended, _group = _group, Alone()
    ended.close()


def ends_for_all(main: Callable[..., Any]) -> Callable[..., Any]:
    """A process of a group that fails ends at once. MXNet's own end would wait for the others, who wait for this one's next
    gradients; whoever started them sees this end, and ends them."""

    @functools.wraps(main)
    def wrapper(*args, **kwargs):
        try:
            return main(*args, **kwargs)
        except BaseException as problem:
            if _group.size == 1:
                raise
            _end(problem)

    return wrapper


def _end(problem):
    status = problem.code if isinstance(problem, SystemExit) else FAILED
    try:
        if not isinstance(problem, SystemExit):
            traceback.print_exception(type(problem), problem, problem.__traceback__)
        for stream in (sys.stdout, sys.stderr):
            stream.flush()
        from multiprocessing import util

        util._exit_function()  # data workers end, and their folder goes
    finally:  # whatever that meets, such as a log on a full disk
        os._exit(status if isinstance(status, int) else FAILED)

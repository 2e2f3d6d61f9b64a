"""What processes leave for each other in a folder that all of them see, and wait for no other way: the shares of a validation.

An exchange takes as long as it takes, and a process that does not come to it is the launcher's to find."""
from __future__ import annotations

import json
import os
import time
from typing import Any, Callable

from gluon_bof.distributed import comm
from gluon_bof.files import write_atomically

POLL_SECONDS = 0.02
SLOWEST_POLL = 0.5

_folder, _start, _number = "", "", 0


def use_folder(folder: str, start: str) -> None:
    """Where exchanges lie from now on, and a word that no other start of this training has."""
    global _folder, _start, _number
    _folder, _start, _number = folder, start, 0


def decide(share: bytes, decision: Callable[[list], Any]) -> Any:
    """What `decision` makes at rank 0 of every process's share, by rank; every process gets it. It is of JSON's kinds.

    A process by itself decides at once."""
    global _number
    if comm.size() == 1:
        return decision([share])
    _number += 1
    shares = [_path(f"share-{rank}") for rank in range(comm.size())]
    answer = _path("answer")
    if not comm.is_main():
        write_atomically(shares[comm.rank()], share)
        return json.loads(_wait_for(answer))
    made = decision([share] + [_wait_for(path) for path in shares[1:]])
    for path in shares[1:]:
        os.unlink(path)
    write_atomically(answer, json.dumps(made).encode())
    return made


def decide_numbers(numbers: Any, decision: Callable[[list], Any]) -> Any:
    """What `decision` makes of every process's numbers, of JSON's kinds too; None where one has None: it was stopped."""
    def judge(shares):
        found = [json.loads(share) for share in shares]
        return None if None in found else decision(found)

    return decide(json.dumps(numbers).encode(), judge)


def clear(folder: str) -> None:
    """Remove what earlier exchanges left in a folder."""
    for name in os.listdir(folder) if os.path.isdir(folder) else ():
        os.unlink(os.path.join(folder, name))


def _path(part):
    return os.path.join(_folder, f"{_start}-{_number:06d}-{part}")


def _wait_for(path):
    pause = POLL_SECONDS
    while True:
        try:
            with open(path, "rb") as file:
                return file.read()
        except FileNotFoundError:
            os.listdir(os.path.dirname(path))  # a network's file system looks again at a folder that is listed
            time.sleep(pause)
            pause = min(SLOWEST_POLL, pause * 1.05)

"""How a process of several ends when it fails: at once, for the others wait for it, and with its status; and who is unlike."""
import subprocess
import sys

import pytest

from gluon_bof.distributed import comm
from gluon_bof.errors import UserError
from tests.distributed.group import environment

FAILS = """
import atexit, time
from gluon_bof.distributed import comm
from gluon_bof.errors import UserError, user_facing

class Two(comm.Alone):
    size = 2

comm.join(Two())
atexit.register(time.sleep, 600)  # MXNet's end, too, waits for the others

@comm.ends_for_all
@user_facing
def main():
    raise {problem}

main()
"""


@pytest.mark.parametrize("problem, status", (("UserError('no room')", 2), ("ValueError('ours')", 1)))
def test_a_worker_that_cannot_even_say_why_ends_at_once_with_its_status(problem, status):
    """Its log lies on the disk that is full."""
    with open("/dev/full", "w") as log:
        ended = subprocess.run([sys.executable, "-c", FAILS.format(problem=problem)], env=environment(), stdout=log, stderr=log,
                               timeout=30)
    assert ended.returncode == status


class Three(comm.Alone):
    """The second of three, of which the others have told their marks."""

    rank, size = 1, 3

    def __init__(self, first, last):
        self.told = first, last

    def gather(self, value):
        return [self.told[0], value, self.told[1]]


def test_workers_with_something_else_than_the_first_are_named_to_all(monkeypatch):
    comm.require_same("the set", lambda: pytest.fail("one alone makes no mark"))
    for first, last, others in (("ours", "other", "2"), ("other", "other", "1"), ("first", "last", "1, 2")):
        monkeypatch.setattr(comm, "_group", Three(first, last))
        with pytest.raises(UserError, match=f"^the set of worker {others} is another one than that of worker 0"):
            comm.require_same("the set", lambda: "ours")
    monkeypatch.setattr(comm, "_group", Three("ours", "ours"))
    comm.require_same("the set", lambda: "ours")

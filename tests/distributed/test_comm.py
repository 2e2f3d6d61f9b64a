"""How a process of several ends when it fails: at once, for the others wait for it, and with its status."""
import subprocess
import sys

import pytest

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

"""What counts as a failure of a process that stands still: a real one behind its keeper, of which some time has passed."""
import time

import pytest

from gluon_bof.distributed.processes import Process
from gluon_bof.distributed.roles import place, this_machine
from gluon_bof.distributed.supervise import SILENT_SECONDS, Group, Limits, StopSignals

LIMITS = Limits(stall=40, start=90)


@pytest.fixture
def worker(tmp_path):
    """A worker that sleeps and has told that it runs."""
    role, = place(1, None, this_machine(1)).workers
    process = Process(role, ["sleep", "60"], {}, str(tmp_path / "worker-0.log"), 1)
    deadline = time.monotonic() + 30
    while not process.pid:
        assert process.runs and time.monotonic() < deadline
        time.sleep(0.01)
        process.poll()
    yield process
    process.kill()


def failure_after(worker, seconds):
    """The failure's first line, or None, where its last step, or its start, was so many seconds ago."""
    worker.progressed_at = time.monotonic() - seconds
    found = Group([worker], LIMITS, StopSignals()).failure()
    return found and found.text.splitlines()[0]


def test_before_the_first_step_start_seconds_is_the_limit_and_stall_seconds_after_it(worker):
    assert failure_after(worker, 80) is None
    assert "no worker has made a step for 100 s; it has written nothing into " in failure_after(worker, 100)
    worker.progress = "0 1 train"
    assert failure_after(worker, 30) is None
    assert failure_after(worker, 80).endswith("no worker has made a step for 80 s; it last wrote '0 1 train'")


def test_a_worker_whose_keeper_tells_nothing_is_silent(worker):
    worker.heard_at = time.monotonic() - SILENT_SECONDS + 5
    assert failure_after(worker, 0) is None
    worker.heard_at -= 10
    assert failure_after(worker, 0).endswith("is silent: its keeper has told nothing for 25 s")

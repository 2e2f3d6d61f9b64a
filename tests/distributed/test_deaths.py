"""A real training of two workers, a server and a scheduler, of which one is killed or stopped: it is named, all are ended within
a minute, and with one restart it ends with the bits of a training that nothing happened to."""
import os
import signal
import time

import pytest

from tests.distributed.jobs import Job
from tests.scripts import ROOT, parameters
from tests.tiny_sets import write_voc_set

pytestmark = pytest.mark.slow
WORDS = ("--network", "mobilenet0.25-slim", "--pretrained-base", "no", "--init", "near-identity", "--data-shape", 64,
         "--no-random-shape", "--batch-size", 2, "--epochs", 2, "--warmup-epochs", 0, "--val-interval", 1, "--log-interval", 2,
         "--seed", 3, "-j", 1)
UPDATES = 24
MOMENTS = {"start": lambda step, phase: True, "first": lambda step, phase: step >= 1, "middle": lambda step, phase: step >= 5,
           "validating": lambda step, phase: phase == "validating", "saving": lambda step, phase: phase == "saving",
           "end": lambda step, phase: step == UPDATES and phase != "training"}


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A folder with a data set and the run "whole"."""
    folder = tmp_path_factory.mktemp("deaths")
    write_voc_set(folder / "set", images=24, validation=8)
    status, _, said = start(folder, "whole").wait(120)
    assert status == 0, said
    return folder


def start(folder, name, *words):
    return Job(folder, "-n", 2, "--log-dir", f"logs/{name}", *words, "--", ROOT / "train_yolo3.py", "--dataset", folder / "set",
               *WORDS, "--name", name)


def seen(log):
    """(step, phase) of a progress file."""
    try:
        words = log.read_text().split()
        return int(words[1]), words[2]
    except (OSError, IndexError):
        return -1, ""


def main_process(job, role):
    """A process of the role, not one of its data workers, which come later."""
    found = job.of_role(role)
    return found and min(found)


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSTOP], ids=["killed", "stopped"])
@pytest.mark.parametrize("role", ["worker", "server", "scheduler"])
@pytest.mark.parametrize("moment", MOMENTS)
def test_a_death_is_named_ends_all_and_costs_no_bit(place, moment, role, number):
    name = f"{moment}-{role}-{number}"
    job = start(place, name, "--max-restarts", 1)
    try:
        log = place / "logs" / name / "worker-0.progress"
        deadline = time.monotonic() + 90
        while not (main_process(job, role) if moment == "start" else MOMENTS[moment](*seen(log))):
            assert job.process.poll() is None and time.monotonic() < deadline
            time.sleep(0.002)
        os.kill(main_process(job, role), number)
        at, again = time.monotonic(), place / "logs" / name / "scheduler.restart-1.log"
        job.until(again.exists, 60)
        assert time.monotonic() - at < 60
        status, outcome, said = job.wait(120)
    finally:
        job.end()
    line, = [line for line in said.splitlines() if line.startswith("launch: ") and " on localhost was " in line]
    assert line.startswith(f"launch: {role}") and ("SIGKILL" if number == signal.SIGKILL else "stopped (state T)") in line
    assert status == 0 and outcome["restarts"] == 1, said
    assert parameters(place, name) == parameters(place, "whole")

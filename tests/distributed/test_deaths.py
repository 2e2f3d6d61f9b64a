"""A real training of two workers, a server and a scheduler, of which one is killed or stopped: it is named, all are ended within
a minute, and with one restart it ends with the bits of a training that nothing happened to."""
import json
import os
import re
import signal
import subprocess
import sys
import time

import pytest

from tests.distributed.jobs import Job, parent
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
    """A process of the role, not one of its data workers; not by the smallest number: numbers begin anew some day."""
    found = job.of_role(role)
    mains = [process for process in found if parent(process) not in found]
    return mains and min(mains)


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


def test_a_lost_data_worker_ends_all_and_another_start_costs_no_bit(place):
    name = "data-worker"
    job = start(place, name, "--max-restarts", 1, "--grace-seconds", 1)
    try:
        log = place / "logs" / name / "worker-0.progress"
        deadline = time.monotonic() + 90
        while seen(log)[0] < 15:
            assert job.process.poll() is None and time.monotonic() < deadline
            time.sleep(0.002)
        workers = job.of_role("worker")
        os.kill(next(process for process in workers if parent(process) in workers), signal.SIGKILL)
        status, outcome, said = job.wait(120)
    finally:
        job.end()
    assert "a data worker was killed (SIGKILL)" in said and "the last checkpoint is kept" in said
    assert status == 0 and outcome["restarts"] == 1, said
    assert parameters(place, name) == parameters(place, "whole")


def test_a_disk_that_fills_up_logs_and_all_ends_the_job_at_once_by_name(place, tmp_path):
    mount = ["unshare", "-rm", "sh", "-c", 'mount -t tmpfs -o size=40m tmpfs . && cd "$PWD" && exec "$@"', "sh"]
    try:
        if subprocess.run([*mount, "true"], cwd=tmp_path, stderr=subprocess.DEVNULL).returncode:
            pytest.skip("no file system may be mounted here")
    except FileNotFoundError:
        pytest.skip("there is no unshare")
    words = [sys.executable, "-m", "gluon_bof", "launch", "-n", 2, "--grace-seconds", 1, "--", ROOT / "train_yolo3.py",
             "--dataset", place / "set", *WORDS, "--name", "run"]
    process = subprocess.Popen([*mount, *map(str, words)], cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                               text=True, env=dict(os.environ, PYTHONPATH=str(ROOT), OMP_NUM_THREADS="1"))
    disk = f"/proc/{process.pid}/cwd"
    try:
        deadline = time.monotonic() + 90
        while not os.path.exists(f"{disk}/runs/run/checkpoints/iteration-000000012.ckpt"):
            assert process.poll() is None and time.monotonic() < deadline
            time.sleep(0.01)
        with open(f"{disk}/hog", "wb", buffering=0) as file, pytest.raises(OSError):
            while True:
                file.write(bytes(4096))
        out, err = process.communicate(timeout=60)
    finally:
        process.kill()
    assert process.returncode == 2 and "Traceback" not in err, err
    assert re.search(r"launch: worker \d ", err) and "no room is left on that disk" in err  # whichever wrote first
    assert json.loads(out.splitlines()[-1])["status"] == 2

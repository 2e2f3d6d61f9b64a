"""How trainings and evaluations with data workers end: real signals to real process groups, workers that really die, a /dev/shm
that is really full."""
import contextlib
import json
import os
import re
import signal
import subprocess
import sys
import time

import pytest

import train_yolo3
from gluon_bof.runs.folder import checkpoints
from tests.scripts import ROOT, inside, started, wait_for
from tests.tiny_networks import write_run
from tests.tiny_sets import write_voc_set

WORDS = ("--network", "mobilenet0.25-slim", "--pretrained-base", "no", "--init", "near-identity", "--data-shape", "64",
         "--no-random-shape", "--batch-size", "2", "--epochs", "500", "--warmup-epochs", "0", "--val-interval", "1000",
         "--log-interval", "1", "--seed", "3")
PROMPT = 10  # seconds


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return str(write_voc_set(tmp_path_factory.mktemp("set"), images=12, validation=4))


@pytest.fixture
def start():
    """start(folder, *words) -> a process of this Python, as `started` has it."""
    with contextlib.ExitStack() as processes:
        yield lambda folder, *words, shell=(): processes.enter_context(
            started([*shell, sys.executable, *map(str, words)], cwd=folder))


@pytest.fixture
def training(start, tmp_path, data):
    """training(*words) -> a training with two workers for training and two for validation."""
    return lambda *words, shell=(): start(tmp_path, ROOT / "train_yolo3.py", "--dataset", data, *WORDS, "--name", "run",
                                          "-j", "2", *words, shell=shell)


def has_rows(folder, count=3):
    table = folder / "runs" / "run" / "intervals.csv"
    return table.exists() and table.read_text().count("\n") > count


def children(process):
    found = subprocess.run(["ps", "--ppid", str(process), "-o", "pid="], stdout=subprocess.PIPE, text=True)
    return sorted(map(int, found.stdout.split()))


def is_running(process):
    try:
        with open(f"/proc/{process}/stat") as file:
            return file.read().rsplit(")", 1)[1].split()[0] != "Z"
    except FileNotFoundError:
        return False


def ended(process, *crew):
    """(stdout, stderr) of a process that ends in time and leaves no worker."""
    out, err = process.communicate(timeout=PROMPT)
    deadline = time.monotonic() + 2
    while any(map(is_running, crew)):
        assert time.monotonic() < deadline, "a worker is left"
        time.sleep(0.02)
    return out, err


def error_of(err):
    """The one line that says what happened."""
    lines = [line for line in err.splitlines() if line.startswith("error: ")]
    assert len(lines) == 1 and "Traceback" not in err, err
    return lines[0]


@pytest.mark.parametrize("asked, status", (
    (signal.SIGTERM, 143), pytest.param(signal.SIGINT, 130, marks=pytest.mark.slow)))
def test_a_signal_to_the_group_saves_and_ends_in_time(asked, status, training, data, tmp_path, capsys):
    process = training()
    wait_for(process, lambda: has_rows(tmp_path))
    crew = children(process.pid)
    assert len(crew) == 4
    os.kill(process.pid, asked)  # as `timeout` sends it: to the process, and at once to its group
    os.killpg(process.pid, asked)
    out, err = ended(process, *crew)
    assert process.returncode == status and out == ""
    told = re.search(r"stopped and saved at epoch (\d+), batch (\d+)", err)
    iteration = int(told.group(1)) * 6 + int(told.group(2))
    assert checkpoints(str(tmp_path / "runs" / "run" / "checkpoints"))[-1].endswith(f"iteration-{iteration:09d}.ckpt")

    with inside(tmp_path):
        train_yolo3.main(["--resume", "runs/run", "--dry-run", "-j", "1"])
    options = json.loads(capsys.readouterr().out)
    saved = json.loads((tmp_path / "runs" / "run" / "config.json").read_text())["options"]
    assert options.pop("num_workers") == 1 and saved.pop("num_workers") == 2
    assert options == saved and (saved["dataset"], saved["data_shape"], saved["epochs"]) == (data, 64, 500)


@pytest.mark.slow  # tests/training/test_engine.py has a second signal
@pytest.mark.parametrize("asked, statuses", (
    (signal.SIGTERM, (-signal.SIGTERM, 143)), pytest.param(signal.SIGINT, (130,), marks=pytest.mark.slow)))
def test_a_second_signal_ends_at_once_what_no_first_one_could(asked, statuses, training, tmp_path):
    """The workers stand still, so that the training waits for a batch."""
    process = training()
    wait_for(process, lambda: has_rows(tmp_path))
    crew = children(process.pid)
    for worker in crew:
        os.kill(worker, signal.SIGSTOP)
    time.sleep(1)
    os.killpg(process.pid, asked)
    time.sleep(1)
    assert process.poll() is None
    os.killpg(process.pid, asked)
    ended(process, *crew)
    assert process.returncode in statuses


@pytest.mark.parametrize("which", (pytest.param("first", marks=pytest.mark.slow), "last"))
def test_a_killed_worker_ends_training_with_one_line(which, training, tmp_path):
    """The first two were begun for training, the last two for validation, whose turn would be much later."""
    process = training()
    wait_for(process, lambda: has_rows(tmp_path))
    crew = children(process.pid)
    os.kill(crew[0 if which == "first" else -1], signal.SIGKILL)
    out, err = ended(process, *crew)
    assert process.returncode == 2 and out == ""
    assert "a data worker was killed (SIGKILL)" in error_of(err) and "--resume" in error_of(err)
    rows = (tmp_path / "runs" / "run" / "intervals.csv").read_text().splitlines()
    saved = checkpoints(str(tmp_path / "runs" / "run" / "checkpoints"))[-1]
    assert int(re.search(r"(\d+)\.ckpt", saved).group(1)) == int(rows[-1].split(",")[1]), "a batch is lost"


def small_shm(kilobytes):
    """Words that run a command with so large a /dev/shm, where one may mount it."""
    shell = ["unshare", "-rm", "sh", "-c", f'mount -t tmpfs -o size={kilobytes}k tmpfs /dev/shm && exec "$@"', "sh"]
    try:
        if subprocess.run([*shell, "true"], stderr=subprocess.DEVNULL).returncode:
            pytest.skip("no file system may be mounted here")
    except FileNotFoundError:
        pytest.skip("there is no unshare")
    return shell


def test_a_full_shared_memory_ends_an_evaluation_by_name(start, data, tmp_path):
    """Half of a batch of four, 64 x 64 and three bytes each."""
    run = write_run(tmp_path / "run")
    process = start(ROOT, "-m", "gluon_bof", "evaluate", run, "--dataset", data, "-j", "1", shell=small_shm(24))
    out, err = process.communicate(timeout=60)
    assert process.returncode == 2 and out == ""
    assert re.search(r"/dev/shm: .* room for .* MB of .* MB free of 0.02\d+ MB\); make it larger .*--shm-size", error_of(err))


def fill(folder):
    """Take all the room that a folder has left."""
    with open(f"{folder}/hog", "wb", buffering=0) as file:
        with pytest.raises(OSError):
            while True:
                file.write(bytes(4096))


@pytest.mark.slow
def test_a_training_uses_the_room_again_that_it_has(training, data, tmp_path):
    """Batches of 98 kB: their buffers are there when something else takes the rest."""
    process = training("--data-shape", "128", shell=small_shm(4000))
    wait_for(process, lambda: has_rows(tmp_path, 12))
    crew = children(process.pid)
    fill(f"/proc/{crew[0]}/root/dev/shm")
    rows = (tmp_path / "runs" / "run" / "intervals.csv").read_text().count("\n")
    wait_for(process, lambda: has_rows(tmp_path, rows + 20))
    os.killpg(process.pid, signal.SIGTERM)
    _, err = ended(process, *crew)
    assert process.returncode == 143 and "stopped and saved" in err


@pytest.mark.slow
def test_a_full_shared_memory_ends_a_training_in_its_middle_where_it_needs_more(start, data, tmp_path):
    """Batches of one size at first, and then of larger ones."""
    shapes = ("--data-shape", "128", "--random-shapes", "128,416", "--epochs", "3", "--val-interval", "3", "--batch-size", "1")
    words = [word for word in WORDS if word != "--no-random-shape"]
    process = start(tmp_path, ROOT / "train_yolo3.py", "--dataset", data, *words, *shapes, "--name", "run", "-j", "2",
                    shell=small_shm(300))
    out, err = process.communicate(timeout=120)
    assert process.returncode == 2 and out == ""
    # MXNet itself may be the first to write where there is no room, at which the worker is ended
    assert re.search(r"/dev/shm: .*(full|no room).* MB free of 0.3\d* MB\); make it larger", error_of(err))

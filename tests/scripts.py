"""The training scripts as a user starts them: run, refused, killed, resumed."""
import contextlib
import importlib
import io
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from gluon_bof.runs.folder import RunFolder, checkpoints
from tests.tiny_sets import write_voc_set

ROOT = Path(__file__).resolve().parents[1]
MEASURED = {"images_per_second", "seconds", "data_wait_seconds", "data_wait_share", "memory_mb"}  # columns
PIPES = dict(stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


class Script:
    """One of the scripts at the top of the checkout, run in a folder of the test's; small: flags of its small trainings."""

    def __init__(self, name, small=""):
        self.path = str(ROOT / name)
        self.small = small.split()

    def training(self, folder, name):
        """The words of a small training on the folder's set."""
        return [*self.small, "--dataset-root", str(folder / "set"), "--name", name]

    def folder_of_a_run(self, folder, images):
        """The folder, with a set of so many images, a training "whole" that nobody interrupted, and its outcome.json."""
        write_voc_set(folder / "set", images=images, validation=4)
        finished = self.run(folder, *self.training(folder, "whole"))
        assert finished.returncode == 0, finished.stderr
        (folder / "outcome.json").write_text(finished.stdout.splitlines()[-1])
        return folder

    def run(self, folder, *words, seconds=300):
        """The finished process."""
        return subprocess.run([sys.executable, self.path, *words], cwd=folder, timeout=seconds, **PIPES)

    def here(self, folder, *words):
        """What its main returns, called in this process, since starting takes three seconds."""
        with inside(folder), contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
            return importlib.import_module(Path(self.path).stem).main(list(words))

    def start(self, folder, *words):
        """The running process, as `started` has it."""
        return started([sys.executable, self.path, *words], cwd=folder)

    def refused(self, folder, *words):
        """The one line that says why it ended with status 2; called as by `here`."""
        script, said = importlib.import_module(Path(self.path).stem), io.StringIO()
        with inside(folder), contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):
            with pytest.raises(SystemExit) as ended:
                script.main(list(words))
        lines = [line for line in said.getvalue().splitlines() if line.startswith("error: ")]
        assert ended.value.code == 2, said.getvalue()
        assert len(lines) == 1 and "Traceback" not in said.getvalue()
        return lines[0]

    def kill_and_resume(self, folder, name, condition):
        """SIGKILL to a small training once condition(the run's folder) holds, then resume: everything equals the run "whole"."""
        with self.start(folder, *self.training(folder, name)) as process:
            wait_for(process, lambda: condition(folder / "runs" / name), pause=0.0005)  # some of them hold for a moment only
            process.kill()
            process.wait()
        resumed = self.run(folder, "--resume", f"runs/{name}")
        assert resumed.returncode == 0, resumed.stderr
        assert parameters(folder, name) == parameters(folder, "whole")
        outcome = json.loads(resumed.stdout.splitlines()[-1])
        assert outcome["map"] == json.loads((folder / "outcome.json").read_text())["map"]
        for table in ("metrics", "intervals"):
            assert untimed_rows(folder, name, table) == untimed_rows(folder, "whole", table)


@contextlib.contextmanager
def started(words, **how):
    """A process at the head of a group of its own, of which nothing is left afterwards; how: keywords of Popen."""
    with subprocess.Popen(words, start_new_session=True, **{**PIPES, **how}) as process:
        try:
            yield process
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)


@contextlib.contextmanager
def inside(folder):
    """In the folder, and back."""
    before = os.getcwd()
    os.chdir(folder)
    try:
        yield
    finally:
        os.chdir(before)


def untimed_rows(folder, name, table):
    """A run's rows without what its machine had to do with."""
    return [{column: value for column, value in row.items() if column not in MEASURED}
            for row in RunFolder(str(folder / "runs" / name)).rows(table)]


def parameters(folder, name):
    return (folder / "runs" / name / "last.params").read_bytes()


def wait_for(process, condition, seconds=60, pause=0.005):
    """Wait until condition() holds while the process runs; what looks at every pause takes from its processor."""
    deadline = time.time() + seconds
    while not condition():
        assert process.poll() is None, process.stderr.read()
        assert time.time() < deadline
        time.sleep(pause)


def in_the_middle_of_a_checkpoint(number):
    def condition(place):
        unfinished = list((place / "checkpoints").glob("*.part")) if (place / "checkpoints").is_dir() else []
        return bool(unfinished) and len(checkpoints(str(place / "checkpoints"))) >= number
    return condition


def after_rows(table, count):
    def condition(place):
        path = place / f"{table}.csv"
        return path.exists() and path.read_text().count("\n") > count
    return condition


def finished(words):
    """The JSON that a command which went well printed last."""
    answer = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, timeout=1200)
    assert answer.returncode == 0, answer.stderr
    return json.loads(answer.stdout.splitlines()[-1])

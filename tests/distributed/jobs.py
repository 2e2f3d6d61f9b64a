"""Jobs of several processes as tests start them: gluon-bof launch as a process, and who of it is there."""
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
PLAIN, KV = str(HERE / "plainworker.py"), str(HERE / "kvworker.py")
QUICK = ("--stall-seconds", "2", "--grace-seconds", "1")
MARK = "TEST_OF_LAUNCH"  # a variable that all processes of a job inherit


class Job:
    """A running `gluon-bof launch` in a folder, whose processes are found by a variable of their own."""

    def __init__(self, folder, *words):
        self.folder = folder
        self.mark = f"{folder}-{time.monotonic_ns()}"
        environment = dict(os.environ, PYTHONPATH=str(ROOT), OMP_NUM_THREADS="1", **{MARK: self.mark})
        self.started = time.monotonic()
        self.process = subprocess.Popen([sys.executable, "-m", "gluon_bof", "launch", *map(str, words)], cwd=folder,
                                        env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)

    def wait(self, seconds=60):
        """(status, the object of the last line or None, what it said); nothing of it is left a moment later."""
        out, err = self.process.communicate(timeout=seconds)
        assert "Traceback" not in err, err
        deadline = time.monotonic() + 3
        while self.processes() and time.monotonic() < deadline:
            time.sleep(0.02)
        assert self.processes() == {}
        lines = out.splitlines()
        return self.process.returncode, json.loads(lines[-1]) if lines else None, err

    def processes(self):
        """{process: its environment} of the job's, but for those that only wait to be collected."""
        found = {}
        for name in os.listdir("/proc"):
            try:
                text = Path(f"/proc/{name}/environ").read_text(errors="replace")
                told = dict(pair.split("=", 1) for pair in text.split("\0") if "=" in pair)
                if name.isdigit() and told.get(MARK) == self.mark and state(int(name)) != "Z":
                    found[int(name)] = told
            except OSError:
                pass
        return found

    def of_role(self, role):
        """The processes of a role, by DMLC_ROLE."""
        return sorted(process for process, environment in self.processes().items() if environment.get("DMLC_ROLE") == role)

    def until(self, condition, seconds=30):
        """Wait for condition() while the job runs."""
        deadline = time.monotonic() + seconds
        while not condition():
            assert self.process.poll() is None, self.process.communicate()
            assert time.monotonic() < deadline
            time.sleep(0.02)

    def log(self, name):
        """A log of the first job in the folder."""
        return self.folder / "runs" / "launch" / "001" / name

    def steps(self, name="worker-0"):
        """The step that a worker has counted last."""
        try:
            return int(self.log(f"{name}.progress").read_text().split()[1])
        except (OSError, IndexError):
            return 0

    def end(self):
        """For a test that fails: leave nothing."""
        for process in [self.process.pid, *self.processes()]:
            try:
                os.kill(process, signal.SIGKILL)
            except ProcessLookupError:
                pass


def state(process):
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return "Z"


def parent(process):
    with open(f"/proc/{process}/stat") as file:
        return int(file.read().rpartition(")")[2].split()[1])

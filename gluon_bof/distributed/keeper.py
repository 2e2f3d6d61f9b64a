"""Keeps one process of a job, on whichever machine that runs: starts it, tells of it, and ends it when nobody wants it any more.

The launcher starts this file by itself, here or over ssh, and speaks with it through standard input and output, a line of JSON
each. The first line is what to run: {"argv", "cwd", "set": {variable: value}, "drop": [variables, or beginnings such as DMLC_],
"progress": file, "grace": seconds, "sockets": [files to remove at the end]}. Later ones ask: {"signal": number} for the process,
{"end": seconds} for SIGTERM and, so much later, SIGKILL to its whole group. It tells {"pid"}, {"beat", "state", "progress"} once
a second and where something changed, and at last {"exit": status} as Popen.returncode has it, or {"error"}. Standard error is
the process's log.

When standard input ends, because the launcher was killed or the connection dropped, the process is ended too; should this keeper
be killed, the kernel kills the process. Standard library alone: it starts in a moment, and no variable of a role is its own."""
import ctypes
import json
import os
import select
import signal
import stat
import subprocess
import sys
import time

POLL_SECONDS = 0.1
BEAT_SECONDS = 1.0
PR_SET_PDEATHSIG = 1  # of Linux's prctl.h


class Keeper:
    """One process and its group."""

    def __init__(self, spec: dict):
        self.progress_file = spec["progress"]
        self.grace = spec["grace"]
        self.sockets = spec["sockets"]
        os.makedirs(os.path.dirname(self.progress_file), exist_ok=True)
        if os.path.exists(self.progress_file):
            os.unlink(self.progress_file)
        environment = {name: value for name, value in os.environ.items() if not is_among(name, spec["drop"])}
        # a session, and so a group, of its own; its output goes to our standard error, which is its log
        self.process = subprocess.Popen(spec["argv"], cwd=spec["cwd"], env={**environment, **spec["set"]},
                                        stdin=subprocess.DEVNULL, stdout=sys.stderr.fileno(), start_new_session=True,
                                        preexec_fn=_die_with_parent)
        self.kill_at = None
        self._told = None
        self._told_at = 0.0

    def ask(self, request: dict) -> None:
        """What the launcher wants of the process."""
        if "signal" in request:
            self._signal(request["signal"])
        if "end" in request:
            self.end(request["end"])

    def end(self, grace: float) -> None:
        """SIGTERM now, to a stopped process too, and SIGKILL to its group `grace` seconds later. A shorter grace wins."""
        kill_at = time.monotonic() + grace
        if self.kill_at is None:
            self._signal(signal.SIGTERM)
            self._signal_group(signal.SIGCONT)
        self.kill_at = kill_at if self.kill_at is None else min(self.kill_at, kill_at)

    def watch(self) -> bool:
        """One look. Returns whether the process still runs; if not, nothing of its group does."""
        status = self.process.poll()
        if status is not None:
            self._signal_group(signal.SIGKILL)
            remove_sockets(self.sockets)
            self._tell("Z")
            tell(exit=status)
            return False
        if self.kill_at is not None and time.monotonic() >= self.kill_at:
            self._signal_group(signal.SIGKILL)
        self._tell(state_of(self.process.pid))
        return True

    def _tell(self, state):
        seen = (state, *progress_in(self.progress_file))
        if seen != self._told or time.monotonic() - self._told_at >= BEAT_SECONDS:
            tell(beat=seen[1], state=seen[0], progress=seen[2])
            self._told, self._told_at = seen, time.monotonic()

    def _signal(self, number):
        if self.process.poll() is None:  # so its number cannot be another's
            os.kill(self.process.pid, number)

    def _signal_group(self, number):
        try:
            os.killpg(self.process.pid, number)
        except (ProcessLookupError, PermissionError):
            pass


def is_among(name: str, listed: list) -> bool:
    """Whether a variable is one of those listed, or begins with one that ends in _."""
    return name in listed or name.startswith(tuple(one for one in listed if one.endswith("_")))


def tell(**what: object) -> None:
    """A line for the launcher, which may be gone."""
    try:
        os.write(1, (json.dumps(what) + "\n").encode())
    except OSError:
        pass


def state_of(pid: int) -> str:
    """The letter of the process's state in /proc: T is stopped. "?" where the system has none."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            return file.read().rpartition(b")")[2].split()[0].decode()
    except (OSError, IndexError):
        return "?"


def remove_sockets(paths: list) -> None:
    """What a process that was killed left in the file system of the sockets at which it listened."""
    for path in paths:
        try:
            if stat.S_ISSOCK(os.lstat(path).st_mode):
                os.unlink(path)
        except OSError:
            pass


def progress_in(path: str) -> tuple:
    """(time of the last write in nanoseconds, text) of a progress file; (0, "") before the first."""
    try:
        with open(path, "rb") as file:
            return os.fstat(file.fileno()).st_mtime_ns, file.read(200).decode(errors="replace").strip()
    except OSError:
        return 0, ""


class Requests:
    """Lines on standard input, read without ever waiting longer than asked."""

    def __init__(self):
        self._rest = b""
        self.ended = False

    def wait(self, seconds: float) -> list:
        """The requests that came within the time."""
        if self.ended:
            time.sleep(seconds)
            return []
        if not select.select([0], [], [], seconds)[0]:
            return []
        read = os.read(0, 1 << 20)
        self.ended = not read
        *lines, self._rest = (self._rest + read).split(b"\n")
        return [json.loads(line) for line in lines if line.strip()]


def _die_with_parent():
    # before exec: should the keeper be killed, its process is too
    if sys.platform.startswith("linux"):
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


def main() -> int:
    """Keep the process that the first line names until it has ended."""
    requests = Requests()
    queue = []
    while not queue and not requests.ended:
        queue = requests.wait(POLL_SECONDS)
    if not queue:
        return 1
    try:
        keeper = Keeper(queue.pop(0))
    except OSError as error:
        tell(error=f"{error.strerror}: {error.filename}")
        return 1
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, lambda *_: keeper.end(keeper.grace))
    tell(pid=keeper.process.pid)
    while keeper.watch():
        for request in queue + requests.wait(POLL_SECONDS):
            keeper.ask(request)
        queue = []
        if requests.ended and keeper.kill_at is None:
            keeper.end(keeper.grace)
    return 0


if __name__ == "__main__":
    sys.exit(main())

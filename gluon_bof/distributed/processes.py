"""One process of a job as the launcher sees it: started through its keeper, here or over ssh, and heard of since."""
from __future__ import annotations

import json
import os
import shlex
import signal
import subprocess
import sys
import time
from typing import Any, Mapping, Sequence

from gluon_bof.distributed import keeper, progress
from gluon_bof.distributed.roles import FOREIGN, Role

SSH = ("ssh",)
# a host that vanishes is noticed within 15 s; nobody is there to type a password
SSH_FLAGS = ("-T", "-o", "BatchMode=yes", "-o", "ConnectTimeout=10", "-o", "ServerAliveInterval=5", "-o", "ServerAliveCountMax=3")
SSH_FAILED = 255
# variables that go to other hosts too; what a job needs besides belongs into the login shell's there
CARRIED = ("OMP_", "KMP_", "MXNET_", "GLUON_BOF_", "PS_", "NCCL_", "PYTHONPATH")
TAIL_LINES = 12
TAIL_BYTES = 8000


class Process:
    """A role's process. Its log is a file on this machine, wherever it runs itself.

    pid: on its host, None before it has started; stopped_since: when it was first seen stopped, or None; progress: what it last
    wrote, "" before; progressed_at: when that changed; heard_at: when anything of it was; times are time.monotonic().
    status: as Popen.returncode, None while it runs; lost: what else it ended by, in words, or ""."""

    def __init__(self, role: Role, argv: Sequence[str], variables: Mapping[str, str], log: str, grace: float,
                 ssh: Sequence[str] = SSH, sockets: Sequence[str] = ()):
        self.role = role
        self.log = log
        self.pid: int | None = None
        self.status: int | None = None
        self.lost = ""
        self.progress = ""
        self.stopped_since: float | None = None
        self.progressed_at = self.heard_at = time.monotonic()
        self._rest = b""
        self._beat = 0
        command = [sys.executable, "-I", os.path.abspath(keeper.__file__)]
        carried = {}
        if not role.host.is_local:
            command = [*ssh, *SSH_FLAGS, "--", role.host.name, "exec " + " ".join(map(shlex.quote, command))]
            carried = {name: value for name, value in os.environ.items()
                       if keeper.is_among(name, CARRIED) and not keeper.is_among(name, FOREIGN)}
        file_of_progress = os.path.splitext(log)[0] + ".progress"
        spec = {"argv": list(argv), "cwd": os.getcwd(), "drop": FOREIGN, "progress": file_of_progress, "grace": grace,
                "sockets": list(sockets),
                "set": {**carried, **variables, progress.VARIABLE: file_of_progress}}
        with open(log, "ab") as file:
            self.keeper = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=file,
                                           start_new_session=True)
        os.set_blocking(self.keeper.stdout.fileno(), False)
        self._send(spec)

    @property
    def runs(self) -> bool:
        """Whether it has not ended, as far as is known."""
        return self.status is None and not self.lost

    @property
    def step(self) -> int:
        """The last step that it counted; 0 before the first."""
        words = self.progress.split()
        return int(words[1]) if len(words) > 1 and words[1].isdigit() else 0

    @property
    def rank(self) -> str:
        """Its rank among the workers, by what it wrote of its progress; "" where that is not known yet."""
        first = self.progress.split(" ")[0]
        return first if first.isdigit() and self.step else ""

    def poll(self) -> None:
        """Hear what its keeper has told."""
        while self.runs:
            try:
                read = os.read(self.keeper.stdout.fileno(), 1 << 16)
            except BlockingIOError:
                return
            if not read:
                break
            *lines, self._rest = (self._rest + read).split(b"\n")
            for line in lines:
                self._hear(line)
        if self.runs:
            self._keeper_ended()

    def _hear(self, line):
        try:
            told = json.loads(line)
        except ValueError:
            return  # a login shell's greeting
        if not isinstance(told, dict):
            return
        self.heard_at = time.monotonic()
        if "pid" in told:
            self.pid = told["pid"]
        if "exit" in told:
            self.status = told["exit"]
        if "error" in told:
            self.lost = f"could not be started ({told['error']})"
        if "state" in told:
            if told["state"] != "T":
                self.stopped_since = None
            elif self.stopped_since is None:
                self.stopped_since = self.heard_at
            if told["beat"] != self._beat:
                self._beat, self.progress, self.progressed_at = told["beat"], told["progress"], self.heard_at

    def _keeper_ended(self):
        status = self.keeper.wait()
        if not self.role.host.is_local and status == SSH_FAILED:
            self.lost = f"the connection to {self.role.host.name} was lost (ssh ended with status {status})"
        else:
            self.lost = f"its keeper {ending(status)}"
        self._kill_here()

    def signal(self, number: int) -> None:
        """Pass a signal on to the process."""
        self._send({"signal": number})

    def end(self, grace: float) -> None:
        """SIGTERM, and after `grace` seconds SIGKILL to its whole group."""
        self._send({"end": grace})

    def kill(self) -> None:
        """Leave nothing of it on this machine, whatever its keeper is up to; on another, that sees the connection end."""
        if self.runs:
            self.lost = "was given up"
            self._kill_here()
        _kill_group(self.keeper.pid)  # the ssh, or a keeper that hangs
        self.keeper.wait()
        self._close()

    def _kill_here(self):
        if self.role.host.is_local and self.pid:
            _kill_group(self.pid)

    def _close(self):
        for pipe in (self.keeper.stdin, self.keeper.stdout):
            try:
                pipe.close()
            except OSError:
                pass

    def _send(self, what: Any):
        try:
            self.keeper.stdin.write((json.dumps(what) + "\n").encode())
            self.keeper.stdin.flush()
        except (OSError, ValueError):
            pass  # it is gone: poll() finds out

    def tail(self) -> list[str]:
        """The last lines of its log; of a progress bar, what it showed last."""
        return tail_of(self.log, TAIL_LINES)


def _kill_group(pid):
    for number in (signal.SIGCONT, signal.SIGKILL):
        try:
            os.killpg(pid, number)
        except (ProcessLookupError, PermissionError):
            pass


def ending(status: int) -> str:
    """Popen.returncode in words."""
    if status >= 0:
        return f"ended with status {status}"
    try:
        return f"was killed by {signal.Signals(-status).name}"
    except ValueError:
        return f"was killed by signal {-status}"


def tail_of(path: str, lines: int, within: int = TAIL_BYTES) -> list[str]:
    """The last lines of a file that are not empty, of each what stands behind its last carriage return; of its last
    `within` bytes."""
    try:
        with open(path, "rb") as file:
            file.seek(max(0, os.fstat(file.fileno()).st_size - within))
            text = file.read().decode(errors="replace")
    except OSError:
        return []
    shown = [line.rstrip("\r").rpartition("\r")[2].rstrip() for line in text.split("\n")]
    return [line for line in shown if line][-lines:]

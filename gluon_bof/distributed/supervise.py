"""Watches the processes of a job, names what fails first, and ends them all. ps-lite by itself never notices a death."""
from __future__ import annotations

import contextlib
import os
import signal
import sys
import time
from typing import Any, Callable, NamedTuple, Sequence

from gluon_bof.distributed import progress
from gluon_bof.distributed.processes import Process, ending
from gluon_bof.terminal import StopListener

POLL_SECONDS = 0.1
STOPPED_SECONDS = 10.0  # a process in state T for so long is dead; nobody waits longer for what stands still visibly
SILENT_SECONDS = 20.0  # a keeper beats once a second
LATE_SECONDS = 30.0  # that workers may run on after a server has ended
FINISH_SECONDS = 1.0  # that servers may after the workers, which have said goodbye to them
BEYOND_GRACE = 5.0  # for keepers to kill and to tell of it
ECHO_SECONDS = 0.5  # `timeout` and terminals signal a process, and then its group with it: that is one request


class Limits(NamedTuple):
    """Seconds. stall: without a step of any worker; start: before every worker's first; grace: between SIGTERM and SIGKILL."""

    stall: float = 300.0
    start: float = 900.0
    grace: float = 30.0


class Failure(NamedTuple):
    """What failed first. status: what the launcher ends with; text: lines that name it."""

    role: Any
    status: int
    text: str


class Ended(NamedTuple):
    """How a group of processes ended: failure is None where none failed; status is 0, or the shell's for the signal that asked to
    stop."""

    status: int
    failure: Failure | None


class StopSignals(StopListener):
    """While active, the signals that end a command ask to stop: `asked` is the first, `insists` whether another followed."""

    def __init__(self):
        self.asked: int | None = None
        self.insists = False
        self._at = 0.0

    def _ask(self, number, _frame):
        if self.asked is None:
            self.asked, self._at = number, time.monotonic()
        elif time.monotonic() - self._at > ECHO_SECONDS:
            self.insists = True


class Group:
    """The processes of one attempt. `hear()` is called ten times a second, and copies what the first worker logs."""

    def __init__(self, processes: Sequence[Process], limits: Limits, stop: StopSignals,
                 echo: Callable[[bytes], Any] | None = None):
        self.processes = list(processes)
        self.limits = limits
        self.stop = stop
        self.at_end: list[Callable[[], None]] = []  # what has to be done when nothing runs any more
        self._echo = echo
        self._echoed = 0
        self._passed_on = False
        self._others_ended_at: float | None = None
        self._parted_at: float | None = None

    @property
    def workers(self) -> list[Process]:
        """Those that train."""
        return [process for process in self.processes if process.role.kind == "worker"]

    @property
    def others(self) -> list[Process]:
        """Those that serve them."""
        return [process for process in self.processes if process.role.kind != "worker"]

    def watch(self) -> Ended:
        """Wait for the end: the workers' own, a failure, after which all are ended, or what a signal asked for."""
        while True:
            self.hear()
            self._pass_on()
            failure = self.failure()
            if failure or self.stop.insists or self._some_stay():
                self.end(0 if self.stop.insists else self.limits.grace)
                return Ended(failure.status if failure else 128 + self.stop.asked, failure)
            if not any(worker.runs for worker in self.workers):
                self._let_others_end()
                finished = all(worker.status == 0 for worker in self.workers)
                return Ended(0 if finished else 128 + self.stop.asked, None)
            time.sleep(POLL_SECONDS)

    def hear(self) -> None:
        """What the keepers have told, all of it before anything is judged: the launcher itself may have stood still."""
        for process in self.processes:
            process.poll()
        if self._echo and self.workers:
            with contextlib.suppress(OSError), open(self.workers[0].log, "rb") as file:
                file.seek(self._echoed)
                said = file.read()
                self._echoed += len(said)
                self._echo(said)

    def end(self, grace: float) -> None:
        """SIGTERM to all, SIGKILL to their groups `grace` seconds later, here and elsewhere; nothing is left."""
        deadline = time.monotonic() + grace + BEYOND_GRACE
        for process in self.processes:
            process.end(grace)
        while any(process.runs for process in self.processes) and time.monotonic() < deadline:
            if self.stop.insists and grace:
                return self.end(0)
            time.sleep(POLL_SECONDS)
            self.hear()
        self.kill()

    def kill(self) -> None:
        """At once, whatever the keepers are up to."""
        for process in self.processes:
            process.kill()
        while self.at_end:
            self.at_end.pop()()

    def _pass_on(self):
        """The request to stop, once, to the workers: they save and end, and then the servers do."""
        if self.stop.asked is not None and not self._passed_on:
            self._passed_on = True
            number = signal.SIGTERM if self.stop.asked == signal.SIGHUP else self.stop.asked
            say(f"{signal.Signals(self.stop.asked).name}: the workers are asked to save and to end; once more ends them at once")
            for worker in self.workers:
                worker.signal(number)

    def _some_stay(self):
        """Whether workers run on long after others have ended as asked: those wait for these, who were stopped before all met."""
        running = [worker.runs for worker in self.workers]
        if self.stop.asked is None or all(running) or not any(running):
            self._parted_at = None
        elif self._parted_at is None:
            self._parted_at = time.monotonic()
        return self._parted_at is not None and time.monotonic() - self._parted_at > LATE_SECONDS

    def _let_others_end(self):
        deadline = time.monotonic() + FINISH_SECONDS
        # a worker that never met the servers, for it had nothing to train, leaves them waiting
        met = any(worker.progress for worker in self.workers)
        ends = [process for process in self.others if process.role.kind != "rendezvous"]  # which serves until it is told
        while met and any(process.runs for process in ends) and time.monotonic() < deadline:
            time.sleep(POLL_SECONDS)
            self.hear()
        self.end(0)
        self.hear()

    # what is a failure

    def failure(self) -> Failure | None:
        """The first failure, by what is known now, or None."""
        return self._death() or self._standing_still() or self._stall()

    def _death(self):
        dead = [process for process in self.processes if process.lost or self._ended_badly(process)]
        # of several within one look, those that were killed are likelier the cause than those that then gave up
        dead.sort(key=lambda process: not process.lost and process.status > 0)
        if not dead:
            return self._left_alone()
        first = dead[0]
        return naming(first, first.lost or ending(first.status), status_of(first))

    def _ended_badly(self, process):
        if process.status is None or process.status == 0:
            return False
        asked = self.stop.asked
        if asked is not None and process.role.kind == "worker":
            return process.status not in (128 + asked, -asked, 128 + signal.SIGTERM, -signal.SIGTERM)
        return True

    def _left_alone(self):
        """Servers end when the workers have; one that ends long before them was told to by somebody else."""
        gone = [process for process in self.others if process.status == 0]
        if not gone or not any(worker.runs for worker in self.workers):
            self._others_ended_at = None
        elif self._others_ended_at is None:
            self._others_ended_at = time.monotonic()
        elif time.monotonic() - self._others_ended_at > LATE_SECONDS:
            return naming(gone[0], "ended before the workers", 1)
        return None

    def _standing_still(self):
        now, patience = time.monotonic(), min(STOPPED_SECONDS, self.limits.stall)
        for process in self.processes:
            if process.runs and process.stopped_since is not None and now - process.stopped_since > patience:
                return naming(process, f"was stopped (state T) for {now - process.stopped_since:.0f} s", 1)
            if process.runs and now - process.heard_at > SILENT_SECONDS:
                return naming(process, f"is silent: its keeper has told nothing for {now - process.heard_at:.0f} s", 1)
        return None

    def _stall(self):
        """Where no worker makes a step: in step with each other, all stand still where one does, and only then."""
        running = [worker for worker in self.workers if worker.runs]
        if not running:
            return None
        begun = all(worker.step for worker in self.workers)
        limit = self.limits.stall if begun else max(self.limits.stall, self.limits.start)
        waited = time.monotonic() - max(worker.progressed_at for worker in self.workers)
        if waited <= limit:
            return None
        suspect = min(running, key=lambda worker: (worker.step, worker.progressed_at))
        where = (f"it last wrote {suspect.progress!r}" if suspect.progress
                 else f"it has written nothing into {progress.VARIABLE}'s file")
        return naming(suspect, f"is behind and no worker has made a step for {waited:.0f} s; {where}", 1)


def status_of(process: Process) -> int:
    """A process's end as a shell has it; 1 where there is no status."""
    if process.lost or not process.status:
        return 1
    return process.status if process.status > 0 else 128 - process.status


_within_a_line = False  # of a worker's, such as its progress bar


def say(text: str) -> None:
    """Lines for people."""
    global _within_a_line
    with contextlib.suppress(OSError):  # a terminal that is gone, a file on a full disk: the job is not to be given up for it
        print("\n" * _within_a_line + f"launch: {text}", file=sys.stderr, flush=True)
    _within_a_line = False


def copy_to_stderr(data: bytes) -> None:
    """What a worker wrote, as it is."""
    global _within_a_line
    if data:
        _within_a_line = not data.endswith(b"\n")
        with contextlib.suppress(OSError):
            os.write(2, data)


def has_room(path: str) -> bool:
    """Whether something can be written on the disk that a file lies on, as far as the system tells."""
    with contextlib.suppress(OSError):
        room = os.statvfs(os.path.dirname(path))
        return room.f_bavail > 0 or not room.f_blocks  # there are file systems that tell nothing
    return True


def naming(process: Process, what: str, status: int = 1) -> Failure:
    """The failure of a process, with the end of its log."""
    rank = f" (rank {process.rank}, process {process.pid})" if process.rank else f" (process {process.pid})"
    name, _, place = str(process.role).partition(" on ")
    lines = process.tail()
    log = [f"the last lines of {process.log}:", *(f"  | {line}" for line in lines)] if lines else [f"{process.log} is empty"]
    if not has_room(process.log):
        log.append(f"{os.path.dirname(process.log)}: no room is left on that disk, so that what would follow is lost; make room")
    return Failure(process.role, status, "\n".join([f"{name}{rank} on {place} {what}", *log]))

"""A job of several processes: started, watched, ended, and started again from its last checkpoint (gluon-bof launch)."""
from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import shlex
import subprocess
import time
from typing import Any, Sequence

from gluon_bof.distributed.ports import Ports, free_port, listens, unix_socket
from gluon_bof.distributed.processes import SSH, SSH_FLAGS, Process, tail_of
from gluon_bof.distributed.roles import Cluster, Role, command_of, place, shared_out, variables
from gluon_bof.distributed.supervise import POLL_SECONDS, Ended, Group, Limits, StopSignals, copy_to_stderr, naming, say
from gluon_bof.distributed.words import interpreted, resumable, resuming, runs_folder, traces
from gluon_bof.errors import EXIT_STATUS, UserError
from gluon_bof.files import numbered_folder

PORT_TRIES = 3
LISTEN_SECONDS = 60.0
OUTCOME_BYTES = 1 << 20  # a line with the score of every class may be long
NOT_FREE = "cannot be listened at"  # in the log of who could not


@dataclasses.dataclass(frozen=True)
class Job:
    """words: the script and its flags, which follow --; servers: None: one a host; port: of the meeting, None: a free one."""

    words: tuple
    workers: int
    hosts: tuple
    servers: int | None = None
    engine: str = "ps"
    log_dir: str = ""
    root: str | None = None
    port: int | None = None
    max_restarts: int = 0
    limits: Limits = Limits()
    gpus_per_worker: int = 0
    ssh: tuple = SSH

    def cluster(self) -> Cluster:
        """Its processes. Raises UserError where they have no place."""
        return place(self.workers, self.servers, self.hosts, self.engine, self.root)


def run_job(job: Job) -> dict[str, Any]:
    """Run the job to its end. Returns {"status", "restarts", "workers", "log_dir", "failure": text or None, "outcome": the last
    line of rank 0's log where that is a JSON object, else None}. Nothing of it is left over."""
    words, before = interpreted(job.words), traces(job.words)
    if job.max_restarts and not resumable(job.words):
        raise UserError("--max-restarts has to know which run goes on", remedy="give the script --name NAME too")
    cluster = job.cluster()
    if job.port:
        Ports(cluster.root, 1, job.port, cluster.unix).release()
    job = dataclasses.replace(job, log_dir=_log_folder(job))
    say(f"{len(cluster.workers)} workers and {len(cluster.servers)} servers on {', '.join(host.name for host in cluster.hosts)}; "
        f"logs in {job.log_dir}")
    with StopSignals() as stop:
        for restart in range(job.max_restarts + 1):
            group, ended = _attempt(job, cluster, words, restart, stop)
            if not ended.failure:
                break
            say(ended.failure.text)
            cluster = _again(job, cluster, restart, ended, stop)
            if cluster is None:
                break
            words = interpreted(resuming(job.words, before))
    return {"status": ended.status, "restarts": restart, "workers": len(group.workers), "log_dir": job.log_dir,
            "failure": ended.failure and ended.failure.text.splitlines()[0], "outcome": _outcome(group)}


def _attempt(job, cluster, words, restart, stop):
    group = Group([], job.limits, stop, copy_to_stderr)
    try:
        failed = _start(job, cluster, words, restart, group)
        return group, failed or group.watch()
    finally:
        group.kill()


def _again(job, cluster, restart, ended, stop):
    """The cluster to go on with after a failure, or None."""
    if restart == job.max_restarts or stop.asked is not None:
        return None
    if ended.status == EXIT_STATUS:
        say("a mistake that another start would meet again: not started again")
        return None
    left = [host for host in job.hosts if host.is_local or _answers(host, job.ssh)]
    gone = [host.name for host in job.hosts if host not in left]
    slots = sum(host.slots for host in left)
    if not slots:
        say(f"no answer from {', '.join(gone)}: no host is left")
        return None
    if gone:
        say(f"no answer from {', '.join(gone)}: {min(slots, job.workers)} of {job.workers} workers go on")
    say(f"start {restart + 2} of at most {job.max_restarts + 1}, from the last checkpoint")
    return place(min(slots, job.workers), job.servers, left, job.engine, job.root)


def _answers(host, ssh):
    try:
        asked = subprocess.run([*ssh, *SSH_FLAGS, "--", host.name, "true"], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                               stderr=subprocess.DEVNULL, timeout=20, check=False)
    except subprocess.TimeoutExpired:
        return False
    return asked.returncode == 0


# starting

def _start(job, cluster, words, restart, group):
    """Start every role, the meeting first: who came before it listens could meet another job's. Returns Ended if that failed."""
    ending = f".restart-{restart}" if restart else ""

    def start(role, port, own_port=None):
        told = {**variables(cluster, role, port, own_port), **shared_out(cluster, role, job.gpus_per_worker, os.environ)}
        process = Process(role, command_of(role, words), told, os.path.join(job.log_dir, f"{role.name}{ending}.log"),
                          job.limits.grace, job.ssh, [unix_socket(own_port or port)] if cluster.unix else ())
        group.processes.append(process)
        return process

    for tries_left in reversed(range(1 if job.port else PORT_TRIES)):
        port = _ports(group, cluster, 1, job.port)[0]
        meeting = start(cluster.meeting, port)
        if _wait_for(meeting, port, group, cluster.unix):
            break
        failure = group.failure() or naming(meeting, "does not listen")
        group.end(0)
        if group.stop.asked is not None:
            return Ended(128 + group.stop.asked, None)
        if not tries_left or not any(NOT_FREE in line for line in meeting.tail()):
            return Ended(failure.status, failure)
        group.processes.remove(meeting)  # its port was taken in between
    here = [role for role in (*cluster.workers, *cluster.servers) if cluster.engine == "ps" and role.host.is_local]
    # ps-lite ranks the workers of a host by their ports: worker 0 should be rank 0
    own_ports = dict(zip(here, _ports(group, cluster, len(here))))
    for role in (*cluster.servers, *cluster.workers):
        start(role, port, own_ports.get(role))
    return None


def _ports(group, cluster, count, wanted=None):
    ports = Ports(cluster.root, count, wanted, cluster.unix)
    if cluster.unix:
        group.at_end.append(ports.release)
    else:
        ports.release()  # for the processes to take
    return ports.numbers


def _wait_for(process, port, group, unix):
    """Whether the process listens at the port before it ends, or is asked to."""
    deadline = time.monotonic() + LISTEN_SECONDS
    while time.monotonic() < deadline and group.stop.asked is None:
        group.hear()
        if not process.runs or process.stopped_since is not None and group.failure():
            return False
        if process.pid and listens(process.pid, port, unix):
            return True
        time.sleep(POLL_SECONDS / 2)
    return False


# logs

def _log_folder(job):
    """--log-dir, or the next free of RUNS/launch/001 …, in the folder of the script's --runs."""
    try:
        if job.log_dir:
            os.makedirs(job.log_dir, exist_ok=True)
            if any(name.endswith(".log") for name in os.listdir(job.log_dir)):
                raise UserError("logs of another job lie there", job.log_dir, "give --log-dir another folder")
            return os.path.abspath(job.log_dir)
        parent = os.path.abspath(os.path.join(runs_folder(job.words), "launch"))
        os.makedirs(parent, exist_ok=True)
        return numbered_folder(os.path.join(parent, ""))
    except OSError as error:
        raise UserError(f"the logs' folder cannot be made ({error.strerror})", error.filename,
                        "choose another with --log-dir") from None


def _outcome(group):
    """The JSON object that rank 0 ended with."""
    for worker in sorted(group.workers, key=lambda worker: worker.rank != "0"):
        for line in reversed(tail_of(worker.log, 3, OUTCOME_BYTES)):
            with contextlib.suppress(ValueError):
                found = json.loads(line)
                if isinstance(found, dict):
                    return found
    return None


# for other ways to start the same

def environments(job: Job) -> list[tuple[Role, dict[str, str], list[str]]]:
    """(role, its variables, its command) of every process, in the order in which they should start."""
    words, cluster = interpreted(job.words), job.cluster()
    port = job.port or free_port()
    return [(role, {**variables(cluster, role, port), **shared_out(cluster, role, job.gpus_per_worker, os.environ)},
             command_of(role, words)) for role in cluster.roles]


def as_shell(role: Role, told: dict[str, str], command: Sequence[str]) -> str:
    """A role as a line that a shell runs on its host."""
    words = ["env", *(f"{name}={value}" for name, value in told.items()), *command]
    return f"# {role}\n{' '.join(map(shlex.quote, words))}"

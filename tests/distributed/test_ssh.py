"""Jobs over a real sshd of this machine at a high port: what happens there is told, ended and left behind by nobody."""
import os
import shutil
import signal
import subprocess
import time

import pytest

from gluon_bof.distributed.ports import Ports
from tests.distributed.jobs import KV, Job

SSHD = shutil.which("sshd", path=os.environ.get("PATH", "") + ":/usr/sbin:/sbin")
pytestmark = [pytest.mark.slow, pytest.mark.skipif(not SSHD or not shutil.which("ssh"), reason="no sshd is installed")]


class Far:
    """An sshd that lets this user in by a key made for it."""

    def __init__(self, folder):
        self.folder = folder
        ports = Ports("127.0.0.1", 1)
        ports.release()
        for name in ("host", "user"):
            subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", folder / name], check=True)
        (folder / "sshd").write_text(
            f"Port {ports.numbers[0]}\nListenAddress 127.0.0.1\nHostKey {folder}/host\nAuthorizedKeysFile {folder}/user.pub\n"
            f"PidFile {folder}/pid\nStrictModes no\nUsePAM no\nPermitRootLogin yes\nPasswordAuthentication no\nAcceptEnv *\n")
        (folder / "ssh").write_text(
            f"Host far\n HostName 127.0.0.1\n Port {ports.numbers[0]}\n IdentityFile {folder}/user\n LogLevel ERROR\n SendEnv *\n"
            f" UserKnownHostsFile /dev/null\n StrictHostKeyChecking no\n")
        (folder / "hosts").write_text("localhost slots=1\nfar slots=1 address=127.0.0.1\n")
        os.makedirs("/run/sshd", exist_ok=True)
        self.process = subprocess.Popen([SSHD, "-D", "-f", folder / "sshd", "-E", folder / "log"])
        self.words = ("-H", folder / "hosts", "--ssh", f"ssh -F {folder}/ssh", "--grace-seconds", 2)
        while subprocess.run(["ssh", "-F", folder / "ssh", "far", "true"], check=False).returncode:
            time.sleep(0.1)

    def sessions(self):
        """The processes of the connections that are open."""
        found = subprocess.run(["ps", "-eo", "pid=,ppid=,comm="], capture_output=True, text=True, check=True).stdout
        rows = [line.split(None, 2) for line in found.splitlines()]
        return [int(pid) for pid, parent, name in rows if int(parent) == self.process.pid and name.startswith("sshd")]

    def end(self):
        self.process.kill()
        self.process.wait()


@pytest.fixture
def far(tmp_path):
    if os.geteuid():
        pytest.skip("sshd wants to be root's, for /run/sshd")
    (tmp_path / "far").mkdir()
    server = Far(tmp_path / "far")
    yield server
    server.end()


@pytest.fixture
def job(far, tmp_path):
    jobs = []

    def start(*words):
        jobs.append(Job(tmp_path, *far.words, *words))
        jobs[-1].until(lambda: min(jobs[-1].steps(), jobs[-1].steps("worker-1")) > 2, 90)
        return jobs[-1]

    yield start
    for one in jobs:
        one.end()


def remote(job):
    """The worker on the other host: the one that this launcher did not start."""
    return [process for process in job.of_role("worker") if session_of_sshd(process)][0]


def session_of_sshd(process):
    while process > 1:
        with open(f"/proc/{process}/stat") as file:
            name, rest = file.read().rpartition(")")[::2]
        if "(sshd" in name:
            return True
        process = int(rest.split()[1])
    return False


@pytest.mark.parametrize("number, text", [(signal.SIGKILL, "was killed by SIGKILL"), (signal.SIGSTOP, "was stopped (state T)")])
def test_a_death_on_another_host_is_named(job, number, text):
    running = job("-n", 2, "--", KV, 9999, 0.05)
    assert len(running.of_role("worker")) == 2
    os.kill(remote(running), number)
    status, _, said = running.wait()
    assert status == (137 if number == signal.SIGKILL else 1) and f"on far {text}" in said, said


def test_a_connection_that_drops_ends_both_sides(job, far):
    running = job("-n", 2, "--", KV, 9999, 0.05)
    for session in far.sessions():
        os.kill(session, signal.SIGKILL)
    status, _, said = running.wait()
    assert status == 1 and "the connection to far was lost (ssh ended with status 255)" in said, said


def test_nothing_is_left_on_another_host_of_a_launcher_that_is_killed(job):
    running = job("-n", 2, "--", KV, 9999, 0.05)
    running.process.kill()
    deadline = time.monotonic() + 10
    while running.processes() and time.monotonic() < deadline:
        time.sleep(0.1)
    assert running.processes() == {}


def test_a_host_that_is_gone_is_done_without(job, far):
    running = job("-n", 2, "--max-restarts", 1, "--", KV, 60, 0.1, "--name", "x")
    sessions = far.sessions()
    far.end()
    for session in sessions:
        os.kill(session, signal.SIGKILL)
    status, outcome, said = running.wait(120)
    assert status == 0 and outcome["workers"] == 1 and outcome["restarts"] == 1, said
    assert "no answer from far: 1 of 2 workers go on" in said
    assert outcome["outcome"]["first"] > 0 and outcome["outcome"]["sum"] == 1.0

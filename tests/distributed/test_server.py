"""The server: it sums, and runs nothing that it is sent, while MXNet's own does; what a job of one machine leaves open."""
import os
import subprocess
import sys
import time

import pytest

from gluon_bof.distributed.ports import Ports
from tests.distributed.hostile import attack
from tests.distributed.jobs import KV, PLAIN, ROOT, Job


def tcp_ports(process):
    """Ports at which a process listens."""
    own = {os.readlink(f"/proc/{process}/fd/{name}") for name in os.listdir(f"/proc/{process}/fd")}
    with open("/proc/net/tcp") as file:
        rows = [line.split() for line in file][1:]
    return [int(row[1].split(":")[1], 16) for row in rows if row[3] == "0A" and f"socket:[{row[9]}]" in own]


def port_of_meeting(job):
    """The number by which the processes of a job meet."""
    return next((told["DMLC_PS_ROOT_PORT"] for told in job.processes().values() if "DMLC_PS_ROOT_PORT" in told), 0)


def test_a_hostile_pickle_runs_nothing_and_stops_nothing(tmp_path):
    folders = [tmp_path / name for name in ("tcp", "unix")]
    for folder in folders:
        folder.mkdir()
    job = Job(folders[0], "-n", 1, "--address", "127.0.0.1", "--", KV, 40, 0.05)
    closed = Job(folders[1], "-n", 1, "--", PLAIN, 9999, 0.05)
    try:
        job.until(lambda: job.steps() > 1, 60)
        port, = tcp_ports(job.of_role("server")[0])
        connection = attack(port, tmp_path / "ran")
        closed.until(lambda: os.path.exists(f"/tmp/{port_of_meeting(closed)}"), 60)
        assert [tcp_ports(process) for process in closed.processes()] == [[]] * 7  # nothing there to be attacked from elsewhere
        status, outcome, said = job.wait()
        connection.close()
        assert status == 0 and outcome["outcome"] == {"rank": 0, "first": 0, "sum": 1.0}, said
        log = job.log("server-0.log").read_text()
        assert "refused an optimizer as a pickle (1 refused so far)" in log
        assert not (tmp_path / "ran").exists()
    finally:
        job.end()
        closed.end()


@pytest.mark.slow
def test_the_same_pickle_runs_in_mxnets_own_server(tmp_path):
    ports = Ports("127.0.0.1", 1)
    ports.release()
    told = dict(os.environ, PYTHONPATH=str(ROOT), DMLC_PS_ROOT_URI="127.0.0.1", DMLC_PS_ROOT_PORT=str(ports.numbers[0]),
                DMLC_NUM_WORKER="1", DMLC_NUM_SERVER="1", DMLC_NODE_HOST="127.0.0.1",
                GLUON_BOF_PROGRESS=str(tmp_path / "progress"))
    words = {"scheduler": ["-c", "import mxnet"], "server": ["-c", "import mxnet"], "worker": [KV, "400", "0.05"]}
    processes = {role: subprocess.Popen([sys.executable, *argv], env=dict(told, DMLC_ROLE=role), cwd=tmp_path,
                                        stderr=subprocess.DEVNULL) for role, argv in words.items()}
    try:
        wait(lambda: (tmp_path / "progress").exists())
        port, = tcp_ports(processes["server"].pid)
        connection = attack(port, tmp_path / "ran")
        wait(lambda: (tmp_path / "ran").exists())
        connection.close()
    finally:
        for process in processes.values():
            process.kill()
            process.wait()


def wait(condition):
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)


@pytest.mark.parametrize("told, problem", [({}, "DMLC_ROLE, DMLC_PS_ROOT_URI"), ({"DMLC_ROLE": "worker"}, "DMLC_ROLE is worker")])
def test_a_server_without_its_variables_says_so(told, problem):
    others = {} if not told else {"DMLC_PS_ROOT_URI": "127.0.0.1", "DMLC_PS_ROOT_PORT": "1", "DMLC_NUM_WORKER": "1",
                                  "DMLC_NUM_SERVER": "1"}
    answer = subprocess.run([sys.executable, "-m", "gluon_bof.distributed.server"], capture_output=True, text=True, check=False,
                            env=dict(os.environ, PYTHONPATH=str(ROOT), **others, **told))
    assert answer.returncode == 2 and problem in answer.stderr and "Traceback" not in answer.stderr

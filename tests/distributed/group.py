"""A scheduler, servers and workers on this machine, as real processes of the test's own."""
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
HERE = "127.0.0.1"
PATIENCE = 100  # seconds until a group that does not end is killed


def environment(**variables):
    """This process's, without what an outer job says."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("DMLC_", "HOROVOD_", "GLUON_BOF_PROGRESS"))}
    return {**kept, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT), **variables}


def free_port():
    with socket.socket() as probe:
        probe.bind((HERE, 0))
        return probe.getsockname()[1]


def end(processes):
    for process in processes:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def read(file):
    file.seek(0)
    return file.read().decode(errors="replace")


class Ended:
    """What a worker has left: status, stdout, stderr."""

    def __init__(self, process):
        self.status = process.returncode
        self.out, self.err = (read(file) for file in process.files)


class Group:
    """So many workers that run the same words; `for_each(number)` -> more of them, home(number) -> a worker's own folder."""

    def __init__(self, workers, words, folder, servers=1, for_each=lambda number: (), python=sys.executable,
                 home=lambda number: os.path.expanduser("~"), **variables):
        told = dict(DMLC_PS_ROOT_URI=HERE, DMLC_PS_ROOT_PORT=str(free_port()), DMLC_NUM_WORKER=str(workers),
                    DMLC_NUM_SERVER=str(servers), DMLC_NODE_HOST=HERE, **variables)
        self.others = [self._start([python, "-m", "gluon_bof.distributed.server"], folder, DMLC_ROLE=role, **told)
                       for role in ["scheduler"] + ["server"] * servers]
        self.workers = [self._start([python, *words, *for_each(number)], folder, DMLC_ROLE="worker", HOME=str(home(number)),
                                    GLUON_BOF_PROGRESS=str(Path(folder, f"progress-{number}")), **told)
                        for number in range(workers)]

    @staticmethod
    def _start(words, folder, **variables):
        files = [tempfile.TemporaryFile() for _ in range(2)]  # nobody reads meanwhile, and a pipe would be full
        process = subprocess.Popen([str(word) for word in words], cwd=folder, env=environment(**variables), stdout=files[0],
                                   stderr=files[1], start_new_session=True)
        process.files = files
        return process

    def wait(self, patience=PATIENCE):
        """[Ended] of the workers; where they were right to the end, the others have ended by themselves."""
        until = time.monotonic() + patience
        try:
            for process in self.workers:
                process.wait(timeout=max(0.1, until - time.monotonic()))
            for process in self.others if not any(worker.returncode for worker in self.workers) else ():
                process.wait(timeout=max(0.1, until - time.monotonic()))  # of a job that failed the launcher ends them
        finally:
            end([*self.workers, *self.others])
        return [Ended(process) for process in self.workers]


def train(workers, words, folder, **how):
    """[Ended] of workers that all trained to the end; rank 0's first."""
    ended = Group(workers, words, folder, **how).wait()
    for worker in ended:
        assert worker.status == 0, worker.err
    ended.sort(key=lambda worker: not worker.out)  # rank 0 alone prints the outcome
    return ended

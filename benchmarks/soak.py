"""Whether training holds its memory: YOLOv3 with mixup and random shapes for half an hour, by itself or by workers.

    soak.py                   # 30 minutes of one process and its data worker
    soak.py --workers 2       # the same of two workers and their server, started by gluon-bof launch

Samples the resident memory of every process of the training, and compares the medians of what each held in the first fifth after
the warm-up and in the last. The last line is one JSON object. Shared libraries count in each process, as `top` shows them."""
import collections
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
from benchmarks.common import CHECKOUT, finish, machine, parser_of, say
from gluon_bof.errors import user_facing

NETWORK = ("--network", "darknet-mini", "--pretrained-base", "no", "--data-shape", "96", "--random-shapes", "64,128",
           "--batch-size", "8", "--num-workers", "1", "--gpus", "", "--syncbn", "per-process")
PAGES_TO_MB = os.sysconf("SC_PAGE_SIZE") / 2 ** 20
WARM_UP = 1 / 6  # of the time: sizes are met, the first validations and checkpoints are over
INTERVAL = 5.0  # seconds between two samples
TOLERANCE = 1.05


@user_facing
def main(argv=None):
    parser = parser_of(__doc__)
    parser.add_argument("--minutes", type=float, default=30, help="how long")
    parser.add_argument("--workers", type=int, default=1, help="processes that train together")
    arguments = parser.parse_args(argv)
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    say(machine())
    with tempfile.TemporaryDirectory() as runs:
        finish(soak(arguments.minutes * 60, arguments.workers, runs))


def soak(seconds, workers, runs):
    """{"growth": the largest of all processes, "processes": {what it is: [MB after the warm-up, MB at the end]}, …}."""
    words = [os.path.join(CHECKOUT, "train_yolo3.py"), "--dataset", "shapes", *NETWORK, "--epochs", "100000",
             "--val-interval", "5", "--log-interval", "100", "--runs", runs, "--name", "soak"]
    if workers > 1:
        words = ["-m", "gluon_bof", "launch", "-n", str(workers), "--log-dir", os.path.join(runs, "logs"), "--", *words]
    with open(os.path.join(runs, "said.txt"), "wb") as said:
        training = subprocess.Popen([sys.executable, *words], cwd=CHECKOUT, stdout=said, stderr=said)
        held = collections.defaultdict(list)
        try:
            began = time.monotonic()
            while time.monotonic() - began < seconds:
                time.sleep(INTERVAL)
                if training.poll() is not None:
                    break
                for name, megabytes in memories(training.pid).items():
                    held[name].append((time.monotonic() - began, megabytes))
        finally:
            ended_early = training.poll()
            training.send_signal(signal.SIGTERM)
            status = training.wait()
    if ended_early is not None:
        with open(os.path.join(runs, "said.txt"), errors="replace") as said:
            raise RuntimeError(f"training ended by itself with {ended_early}: {said.read()[-2000:]}")
    processes = {name: change(samples, seconds) for name, samples in held.items() if whole(samples, seconds)}
    for name, (before, after) in processes.items():
        say(f"{name:40} {before:8.1f} MB {after:8.1f} MB  {after / before:.3f}")
    growth = max(after / before for before, after in processes.values())
    return {"minutes": seconds / 60, "workers": workers, "status": status, "growth": growth, "flat": growth <= TOLERANCE,
            "processes": processes, "iterations": iterations(os.path.join(runs, "soak"))}


def memories(root):
    """{"pid words": resident MB} of the process and of all that it has started."""
    parents, found = {}, {}
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{pid}/stat", encoding="utf-8", errors="replace") as file:
                parents[int(pid)] = int(file.read().rpartition(")")[2].split()[1])
        except OSError:
            pass  # it has ended since
    for pid in parents:
        above = pid
        while above not in (root, 0):
            above = parents.get(above, 0)
        if above == root:
            try:
                with open(f"/proc/{pid}/statm", encoding="ascii") as pages, open(f"/proc/{pid}/cmdline", "rb") as line:
                    words = line.read().decode(errors="replace").split("\0")
                    found[f"{pid} {' '.join(os.path.basename(word) for word in words[1:4])}"] = (
                        int(pages.read().split()[1]) * PAGES_TO_MB)
            except (OSError, IndexError):
                pass
    return found


def whole(samples, seconds):
    """Whether these are of a process that ran from the warm-up to the end."""
    return samples[0][0] < seconds * WARM_UP and samples[-1][0] > seconds - 3 * INTERVAL


def change(samples, seconds):
    """[MB after the warm-up, MB at the end], medians of a fifth of the time each."""
    start = seconds * WARM_UP
    fifth = (seconds - start) / 5
    return [statistics.median(megabytes for when, megabytes in samples if begin <= when <= begin + fifth)
            for begin in (start, seconds - fifth)]


def iterations(run):
    """Updates that the run has made."""
    from gluon_bof.runs.folder import RunFolder
    rows = RunFolder(run).rows("metrics")
    return int(rows[-1]["iteration"]) if rows else 0


if __name__ == "__main__":
    main()

"""Names of checkpoints and how many are kept; no MXNet, so that a run is found at once."""
from __future__ import annotations

import os
import re
import csv
import dataclasses
import fcntl
import json
import logging
import os
import platform
import shutil
import subprocess
import sys
from gluon_bof.compat import installed_version
from gluon_bof.errors import UserError
from gluon_bof.files import write_atomically
from gluon_bof.options.flags import from_json
from gluon_bof.runs.config import CLASSES, CONFIG, read_config

NAME = re.compile(r"iteration-(\d{9})\.ckpt")


def checkpoint_path(folder, iteration):
    """Where the checkpoint after so many iterations lies."""
    return os.path.join(folder, f"iteration-{iteration:09d}.ckpt")


def checkpoints(folder):
    """Paths of the folder's checkpoints, oldest first; unfinished writes are not among them."""
    if not os.path.isdir(folder):
        return []
    return [os.path.join(folder, name) for name in sorted(os.listdir(folder)) if NAME.fullmatch(name)]


def keep_newest(folder, count):
    """Remove all but the newest `count` checkpoints, and what a killed write left behind."""
    for path in checkpoints(folder)[:-count]:
        os.unlink(path)
    for name in os.listdir(folder):
        if name.endswith(".part"):
            os.unlink(os.path.join(folder, name))


LOGGER = logging.getLogger("gluon_bof")
PACKAGES = ("mxnet", "mxnet-cu112", "gluoncv", "numpy", "opencv-python", "pycocotools")
OLD_COLUMNS = {"pictures_per_second": "images_per_second"}  # of version 0.1
# what may differ between a run and its continuation without changing a bit of its result
MAY_CHANGE = {"resume", "gpus", "num_workers", "log_interval", "keep", "tensorboard"}


class Run:
    """One training run's folder. Only one process may hold it."""

    def __init__(self, folder):
        self.folder = folder
        self.checkpoints = os.path.join(folder, "checkpoints")
        self.images = os.path.join(folder, "images")
        for place in (self.folder, self.checkpoints, self.images):
            os.makedirs(place, exist_ok=True)
        self._lock = self._take()
        self._events = None

    def _take(self):
        lock = open(self.path("lock"), "w")
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise UserError("another process is training in this run", self.folder, "wait for it or stop it") from None
        return lock

    def path(self, name):
        """Path of a file of the run."""
        return os.path.join(self.folder, name)

    def write_classes(self, classes):
        """Keep the class names, one a line, for whoever uses the weights."""
        write_atomically(self.path(CLASSES), "".join(f"{name}\n" for name in classes).encode())

    def start_logging(self, tensorboard=False):
        """Log lines go to standard error and log.txt, metrics to TensorBoard events if asked for."""
        LOGGER.setLevel(logging.INFO)
        LOGGER.propagate = False
        for handler in (_AboveProgressBar(), logging.FileHandler(self.path("log.txt"))):
            handler.setFormatter(logging.Formatter("%(asctime)s %(message)s", "%H:%M:%S"))
            LOGGER.addHandler(handler)
        if tensorboard:
            try:
                from tensorboardX import SummaryWriter
            except ImportError:
                raise UserError("--tensorboard: no event writer is installed",
                                remedy="pip install 'gluon_bof[tensorboard]'") from None
            self._events = SummaryWriter(self.path("events"))

    def close(self):
        """End logging and give the folder free."""
        for handler in LOGGER.handlers[:]:
            LOGGER.removeHandler(handler)
            handler.close()
        if self._events:
            self._events.close()
        self._lock.close()

    def discard_if_unused(self):
        """Remove the folder of a run that failed before its first batch, so that its name can be given again."""
        if not os.listdir(self.images) and not os.listdir(self.checkpoints):
            shutil.rmtree(self.folder)

    def record(self, table, row):
        """Append a row, {column: value} with an "iteration", to metrics or intervals."""
        path = self.path(f"{table}.csv")
        new = not os.path.exists(path)
        with open(path, "a", newline="") as file:
            writer = csv.DictWriter(file, row.keys())
            if new:
                writer.writeheader()
            writer.writerow(row)
        if self._events:
            for column, value in row.items():
                if isinstance(value, float):
                    self._events.add_scalar(f"{table}/{column}", value, row["iteration"])

    def rows(self, table):
        """All rows of a table so far, as {column: text}."""
        try:
            with open(self.path(f"{table}.csv"), newline="") as file:
                return [{OLD_COLUMNS.get(name, name): text for name, text in row.items()} for row in csv.DictReader(file)]
        except FileNotFoundError:
            return []

    def forget_after(self, iteration):
        """Drop rows that a resumed run will write again."""
        for table in ("metrics", "intervals"):
            rows = [row for row in self.rows(table) if (row["iteration"] or "").isdigit() and None not in row.values()]
            kept = [row for row in rows if int(row["iteration"]) <= iteration]
            if not rows:
                continue
            lines = [",".join(rows[0])] + [",".join(row.values()) for row in kept]
            write_atomically(self.path(f"{table}.csv"), ("\r\n".join(lines) + "\r\n").encode())


class _AboveProgressBar(logging.Handler):
    def emit(self, record):
        from tqdm import tqdm
        tqdm.write(self.format(record), file=sys.stderr)


def create_run(options):
    """A new run's folder with its configuration. Raises UserError where the name is taken or the place unwritable."""
    folder = os.path.join(options.runs, options.name) if options.name else _next_free(options)
    if os.path.exists(os.path.join(folder, CONFIG)):
        raise UserError("a run of this name is there already", folder, f"resume it: --resume {folder}, or choose --name")
    try:
        run = Run(folder)
    except OSError as error:
        raise UserError(f"the run's folder cannot be made ({error.strerror})", folder,
                        "choose another place with --runs") from None
    configuration = {"options": dataclasses.asdict(options), "command": sys.argv, "environment": _environment()}
    write_atomically(run.path(CONFIG), json.dumps(configuration, indent=2).encode())
    return run


def _next_free(options):
    dataset = os.path.basename(os.path.abspath(options.dataset_root or options.dataset))
    stem = os.path.join(options.runs, f"{options.network}_{dataset}")
    number = 1
    while os.path.exists(f"{stem}-{number:03d}"):
        number += 1
    return f"{stem}-{number:03d}"


def _environment():
    versions = {"python": platform.python_version(), "gluon_bof": installed_version("gluon_bof")}
    versions.update({name: installed_version(name) for name in PACKAGES})
    return {"versions": {name: version for name, version in versions.items() if version},
            "git_revision": _git_revision(), "machine": platform.machine(),
            "omp_num_threads": os.environ.get("OMP_NUM_THREADS", "")}


def _git_revision():
    here = os.path.dirname(os.path.abspath(__file__))
    try:
        answer = subprocess.run(["git", "-C", here, "describe", "--always", "--dirty", "--abbrev=40"],
                                stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, universal_newlines=True, check=False)
    except OSError:
        return ""
    return answer.stdout.strip()


def find_run(where, options):
    """(folder, checkpoint or None) that --resume means: a run's folder, a checkpoint of it, or auto, the newest run.

    (None, None) where auto finds no run. Raises UserError for a place that holds no run."""
    if where == "auto":
        folders = [os.path.join(options.runs, name) for name in sorted(os.listdir(options.runs))] \
            if os.path.isdir(options.runs) else []
        folders = [folder for folder in folders if os.path.isfile(os.path.join(folder, CONFIG))]
        if options.name:
            folders = [folder for folder in folders if os.path.basename(folder) == options.name]
        if not folders:
            return None, None
        return max(folders, key=lambda folder: os.path.getmtime(os.path.join(folder, CONFIG))), None
    if NAME.fullmatch(os.path.basename(where)):
        if not os.path.isfile(where):
            raise UserError("there is no such checkpoint", where, "list the run's checkpoints folder")
        return os.path.dirname(os.path.dirname(os.path.abspath(where))), where
    if not os.path.isfile(os.path.join(where, CONFIG)):
        raise UserError("this is not a run's folder: it holds no config.json", where,
                        "give a folder under runs/, a checkpoint, a .params file, or auto")
    return where, None


def reopen_run(folder, checkpoint, options, given):
    """(run, its options, the checkpoint to go on from or None) of a run that stopped.

    given: names of the flags on the command line; those that would change the result are refused by name."""
    saved = from_json(type(options), read_config(folder)["options"], os.path.join(folder, CONFIG))
    for name in sorted(given - MAY_CHANGE):
        # "auto" is told where to look by these two, and the same command may be given again
        if name not in ("name", "runs") and getattr(options, name) != getattr(saved, name):
            raise UserError(f"--{name.replace('_', '-')} {getattr(options, name)} differs from the run's "
                            f"{getattr(saved, name)}", folder, "a resumed run keeps its configuration: leave it out")
    # a run that began from a .params file still does, should it have been stopped before its first checkpoint
    changed = {name: getattr(options, name) for name in given & MAY_CHANGE - {"resume"}}
    run = Run(folder)
    newest = checkpoints(run.checkpoints)[-1:]
    return run, dataclasses.replace(saved, **changed), checkpoint or (newest[0] if newest else None)

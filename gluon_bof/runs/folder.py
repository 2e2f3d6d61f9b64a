"""A run's folder: what lies in it under which name, a run that writes it, and finding one again.

runs/NAME/  config.json  classes.txt  log.txt  metrics.csv (a row an epoch)  intervals.csv (a row a log interval)
            checkpoints/  last.params  best.params  epoch-0009.params  images/  report.html  report.json
            sets.json (checksums of what it trains and validates on)
            of the mini-batch study: partition.json  probes/epoch-0009.json
            of a table: planned.json (there before the run)
            workers/ (what several processes leave for each other while they validate)
"""
from __future__ import annotations

import contextlib
import csv
import dataclasses
import fcntl
import itertools
import json
import logging
import os
import re
import shutil
import sys
import time
from typing import Any, Sequence

from gluon_bof.errors import LOGGER, UserError, early_warnings, warn, warn_once
from gluon_bof.files import write_atomically
from gluon_bof.options.flags import as_dict, flag_name
from gluon_bof.options.training import other_devices
from gluon_bof.runs.config import (
    CLASSES,
    CONFIG,
    OF_DATA,
    is_run,
    is_same_set,
    read_classes,
    read_options,
    refuse_other_classes,
    require_set,
    warn_of_other_versions,
    write_classes,
    write_config,
)
from gluon_bof.runs.events import Events
from gluon_bof.terminal import ASIDE

CHECKPOINT = re.compile(r"iteration-(\d{9})\.ckpt")
EPOCH_WEIGHTS = re.compile(r"epoch-(\d{4,})\.params")
PROBE = re.compile(r"epoch-(\d{4,})\.json")
TABLES = ("metrics", "intervals")
CLOCKS_DIFFER = 60  # seconds, between a host and a file server
PLANNED = "planned"  # result that a table keeps before the run is made: what it was to read and to start from
SETS = "sets"  # the result that holds the marks of a run's sets
OLD_COLUMNS = {"pictures_per_second": "images_per_second"}  # of version 0.1
# what may differ between a run and its continuation without changing a bit of its result; another number of devices does, and
# is warned of
MAY_CHANGE = {"resume", "gpus", "cpus", "horovod", "kv_store", "num_workers", "cache", "log_interval", "keep", "tensorboard",
              "report"}


class RunFolder:
    """Where everything of a run lies; nothing need be there yet."""

    def __init__(self, folder: str):
        self.folder = folder
        self.checkpoints = os.path.join(folder, "checkpoints")
        self.images = os.path.join(folder, "images")
        self.log = os.path.join(folder, "log.txt")
        self.last_weights = os.path.join(folder, "last.params")
        self.best_weights = os.path.join(folder, "best.params")
        self.events = os.path.join(folder, "events")
        self.report = os.path.join(folder, "report.html")
        self.report_numbers = os.path.join(folder, "report.json")
        self.lock = os.path.join(folder, "lock")
        self.exchange = os.path.join(folder, "workers")
        self.config = os.path.join(folder, CONFIG)
        self.partition = os.path.join(folder, "partition.json")
        self.probes = os.path.join(folder, "probes")

    def epoch_weights(self, epoch: int) -> str:
        """Path of the weights that are kept for good after this epoch."""
        return os.path.join(self.folder, f"epoch-{epoch:04d}.params")

    def probe(self, epoch: int) -> str:
        """Path of what the mini-batch study measured before this epoch."""
        return os.path.join(self.probes, f"epoch-{epoch:04d}.json")

    def probe_epochs(self) -> list[int]:
        """The epochs of which there is such a file, in order."""
        names = os.listdir(self.probes) if os.path.isdir(self.probes) else []
        return sorted(int(match[1]) for match in map(PROBE.fullmatch, names) if match)

    def checkpoint(self, iteration: int) -> str:
        """Path of the checkpoint after so many iterations."""
        return os.path.join(self.checkpoints, f"iteration-{iteration:09d}.ckpt")

    def checkpoint_paths(self) -> list[str]:
        """The checkpoints that are there, oldest first."""
        return checkpoints(self.checkpoints)

    def table(self, name: str) -> str:
        """Path of one of TABLES."""
        return os.path.join(self.folder, f"{name}.csv")

    def rows(self, table: str) -> list[dict[str, str]]:
        """All rows of a table so far, as {column: text}; the columns of old runs have their names of today. A line without its
        end, of which nobody knows how much is there, is none."""
        try:
            with open(self.table(table), newline="") as file:
                lines = [line for line in file if line.endswith("\n")]
        except FileNotFoundError:
            return []
        return [{OLD_COLUMNS.get(name, name): text for name, text in row.items()} for row in csv.DictReader(lines)]

    def result(self, name: str) -> str:
        """Path of a result that a command kept about the run, such as its evaluation."""
        return os.path.join(self.folder, f"{name}.json")

    def read_result(self, name: str) -> Any:
        """A result that was kept, or None. Raises UserError for a damaged one."""
        try:
            with open(self.result(name), encoding="utf-8") as file:
                return json.load(file)
        except FileNotFoundError:
            return None
        except ValueError:
            raise UserError("this result is not whole", self.result(name), "remove it; it will be made again") from None

    def keep_result(self, name: str, result: Any) -> None:
        """Write a result about the run into its folder."""
        write_atomically(self.result(name), json.dumps(result, indent=1).encode())

    def remedy_for_other_data(self) -> str:
        """What to do where the data are not those that the run was trained on."""
        transfers = is_run(self.folder) and hasattr(read_options(self.folder), "transfer")
        return "put the set back, or start another run" + (f" with --transfer {self.folder}" if transfers else "")

    def wait_until_free(self) -> None:
        """Wait for a process that still holds the run: one that saves before it ends."""
        try:
            with open(self.lock) as lock:
                fcntl.flock(lock, fcntl.LOCK_EX)
        except FileNotFoundError:
            pass  # it was killed before it took its lock


class Run(RunFolder):
    """A run that is being trained. Only one process may hold it. devices_told: whether the flags state on how many devices, so
    that a change has been warned of; is_new: whether this process made it; in_given_folder: whether somebody had made an empty
    folder for it; origin: the checkpoint it goes on from, if any."""

    devices_told = False
    is_new = False
    in_given_folder = False
    origin: str | None = None

    def __init__(self, folder: str):
        super().__init__(folder)
        for place in (self.folder, self.checkpoints, self.images):
            os.makedirs(place, exist_ok=True)
        self._lock = self._take()
        self._logging = contextlib.ExitStack()
        self._events = None
        self._has_lost_rows = False

    def _take(self):
        lock = open(self.lock, "w")
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise UserError("another process is training in this run", self.folder, "wait for it or stop it") from None
        return lock

    def write_classes(self, classes: Sequence[str]) -> None:
        """Keep the class names, one a line, for whoever uses the weights. Raises UserError where the run goes on and its weights
        are of others."""
        before = read_classes(self.folder) if self.origin else None
        if before is not None:
            refuse_other_classes(classes, before, self.folder, self.remedy_for_other_data())
        write_classes(self.folder, classes)

    def keep_marks(self, marks: dict[str, str]) -> None:
        """Keep checksums of the run's sets, {"train": …, "val": …}. Raises UserError where the run goes on and was trained on
        another one; warns where it was validated on another. Of a run of before there are none, and nothing is compared."""
        before = (self.read_result(SETS) or {}) if self.origin else {}
        if before.get("train", marks["train"]) != marks["train"]:
            raise UserError("the training set is not the one that the run was trained on: images, their order, their sizes or "
                            "annotations are others", self.folder, self.remedy_for_other_data())
        if before.get("val", marks["val"]) != marks["val"]:
            warn(f"{self.folder}: the validation set is not the one that the run was validated on; the best weights and "
                 "--early-stop compare scores of both")
        self.keep_result(SETS, marks)

    def start_logging(self, tensorboard: bool = False) -> None:
        """Log lines go to standard error and log.txt, warnings of before the run too; metrics to TensorBoard if asked for."""
        to_file = _LogFile(self.log, encoding="utf-8")
        self._logging.enter_context(_logging_to("%(asctime)s %(message)s", _AboveProgressBar(), to_file))
        for record in early_warnings():
            to_file.handle(record)
        if tensorboard:
            self._events = Events(self.events)

    def close(self) -> None:
        """End logging and give the folder free."""
        self._logging.close()
        if self._events:
            with contextlib.suppress(OSError):  # each row is written already
                self._events.close()
        if not self._lock.closed:
            fcntl.flock(self._lock, fcntl.LOCK_UN)  # for data workers too, which hold the same open file as long as they live
            self._lock.close()

    def discard_if_unused(self) -> None:
        """Remove the folder of a new run that failed before its first batch, so that its name can be given again; a given one is
        emptied, and what cannot be removed stays: why the run failed is what matters."""
        results = self.checkpoints, self.probes
        # of images there are those that training sees, drawn before it
        made = {self.lock, self.config, self.log, self.events, self.exchange, self.partition, self.images, *results,
                self.result(SETS), self.result(PLANNED), os.path.join(self.folder, CLASSES)}
        with contextlib.suppress(OSError):  # such as of a link, or of a disk of its own
            if self.is_new and not _has_more_than(self.folder, made) and not any(_has_more_than(place, ()) for place in results):
                _empty(self.folder)
                if not self.in_given_folder:
                    os.rmdir(self.folder)

    def record(self, table: str, row: dict[str, Any]) -> None:
        """Append a row, {column: value} with an "iteration", to one of TABLES. Raises UserError where that of an epoch cannot be
        written; of an interval's that is told once."""
        path = self.table(table)
        try:
            _append(path, row)
        except OSError as error:
            if table == "metrics":
                raise UserError(f"an epoch's row cannot be written ({error.strerror})", path, "make room for it") from None
            if not self._has_lost_rows:
                self._has_lost_rows = True
                warn(f"{path}: a row cannot be written ({error.strerror})")
        if self._events:
            try:
                self._events.add(table, row)
            except OSError as error:
                self._events = None
                warn(f"{self.events}: TensorBoard's events cannot be written any more ({error.strerror})")

    def forget_after(self, iteration: int, epoch: int) -> None:
        """Drop rows and checkpoints that a resumed run, which stands within this epoch, will write again: the newest must be of
        what it has done since."""
        for path in self.checkpoint_paths():
            name = os.path.basename(path)
            if int(CHECKPOINT.fullmatch(name)[1]) > iteration and name != os.path.basename(self.origin or ""):
                os.unlink(path)
        for table in TABLES:
            rows = [row for row in self.rows(table) if (row.get("iteration") or "").isdecimal()
                    and None not in row and None not in row.values()]
            kept = [row for row in rows if int(row["iteration"]) <= iteration
                    and (table != "metrics" or int(row["epoch"]) < epoch)]  # all of an epoch may be trained, and not validated
            if not rows:  # not even a header's end may be there, and the next row would stand behind it
                with contextlib.suppress(FileNotFoundError):
                    os.unlink(self.table(table))
                continue
            lines = [",".join(rows[0])] + [",".join(row.values()) for row in kept]
            write_atomically(self.table(table), ("\r\n".join(lines) + "\r\n").encode())

    def keep_newest(self, count: int) -> None:
        """Remove all but the newest `count` checkpoints, and what a killed write left behind."""
        for path in self.checkpoint_paths()[:-count]:
            os.unlink(path)
        for place in (self.folder, self.checkpoints):
            for name in os.listdir(place):
                if name.endswith(".part"):
                    os.unlink(os.path.join(place, name))


class FollowedRun(RunFolder):
    """The run that another process writes, of a worker that trains with it: the same methods, which write nothing. Its lines go
    to standard error with its number. Raises UserError where the folder is not the other's."""

    devices_told = False

    def __init__(self, folder: str, worker: int):
        super().__init__(folder)
        self.worker = worker
        self._logging = contextlib.ExitStack()
        if not os.path.exists(self.config):
            raise UserError(f"worker {worker} does not see the run's folder that worker 0 has made", folder,
                            "put --runs on storage that all hosts share")

    def write_classes(self, classes: Sequence[str]) -> None:
        """Nothing: rank 0 writes them."""

    def keep_marks(self, marks: dict[str, str]) -> None:
        """Nothing: rank 0 compares them."""

    def start_logging(self, tensorboard: bool = False) -> None:
        """Log lines go to standard error."""
        early_warnings()
        self._logging.enter_context(_logging_to(f"%(asctime)s worker {self.worker}: %(message)s", logging.StreamHandler()))

    def close(self) -> None:
        """End logging."""
        self._logging.close()

    def discard_if_unused(self) -> None:
        """Nothing: rank 0 removes it."""

    def record(self, table: str, row: dict[str, Any]) -> None:
        """Nothing: rank 0 keeps the rows."""


def _append(path, row):
    """Append a row to a table, the whole of it or nothing."""
    size = os.path.getsize(path) if os.path.exists(path) else 0
    try:
        with open(path, "a", newline="") as file:
            writer = csv.DictWriter(file, row.keys())
            if not size:
                writer.writeheader()
            writer.writerow(row)
    except OSError:
        with contextlib.suppress(OSError):
            os.truncate(path, size)
        raise


def _empty(folder):
    """Remove what a folder holds, as far as it can be."""
    for entry in list(os.scandir(folder)):
        if entry.is_dir(follow_symlinks=False):
            shutil.rmtree(entry.path, ignore_errors=True)
        else:
            with contextlib.suppress(OSError):
                os.unlink(entry.path)


@contextlib.contextmanager
def _logging_to(layout, *handlers):
    """Lines go to these handlers, and to those that a program has given the logger; it is left as it was."""
    level, propagates = LOGGER.level, LOGGER.propagate
    LOGGER.setLevel(logging.INFO)
    LOGGER.propagate = False
    for handler in handlers:
        handler.setFormatter(_Escaping(layout, "%H:%M:%S"))
        LOGGER.addHandler(handler)
    try:
        yield
    finally:
        for handler in handlers:
            LOGGER.removeHandler(handler)
            handler.close()
        LOGGER.setLevel(level)
        LOGGER.propagate = propagates


class _Escaping(logging.Formatter):
    """Bytes of a file's name that are no UTF-8 become escapes."""

    def format(self, record):
        return super().format(record).encode("utf-8", "backslashreplace").decode()


class _LogFile(logging.FileHandler):
    """A log that cannot be written, on a full disk, says so once; its lines still go to standard error."""

    has_failed = False

    def handleError(self, record):
        if not self.has_failed:
            self.has_failed = True  # before the warning, which comes here too
            warn(f"{self.baseFilename}: the log cannot be written ({sys.exc_info()[1]})")


class _AboveProgressBar(logging.Handler):
    def emit(self, record):
        from tqdm import tqdm
        tqdm.write(self.format(record), file=ASIDE)


def checkpoints(folder: str) -> list[str]:
    """Paths of a folder's checkpoints, oldest first; unfinished writes are not among them."""
    if not os.path.isdir(folder):
        return []
    return [os.path.join(folder, name) for name in sorted(os.listdir(folder)) if CHECKPOINT.fullmatch(name)]


def epoch_of(path: str) -> int | None:
    """The epoch after which these weights were kept for good, by the name of their file; None for other files."""
    match = EPOCH_WEIGHTS.fullmatch(os.path.basename(path))
    return int(match[1]) if match else None


def create_run(options: Any) -> Run:
    """A new run's folder with its configuration. Raises UserError where the name is taken, and be it by a folder of other things,
    which would go with a run that fails at its start; and where the place is unwritable."""
    folder, is_given = os.path.join(options.runs, options.name), False
    if options.name:
        if os.path.exists(RunFolder(folder).config):
            raise UserError("a run of this name is there already", folder, f"resume it: --resume {folder}, or choose --name")
        refuse_files_of_others(folder)
        is_given = os.path.isdir(folder) and not os.listdir(folder)
    try:
        run = Run(folder if options.name else _make_numbered(options))
    except OSError as error:
        raise UserError(f"the run's folder cannot be made ({error.strerror})", folder,
                        "choose another place with --runs") from None
    run.is_new, run.in_given_folder = True, is_given
    try:
        write_config(run.folder, options)
    except BaseException:
        run.close()
        raise
    return run


def refuse_files_of_others(folder: str) -> None:
    """Raise UserError where a new run's folder holds more than a table's plan and what a start that was killed at once left."""
    run = RunFolder(folder)
    own = {run.lock, run.checkpoints, run.images, run.result(PLANNED)}
    if any(_has_more_than(place, made) for place, made in ((folder, own), (run.checkpoints, ()), (run.images, ()))):
        raise UserError("this is no run's folder, and it holds files", folder, "choose another place with --name or --runs")


def _has_more_than(folder, paths):
    """Whether a folder holds anything else; what a killed write left behind does not count."""
    names = os.listdir(folder) if os.path.isdir(folder) else []
    return any(os.path.join(folder, name) not in paths for name in names if not name.endswith(".part"))


def _make_numbered(options):
    """Make the folder of the first number that is free, and be it that others do so at once. Returns its path."""
    dataset = os.path.basename(os.path.abspath(options.dataset_root or options.dataset))
    stem = os.path.join(options.runs, f"{options.network}_{dataset}")
    os.makedirs(options.runs or os.curdir, exist_ok=True)
    for number in itertools.count(1):
        with contextlib.suppress(FileExistsError):
            os.mkdir(f"{stem}-{number:03d}")
            return f"{stem}-{number:03d}"


def find_run(where: str, options: Any) -> tuple[str | None, str | None]:
    """(folder, checkpoint or None) that --resume means: a run's folder, a checkpoint of it, or auto, the run that
    was begun last, by the time of its config.json.

    (None, None) where auto finds no run. Raises UserError for a place that holds no run."""
    if where == "auto":
        names = sorted(os.listdir(options.runs)) if os.path.isdir(options.runs) else []
        runs = [RunFolder(os.path.join(options.runs, name)) for name in names if options.name in ("", name)]
        runs = [run for run in runs if os.path.isfile(run.config)]
        return (_newest(runs).folder, None) if runs else (None, None)
    if CHECKPOINT.fullmatch(os.path.basename(where)):
        if not os.path.isfile(where):
            raise UserError("there is no such checkpoint", where, "list the run's checkpoints folder")
        return os.path.dirname(os.path.dirname(os.path.abspath(where))), where
    if not os.path.isfile(RunFolder(where).config):
        raise UserError("this is not a run's folder: it holds no config.json", where,
                        "give a folder under runs/, a checkpoint, a .params file, or auto")
    return where, None


def _newest(runs):
    """The run begun last; warns where its time lies ahead, as after a clock that was set back, and so does not tell the order."""
    newest = max(runs, key=lambda run: os.path.getmtime(run.config))
    if len(runs) > 1 and os.path.getmtime(newest.config) > time.time() + CLOCKS_DIFFER:
        warn_once(f"{newest.config} has a time in the future, so {newest.folder} may not be the newest run; name the one that is "
                  "meant: --resume FOLDER")
    return newest


def continued_options(folder: str, options: Any, given: set) -> Any:
    """The options with which a run that stopped goes on: its own, but for those of MAY_CHANGE that were given.

    given: names of the flags on the command line; those that would change the result are refused by name."""
    saved = read_options(folder)
    if type(saved) is not type(options):
        raise UserError("another script trains this run", folder, "its config.json names the family")
    asked, kept = as_dict(options), as_dict(saved)
    # "auto" is told where to look by these two, and the same command may be given again; "" is any name
    kept["runs"], own_name = os.path.split(os.path.abspath(folder))
    is_own = asked["name"] in ("", own_name, os.path.basename(os.path.realpath(folder)))
    kept["name"] = asked["name"] if is_own else own_name
    for name in sorted(given - MAY_CHANGE):
        if asked[name] != kept[name] and not (name in (*OF_DATA, "runs") and is_same_set(asked[name], kept[name])):
            raise UserError(f"{flag_name(name)} {asked[name]} differs from the run's {kept[name]}", folder,
                            "a resumed run keeps its configuration: leave it out")
    devices_differ(stated_devices(saved), stated_devices(options) if given & {"gpus", "cpus"} else None)
    # a run that began from a .params file still does, should it have been stopped before its first checkpoint
    changes = {name: getattr(options, name) for name in given & MAY_CHANGE - {"resume"}}
    if os.path.isdir(os.path.expanduser(saved.dataset)):
        changes["dataset_root"] = ""  # an earlier version took one beside a folder, and did not look at it
    return dataclasses.replace(saved, **other_devices(changes), **changes)


def stated_devices(options: Any) -> int | None:
    """How many devices of a process --gpus or --cpus states; None where it takes those that are there."""
    if options.cpus:
        return options.cpus
    return None if options.gpus is None else max(1, len([word for word in options.gpus.split(",") if word.strip()]))


def devices_differ(before: int | None, now: int | None) -> None:
    """Warn where a run goes on with another number of devices; None is one that nobody knows."""
    if None not in (before, now) and before != now:
        warn(f"the run was trained on {before} {'device' if before == 1 else 'devices'} and goes on with {now}: batch "
             "normalisation that learns and is not synchronised counts each device's images alone, so the result is another one")


def reopen_run(folder: str, checkpoint: str | None, options: Any, given: set) -> tuple[Run, Any, str | None]:
    """(run, its options, the checkpoint to go on from or None) of a run that stopped; see `continued_options`."""
    before = stated_devices(read_options(folder))
    options = continued_options(folder, options, given)
    require_set(folder, "put it back: a run goes on with its own")
    warn_of_other_versions(folder)
    if not checkpoint:
        _refuse_lost_checkpoints(RunFolder(folder))
    run = Run(folder)  # what is refused is refused before: an error that somebody keeps would keep the lock
    run.devices_told = None not in (before, stated_devices(options))
    newest = run.checkpoint_paths()[-1:]
    run.origin = checkpoint or (newest[0] if newest else None)
    return run, options, run.origin


def _refuse_lost_checkpoints(run):
    """Raise UserError where a run without a checkpoint has been saved before: from its beginning it would write over what it has.
    One that was killed in its first save, within the first epoch or after it, begins anew."""
    if run.checkpoint_paths():
        return
    epochs = len(run.rows("metrics"))
    weights = [path for path in (run.best_weights, run.epoch_weights(0), run.last_weights) if os.path.exists(path)]
    # the last weights are written before the first checkpoint, and the first epoch's line before the others
    if epochs > 1 or (not epochs and weights and weights[0] != run.last_weights):
        start = f"start another run from {weights[0]}" if weights else "start another run"
        raise UserError("the run's checkpoints are gone, so it cannot go on", run.folder, start)

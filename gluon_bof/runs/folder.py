"""A run's folder: what lies in it under which name, and a run that writes it.

runs/NAME/  config.json  classes.txt  lock  log.txt  metrics.csv (a row an epoch)  intervals.csv (a row a log interval)
            checkpoints/  last.params  best.params  epoch-0009.params  images/  report.html  report.json  events/
            sets.json (checksums of what it trains and validates on)
            of the mini-batch study: partition.json  probes/epoch-0009.json  outcome.json (of compare)
            of a table: planned.json (there before the run)  training.json  evaluation.json  evaluation-*.json
            workers/ (what several processes leave for each other while they validate)
"""
from __future__ import annotations

import contextlib
import csv
import fcntl
import json
import logging
import os
import re
from typing import Any, Iterable, Sequence

from gluon_bof.errors import UserError, early_warnings, warn
from gluon_bof.files import read_json, remove, unfinished_of, write_atomically
from gluon_bof.runs.config import (
    CLASSES,
    CONFIG,
    is_run,
    read_classes,
    read_options,
    refuse_other_classes,
    write_classes,
)
from gluon_bof.runs.events import Events
from gluon_bof.runs.log_file import AboveProgressBar, LogFile, logging_to

CHECKPOINT = re.compile(r"iteration-(\d{9})\.ckpt")
EPOCH_WEIGHTS = re.compile(r"epoch-(\d{4,})\.params")
PROBE = re.compile(r"epoch-(\d{4,})\.json")
TABLES = ("metrics", "intervals")
SETS = "sets"  # the result that holds the marks of a run's sets
PARTITION = "partition.json"
# what a training alone begins, and while it holds the lock: whoever holds it next need not ask which process that was
UNFINISHED = unfinished_of("|".join((CHECKPOINT.pattern, EPOCH_WEIGHTS.pattern, r"(last|best)\.params",
                                     rf"({'|'.join(TABLES)})\.csv",
                                     *map(re.escape, (CONFIG, CLASSES, f"{SETS}.json", PARTITION)))))
# columns of metrics that choose the best weights: a detector's, a classifier's with localisation and without, a segmenter's
SCORES = ("map", "localisation", "accuracy", "miou")
PLANNED = "planned"  # result that a table keeps before the run is made: what it was to read and to start from
OLD_COLUMNS = {"pictures_per_second": "images_per_second"}  # of version 0.1


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
        self.partition = os.path.join(folder, PARTITION)
        self.probes = os.path.join(folder, "probes")

    def weights(self, last: bool = False) -> str:
        """Path of the best weights, or the last. Raises UserError where a run has the last alone, as before it is validated."""
        if not last and os.path.isfile(self.last_weights) and not os.path.isfile(self.best_weights):
            raise UserError("the run has no best weights yet, which its first validation gives", self.folder,
                            f"give its last ones: {self.last_weights}")
        return self.last_weights if last else self.best_weights

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
        end, of which nobody knows how much is there, is none. Raises UserError where it is no table."""
        try:
            with open(self.table(table), newline="") as file:
                rows = list(csv.DictReader([line for line in file if line.endswith("\n")]))
        except FileNotFoundError:
            return []
        except (UnicodeDecodeError, csv.Error):
            raise UserError("this is no table of text", self.table(table), "put it back, or move it away") from None
        return [{OLD_COLUMNS.get(name, name): text for name, text in row.items()} for row in rows]

    def scores(self) -> dict[int, float]:
        """{epoch: score} of validated epochs, which chooses the best weights: mAP, a classifier's accuracy (with --localise that
        of class and box) or a segmenter's mean IoU."""
        found = {}
        for row in self.rows("metrics"):
            with contextlib.suppress(KeyError, TypeError, ValueError):  # no validation, or a line that a killed run left half
                found[int(row["epoch"])] = float(next((row[name] for name in SCORES if row.get(name)), ""))
        return found

    def result(self, name: str) -> str:
        """Path of a result that a command kept about the run, such as its evaluation."""
        return os.path.join(self.folder, f"{name}.json")

    def read_result(self, name: str) -> dict[str, Any] | None:
        """A result that was kept, an object of JSON's, or None. Raises UserError for a damaged one."""
        try:
            return read_json(self.result(name), "this result is not whole", "remove it; it will be made again",
                             lambda content: isinstance(content, dict))
        except FileNotFoundError:
            return None

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
        to_file = LogFile(self.log, encoding="utf-8")
        self._logging.enter_context(logging_to("%(asctime)s %(message)s", AboveProgressBar(), to_file))
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
            if self.is_new and not has_more_than(self.folder, made) and not any(has_more_than(place, ()) for place in results):
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
        later = [path for path in self.checkpoint_paths() for name in [os.path.basename(path)]
                 if int(CHECKPOINT.fullmatch(name)[1]) > iteration and name != os.path.basename(self.origin or "")]
        for path in later:
            os.unlink(path)
        if later:
            warn(f"{self.folder}: what came after iteration {iteration} is dropped, for it comes again; until then last.params, "
                 "and best.params where a later epoch was the best, are of epochs that were dropped")
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
        """Remove all but the newest `count` checkpoints, and what a killed write of this run's left behind."""
        for path in self.checkpoint_paths()[:-count]:
            os.unlink(path)
        for place in (self.folder, self.checkpoints):
            for name in os.listdir(place):
                if UNFINISHED.fullmatch(name):
                    os.unlink(os.path.join(place, name))


class FollowedRun(RunFolder):
    """The run that another process writes, of a worker that trains with it: of Run's methods those that every worker calls,
    which write nothing. Its lines go to standard error with its number. Raises UserError where the folder is not the other's."""

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

    def start_logging(self, tensorboard: bool = False) -> None:
        """Log lines go to standard error."""
        early_warnings()
        self._logging.enter_context(logging_to(f"%(asctime)s worker {self.worker}: %(message)s", logging.StreamHandler()))

    def close(self) -> None:
        """End logging."""
        self._logging.close()

    def discard_if_unused(self) -> None:
        """Nothing: rank 0 removes it."""


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


def has_more_than(folder: str, paths: Iterable[str]) -> bool:
    """Whether a folder holds anything but these paths; what a killed write left behind does not count."""
    names = os.listdir(folder) if os.path.isdir(folder) else []
    return any(os.path.join(folder, name) not in paths for name in names if not name.endswith(".part"))


def _empty(folder):
    """Remove what a folder holds, as far as it can be."""
    for entry in list(os.scandir(folder)):
        remove(entry.path)


def checkpoints(folder: str) -> list[str]:
    """Paths of a folder's checkpoints, oldest first; unfinished writes are not among them."""
    if not os.path.isdir(folder):
        return []
    return [os.path.join(folder, name) for name in sorted(os.listdir(folder)) if CHECKPOINT.fullmatch(name)]


def epoch_of(path: str) -> int | None:
    """The epoch after which these weights were kept for good, by the name of their file; None for other files."""
    match = EPOCH_WEIGHTS.fullmatch(os.path.basename(path))
    return int(match[1]) if match else None

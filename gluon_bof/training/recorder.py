"""What a run tells of its training: rows of its tables and lines of its log, and which of a validation's metrics count."""
from __future__ import annotations

import resource
from typing import Any, NamedTuple

from gluon_bof.distributed import comm
from gluon_bof.errors import LOGGER
from gluon_bof.training.loop import EpochLosses


class Scoring(NamedTuple):
    """Which of a validation's metrics count. columns: those that an epoch's row has; score: the one by which weights are the best
    so far; words: what the score is, in the log and on pages."""

    columns: tuple[str, ...]
    score: str
    words: str


DETECTION = Scoring(("map",), "map", "validation mAP")


class Recorder:
    """Writes the rows and lines of a run: one an interval of batches, one an epoch. batches: of an epoch, `accumulate` an update;
    a row's iteration is the update that its last batch is part of. before: the epoch's sums where the interval began."""

    def __init__(self, run: Any, batches: int, scoring: Scoring, accumulate: int = 1):
        self.run = run
        self.batches = batches
        self.scoring = scoring
        self.accumulate = accumulate

    def begin(self, losses: EpochLosses) -> None:
        """The next interval is counted from here."""
        self.before = losses.saved()

    def go_on(self, before: dict[str, Any] | None, batch: int, log_interval: int) -> None:
        """After `begin`, where a run that stopped before this batch goes on: its interval began at the sums `before`, None of an
        earlier version's checkpoint. Of one that begins elsewhere, by another log_interval, only what comes is known."""
        if before and log_interval and before["batches"] == batch // log_interval * log_interval:
            self.before = before

    def interval(self, epoch: int, batch: int, losses: EpochLosses) -> None:
        """A row and a line of what happened since `begin`, or since the interval before."""
        before = self.before
        seconds = max(losses.seconds - before["seconds"], 1e-9)
        batches = max(1, losses.batches - before["batches"])
        means = {name: (total - earlier) / batches for name, total, earlier in zip(losses.names, losses.sums, before["sums"])}
        row = {"epoch": epoch, "iteration": self._iteration(epoch, batch),
               "learning_rate": losses.learning_rate,
               **{f"{name}_loss": value for name, value in means.items()}, "total_loss": sum(means.values()),
               "images_per_second": (losses.images - before["images"]) / seconds,
               "data_wait_share": (losses.waiting - before["waiting"]) / seconds,
               "memory_mb": memory_mb()}
        self.begin(losses)
        if not comm.is_main():
            return
        self.run.record("intervals", row)
        LOGGER.info("epoch %d batch %d: %s, %.1f images/s, %.0f%% of the time waiting for data, %d MB, lr %.3g",
                    epoch, batch + 1, _spoken(means), row["images_per_second"],
                    100 * row["data_wait_share"], row["memory_mb"], row["learning_rate"])

    def epoch(self, epoch: int, losses: EpochLosses, metrics: dict[str, Any]) -> None:
        """A row and a line of an epoch, at rank 0; metrics: of its validation, {} where there was none."""
        means, iteration = losses.means(), self._iteration(epoch, self.batches - 1)
        columns, score, words = self.scoring
        row = {"epoch": epoch, "iteration": iteration, "learning_rate": losses.learning_rate,
               **{f"{name}_loss": value for name, value in means.items()},
               "images_per_second": losses.images / max(losses.seconds, 1e-9), "seconds": losses.seconds,
               "data_wait_seconds": losses.waiting, "memory_mb": memory_mb(),
               **{column: "" if metrics.get(column) is None else metrics[column] for column in columns}}
        self.run.record("metrics", row)
        validated = f", {words} {'-' if metrics[score] is None else format(metrics[score], '.4f')}" if metrics else ""
        LOGGER.info("epoch %d: %s, %.1f images/s, %.1f s (%.1f s waiting for data)%s", epoch, _spoken(means),
                    row["images_per_second"], losses.seconds, losses.waiting, validated)

    def _iteration(self, epoch, batch):
        return (epoch * self.batches + batch) // self.accumulate + 1


def memory_mb() -> int:
    """The largest memory that this process has held, in MB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024


def _spoken(means):
    return ", ".join(f"{name} {value:.3f}" for name, value in means.items())

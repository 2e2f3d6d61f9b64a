"""The epochs of a run: train, validate, log, save, and stop cleanly when asked to."""
from __future__ import annotations

import logging
import resource
import signal
import sys
import time

from tqdm import tqdm

from gluon_bof.runs.folder import checkpoint_path, keep_newest
from gluon_bof.training.checkpoint import save_checkpoint
from gluon_bof.training.loop import EpochLosses, train_epoch
from gluon_bof.weights.load import save_weights

LOGGER = logging.getLogger("gluon_bof")
SAVE_SECONDS = 900  # within long epochs, so that a kill never costs more


class Stopped(SystemExit):
    """The user asked to stop and everything is saved; the status is the shell's for that signal."""


class StopRequest:
    """While active, Ctrl-C and SIGTERM ask to stop; a second one stops at once."""

    def __init__(self):
        self.signal = None

    def __enter__(self):
        self._before = {number: signal.signal(number, self._ask) for number in (signal.SIGINT, signal.SIGTERM)}
        return self

    def __exit__(self, *_):
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _ask(self, number, _frame):
        self.signal = number
        for asked, handler in self._before.items():
            signal.signal(asked, handler)

    def __bool__(self):
        return self.signal is not None


class Engine:
    """A run's way through its epochs.

    rates: learning rate of every iteration. validate(should_stop) -> {"map": fraction, further metrics} or None where
    it was stopped. position: the meta of the checkpoint to go on from, or {}. export_name: GluonCV's name of the
    network, for the files of --save-prefix."""

    def __init__(self, run, options, network, step, sampler, loader, rates, loss_names, validate, position, export_name):
        self.run = run
        self.options = options
        self.network = network
        self.step = step
        self.sampler = sampler
        self.loader = loader
        self.rates = rates
        self.loss_names = loss_names
        self.validate = validate
        self.export_name = export_name
        self.epoch = position.get("epoch", options.start_epoch)
        self.batch = position.get("batch", 0)
        self.losses = EpochLosses(loss_names, position.get("losses"))
        self.best = position.get("best", {"map": -1.0, "epoch": None})
        self.last = position.get("last", {})
        self.skipped = set(position.get("skipped", ()))
        self._began = time.perf_counter()

    @property
    def iteration(self):
        """Updates made since the start of the run."""
        return self.epoch * self.sampler.batches + self.batch

    def run_epochs(self):
        """Train to the last epoch. Returns the last validation's metrics. Raises Stopped when asked to stop."""
        total = self.options.epochs * self.sampler.batches
        with StopRequest() as stop, tqdm(total=total, initial=self.iteration, unit="batch", file=sys.stderr,
                                         mininterval=0.5 if sys.stderr.isatty() else 15, dynamic_ncols=True) as bar:
            self.stop, self.bar = stop, bar
            while self.epoch < self.options.epochs:
                self._train()
                if self.batch == self.sampler.batches:
                    self._finish_epoch()
                self._save()
                if self.stop and self.epoch < self.options.epochs:
                    self._leave()
        return self.last

    def _train(self):
        self.bar.set_description(f"epoch {self.epoch}/{self.options.epochs}")
        self._saved_at = time.perf_counter()
        self._interval = (time.perf_counter(), self.losses.saved())
        first_of_epoch = self.epoch * self.sampler.batches
        self.sampler.start(self.epoch, self.batch)
        self.batch = train_epoch(self.loader, self.step, self.losses, self.epoch, self.batch,
                                 lambda batch: self.rates[first_of_epoch + batch], self._after_batch, self._on_broken)

    def _after_batch(self, batch):
        self.bar.update(1)
        self.bar.set_postfix(loss=f"{self.losses.means()['total']:.2f}", best=f"{max(self.best['map'], 0):.3f}",
                             refresh=False)
        if self.options.log_interval and (batch + 1) % self.options.log_interval == 0:
            self._log_interval(batch)
        return bool(self.stop) or time.perf_counter() - self._saved_at > SAVE_SECONDS

    def _log_interval(self, batch):
        since, before = self._interval
        now, losses = time.perf_counter(), self.losses
        batches = max(1, losses.batches - before["batches"])
        means = {name: (total - earlier) / batches
                 for name, total, earlier in zip(self.loss_names, losses.sums, before["sums"])}
        row = {"epoch": self.epoch, "iteration": self.epoch * self.sampler.batches + batch + 1,
               "learning_rate": self.rates[self.epoch * self.sampler.batches + batch],
               **{f"{name}_loss": value for name, value in means.items()}, "total_loss": sum(means.values()),
               "images_per_second": (losses.images - before["images"]) / (now - since),
               "data_wait_share": (losses.waiting - before["waiting"]) / (now - since),
               "memory_mb": memory_mb()}
        self._interval = (now, losses.saved())
        self.run.record("intervals", row)
        LOGGER.info("epoch %d batch %d: %s, %.1f images/s, %.0f%% of the time waiting for data, %d MB, lr %.3g",
                    self.epoch, batch + 1, _spoken(means), row["images_per_second"],
                    100 * row["data_wait_share"], row["memory_mb"], row["learning_rate"])

    def _on_broken(self, messages):
        for message in messages:
            if message not in self.skipped:
                self.skipped.add(message)
                LOGGER.warning("skipped: %s (%d so far)", message, len(self.skipped))

    def _finish_epoch(self):
        """Validate if it is time, log the epoch and go to the next; stay where validation was stopped."""
        is_last = self.epoch + 1 == self.options.epochs
        metrics = {}
        if is_last or (self.epoch + 1) % self.options.val_interval == 0:
            metrics = self.validate(lambda: bool(self.stop))
            if metrics is None:
                return
            self.last = metrics
        self._log_epoch(metrics)
        if metrics.get("map", -1) > self.best["map"]:
            self.best = {"map": metrics["map"], "epoch": self.epoch}
            save_weights(self.network, self.run.path("best.params"))
            self._export("best")
        if self.options.save_interval and (self.epoch + 1) % self.options.save_interval == 0:
            save_weights(self.network, self.run.path(f"epoch-{self.epoch:04d}.params"))
            self._export(f"{self.epoch:04d}_{metrics.get('map', 0):.4f}")
        self.epoch, self.batch = self.epoch + 1, 0
        self.losses = EpochLosses(self.loss_names)

    def _export(self, ending):
        """Files under GluonCV's names, for those who asked with --save-prefix."""
        if self.options.save_prefix:
            save_weights(self.network, f"{self.options.save_prefix}{self.export_name}_{ending}.params")

    def _log_epoch(self, metrics):
        losses, means = self.losses, self.losses.means()
        seconds = max(losses.seconds, 1e-9)
        row = {"epoch": self.epoch, "iteration": (self.epoch + 1) * self.sampler.batches,
               "learning_rate": self.rates[(self.epoch + 1) * self.sampler.batches - 1],
               **{f"{name}_loss": value for name, value in means.items()},
               "images_per_second": losses.images / seconds, "seconds": losses.seconds,
               "data_wait_seconds": losses.waiting, "memory_mb": memory_mb(),
               "map": metrics.get("map", "")}
        self.run.record("metrics", row)
        validated = f", validation mAP {metrics['map']:.4f}" if metrics else ""
        LOGGER.info("epoch %d: %s, %.1f images/s, %.1f s (%.1f s waiting for data)%s",
                    self.epoch, _spoken(means), row["images_per_second"], losses.seconds, losses.waiting, validated)

    def _save(self):
        meta = {"epoch": self.epoch, "batch": self.batch, "losses": self.losses.saved(), "best": self.best,
                "last": self.last, "skipped": sorted(self.skipped)}
        save_weights(self.network, self.run.path("last.params"))
        save_checkpoint(checkpoint_path(self.run.checkpoints, self.iteration), self.network, self.step.trainer, meta)
        keep_newest(self.run.checkpoints, self.options.keep)

    def _leave(self):
        self.bar.close()
        LOGGER.info("stopped and saved at epoch %d, batch %d. To go on:  python %s --resume %s",
                    self.epoch, self.batch, sys.argv[0], self.run.folder)
        raise Stopped(128 + self.stop.signal)


def memory_mb():
    """The largest memory that this process has held, in MB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024


def _spoken(means):
    return ", ".join(f"{name} {value:.3f}" for name, value in means.items())

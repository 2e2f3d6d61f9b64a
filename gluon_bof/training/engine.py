"""The epochs of a run: train, validate, log, save, and stop cleanly when asked to."""
from __future__ import annotations

import os
import shlex
import signal
import sys
import time
from typing import Any, Callable, Sequence

from tqdm import tqdm

from gluon_bof.data.workers import FEWER, WorkerLost
from gluon_bof.distributed import comm, progress
from gluon_bof.errors import LOGGER, TRY_AGAIN, UserError, is_out_of_memory, warn
from gluon_bof.options.families import family_of
from gluon_bof.runs.opening import devices_differ
from gluon_bof.terminal import ASIDE, StopListener
from gluon_bof.training.ema import Averages
from gluon_bof.training.loop import Diverged, EpochLosses, train_epoch
from gluon_bof.training.recorder import DETECTION, Recorder, Scoring
from gluon_bof.training.saver import Saver

SAVE_SECONDS = 900  # within long epochs, so that a kill never costs more
ECHO_SECONDS = 0.3  # `timeout` and others signal a process, and then its group with it: that is one request


class Stopped(SystemExit):
    """The user asked to stop and everything is saved; the status is the shell's for that signal."""


class StopRequest(StopListener):
    """While active, the signals that end a command ask to stop; a second one stops at once, but for the first one's echo."""

    def __init__(self):
        self.signal = None

    def _ask(self, number, _frame):
        self.signal = number
        for asked in self._before:
            signal.signal(asked, signal.SIG_IGN)
        time.sleep(ECHO_SECONDS)
        for asked, handler in self._before.items():
            signal.signal(asked, handler)

    def __bool__(self):
        return self.signal is not None


class Engine:
    """Takes a run through its epochs.

    validate(should_stop) -> the metrics that the scoring names, fractions, and others; None where it was stopped. position: the
    meta of the checkpoint to go on from, or {}. Raises UserError where the training set is not the one that the checkpoint was
    trained on."""

    def __init__(self, run: Any, options: Any, network: Any, step: Any, sampler: Any, loader: Any,
                 loss_names: Sequence[str], validate: Callable[..., dict | None], position: dict[str, Any],
                 scoring: Scoring = DETECTION):
        _refuse_another_set(position, sampler, run)
        self.options = options
        self.step = step
        self.sampler = sampler
        self.loader = loader
        self.loss_names = loss_names
        self.validate = validate
        self.score = scoring.score
        self.recorder = Recorder(run, sampler.batches, scoring, sampler.accumulate)
        self.folder, self.last_weights, self.best_weights = run.folder, run.last_weights, run.best_weights
        self.first_epoch = getattr(options, "start_epoch", 0)
        step.trainer.optimizer.lr_scheduler.first = self.first_epoch * sampler.updates
        self.epoch = position.get("epoch", self.first_epoch)
        self.batch = position.get("batch", 0)
        self.losses = EpochLosses(loss_names, position.get("losses"))
        if self.losses.learning_rate is None:  # version 0.1 did not keep it
            self.losses.learning_rate = step.trainer.learning_rate
        self.recorder.begin(self.losses)
        self.recorder.go_on(position.get("interval"), self.batch, options.log_interval)
        best = position.get("best", {"score": -1.0, "epoch": None})
        self.best = {"score" if key == "map" else key: value for key, value in best.items()}  # its name in 0.1
        self.last = position.get("last", {})
        self.waited = position.get("waited", 0)  # validations since the best one
        self.stopped_early = position.get("stopped_early", False)
        self.skipped = set(position.get("skipped", ()))
        self.lost = None  # data, a worker, or room for an epoch's files: all that is trained is saved before it is told
        self.saver = Saver(run, options, network, step.trainer, self._averages(network, position))
        if not run.devices_told or comm.size() > 1:
            devices_differ(position.get("devices"), self._devices)
        step.vote = self._vote

    def _averages(self, network, position):
        """The Averages of --ema, that every update goes into, or None."""
        if not self.options.ema:
            return None
        averages = Averages(network, self.options.ema, position.get("averages"))
        self.step.after_update = averages.update
        if not position:
            averages.warn_of_the_start((self.options.epochs - self.epoch) * self.sampler.updates)
        return averages

    @property
    def _devices(self):
        return len(self.step.devices) * comm.size()

    def _vote(self):
        """What this process says with every batch: that it was asked to stop, that it is time to save."""
        return float(bool(self.stop)), float(comm.is_main() and self._is_time_to_save())

    def _is_time_to_save(self):
        return time.perf_counter() - self._saved_at > SAVE_SECONDS

    def _asked(self):
        """The signal that asks to stop, of whichever process got one, or 0; the same in all."""
        return max(comm.gather(self.stop.signal or 0))

    @property
    def iteration(self) -> int:
        """Updates made since the start of the run."""
        return self.epoch * self.sampler.updates + self.batch // self.sampler.accumulate

    @property
    def best_score(self) -> float | None:
        """The best validation's score, None where nothing was to be found."""
        return self.best["score"] if self.best["score"] >= 0 else None

    @property
    def _is_at_start(self):
        """Whether nothing is trained yet: --start-epoch begins behind epochs of another run."""
        return self.epoch == self.first_epoch and not self.batch

    @property
    def is_finished(self) -> bool:
        """Whether no epoch is left, or --early-stop left them."""
        return self.stopped_early or self.epoch >= self.options.epochs

    def outcome(self) -> dict[str, Any]:
        """What every training tells of how far it came."""
        return {"epochs": self.epoch, "stopped_early": self.stopped_early, "iterations": self.iteration,
                "seed": self.options.seed}

    def run_epochs(self) -> dict[str, Any]:
        """Train to the last epoch. Returns the last validation's metrics. Raises Stopped when asked to stop, and what the
        data or their workers, or a validation, raise, such as a broken image; all of them after everything is saved."""
        if comm.is_main():
            self.recorder.run.forget_after(self.iteration, self.epoch)
        if self._is_at_start:
            self._warn_of_repeats()
            self._warn_of_a_lone_image()
        total, done = self.options.epochs * self.sampler.batches, self.epoch * self.sampler.batches + self.batch
        with StopRequest() as stop, tqdm(total=total, initial=done, unit="batch", file=ASIDE,
                                         mininterval=0.5 if ASIDE.isatty() else 15, dynamic_ncols=True,
                                         disable=not comm.is_main()) as bar:
            self.stop, self.bar = stop, bar
            while not self.is_finished:
                self._train_soundly()
                if self.batch >= self.sampler.batches:  # more: a checkpoint of 0.1, of a set that was larger then
                    self._finish_epoch()
                if self.lost and self._is_at_start:
                    raise self.lost  # nothing is trained: the run's name is free again
                self._save()
                if self.lost:
                    comm.barrier()  # until the one that writes has: it would be ended with the first of the others
                    self._tell_saved()
                    raise self.lost
                asked = self._asked()
                if asked and not self.is_finished:
                    self._leave(asked)
        return self.last

    def _warn_of_repeats(self):
        images, of_update = self.sampler.images, self.sampler.update_images
        fewer = "--batch-size or --accumulate" if self.options.accumulate > 1 else "--batch-size"
        if of_update > images:
            warn(f"an update has {of_update} images and the training set {images}, each of them {of_update / images:.3g} times: "
                 f"give a smaller {fewer}")
        elif 0 < self.options.num_samples < of_update:
            warn(f"an update has {of_update} images, and so has an epoch, with --num-samples {self.options.num_samples}: give "
                 f"a smaller {fewer}")

    def _warn_of_a_lone_image(self):
        if self.options.mixup and self.sampler.images == 1:
            warn("--mixup does nothing: the training set has one image, and no other to mix it with")

    def _train_soundly(self):
        """Raises Diverged where what would now be validated and saved is worth nothing."""
        try:
            self._train()
            if not self.saver.is_finite():
                raise Diverged(f"weights became nan or infinite at epoch {self.epoch}, batch {self.batch}, learning rate "
                               f"{self.losses.learning_rate:.3g}", remedy="lower --lr, or lengthen the warm-up")
        except Diverged as error:
            error.remedy = self._remedy_for_divergence(error.remedy)
            raise

    def _remedy_for_divergence(self, usual):
        """What may help. The last weights are not named: losses explode before they are nan, and those may be ruined already."""
        transfer = getattr(self.options, "transfer", None)  # None: the family starts from no file
        start = transfer or (self.options.resume if self.options.starts_from_file else "")
        if start and self.epoch == self.first_epoch and self.losses.batches < self.sampler.accumulate:
            return f"{start} gives it before anything is learnt, and no learning rate mends that: start from other weights"
        if not os.path.exists(self.last_weights):
            return usual
        remedy = "start another run with a lower --lr or a longer warm-up"  # one that goes on keeps its own
        if transfer is None or self.best["score"] <= 0 or not os.path.exists(self.best_weights):
            return remedy
        return f"{remedy}, and --resume {self.best_weights} (of epoch {self.best['epoch']})"

    def _train(self):
        self.bar.set_description(f"epoch {self.epoch}/{self.options.epochs}")
        self._saved_at = time.perf_counter()
        self.sampler.start(self.epoch, self.batch)
        self.batch = train_epoch(self._batches(), self.step, self.losses, self.epoch, self.batch,
                                 self._after_batch, self._on_broken)

    def _batches(self):
        """What the loader gives, by whole updates: where it is lost within one, that is not begun."""
        update = []
        try:
            for batch in self.loader:
                update.append(batch)
                if len(update) == self.sampler.accumulate:
                    yield from update
                    update = []
        except Exception as lost:
            self._lose(lost)

    def _lose(self, lost):
        if is_out_of_memory(lost):
            lost = WorkerLost("the memory does not suffice", None, FEWER)
        if comm.is_told_of_others() and isinstance(lost, WorkerLost):
            lost.status = TRY_AGAIN  # the launcher may
        if comm.size() > 1:
            if isinstance(lost, UserError):
                lost.remedy = (lost.remedy or "").replace("a training has saved what it had", "the last checkpoint is kept")
            raise lost  # the others stand in the midst of an update that lacks this one's part
        self.lost = lost

    def _after_batch(self, batch):
        progress.report("training", (self.epoch * self.sampler.batches + batch) // self.sampler.accumulate + 1)
        self.bar.update(1)
        self.bar.set_postfix(loss=f"{self.losses.means()['total']:.2f}", best=f"{self.best_score or 0:.3f}",
                             refresh=False)
        if self.options.log_interval and (batch + 1) % self.options.log_interval == 0:
            self.recorder.interval(self.epoch, batch, self.losses)
        if comm.size() > 1:
            return any(self.step.votes)  # the same in all
        return bool(self.stop) or self._is_time_to_save()

    def _on_broken(self, messages):
        for message in messages:
            if message not in self.skipped:
                self.skipped.add(message)
                LOGGER.warning("skipped: %s (%d so far)", message, len(self.skipped))

    def _finish_epoch(self):
        """Validate if it is time, write what the epoch gave and go to the next; stay where one of the two cannot be done."""
        is_last = self.epoch + 1 == self.options.epochs
        metrics = {}
        if is_last or (self.epoch + 1) % self.options.val_interval == 0:
            try:
                with self.saver.averaged():
                    metrics = self.validate(self._should_stop_validating)
            except Exception as lost:
                metrics = None
                self._lose(lost)
            if metrics is None:
                return
            self.last = metrics
        try:
            comm.from_main(lambda: self._write_epoch(metrics))
        except UserError as lost:  # no room, perhaps; a run that goes on validates and writes again
            self.lost = lost
            return
        if metrics:
            self._judge(metrics[self.score])
        self.epoch, self.batch = self.epoch + 1, 0
        self.losses = EpochLosses(self.loss_names)
        self.recorder.begin(self.losses)
        if 0 < self.options.early_stop <= self.waited and self.epoch < self.options.epochs:
            self.stopped_early = True
            LOGGER.info("stopped early after epoch %d: %d validations without a better one than that of epoch %s",
                        self.epoch - 1, self.waited, self.best["epoch"])

    def _should_stop_validating(self):
        progress.report("validating")
        return bool(self.stop)

    def _write_epoch(self, metrics):
        self.recorder.epoch(self.epoch, self.losses, metrics)
        if metrics and self._is_best(metrics[self.score]):
            self.saver.best()
        self.saver.after_epoch(self.epoch, metrics.get(self.score) or 0)

    def _judge(self, score):
        """Remember the best so far, and count the validations since."""
        self.waited += 1
        if self._is_best(score):
            self.waited = 0
            self.best = {"score": -1.0 if score is None else score, "epoch": self.epoch}

    def _is_best(self, score):
        """None: there was nothing to be found; then the newest is the best."""
        return self.best["score"] < 0 if score is None else score > self.best["score"]

    def _save(self):
        self._agree()
        self.saver.save(self.iteration, {"epoch": self.epoch, "batch": self.batch, "losses": self.losses.saved(),
                                         "interval": self.recorder.before, "best": self.best, "last": self.last,
                                         "skipped": sorted(self.skipped), "waited": self.waited,
                                         "stopped_early": self.stopped_early, "devices": self._devices,
                                         "images": self.sampler.images, "updates": self.sampler.updates})

    def _agree(self):
        """What the processes must have in common is the same in all; what each has seen is known to all."""
        if comm.size() == 1:
            return
        self.skipped = set().union(*comm.gather(sorted(self.skipped)))
        comm.require_same(f"what has been trained up to iteration {self.iteration}", self.saver.mark)

    def _leave(self, asked):
        self._tell_saved()
        comm.close()
        raise Stopped(128 + asked)

    def _tell_saved(self):
        self.bar.close()
        LOGGER.info("stopped and saved at epoch %d, batch %d. To go on:  %s", self.epoch, self.batch,
                    resume_command(self.options, self.folder))


def _refuse_another_set(position, sampler, run):
    """Raise UserError where a position, counted in a set's batches, was kept of another set. Version 0.1 kept no such numbers."""
    for key, what in (("images", "the training set has {} images, the run was trained on {}"),
                      ("updates", "an epoch has {} updates, the run was trained with {}")):
        now, before = getattr(sampler, key), position.get(key)
        if before not in (None, now):
            raise UserError(what.format(now, before), run.folder, run.remedy_for_other_data())


def resume_command(options: Any, folder: str) -> str:
    """The command that goes on with a run: its family's script where that was started, else the installed command."""
    family = family_of(options)
    if os.path.basename(sys.argv[0]) == f"{family.script}.py":
        command = f"python {shlex.quote(sys.argv[0])}"
    else:
        command = f"gluon-bof {family.command or f'train {family.name}'}"
    return f"{command} --resume {shlex.quote(folder)}"

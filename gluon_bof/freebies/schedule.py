"""Learning rate per iteration: warm-up, then step, poly or cosine (paper, section 3.4).

All but the steps come from mx.lr_scheduler. The values are those of gluoncv.utils.LRScheduler, iteration by iteration, counted
from 0. Cosine pays in long runs and with a peak rate of its own; in short ones a step schedule's longer time at the peak fits
more. Flags: --lr-mode, --warmup-epochs, --warmup-lr; Faster R-CNN --lr-warmup, --lr-warmup-factor.
"""
from __future__ import annotations

from numbers import Integral
from typing import Any, Iterable, Sequence

from gluon_bof.backend import mx
from gluon_bof.errors import UserError

MODES = ("step", "poly", "cosine")


class WarmUpThen(mx.lr_scheduler.LRScheduler):
    """Linear warm-up over `warmup` iterations, counted from 0, then `main`, an mx.lr_scheduler that counts its own."""

    def __init__(self, base_lr, warmup, warmup_lr, main, main_iterations):
        # MXNet's ramp reaches base_lr at its step number `warmup_steps`, GluonCV's at the last of `warmup` iterations
        super().__init__(base_lr, warmup_steps=max(0, warmup - 1), warmup_begin_lr=min(warmup_lr, base_lr))
        self.warmup = warmup
        self.main = main
        self.main_iterations = main_iterations

    def __call__(self, iteration):
        if iteration < self.warmup_steps:
            return self.get_warmup_lr(iteration)
        if iteration < self.warmup:
            return self.base_lr
        return self.main(min(iteration - self.warmup, self.main_iterations - 1))


class CountedFromOne(mx.lr_scheduler.LRScheduler):
    """For an optimizer, whose first update bears the number 1: without it the first value would never be used.

    first: the iteration of the schedule at which the optimizer makes its first update, 0 until it is set; it counts its own, and
    needs that number for more than the rate (Adam's bias correction)."""

    def __init__(self, schedule):
        super().__init__(schedule.base_lr)
        self.schedule = schedule
        self.first = 0

    def __call__(self, update):
        return self.schedule(self.first + max(0, update - 1))


class _Steps(mx.lr_scheduler.LRScheduler):
    """MXNet's step schedule to the last bit, but it decays at a step, not one iteration after it. MXNet's own calls logging.info,
    which sets up the logging of a program that has not done so yet."""

    def __init__(self, base_lr, steps=(), factor=1.0):
        super().__init__(base_lr)
        self.steps = steps
        self.factor = factor

    def __call__(self, iteration):
        rate = self.base_lr
        for _ in range(sum(step <= iteration for step in self.steps)):
            rate *= self.factor  # a power rounds otherwise
        return rate


def build_schedule(mode: str, base_lr: float, iterations: int, warmup: int = 0, warmup_lr: float = 0.0, steps: Iterable[int] = (),
                   factor: float = 0.1, power: float = 2) -> WarmUpThen:
    """The learning rate of a run of so many iterations, `warmup` of them warm-up.

    steps: iterations (from the run's start) at which "step" multiplies by `factor`; those within warm-up count at once.
    Raises UserError for a mode that is not known, numbers of iterations that are none, a factor above 1, or a warm-up longer than
    the run."""
    if mode not in MODES:
        raise UserError(f"unknown --lr-mode {mode!r}", remedy=f"choose one of {', '.join(MODES)}")
    iterations, warmup = _iterations("run", iterations), _iterations("warm-up", warmup)
    if factor > 1:
        raise UserError(f"a step that multiplies the learning rate by {factor} raises it", remedy="give a factor of at most 1")
    if warmup >= iterations > 0 and warmup > 0:
        raise UserError(f"the warm-up of {warmup} iterations does not fit into a run of {iterations}",
                        remedy="shorten the warm-up (--warmup-epochs, of Faster and Mask R-CNN --lr-warmup) or lengthen --epochs")
    main_iterations = max(1, iterations - warmup)
    return WarmUpThen(base_lr, warmup, warmup_lr,
                      _main_schedule(mode, base_lr, main_iterations, [s - warmup for s in steps], factor, power),
                      main_iterations)


def _iterations(what, count):
    """The number of them as MXNet takes it, which refuses NumPy's without a word."""
    if isinstance(count, bool) or not isinstance(count, Integral) or count < 0:
        raise UserError(f"a {what} of {count!r} iterations cannot be", remedy="give a whole number, 0 or more")
    return int(count)


def _main_schedule(mode, base_lr, iterations, steps, factor, power):
    if mode == "step":
        passed = sum(step <= 0 for step in steps)
        ahead = sorted({step for step in steps if step > 0})
        return _Steps(base_lr * factor ** passed, ahead, factor)
    if iterations == 1:  # MXNet's and GluonCV's curves divide by iterations - 1
        return _Steps(base_lr)
    if mode == "poly":
        return mx.lr_scheduler.PolyScheduler(iterations - 1, base_lr=base_lr, pwr=power)
    return mx.lr_scheduler.CosineScheduler(iterations - 1, base_lr=base_lr)


def rates_of(iterations: int, **arguments: Any) -> list[float]:
    """The learning rate of every iteration of such a schedule, as a list."""
    schedule = build_schedule(iterations=iterations, **arguments)
    return [schedule(iteration) for iteration in range(iterations)]


def step_epochs(epochs: Sequence[int], period: int, last: int) -> Sequence[int]:
    """Epochs at which the rate decays: every `period` if that is not 0, else those given."""
    return list(range(period, last, period)) if period > 0 else epochs


def cosine_with_warmup(base_lr: float, iterations: int, warmup: int = 0, warmup_lr: float = 0.0) -> mx.lr_scheduler.LRScheduler:
    """An mx.lr_scheduler.LRScheduler, for a Trainer's optimizer: a linear ramp of `warmup` iterations from warmup_lr to base_lr,
    then half a cosine to 0 at the last of `iterations`."""
    return CountedFromOne(build_schedule("cosine", base_lr, iterations, warmup, warmup_lr))

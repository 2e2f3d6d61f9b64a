"""Does the order pay? Trainings at equal steps that differ in their order alone, paired by seed, and the paired differences.

What is there already is not trained again, and what was cut off goes on; seeds come one after another, so that whatever has been
run is balanced."""
from __future__ import annotations

import dataclasses
import os
from typing import Callable, Iterable, NamedTuple, Sequence

import numpy as np

from gluon_bof.errors import UserError
from gluon_bof.options.minibatch import OF_PROBES, MinibatchOptions
from gluon_bof.runs.config import is_run
from gluon_bof.runs.folder import RunFolder
from gluon_bof.runs.opening import other_settings
from gluon_bof.studies.minibatch.orders import BY_NAME
from gluon_bof.studies.minibatch.partition import cut
from gluon_bof.training.entry import ready, run_training, train_of

OUTCOME = "outcome"  # of a training that has ended, in its folder
BASELINE = "shuffled"
CONFIDENCE = 0.95


class Trained(NamedTuple):
    """One training: what of it is compared, its score None where nothing was to be found, and its validation score by epoch."""

    network: str
    order: str
    seed: int
    steps: int
    score: float | None
    scores: dict


class Difference(NamedTuple):
    """An order less the baseline, over the seeds that have both: mean and the ends of its interval; None with fewer than two."""

    network: str
    order: str
    seeds: int
    mean: float
    low: float | None
    high: float | None


def jobs(base: MinibatchOptions, networks: Sequence[str], orders: Sequence[str], seeds: Iterable[int],
         runs: str) -> list[MinibatchOptions]:
    """The options of every training, seed by seed, checked. base: what all of them share. Raises UserError."""
    planned = [dataclasses.replace(base, network=network, order=order, seed=seed, runs=runs, name=f"{network}-{order}-{seed}")
               for seed in seeds for network in networks for order in orders]
    for one in planned:
        one.check()
    return planned


def run_all(planned: Sequence[MinibatchOptions], after_each: Callable[[Trained], None] = lambda one: None) -> list[Trained]:
    """Train what is missing. Raises UserError, before the first training, where a run of the same name had other options, and
    where a set makes too few mini-batches for an order."""
    for options in planned:
        if is_run(folder_of(options)):
            _require_same(folder_of(options), options)
    _require_orders([options for options in planned if RunFolder(folder_of(options)).read_result(OUTCOME) is None])
    found = []
    for options in planned:
        found.append(_trained(options))
        after_each(found[-1])
    return found


def folder_of(options: MinibatchOptions) -> str:
    """The folder of a training's run."""
    return os.path.join(options.runs, options.name)


def _require_orders(planned):
    """Make every order of trainings once, of as many mini-batches as it will have."""
    images = {}  # of classifiers, which may be shown objects, and of detectors
    for options in planned:
        if options.detects not in images:
            images[options.detects] = image_count(options)
        partition = cut(np.arange(images[options.detects]), options.batch_size)
        BY_NAME[options.order](partition, options.seed, options.phase_of)


def image_count(options: MinibatchOptions) -> int:
    """How many images these options train on."""
    from gluon_bof.studies.minibatch.tasks import open_task  # which brings MXNet

    return len(open_task(dataclasses.replace(options, num_workers=0)))


def _trained(options):
    folder = folder_of(options)
    run = RunFolder(folder)
    outcome = run.read_result(OUTCOME)
    if outcome is None:
        if is_run(folder):
            options = dataclasses.replace(options, resume=folder)
        outcome = run_training(ready(options), set(), train_of("minibatch"))
        run.keep_result(OUTCOME, outcome)
    return Trained(options.network, options.order, options.seed, outcome["iterations"],
                   outcome["accuracy" if "accuracy" in outcome else "map"], run.scores())


def _require_same(folder, options):
    other = [name for name, _, _ in other_settings(folder, options, left_out=OF_PROBES)]  # nothing is probed
    if other:
        raise UserError(f"a run of this name has another {', '.join(other)}", folder, "choose another place with --runs")


def differences(trained: Iterable[Trained], epoch: int | None = None) -> list[Difference]:
    """Every order less BASELINE, by network. epoch: compare that epoch's validation score instead of the last one.

    The interval is Student's, of the differences by seed: runs of one seed share initial weights."""
    scores = {}
    for one in trained:
        value = one.score if epoch is None else one.scores.get(epoch)
        if value is not None:
            scores.setdefault((one.network, one.order), {})[one.seed] = value
    found = []
    for (network, order), by_seed in scores.items():
        base = scores.get((network, BASELINE), {})
        seeds = sorted(by_seed.keys() & base.keys())
        if order != BASELINE and seeds:
            found.append(Difference(network, order, len(seeds),
                                    *interval([by_seed[seed] - base[seed] for seed in seeds])))
    return found


def interval(values: Sequence[float]) -> tuple[float, float | None, float | None]:
    """(mean, low, high) of Student's interval of a mean."""
    mean, count = float(np.mean(values)), len(values)
    if count < 2:
        return mean, None, None
    from scipy.stats import t
    half = float(t.ppf((1 + CONFIDENCE) / 2, count - 1) * np.std(values, ddof=1) / np.sqrt(count))
    return mean, mean - half, mean + half

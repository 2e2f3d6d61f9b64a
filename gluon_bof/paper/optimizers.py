"""The lecture's six optimizers on the embedded job at a short length, for the harness; docs/optimizers.md has the protocol.

Every one is tried at the same number of rates, and its rate is chosen on images that neither train nor test."""
from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Mapping, Sequence

from gluon_bof.options.recipes import RECIPES
from gluon_bof.paper import harness, jobs
from gluon_bof.paper.bundles import Store
from gluon_bof.paper.embedded import data_of
from gluon_bof.paper.harness import Job

EXPERIMENT = "optimizers"
SEEDS = (0, 1, 2)  # rates are chosen with the first
MINUTES = 0.7  # of a run, where no bundle tells
EPSILON = 1e-7  # the lecture's, beside the root; adagrad and rmsprop of MXNet have theirs within it, so the square of this one
# what our flags say for each of the lecture's optimizers; it gives rmsprop's decay no number
KINDS = {
    "SGD": dict(optimizer="sgd", momentum=0.0),
    "momentum": dict(optimizer="sgd", momentum=0.9),
    "Nesterov": dict(optimizer="nag", momentum=0.9),
    "AdaGrad": dict(optimizer="adagrad", epsilon=1e-14),
    "RMSProp": dict(optimizer="rmsprop", rho=0.9, epsilon=1e-14),
    "Adam": dict(optimizer="adam", beta1=0.9, beta2=0.999, epsilon=EPSILON),
}
# three of each, half a decade apart; momentum's steps are those of ten times its rate
RATES = {
    "SGD": (0.01, 0.03, 0.1),
    "momentum": (0.001, 0.003, 0.01),
    "Nesterov": (0.001, 0.003, 0.01),
    "AdaGrad": (0.01, 0.03, 0.1),
    "RMSProp": (0.001, 0.003, 0.01),
    "Adam": (0.001, 0.003, 0.01),
}
# the embedded job for two epochs of 800 images in batches of 8, 200 updates, which are its epochs without mixup
TRAINING = dict(train_split="fit", val_split="held-out", epochs=2, no_mixup_epochs=2, gpus="", log_interval=20, keep=1)


@dataclass(frozen=True)
class Trial:
    """An optimizer at a rate."""

    optimizer: str
    rate: float

    @property
    def key(self) -> str:
        """A name for files."""
        return f"{self.optimizer.lower()}-{self.rate:g}"

    def changes(self) -> dict[str, Any]:
        """{option: value} of its training, on top of the embedded job."""
        return {**TRAINING, "lr": self.rate, **KINDS[self.optimizer]}


TRIALS = tuple(Trial(name, rate) for name, rates in RATES.items() for rate in rates)


def plan(chosen: Mapping[str, float], seeds: Sequence[int] = SEEDS, runs: str = "runs") -> list[Job]:
    """Every run: all rates with the first seed, then the chosen ones, {optimizer: rate}, with every seed and tested."""
    finals = [Trial(name, rate) for name, rate in chosen.items()]
    search = [_job(trial, seeds[0], runs, False) for trial in TRIALS if trial not in finals]
    return search + [_job(trial, seed, runs, True) for seed in seeds for trial in finals]


def _job(trial, seed, runs, is_final):
    training = jobs.training(RECIPES["yolo3/embedded"], (), **trial.changes(), seed=seed, runs=runs,
                             name=f"{EXPERIMENT}-{trial.key}-seed-{seed}")
    evaluations = (harness.evaluation(training, "evaluation-test", split="test", metric="voc07"),) if is_final else ()
    return Job(trial, seed, training, evaluations=evaluations, experiment=EXPERIMENT, data=data_of("yolo3"),
               again=("optimizers",), keeps_losses=True)


def searched(store: Store) -> dict[Trial, dict[str, Any] | None]:
    """{trial: its bundle with the first seed, None where there is none}. Raises UserError for one of another configuration."""
    return {job.row: harness.bundle_of(job, store) for job in plan({}, SEEDS[:1])}


def choose(tried: Mapping[Trial, Mapping[str, Any] | None]) -> dict[str, float]:
    """{optimizer: its rate of the best mAP on the held-out images}, of what `searched` gives; {} until all rates have been tried.

    Of two alike the lower."""
    scores: dict[str, dict[float, float]] = {}
    for trial, bundle in tried.items():
        if not bundle:
            return {}
        scores.setdefault(trial.optimizer, {})[trial.rate] = held_out(bundle)
    return {name: max(sorted(of_it), key=of_it.__getitem__) for name, of_it in scores.items()}


def finals_of(store: Store, chosen: Mapping[str, float]) -> dict[str, list[dict[str, Any]]]:
    """{optimizer: the bundles of its chosen rate that are tested, by seed}; {} until the rates are chosen.

    Raises UserError for bundles of another configuration."""
    finals = {name: [] for name in chosen}
    for job in plan(chosen) if chosen else ():
        bundle = harness.bundle_of(job, store) if job.evaluations else None
        if bundle:
            finals[job.row.optimizer].append(bundle)
    return {name: bundles for name, bundles in finals.items() if bundles}


def held_out(bundle: Mapping[str, Any]) -> float:
    """mAP@0.5 on the images that rates are chosen on."""
    return bundle["training"]["map"]


def tested(bundle: Mapping[str, Any]) -> float:
    """mAP@0.5 on the embedded set's test images."""
    return bundle["evaluations"]["test"]["map"]

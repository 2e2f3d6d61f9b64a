"""A U-Net's five ways of upsampling on the embedded set, for the harness; docs/segmentation.md has the protocol."""
from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Mapping, Sequence

from gluon_bof.options.recipes import RECIPES
from gluon_bof.options.segmentation import UPSAMPLINGS
from gluon_bof.paper import effects, harness, jobs
from gluon_bof.paper.bundles import Store
from gluon_bof.paper.choices import STARTS, refuse_own
from gluon_bof.paper.effects import Effect
from gluon_bof.paper.embedded import data_of
from gluon_bof.paper.harness import Job

EXPERIMENT = "upsampling"
SEEDS = (0, 1, 2)
MINUTES = 2.0  # of a run, where no bundle tells
OVER = "nearest"  # the way that the others are compared with
# the embedded job from scratch, on the backbone that pools, at half its size and for two epochs without mixup: 250 updates
TRAINING = dict(model="unet", backbone="plain", pretrained_base="no", base_size=80, crop_size=64, batch_size=8,
                test_batch_size=25, epochs=2, no_mixup_epochs=2, optimizer="adam", lr=0.003, lr_mode="cosine",
                warmup_epochs=0, no_wd=True, label_smooth_eps=0.1, ema=0.0, val_interval=2, log_interval=50, keep=1, gpus="")


@dataclass(frozen=True)
class Way:
    """A way of upsampling."""

    key: str


ROWS = tuple(map(Way, UPSAMPLINGS))


def plan(seeds: Sequence[int] = SEEDS, runs: str = "runs", rows: Sequence[str] = (), extra: Sequence[str] = ()) -> list[Job]:
    """Every run of the rows (keys of ROWS; none: all), seed by seed. extra: further flags of all trainings."""
    return harness.of_rows(ROWS, _job, seeds, runs, rows, extra)


def _job(row, seed, runs, extra):
    recipe = RECIPES["segmentation/embedded"]
    own = dict(TRAINING, upsampling=row.key, seed=seed, runs=runs, name=f"{EXPERIMENT}-{row.key}-seed-{seed}")
    training = jobs.training(recipe, refuse_own(type(recipe.options), extra, STARTS), **own)
    return Job(row, seed, training, experiment=EXPERIMENT, data=data_of(recipe.family),
               again=harness.words_again(EXPERIMENT, row.key, seed, extra=extra))


def found(store: Store) -> list[dict[str, Any]]:
    """The bundles of the runs that are there. Raises UserError for one of another configuration."""
    return harness.checked(store, EXPERIMENT, plan)


def points(there: Sequence[Mapping[str, Any]]) -> dict[str, dict[int, float]]:
    """{way: {seed: mean IoU in points}} of bundles."""
    by_seed = sorted(there, key=lambda bundle: bundle["seed"])
    return {row.key: {bundle["seed"]: 100 * bundle["training"]["miou"] for bundle in by_seed if bundle["row"] == row.key}
            for row in ROWS}


def of_whole_seeds(numbers: Mapping[str, Mapping[int, float]]) -> dict[str, dict[int, float]]:
    """The same of seeds of which every way has its run."""
    whole = set.intersection(*map(set, numbers.values()))
    return {way: {seed: value for seed, value in of_way.items() if seed in whole} for way, of_way in numbers.items()}


def against_nearest(numbers: Mapping[str, Mapping[int, float]]) -> dict[str, Effect]:
    """{way: what it gains over nearest, paired within a seed}; {} where no seed has both."""
    pairs = {way: effects.paired(numbers[OVER], of_way) for way, of_way in numbers.items() if way != OVER}
    return {way: pair.gain for way, pair in pairs.items() if pair}


def judged(gain: Effect) -> str:
    """What the protocol lets be said of a gain over nearest, one of four."""
    return effects.judged(gain, len(ROWS) - 1)

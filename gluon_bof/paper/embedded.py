"""The embedded jobs of the detectors, seed by seed, for the harness: what `make train` gives."""
from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Sequence

from gluon_bof.options.flags import EMBEDDED
from gluon_bof.options.recipes import RECIPES
from gluon_bof.paper import harness, jobs
from gluon_bof.paper.choices import refuse_own
from gluon_bof.paper.harness import Job

EXPERIMENT = "embedded"
SEEDS = (0, 1, 2)
MINUTES = 5.0  # of a run, where no bundle tells


@dataclass(frozen=True)
class Embedded:
    """The embedded job of a family."""

    family: str

    @property
    def key(self) -> str:
        """A name for files."""
        return self.family.replace("_", "-")


ROWS = (Embedded("yolo3"), Embedded("faster_rcnn"), Embedded("ssd"))


def plan(seeds: Sequence[int] = SEEDS, runs: str = "runs", rows: Sequence[str] = (), extra: Sequence[str] = ()) -> list[Job]:
    """Every run of the rows (keys of ROWS; none: all), seed by seed. extra: further flags of all trainings."""
    return [_job(row, seed, runs, extra) for seed in seeds for row in ROWS if not rows or row.key in rows]


def _job(row, seed, runs, extra):
    recipe = RECIPES[f"{row.family}/{EXPERIMENT}"]
    own = dict(seed=seed, runs=runs, name=f"{EXPERIMENT}-{row.key}-seed-{seed}", gpus="")
    training = jobs.training(recipe, refuse_own(type(recipe.options), extra), **own)
    return Job(row, seed, training, None, harness.ONE_THREAD, (harness.evaluation(training, metric="voc07"),), EXPERIMENT, told(),
               again=harness.words_again(EXPERIMENT, row.key, seed, extra=extra))


def told() -> dict[str, Any]:
    """What the runs read, as bundles say it."""
    from gluon_bof.data.shapes import VERSION
    return {"set": EMBEDDED, "version": VERSION}

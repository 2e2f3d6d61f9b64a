"""The embedded jobs, seed by seed, for the harness: what `make train`, and every training script without arguments, gives."""
from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Sequence

from gluon_bof.options import families
from gluon_bof.options.flags import EMBEDDED
from gluon_bof.options.recipes import RECIPES
from gluon_bof.paper import harness, jobs
from gluon_bof.paper.choices import refuse_own
from gluon_bof.paper.effects import Measure
from gluon_bof.paper.harness import Job

EXPERIMENT = "embedded"
SEEDS = (0, 1, 2)
MINUTES = 5.0  # of a run, where no bundle tells
OWN = ("own",)  # the evaluations of a run: at its own size
OF_BOXES = (Measure("mAP@0.5", OWN, "map"),)
OF_MASKS = (Measure("mask AP@0.5", OWN, "masks.AP50"), Measure("mask AP@[.5:.95]", OWN, "masks.AP"),
            Measure("mask AP@0.75", OWN, "masks.AP75"), Measure("box mAP@0.5", OWN, "box_map"))
OF_MAPS = (Measure("mean IoU", OWN, "miou"), Measure("pixel accuracy", OWN, "pixel_accuracy"))


@dataclass(frozen=True)
class Embedded:
    """The embedded job of a family. key: a name for files; title: of its network; numbers: what it is measured by, its own first,
    of which the evaluation also has every class."""

    family: str
    key: str
    title: str
    numbers: tuple = OF_BOXES


ROWS = (Embedded("yolo3", "yolo3", "YOLOv3"), Embedded("faster_rcnn", "faster-rcnn", "Faster R-CNN"),
        Embedded("ssd", "ssd", "SSD"), Embedded("mask_rcnn", "mask-rcnn", "Mask R-CNN", OF_MASKS),
        Embedded("segmentation", "unet", "U-Net", OF_MAPS))


def plan(seeds: Sequence[int] = SEEDS, runs: str = "runs", rows: Sequence[str] = (), extra: Sequence[str] = ()) -> list[Job]:
    """Every run of the rows (keys of ROWS; none: all), seed by seed. extra: further flags of all trainings."""
    return harness.of_rows(ROWS, _job, seeds, runs, rows, extra)


def _job(row, seed, runs, extra):
    recipe = RECIPES[f"{row.family}/{EXPERIMENT}"]
    own = dict(seed=seed, runs=runs, name=f"{EXPERIMENT}-{row.key}-seed-{seed}", gpus="")
    training = jobs.training(recipe, refuse_own(type(recipe.options), extra), **own)
    return Job(row, seed, training, evaluations=(harness.evaluation(training, metric="voc07"),), experiment=EXPERIMENT,
               data=data_of(row.family), again=harness.words_again(EXPERIMENT, row.key, seed, extra=extra))


def data_of(family: str) -> dict[str, Any]:
    """What runs of a family read, as bundles say it: silhouettes and label maps have come to the set with a version of its
    files."""
    from gluon_bof.data.shapes import FILES, VERSION
    found = families.by_name(family)
    return {"set": EMBEDDED, "version": FILES if found.masks or found.segments else VERSION}

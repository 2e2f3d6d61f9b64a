"""A table of the paper as work: what has to be trained and evaluated."""
from __future__ import annotations

import os
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Sequence

from gluon_bof.errors import UserError
from gluon_bof.files import cache_folder
from gluon_bof.options.classifier import ClassifierOptions
from gluon_bof.options.flags import EMBEDDED
from gluon_bof.options.recipes import SMALL_IMAGES, TABLES, VOC_METRIC, Table, backbone_recipe, row_recipe
from gluon_bof.paper import harness, jobs
from gluon_bof.paper.bundles import fingerprint
from gluon_bof.paper.choices import STARTS, refuse_own
from gluon_bof.paper.harness import ONE_THREAD, Job


@dataclass(frozen=True)
class Request:
    """What the command line asks for. rows: keys; extra, extra_pretraining: flags for every training."""

    table: Table
    scale: str = "paper"
    rows: tuple = ()
    seeds: tuple = (0,)
    runs: str = "runs"
    dataset: str = ""  # small scale: a folder in place of the embedded set
    dataset_root: str = ""  # paper scale
    gpus: str | None = None
    jobs: int = 1
    extra: tuple = ()
    extra_pretraining: tuple = ()

    @property
    def is_small(self) -> bool:
        """Whether this is not the paper's own work."""
        return self.scale == "small"

    @property
    def stem(self) -> str:
        """How the names of its files and runs begin."""
        own_set = f"-{os.path.basename(os.path.abspath(self.dataset))}" if self.dataset else ""
        return f"table-{self.table.number}" + (f"-small{own_set}" if self.is_small else "")

    @cached_property
    def own_data(self) -> dict[str, Any]:
        """What bundles say of `dataset`, all of whose files are looked at for it."""
        return fingerprint(self.dataset) if os.path.isdir(self.dataset) else {"set": os.path.basename(self.dataset)}


def table_of(text: str) -> Table:
    """The Table of "1" to "6". Raises UserError."""
    if not text.isdecimal() or int(text) not in TABLES:
        raise UserError(f"the paper has no table {text!r}", remedy=f"give one of {', '.join(map(str, TABLES))}")
    return TABLES[int(text)]


def plan(request: Request) -> list[Job]:
    """The Job of every row of the table and every seed, seed by seed; also of rows that were not asked for."""
    found = []
    for seed in request.seeds:
        for row in request.table.rows:
            found.append(_job(request, row, seed, gpus_of_worker(request, len(found))))
    return found


def ends(planned: Sequence[Job]) -> tuple[Job, Job]:
    """The jobs of the table's first and last row, with the first seed."""
    of_seed = [job for job in planned if job.seed == planned[0].seed]
    return of_seed[0], of_seed[-1]


def gpus_of_worker(request: Request, place: int) -> str | None:
    """Its share of --gpus: those are split evenly among --jobs. None where they were not given."""
    if not request.gpus or request.jobs == 1:
        return request.gpus
    names = request.gpus.split(",")
    if len(names) % request.jobs:
        raise UserError(f"--gpus {request.gpus} cannot be split evenly among --jobs {request.jobs}", remedy="change either")
    share, worker = len(names) // request.jobs, place % request.jobs
    return ",".join(names[worker * share:(worker + 1) * share])


def _job(request, row, seed, gpus):
    recipe = row_recipe(request.table, row, request.is_small)
    own = dict(seed=seed, runs=request.runs, name=f"{request.stem}-{row.key}-seed-{seed}")
    if gpus is not None:
        own["gpus"] = gpus
    data = dict(dataset=small_set(request)) if request.is_small else dict(dataset_root=request.dataset_root)
    pretraining, data_before = None, {}
    if recipe.pretraining:
        of_backbone = backbone_recipe(request.table, row, request.is_small)
        settings = dict(own, name=f"{request.stem}-{_phase(recipe.pretraining)}-seed-{seed}")
        settings.update(dict(dataset=request.dataset or EMBEDDED) if request.is_small else {})
        pretraining = jobs.training(of_backbone, refuse_own(ClassifierOptions, request.extra_pretraining), **settings)
        own["pretrained_base"] = pretraining.run.last_weights
        data_before = data_of(request, pretraining.options.dataset, whole=True)
    reserved = STARTS if pretraining else ()
    training = jobs.training(recipe, refuse_own(type(recipe.options), request.extra, reserved), **data, **own)
    metric = ("voc07" if request.table.metric == VOC_METRIC else "coco") if request.is_small else ""
    evaluations = tuple(harness.evaluation(training, f"evaluation{'' if size is None else f'-{size}'}", size, metric=metric)
                        for size in recipe.sizes or (None,))
    return Job(row, seed, training, evaluations=evaluations, experiment=request.stem,
               data=data_of(request, training.options.dataset), pretraining=pretraining, pretraining_data=data_before,
               environment=ONE_THREAD if request.is_small else {},
               again=harness.words_again(str(request.table.number), row.key, seed, request.dataset, "--scale", request.scale,
                                         extra=request.extra, extra_pretraining=request.extra_pretraining))


def data_of(request: Request, dataset: str, whole: bool = False) -> dict[str, Any]:
    """What a training of the table reads, as bundles say it. whole: all of the embedded set, and not its first images."""
    if request.dataset:
        return request.own_data
    if not request.is_small:
        return {"set": dataset}
    from gluon_bof.data.shapes import VERSION
    return {"set": EMBEDDED, "version": VERSION, **({} if whole else {"images": SMALL_IMAGES})}


def _phase(pretraining):
    return f"backbone-{'mixup' if pretraining.mixup else 'plain'}"


def small_set(request: Request) -> str:
    """The set that small rows train on: the folder given, or that of the embedded set's first images, drawn on first use."""
    if request.dataset:
        return request.dataset
    from gluon_bof.data.shapes import ensure_shapes
    return ensure_shapes(os.path.join(cache_folder(), "tables"), SMALL_IMAGES)

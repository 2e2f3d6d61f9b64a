"""Runs that are planned, made where they have no bundle, and leave one: what tables, miniature and photographs share."""
from __future__ import annotations

import os
import shlex
import sys
import time
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any, Callable, Iterable, Mapping, NamedTuple, Sequence

from gluon_bof.errors import UserError
from gluon_bof.files import prepare_folder, seems_path, sha256_of
from gluon_bof.options import families
from gluon_bof.options.flags import flag_name
from gluon_bof.paper import bundles, jobs
from gluon_bof.runs.config import is_run, read_config
from gluon_bof.runs.environment import git_revision
from gluon_bof.runs.folder import PLANNED
from gluon_bof.runs.opening import START_FILES, refuse_files_of_others

if TYPE_CHECKING:
    from gluon_bof.paper.bundles import Store
    from gluon_bof.runs.folder import RunFolder

ONE_THREAD = {"OMP_NUM_THREADS": "1"}  # small runs: the same bits on any number of cores, and two do not spin against each other
OF_TRAINING = ("map", "metric", "per_class", "accuracy", "top5", "best_map", "best_accuracy", "epochs", "stopped_early",
               "iterations", "skipped", "miou", "pixel_accuracy")
OF_EVALUATION = ("map", "metric", "per_class", "coco", "masks", "box_map", "miou", "pixel_accuracy", "images", "skipped",
                 "calibration_error", "sliding_patch")


@dataclass(frozen=True)
class Evaluation:
    """One number of a run: the side in pixels, or None for the run's own; the command; its result's name in the folder."""

    size: int | None
    words: tuple
    result: str

    @property
    def key(self) -> str:
        """Its name in a bundle."""
        return self.result.partition("-")[2] or "own"


@dataclass(frozen=True)
class Job:
    """A run: a row, which has a key, with one seed.

    data, pretraining_data: what it reads, as bundles say it; marks: what else its bundle says of its place, such as the fold;
    again: the words after `gluon-bof table` that make it alone; keeps_losses: whether its bundle has the curve of its losses."""

    row: Any
    seed: int
    training: jobs.Training
    evaluations: tuple = ()
    experiment: str = ""
    data: dict = field(default_factory=dict)
    pretraining: jobs.Training | None = None
    pretraining_data: dict = field(default_factory=dict)
    environment: dict = field(default_factory=lambda: ONE_THREAD)
    marks: dict = field(default_factory=dict)
    again: tuple = ()
    keeps_losses: bool = False

    @property
    def name(self) -> str:
        """The run's name, which is its bundle's."""
        return self.training.options.name

    @property
    def run(self) -> RunFolder:
        """The run's folder."""
        return self.training.run

    def commands(self) -> list[list[str]]:
        """Every command of it, as words, in order."""
        before = [self.pretraining.command()] if self.pretraining else []
        return [*before, self.training.command(), *(list(found.words) for found in self.evaluations)]

    def configuration(self) -> dict[str, Any]:
        """What its result depends on."""
        before = self.backbone().configuration() if self.pretraining else None
        return bundles.configuration(self.training.options, self.data, before)

    def backbone(self) -> Job:
        """The job of its pre-training, which others share."""
        return Job(Backbone(), self.pretraining.options.seed, self.pretraining, experiment=self.experiment,
                   data=self.pretraining_data, environment=self.environment)


def words_again(what: str, row: str, seed: int, dataset: str = "", *more: str, extra: Sequence[str] = (),
                extra_pretraining: Sequence[str] = ()) -> tuple[str, ...]:
    """The words after `gluon-bof table` that make one row with one seed. dataset: a folder's path, of which its name is told."""
    told = ("--dataset", os.path.basename(os.path.abspath(dataset))) if dataset else ()
    after = ("--", *extra, *(("--", *extra_pretraining) if extra_pretraining else ())) if extra or extra_pretraining else ()
    return (what, *more, *told, "--rows", row, "--seeds", str(seed), *after)


class Backbone(NamedTuple):
    """The row of a pre-training."""

    key: str = "backbone"


def of_rows(rows: Iterable[Any], make: Callable[..., Job], seeds: Iterable[int], runs: str, keys: Sequence[str],
            extra: Sequence[str]) -> list[Job]:
    """make(row, seed, runs, extra) of every row whose key is one of these (none: all), seed by seed."""
    return [make(row, seed, runs, extra) for seed in seeds for row in rows if not keys or row.key in keys]


def training(options: Any) -> jobs.Training:
    """Options as a training whose command says every one that is no default."""
    family = families.family_of(options)
    return jobs.Training(family.name, tuple(jobs.flags_of(options, family.options())), options.resolved())


def evaluation(job_training: jobs.Training, result: str = "evaluation", size: int | None = None, split: str = "",
               metric: str = "", more: Sequence[str] = ()) -> Evaluation:
    """The evaluation of a run's last weights, at a size and on a split where they are given. metric: of detectors; segmenters
    have one alone."""
    words = [*jobs.module_words("evaluate"), job_training.run.folder, "--last"]
    if split:
        words += ["--val-split", split]
    if size is not None:
        words += ["--data-shape", str(size)]
    if metric and not families.family_of(job_training.options).segments:
        words += ["--metric", metric]
    words += more
    if job_training.options.gpus is not None:
        # one device is enough to evaluate; '' stays the CPU
        words += ["--gpus", job_training.options.gpus.split(",")[0]]
    return Evaluation(size, tuple(words), result)


# ---- what is there, and making the rest ----------------------------------------------------------------------------

def bundle_of(job: Job, store: Store) -> dict[str, Any] | None:
    """The job's bundle, None where it has none or lacks an evaluation. Raises UserError where it is of another configuration, or
    of a run that started from other weights than its backbone's bundle has."""
    found = store.read(job.name)
    if not found:
        return None
    _refuse_other(found, job, store)
    return None if lacking(found, job) else found


def _refuse_other(bundle, job, store):
    path = store.path(job.name)
    bundles.refuse_other(bundle, job.configuration(), path)
    base = bundle_of(job.backbone(), store) if job.pretraining else None
    if base and bundle.get("starts_from") and bundle["starts_from"]["weights_sha256"] != base["weights_sha256"]:
        raise UserError("the run started from other weights than its backbone's bundle has", path, "move it away")


def refuse_others(found: Iterable[Mapping[str, Any]], planned: Iterable[Job], store: Store) -> None:
    """Raise UserError as bundle_of does for a bundle of another configuration than the job of its name, and where it lacks one of
    its evaluations or says that it is of another row, seed or fold, or where no job has its name."""
    by_name = {job.name: job for job in planned}
    for bundle in found:
        path = store.path(bundle["name"])
        if bundle["name"] not in by_name:
            raise UserError("no run of the experiment has this name any more", path, "move it away")
        job = by_name[bundle["name"]]
        _refuse_other(bundle, job, store)
        for mark, wanted in (("row", job.row.key), ("seed", job.seed), *job.marks.items()):
            if bundle.get(mark) != wanted:
                raise UserError(f"the bundle there says {mark} {bundle.get(mark)} and not {wanted}", path,
                                "remove it; the run will be made again")
        without = lacking(bundle, job)
        if without:
            raise UserError(f"the bundle lacks the evaluation {without[0]}, or has it by another command than would be given now",
                            path, "start its run again, which makes it")


def checked(store: Store, experiment: str, plan: Callable[[list[int]], Iterable[Job]]) -> list[dict[str, Any]]:
    """The bundles of an experiment, without its backbones', by name. plan(seeds): its jobs, of the seeds that are there. Raises
    UserError as refuse_others does."""
    found = [bundle for bundle in store.of(experiment) if bundle["row"] != Backbone().key]
    if found:
        refuse_others(found, plan(sorted({bundle["seed"] for bundle in found})), store)
    return found


def lacking(bundle: Mapping[str, Any], job: Job) -> list[str]:
    """Keys of the job's evaluations that a bundle lacks, or has by another command than would be given now."""
    return [wanted.key for wanted in job.evaluations
            if wanted.key not in bundle["evaluations"] or told_command(wanted.words, job) not in bundle["commands"]]


def told_command(words: Sequence[str], job: Job) -> str:
    """A command of a job as bundles have it, without places."""
    return bundles.without_places(jobs.line(words, job.environment), places_of(job))


def missing(wanted: Iterable[Job], store: Store) -> list[Job]:
    """The jobs that have no bundle. Raises UserError where one is of another configuration."""
    return [job for job in wanted if not bundle_of(job, store)]


def run_missing(wanted: Sequence[Job], store: Store, side_by_side: int = 1, after_each: Callable[[Job], Any] = lambda job: None,
                may_start: Callable[[Job], bool] = lambda job: True) -> None:
    """Make the jobs that have no bundle, `side_by_side` at a time; what was cut off goes on. after_each(job) follows every one
    that was made; none starts that may_start(job) refuses. A run that fails keeps no other from being made.

    Raises UserError in the end, where runs have failed, with the first one's words."""
    to_do = missing(wanted, store)
    _refuse_absent_starts(to_do)
    backbones = {job.pretraining.run.folder: job.backbone() for job in to_do if job.pretraining}
    failed = []

    def make(job):
        if not may_start(job):
            return
        try:
            _make(job, store, side_by_side > 1)
        except UserError as error:
            failed.append((job, error))
            print(f"failed: {job.name}: {error.problem}", file=sys.stderr, flush=True)
        else:
            if job.row.key != Backbone().key:
                after_each(job)

    for items in (list(backbones.values()), to_do):
        jobs.run_in_parallel(_lines([(job, partial(make, job)) for job in items], side_by_side))
        if failed:
            job, error = failed[0]
            raise UserError(f"{len(failed)} of {len(items)} runs failed; {job.name}: {error.problem}", error.path, error.remedy)


def _refuse_absent_starts(to_do):
    """Raise UserError where a run that has not begun would start from a path that is not there, before others take hours. Where
    its own backbone is trained first, it starts from nothing else."""
    for job in (job for job in to_do if not is_run(job.run.folder)):
        for name in () if job.pretraining else START_FILES:
            place = getattr(job.training.options, name, "")
            if seems_path(place) and not os.path.exists(place):  # to know GluonCV's names, MXNet would have to be imported
                raise UserError(f"there are no such weights for {flag_name(name)}", place, "check the path")


def _lines(items, side_by_side):
    """Lists of functions that run side by side: of jobs on the same GPUs where those were shared out, else all take from one."""
    shares = {}
    for job, function in items:
        shares.setdefault(job.training.options.gpus, []).append(function)
    if len(shares) > 1:
        return list(shares.values())
    return [iter([function for _, function in items])] * side_by_side


def _make(job, store, quiet):
    """Train, evaluate, and leave the bundle."""
    base = _required_backbone(job.backbone(), store) if job.pretraining else None
    _refuse_other_plan(job, base)
    old = store.read(job.name)
    jobs.train(job.training, job.environment, quiet)
    digest = _digest_of(job.run)
    if old and old["weights_sha256"] != digest:
        raise UserError("trained again, the run has other weights than its bundle says", store.path(job.name),
                        "bring the run's folder from where it was trained, or move the bundle away")
    for found in job.evaluations:
        jobs.evaluate(job.training, list(found.words), found.result, job.environment, quiet)
    if old and not lacking(old, job):
        return  # only its weights had gone
    store.write(_bundle(job, base, digest, old))


def _required_backbone(job, store):
    """The checksum of the weights that a run would start from. Raises UserError where they are not those of their bundle."""
    bundle, digest = bundle_of(job, store), _digest_of(job.run)
    if not bundle or bundle["weights_sha256"] != digest:
        raise UserError("the weights that runs start from are not those of their bundle", job.run.last_weights,
                        "bring them from where they were trained, or move all bundles of the experiment away")
    return digest


def _refuse_other_plan(job, base):
    """Raise UserError where the run that is there was made of other data, or from another start, than its bundle would say. A run
    that is not there yet gets its plan into its folder; one of before those were kept goes on. base: its backbone's checksum."""
    if not is_run(job.run.folder):
        prepare_folder(job.run.folder, "choose another place with --runs")
        refuse_files_of_others(job.run.folder)
        job.run.keep_result(PLANNED, {"configuration": job.configuration(), "starts_from": base})
        return
    kept = job.run.read_result(PLANNED)
    if not kept:
        return
    differing = bundles.difference(kept["configuration"], job.configuration(), beside=["data"])  # it may go on on other devices
    if not differing and kept["starts_from"] != base:
        differing = f"started from other weights than {job.pretraining.run.last_weights}"
    if differing:
        raise UserError(f"the run there has {differing}", job.run.folder, "give another --runs, or move it away")


def _digest_of(run):
    """The checksum of a finished run's weights. Raises UserError where they have gone."""
    if not os.path.isfile(run.last_weights):
        raise UserError("a finished run's weights are not there", run.last_weights,
                        "bring them from where they were trained, or move the run's folder away: it is trained again")
    return sha256_of(run.last_weights)


def _bundle(job, base, digest, old):
    """What the run's folder says, as the bundle. base, digest: checksums of its backbone's weights and its own."""
    config = read_config(job.run.folder)
    environment = config["environment"]
    results = {found.key: job.run.read_result(found.result) for found in job.evaluations}
    for key, result in results.items():
        if result["sha256"] != digest:
            raise UserError(f"its evaluation {key!r} is of other weights than its last", job.run.folder, "start it again")
    configuration = job.configuration()
    rows = job.run.rows("metrics")
    validations = [[int(row["epoch"]) + 1, float(row["map"])] for row in rows if row.get("map")]
    return {
        "format": bundles.FORMAT, "name": job.name, "experiment": job.experiment, "row": job.row.key, "seed": job.seed,
        **job.marks,
        "commands": [told_command(words, job) for words in job.commands()],
        "again": shlex.join(["gluon-bof", "table", *job.again]) if job.again else "",
        "configuration": configuration, "configuration_sha256": bundles.hash_of(configuration),
        "git_revision": environment["git_revision"], "git_revision_at_end": git_revision(),
        "versions": environment["versions"],
        "machine": {**bundles.machine(), "omp_num_threads": environment.get("omp_num_threads", "")},
        "times": {"started": bundles.utc(os.path.getmtime(job.run.config)), "finished": bundles.utc(time.time()),
                  "training_seconds": sum(float(row["seconds"]) for row in rows),
                  "evaluation_seconds": {key: result.get("seconds") for key, result in results.items()}},
        "weights_sha256": digest,
        "starts_from": {"name": job.pretraining.options.name, "weights_sha256": base} if job.pretraining else None,
        "training": _kept(job.run.read_result(jobs.TRAINING), OF_TRAINING),
        "evaluations": {**(old or {}).get("evaluations", {}),
                        **{key: _kept(result, OF_EVALUATION) for key, result in results.items()}},
        **({"losses": [[int(row["iteration"]), float(row["total_loss"])] for row in job.run.rows("intervals")]}
           if job.keeps_losses else {}),
        **({bundles.COST: old[bundles.COST]} if old and bundles.COST in old else {}),
        **({"validations": validations} if len(validations) > 1 else {}),  # [[epochs done, mAP]]
    }


def places_of(job: Job) -> list[tuple[str, str]]:
    """[(path, what stands for it in a bundle)]: of Python, the runs and a folder of data."""
    options = job.training.options
    found = {jobs.python(): "python", os.path.join(options.runs, ""): "runs/", f"--runs {options.runs}": "--runs runs"}
    for folder in (options.dataset, options.dataset_root, *((job.pretraining.options.dataset,) if job.pretraining else ())):
        if folder and os.sep in folder and not folder.startswith(os.path.join(options.runs, "")):
            found[folder] = os.path.basename(os.path.abspath(folder))
    return sorted(found.items(), key=lambda pair: -len(pair[0]))


def _kept(result, names):
    return {name: result[name] for name in names if name in result}

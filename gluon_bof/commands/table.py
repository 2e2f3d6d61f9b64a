"""gluon-bof table N: train, evaluate and write down a table of the paper, or one of the project's own experiments."""
from __future__ import annotations

import json
import os
import shlex
import sys
import threading
from functools import partial
from typing import TYPE_CHECKING, Any, Callable, NamedTuple, Sequence

from gluon_bof.errors import UserError, user_facing, warn
from gluon_bof.files import csv_text, prepare_folder, utf8, write_atomically
from gluon_bof.options.flags import NotAValue, Parser, at_least, flag_name
from gluon_bof.options.recipes import Table, row_recipe
from gluon_bof.paper import bag, embedded, factorial, harness, jobs, miniature, optimizers, photographs, tables, upsampling
from gluon_bof.paper.budget import budget_of, until
from gluon_bof.paper.bundles import Store
from gluon_bof.paper.choices import chosen, chosen_seeds
from gluon_bof.paper.table_pages import cost_section, read_lines, records, to_markdown
from gluon_bof.runs.environment import git_revision

if TYPE_CHECKING:
    from gluon_bof.paper.budget import Budget
    from gluon_bof.paper.harness import Job

EPILOG = """Flags after -- go to every training: table 2 --scale small -- --epochs 4. Flags after a second -- go to the
pre-training of backbones. Every finished run leaves a bundle, OUT/runs/NAME.json: what has one is not run again, and what was cut
off goes on."""
OF_TABLES = {"scale": "paper", "gpus": None, "dataset_root": "", "cost": False}  # flags, with their defaults


class Work(NamedTuple):
    """What a command line asks for. planned: every job, of rows that were not asked for too; wanted: those of the rows that were;
    write(store) writes its pages and returns what the last line says; resolution(store, budget): what its runs can tell, as text;
    minutes: of a run, where no bundle tells."""

    planned: list
    wanted: list
    write: Callable[[Store], dict]
    resolution: Callable[[Store, Budget], str] = lambda store, budget: ""
    minutes: float | None = None


def build_parser() -> Parser:
    """The command's parser."""
    parser = Parser(prog="gluon-bof table", description=__doc__.split(": ", 1)[1], epilog=EPILOG)
    parser.add_argument("table", type=_table_or_experiment, metavar="N",
                        help=f"the table's number, 1 to 6, or an experiment: {', '.join(WORK_OF)}")
    parser.add_argument("--scale", choices=("paper", "small"), default="paper",
                        help="the paper's own work, or the same rows at a size that a CPU finishes [paper]")
    parser.add_argument("--rows", default="",
                        help="numbers or keys of rows, comma-separated; of miniature also half and further, of bag ends [all; of "
                             "miniature all but further]")
    parser.add_argument("--seeds", default="", help="comma-separated [tables 1 to 6 and photographs: 0; the others: 0,1,2]")
    parser.add_argument("--gpus", default=None, help="for example 0,1; '' is the CPU; split evenly among --jobs [those of "
                                                     "GluonCV's published commands; small: the CPU]")
    parser.add_argument("--dataset-root", default="", help="where VOC or COCO lies [~/.mxnet/datasets/…]")
    parser.add_argument("--dataset", default="", help="small scale: a folder in any known layout [the embedded set]; "
                                                      "photographs: their folder; miniature: one with vocmini's splits")
    parser.add_argument("--detector", choices=tuple(miniature.DESIGNS), default="yolo3",
                        help="miniature: whose factorial [yolo3]")
    parser.add_argument("--folds", type=int, default=photographs.FOLDS, help="photographs: parts of the cross-validation "
                                                                             f"[{photographs.FOLDS}]")
    parser.add_argument("--jobs", type=int, default=1, help="trainings side by side [1]")
    parser.add_argument("--hours", type=_positive, default=None, help="start only what will end within so many [no limit]")
    parser.add_argument("--minutes", type=_positive, default=None,
                        help="of a run, for --hours, where no bundle of its kind tells")
    parser.add_argument("--runs", default="runs", help="folder that holds the runs [runs]")
    parser.add_argument("--out", default="results",
                        help="folder for table-N.md (or table-N-small.md) and .csv, and for runs/, the bundles [results]")
    parser.add_argument("--cost", action="store_true", help="also compare what the first and the last row cost in inference")
    parser.add_argument("--dry-run", action="store_true", help="print every command and end")
    parser.add_argument("--plan", action="store_true", help="say what has no bundle, how long it takes and what it can tell; end")
    return parser


def _table_or_experiment(text):
    return text if text in WORK_OF else tables.table_of(text)


def _positive(text):
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0 < value < float("inf"):
        raise NotAValue(f"{text!r} is no number above 0")
    return value


def read_arguments(argv: Sequence[str]) -> Any:
    """The arguments; extra and extra_pretraining are the words after one -- and two. Raises UserError."""
    words, *after = _parts(argv)
    given = build_parser().parse_args(words)
    if len(after) > 2:
        raise UserError("there are three --", remedy="one before the detector's flags, one before the backbone's")
    given.extra, given.extra_pretraining = map(tuple, [*after, [], []][:2])
    at_least(given, "jobs", 1)
    for name, default, owner in (("detector", "yolo3", "miniature"), ("folds", photographs.FOLDS, "photographs")):
        if getattr(given, name) != default and given.table != owner:
            raise UserError(f"{flag_name(name)} is for {owner} alone", remedy="leave it out")
    if not isinstance(given.table, Table):
        for name, default in OF_TABLES.items():
            if getattr(given, name) != default:
                raise UserError(f"{flag_name(name)} does nothing for {given.table}", remedy="it is for tables 1 to 6")
    return given


def request_of(given: Any) -> tables.Request:
    """What the arguments ask of a table. Raises UserError."""
    small = given.scale == "small"
    for name, fits in (("dataset", small), ("dataset_root", not small)):
        if getattr(given, name) and not fits:
            raise UserError(f"{flag_name(name)} does nothing at --scale {given.scale}",
                            remedy="--dataset is for small, --dataset-root for paper")
    if given.extra_pretraining and not any(row_recipe(given.table, row, small).pretraining for row in given.table.rows):
        raise UserError(f"a second -- does nothing for table {given.table.number}", remedy="leave it out")
    rows = chosen(given.rows, [row.key for row in given.table.rows], f"Table {given.table.number}")
    return tables.Request(given.table, given.scale, rows, chosen_seeds(given.seeds, (0,)), given.runs,
                          given.dataset, given.dataset_root, given.gpus, given.jobs, given.extra, given.extra_pretraining)


def _parts(words):
    """The words between one -- and the next."""
    parts = [[]]
    for word in words:
        if word == "--":
            parts.append([])
        else:
            parts[-1].append(word)
    return parts


@user_facing
def main(argv: Sequence[str]) -> int:
    """Bring it about and write it down; the last line on standard output is one JSON object."""
    argv = list(argv)
    given = read_arguments(argv)
    work = work_of(given, argv)
    if given.dry_run:
        for words, environment in commands_of(work.wanted):
            print(jobs.line(words, environment))
        return 0
    store = Store(given.out)
    budget = budget_of(work.wanted, store, given.jobs, given.hours, given.minutes or work.minutes, work.planned)
    print("; ".join(filter(None, (budget.text(given.jobs, given.hours), work.resolution(store, budget)))), file=sys.stderr,
          flush=True)
    if given.plan:
        print(json.dumps({"missing": [job.name for job in budget.to_do], "fits": budget.fits,
                          "whole_seeds": budget.whole_seeds()}))
        return 0
    if git_revision().endswith("-dirty"):
        warn("the checkout has changes that are in no commit: the bundles will say so (-dirty)")
    if _is_on_pages(given) and (given.extra or given.extra_pretraining):
        warn("flags after -- may give other runs than the protocol's, which pages refuse: keep those in another --out")
    prepare_folder(given.out)
    one_at_a_time = threading.Lock()

    def after_each(job):
        with one_at_a_time:
            work.write(store)
        print(f"done: {job.name}", file=sys.stderr, flush=True)

    work.write(store)
    harness.run_missing(work.wanted, store, given.jobs, after_each, until(given.hours, budget))
    if given.cost:
        _compare_cost(work.planned, store)
    said = work.write(store)
    left = len(harness.missing(work.wanted, store))
    if left:
        print(f"{left} runs are left: start the same command again", file=sys.stderr)
    print(json.dumps({**said, "left": left}))
    return 0


def _is_on_pages(given):
    """Whether tools/write_results.py tells of the runs."""
    return not isinstance(given.table, Table) and not (given.table == "miniature" and given.dataset)


def work_of(given: Any, argv: Sequence[str]) -> Work:
    """The jobs and pages that the arguments ask for."""
    if isinstance(given.table, Table):
        return _of_table(given, argv)
    return WORK_OF[given.table](given)


def _of_table(given, argv):
    request = request_of(given)
    planned = tables.plan(request)
    page = os.path.join(given.out, request.stem)
    command = "gluon-bof table " + " ".join(map(shlex.quote, argv))

    def write(store):
        lines = read_lines(request, planned, store)
        found = records(request, lines)
        write_atomically(f"{page}.csv", utf8(csv_text(found)))
        write_atomically(f"{page}.md", utf8(to_markdown(request, found, command, cost_section(planned, store))))
        return {"table": request.table.number, "scale": request.scale, "page": f"{page}.md", "csv": f"{page}.csv",
                "rows": [{"row": line.row.key, "size": line.size, "values": line.values} for line in lines]}

    return Work(planned, [job for job in planned if job.row.key in request.rows], write)


def _of_miniature(given):
    design = miniature.DESIGNS[given.detector]
    keys = factorial.chosen_rows(given.rows, design)
    seeds = chosen_seeds(given.seeds, miniature.SEEDS)
    every = factorial.plan(seeds, given.runs, given.dataset, given.extra, given.extra_pretraining, True, design)
    wanted = [job for job in every if job.row.key in keys]
    planned = [job for job in every if not isinstance(job.row, factorial.Further)]
    return Work(planned, wanted, _page_of(factorial.experiment_of(given.dataset, design)),
                lambda store, budget: factorial.resolution_text(store, budget, given.dataset, design),
                factorial.MINUTES[given.detector])


def _of_photographs(given):
    if not given.dataset:
        raise UserError("photographs of what?", remedy="give --dataset FOLDER")
    if given.extra_pretraining:
        raise UserError("a second -- does nothing for photographs", remedy="leave it out")
    keys = chosen(given.rows, [setting.key for setting in photographs.SETTINGS], photographs.EXPERIMENT)
    seeds = chosen_seeds(given.seeds, photographs.SEEDS)
    photographs.changes_of(keys, given.extra)  # refused before the images are copied
    prepare = photographs.foresee if given.dry_run or given.plan else photographs.prepare
    folds = prepare(given.dataset, given.folds, given.runs, given.out)
    wanted = photographs.plan(folds, seeds, given.runs, keys, given.extra)
    planned = _of_every_row(lambda extra: photographs.plan(folds, seeds, given.runs, (), extra), given.extra)
    return Work(planned, wanted, _page_of(photographs.experiment_of(folds.name)), minutes=photographs.MINUTES)


def _of_bag(given):
    if given.dataset or given.extra or given.extra_pretraining:
        raise UserError(f"{'--dataset' if given.dataset else 'flags after --'}: the protocol of bag is fixed",
                        remedy="leave it out")
    keys = bag.chosen_rows(given.rows)
    planned = bag.plan(chosen_seeds(given.seeds, bag.SEEDS), given.runs)
    return Work(planned, [job for job in planned if job.row.key in keys], _page_of(bag.EXPERIMENT), minutes=bag.MINUTES)


def _of_plan(experiment, given):
    """What a module with plan, ROWS, EXPERIMENT, SEEDS and MINUTES plans."""
    if given.dataset or given.extra_pretraining:
        raise UserError(f"{'--dataset' if given.dataset else 'a second --'} does nothing for {experiment.EXPERIMENT}",
                        remedy="leave it out")
    keys = chosen(given.rows, [row.key for row in experiment.ROWS], f"the experiment {experiment.EXPERIMENT}")
    seeds = chosen_seeds(given.seeds, experiment.SEEDS)
    wanted = experiment.plan(seeds, given.runs, keys, given.extra)
    planned = _of_every_row(lambda extra: experiment.plan(seeds, given.runs, (), extra), given.extra)
    return Work(planned, wanted, _page_of(experiment.EXPERIMENT), minutes=experiment.MINUTES)


def _of_every_row(plan, extra):
    """plan(flags after --) of every row, without them where a row that was not asked for does not take them."""
    try:
        return plan(extra)
    except UserError:
        return plan(())


def _of_optimizers(given):
    for name in ("rows", "seeds", "dataset", "extra", "extra_pretraining"):
        if getattr(given, name):
            raise UserError(f"{'flags after --' if 'extra' in name else flag_name(name)}: the protocol of optimizers is fixed",
                            remedy="leave them out")
    store = Store(given.out)
    planned = optimizers.plan(optimizers.choose(optimizers.searched(store)), runs=given.runs)

    def write(store):
        """Which rates are chosen; those runs are made when the same command is started again."""
        return {"experiment": optimizers.EXPERIMENT, "chosen": optimizers.choose(optimizers.searched(store))}

    return Work(planned, planned, write, minutes=optimizers.MINUTES)


def _page_of(experiment):
    """What tools/write_results.py makes the pages of: nothing is written here."""
    return lambda store: {"experiment": experiment}


WORK_OF = {"miniature": _of_miniature, "bag": _of_bag, "photographs": _of_photographs, "embedded": partial(_of_plan, embedded),
           "optimizers": _of_optimizers, "upsampling": partial(_of_plan, upsampling)}


def commands_of(wanted: Sequence[Job]) -> list[tuple[list[str], dict[str, str]]]:
    """Every command of jobs, (words, environment), each once; pre-training comes first."""
    every = [*(job.backbone() for job in wanted if job.pretraining), *wanted]
    found = [(words, job.environment) for job in every for words in job.commands()]
    return [item for place, item in enumerate(found) if item not in found[:place]]


def _compare_cost(planned, store):
    """What the first and the last row cost in inference, where both have been made and their weights are still there."""
    lacking = [job.name for job in tables.ends(planned) if not (store.read(job.name) and os.path.isfile(job.run.last_weights))]
    if lacking:
        warn(f"--cost compares nothing: there is no bundle, or there are no weights, of {' and '.join(lacking)}")
        return
    from gluon_bof.paper.cost import compare_runs
    compare_runs(*tables.ends(planned), store)

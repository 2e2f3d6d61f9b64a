"""gluon-bof table N: train, evaluate and write down a table of the paper."""
from __future__ import annotations

import json
import os
import shlex
import sys
import threading
from typing import TYPE_CHECKING, Any, Sequence

from gluon_bof.errors import UserError, user_facing
from gluon_bof.files import write_atomically
from gluon_bof.options.flags import Parser, flag_name
from gluon_bof.paper import jobs
from gluon_bof.paper.tables import (
    Request,
    chosen_rows,
    chosen_seeds,
    plan,
    read_lines,
    records,
    run_missing,
    table_of,
    to_csv,
    to_markdown,
)

if TYPE_CHECKING:
    from gluon_bof.paper.tables import Job

EPILOG = """Flags after -- go to every training: table 2 --scale small -- --epochs 4. Flags after a second -- go to the
pre-training of backbones (Tables 5 and 6). What was trained is not trained again, and what was cut off goes on."""


def build_parser() -> Parser:
    """The command's parser."""
    parser = Parser(prog="gluon-bof table", description=__doc__.split(": ", 1)[1], epilog=EPILOG)
    parser.add_argument("table", type=table_of, metavar="N", help="the table's number, 1 to 6")
    parser.add_argument("--scale", choices=("paper", "small"), default="paper",
                        help="the paper's own work, or the same rows at a size that a CPU finishes [paper]")
    parser.add_argument("--rows", default="", help="numbers or keys of rows, comma-separated [all]")
    parser.add_argument("--seeds", default="0", help="comma-separated [0]")
    parser.add_argument("--gpus", default=None, help="for example 0,1; '' is the CPU; split evenly among --jobs [those of "
                                                     "GluonCV's published commands; small: the CPU]")
    parser.add_argument("--dataset-root", default="", help="where VOC or COCO lies [~/.mxnet/datasets/…]")
    parser.add_argument("--dataset", default="", help="small scale: a folder in VOC's or COCO's layout [the embedded set]")
    parser.add_argument("--jobs", type=int, default=1, help="trainings side by side [1]")
    parser.add_argument("--runs", default="runs", help="folder that holds the runs [runs]")
    parser.add_argument("--out", default="results", help="folder for table-N.md and .csv [results]")
    parser.add_argument("--cost", action="store_true", help="also compare what the first and the last row cost in inference")
    parser.add_argument("--dry-run", action="store_true", help="print every command and end")
    return parser


def read_request(argv: Sequence[str]) -> tuple[Request, Any]:
    """(Request, the other arguments)."""
    words, *after = _parts(argv)
    given = build_parser().parse_args(words)
    if len(after) > 2:
        raise UserError("there are three --", remedy="one before the detector's flags, one before the backbone's")
    extra, extra_pretraining = [*after, [], []][:2]
    if given.jobs < 1:
        raise UserError(f"--jobs {given.jobs} is below 1", remedy="give 1 or more")
    small = given.scale == "small"
    for name, fits in (("dataset", small), ("dataset_root", not small)):
        if getattr(given, name) and not fits:
            raise UserError(f"{flag_name(name)} does nothing at --scale {given.scale}",
                            remedy="--dataset is for small, --dataset-root for paper")
    return Request(given.table, given.scale, chosen_rows(given.table, given.rows), chosen_seeds(given.seeds), given.runs,
                   given.dataset, given.dataset_root, given.gpus, given.jobs, tuple(extra), tuple(extra_pretraining)), given


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
def main(argv: Sequence[str] | None = None) -> int:
    """Bring the table about and write it; the last line on standard output is one JSON object."""
    argv = list(sys.argv[1:] if argv is None else argv)
    request, given = read_request(argv)
    planned = plan(request)
    if given.dry_run:
        for words, environment in commands_of(request, planned):
            print(jobs.line(words, environment))
        return 0
    page = os.path.join(given.out, request.stem)
    os.makedirs(given.out, exist_ok=True)
    command = "gluon-bof table " + " ".join(map(shlex.quote, argv))

    one_at_a_time = threading.Lock()

    def write():
        with one_at_a_time:
            found = records(request, read_lines(request, planned))
            write_atomically(f"{page}.csv", to_csv(found).encode())
            write_atomically(f"{page}.md", to_markdown(request, found, command, cost_text(request, planned)).encode())

    def after_each(job):
        write()
        print(f"done: {job.run.folder}", file=sys.stderr, flush=True)

    write()
    run_missing(request, planned, after_each)
    if given.cost:
        from gluon_bof.paper.cost import compare_runs
        compare_runs(*ends(request, planned))
    write()
    lines = read_lines(request, planned)
    print(json.dumps({"table": request.table.number, "scale": request.scale, "page": f"{page}.md", "csv": f"{page}.csv",
                      "rows": [{"row": line.row.key, "size": line.size, "values": line.values} for line in lines]}), flush=True)
    return 0


def commands_of(request: Request, planned: Sequence[Job]) -> list[tuple[list[str], dict[str, str]]]:
    """Every command of the rows that were asked for, (words, environment), each once; pre-training comes first."""
    wanted = [job for job in planned if job.row.key in request.rows]
    found = [(job.pretraining.command(), job.environment) for job in wanted if job.pretraining]
    for job in wanted:
        found += [(words, job.environment) for words in job.commands()[bool(job.pretraining):]]
    return [item for place, item in enumerate(found) if item not in found[:place]]


def ends(request: Request, planned: Sequence[Job]) -> tuple[Job, Job]:
    """The jobs of the table's first and last row, with the first seed."""
    of_seed = [job for job in planned if job.seed == request.seeds[0]]
    return of_seed[0], of_seed[-1]


def cost_text(request: Request, planned: Sequence[Job]) -> str:
    """What an earlier or this --cost found, as a section of the page; "" where there is none."""
    found = ends(request, planned)[1].run.read_result("cost")
    if not found:
        return ""
    from gluon_bof.paper.cost import describe
    return describe(found)

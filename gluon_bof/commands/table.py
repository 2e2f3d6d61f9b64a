"""python -m gluon_bof table N: train, evaluate and write down a table of the paper."""
from __future__ import annotations

import json
import os
import shlex
import sys
import threading

from gluon_bof.errors import UserError, user_facing
from gluon_bof.files import write_atomically
from gluon_bof.options.flags import Parser
from gluon_bof.paper import jobs as launch
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

EPILOG = """Flags after -- go to every training: table 2 --scale small -- --epochs 4. Flags after a second -- go to the
pre-training of backbones (Tables 5 and 6). What was trained is not trained again, and what was cut off goes on."""


def read_request(argv):
    """(Request, the other arguments)."""
    parser = Parser(prog="python -m gluon_bof table", description=__doc__, epilog=EPILOG)
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
    words, *after = _parts(argv)
    given = parser.parse_args(words)
    if len(after) > 2:
        raise UserError("there are three --", remedy="one before the detector's flags, one before the backbone's")
    extra, extra_pretraining = [*after, [], []][:2]
    if given.jobs < 1:
        raise UserError(f"--jobs {given.jobs} is below 1", remedy="give 1 or more")
    small = given.scale == "small"
    for name, fits in (("dataset", small), ("dataset_root", not small)):
        if getattr(given, name) and not fits:
            raise UserError(f"--{name.replace('_', '-')} does nothing at --scale {given.scale}",
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
def main(argv=None):
    """Bring the table about and write it; the last line on standard output is one JSON object."""
    argv = list(sys.argv[1:] if argv is None else argv)
    request, given = read_request(argv)
    works = plan(request)
    if given.dry_run:
        for words, environment in commands_of(request, works):
            print(launch.line(words, environment))
        return
    page = os.path.join(given.out, request.stem)
    os.makedirs(given.out, exist_ok=True)
    command = "python -m gluon_bof table " + shlex.join(argv)

    one_at_a_time = threading.Lock()

    def write():
        with one_at_a_time:
            found = records(request, read_lines(request, works))
            write_atomically(f"{page}.csv", to_csv(found).encode())
            write_atomically(f"{page}.md", to_markdown(request, found, command, cost_text(request, works)).encode())

    def after_each(work):
        write()
        print(f"done: {work.folder}", file=sys.stderr, flush=True)

    write()
    run_missing(request, works, after_each)
    if given.cost:
        from gluon_bof.paper.cost import compare_runs
        compare_runs(*ends(request, works))
    write()
    lines = read_lines(request, works)
    print(json.dumps({"table": request.table.number, "scale": request.scale, "page": f"{page}.md", "csv": f"{page}.csv",
                      "rows": [{"row": line.row.key, "size": line.size, "values": line.values} for line in lines]}), flush=True)


def commands_of(request, works):
    """Every command of the rows that were asked for, (words, environment), each once; pre-training comes first."""
    wanted = [work for work in works if work.row.key in request.rows]
    found = [(launch.training_words(work.pretraining), work.environment) for work in wanted if work.pretraining]
    for work in wanted:
        found += [(words, work.environment) for words in work.commands()[bool(work.pretraining):]]
    return [item for place, item in enumerate(found) if item not in found[:place]]


def ends(request, works):
    """The works of the table's first and last row, with the first seed."""
    of_seed = [work for work in works if work.seed == request.seeds[0]]
    return of_seed[0], of_seed[-1]


def cost_text(request, works):
    """What an earlier or this --cost found, as a section of the page; "" where there is none."""
    found = launch.read_result(ends(request, works)[1].folder, "cost.json")
    if not found:
        return ""
    from gluon_bof.paper.cost import describe
    return describe(found)

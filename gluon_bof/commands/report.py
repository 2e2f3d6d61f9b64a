"""gluon-bof report RUN RUN…: a page that sets runs side by side: their options, curves and reports."""
from __future__ import annotations

import json
from typing import Sequence

from gluon_bof.commands.flags import refuse_no_page
from gluon_bof.errors import user_facing
from gluon_bof.options.flags import Parser
from gluon_bof.runs.folder import RunFolder


@user_facing
def main(argv: Sequence[str]) -> int:
    """Write the page; the last line on standard output is one JSON object."""
    arguments = build_parser().parse_args(argv)
    runs = map(RunFolder, arguments.runs)
    refuse_no_page(arguments.out, reads=[path for run in runs for path in (run.report, run.report_numbers)])

    from gluon_bof.evaluation.compare import compare_runs
    numbers = compare_runs(arguments.out, arguments.runs)
    told = [{key: run[key] for key in ("folder", "epochs", "last", "best", "at_epoch")} for run in numbers["runs"]]
    print(json.dumps({"report": arguments.out, "runs": told}))
    return 0


def build_parser() -> Parser:
    """The command's parser."""
    parser = Parser("gluon-bof report", description=__doc__.split(": ", 1)[1])
    parser.add_argument("runs", nargs="+", metavar="RUN", help="a run's folder")
    parser.add_argument("--out", default="runs.html", metavar="FILE.html",
                        help="the page; its numbers go into FILE.json [runs.html]")
    return parser

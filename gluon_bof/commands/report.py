"""gluon-bof report RUN RUN…: a page that sets runs side by side: their options, curves and reports."""
from __future__ import annotations

import json
from typing import Sequence

from gluon_bof.commands.flags import refuse_no_page
from gluon_bof.errors import user_facing
from gluon_bof.options.flags import Parser


@user_facing
def main(argv: Sequence[str] | None = None) -> int:
    """Write the page; the last line on standard output is one JSON object."""
    arguments = build_parser().parse_args(argv)
    refuse_no_page(arguments.out)

    from gluon_bof.evaluation.compare import compare_runs
    numbers = compare_runs(arguments.out, arguments.runs)
    told = [{key: run[key] for key in ("folder", "epochs", "last", "best", "at_epoch")} for run in numbers["runs"]]
    print(json.dumps({"report": arguments.out, "runs": told}), flush=True)
    return 0


def build_parser() -> Parser:
    """The command's parser."""
    parser = Parser("gluon-bof report", description=__doc__.split(": ", 1)[1])
    parser.add_argument("runs", nargs="+", metavar="RUN", help="a run's folder")
    parser.add_argument("--out", default="runs.html", metavar="FILE.html",
                        help="the page; its numbers go into FILE.json [runs.html]")
    return parser

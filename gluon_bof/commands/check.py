"""gluon-bof check DATASET: read a whole set, decode every image, report what is in it and what is wrong."""
from __future__ import annotations

import json
import sys
from collections import Counter
from dataclasses import asdict
from typing import Sequence

from gluon_bof.commands.flags import add_set, refuse_no_page
from gluon_bof.data.check import format_report, open_parts, report_of
from gluon_bof.data.sets import refuse_output
from gluon_bof.errors import UserError, user_facing
from gluon_bof.files import numbers_beside
from gluon_bof.options.flags import Parser, at_least


@user_facing
def main(argv: Sequence[str]) -> int:
    """The command: report on stderr, one JSON object as last line of stdout. Returns 0, or 1 if there are faults."""
    arguments = build_parser().parse_args(argv)
    at_least(arguments, "num_workers", 0)
    if arguments.report and not arguments.weights:
        raise UserError("--report shows what a trained network doubts", remedy="name the network: --with WEIGHTS")
    if arguments.report:
        refuse_no_page(arguments.report)
    weights = _resolved(arguments.weights) if arguments.weights else None
    sets, errors = open_parts(arguments.dataset, arguments.dataset_root, arguments.classes or None, arguments.split,
                              arguments.layout, arguments.val_share, arguments.masks)
    for path in (arguments.report, numbers_beside(arguments.report)) if arguments.report else ():
        for found in sets.values():
            refuse_output(path, found)
    report = report_of(arguments.dataset, sets, errors)
    print(format_report(report), file=sys.stderr)
    outcome = _summary(report)
    if weights:
        from gluon_bof.evaluation.doubts import doubt_set
        try:
            outcome["suspects"], text = doubt_set(weights, arguments.dataset, sets, report.faults, arguments.report,
                                                  arguments.num_workers)
        except UserError:
            print(json.dumps(outcome), flush=True)  # what was found in the set holds all the same
            raise
        print(text, file=sys.stderr)
    print(json.dumps(outcome))
    return 1 if report.faults else 0


def build_parser() -> Parser:
    """The command's parser."""
    parser = Parser("gluon-bof check", description=__doc__.split(": ", 1)[1])
    add_set(parser)
    parser.add_argument("--split", default=None, help="read this split; default: the training and validation parts")
    parser.add_argument("--masks", action="store_true", help="read the mask of each box, too, as Mask R-CNN's training does")
    parser.add_argument("--with", dest="weights", default=None, metavar="WEIGHTS",
                        help="also list the labels that this trained network doubts: a run's folder, a .params file, or a name")
    parser.add_argument("--report", default=None, metavar="FILE.html",
                        help="show them on a page (with --with); its numbers go into FILE.json")
    parser.add_argument("--num-workers", "-j", type=int, default=0, help="data workers of --with [0]")
    return parser


def _resolved(weights):
    """What --with means, before the set is read."""
    from gluon_bof.weights.resolve import resolve
    found = resolve(weights)
    found.require_detector()
    return found


def _summary(report):
    whole = asdict(report)
    counts = whole.pop("boxes_per_image")
    whole["unannotated"] = len(report.unannotated)
    return dict(whole, boxes=report.boxes, in_both_parts=len(report.in_both_parts), most_boxes_in_an_image=max(counts),
                duplicates=sum(len(group) - 1 for group in report.duplicates),
                faults=len(report.faults), faults_by_kind=dict(Counter(fault.kind for fault in report.faults)))

"""gluon-bof evaluate WEIGHTS: a run's folder, a .params file or a model's name, scored on a data set."""
from __future__ import annotations

import json
import math
import sys
from functools import partial
from typing import Any, Sequence

from gluon_bof.commands.flags import (
    TEXTS,
    add_engine,
    add_fields,
    add_tiling,
    add_weights,
    evaluation_fields,
    given_options,
    new_parser,
    refuse_no_page,
)
from gluon_bof.errors import user_facing
from gluon_bof.files import refuse_unwritable
from gluon_bof.inference.tiles import tiling_of
from gluon_bof.options.families import by_name
from gluon_bof.options.flags import Parser, at_least

# help in the place of training's
OF_SCORING = {"dataset": "what is scored on: shapes, vocmini, voc, coco, or a folder of your own in VOC's, COCO's, YOLO's or "
                         "LabelMe's layout; of segmentation its sets",
              "dataset_root": "where a named set lies",
              "val_split": "split(s) to score on, comma-separated (of COCO's layout one)",
              "gpus": "use these GPUs, for example 0,1; '' is the CPU",
              "unannotated": "images without an annotation file (VOC's and LabelMe's layout): leave them out, or score on them "
                             "as negatives",
              "data_shape": "of YOLOv3 and SSD: side of the images in pixels",
              "crop_size": "of segmentation: side in pixels of the squares that images are fitted into"}


@user_facing
def main(argv: Sequence[str]) -> int:
    """Detect and score; the table goes to standard error, the last line on standard output is one JSON object."""
    arguments = build_parser().parse_args(argv)
    at_least(arguments, "sliding_patch", 0)
    tiling = tiling_of(arguments.tile, arguments.overlap)
    if arguments.save_json:
        refuse_unwritable(arguments.save_json)
    if arguments.report:
        refuse_no_page(arguments.report, arguments.save_json)
    from gluon_bof.evaluation.validation import evaluate
    from gluon_bof.evaluation.voc import per_class_table
    found = resolved(arguments)
    outcome = evaluate(found, arguments.save_json, arguments.report, tiling, arguments.engine,
                       partial(_slid, arguments.sliding_patch, tiling, found) if arguments.sliding_patch else None)
    if "miou" in outcome:
        from gluon_bof.evaluation.segmentation import iou_table
        print(iou_table(outcome), file=sys.stderr)
        print(json.dumps(outcome))
        return 0
    values = [math.nan if ap is None else ap for ap in outcome["per_class"].values()]
    print(per_class_table(values, list(outcome["per_class"]), by_name(outcome["family"]).mean_ap), file=sys.stderr)
    print(json.dumps(outcome))
    return 0


def _slid(images, tiling, found, detector, detection_set):
    from gluon_bof.paper.sliding import sliding_patch
    return {"sliding_patch": sliding_patch(detector, detection_set, images, tiling, detection_set.ends_of(found.box_ends))}


def build_parser(everything: bool = False) -> Parser:
    """The command's parser; everything: its help lists a network's parts."""
    parser = new_parser("evaluate", __doc__.split(": ", 1)[1], build_parser)
    add_weights(parser)
    parser.add_argument("--save-json", default="", metavar="FILE", help="write the detections there, in COCO's result format")
    parser.add_argument("--report", default="", metavar="FILE.html", help="write a page there that says why: errors, curves, the "
                                                                          "worst images; its numbers go into FILE.json")
    parser.add_argument("--sliding-patch", type=int, default=0, metavar="IMAGES",
                        help="also slide an object of another image through so many images, and tell how often it and the others "
                             "are found (paper, section 3.1)")
    add_tiling(parser)
    add_engine(parser, "mxnet")
    add_fields(parser, evaluation_fields(), everything, {**TEXTS, **OF_SCORING})
    return parser


def resolved(arguments: Any) -> Any:
    """What the weights of a parsed command line mean; what is not given comes from the run that they lie in."""
    from gluon_bof.weights.resolve import resolve
    given = given_options(arguments, evaluation_fields())
    found = resolve(arguments.weights, given, arguments.last)
    found.refuse_idle(given)
    return found

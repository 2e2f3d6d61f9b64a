"""python -m gluon_bof evaluate WEIGHTS: a run's folder or a .params file, on a data set."""
from __future__ import annotations

import argparse
import dataclasses
import json
import os

from gluon_bof.commands.flags import faster_rcnn_fields
from gluon_bof.errors import UserError, user_facing
from gluon_bof.evaluation.evaluate import evaluate
from gluon_bof.options.flags import Parser, add_flag, at_least
from gluon_bof.options.yolo3 import Yolo3Options

# what of a run's configuration evaluation uses, and may be given on the command line instead
OF_BOTH = ("dataset", "dataset_root", "classes", "on_bad_sample", "val_split", "metric", "num_workers", "gpus")
OF_YOLO3 = ("data_shape", "batch_size")


@user_facing
def main(argv=None):
    """Detect and score; the table goes to standard error, the last line on standard output is one JSON object."""
    options, weights = read_arguments(argv)
    outcome = evaluate(options, weights)
    print(json.dumps(outcome), flush=True)


def read_arguments(argv):
    """(options, path of the weights): what is not given comes from the run that the weights lie in."""
    parser = Parser(prog="python -m gluon_bof evaluate", description=__doc__)
    parser.add_argument("weights", help="a run's folder (its best weights), a .params file, shapes (the package's own), or "
                                           "GluonCV's name of a pretrained model")
    parser.add_argument("--last", action="store_true", help="of a run: its last weights, not its best")
    add_flag(parser, "network", {"help": "of a .params file outside a run: its network"}, None)
    of_yolo3 = [field for field in dataclasses.fields(Yolo3Options) if field.name in OF_BOTH + OF_YOLO3]
    for field in of_yolo3 + faster_rcnn_fields():
        add_flag(parser, field.name, field.metadata, field.default)
    parser.add_argument("--save-json", default="", help="write the detections there, in COCO's result format")
    given = vars(parser.parse_args(argv))
    from gluon_bof.weights.resolve import find
    weights, last, save = given.pop("weights"), given.pop("last"), given.pop("save_json")
    if save and (os.path.isdir(save) or not os.path.isdir(os.path.dirname(save) or ".")):
        raise UserError("no file can be written there", save, "give a file's path in a folder that exists")
    options, weights, run = find(weights, given, last)
    at_least(options, "batch_size", 1)
    return argparse.Namespace(options=options, save=save, run=run), weights

"""python -m gluon_bof figure N: draw a figure of the paper, 1 to 9, as figure-N.png with its numbers in figure-N.csv."""
from __future__ import annotations

import importlib
import json
import os
import sys

from gluon_bof.errors import UserError, user_facing
from gluon_bof.options.flags import Parser

# number: (module with add_flags(parser) and draw(given), what it shows); a module is imported only when it draws
FIGURES = {
    1: ("throughput", "accuracy and throughput of detectors"),
    2: ("mixup", "mixup of classification: two resized images and their labels"),
    3: ("mixup", "geometry-preserved mixup for detection, beside that of classification"),
    4: ("ratios", "densities of the distributions that mix ratios are drawn from"),
    5: ("elephant", "the elephant in the room: an object slid through an image, and what is missed then"),
    6: ("schedules", "step and cosine schedule with warm-up; validation mAP of runs"),
    7: ("detections", "detections drawn on images"),
    8: ("classes", "AP of every class with and without the freebies, YOLOv3"),
    9: ("classes", "AP of every class with and without the freebies, Faster R-CNN"),
}
WITH_WEIGHTS = (1, 5, 7, 8, 9)  # these pass what is not theirs on to `evaluate`
FURTHER = "Further flags are those of python -m gluon_bof evaluate, such as --network, --classes, --dataset, --gpus, --last."


@user_facing
def main(argv=None):
    """Draw one figure; the last line on standard output is one JSON object with its files and its key number."""
    argv = list(sys.argv[1:] if argv is None else argv)
    if not argv or argv[0] in ("-h", "--help"):
        print("python -m gluon_bof figure N …, figure N --help tells more\n")
        for number, (_, text) in FIGURES.items():
            print(f"  {number}  {text}")
        return
    given, module = read_request(argv)
    _prepare(given.out)  # before the work, which may be hours of evaluation

    from gluon_bof.paper.figures import page
    with page.look():
        drawn = module.draw(given)
        png, csv = page.save(drawn, given.out, given.figure)
    print(json.dumps({"figure": given.figure, "png": png, "csv": csv, **drawn.numbers}, allow_nan=False), flush=True)


def read_request(argv):
    """(arguments, the figure's module). `given.evaluation` holds the flags that are meant for `evaluate`."""
    if not (argv[0].isdigit() and int(argv[0]) in FIGURES):
        raise UserError(f"no figure {argv[0]!r}", remedy=f"the number comes first: 1 to {max(FIGURES)}")
    number = int(argv[0])
    name, text = FIGURES[number]
    module = importlib.import_module(f"gluon_bof.paper.figures.{name}")
    parser = Parser(prog=f"python -m gluon_bof figure {number}", description=f"Figure {number}: {text}.",
                     epilog=FURTHER if number in WITH_WEIGHTS else None, allow_abbrev=False)
    parser.set_defaults(figure=number)
    module.add_flags(parser)
    parser.add_argument("--out", default="figures", help="folder for the PNG and the CSV [figures]")
    given, given.evaluation = parser.parse_known_args(argv[1:])
    if given.evaluation and number not in WITH_WEIGHTS:
        parser.error(f"unrecognized arguments: {' '.join(given.evaluation)}")
    return given, module


def _prepare(folder):
    os.makedirs(folder, exist_ok=True)
    if not os.access(folder, os.W_OK):
        raise UserError("the folder cannot be written", folder, "choose another place with --out")

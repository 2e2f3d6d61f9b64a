"""gluon-bof figure N: draw a figure of the paper, 1 to 9, or a named one, as figure-N.png with its numbers in figure-N.csv."""
from __future__ import annotations

import dataclasses
import importlib
import json
from types import ModuleType
from typing import Any, Sequence

from gluon_bof.commands.evaluate import build_parser as evaluation_parser
from gluon_bof.commands.flags import evaluation_fields, given_options
from gluon_bof.errors import UserError, user_facing
from gluon_bof.files import prepare_folder, refuse_unwritable
from gluon_bof.options.flags import Parser, add_flag, add_subparsers, flag_name

# number or name: (module with Options and draw(given), what it shows); a module is imported only when it draws
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
    "transposed-convolution": ("transposed_convolution", "a convolution as a matrix, and its transpose"),
    "upsampling": ("upsampling", "mean IoU of a U-Net by its way of upsampling, three seeds each"),
    "families": ("families", "where the time goes: R-CNN, Fast R-CNN, Faster R-CNN, SSD and YOLOv3 on the same images"),
    "optimizers": ("optimizers", "six optimizers on hard surfaces and on a training; L-BFGS on a head"),
}
WITH_WEIGHTS = (1, 5, 7, 8, 9, "families")  # these pass what is not theirs on to `evaluate`
FURTHER = ("Further flags are those of gluon-bof evaluate that say which networks and which data set are meant, such as "
           "--network, --classes, --dataset, --gpus, --last.")


@user_facing
def main(argv: Sequence[str]) -> int:
    """Draw one figure; the last line on standard output is one JSON object with its files and its key number."""
    argv = list(argv)
    if not argv or argv[0] in ("-h", "--help"):
        print("gluon-bof figure N …, figure N --help tells more\n")
        for number, (_, text) in FIGURES.items():
            print(f"  {number:22}  {text}")
        return 0
    given, module = read_request(argv)
    prepare_folder(given.out)  # before the work, which may be hours of evaluation

    from gluon_bof.paper.figures import page
    words = [word for value in vars(given).values() for word in (value if isinstance(value, tuple) else [value])]
    for path in page.paths(given.out, given.figure):
        refuse_unwritable(path, reads=[word for word in words if isinstance(word, str)])
    with page.look():
        drawn = module.draw(given)
        png, csv = page.save(drawn, given.out, given.figure)
    print(json.dumps({"figure": given.figure, "png": png, "csv": csv, **drawn.numbers}, allow_nan=False))
    return 0


def read_request(argv: Sequence[str]) -> tuple[Any, ModuleType]:
    """(the figure's Options, its module)."""
    number = int(argv[0]) if argv[0].isdecimal() else argv[0]
    if number not in FIGURES:
        raise UserError(f"no figure {argv[0]!r}", remedy=f"its number or name comes first: {', '.join(map(str, FIGURES))}")
    module = _module(number)
    parser = figure_parser(number)
    given, rest = parser.parse_known_args(argv[1:])
    if rest and number not in WITH_WEIGHTS:
        parser.error(f"unrecognized arguments: {' '.join(rest)}")
    values = {name: tuple(value) if isinstance(value, list) else value for name, value in vars(given).items()}
    of_evaluation = _further(number, rest)
    return module.Options(figure=number, last=of_evaluation.last, **values,
                          evaluation=given_options(of_evaluation, evaluation_fields())), module


def _further(number, words):
    """The words that are not the figure's own, as `evaluate` takes them. Raises UserError for those that do nothing here."""
    given, default = (evaluation_parser().parse_args(["WEIGHTS", *some]) for some in (words, ()))
    known = {"last", *(field.name for field in evaluation_fields())}
    idle = [flag_name(name) for name, value in vars(given).items() if name not in known and value != getattr(default, name)]
    if idle:
        raise UserError(f"{', '.join(idle)}: figure {number} has no such flag", remedy="leave it out")
    return given


def figure_parser(number: int | str) -> Parser:
    """The parser of a figure."""
    parser = Parser(prog=f"gluon-bof figure {number}", description=f"Figure {number}: {FIGURES[number][1]}.",
                    epilog=FURTHER if number in WITH_WEIGHTS else None, allow_abbrev=False)
    for field in dataclasses.fields(_module(number).Options):
        add_flag(parser, field)
    return parser


def build_parser() -> Parser:
    """The command's parser, for completion: the numbers are its sub-commands."""
    parser = Parser("gluon-bof figure", description=__doc__.split(": ", 1)[1])
    add_subparsers(parser, {str(number): (figure_parser(number), text) for number, (_, text) in FIGURES.items()})
    return parser


def _module(number):
    return importlib.import_module(f"gluon_bof.paper.figures.{FIGURES[number][0]}")

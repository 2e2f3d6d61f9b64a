"""The flags of commands that open a trained network: which weights, and what a file outside a run does not tell."""
from __future__ import annotations

import dataclasses
import os
from typing import Any, Mapping, Sequence

from gluon_bof.errors import UserError
from gluon_bof.files import numbers_beside, refuse_same, refuse_unwritable
from gluon_bof.options import families
from gluon_bof.options.flags import Parser, add_flag, add_help_all, flag
from gluon_bof.options.training import DetectionOptions


@dataclasses.dataclass(frozen=True)
class _OfFile:
    """What no options hold and only a file outside a run needs."""

    family: str = flag("", "of a .params file outside a run: its family, where several have its --network and the file's name "
                           "does not tell", choices=tuple(family.name for family in families.inferring()))


PAGES = (".html", ".htm")
WEIGHTS = ("a run's folder (its best weights), a .params file of ours or GluonCV's, shapes (the package's own), or GluonCV's "
           "name of a pretrained model")
# help in the place of the options'. Nothing of it need be given for a run's weights, so none ends with training's default
TEXTS = {"network": "of a .params file outside a run: its network",
         "dataset": "of a .params file outside a run: voc or coco, whose classes and settings it was trained with",
         "classes": "of a .params file outside a run: " +
                    DetectionOptions.__dataclass_fields__["classes"].metadata["help"].split(";")[0]}


def evaluation_fields() -> list[dataclasses.Field]:
    """The options that evaluation may be told in place of what a run's configuration says, of all families."""
    return _fields(lambda field: field.name == "network" or field.metadata.get("evaluates") or field.metadata.get("part"))


def building_fields() -> list[dataclasses.Field]:
    """The options that build a network, of all families."""
    return _fields(lambda field: field.name in TEXTS or field.metadata.get("part") or field.metadata.get("builds"))


def _fields(wanted):
    found = {field.name: [field] for field in dataclasses.fields(_OfFile)}
    for family in families.inferring():
        for field in dataclasses.fields(family.options):
            if wanted(field) and not field.metadata.get("hidden"):
                found.setdefault(field.name, []).append(field)
    return [_united(fields) for fields in found.values()]


def _united(fields):
    """One field that takes what any of these of one name does: `weights.resolve` refuses what its family does not."""
    field = next((field for field in fields if field.metadata.get("kind")), fields[0])
    choices = tuple(dict.fromkeys(choice for each in fields for choice in each.metadata.get("choices") or ()))
    united = dataclasses.field(default=field.default, metadata={**field.metadata, **({"choices": choices} if choices else {})})
    united.name = field.name
    return united


def add_fields(parser: Parser, fields: Sequence[dataclasses.Field], everything: bool, texts: Mapping[str, str] = TEXTS) -> None:
    """Give a parser these options' flags; everything: those of the network's parts are shown in its help."""
    group = parser.add_argument_group("parts of a network, of a .params file outside a run") if everything else parser
    for field in fields:
        is_part = field.metadata.get("part", False)
        how = {"choices": None} if field.name == "network" else {}
        add_flag(group if is_part else parser, field, everything or not is_part, texts.get(field.name), with_default=False,
                 **how)


def new_parser(command: str, description: str, build: Any) -> Parser:
    """A command's parser with --help-all, whose help is that of build(everything=True)."""
    parser = Parser(prog=f"gluon-bof {command}", description=description,
                    epilog="What is not given is the run's own; outside a run, what the name of WEIGHTS tells, else the default "
                           "of gluon-bof train. --help-all also lists the flags that tell how a network outside a run was built.")
    add_help_all(parser, lambda: build(everything=True))
    return parser


def add_weights(parser: Parser) -> None:
    """WEIGHTS and --last."""
    parser.add_argument("weights", metavar="WEIGHTS", help=WEIGHTS)
    parser.add_argument("--last", action="store_true", help="of a run: its last weights, not its best")


def add_tiling(parser: Parser) -> None:
    """--tile and --overlap."""
    parser.add_argument("--tile", type=int, metavar="PIXELS",
                        help="for small objects in large images: look at slices of this side, such as 640, too, and merge what "
                             "all show [the whole image alone]")
    parser.add_argument("--overlap", type=float, metavar="X", help="share of a tile that neighbours have in common [0.2]")


def add_engine(parser: Parser, default: str) -> None:
    """--engine."""
    parser.add_argument("--engine", choices=("auto", "mxnet", "onnx"), default=default,
                        help="what computes a detector's network: MXNet; its export in onnxruntime, on the CPU; or, where there "
                             "is enough to do, the faster of both, whose scores and masks are the same to 1e-4; a segmenter's "
                             f"is computed by MXNet [{default}]")


def given_options(arguments: Any, fields: Sequence[dataclasses.Field]) -> dict[str, Any]:
    """{option: value} of those that were given."""
    return {field.name: getattr(arguments, field.name) for field in fields if hasattr(arguments, field.name)}


def add_set(parser: Parser, metavar: str = "DATASET") -> None:
    """The set that a command reads: its name or folder, --dataset-root and --classes; --layout and --val-share as training has
    them."""
    parser.add_argument("dataset", metavar=metavar,
                        help="shapes, vocmini, voc, coco, or a folder of VOC's, COCO's, YOLO's or LabelMe's layout")
    parser.add_argument("--dataset-root", default=None, help="where a named set lies; default: GluonCV's folder")
    parser.add_argument("--classes", default=None, help="class names, comma-separated, or a text file of one a line; "
                                                        "boxes of others are faults")
    fields = DetectionOptions.__dataclass_fields__
    parser.add_argument("--layout", default="auto", choices=fields["layout"].metadata["choices"],
                        help=fields["layout"].metadata["help"].replace("--dataset", metavar))
    parser.add_argument("--val-share", default=0.0, type=float, metavar="X", help=fields["val_share"].metadata["help"])


def refuse_no_page(path: str, *others: str, reads: Sequence[str] = ()) -> None:
    """Raise UserError where no page can be written at that path, and where it or its numbers, which go into a .json beside it,
    would take the place of another file that is written, one of `others`, of one of those that are read, or of a file that is no
    page's."""
    if os.path.splitext(path)[1].lower() not in PAGES:
        raise UserError("a page's name ends in .html", path, "for example report.html")
    numbers = numbers_beside(path)
    for place in (path, numbers):
        refuse_unwritable(place, reads=reads)
    refuse_same(path, numbers, *others)
    if os.path.exists(numbers) and not os.path.exists(path):
        raise UserError("it would be replaced by the page's numbers", numbers, f"remove it, or give another name than {path}")

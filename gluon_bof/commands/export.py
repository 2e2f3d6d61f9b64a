"""gluon-bof export WEIGHTS --to FILE: a network for other programs, as ONNX or as MXNet's symbol and parameters."""
from __future__ import annotations

import argparse
import json
import sys
from typing import Sequence

from gluon_bof.commands.flags import add_fields, add_weights, building_fields, given_options, new_parser
from gluon_bof.errors import UserError, user_facing
from gluon_bof.files import output_path, refuse_unwritable
from gluon_bof.options.families import family_of
from gluon_bof.options.flags import Parser


@user_facing
def main(argv: Sequence[str]) -> int:
    """Export and check; the last line on standard output is one JSON object."""
    arguments = build_parser().parse_args(argv)
    if arguments.size and arguments.short:
        raise UserError("--size and --short are two ways to say one thing", remedy="give one")
    reads = (arguments.weights, *arguments.verify_on)
    refuse_unwritable(arguments.to, reads=reads)
    size = parse_size(arguments.size) if arguments.size else None

    from gluon_bof.data.images import as_image
    from gluon_bof.inference.agreement import BOX_TOLERANCE, SCORE_TOLERANCE
    from gluon_bof.inference.export import MXNET_ENDINGS, input_size, require_onnx
    from gluon_bof.inference.model import open_model
    from gluon_bof.inference.segmentation_model import SegmentationModel
    if arguments.format == "onnx":
        require_onnx("for a detector give --format mxnet")  # before weights are read, or even downloaded
    else:
        output_path(arguments.to, endings=MXNET_ENDINGS, reads=reads)
    images = list(map(as_image, arguments.verify_on))  # before the work that would be lost
    model = open_model(arguments.weights, "cpu", arguments.short, arguments.nms, arguments.last,
                       **given_options(arguments, building_fields()))
    segments = isinstance(model, SegmentationModel)
    check = model.write(arguments.to, arguments.format, size, not arguments.no_nms, images)
    other, scores, boxes = ("onnxruntime", SCORE_TOLERANCE, BOX_TOLERANCE) if arguments.format == "onnx" else ("the files", 0, 0)
    if segments:
        print(f"MXNet and {other} on {check.images} images, {check.pixels} pixels: probabilities differ by up to "
              f"{check.score_difference:.1e} (accepted {scores}), the class at {check.other_labels} pixels", file=sys.stderr)
    else:
        masks = " and masks" * family_of(model.detector.options).masks
        print(f"MXNet and {other} on {check.images} images, {check.detections} rows: scores{masks} differ by up to "
              f"{check.score_difference:.1e} (accepted {scores}), boxes by up to {check.box_difference:.1e} pixels "
              f"(accepted {boxes}), without a partner {check.unmatched}", file=sys.stderr)
    print(json.dumps({"weights": arguments.weights, "format": arguments.format, "to": arguments.to,
                      "size": input_size(model.segmenter if segments else model.detector, size),
                      "post_processing": not (arguments.no_nms or segments),
                      **check._asdict()}))
    return 0


def build_parser(everything: bool = False) -> Parser:
    """The command's parser; everything: its help lists a network's parts."""
    parser = new_parser("export", __doc__.split(": ", 1)[1], build_parser)
    add_weights(parser)
    parser.add_argument("--to", required=True, metavar="FILE", help="the ONNX file; or the beginning of MXNet's files' names")
    parser.add_argument("--format", choices=("onnx", "mxnet"), default="onnx", help="[onnx]")
    parser.add_argument("--size", help="height and width of the input, for example 416,416 [that of validation]")
    parser.add_argument("--short", type=int, help="test size in pixels: the side of YOLOv3, SSD or a segmenter, an R-CNN's "
                                                  "shorter one [that of validation]")
    parser.add_argument("--nms", type=float, help="IoU above which the worse of two boxes of a class goes [the network's]")
    parser.add_argument("--no-nms", action="store_true", help="leave out the last suppression of overlapping boxes")
    parser.add_argument("--verify-on", nargs="+", default=(), metavar="IMAGE",
                        help="compare on these images, too; four drawn ones always are")
    # names of version 0.1
    parser.add_argument("--no-post", dest="no_nms", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--check", dest="verify_on", nargs="+", default=(), help=argparse.SUPPRESS)
    add_fields(parser, building_fields(), everything)
    return parser


def parse_size(text: str) -> tuple[int, int]:
    """(height, width) of "416,608". Raises UserError."""
    try:
        height, width = (int(word) for word in text.split(","))
    except ValueError:
        raise UserError(f"--size {text} is not a height and a width", remedy="for example 416,608") from None
    return height, width

"""python -m gluon_bof export WEIGHTS --to FILE: a network for other programs, as ONNX or as MXNet's symbol and parameters."""
from __future__ import annotations

import json
import os
import sys

from gluon_bof.commands.flags import add_network_flags, option_values
from gluon_bof.errors import UserError, user_facing
from gluon_bof.options.flags import Parser


@user_facing
def main(argv=None):
    """Export and check; the last line on standard output is one JSON object."""
    arguments = _parser().parse_args(argv)
    if arguments.size and arguments.short:
        raise UserError("--size and --short are two ways to say one thing", remedy="give one")
    folder = os.path.dirname(os.path.abspath(arguments.to))
    if not os.path.isdir(folder) or os.path.isdir(arguments.to):
        raise UserError("no file can be written there", arguments.to, "give a file's path in a folder that exists")
    size = parse_size(arguments.size) if arguments.size else None

    from gluon_bof.inference.export import BOX_TOLERANCE, SCORE_TOLERANCE, input_size, onnx_packages
    from gluon_bof.inference.model import load, read_upright

    if arguments.format == "onnx":
        onnx_packages()  # before weights are read, or even downloaded
    images = [read_upright(path) for path in arguments.check]
    model = load(arguments.weights, "cpu", arguments.short, arguments.nms, arguments.last, **option_values(arguments))
    check = model.export(arguments.to, arguments.format, size, not arguments.no_post, images)
    other, scores, boxes = ("onnxruntime", SCORE_TOLERANCE, BOX_TOLERANCE) if arguments.format == "onnx" else ("the files", 0, 0)
    print(f"MXNet and {other} on {check.images} images, {check.detections} rows: scores differ by up to "
          f"{check.score_difference:.1e} (accepted {scores}), boxes by up to {check.box_difference:.1e} pixels "
          f"(accepted {boxes}), without a partner {check.unmatched}", file=sys.stderr)
    print(json.dumps({"weights": arguments.weights, "format": arguments.format, "to": arguments.to,
                      "size": input_size(model.detector, size), "post_processing": not arguments.no_post,
                      **check._asdict()}), flush=True)


def _parser():
    parser = Parser(prog="python -m gluon_bof export", description=__doc__)
    add_network_flags(parser)
    parser.add_argument("--to", required=True, metavar="FILE", help="the ONNX file; or the beginning of MXNet's files' names")
    parser.add_argument("--format", choices=("onnx", "mxnet"), default="onnx", help="[onnx]")
    parser.add_argument("--size", help="height and width of the input, for example 416,416 [that of validation]")
    parser.add_argument("--nms", type=float, help="IoU above which the worse of two boxes of a class goes [the network's]")
    parser.add_argument("--no-post", action="store_true", help="leave out the last suppression of overlapping boxes")
    parser.add_argument("--check", nargs="+", default=(), metavar="IMAGE",
                        help="compare on these images, too; four drawn ones always are")
    return parser


def parse_size(text):
    """(height, width) of "416,608". Raises UserError."""
    try:
        height, width = (int(word) for word in text.split(","))
    except ValueError:
        raise UserError(f"--size {text} is not a height and a width", remedy="for example 416,608") from None
    return height, width


if __name__ == "__main__":
    main()

"""python -m gluon_bof predict WEIGHTS IMAGES… --out DIR: detections drawn into images and videos, as JSON and as CSV."""
from __future__ import annotations

import json
import os

from gluon_bof.commands.flags import add_network_flags, option_values
from gluon_bof.errors import UserError, user_facing
from gluon_bof.inference.predict import predict_all
from gluon_bof.inference.sources import find_sources
from gluon_bof.options.flags import Parser


@user_facing
def main(argv=None):
    """Predict; the last line on standard output is one JSON object."""
    arguments = _parser().parse_args(argv)
    if not 0 <= arguments.score <= 1:
        raise UserError(f"--score {arguments.score} is outside [0, 1]", remedy="0.3 is usual")
    sources = find_sources(arguments.images, arguments.out)
    os.makedirs(arguments.out, exist_ok=True)

    from gluon_bof.inference.model import load

    model = load(arguments.weights, arguments.device, arguments.short, arguments.nms, arguments.last,
                 **option_values(arguments))
    print(json.dumps(predict_all(model, sources, arguments)), flush=True)


def _parser():
    parser = Parser(prog="python -m gluon_bof predict", description=__doc__)
    add_network_flags(parser)
    parser.add_argument("images", nargs="+", metavar="IMAGES", help="files, folders, patterns such as 'a/*.jpg', videos")
    parser.add_argument("--out", required=True, help="folder for the drawn images, detections.json and detections.csv")
    parser.add_argument("--score", type=float, default=0.3, help="least score of what is drawn and written [0.3]")
    parser.add_argument("--nms", type=float, help="IoU above which the worse of two boxes of a class goes [the network's]")
    parser.add_argument("--device", help="cpu, gpu or gpu:N [a GPU if there is one]")
    parser.add_argument("--on-bad-sample", choices=("error", "skip"), default="error",
                        help="what to do about a broken image: stop, or name it and go on [error]")
    return parser


if __name__ == "__main__":
    main()

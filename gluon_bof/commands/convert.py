"""gluon-bof convert IN OUT --to voc|coco|yolo: write a set in another layout, and say what it cannot hold."""
from __future__ import annotations

import json
import sys
from typing import Sequence

from gluon_bof.commands.flags import add_set
from gluon_bof.data.convert import TARGETS, convert_set
from gluon_bof.errors import user_facing
from gluon_bof.options.flags import Parser


@user_facing
def main(argv: Sequence[str]) -> int:
    """The command: what was written and what was not on stderr, one JSON object as last line of stdout."""
    given = build_parser().parse_args(argv)
    made = convert_set(given.dataset, given.out, given.to, given.dataset_root, given.classes or None, given.on_bad_sample,
                       given.unannotated, given.layout, given.val_share, given.copy)
    images = ", ".join(f"{number} images ({part})" for part, number in made.images.items())
    print("\n".join([f"{given.out}: {images}, {made.boxes} boxes of {len(made.classes)} classes, read back equal",
                     *made.notes]), file=sys.stderr)
    print(json.dumps({"out": given.out, **made._asdict()}))
    return 0


def build_parser() -> Parser:
    """The command's parser."""
    parser = Parser("gluon-bof convert", description=__doc__.split(": ", 1)[1])
    parser.add_argument("--to", required=True, choices=TARGETS, help="the layout to write")
    add_set(parser, "IN")
    parser.add_argument("out", metavar="OUT", help="the folder to write, which is new or empty")
    parser.add_argument("--on-bad-sample", default="error", choices=("error", "skip"),
                        help="what to do about broken images and faulty boxes: stop, or leave them out and count them")
    parser.add_argument("--unannotated", default="skip", choices=("skip", "negative"),
                        help="images without an annotation file: leave them out, or write them as images without boxes")
    parser.add_argument("--copy", action="store_true", help="copy the images; default: hard links, where they can be")
    return parser

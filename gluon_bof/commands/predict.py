"""gluon-bof predict WEIGHTS IMAGES… --out DIR: detections drawn into images and videos, as JSON and as CSV."""
from __future__ import annotations

import json
from typing import Sequence

from gluon_bof.commands.flags import add_engine, add_fields, add_tiling, add_weights, building_fields, given_options, new_parser
from gluon_bof.errors import user_facing
from gluon_bof.inference.sources import find_sources
from gluon_bof.inference.tiles import tiling_of
from gluon_bof.options.flags import Parser, fraction


@user_facing
def main(argv: Sequence[str]) -> int:
    """Predict; the last line on standard output is one JSON object."""
    arguments = build_parser().parse_args(argv)
    score = fraction("score", 0.3 if arguments.score is None else arguments.score, 0.3)
    tiling = tiling_of(arguments.tile, arguments.overlap)
    sources = find_sources(arguments.images, arguments.out)

    from gluon_bof.inference.model import open_model
    from gluon_bof.inference.predict import predict_all
    from gluon_bof.inference.segmentation_model import SegmentationModel, refuse_of_segmenters
    model = open_model(arguments.weights, arguments.device, arguments.short, arguments.nms, arguments.last, arguments.engine,
                       **given_options(arguments, building_fields()))
    skips = arguments.on_bad_sample == "skip"
    if isinstance(model, SegmentationModel):
        from gluon_bof.inference.segment import segment_all
        refuse_of_segmenters(score=arguments.score, tile=tiling)
        found = segment_all(model, sources, arguments.out, skips)
    else:
        found = predict_all(model, sources, arguments.out, score, skips, tiling)
    print(json.dumps({"weights": arguments.weights, **found}))
    return 0


def build_parser(everything: bool = False) -> Parser:
    """The command's parser; everything: its help lists a network's parts."""
    parser = new_parser("predict", __doc__.split(": ", 1)[1], build_parser)
    add_weights(parser)
    parser.add_argument("images", nargs="+", metavar="IMAGES", help="files, folders, patterns such as 'a/*.jpg', videos")
    parser.add_argument("--out", required=True, help="folder for the drawn images, detections.json and detections.csv")
    parser.add_argument("--score", type=float, help="least score of what is drawn and written [0.3]")
    parser.add_argument("--nms", type=float, help="IoU above which the worse of two boxes of a class goes [the network's]")
    parser.add_argument("--short", type=int, help="test size in pixels: the side of YOLOv3, SSD or a segmenter, an R-CNN's "
                                                  "shorter one [that of validation]")
    add_tiling(parser)
    add_engine(parser, "auto")
    parser.add_argument("--device", help="cpu, gpu or gpu:N [a GPU if there is one]")
    parser.add_argument("--on-bad-sample", choices=("error", "skip"), default="error",
                        help="what to do about a broken image: stop, or name it and go on [error]")
    add_fields(parser, building_fields(), everything)
    return parser

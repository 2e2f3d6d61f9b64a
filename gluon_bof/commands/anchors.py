"""gluon-bof anchors DATASET: fit YOLOv3's nine anchors to a set's boxes, beside the default ones."""
from __future__ import annotations

import json
import sys
from typing import Sequence

import numpy as np

from gluon_bof.commands.flags import add_set
from gluon_bof.data.anchors import LARGEST, STRIDES, box_sizes, default_anchors, fit_anchors, quality, write_anchors
from gluon_bof.data.sets import open_set, refuse_output
from gluon_bof.errors import UserError, user_facing
from gluon_bof.files import refuse_same, refuse_unwritable
from gluon_bof.options.flags import Parser, at_least, check_seed
from gluon_bof.visualization.anchors import draw


@user_facing
def main(argv: Sequence[str]) -> int:
    """The command: the table goes to standard error, the last line on standard output is one JSON object."""
    given = build_parser().parse_args(argv)
    if not 32 <= given.data_shape <= LARGEST or given.data_shape % 32:
        raise UserError(f"--data-shape {given.data_shape} is not a multiple of 32", remedy="for example 416")
    at_least(given, "starts", 1)
    check_seed(given)
    outputs = tuple(filter(None, (given.out, given.plot)))
    for path in outputs:
        refuse_unwritable(path, reads=(given.classes, given.dataset))
    refuse_same(*outputs)
    found = open_set(given.dataset, given.dataset_root, "train", given.classes or None, given.on_bad_sample, given.split,
                     layout=given.layout, val_share=given.val_share)
    for path in outputs:
        refuse_output(path, found)
    sizes = box_sizes(found.records, given.data_shape)
    anchors = fit_anchors(sizes, given.starts, given.seed, first=default_anchors())
    fitted, default = quality(sizes, anchors), quality(sizes, default_anchors())
    summary = {"dataset": given.dataset, "boxes": len(sizes), "seed": given.seed, "mean_best_iou": fitted.mean_iou,
               "mean_best_iou_of_default": default.mean_iou, "recall": fitted.recall, "recall_of_default": default.recall}
    write_anchors(given.out, anchors, given.data_shape, **summary)
    print(_table(given, anchors, fitted, default, len(sizes)), file=sys.stderr)
    if given.plot:
        draw(given.plot, sizes, anchors, f"{given.dataset}: {len(sizes)} boxes at {given.data_shape} x {given.data_shape}, "
             f"mean best IoU {fitted.mean_iou:.3f} (default anchors {default.mean_iou:.3f})")
    print(json.dumps({**summary, "data_shape": given.data_shape, "anchors": anchors.tolist(), "out": given.out,
                      "plot": given.plot}))
    return 0


def build_parser() -> Parser:
    """The command's parser."""
    parser = Parser("gluon-bof anchors", description=__doc__.split(": ", 1)[1])
    add_set(parser)
    parser.add_argument("--split", default=None, help="split(s) whose boxes count; default: those that are trained on")
    parser.add_argument("--on-bad-sample", default="error", choices=("error", "skip"),
                        help="what to do about faulty boxes: stop, or leave them out")
    parser.add_argument("--data-shape", type=int, default=416, help="side of the images that will be trained on [416]")
    parser.add_argument("--starts", type=int, default=10, help="beginnings of k-means, the best of which counts [10]")
    parser.add_argument("--seed", type=int, default=233, help="what the beginnings are drawn from [233]")
    parser.add_argument("--out", default="anchors.json", metavar="FILE.json", help="where to write them [anchors.json]")
    parser.add_argument("--plot", default=None, metavar="FILE.png", help="also draw boxes and anchors")
    return parser


def _table(given, anchors, fitted, default, count):
    lines = [f"{given.dataset}: {count} boxes, in pixels at {given.data_shape} x {given.data_shape}", "",
             "stride          fitted   boxes  mean IoU         default   boxes  mean IoU"]
    for row, (ours, theirs) in enumerate(zip(anchors, default_anchors())):
        columns = (f"{size[0]:7.1f} x {size[1]:5.1f}{100 * kind.share[row]:6.1f} %  {_number(kind.mean_iou_of[row]):>8}"
                   for size, kind in ((ours, fitted), (theirs, default)))
        lines.append(f"{STRIDES[row // 3]:6}  " + "  ".join(columns))
    lines += ["", f"mean best IoU   {fitted.mean_iou:.4f}, of the default anchors {default.mean_iou:.4f}",
              f"best IoU > 0.5  {100 * fitted.recall:.1f} % of the boxes, of the default anchors {100 * default.recall:.1f} %",
              f"{given.out}: written"]
    return "\n".join(lines)


def _number(value):
    return "" if np.isnan(value) else f"{value:.3f}"

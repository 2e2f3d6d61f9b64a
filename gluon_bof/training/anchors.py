"""What --anchors means: a file, the numbers of one, or those of the run that --transfer names. No MXNet in here."""
from __future__ import annotations

import dataclasses
import os

from gluon_bof.data.anchors import read_anchors
from gluon_bof.errors import UserError
from gluon_bof.options import CONFIG, read_config


def settle_anchors(options):
    """The options with `anchors` as 18 numbers, as a run's configuration keeps them: of the file that --anchors names, or of
    the run that --transfer names. Raises UserError for a file that does not hold nine pairs."""
    text = options.anchors
    if not text and os.path.exists(options.transfer):
        folder = options.transfer if os.path.isdir(options.transfer) else os.path.dirname(os.path.abspath(options.transfer))
        text = read_config(folder)["options"].get("anchors", "") if os.path.isfile(os.path.join(folder, CONFIG)) else ""
    if not text or _is_settled(text):
        return dataclasses.replace(options, anchors=text)
    return dataclasses.replace(options, anchors=",".join(f"{side:g}" for row in read_anchors(text) for side in row))


def _is_settled(text):
    """Whether this is what a configuration keeps, and not the name of a file."""
    try:
        sides = [float(word) for word in text.split(",")]
    except ValueError:
        return False
    if len(sides) != 18 or not all(0 < side < 1e4 for side in sides):
        raise UserError(f"--anchors {text}: these are not nine widths and heights above 0",
                        remedy="write them with python -m gluon_bof anchors DATASET")
    return True

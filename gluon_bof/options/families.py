"""Which detector families there are."""
from __future__ import annotations

import dataclasses

from gluon_bof.errors import UserError
from gluon_bof.options.faster_rcnn import NETWORKS, FasterRcnnOptions
from gluon_bof.options.yolo3 import Yolo3Options


def options_class(network):
    """The class of options that a network's name belongs to."""
    return FasterRcnnOptions if isinstance(network, str) and network in NETWORKS else Yolo3Options


def _require_known(given, kind):
    """Raise UserError where one of the given options is another detector's, or none."""
    known = {field.name for field in dataclasses.fields(kind)}
    foreign = [f"--{name.replace('_', '-')}" for name in given if name not in known]
    if foreign:
        detector = "Faster R-CNN" if kind is FasterRcnnOptions else "YOLOv3"
        raise UserError(f"{detector} has no {', '.join(foreign)}", remedy="leave it out, or give the --network that is meant")

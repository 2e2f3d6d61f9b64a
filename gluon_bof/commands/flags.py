"""The flags of commands that open a trained network: which weights, and what a file outside a run does not tell."""
from __future__ import annotations

import dataclasses

from gluon_bof.options.faster_rcnn import FasterRcnnOptions
from gluon_bof.options.flags import add_flag
from gluon_bof.options.training import TrainingOptions

OF_FASTER_RCNN = ("use_fpn", "norm_layer")
TOLD = {"network": {"help": "of a .params file outside a run: its network"},
        "dataset": {"help": "of a .params file outside a run: voc or coco, whose classes and settings it was trained with"},
        "classes": {"help": TrainingOptions.__dataclass_fields__["classes"].metadata["help"].split(";")[0]}}


def add_network_flags(parser):
    """weights, --last, --short, and the options that build a network, unset where they are not given."""
    parser.add_argument("weights", metavar="WEIGHTS", help="a run's folder (its best weights), a .params file of ours or "
                                                           "GluonCV's, or GluonCV's name of a pretrained model")
    parser.add_argument("--last", action="store_true", help="of a run: its last weights, not its best")
    parser.add_argument("--short", type=int, help="test size in pixels: YOLOv3's side, or Faster R-CNN's shorter side "
                                                  "[that of validation]")
    for name, how in TOLD.items():
        add_flag(parser, name, how, None)
    for field in faster_rcnn_fields():
        add_flag(parser, field.name, field.metadata, field.default)


def option_values(arguments):
    """{option: value} of those that were given."""
    names = [*TOLD, *(field.name for field in faster_rcnn_fields())]
    return {name: getattr(arguments, name) for name in names if hasattr(arguments, name)}


def faster_rcnn_fields():
    """The fields of its options that build a Faster R-CNN."""
    return [field for field in dataclasses.fields(FasterRcnnOptions)
            if field.name in OF_FASTER_RCNN or field.metadata.get("custom")]

"""Options as the training scripts get them from a command line."""
from __future__ import annotations

from gluon_bof.options.faster_rcnn import FasterRcnnOptions
from gluon_bof.options.flags import parse
from gluon_bof.options.mask_rcnn import MaskRcnnOptions
from gluon_bof.options.recipes import RECIPES
from gluon_bof.options.yolo3 import Yolo3Options


def faster_rcnn_options(*words):
    """Resolved FasterRcnnOptions of a command line, each argument one word or several."""
    argv = [word for argument in words for word in argument.split()]
    return parse(FasterRcnnOptions, argv, "", RECIPES.of_family("faster_rcnn")).options.resolved()


def yolo3_options(*words):
    """The same of Yolo3Options; each argument is one word."""
    return parse(Yolo3Options, list(words), "", RECIPES.of_family("yolo3")).options.resolved()


def mask_rcnn_options(*words):
    """Resolved MaskRcnnOptions of a command line, each argument one word or several."""
    argv = [word for argument in words for word in argument.split()]
    return parse(MaskRcnnOptions, argv, "", RECIPES.of_family("mask_rcnn")).options.resolved()

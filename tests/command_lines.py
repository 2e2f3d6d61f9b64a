"""Options as the training scripts get them from a command line."""
from __future__ import annotations

import json

import pytest

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


def answer_of(main, capsys, *words):
    """(the JSON that a command's main(argv) printed, and nothing else, what it told on standard error)."""
    assert main([str(word) for word in words]) == 0
    said = capsys.readouterr()
    line, = said.out.splitlines()
    return json.loads(line), said.err


def refused(main, capsys, *words, at_once=True):
    """The one line that says why main ended with status 2; nothing goes to standard output, and at_once, before any work has
    begun, nothing else to standard error."""
    with pytest.raises(SystemExit) as ended:
        main([str(word) for word in words])
    said = capsys.readouterr()
    lines = [line for line in said.err.splitlines() if at_once or line.startswith("error: ")]
    assert ended.value.code == 2 and not said.out and len(lines) == 1 and lines[0].startswith("error: "), said
    assert "Traceback" not in said.err
    return lines[0]

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
    """(the JSON that a command's main(argv) printed last, what it told on standard error)."""
    assert main([str(word) for word in words]) == 0
    captured = capsys.readouterr()
    return json.loads(captured.out.splitlines()[-1]), captured.err


def assert_refuses(main, capsys, words, told):
    """Status 2, and one line that says so much."""
    with pytest.raises(SystemExit) as end:
        main(list(words))
    assert end.value.code == 2
    lines = [line for line in capsys.readouterr().err.splitlines() if line.startswith("error: ")]
    assert len(lines) == 1 and told in lines[0]

"""What a command line comes to: a family's options, a command's answer, or its refusal."""
from __future__ import annotations

import json
from functools import partial

import pytest

from gluon_bof.options import families
from gluon_bof.options.flags import parse
from gluon_bof.options.recipes import RECIPES


def options_of(family, *words):
    """Resolved options of a family's command line, each argument one word or several."""
    argv = [word for argument in words for word in argument.split()]
    return parse(families.by_name(family).options, argv, "", RECIPES.of_family(family)).options.resolved()


faster_rcnn_options, mask_rcnn_options = partial(options_of, "faster_rcnn"), partial(options_of, "mask_rcnn")
ssd_options, yolo3_options = partial(options_of, "ssd"), partial(options_of, "yolo3")
segmentation_options = partial(options_of, "segmentation")


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

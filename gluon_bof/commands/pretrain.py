"""gluon-bof pretrain: train a backbone as a classifier, with or without mixup (paper, Tables 5 and 6).

Its last.params is what a detector's --pretrained-base takes. Without --dataset: the objects of the embedded set."""
from __future__ import annotations

from typing import Sequence

from gluon_bof.options.classifier import ClassifierOptions
from gluon_bof.options.flags import Parser
from gluon_bof.options.flags import build_parser as options_parser
from gluon_bof.options.recipes import RECIPES
from gluon_bof.training.entry import run_script


def main(argv: Sequence[str]) -> int:
    """Train as the flags say; the last line on standard output is one JSON object with the accuracy."""
    run_script("classifier", argv, __doc__, prog="gluon-bof pretrain")
    return 0


def build_parser() -> Parser:
    """The command's parser, for completion."""
    return options_parser(ClassifierOptions, __doc__, RECIPES.of_family("classifier"), "gluon-bof pretrain")

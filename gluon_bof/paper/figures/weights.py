"""Opening weights for figures; and short names for them."""
from __future__ import annotations

import os
from typing import TYPE_CHECKING, Sequence

from gluon_bof.errors import UserError
from gluon_bof.inference.detector import open_detector
from gluon_bof.options.flags import flag_name
from gluon_bof.paper.miniature import FACTORS
from gluon_bof.runs.config import require_run_of_last
from gluon_bof.weights.resolve import resolve

if TYPE_CHECKING:
    from gluon_bof.inference.detector import Detector
    from gluon_bof.paper.figures.request import FigureOptions
    from gluon_bof.weights.resolve import Resolved

# words that need the next one: without the negating ones a name says the opposite, without "label" it names no factor
LEADING = {"no", "not", "without", "minus", *(word for factor in FACTORS for word in factor.split("-")[:-1])}


def open_weights(weights: str, given: FigureOptions) -> tuple[Detector, Resolved]:
    """(Detector, what they mean) of a run's folder, a .params file or a name; given: FigureOptions. Raises UserError."""
    found = meaning_of(weights, given)
    return open_detector(found), found


def meaning_of(weights: str, given: FigureOptions) -> Resolved:
    """What the weights mean, with --last if they are a run: it is of the runs among several."""
    found = resolve(weights, given.evaluation, given.last and os.path.isdir(weights))
    found.refuse_idle(given.evaluation)
    return found


def resolve_all(paths: Sequence[str], given: FigureOptions) -> list[Resolved]:
    """What the weights mean, before the work with any. Raises UserError for a file that is missing, for a segmenter, and for
    --last where there is no run."""
    require_run_of_last(given.last, paths)
    found = [meaning_of(weights, given) for weights in paths]
    for one in found:
        one.require_detector()
    return found


def refuse_flags_of_evaluation(given: FigureOptions) -> None:
    """Raise UserError where flags of `evaluate` are given to a figure that has nothing to evaluate."""
    idle = [flag_name(name) for name in (*given.evaluation, *["last"] * given.last)]
    if idle:
        raise UserError(f"{', '.join(idle)}: there are no weights to evaluate", remedy="leave it out, or give weights")


def names_of(paths: Sequence[str]) -> list[str]:
    """A short name for each run's folder or file: its own, or, where two are alike, as much of the path as tells them apart;
    without the words that all names begin with and a numbered end that they share, where that leaves words."""
    parts = [os.path.abspath(path).split(os.sep) for path in paths]
    for count in range(1, max(map(len, parts)) + 1):
        names = ["/".join(words[-count:]) for words in parts]
        if len(set(names)) == len(names):
            return _without_shared_words(names)
    raise UserError(f"{paths[0]} is given twice", remedy="give two different weights")


def _without_shared_words(names):
    """["a-plain-seed-0", "a-mixup-seed-0"] -> ["plain", "mixup"]; an end without a number says what the words before it mean:
    ["with-mixup", "without-mixup"]."""
    words = [name.split("-") for name in names]
    begin = _shared(words)
    while begin and words[0][begin - 1].rpartition("+")[2] in LEADING:
        begin -= 1
    end = _shared([name[::-1] for name in words]) if words[0][-1].isdigit() else 0
    while end and any(name[-end - 1:-end][0].rpartition("+")[2] in LEADING for name in words if len(name) > end):
        end -= 1
    short = ["-".join(name[begin:max(begin, len(name) - end)]) for name in words]
    return short if all(name[:1].isalpha() for name in short) else names


def _shared(lists):
    """How many items all lists begin with."""
    for count, items in enumerate(zip(*lists)):
        if len(set(items)) > 1:
            return count
    return min(map(len, lists))

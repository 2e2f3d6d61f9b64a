"""The words behind --: what runs, and what a second start is given."""
from __future__ import annotations

import os
from typing import Sequence

from gluon_bof.errors import UserError
from gluon_bof.options.segmentation import NO_CHECKNAME, place_of
from gluon_bof.runs.config import is_run
from gluon_bof.runs.folder import CHECKPOINT, RunFolder

OWN_COMMANDS = ("train", "pretrain")  # words that may stand in a script's place


def interpreted(words: Sequence[str]) -> list[str]:
    """What the interpreter is given for the words behind --. Raises UserError where there is no such script."""
    if not words:
        raise UserError("nothing to train",
                        remedy="write the script and its flags behind --, for example -- train_yolo3.py --syncbn per-process")
    first = words[0]
    if first in OWN_COMMANDS:
        return ["-m", "gluon_bof", *words]
    if os.path.basename(first).startswith("python"):
        raise UserError(f"{first} stands before the script", remedy="leave it out: the script runs with this interpreter")
    if first != "-m" and not os.path.isfile(first):
        raise UserError("there is no such script", first, f"give a Python file, or {' or '.join(OWN_COMMANDS)} and what follows")
    return list(words)


def resumable(words: Sequence[str]) -> bool:
    """Whether the words name the run that a second start has to go on with."""
    resumed = _value(words, "--resume")
    return _place(words)["name"] is not None or resumed not in (None, "auto") and not resumed.endswith(".params")


def traces(words: Sequence[str]) -> list[tuple[str, int]] | None:
    """Path and time of each checkpoint of the run that the words name, if it can be seen from here; None: no run is there."""
    given = _value(words, "--resume")
    if given is not None and CHECKPOINT.fullmatch(os.path.basename(given)):
        folder = _run_of(given)
    else:
        folder = _named_run(words)
    if not is_run(folder):
        return None
    return [(path, os.stat(path).st_mtime_ns) for path in RunFolder(folder).checkpoint_paths()]


def resuming(words: Sequence[str], before: list[tuple[str, int]] | None = None) -> list[str]:
    """The words of a second start: the same run, from its last checkpoint, or from its beginning if it has none; those of the
    first start where it ended before it did anything to a run that was there. before: its `traces` then."""
    if before is not None and traces(words) == before:
        return list(words)
    given = _value(words, "--resume")
    older = given is not None and CHECKPOINT.fullmatch(os.path.basename(given))
    starts_from_weights = given is not None and given.endswith(".params")
    if given is not None and not starts_from_weights and not older:
        return list(words)
    if starts_from_weights and not is_run(_named_run(words)):
        return list(words)  # the first start made no run yet that would have the weights
    kept = list(words)
    if given is not None:  # the first start's weights are in the run now, and newer ones than those of an older checkpoint
        at = next(number for number, word in enumerate(kept) if word.partition("=")[0] == "--resume")
        del kept[at:at + (1 if "=" in kept[at] else 2)]
    return [*kept, "--resume", _run_of(given) if older else "auto"]


def runs_folder(words: Sequence[str]) -> str:
    """The folder of the runs."""
    return _place(words)["runs"]


def _named_run(words):
    place = _place(words)
    return os.path.join(place["runs"], place["name"] or "")


def _place(words):
    """{"runs": folder, "name": of the run or None}, which segmentation's script also takes by GluonCV's flags."""
    return {"runs": _value(words, "--runs") or "runs", "name": _value(words, "--name"),
            **place_of(_value(words, "--save-dir") or "", _value(words, "--checkname") or NO_CHECKNAME)}


def _run_of(checkpoint):
    return os.path.dirname(os.path.dirname(os.path.abspath(checkpoint)))


def _value(words, name):
    for number, word in enumerate(words):
        if word == name:
            return words[number + 1] if number + 1 < len(words) else None
        if word.startswith(name + "="):
            return word.partition("=")[2]
    return None

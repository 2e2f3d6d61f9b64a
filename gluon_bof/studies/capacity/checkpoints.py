"""Weights of runs beside their scores: a run's checkpoints over its epochs, and several runs' best weights."""
from __future__ import annotations

import itertools
import os
from typing import NamedTuple, Sequence

from gluon_bof.errors import UserError, warn
from gluon_bof.options.families import by_name
from gluon_bof.runs.config import is_run, read_config, read_options, require_run, warn_of_unlike_scores
from gluon_bof.runs.folder import SCORES, RunFolder, epoch_of
from gluon_bof.studies.capacity.conventions import DEFAULT, Convention
from gluon_bof.studies.capacity.correlation import Model
from gluon_bof.studies.capacity.report import Report, analyze

KINDS_OF_SCORE = {"localisation": "accuracy of class and box", "accuracy": "accuracy", "miou": "mean IoU"}  # but for mAP


class Checkpoint(NamedTuple):
    """Weights of one epoch, its report, and the score on the validation set; score: None where there was no validation."""

    path: str
    epoch: int
    score: float | None
    report: Report


def over_epochs(paths: Sequence[str], convention: str | Convention = DEFAULT, null: bool = False,
                seed: int = 0) -> dict[str, list[Checkpoint]]:
    """{run's name: its Checkpoints by epoch} of parameter files of one run or several. Raises UserError for a file whose name
    tells no epoch."""
    foreign = [path for path in paths if epoch_of(path) is None]
    if foreign:
        raise UserError("this is no checkpoint of a run", str(foreign[0]), "give runs/NAME/epoch-*.params")
    runs = {}
    for folder, of_run in itertools.groupby(sorted(paths, key=lambda path: (_folder_of(path), epoch_of(path))), _folder_of):
        scores = RunFolder(folder).scores()
        runs[folder] = [Checkpoint(path, epoch_of(path), scores.get(epoch_of(path)), analyze(path, convention, null, seed))
                        for path in of_run]
    names = [os.path.basename(folder) for folder in runs]
    return {name if names.count(name) == 1 else folder: found for name, (folder, found) in zip(names, runs.items())}


def _folder_of(path):
    return os.path.dirname(os.path.abspath(path))


def models_of(folders: Sequence[str], convention: str | Convention = DEFAULT, null: bool = False, seed: int = 0,
              last: bool = False) -> list[Model]:
    """Runs as `correlate` takes them: of each its family and network as the architecture, its best score (with last, its last),
    and the summary of the weights that go with it.

    Folders that are no run's are left out beside others, with a warning. Raises UserError where there are only such, for a run
    that was never validated, and for scores of several kinds, before any weights are looked at."""
    foreign = [folder for folder in folders if os.path.isdir(folder) and not is_run(folder)]
    if len(foreign) < len(folders):  # runs/* is launch's logs, too
        for folder in foreign:
            warn(f"{folder} is left out: it is not a run's")
        folders = [folder for folder in folders if folder not in foreign]
    found = [(folder, *_told_by(folder, last)) for folder in folders]
    for folder, _, kind, _ in found:
        if kind != found[0][2]:
            raise UserError(f"its score is {kind}, that of {folders[0]} {found[0][2]}", folder, "correlate runs of one score")
    warn_of_unlike_scores(folders, list(map(read_options, folders)))
    return [Model(os.path.basename(os.path.normpath(folder)), network, score,
                  analyze(folder, convention, null, seed, last).summary) for folder, network, _, score in found]


def _told_by(folder, last):
    """(architecture, what the run's scores are in words, its score) of a run."""
    require_run(folder, "give folders under runs/")
    run = RunFolder(folder)
    scores = run.scores()
    if not scores:
        raise UserError("this run has no score", folder, "let it validate once, or leave it out")
    config = read_config(folder)
    options = config["options"]
    # a segmenter has a model on a backbone
    network = options.get("network") or " on ".join(filter(None, map(options.get, ("model", "backbone")))) or "unknown"
    columns = run.rows("metrics")[0]
    name = next(name for name in SCORES if name in columns)
    kind = by_name(config["family"]).mean_ap if name == "map" else KINDS_OF_SCORE[name]
    # families have backbones of one name
    return f"{config['family']} {network}", kind, scores[max(scores)] if last else max(scores.values())

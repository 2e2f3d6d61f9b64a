"""Runs side by side: what they were told, how they learned, what their reports say."""
from __future__ import annotations

import os
from typing import Sequence

from gluon_bof.errors import UserError, warn
from gluon_bof.evaluation import plots
from gluon_bof.evaluation.page import is_share, png_of, write_page
from gluon_bof.evaluation.report import training_rows
from gluon_bof.files import read_json, sha256_of
from gluon_bof.options.families import family_of, require_one_map
from gluon_bof.options.flags import as_dict
from gluon_bof.runs.config import read_options, warn_of_unlike_scores
from gluon_bof.runs.folder import RunFolder
from gluon_bof.runs.opening import OF_THE_PLACE

_WHAT = ("images", "boxes", "metric")  # of a report: what it is of, and by what
_WRITE_AGAIN = "write it again, or remove it"


def compare_runs(path: str, folders: Sequence[str]) -> dict:
    """Write a page of runs' folders side by side, and its numbers beside it -> the numbers:

    runs (a dict each: name, folder, epochs, last, best, at_epoch, and what its report.json holds or None), options
    ({option: [value in each run]}, where they differ). Raises UserError for a folder that is no detector's run, and where the mAP
    of some is of masks."""
    names = _names(folders)
    read = [read_options(folder) for folder in folders]
    for folder, of_run in zip(folders, read):
        # the study of mini-batches trains detectors too
        if not getattr(of_run, "detects", family_of(of_run).detects):
            raise UserError("this run trained no detector, and the page sets the mAP of detectors side by side", folder,
                            "its own numbers are in metrics.csv, and images in images/")
    of_runs = list(map(family_of, read))
    require_one_map(folders, of_runs)
    warn_of_unlike_scores(folders, read)
    options = _differing(list(map(as_dict, read)))
    tables = {name: training_rows(folder) for name, folder in zip(names, folders)}
    runs = [dict(_learned(tables[name]), name=name, folder=folder, report=_report(folder))
            for name, folder in zip(names, folders)]
    reported = [run for run in runs if run["report"]]
    for run in reported:
        _warn_of_other_weights(run["folder"], run["report"]["sha256"])
    _warn_of_unlike_reports(reported)
    numbers = {"runs": runs, "options": options, "training": tables}
    mean_ap = of_runs[0].mean_ap
    figures = [(title, png_of(figure)) for title, figure in plots.training_figures(tables, mean_ap)]
    write_page(path, "runs.html.j2", numbers, training=figures, kinds=plots.TEXT, classes=_classes(runs), mean_ap=mean_ap,
               reported=bool(reported))
    return numbers


def _names(folders):
    """A short name of each folder that no other has."""
    short = [os.path.basename(os.path.abspath(folder)) for folder in folders]
    return short if len(set(short)) == len(short) else [os.path.normpath(folder) for folder in folders]


def _learned(rows):
    """How far a run came: epochs, mAP of the last validation and the best one, and the best one's epoch."""
    validated = [(float(row["map"]), row["epoch"]) for row in rows if isinstance(row.get("map"), float)]
    best = max(validated, key=lambda pair: pair[0], default=(None, None))
    return {"epochs": len(rows), "last": validated[-1][0] if validated else None, "best": best[0],
            "at_epoch": None if best[1] is None else int(best[1])}


def _differing(options):
    names = sorted(set().union(*options) - OF_THE_PLACE)
    columns = {name: [one.get(name) for one in options] for name in names}
    return {name: values for name, values in columns.items() if any(value != values[0] for value in values)}


def _warn_of_unlike_reports(runs):
    """Warn where the reports of runs do not compare: whoever wrote one with `evaluate` chose its images and its metric."""
    told = [(run["folder"], [run["report"][name] for name in _WHAT]) for run in runs]
    for folder, what in told:
        if what != told[0][1] and None not in (*what, *told[0][1]):
            warn("{} reports of {} images with {} boxes by {}, ".format(folder, *what)
                 + "{} of {} with {} by {}: their reports do not compare".format(told[0][0], *told[0][1]))


def _warn_of_other_weights(folder, digest):
    """Warn where a run's report, which whoever wrote it with `evaluate` may have put there, is not of its weights. digest: of
    those that it is of; None where a training wrote it."""
    run = RunFolder(folder)
    own = [path for path in (run.best_weights, run.last_weights) if os.path.isfile(path)]
    if digest and own and digest not in map(sha256_of, own):
        last = "" if run.best_weights in own else " --last"
        warn(f"{run.report_numbers} is not of the run's best or last weights: write it again, with evaluate {folder}{last} "
             f"--report {run.report}")


def _report(folder):
    """What a run's report says, without its curves; None where it has none. Raises UserError for one that is damaged."""
    path = RunFolder(folder).report_numbers
    try:
        numbers = read_json(path, "the run's report is no JSON", _WRITE_AGAIN)
        found = {**{name: numbers.get(name) for name in _WHAT}, "sha256": dict(numbers.get("about") or {}).get("SHA-256"),
                 "map": numbers["map"], "best": numbers["best"], "errors": numbers["errors"],
                 "ece": numbers["calibration"]["error"], "sizes": {size: row["ap"] for size, row in numbers["sizes"].items()},
                 "classes": {row["name"]: row["ap"] for row in numbers["classes"]}}
        shown = (found["map"], found["ece"], found["best"].get("f1"), *found["sizes"].values(), *found["classes"].values(),
                 *found["errors"]["gains"].values())
        if not all(value is None or is_share(value) for value in shown):
            raise ValueError("a share is outside [0, 1]")
        return found
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise UserError(f"the run's report cannot be read ({error})", path, _WRITE_AGAIN) from None


def _classes(runs):
    """Names of the classes of all reports, in the order of the first that has them."""
    return list(dict.fromkeys(name for run in runs if run["report"] for name in run["report"]["classes"]))

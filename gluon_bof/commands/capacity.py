"""gluon-bof capacity WEIGHTS…: power laws of a network's weights, alpha-hat = sum of alpha log10 lambda_max, from no data."""
from __future__ import annotations

import json
import math
import os
from typing import Any, Sequence

from gluon_bof.errors import UserError, say, user_facing
from gluon_bof.evaluation.page import plain
from gluon_bof.files import csv_text, prepare_folder, write_text
from gluon_bof.options.flags import Parser, check_seed, flag_name
from gluon_bof.runs.config import require_run_of_last

SHOWN = ("alpha", "xmin", "D", "lambda_max", "alpha_weighted", "stable_rank")  # columns of the table, beside the first ones
LONGEST_NAME = 44


@user_facing
def main(argv: Sequence[str]) -> int:
    """The command: tables go to standard error, the last line on standard output is one JSON object."""
    given = build_parser().parse_args(argv)
    check_seed(given)
    if given.figure_4:
        _refuse_beside_figure_4(given)
        outcome = _figure_4(given)
    elif not given.weights:
        raise UserError("no WEIGHTS are given", remedy="give a run's folder or a file of weights; --help tells which")
    else:
        outcome = _study(given)
    print(json.dumps(plain(outcome), allow_nan=False))
    return 0


def build_parser() -> Parser:
    """The command's parser."""
    from gluon_bof.studies.capacity.conventions import CONVENTIONS, DEFAULT
    parser = Parser("gluon-bof capacity", description=__doc__.split(": ", 1)[1])
    parser.add_argument("weights", nargs="*", metavar="WEIGHTS", help="runs' folders (their best weights), .params, "
                        ".safetensors, .weights, .onnx or .ckpt files, shapes (the package's own), GluonCV's names; "
                        "several epochs of runs, runs/NAME/epoch-*.params, are set against epoch and mAP")
    parser.add_argument("--convention", default=DEFAULT, choices=tuple(CONVENTIONS), help=f"what an alpha is [{DEFAULT}]: "
                        + "; ".join(f"{found.name}: {found.about}" for found in CONVENTIONS.values()))
    parser.add_argument("--null", action="store_true", help="also fit every layer's entries in a random order")
    parser.add_argument("--seed", type=int, default=0, help="of that order and of permutation tests [0]")
    parser.add_argument("--last", action="store_true", help="of a run: its last weights, not its best")
    parser.add_argument("--csv", action="store_true", help="write the table into --out as CSV")
    parser.add_argument("--plot", action="store_true", help="write figures into --out as PNG")
    parser.add_argument("--layer", default="", metavar="NAME", help="whose spectrum --plot draws; default: the longest tail's")
    parser.add_argument("--out", default="capacity", metavar="FOLDER", help="where files go [capacity]")
    parser.add_argument("--correlate", action="store_true", help="WEIGHTS are runs: alpha, log lambda_max and alpha-hat against "
                                                                 "their best score, by network and over all")
    parser.add_argument("--figure-4", action="store_true", help="train a ResNet-20 on the embedded set's objects, with and "
                        "without group regularisation (some minutes; kept in --out), and draw the paper's Figure 4 of the pair")
    return parser


def _study(given):
    """Of the WEIGHTS, whatever they are."""
    _refuse_idle(given)
    together = _correlate if given.correlate else _epochs if _are_epochs(given.weights) else None
    folders = [given.out] if together else _folders(given.weights, given.out)
    for folder in folders if given.csv or given.plot else ():
        prepare_folder(folder)
    if together:
        return together(given)
    outcome = [_one(path, given, folder) for path, folder in zip(given.weights, folders)]
    return outcome[0] if len(outcome) == 1 else {"networks": outcome}


def _refuse_idle(given):
    """Raise UserError for --layer where no spectrum is drawn, and for --last where no run is given."""
    if given.layer and (not given.plot or given.correlate or _are_epochs(given.weights)):
        raise UserError(f"--layer {given.layer}: the spectrum of one layer is drawn by --plot, of a network by itself",
                        remedy="leave it out" if given.plot else "give --plot, or leave it out")
    require_run_of_last(given.last, given.weights)


def _are_epochs(paths):
    from gluon_bof.runs.folder import epoch_of
    return len(paths) > 1 and all(epoch_of(path) is not None for path in paths)


def _one(path, given, folder):
    """Table and files of one network."""
    from gluon_bof.studies.capacity import analyze
    report = analyze(path, given.convention, given.null, given.seed, given.last)
    say(f"{path}: {report.convention.name} ({report.convention.about})\n{table(report)}\n{summary_text(report)}")
    files = [write_text(folder, "layers.csv", report.csv())] if given.csv else []
    if given.plot:
        from gluon_bof.studies.capacity.plots import draw_report
        files += draw_report(report, path, folder, given.layer, given.seed, given.last)
    return {"weights": str(path), "convention": report.convention.name, **report.summary, "blocks": report.blocks, "files": files}


def _folders(paths, out):
    """A folder for the files of each network, `out` itself where there is one: by its path's last two words, with a number where
    another network has these."""
    from gluon_bof.studies.capacity.arrays import ENDINGS
    if len(paths) == 1:
        return [out]
    folders = []
    for path in paths:
        words = os.path.normpath(path).split(os.sep)[-2:]
        if words[-1].lower().endswith(ENDINGS):
            words[-1] = os.path.splitext(words[-1])[0]
        stem = folder = os.path.join(out, "-".join(word for word in words if word not in ("", os.pardir)))
        number = 1
        while folder in folders:
            number += 1
            folder = f"{stem}-{number}"
        folders.append(folder)
    return folders


def _epochs(given):
    """Checkpoints of one run or several, each run a group of its own in the correlations."""
    from gluon_bof.studies.capacity.checkpoints import over_epochs
    from gluon_bof.studies.capacity.correlation import Model, correlate
    runs = over_epochs(given.weights, given.convention, given.null, given.seed)
    for name, found in runs.items():
        say(f"{name}\n{epochs_text(found)}")
    models = [Model(str(one.epoch), name, one.score, one.report.summary) for name, found in runs.items() for one in found
              if one.score is not None]
    rows = correlate(models, _metrics(given), given.seed) if models else []
    say(correlation_text(rows))
    answer = {name: [{"epoch": one.epoch, "score": one.score, **one.report.summary} for one in found]
              for name, found in runs.items()}
    files = [write_text(given.out, "epochs.csv", csv_text(plain([{"run": name, **row} for name, found in answer.items()
                                                                  for row in found])))] if given.csv else []
    if given.plot:
        from gluon_bof.studies.capacity.plots import draw_epochs
        files.append(draw_epochs(runs, os.path.join(given.out, "epochs.png"), f"checkpoints over epochs ({given.convention})"))
    return {"runs": answer, "correlations": [row._asdict() for row in rows], "files": files}


def _metrics(given):
    from gluon_bof.studies.capacity.correlation import METRICS, NORMS
    return METRICS + (("null_alpha", "null_alpha_weighted") if given.null else ()) + NORMS


def _correlate(given):
    """Runs' weights against their scores, by network."""
    from gluon_bof.studies.capacity.checkpoints import models_of
    from gluon_bof.studies.capacity.correlation import correlate
    models = models_of(given.weights, given.convention, given.null, given.seed, given.last)
    say("\n".join(f"{model.name}: {model.architecture}, score {model.accuracy:.4f}, "
                  f"alpha {_number(model.metrics['alpha'])}, alpha-hat {_number(model.metrics['alpha_hat'])}"
                  for model in models))
    rows = correlate(models, _metrics(given), given.seed)
    say(correlation_text(rows))
    answer = [{"name": model.name, "architecture": model.architecture, "score": model.accuracy, **model.metrics}
              for model in models]
    files = [write_text(given.out, "models.csv", csv_text(plain(answer)))] if given.csv else []
    if given.plot:
        from gluon_bof.studies.capacity.plots import draw_models
        files.append(draw_models(models, os.path.join(given.out, "models.png"), f"runs ({given.convention})"))
    return {"models": answer, "correlations": [row._asdict() for row in rows], "files": files}


def _refuse_beside_figure_4(given):
    idle = [flag_name(name) for name in ("null", "last", "csv", "plot", "layer", "correlate") if getattr(given, name)]
    if given.weights or idle:
        raise UserError(f"{', '.join(['WEIGHTS'] * bool(given.weights) + idle)}: --figure-4 draws a pair of its own",
                        remedy="leave it out")


def _figure_4(given):
    """The pair of the paper's Figure 4, trained if it is not there yet."""
    from gluon_bof.studies.capacity import analyze
    from gluon_bof.studies.capacity.group_pair import PLAIN, REGULARISED, name_of, train_pair
    from gluon_bof.studies.capacity.plots import draw_pair
    prepare_folder(given.out)
    about = train_pair(given.out, given.seed)
    reports = {f"{name_of(file)}, accuracy {about[name_of(file)]:.3f}": analyze(os.path.join(given.out, file), given.convention)
               for file in (PLAIN, REGULARISED)}
    for name, report in reports.items():
        say(f"{name}\n{table(report)}\n{summary_text(report)}")
    marked = [name.rsplit(".", 1)[0] for name in about["groups"]]
    drawn = draw_pair(reports, os.path.join(given.out, "figure-4.png"), marked,
                      f"ResNet-20 ({given.convention}); * the regularised layers")
    return {**about, "files": [drawn], "summaries": {name: report.summary for name, report in reports.items()}}


def table(report: Any) -> str:
    """The rows of a report as text."""
    lines = [f"{'layer':{LONGEST_NAME}} {'block':9} {'N':>5} {'M':>5} {'Q':>5} {'n':>5} {'tail':>5} "
             + " ".join(f"{name:>14}" for name in SHOWN) + "  estimator"]
    for row in report.details:
        name = row["name"] if row["slice"] is None else f"{row['name']} [{row['slice']}]"
        null = f", null alpha {_number(row['null_alpha'])}" if "null_alpha" in row else ""
        lines.append(f"{name[-LONGEST_NAME:]:{LONGEST_NAME}} {row['block']:9} {row['N']:5} {row['M']:5} {row['Q']:5.2f} "
                     f"{row['eigenvalues']:5} {row['tail']:5} " + " ".join(f"{_number(row[name]):>14}" for name in SHOWN)
                     + f"  {row['method']}{null}{'; ' + row['warning'] if row['warning'] else ''}")
    return "\n".join(lines)


def summary_text(report: Any) -> str:
    """The summary and the blocks of a report as text."""
    lines = []
    for name, summary in {"the network": report.summary, **report.blocks}.items():
        null = f", null {_number(summary['null_alpha'])}" if "null_alpha" in summary else ""
        lines.append(f"{name}: {summary['fitted']} of {summary['rows']} rows fitted, {summary['doubtful']} with a warning; mean "
                     f"alpha {_number(summary['alpha'])}{null}, mean log10 lambda_max "
                     f"{_number(summary['log_spectral_norm'])}, alpha-hat {_number(summary['alpha_hat'])} "
                     f"({report.convention.total} over rows)")
    return "\n".join(lines)


def epochs_text(checkpoints: Sequence[Any]) -> str:
    """The summaries of a run's checkpoints as text."""
    columns = ("alpha", "log_spectral_norm", "alpha_hat") + (
        ("null_alpha", "null_alpha_weighted") if "null_alpha" in checkpoints[0].report.summary else ())
    lines = ["epoch     score " + " ".join(f"{name:>19}" for name in columns)]
    return "\n".join(lines + [f"{one.epoch:5}  {_number(one.score):>8} " + " ".join(
        f"{_number(one.report.summary[name]):>19}" for name in columns) for one in checkpoints])


def correlation_text(rows: Sequence[Any]) -> str:
    """Correlations as text."""
    return "\n".join(f"{row.metric:20} {row.group:24} Pearson {_number(row.pearson):>8}, Kendall {_number(row.kendall):>8}, "
                     f"p {_number(row.p):>8}, {row.models} models" for row in rows) or "no scores to correlate with"


def _number(value):
    return f"{value:.4g}" if value is not None and math.isfinite(value) else "–"

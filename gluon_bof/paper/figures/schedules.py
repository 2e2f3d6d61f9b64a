"""Figure 6: step and cosine schedule with warm-up as YOLOv3 follows them, and validation mAP of runs (section 3.4)."""
from __future__ import annotations

import os
from dataclasses import dataclass

from gluon_bof.errors import UserError
from gluon_bof.freebies.schedule import rates_of
from gluon_bof.options.families import by_name, family_of, require_one_map
from gluon_bof.options.flags import INTEGERS, at_least, flag, positive
from gluon_bof.options.recipes import TABLES
from gluon_bof.options.training import check_decay_epochs
from gluon_bof.paper.figures.page import BLUE, COLOURS, ORANGE, Drawn, new_figure, shorten
from gluon_bof.paper.figures.request import FigureOptions, many
from gluon_bof.runs.config import read_config, read_options, warn_of_unlike_scores
from gluon_bof.runs.folder import RunFolder
from gluon_bof.visualization.draw import literal

RECIPE = TABLES[2].row("cosine").paper.options  # "YOLOv3 training on Pascal VOC … batch size 64"
IMAGES = 5011 + 11540  # of Pascal VOC 2007 and 2012 trainval
MODES = {"step": BLUE, "cosine": ORANGE}


@dataclass(frozen=True)
class Options(FigureOptions):
    """Options of Figure 6."""

    runs: tuple = many("runs whose validation mAP is compared [none]", "RUN")
    epochs: int = flag(RECIPE.epochs, "epochs")
    batches: int = flag(IMAGES // RECIPE.batch_size, f"iterations an epoch; of {IMAGES} images in batches of {RECIPE.batch_size}")
    lr: float = flag(RECIPE.lr, "learning rate")
    warmup_epochs: int = flag(RECIPE.warmup_epochs, "warm-up epochs")
    lr_decay_epoch: tuple = flag(RECIPE.lr_decay_epoch, "epochs of the step schedule's decays", kind=INTEGERS)
    every: int = flag(20, "iterations between rows of the table")


def draw(given: Options) -> Drawn:
    """Figure 6 -> Drawn; rows of learning rates first, then of mAP."""
    for name in ("epochs", "batches", "every"):
        at_least(given, name, 1)
    at_least(given, "warmup_epochs", 0)
    positive(given, "lr")
    check_decay_epochs(given)
    curves = [validation_curve(folder) for folder in given.runs]
    read = list(map(read_options, given.runs))
    of_runs = list(map(family_of, read))
    require_one_map(given.runs, of_runs)
    warn_of_unlike_scores(given.runs, read)
    figure = new_figure(3.3 if curves else 3.6)
    left, *right = figure.subplots(1, 1 + bool(curves), squeeze=False)[0]
    rows = []
    for mode, colour in MODES.items():
        rates = schedule_of(mode, given)
        shown = range(0, len(rates), given.every)
        left.plot([place / given.batches for place in shown], [rates[place] for place in shown], color=colour, label=mode)
        rows += [("learning rate", mode, place, place / given.batches, rates[place]) for place in shown]
    left.set(xlabel="epoch", ylabel="learning rate", title=f"(a) schedules, {given.warmup_epochs} epochs of warm-up",
             xlim=(0, given.epochs), ylim=(0, None))
    left.legend()
    numbers = {"iterations": given.epochs * given.batches}
    if curves:
        rows += _draw_curves(right[0], curves, f"validation {of_runs[0].mean_ap}")
        numbers["runs"] = {folder: {"last": values[-1], "best": max(values)}
                           for folder, _, _, values in curves}
    return Drawn(figure, ("quantity", "series", "iteration", "epoch", "value"), rows, numbers)


def schedule_of(mode: str, given: Options) -> list[float]:
    """The learning rate of every iteration, as train_yolo3.py follows it."""
    batches = given.batches
    return rates_of(given.epochs * batches, mode=mode, base_lr=given.lr, warmup=given.warmup_epochs * batches,
                    warmup_lr=RECIPE.warmup_lr, factor=RECIPE.lr_decay,
                    steps=[epoch * batches for epoch in given.lr_decay_epoch])


def validation_curve(folder: str) -> tuple[str, str, list[tuple[int, int]], list[float]]:
    """(folder, its schedule's name, [(iteration, epochs done)], [mAP]) of a run. Raises UserError where it has none."""
    config = read_config(folder)
    if not by_name(config["family"]).detects:
        raise UserError("this run trained no detector, and figure 6 draws the mAP of detectors", folder,
                        "give others with --runs")
    mode = config["options"].get("lr_mode", "")
    path = RunFolder(folder).table("metrics")
    try:
        lines = [line for line in RunFolder(folder).rows("metrics") if line.get("map")]
        places = [(int(line["iteration"]), int(line["epoch"]) + 1) for line in lines]
        values = [float(line["map"]) for line in lines]
    except (KeyError, ValueError) as error:
        raise UserError(f"not a run's table of epochs ({error})", path, "give a folder under runs/") from None
    if not lines:
        raise UserError("the run has no validation yet", path, "train it further, or give another with --runs")
    return folder, mode, places, values


def _draw_curves(axis, curves, quantity):
    modes = [mode for _, mode, _, _ in curves]
    by_mode = len(set(modes)) == len(modes) and set(modes) <= set(MODES)
    rows = []
    for number, (folder, mode, places, values) in enumerate(curves):
        colour = MODES[mode] if by_mode else COLOURS[number % len(COLOURS)]
        name = os.path.basename(os.path.abspath(folder))
        axis.plot([epoch for _, epoch in places], values, color=colour, marker="o", markersize=3,
                  label=literal(f"{mode}: {shorten(name, 24)}, {values[-1]:.3f}"))
        rows += [(quantity, folder, iteration, epoch, value) for (iteration, epoch), value in zip(places, values)]
    axis.set(xlabel="epoch", ylabel=quantity, title="(b) validation", xlim=(0, None))
    low, high = axis.get_ylim()
    axis.set_ylim(low, high + 0.08 * len(curves) * (high - low))  # room for the legend above the curves
    axis.legend(loc="upper left")
    return rows

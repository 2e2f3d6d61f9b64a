"""Figure optimizers: the lecture's six update rules on its hard surfaces, on a training, and beside L-BFGS on a convex head."""
from __future__ import annotations

import statistics
from dataclasses import dataclass

import numpy as np
from matplotlib.ticker import NullFormatter

from gluon_bof.errors import UserError
from gluon_bof.options.flags import at_least, flag
from gluon_bof.paper import frozen_head, optimizers
from gluon_bof.paper.bundles import Store
from gluon_bof.paper.figures.page import BLUE, GREEN, GREY, ORANGE, PURPLE, RED, SKY, SMALL, Drawn, new_figure
from gluon_bof.paper.figures.request import FigureOptions
from gluon_bof.paper.surfaces import SURFACES, best_walk, score

COLOUR_OF = dict(zip(optimizers.KINDS, (GREY, BLUE, SKY, GREEN, PURPLE, ORANGE)))
LEAST = 1e-6  # of a height or a gap that is drawn
COLUMNS = ("part", "case", "optimizer", "rate", "quantity", "step", "x", "y", "value")


@dataclass(frozen=True)
class Options(FigureOptions):
    """Options of the figure."""

    steps: int = flag(60, "steps on each surface")
    passes: int = flag(50, "passes over all objects that the head on frozen features learns by")
    objects: int = flag(0, "so many objects for that head; 0: all of the embedded set")
    results: str = flag("results", "folder whose bundles have the trainings of gluon-bof table optimizers")


def draw(given: Options) -> Drawn:
    """The figure -> Drawn; its trainings are those that have bundles."""
    for name, least in (("steps", 4), ("passes", 2), ("objects", 0)):
        at_least(given, name, least)
    store = Store(given.results)
    finals = optimizers.finals_of(store, optimizers.choose(optimizers.searched(store)))
    if given.objects and given.objects < frozen_head.BATCH:
        raise UserError(f"--objects {given.objects} is less than one batch of {frozen_head.BATCH}",
                        remedy="give more, or 0 for all")
    figure = new_figure(7.4)
    above, below = figure.subfigures(2, 1, height_ratios=(4.6, 2.8))
    rows, numbers = _draw_surfaces(above, given.steps)
    if finals:
        left, middle, right = below.subplots(1, 3)
        rows += _draw_losses(left, finals)
        rows += _draw_tested(middle, finals)
        numbers["trainings"] = {name: {"rate": bundles[0]["configuration"]["options"]["lr"],
                                       "map": [optimizers.tested(bundle) for bundle in bundles]}
                                for name, bundles in finals.items()}
    else:
        right = below.subplots()
    head_rows, numbers["head"] = _draw_head(right, given)
    return Drawn(figure, COLUMNS, rows + head_rows, numbers)


def _draw_surfaces(figure, steps):
    """Paths above, heights over the lowest point below; the rate of each is the best of those tried on that surface."""
    rows, numbers = [], {}
    axes = figure.subplots(2, len(SURFACES), height_ratios=(1, 0.9))
    for (name, surface), (above, below) in zip(SURFACES.items(), axes.T):
        _contours(above, surface)
        for optimizer, colour in COLOUR_OF.items():
            rate, points = best_walk(optimizer, surface, steps)
            heights = surface.value(points) - surface.lowest
            above.plot(*points.T, color=colour, linewidth=1.1, marker=".", markersize=2.2)
            below.semilogy(np.maximum(heights, LEAST), color=colour, linewidth=1.2, label=optimizer)
            rows += [("surface", name, optimizer, rate, "height", step, *point, height)
                     for step, (point, height) in enumerate(zip(points.tolist(), heights.tolist()))]
            numbers.setdefault(name, {})[optimizer] = {"rate": rate, "score": score(points, surface)}
        above.plot(*surface.start, marker="o", color="black", markersize=4)
        above.set(title=surface.title, xlim=surface.view[:2], ylim=surface.view[2:], xticks=(), yticks=())
        above.grid(False)
        below.set(xlabel="step", ylim=(LEAST, None))
        below.yaxis.set_minor_formatter(NullFormatter())
    axes[1, 0].set_ylabel("height above the lowest")
    figure.legend(*axes[1, 0].get_legend_handles_labels(), loc="outside upper center", ncols=len(COLOUR_OF))
    return rows, {"surfaces": numbers}


def _contours(axis, surface):
    left, right, bottom, top = surface.view
    x, y = np.meshgrid(np.linspace(left, right, 120), np.linspace(bottom, top, 120))
    heights = surface.value(np.stack([x, y], -1)) - surface.lowest
    axis.contour(x, y, heights, levels=np.quantile(heights, np.linspace(0.02, 0.98, 14)), colors=GREY, linewidths=0.4, alpha=0.7)


def _draw_losses(axis, finals):
    """Training loss by update, a mean over the seeds."""
    rows = []
    for name, bundles in finals.items():
        steps = [step for step, _ in bundles[0]["losses"]]
        losses = np.mean([[loss for _, loss in bundle["losses"]] for bundle in bundles], axis=0)
        axis.plot(steps, losses, color=COLOUR_OF[name])
        rate = bundles[0]["configuration"]["options"]["lr"]
        rows += [("training", "embedded YOLOv3", name, rate, "loss", step, "", "", float(loss))
                 for step, loss in zip(steps, losses)]
    axis.set(xlabel="update", ylabel="training loss", title="YOLOv3, embedded job")
    return rows


def _draw_tested(axis, finals):
    """mAP on the test images, a dot a seed."""
    rows = []
    for place, (name, bundles) in enumerate(finals.items()):
        values = [100 * optimizers.tested(bundle) for bundle in bundles]
        axis.barh(place, statistics.mean(values), color=COLOUR_OF[name], height=0.7)
        axis.plot(values, [place] * len(values), ".", color="black", markersize=4)
        rate = bundles[0]["configuration"]["options"]["lr"]
        rows += [("training", "embedded YOLOv3", name, rate, f"mAP@0.5, seed {bundle['seed']}", "", "", "", value / 100)
                 for bundle, value in zip(bundles, values)]
    axis.set(title="on the test images", xlabel="mAP@0.5, %", xlim=(0, 100))
    axis.set_yticks(range(len(finals)), finals)
    axis.invert_yaxis()
    return rows


def _draw_head(axis, given):
    """Objective of the head above the least that L-BFGS ever finds, by passes over all objects."""
    training, validation = frozen_head.frozen_features(given.objects)
    least = frozen_head.by_lbfgs(training, 100 * given.passes)[0][-1]
    objectives, head = frozen_head.by_lbfgs(training, given.passes)
    paths = {"L-BFGS, full batch": (None, objectives, head)}
    for optimizer in frozen_head.RATES:
        name = "SGD + momentum" if optimizer == "momentum" else optimizer
        paths[f"{name}, batches of {frozen_head.BATCH}"] = frozen_head.best_updates(training, optimizer, given.passes)
    rows, numbers = [], {"least": least}
    for (name, (rate, seen, found)), colour in zip(paths.items(), (RED, BLUE, ORANGE)):
        begin = 1 if rate is None else 0  # L-BFGS has made its first pass when it knows its start
        axis.semilogy(range(begin, begin + len(seen)), np.maximum(np.array(seen) - least, LEAST), color=colour,
                      label=name.split(",")[0])
        rows += [("head", "frozen features", name, rate or "", "objective", begin + place, "", "", value)
                 for place, value in enumerate(seen)]
        numbers[name] = {"rate": rate, "gap": seen[-1] - least, "accuracy": frozen_head.accuracy(found, validation)}
    axis.set(xlabel="passes over all objects", ylabel="objective above the least", title="head on frozen features")
    axis.yaxis.set_minor_formatter(NullFormatter())
    axis.legend(loc="upper right", fontsize=SMALL)
    return rows, numbers

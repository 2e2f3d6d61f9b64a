"""Figures 8 and 9: AP of every class without and with the freebies, gains red and losses blue (paper, section 4)."""
from __future__ import annotations

import json
import math
import operator
import os
from dataclasses import dataclass
from typing import Any, Mapping, NamedTuple, Sequence

import numpy as np
from matplotlib.figure import Figure

from gluon_bof.boxes import DetectionSet
from gluon_bof.errors import UserError
from gluon_bof.evaluation.page import is_share
from gluon_bof.evaluation.score import metric_for
from gluon_bof.evaluation.validation import evaluate, validation_set
from gluon_bof.options.families import by_name, family_of
from gluon_bof.paper.figures.page import SMALL, Drawn, new_figure, shorten
from gluon_bof.paper.figures.request import FigureOptions, many
from gluon_bof.paper.figures.weights import meaning_of, names_of, refuse_flags_of_evaluation
from gluon_bof.runs.config import OF_THE_SET, require_run_of_last
from gluon_bof.visualization.draw import literal
from gluon_bof.weights.resolve import Resolved

GAIN, LOSS = "#D62728", "#1F77B4"  # the paper's caption: gains red, losses blue
KEPT = "#C8C8C8"
FAMILY_OF = {8: "yolo3", 9: "faster_rcnn"}  # the paper's
CLASSES_A_COLUMN = 40
METRICS = {"coco": "AP@[.5:.95]", "voc07": "AP@0.5, 11 points", "voc": "AP@0.5"}


@dataclass(frozen=True)
class Options(FigureOptions):
    """Options of Figures 8 and 9."""

    weights: tuple = many("runs' folders or .params files, which are evaluated; or .json files that hold what "
                          "gluon-bof evaluate printed", ("BEFORE", "AFTER"), 2, required=True)


def draw(given: Options) -> Drawn:
    """Figure 8 or 9 -> Drawn; a row for each class, the largest gain first."""
    names = names_of(given.weights)
    if all(weights.endswith(".json") for weights in given.weights):
        refuse_flags_of_evaluation(given)
    require_run_of_last(given.last, given.weights)
    sides = [_side(weights, given) for weights in given.weights]
    require_alike(*(side.told for side in sides), given.weights)
    sides = list(map(_with_set, sides))
    require_alike(*(side.told for side in sides), given.weights)
    before, after = (side.found or evaluate(side.resolved, found_set=side.found_set) for side in sides)
    changes = class_changes(before, after, given.weights)
    known = [change for change in changes if change[3] != ""]
    if not known:
        raise UserError("no class has an AP in both evaluations", given.weights[1], "evaluate on a set that holds the classes")
    figure = draw_changes(known, METRICS.get(before["metric"], before["metric"]))
    dataset = os.path.basename(os.path.abspath(before["dataset"]))
    old, new = 100 * before["map"], 100 * after["map"]
    figure.suptitle(literal(f"{by_name(FAMILY_OF[given.figure]).title}, {dataset}: "
                            f"mAP {old:.1f} → {new:.1f} ({new - old:+.1f})\n"
                            f"{shorten(names[0], 40)} → {shorten(names[1], 40)}"), fontsize=9)
    return Drawn(figure, ("class", "before", "after", "difference"), changes,
                 {"metric": before["metric"], "dataset": before["dataset"], "map": [before["map"], after["map"]],
                  "difference": after["map"] - before["map"], "gains": sum(change[3] > 0 for change in known),
                  "losses": sum(change[3] < 0 for change in known)})


def class_changes(before: Mapping[str, Any], after: Mapping[str, Any], weights: Sequence[str]) -> list[tuple]:
    """[(class, AP before, after, difference)] of two evaluations, the largest gain first; "" where there is no AP.

    Raises UserError where they are not of the same images, metric and classes."""
    require_alike(_told(before), _told(after), weights)
    changes = []
    for name, old in before["per_class"].items():
        new = after["per_class"][name]
        changes.append((name, "" if old is None else old, "" if new is None else new,
                        "" if None in (old, new) else new - old))
    return sorted(changes, key=lambda change: (change[3] == "", -(change[3] or 0), change[0]))


def draw_changes(changes: Sequence[tuple[str, float, float, float]], measured: str) -> Figure:
    """The figure of [(class, AP before, after, difference)], in their order; measured: what AP is."""
    columns = math.ceil(len(changes) / CLASSES_A_COLUMN)
    lines = math.ceil(len(changes) / columns)
    figure = new_figure(max(1.2, 0.165 * lines) + 1.0)
    highest = 100 * max(max(old, new) for _, old, new, _ in changes)
    for number, axis in enumerate(figure.subplots(1, columns, squeeze=False)[0]):
        _draw_column(axis, changes[number * lines:(number + 1) * lines], lines, highest, 22 if columns == 1 else 14)
    figure.supxlabel(f"{measured}, points; grey: what both have, gains red, losses blue", fontsize=9)
    return figure


def require_alike(before: Mapping[str, Any], after: Mapping[str, Any], weights: Sequence[str]) -> None:
    """Raise UserError where two evaluations are not of the same dataset, split, number of images, metric and classes; None is not
    known yet, or was not told by the version that evaluated."""
    for field in ("dataset", "val_split", "images", "metric"):
        are_alike = OF_THE_SET.get(field, operator.eq)
        if None not in (before[field], after[field]) and not are_alike(before[field], after[field]):
            raise UserError(f"the evaluation's {field} is {after[field] or 'none'}, that of {weights[0]} is "
                            f"{before[field] or 'none'}", weights[1],
                            "compare evaluations of one data set by one metric")
    if None not in (before["classes"], after["classes"]) and set(before["classes"]) != set(after["classes"]):
        raise UserError(f"the classes differ from those of {weights[0]}", weights[1], "compare detectors of the same classes")


def _told(evaluation):
    return {"dataset": evaluation["dataset"], "val_split": evaluation.get("val_split") or None,
            "images": evaluation.get("images"), "metric": evaluation["metric"], "classes": evaluation["per_class"]}


class _Side(NamedTuple):
    """What is to be compared: an evaluation that was made, or weights to evaluate, and the set for that; told: what is known of
    it beforehand."""

    told: dict
    found: dict | None = None
    resolved: Resolved | None = None
    found_set: DetectionSet | None = None


def _side(weights, given):
    """The _Side of weights, or of a .json file. Raises UserError."""
    if weights.endswith(".json"):
        found = read_evaluation(weights)
        if "family" in found or "masks" in found:  # earlier versions told no family
            _require_family(by_name(found.get("family", "mask_rcnn")), weights, given.figure)
        return _Side(_told(found), found)
    resolved = meaning_of(weights, given)
    _require_family(family_of(resolved.options), weights, given.figure)
    resolved.require_file()
    resolved.require_set()
    metric = resolved.options.metric
    return _Side({"dataset": resolved.options.dataset, "val_split": resolved.options.val_split or None, "images": None,
                  "metric": None if metric == "auto" else metric, "classes": resolved.classes}, None, resolved)


def _require_family(family, weights, figure):
    if family.name != FAMILY_OF[figure]:
        others = [number for number, name in FAMILY_OF.items() if name == family.name]
        raise UserError(f"the network is a {family.title}", weights, f"draw figure {others[0]}" if others else
                        f"give a {by_name(FAMILY_OF[figure]).title}")


def _with_set(side):
    """A side with the set to evaluate weights on, and what only that tells: its images, and the metric that auto stands for."""
    if side.found:
        return side
    found_set = validation_set(side.resolved.options)
    told = {"images": len(found_set), "metric": metric_for(found_set, side.resolved.options.metric)}
    return side._replace(told={**side.told, **told}, found_set=found_set)


def read_evaluation(path: str) -> dict[str, Any]:
    """The JSON object on a file's last line. Raises UserError where it is not an evaluation's."""
    try:
        with open(path, encoding="utf-8") as file:
            text = file.read().strip()
        found = json.loads(text if text.startswith("{\n") else text.splitlines()[-1])
        numbers = [found["map"], *(value for value in found["per_class"].values() if value is not None)]
        if not all(map(is_share, numbers)) or not isinstance(found["dataset"], str) or not isinstance(found["metric"], str):
            raise ValueError("values of a wrong kind")
    except (OSError, ValueError, KeyError, TypeError, AttributeError, IndexError, RecursionError) as error:
        raise UserError(f"not the output of an evaluation ({getattr(error, 'strerror', None) or error})", path,
                        "write it with gluon-bof evaluate WEIGHTS > FILE.json") from None
    return found


def _draw_column(axis, changes, lines, highest, most):
    """One column of bars in points: grey what both have, red what was gained, blue what was lost, the difference beside."""
    places = np.arange(len(changes))
    old, new = (100 * np.array([change[place] for change in changes], float) for place in (1, 2))
    axis.barh(places, np.minimum(old, new), height=0.72, color=KEPT)
    axis.barh(places, np.abs(new - old), left=np.minimum(old, new), height=0.72, color=np.where(new >= old, GAIN, LOSS))
    for place, low, high in zip(places, old, new):
        axis.text(max(low, high) + 0.01 * highest, place, f"{high - low:+.1f}", va="center", fontsize=SMALL,
                  color=GAIN if high > low else LOSS if high < low else "black")
    axis.set_yticks(places, [literal(shorten(change[0], most)) for change in changes])
    axis.set(ylim=(lines - 0.4, -0.6), xlim=(0, 1.16 * highest if highest else 100))
    axis.tick_params(axis="y", length=0)
    axis.grid(axis="y", visible=False)

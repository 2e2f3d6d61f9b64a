"""The figures of a report, drawn to be read at a phone's width as well."""
from __future__ import annotations

from typing import Sequence

import matplotlib
import numpy as np
from matplotlib.figure import Figure

from gluon_bof.visualization.draw import literal

WIDE, HIGH = 5.2, 3.9  # inches
FEW = 10  # classes that get a colour and a name each
LABELLED = 30  # classes whose names fit beside a matrix
NUMBERED = 12  # classes whose counts fit into a matrix's cells
LONGEST = 16  # letters of a name
BLUE, GREY = "#0072b2", "#8a8f98"
TEXT = {"classification": "wrong class", "localisation": "badly placed", "both": "both", "duplicate": "duplicate",
        "background": "background", "missed": "missed"}


def short(name: str) -> str:
    """A class's name where there is little room."""
    name = str(name)
    return literal(name if len(name) <= LONGEST else name[:LONGEST - 1] + "…")


def errors_figure(errors: dict) -> Figure:
    """AP that mending each kind of error would bring, bars; errors: as in a report's numbers."""
    figure, axes = _figure()
    names = [TEXT[kind] for kind in errors["gains"]] + ["all false positives", "all misses"]
    values = [100 * value for value in (*errors["gains"].values(), errors["false_positive"], errors["false_negative"])]
    places = np.arange(len(names))[::-1]
    bars = axes.barh(places, values, color=[BLUE] * len(errors["gains"]) + [GREY] * 2, height=0.7)
    axes.bar_label(bars, [f"{value:.1f}" for value in values], padding=3)
    axes.set_yticks(places, names)
    axes.set(xlabel="AP gained by mending it, points", xlim=(0, max(1.0, 1.18 * max(values))))
    axes.grid(axis="y", visible=False)
    return figure


def precision_recall_figure(curves: dict) -> Figure:
    """curves: {class: (101,) precision at each recall, or None}."""
    figure, axes = _figure()
    recall = np.linspace(0, 1, 101)
    known = {name: values for name, values in curves.items() if values is not None}
    _lines(axes, [(name, recall, values) for name, values in known.items()])
    if len(known) > 1:
        axes.plot(recall, np.mean(list(known.values()), axis=0), color="black", linewidth=2.2, label="mean")
    axes.set(xlabel="recall", ylabel="precision", xlim=(0, 1), ylim=(0, 1.02))
    _legend(axes)
    return figure


def f1_figure(curves: dict, best_score: float | None) -> Figure:
    """curves: {class: Curve}; best_score: marked, or None."""
    figure, axes = _figure()
    _lines(axes, [(name, points.scores, points.f1) for name, points in curves.items() if len(points.scores)])
    if best_score is not None:
        axes.axvline(best_score, color="black", linewidth=1, linestyle="--", label=f"best for all: {best_score:.2f}")
    axes.set(xlabel="least score that is shown", ylabel="F1", xlim=(0, 1), ylim=(0, 1.02))
    _legend(axes)
    return figure


def confusion_figure(matrix: np.ndarray, labels: Sequence[str]) -> Figure:
    """matrix (C + 1, C + 1): row, what is there; column, what was found; coloured by its share of the row."""
    matrix = np.asarray(matrix)
    side = min(9.0, max(WIDE, 2.2 + 0.24 * len(labels)))
    figure, axes = _figure((side, side * 0.94))
    shares = matrix / np.maximum(matrix.sum(axis=1, keepdims=True), 1)
    axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    axes.set(xlabel="found", ylabel="there")
    axes.grid(visible=False)
    if len(labels) <= LABELLED + 1:
        names = [short(label) for label in labels]
        axes.set_xticks(range(len(labels)), names, rotation=90 if len(labels) > 5 else 30, ha="center")
        axes.set_yticks(range(len(labels)), names)
    if len(labels) <= NUMBERED + 1:
        for row, column in np.ndindex(matrix.shape):
            if matrix[row, column]:
                axes.text(column, row, str(matrix[row, column]), ha="center", va="center",
                          color="white" if shares[row, column] > 0.55 else "black", fontsize=9)
    return figure


def reliability_figure(calibration: dict) -> Figure:
    """Share of hits among the detections of each bin of scores, beside what the scores promise."""
    figure, axes = _figure()
    edges = np.asarray(calibration["edges"])
    precision = np.array([np.nan if value is None else value for value in calibration["precision"]])
    axes.bar(edges[:-1], np.nan_to_num(precision), np.diff(edges), align="edge", color=BLUE, edgecolor="white", alpha=0.85,
             label="share of hits")
    axes.plot([0, 1], [0, 1], color="black", linestyle="--", linewidth=1, label="as promised")
    for left, right, value, count in zip(edges, edges[1:], np.nan_to_num(precision), calibration["counts"]):
        if count:
            axes.text((left + right) / 2, min(value + 0.015, 1.03), str(count), ha="center", va="bottom", fontsize=7,
                      color="#333333", bbox=dict(boxstyle="square,pad=0.05", facecolor="white", linewidth=0, alpha=0.7))
    axes.set(xlabel="score", ylabel="share that hit", xlim=(0, 1), ylim=(0, 1.12))
    _legend(axes)
    return figure


def training_figures(runs: dict[str, list[dict]], mean_ap: str = "mAP") -> list[tuple[str, Figure]]:
    """[(title, figure)] of {name: rows of metrics.csv}: the validation's mAP, the loss, the learning rate, epoch by epoch.
    mean_ap: what the first is called."""
    drawn = []
    for column, title, scale in (("map", f"Validation {mean_ap}", "linear"), ("total_loss", "Training loss", "log"),
                                 ("learning_rate", "Learning rate", "linear")):
        lines = [(name, *_points(rows, column)) for name, rows in runs.items()]
        lines = [line for line in lines if len(line[1])]
        if lines:
            figure, axes = _figure((WIDE, 3.2))
            _lines(axes, lines, marker="o" if max(len(line[1]) for line in lines) < 60 else "")
            axes.xaxis.get_major_locator().set_params(integer=True)
            axes.set(xlabel="epoch", yscale=scale if min(min(line[2]) for line in lines) > 0 else "linear")
            if column == "map":
                axes.set_ylim(0, 1.02)
            if len(runs) > 1:
                _legend(axes)
            drawn.append((title, figure))
    return drawn


def _points(rows, column):
    """(epochs, values) of a column of a table's rows."""
    epochs, values = [], []
    for row in rows:
        try:
            value = _total_loss(row) if column == "total_loss" else float(row[column])
            epoch = int(row["epoch"])
        except (KeyError, TypeError, ValueError):  # not validated in this epoch, or a table that was cut off
            continue
        if np.isfinite(value):
            epochs.append(epoch)
            values.append(value)
    return epochs, values


def _total_loss(row):
    """The total loss of a row, the sum of its losses where it has no column. Raises KeyError where it has none of them."""
    losses = [name for name in row if name.endswith("_loss") and name != "total_loss"]
    return sum(float(row[name]) for name in losses) if losses and "total_loss" not in row else float(row["total_loss"])


def _figure(size=(WIDE, HIGH)):
    figure = Figure(figsize=size, layout="constrained")
    axes = figure.subplots()
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(alpha=0.25)
    axes.set_axisbelow(True)
    return figure, axes


def _lines(axes, lines, marker=""):
    """Coloured and named where they are few, grey where they are many. lines: [(name, x, y)]."""
    for number, (name, x, y) in enumerate(lines):
        if len(lines) <= FEW:
            axes.plot(x, y, color=matplotlib.colormaps["tab10"](number), linewidth=1.6, label=short(name), marker=marker,
                      markersize=3)
        else:
            axes.plot(x, y, color=GREY, linewidth=0.8, alpha=0.6)


def _legend(axes):
    """Above the axes, where no curve can run under it."""
    count = len(axes.get_legend_handles_labels()[0])
    if count:
        axes.legend(loc="lower center", bbox_to_anchor=(0.5, 1.0), ncol=min(count, 3), fontsize=8, frameon=False)

"""Anchors drawn over the widths and heights of a set's boxes."""
from __future__ import annotations

import numpy as np

from gluon_bof.data.anchors import default_anchors
from gluon_bof.visualization.shown import evenly

DRAWN = 20_000  # boxes in the plot, at most


def draw(path: str, sizes: np.ndarray, anchors: np.ndarray, title: str) -> None:
    """A PNG of the boxes' widths and heights, on logarithmic axes, under the fitted and the default anchors.

    Raises UserError where it cannot be written."""
    from matplotlib.figure import Figure

    from gluon_bof.files import write_figure
    from gluon_bof.visualization.draw import literal

    figure = Figure(figsize=(7, 6.6), dpi=110)
    axes = figure.add_subplot()
    drawn = sizes[evenly(len(sizes), DRAWN)]
    axes.scatter(*drawn.T, s=6, alpha=0.25, color="tab:blue", linewidths=0, label="boxes", rasterized=True)
    axes.scatter(*default_anchors().T, s=70, marker="x", color="black", linewidths=1.6, label="default anchors")
    axes.scatter(*anchors.T, s=75, marker="o", facecolors="none", edgecolors="tab:red", linewidths=2, label="fitted anchors")
    every = np.concatenate([sizes, anchors, default_anchors()])
    limits = every.min() / 1.25, every.max() * 1.25
    ticks = [tick for tick in 2.0 ** np.arange(-2, 14) if limits[0] <= tick <= limits[1]]
    for axis, set_limits, name in ((axes.xaxis, axes.set_xlim, "width"), (axes.yaxis, axes.set_ylim, "height")):
        (axes.set_xscale if name == "width" else axes.set_yscale)("log")
        axis.set_ticks(ticks, [f"{tick:g}" for tick in ticks])
        axis.set_ticks([], minor=True)
        axis.set_label_text(f"{name}, pixels")
        set_limits(limits)
    axes.set_aspect("equal")
    axes.grid(alpha=0.3)
    axes.legend(loc="upper left")
    axes.set_title(literal(title), fontsize=9)
    figure.tight_layout()
    write_figure(path, figure)

"""The study's figures as PNGs. matplotlib is imported when one is drawn."""
from __future__ import annotations

import itertools
import os
import re
from typing import Any, Mapping, Sequence

import numpy as np

from gluon_bof.errors import UserError
from gluon_bof.files import write_figure
from gluon_bof.studies.capacity.arrays import read_arrays
from gluon_bof.studies.capacity.fit import fit_power_law
from gluon_bof.studies.capacity.layers import layers_of
from gluon_bof.studies.capacity.metrics import above_rounding, fitted_values
from gluon_bof.studies.capacity.report import seed_of, side_of
from gluon_bof.studies.capacity.spectrum import shuffled, spectra

OURS, NULL, FIT, OTHER = "#1f5fa8", "#9a9a9a", "#c2410c", "#2e7d32"
OF_BLOCK = {"backbone": OURS, "neck": OTHER, "heads": FIT, "other": "#6a4c93"}
BINS = 40
WIDE = (9, 4.2)


def _figure(count=1, size=WIDE):
    from matplotlib.figure import Figure
    figure = Figure(figsize=size)
    axes = figure.subplots(1, count, squeeze=False)
    for axis in axes[0]:
        axis.spines[["top", "right"]].set_visible(False)
    return figure, axes[0]


def _legend_beside(axis):
    if axis.get_legend_handles_labels()[0]:
        axis.legend(frameon=False, fontsize=8, loc="center left", bbox_to_anchor=(1, 0.5))


def _save(figure, path):
    os.makedirs(os.path.dirname(os.path.abspath(path)), exist_ok=True)
    figure.tight_layout()
    write_figure(path, figure, dpi=130)
    return path


def draw_report(report: Any, source: Any, folder: str, layer: str = "", seed: int = 0, last: bool = False) -> list[str]:
    """The four figures of one network: spectrum.png, alpha_by_depth.png, alpha_histogram.png, lambda_by_layer.png.

    source: what the report was made of; layer: whose spectrum, by name; default: the one with the longest tail.
    Returns the paths."""
    return [draw_spectrum(report, source, os.path.join(folder, "spectrum.png"), layer, seed, last),
            draw_by_depth(report, os.path.join(folder, "alpha_by_depth.png")),
            draw_histogram(report, os.path.join(folder, "alpha_histogram.png")),
            draw_lambda(report, os.path.join(folder, "lambda_by_layer.png"))]


def draw_spectrum(report: Any, source: Any, path: str, layer: str = "", seed: int = 0, last: bool = False) -> str:
    """The density of a layer's eigenvalues in log-log with its fit, beside that of the same entries shuffled. Of a convention
    with windows those of the first window, and beside its fit the layer's alpha, the mean over all.

    Raises UserError where the layer that is named is none, or has no fit."""
    from gluon_bof.visualization.draw import literal
    convention = report.convention
    row = _row_to_draw(report, layer)
    found = [one for one in layers_of(read_arrays(source, last)) if row and one.name == row["name"]]
    figure, (axis,) = _figure(size=(6.4, 4.6))
    if found:
        place, n_side = row["slice"] or 0, side_of(row, convention)
        for array, colour, label in ((shuffled(found[0].array, seed_of(row["name"], seed)), NULL, "entries shuffled"),
                                     (found[0].array, OURS, "the layer")):
            parts = spectra(array, convention)
            values = above_rounding(parts[place], n_side)
            if not len(values):  # of a sparse layer a slice of shuffled entries may hold none
                continue
            edges = np.geomspace(values[0], values[-1] * (1 + 1e-9), BINS + 1)
            density = np.histogram(values, edges, density=True)[0]
            centres = np.sqrt(edges[1:] * edges[:-1])
            axis.plot(centres[density > 0], density[density > 0], "o", ms=4, color=colour, label=label)
        fitted = fitted_values(values, convention, n_side)
        several = convention.windows and len(parts) > 1
        _draw_law(axis, values, fit_power_law(fitted, convention.method_for(len(fitted))),
                  f"\nmean of the windows' alpha {row['alpha']:.2f}" if several else "")
        axis.set(xscale="log", yscale="log", title=literal(
            f"{_label(row['name'], row['slice'])}  ({row['kind']} {row['N']} x {row['M']}, {convention.name})"
            + (f"\nwindow 1 of {len(parts)}" if several else "")))
        axis.legend(frameon=False)
    axis.set(xlabel="eigenvalue", ylabel="density")
    return _save(figure, path)


def _row_to_draw(report, layer):
    """The row of the longest tail, of the layer of that name where one is given; None where no row has a tail."""
    rows = [row for row in report.details if layer in ("", row["name"])]
    if not rows:
        raise UserError(f"no layer is named {layer}", remedy="the table names them")
    longest = max((row for row in rows if np.isfinite(row["alpha"])), key=lambda row: row["tail"], default=None)
    if layer and not longest:
        raise UserError(f"the layer {layer} has no fit to draw ({rows[0]['warning']})", remedy="name another layer")
    return longest


def _draw_law(axis, values, fit, further):
    if not fit.found:
        return
    tail = np.geomspace(fit.xmin, values[-1], 50)
    share = np.count_nonzero(values >= fit.xmin) / len(values)
    axis.plot(tail, share * (fit.alpha - 1) / fit.xmin * (tail / fit.xmin) ** -fit.alpha, color=FIT,
              label=f"power law, alpha {fit.alpha:.2f}, D {fit.D:.3f}, tail {fit.n_tail} of {fit.n}{further}")
    axis.axvline(fit.xmin, color=FIT, lw=0.8, ls=":")


def draw_by_depth(report: Any, path: str) -> str:
    """alpha of every row by the depth of its layer, coloured by block; hollow where a warning stands, grey the null's."""
    figure, (axis,) = _figure()
    has_null = any("null_alpha" in row for row in report.details)
    if has_null:
        axis.plot(report.column("depth"), report.column("null_alpha"), "x", color=NULL, ms=5, label="entries shuffled")
    for block, colour in OF_BLOCK.items():
        for doubtful in (False, True):
            rows = [row for row in report.details if row["block"] == block and bool(row["warning"]) == doubtful
                    and np.isfinite(row["alpha"])]
            if rows:
                axis.plot([row["depth"] for row in rows], [row["alpha"] for row in rows], "o", ms=5, color=colour,
                          mfc="none" if doubtful else colour, label=f"{block}{', with a warning' if doubtful else ''}")
    axis.axhspan(2, 6, color=OURS, alpha=0.06, lw=0)
    axis.set(xlabel="layer", ylabel="alpha", yscale="log", title=f"alpha by depth ({report.convention.name}); shaded: 2 to 6")
    _plain_ticks(axis, (1, 2, 3, 4, 6, 10, 20, 40, 100))
    _legend_beside(axis)
    return _save(figure, path)


def _plain_ticks(axis, ticks):
    """Of these the ticks that lie on a logarithmic y axis, in plain numbers, and no others."""
    low, high = axis.get_ylim()
    axis.set_yticks([tick for tick in ticks if low <= tick <= high], minor=False)
    axis.set_yticks([], minor=True)
    axis.yaxis.set_major_formatter("{x:g}")


def draw_histogram(report: Any, path: str) -> str:
    """How many rows have which alpha, beside the null's where there is one."""
    figure, (axis,) = _figure(size=(6.4, 4.2))
    sides = [("the network", report.column("alpha"), OURS)]
    if any("null_alpha" in row for row in report.details):
        sides.append(("entries shuffled", report.column("null_alpha"), NULL))
    sides = [(label, values[np.isfinite(values)], colour) for label, values, colour in sides]
    everything = np.concatenate([values for _, values, _ in sides])
    if len(everything):
        edges = np.linspace(everything.min(), np.percentile(everything, 97) + 1e-9, 25)
        for label, values, colour in sides:
            beyond = np.count_nonzero(values > edges[-1])
            axis.hist(values, edges, color=colour, alpha=0.6, label=f"{label}{f' ({beyond} further right)' if beyond else ''}")
        axis.legend(frameon=False)
    axis.set(xlabel="alpha", ylabel="rows", title=f"alpha ({report.convention.name})")
    return _save(figure, path)


def draw_lambda(report: Any, path: str) -> str:
    """The largest eigenvalue of every row by layer, coloured by block."""
    figure, (axis,) = _figure()
    for block, colour in OF_BLOCK.items():
        rows = [row for row in report.details if row["block"] == block and row["lambda_max"] > 0]
        if rows:
            axis.plot([row["depth"] for row in rows], [row["lambda_max"] for row in rows], "o", ms=5, color=colour, label=block)
    axis.set(xlabel="layer", ylabel="largest eigenvalue", yscale="log", title=f"lambda_max by layer ({report.convention.name})")
    low, high = np.floor(np.log10(axis.get_ylim())).astype(int)
    if high - low < 3:  # over more decades their own ticks do
        _plain_ticks(axis, [number * 10.0 ** power for power in range(low, high + 1) for number in (1, 2, 5)])
    _legend_beside(axis)
    return _save(figure, path)


def draw_epochs(checkpoints: Mapping[str, Sequence[Any]], path: str, title: str = "") -> str:
    """alpha and alpha-hat against the epoch, and the validation score against alpha-hat; dashed with crosses those of the entries
    shuffled, where there are any. One line a run: checkpoints: {name: [Checkpoint]}."""
    from gluon_bof.visualization.draw import literal
    figure, axes = _figure(3, (13, 4))
    for colour, (run, found) in zip(itertools.cycle((OURS, FIT, OTHER, "#6a4c93")), checkpoints.items()):
        name = literal(run)
        epochs = [one.epoch for one in found]
        hats = [one.report.summary["alpha_hat"] for one in found]
        axes[0].plot(epochs, [one.report.summary["alpha"] for one in found], "o-", ms=4, color=colour, label=name)
        axes[1].plot(epochs, hats, "o-", ms=4, color=colour, label=name)
        if "null_alpha" in found[0].report.summary:
            axes[0].plot(epochs, [one.report.summary["null_alpha"] for one in found], "x--", ms=4, lw=0.8, color=colour,
                         alpha=0.5, label=f"{name}, entries shuffled")
            axes[1].plot(epochs, [one.report.summary["null_alpha_weighted"] for one in found], "x--", ms=4, lw=0.8,
                         color=colour, alpha=0.5, label=f"{name}, entries shuffled")
        scored = [(one.score, hat, one.epoch) for one, hat in zip(found, hats) if one.score is not None]
        axes[2].plot([hat for _, hat, _ in scored], [score for score, _, _ in scored], "o-", ms=4, lw=0.7, color=colour,
                     label=name)
        for score, hat, epoch in scored[::max(1, len(scored) - 1)]:
            axes[2].annotate(f"epoch {epoch}", (hat, score), fontsize=8, xytext=(5, -8), textcoords="offset points", color=colour)
    axes[0].set(xlabel="epoch", ylabel="mean alpha")
    axes[1].set(xlabel="epoch", ylabel="alpha-hat")
    axes[2].set(xlabel="alpha-hat", ylabel="validation score")
    for axis in axes[:2]:
        axis.xaxis.get_major_locator().set_params(integer=True)
    axes[0].legend(frameon=False, fontsize=8)
    figure.suptitle(title)
    return _save(figure, path)


def draw_models(models: Sequence[Any], path: str, title: str = "") -> str:
    """alpha, log lambda_max and alpha-hat of models against their scores, coloured by architecture. models: correlation.Model."""
    from gluon_bof.visualization.draw import literal
    figure, axes = _figure(3, (13, 4))
    names = list(dict.fromkeys(model.architecture for model in models))
    for axis, (metric, label) in zip(axes, (("alpha", "mean alpha"), ("log_spectral_norm", "mean log10 lambda_max"),
                                            ("alpha_hat", "alpha-hat"))):
        for place, name in enumerate(names):
            of_it = [model for model in models if model.architecture == name]
            axis.plot([model.metrics[metric] for model in of_it], [model.accuracy for model in of_it], "o", ms=5,
                      color=f"C{place % 10}", label=literal(name))
        axis.set(xlabel=label, ylabel="validation score")
    axes[0].legend(frameon=False, fontsize=8)
    figure.suptitle(title)
    return _save(figure, path)


def draw_pair(reports: Mapping[str, Any], path: str, marked: Sequence[str] = (), title: str = "") -> str:
    """Figure 4 in kind: lambda_max and alpha by row of the first of several networks of one shape. reports: {name: Report};
    marked: names of the layers that were regularised. A row without a number in any has no place, one without in some has
    "none" there."""
    figure, axes = _figure(2, (13, 5.2))
    rows = [{(row["name"], row["slice"]): row for row in report.details} for report in reports.values()]
    width = 0.8 / len(reports)
    for axis, column in zip(axes, ("lambda_max", "alpha")):
        # a layer of zeros has one row, not one a slice, and no number above 0
        heights = [[of.get(key, {}).get(column, 0) for of in rows] for key in rows[0]]
        shown = np.nan_to_num(heights).any(axis=1)
        keys = [key for key, is_shown in zip(rows[0], shown) if is_shown]
        for place, (colour, name, values) in enumerate(zip((FIT, OURS, OTHER), reports, np.nan_to_num(heights)[shown].T)):
            at = np.arange(len(keys)) + (place - (len(reports) - 1) / 2) * width
            axis.bar(at, values, width, color=colour, label=name)
            for x in at[values == 0]:
                axis.text(x, 0, " none", rotation=90, ha="center", va="bottom", fontsize=6, color=colour)
        axis.set_xticks(np.arange(len(keys)))
        axis.set_xticklabels([f"{_label(short_name(name), place)}{' *' if name in marked else ''}" for name, place in keys],
                             rotation=90, fontsize=8)
        axis.set(ylabel=column)
    axes[0].set_ylim(top=1.25 * axes[0].get_ylim()[1])  # room for the legend
    axes[0].legend(frameon=False, loc="upper left")
    figure.suptitle(title)
    return _save(figure, path)


def _label(name, place):
    return name if place is None else f"{name} [{place}]"


def short_name(name: str) -> str:
    """A layer's name without what all layers' names hold."""
    return re.sub(r"^features\.|\bbody\.", "", name)

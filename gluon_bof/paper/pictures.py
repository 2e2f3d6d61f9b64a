"""Pictures of bundles: effects with their intervals, the rows of a factorial, differences over folds.

A picture carries a hash of the numbers that it shows, so that a test can tell whether it is that of the bundles."""
from __future__ import annotations

import math
from statistics import fmean
from typing import Any, Mapping, NamedTuple, Sequence

from matplotlib.figure import Figure
from matplotlib.patches import Patch

from gluon_bof.files import write_figure
from gluon_bof.paper.bundles import hash_of
from gluon_bof.paper.figures import page

KEYWORD = "Numbers"  # of the PNG's text


class Bar(NamedTuple):
    """A line of a forest plot: an effect with the half-width of its interval; dots: single differences; paper: the paper's own
    effect, None where it has none; counts: whether anything follows from it, else it is drawn hollow."""

    label: str
    mean: float
    half_width: float
    dots: tuple = ()
    paper: float | None = None
    counts: bool = True


class Pair(NamedTuple):
    """A baseline and what it became, points; gain: the Bar of their difference."""

    label: str
    before: float
    after: float
    gain: Bar


class Course(NamedTuple):
    """A schedule: the rate of every epoch, and what was measured at some, a curve a seed."""

    label: str
    rates: list
    epochs: list
    curves: list


class Panel(NamedTuple):
    """A forest plot. groups: {what its bars are: [Bar]}."""

    title: str
    groups: dict


def digest_of(content: Any) -> str:
    """The hash that a picture of these numbers carries."""
    return hash_of(_rounded(content))


def _rounded(content):
    """Numbers as a picture can show them: other versions of NumPy differ in the last digits."""
    if isinstance(content, float):
        return None if not math.isfinite(content) else round(content, 6)
    if isinstance(content, Mapping):
        return {str(key): _rounded(value) for key, value in content.items()}
    return [_rounded(value) for value in content] if isinstance(content, (list, tuple)) else content


def save(path: str, figure: Any, content: Any) -> None:
    """Write a figure that shows these numbers."""
    write_figure(path, figure, dpi=page.DPI, metadata={KEYWORD: digest_of(content), "Software": None})


def digest_in(path: str) -> str | None:
    """The hash that a picture carries; None where there is none."""
    from PIL import Image
    try:
        with Image.open(path) as image:
            return image.text.get(KEYWORD)
    except FileNotFoundError:
        return None


def forest(panels: Sequence[Panel]) -> Figure:
    """Effects in points with their 95% intervals, and the single differences that they are means of."""
    count = max(sum(map(len, panel.groups.values())) + len(panel.groups) for panel in panels)
    figure = page.new_figure(0.27 * count + 0.9)
    for axis, panel in zip(figure.subplots(1, len(panels), sharey=True, squeeze=False)[0], panels):
        _forest_panel(axis, panel)
    return figure


def _forest_panel(axis, panel):
    places, labels, place = [], [], 0.0
    for group, bars in panel.groups.items():
        places.append(place)
        for bar in bars:
            place -= 1
            _bar(axis, place, bar, page.BLUE)
            places.append(place)
        labels += [group, *(bar.label for bar in bars)]
        place -= 1.2
    axis.axvline(0, color="black", linewidth=0.8)
    axis.set_yticks(places, labels)
    axis.tick_params(axis="y", length=0)
    for label in axis.get_yticklabels():
        label.set_fontweight("bold" if label.get_text() in panel.groups else "normal")
    axis.set_ylim(place + 0.5, 0.6)
    axis.grid(axis="y", visible=False)
    axis.set_xlabel("points")
    axis.set_title(panel.title)


def _bar(axis, place, bar, colour):
    if math.isfinite(bar.half_width):
        axis.plot([bar.mean - bar.half_width, bar.mean + bar.half_width], [place, place], color=colour, linewidth=2)
    axis.plot([bar.mean], [place], "s", color=colour, markersize=6, markerfacecolor=colour if bar.counts else "none")
    axis.plot(bar.dots, [place] * len(bar.dots), "o", color="black", markersize=2.5, alpha=0.7)
    if bar.paper is not None:
        axis.plot([bar.paper], [place], "D", markerfacecolor="none", markeredgecolor="black", markersize=5)


def pairs(rows: Sequence[Pair]) -> Figure:
    """Figure 1 of bundles: two bars a row, and the difference with its interval beside them."""
    figure = page.new_figure(0.55 * len(rows) + 1.0)
    levels, gains = figure.subplots(1, 2, sharey=True, width_ratios=(3, 2))
    for place, row in enumerate(rows):
        _level(levels, 0.2 - place, row.before, page.GREY)
        _level(levels, -0.2 - place, row.after, page.BLUE, row.gain.counts)
        _bar(gains, -place, row.gain, page.BLUE)
    levels.set_yticks([-place for place in range(len(rows))], [row.label.replace(", ", "\n", 1) for row in rows])
    levels.set(xlabel="points", xlim=(0, 1.12 * max(max(row.before, row.after) for row in rows)))
    gains.axvline(0, color="black", linewidth=0.8)
    gains.set(xlabel="points", title="what the whole bag gains")
    for axis in (levels, gains):
        axis.grid(axis="y", visible=False)
    handles = [Patch(color=colour, label=label) for colour, label in ((page.GREY, "baseline"), (page.BLUE, "whole bag"))]
    levels.legend(handles=handles, loc="lower center", bbox_to_anchor=(0.5, 1), ncols=2)
    return figure


def _level(axis, place, points, colour, is_filled=True):
    axis.barh(place, points, 0.34, facecolor=colour if is_filled else "white", edgecolor=colour, linewidth=1.2)
    axis.text(points, place, f" {points:.1f}", va="center", fontsize=page.SMALL)


def courses(lines: Sequence[Course], measured: str) -> Figure:
    """Figure 6 of bundles: learning rates, and curves with their means; measured: what they are of."""
    figure = page.new_figure(3.1)
    left, right = figure.subplots(1, 2)
    for line, colour in zip(lines, (page.BLUE, page.ORANGE)):
        left.plot(range(len(line.rates)), line.rates, color=colour, label=line.label)
        for curve in line.curves:
            right.plot(line.epochs, curve, color=colour, linewidth=0.7, alpha=0.6)
        means = [sum(values) / len(values) for values in zip(*line.curves)]
        right.plot(line.epochs, means, color=colour, linewidth=2, marker="o", markersize=3, label=line.label)
    left.set(xlabel="epoch", ylabel="learning rate", title="(a) schedules with warm-up", xlim=(0, None), ylim=(0, None))
    right.set(xlabel="epoch", ylabel=measured, title="(b) validation", xlim=(0, None))
    for axis in (left, right):
        axis.legend()
    return figure


def classes(changes: Sequence[tuple[str, float, float, float]], measured: str, title: str) -> Figure:
    """Figures 8 and 9 of bundles: [(class, AP before, after, difference)], in their order; measured: what AP is."""
    from gluon_bof.paper.figures.classes import draw_changes

    figure = draw_changes(changes, measured)
    figure.suptitle(title, fontsize=9)
    return figure


def matrix(factors: Sequence[str], rows: Sequence[tuple[tuple | None, Sequence[float], Sequence[float]]],
           titles: tuple[str, str], least: float) -> Figure:
    """The rows of a factorial, each with which factors are on and its runs' numbers.

    rows: (factors that are on, or None for no augmentation; two series of one number a seed); titles: of the series; least: what
    the second's mean should reach, else the row is drawn hollow."""
    figure = page.new_figure(0.24 * len(rows) + 1.3)
    marks, test, training = figure.subplots(1, 3, sharey=True, width_ratios=(len(factors) * 0.28, 3, 3))
    _factor_marks(marks, factors, [on for on, _, _ in rows])
    for axis, series, title in ((test, 1, titles[0]), (training, 2, titles[1])):
        for place, row in enumerate(rows):
            if row[series]:
                face = page.BLUE if fmean(row[2]) >= least else "none"
                axis.plot([fmean(row[series])], [-place], "s", color=page.BLUE, markersize=5, markerfacecolor=face)
                axis.plot(row[series], [-place] * len(row[series]), "o", color="black", markersize=2.5, alpha=0.7)
        axis.set_xlabel("points")
        axis.set_title(title)
    for place, (_, test_points, _) in enumerate(rows):
        if not test_points:
            test.text(0.02, -place, "not run", transform=test.get_yaxis_transform(), va="center", fontsize=page.SMALL,
                      color=page.GREY, bbox=dict(facecolor="white", linewidth=0, pad=1.5))
    marks.set_ylim(0.7 - len(rows), 0.7)
    training.axvline(least, color="black", linewidth=0.8, linestyle="--")
    return figure


def _factor_marks(axis, factors, rows):
    for place, on in enumerate(rows):
        if on is None:
            axis.text((len(factors) - 1) / 2, -place, "no augmentation", ha="center", va="center", fontsize=page.SMALL,
                      style="italic")
            continue
        for column, factor in enumerate(factors):
            axis.plot([column], [-place], "o", markersize=6, color="black" if factor in on else "#d8d8d8")
    axis.set_xticks(range(len(factors)), factors, rotation=50, ha="right")
    axis.set_yticks([])
    axis.set_title("what is on (black)")
    axis.set_xlim(-0.6, len(factors) - 0.4)
    axis.grid(visible=False)
    axis.spines[["left", "bottom"]].set_visible(False)

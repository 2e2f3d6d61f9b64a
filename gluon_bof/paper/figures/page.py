"""What all figures share: the look, the files, boxes, and labels of which none lies on another."""
from __future__ import annotations

import itertools
import os
from typing import TYPE_CHECKING, Any, ContextManager, Iterable, NamedTuple, Sequence

import matplotlib
import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from gluon_bof.files import csv_text, utf8, write_atomically, write_figure
from gluon_bof.visualization.draw import literal

if TYPE_CHECKING:
    from matplotlib.axes import Axes

WIDTH = 8.3  # inches: a README shows about 830 pixels, so 9 points are 12 of its pixels
DPI = 200  # twice that, for fine screens
SMALL = 8  # points; nothing is smaller
LOOK = {"font.size": 9, "axes.titlesize": 9, "axes.labelsize": 9, "xtick.labelsize": SMALL, "ytick.labelsize": SMALL,
        "legend.fontsize": SMALL, "legend.frameon": False, "axes.spines.top": False, "axes.spines.right": False,
        "axes.grid": True, "grid.alpha": 0.3, "axes.axisbelow": True}
# Okabe and Ito's colours, which colour-blind people tell apart
BLUE, ORANGE, GREEN, PURPLE, SKY, RED, YELLOW = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00", "#F0E442")
COLOURS = (BLUE, ORANGE, GREEN, PURPLE, SKY, RED, YELLOW)
GREY = "#707070"
GAP = 3  # pixels between labels


class Drawn(NamedTuple):
    """A finished figure, its table, and what the command prints of it ({name: value that JSON knows})."""

    figure: Figure
    columns: tuple
    rows: list
    numbers: dict


def look() -> ContextManager[None]:
    """A context in which matplotlib draws as all our figures look."""
    return matplotlib.rc_context(LOOK)


def new_figure(height: float) -> Figure:
    """An empty figure of README width; height in inches."""
    figure = Figure(figsize=(WIDTH, height), dpi=DPI, layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def fit_labels(figure: Figure) -> None:
    """Lay the figure out for good: labels can be placed from now on, and nothing else added."""
    figure.draw_without_rendering()
    figure.set_layout_engine("none")


def paths(folder: str, number: int | str) -> tuple[str, str]:
    """Where a figure's PNG and CSV go."""
    return os.path.join(folder, f"figure-{number}.png"), os.path.join(folder, f"figure-{number}.csv")


def save(drawn: Drawn, folder: str, number: int | str) -> tuple[str, str]:
    """Write figure-N.png and figure-N.csv. Returns their paths. Raises UserError where they cannot be written."""
    png, table = paths(folder, number)
    write_figure(png, drawn.figure, dpi=DPI)
    rows = (dict(itertools.zip_longest(drawn.columns, row)) for row in drawn.rows)  # a value without a column is a ValueError
    write_atomically(table, utf8(csv_text(rows, drawn.columns)))
    return png, table


def show_image(axis: Axes, image: np.ndarray, title: str = "") -> None:
    """An image (H, W, 3) uint8 without ticks."""
    axis.imshow(image, interpolation="nearest" if max(image.shape) < 64 else "antialiased")
    axis.set_axis_off()
    axis.set_title(literal(title))
    axis.set_anchor("N")  # titles of a line of images stand at one height, and have their room


def draw_box(axis: Axes, box: Iterable[float], colour: str, **how: Any) -> None:
    """The outline of one corner box."""
    left, top, right, bottom = (float(side) for side in box)
    axis.add_patch(Rectangle((left, top), right - left, bottom - top, fill=False, edgecolor=colour,
                             **{"linewidth": 1.6, **how}))


def label_boxes(axis: Axes, boxes: Iterable[Iterable[float]], texts: Iterable[str], colours: Iterable[str]) -> None:
    """A label at each box of a figure that is laid out, most important box first; one that finds no free place is left out."""
    place_labels(axis, texts, colours, [_around_box(axis, box) for box in boxes])


def label_points(axis: Axes, points: Sequence[tuple[float, float]], texts: Sequence[str],
                 lines: Iterable[Sequence[tuple[float, float]]] = (), hlines: Sequence[tuple[float, str]] = ()) -> None:
    """A label beside each (x, y) of a laid-out figure that touches no other label, point or line, if there is a free place.

    lines: further [(x, y), …] that are drawn; hlines: [(y, text)] of lines from side to side, whose labels stand on them."""
    transform, (left, _, right, _) = axis.transData.transform, axis.get_window_extent().extents
    pixels = transform(points)
    taken = [(x - 8, y - 8, x + 8, y + 8) for x, y in pixels]
    for line in lines:
        taken += _along(transform(line))
    heights = [transform((0, y))[1] for y, _ in hlines]
    for height in heights:
        taken += _along([(left, height), (right, height)])
    place_labels(axis, texts, ["black"] * len(texts), [_around_point(*place) for place in pixels], taken, filled=False)
    taken += [_grown(text.get_window_extent()) for text in axis.texts]
    on_line = [[(left + share * (right - left), height + 2, "right", "bottom") for share in (1, 0.8, 0.6, 0.4)]
               for height in heights]
    place_labels(axis, [text for _, text in hlines], [GREY] * len(hlines), on_line, taken, filled=False)


def place_labels(axis: Axes, texts: Iterable[str], colours: Iterable[str], places: Iterable[Iterable[tuple]],
                 taken: Iterable[tuple] = (), filled: bool = True) -> None:
    """Write each text at the first of its places where it stays within the axis and touches nothing that is taken.

    places: [[(x, y, how it lies horizontally, vertically)]] in pixels of the laid-out figure."""
    renderer = axis.figure.canvas.get_renderer()
    limits = axis.get_window_extent(renderer).extents
    taken = list(taken)
    for text, colour, candidates in zip(texts, colours, places):
        style = dict(color=_ink_on(colour), bbox=dict(boxstyle="square,pad=0.12", facecolor=colour, linewidth=0, alpha=0.85)) \
            if filled else dict(color=colour)
        written = axis.text(0, 0, literal(text), fontsize=SMALL, ha="left", va="bottom", **style)
        extent = written.get_window_extent(renderer)
        width, height = extent.width + 2 * GAP, extent.height + 2 * GAP
        place = next((free for free in (_rectangle(*candidate, width, height, limits) for candidate in candidates)
                      if _inside(free, limits) and not any(_touch(free, other) for other in taken)), None)
        if place is None:
            written.remove()
            continue
        taken.append(place)
        left, bottom = written.get_transform().inverted().transform((place[0] + GAP, place[1] + GAP))
        written.set_position((left, bottom))


def _around_box(axis, box):
    left, top, right, bottom = (float(side) for side in box)
    (x0, y0), (x1, y1) = axis.transData.transform([(left, top), (right, bottom)])
    corners = [(x0, y0, "left", "bottom"), (x0, y0, "left", "top"), (x1, y0, "right", "bottom"), (x1, y0, "right", "top"),
               (x0, y1, "left", "bottom"), (x0, y1, "left", "top"), (x1, y1, "right", "bottom"), (x1, y1, "right", "top")]
    beside = [(x, y, lies, stands) for x, lies in ((x0, "right"), (x1, "left"))
              for y, stands in ((y0, "top"), ((y0 + y1) / 2, "center"), (y1, "bottom"))]
    return corners + beside + [((x0 + x1) / 2, (y0 + y1) / 2, "center", "center")]


def _around_point(x, y):
    return [(x + far * right, y + far * up, lies, stands) for far in (9, 24)
            for right, lies in ((1, "left"), (-1, "right"), (0, "center"))
            for up, stands in ((1, "bottom"), (-1, "top"), (0, "center")) if right or up]


def _along(corners):
    """Small rectangles that cover a line through these pixels."""
    covering = []
    for (x0, y0), (x1, y1) in zip(corners, corners[1:]):
        for share in np.linspace(0, 1, max(2, int(max(abs(x1 - x0), abs(y1 - y0)) / 4))):
            x, y = x0 + share * (x1 - x0), y0 + share * (y1 - y0)
            covering.append((x - 1, y - 1, x + 1, y + 1))
    return covering


def _grown(extent):
    return extent.x0 - GAP, extent.y0 - GAP, extent.x1 + GAP, extent.y1 + GAP


def _rectangle(x, y, lies, stands, width, height, limits):
    """(left, bottom, right, top) of a label, moved into the limits where it would stick out."""
    left = x - {"left": 0, "center": width / 2, "right": width}[lies]
    bottom = y - {"bottom": 0, "center": height / 2, "top": height}[stands]
    left, bottom = max(limits[0], min(left, limits[2] - width)), max(limits[1], min(bottom, limits[3] - height))
    return left, bottom, left + width, bottom + height


def _inside(rectangle, limits):
    # by a thousandth of a pixel: it has been moved to the very limit
    return all(rectangle[i] >= limits[i] - 1e-3 and rectangle[i + 2] <= limits[i + 2] + 1e-3 for i in (0, 1))


def _touch(a, b):
    return a[0] < b[2] and b[0] < a[2] and a[1] < b[3] and b[1] < a[3]


def _ink_on(colour):
    """Black or white, whichever is read better on that colour."""
    red, green, blue = matplotlib.colors.to_rgb(colour)
    return "black" if 0.299 * red + 0.587 * green + 0.114 * blue > 0.55 else "white"


def shorten(text: str, most: int) -> str:
    """A text of at most so many characters; of a longer one the end, which tells paths apart."""
    return text if len(text) <= most else "…" + text[1 - most:]

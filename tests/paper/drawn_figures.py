"""Figures as the command draws them: what it answers, and whether their texts can be read."""
import csv
import itertools

import numpy as np
from matplotlib.text import Text
from PIL import Image

from gluon_bof.commands import figure as figures
from tests.command_lines import answer_of


def called(capsys, *words):
    """What the figure command answers, and its table, in this process."""
    return checked(answer_of(figures.main, capsys, *words)[0])


def checked(answer):
    with Image.open(answer["png"]) as image:
        assert image.width == 1660 and len(np.unique(image.convert("L"))) > 5
    with open(answer["csv"], newline="") as file:
        return answer, list(csv.DictReader(file))


def texts_on_each_other(figure):
    """Pairs of visible texts of a figure that overlap by more than a pixel."""
    figure.canvas.draw()
    out_of_sight = {label for axes in figure.axes for axis in (axes.xaxis, axes.yaxis)
                    for place, label in zip(axis.get_majorticklocs(), axis.get_majorticklabels())
                    if not axes.axison or not min(axis.get_view_interval()) <= place <= max(axis.get_view_interval())}
    found = [(text.get_text(), text.get_window_extent()) for text in figure.findobj(Text)
             if text.get_visible() and text.get_text().strip() and text not in out_of_sight]
    width, height = figure.canvas.get_width_height()
    for text, extent in found:
        assert -2 < extent.x0 and extent.x1 < width + 2 and -2 < extent.y0 and extent.y1 < height + 2, f"{text!r} is cut off"
    return [(a, b) for (a, at), (b, bt) in itertools.combinations(found, 2)
            if min(at.x1, bt.x1) - max(at.x0, bt.x0) > 1 and min(at.y1, bt.y1) - max(at.y0, bt.y0) > 1]

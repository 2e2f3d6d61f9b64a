"""Figure 7: detections drawn on images."""
from __future__ import annotations

import os
from dataclasses import dataclass

from gluon_bof.data.images import read_image, read_or_name, read_upright
from gluon_bof.errors import UserError
from gluon_bof.evaluation.validation import validation_set
from gluon_bof.options.flags import at_least, flag, flag_name
from gluon_bof.paper.figures.page import COLOURS, WIDTH, Drawn, draw_box, fit_labels, label_boxes, new_figure, shorten, show_image
from gluon_bof.paper.figures.request import FigureOptions, many
from gluon_bof.paper.figures.weights import open_weights
from gluon_bof.runs.config import require_run_of_last
from gluon_bof.terminal import progress_bar
from gluon_bof.visualization.draw import literal
from gluon_bof.visualization.shown import evenly

COLUMNS = 3
WIDEST = 4.0  # width over height, or height over width: a longer image has bars beside it, so that the others are still seen
OF_THE_SET = ("dataset_root", "val_split", "val_share", "layout")  # flags of evaluate that say which images are the set's
LETTERS = 102  # of a title as wide as the page


@dataclass(frozen=True)
class Options(FigureOptions):
    """Options of Figure 7."""

    weights: str = flag("", "a run's folder or a .params file", required=True)
    images: tuple = many("image files [of the set that the run validates on]", "FILE", old="--pictures")
    count: int = flag(6, "without --images: how many, evenly spread over the set")
    threshold: float = flag(0.5, "least score of what is drawn")


def draw(given: Options) -> Drawn:
    """Figure 7 -> Drawn; a row for each detection."""
    at_least(given, "count", 1)
    if not 0 <= given.threshold <= 1:
        raise UserError(f"--threshold {given.threshold} is outside [0, 1]", remedy="0.5 is usual")
    idle = [*(name for name in OF_THE_SET if name in given.evaluation), *["count"] * (given.count != Options.count)]
    if given.images and idle:
        raise UserError(f"{', '.join(map(flag_name, idle))}: --images are drawn, and none of the set", remedy="leave it out")
    require_run_of_last(given.last, [given.weights])
    detector, resolved = open_weights(given.weights, given)
    every = []
    if not given.images:
        resolved.require_set()
        every = validation_set(resolved.options).records
    records = [every[place] for place in evenly(len(every), given.count)]
    paths = given.images or [record.path for record in records]
    images = [read_or_name(read_upright, path) for path in given.images] or [
        read_or_name(read_image, one.path, one.orientation) for one in records]
    found = [detector.detect([image])[0] for image in
             progress_bar(images, "detecting")]
    names = [os.path.basename(path) for path in paths]
    figure, axes = _grid(images)
    rows = []
    for axis, image, name in zip(axes, images, names):
        show_image(axis, image, name)
    fit_labels(figure)
    for axis, name in zip(axes, names):
        letters = max(3, int(LETTERS * axis.get_window_extent().width / figure.bbox.width))
        axis.set_title(literal(shorten(name, letters)))
    for axis, path, (boxes, classes, scores, *_) in zip(axes, paths, found):
        sure = scores >= given.threshold
        colours = [COLOURS[number % len(COLOURS)] for number in classes[sure]]
        for box, colour in zip(boxes[sure], colours):
            draw_box(axis, box, colour)
        label_boxes(axis, boxes[sure], [f"{detector.classes[number]} {score:.2f}"
                                        for number, score in zip(classes[sure], scores[sure])], colours)
        rows += [(path, detector.classes[number], float(score), *(float(side) for side in box))
                 for box, number, score in zip(boxes[sure], classes[sure], scores[sure])]
    return Drawn(figure, ("image", "class", "score", "xmin", "ymin", "xmax", "ymax"), rows,
                 {"images": len(images), "detections": len(rows), "threshold": given.threshold})


def _grid(images):
    """(figure, an axis for each image); the images of a line are equally high and together as wide as the page."""
    columns = min(COLUMNS, len(images))
    aspects = [min(max(image.shape[1] / image.shape[0], 1 / WIDEST), WIDEST) for image in images]
    lines = [aspects[first:first + columns] for first in range(0, len(images), columns)]
    lines[-1] = lines[-1] + [sum(aspects) / len(aspects)] * (columns - len(lines[-1]))  # room that stays empty
    heights = [WIDTH / sum(line) for line in lines]
    figure = new_figure(sum(heights) + 0.3 * len(lines))
    grid = figure.add_gridspec(len(lines), 1, height_ratios=heights)
    axes = [figure.add_subplot(place) for number, line in enumerate(lines)
            for place in grid[number].subgridspec(1, columns, width_ratios=line)]
    for axis in axes:
        axis.set_axis_off()
    return figure, axes

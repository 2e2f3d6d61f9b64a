"""Label maps laid over their images, and a run's pages of them."""
from __future__ import annotations

import os
from typing import Any, Sequence

import numpy as np
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from gluon_bof.data.label_sets import has_background
from gluon_bof.data.segmentation import read_pair
from gluon_bof.errors import warn_instead
from gluon_bof.files import write_figure
from gluon_bof.masks import NOBODY, voc_palette
from gluon_bof.visualization.draw import literal
from gluon_bof.visualization.shown import first_drawn

OPACITY = 0.55
MOST_NAMED = 21  # classes that a legend names
SHOWN = 8  # images of the training set on a page


def overlay(image: np.ndarray, labels: np.ndarray, classes: Sequence[str] = ()) -> np.ndarray:
    """An image (H, W, 3) uint8 RGB with its label map (H, W) over it in VOC's colours, edges drawn dark. Class 0 stays clear, but
    where `classes` have no background; ignored pixels are white."""
    painted = voc_palette()[labels].astype(np.float32)
    painted[labels == NOBODY] = 255
    share = np.where((labels == 0) & has_background(classes), 0, OPACITY)[..., None]
    found = image * (1 - share) + painted * share
    edge = np.zeros(labels.shape, bool)
    edge[:, 1:] |= labels[:, 1:] != labels[:, :-1]
    edge[1:] |= labels[1:] != labels[:-1]
    found[edge] *= 0.4
    return np.round(found).astype(np.uint8)


def draw_training_maps(run: Any, dataset: Any, sampler: Any, classes: Sequence[str]) -> None:
    """A page of images of the run's first batches as the network sees them, beside their label maps."""
    first = first_drawn(sampler, SHOWN)
    figure, rows = _page(len(first), 1 + (2 if dataset.mixes else 1))
    for axes, spec in zip(rows, first):
        image, maps, weights, _ = dataset[spec]
        _show(axes[0], image, f"{spec.size} px")
        for axis, labels, weight in zip(axes[1:], maps, weights):
            _show(axis, overlay(image, labels, classes), f"weight {weight:.2f}")
    _save(figure, run, "training_images.png", classes)


@warn_instead()
def draw_validation_maps(run: Any, shown: Sequence[tuple], classes: Sequence[str]) -> None:
    """A page of validation images: the image, its ground truth, and what was found. shown: (sample, label map found)."""
    figure, rows = _page(len(shown), 3)
    for axes, (sample, found) in zip(rows, shown):
        image, labels = read_pair(sample, len(classes))
        maps = (overlay(image, shown_map, classes) for shown_map in (labels, found))
        for axis, picture, title in zip(axes, (image, *maps), (sample.image_id, "truth", "found")):
            _show(axis, picture, title)
    _save(figure, run, "validation_images.png", classes)


def _page(count, columns):
    figure = Figure(figsize=(2.4 * columns, 2.2 * max(1, count) + 0.5), layout="constrained")
    return figure, np.reshape(figure.subplots(max(1, count), columns), (-1, columns))


def _show(axis, image, title):
    axis.imshow(image)
    axis.set_axis_off()
    axis.set_title(literal(title[-40:]), fontsize=8)


def legend_of(classes: Sequence[str]) -> list[tuple[int, str]]:
    """[(number, class name)] that a legend names: the first of those that are coloured."""
    return list(enumerate(classes))[has_background(classes):MOST_NAMED]


def _save(figure, run, name, classes):
    colours = voc_palette() / 255
    patches = [Patch(color=colours[number], label=literal(text)) for number, text in legend_of(classes)]
    if patches:
        figure.legend(handles=patches, loc="outside lower center", ncols=min(5, len(patches)), fontsize=7)
    write_figure(os.path.join(run.images, name), figure, dpi=90)

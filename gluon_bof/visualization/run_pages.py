"""What people would rather see than read: curves, what the network is fed, what it finds."""
from __future__ import annotations

import math
import os
from typing import TYPE_CHECKING, Any, Mapping, Sequence

import numpy as np
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from gluon_bof.data.images import read_image
from gluon_bof.errors import warn_instead
from gluon_bof.files import write_figure
from gluon_bof.visualization.draw import colour_of, literal, with_masks
from gluon_bof.visualization.shown import evenly, first_drawn

if TYPE_CHECKING:
    from gluon_bof.boxes import Detections, DetectionSet
    from gluon_bof.data.loader import TrainingImages
    from gluon_bof.data.sampler import BatchSampler
    from gluon_bof.runs.folder import RunFolder

LOOK = dict(fontsize=7, color="white", va="bottom",
            bbox=dict(boxstyle="square,pad=0.1", linewidth=0, alpha=0.75))
SHOWN = 16  # images on a page
COMPARED = 12  # images beside themselves, truth and detections
LEAST_SCORE = 0.3  # of a detection that is shown


def draw_run(run: RunFolder, score: str = "map", words: str = "validation mAP") -> list[str]:
    """Curves of the run's tables. score: column of an epoch's row; words: what it is. Returns the paths of all its images."""
    intervals, epochs = run.rows("intervals"), run.rows("metrics")
    if epochs:
        _draw_losses(run, intervals or epochs)
        _draw_score(run, [row for row in epochs if row[score]], score, words)
    return sorted(os.path.join(run.images, name) for name in os.listdir(run.images) if name.endswith(".png"))


@warn_instead()
def _draw_losses(run, rows):
    figure = Figure(figsize=(9, 6), layout="constrained")
    upper, lower = figure.subplots(2, 1, sharex=True)
    iterations = [int(row["iteration"]) for row in rows]
    upper.plot(iterations, [float(row["learning_rate"]) for row in rows], color="black")
    upper.set_ylabel("learning rate")
    for column in [name for name in rows[0] if name.endswith("_loss")]:
        lower.plot(iterations, [float(row[column]) for row in rows], label=column[:-len("_loss")])
    lower.set_yscale("log")
    lower.set(xlabel="iteration", ylabel="loss an image")
    lower.legend(ncol=5, fontsize=8)
    _save(figure, run, "learning_rate_and_losses.png")


@warn_instead()
def _draw_score(run, rows, column, words):
    if not rows:
        return
    figure = Figure(figsize=(9, 4), layout="constrained")
    axes = figure.subplots()
    values = [float(row[column]) for row in rows]
    axes.plot([int(row["epoch"]) for row in rows], values, marker="o")
    axes.set(xlabel="epoch", ylabel=words, ylim=(0, 1))
    axes.annotate(f"{values[-1]:.3f}", (int(rows[-1]["epoch"]), values[-1]), textcoords="offset points", xytext=(0, 8),
                  ha="center")
    axes.grid(alpha=0.3)
    _save(figure, run, f"validation_{column}.png")


def draw_training_batch(run: RunFolder, dataset: TrainingImages, sampler: BatchSampler, classes: Sequence[str]) -> None:
    """A page of images of the run's first batches as the network sees them, with boxes and mix weights."""
    first = first_drawn(sampler, SHOWN)
    figure, axes = _page(len(first))
    for axis, spec in zip(axes, first):
        image, truth = dataset[spec][:2]
        axis.imshow(image)
        mixed = f", mixed {spec.ratio:.2f} : {1 - spec.ratio:.2f}" if spec.partner >= 0 else ""
        axis.set_title(f"{spec.size} px{mixed}", fontsize=8)
        for row in truth:
            _box(axis, row[:4], int(row[4]), f"{classes[int(row[4])]} {row[5]:.2f}", max(0.25, float(row[5])))
    _save(figure, run, "training_images.png")


@warn_instead()
def draw_validation_boxes(run: RunFolder, detection_set: DetectionSet, detections: Sequence[Detections]) -> None:
    """A page of validation images, evenly spread: ground truth on the left, detections on the right."""
    chosen = evenly(len(detection_set), COMPARED)
    figure, axes = _page(2 * len(chosen), columns=6)
    for place, index in enumerate(chosen):
        record, found = detection_set.records[index], detections[index]
        image = read_image(record.path, record.orientation)
        sure = found.scores >= LEAST_SCORE
        shown = (image, image) if record.masks is None or found.masks is None else (
            with_masks(image, record.masks, record.classes), with_masks(image, found.masks[sure], found.classes[sure]))
        for axis, title, image in zip(axes[2 * place:2 * place + 2], ("truth", "found"), shown):
            axis.imshow(image)
            axis.set_title(literal(f"{record.image_id}: {title}"[-40:]), fontsize=7)
        for box, number in zip(record.boxes, record.classes):
            _box(axes[2 * place], box, number, detection_set.classes[number])
        for box, number, value in zip(*found[:3]):
            if value >= LEAST_SCORE:
                _box(axes[2 * place + 1], box, number, f"{detection_set.classes[number]} {value:.2f}")
    _save(figure, run, "validation_images.png")


def _page(count, columns=4):
    rows = max(1, math.ceil(count / columns))
    figure = Figure(figsize=(2.6 * columns, 2.5 * rows), layout="constrained")
    axes = np.atleast_1d(figure.subplots(rows, columns)).ravel()
    for axis in axes:
        axis.set_axis_off()
    return figure, axes


def _box(axis, box, number, text, opacity=1.0):
    colour = [part / 255 for part in colour_of(number)]
    left, top, right, bottom = (float(side) for side in box)
    axis.add_patch(Rectangle((left, top), right - left, bottom - top, fill=False, edgecolor=colour, linewidth=1.5,
                             alpha=opacity))
    look = dict(LOOK, bbox=dict(LOOK["bbox"], facecolor=colour))
    axis.text(left, top, literal(text), clip_on=True, **look)


def _save(figure, run, name):
    # of boxes; the numbers of a curve have no ground
    labels = [(label, axis) for axis in figure.axes for label in axis.texts if label.get_bbox_patch()]
    if labels:
        figure.draw_without_rendering()  # lays it out: then it is known how large letters are
    for label, axis in labels:
        _move_into(label, axis)
    write_figure(os.path.join(run.images, name), figure, dpi=110)


def _move_into(label, axis):
    """Move a label that leaves its image at the top or a side by as much as it does."""
    ground, image = label.get_bbox_patch().get_window_extent(), axis.get_window_extent()
    aside = min(image.x1 - ground.x1, 0)
    aside += max(image.x0 - ground.x0 - aside, 0)
    x, y = label.get_transform().transform(label.get_position())
    label.set_position(label.get_transform().inverted().transform((x + aside, y + min(image.y1 - ground.y1, 0))))


@warn_instead()
def draw_localised(run: RunFolder, images: Any, samples: Sequence, boxes: np.ndarray, predictions: Mapping,
                   classes: Sequence[str]) -> None:
    """A page of validation images of one object, evenly spread: its box dashed, and what the network says.

    images[i] -> (image (S, S, 3), i); boxes (N, 4), and those of predictions, {index: (class, corners)}: shares of the sides."""
    chosen = [index for index in evenly(len(samples), SHOWN) if index in predictions]
    figure, axes = _page(len(chosen))
    for axis, index in zip(axes, chosen):
        image = images[int(index)][0]
        number, said = predictions[index]
        axis.imshow(image)
        left, top, right, bottom = boxes[index] * image.shape[0]
        axis.add_patch(Rectangle((left, top), right - left, bottom - top, fill=False, edgecolor="white", linestyle="--"))
        _box(axis, said * image.shape[0], number, classes[number])
        axis.set_title(literal(f"truth: {classes[samples[index].class_id]}"), fontsize=8)
    _save(figure, run, "validation_boxes.png")

"""Figures 2 and 3: mixup of classification, and geometry-preserved mixup of detection (paper, section 3.1)."""
from __future__ import annotations

import math
import os
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from gluon_bof.boxes import TRUTH_COLUMNS, area
from gluon_bof.errors import UserError
from gluon_bof.freebies.augmentation import render, whole_view
from gluon_bof.freebies.mixup import WEIGHT, blend_images, merge_truths
from gluon_bof.options.flags import NUMBERS, flag
from gluon_bof.paper.figures.page import (
    BLUE,
    ORANGE,
    WIDTH,
    Drawn,
    draw_box,
    fit_labels,
    label_boxes,
    new_figure,
    shorten,
    show_image,
)
from gluon_bof.paper.figures.request import FigureOptions, many
from gluon_bof.paper.figures.scenes import embedded_scene, given_scene, require_within

if TYPE_CHECKING:
    from gluon_bof.paper.figures.scenes import Scene

DEFAULT_RATIOS = (0.1, 0.3, 0.5)  # the first is the paper's "typical mixup ratio at 0.1 : 0.9"
MAX_RATIOS = 4  # beside each other, with labels that can be read
CLASSIFIED_SIDE = 224  # pixels, as ImageNet's classifiers see them
EMBEDDED_PAIR = 0, 46  # one tall, one wide
OF_A, OF_B = ORANGE, BLUE


@dataclass(frozen=True)
class Options(FigureOptions):
    """Options of Figures 2 and 3."""

    images: tuple = many("two image files [two of the embedded set]", ("A", "B"), 2, old="--pictures")
    ratios: tuple = flag(DEFAULT_RATIOS, "weights of A, comma-separated", kind=NUMBERS)
    labels: tuple = many("Figure 2: what they are classified as [their largest object, or else their file's name]", ("A", "B"), 2)
    boxes_a: tuple = many("objects in A, in pixels", "LABEL,XMIN,YMIN,XMAX,YMAX")
    boxes_b: tuple = many("objects in B, in pixels", "LABEL,XMIN,YMIN,XMAX,YMAX")


def draw(given: Options) -> Drawn:
    """Figure 2 or 3 -> Drawn."""
    if given.labels and given.figure != 2:
        raise UserError("--labels: Figure 3 has no labels of whole images", remedy="leave it out, or draw Figure 2")
    ratios = list(given.ratios)
    require_within(ratios, "--ratios", 0, 1)
    if len(ratios) > MAX_RATIOS:
        raise UserError(f"--ratios holds {len(ratios)} numbers", remedy=f"give at most {MAX_RATIOS}")
    if given.images:
        scenes = [given_scene(path, objects) for path, objects in zip(given.images, (given.boxes_a, given.boxes_b))]
    elif given.boxes_a or given.boxes_b:
        raise UserError("--boxes-a and --boxes-b belong to --images", remedy="give --images A B, too")
    else:
        scenes = [embedded_scene(number) for number in EMBEDDED_PAIR]
    if given.figure == 2:
        return _draw_classification(scenes, given.labels or [image_label(scene) for scene in scenes], ratios)
    return _draw_detection(scenes, ratios)


def image_label(scene: Scene) -> str:
    """The class of an image as a whole: its largest object's."""
    return scene.labels[int(area(scene.boxes).argmax())] if scene.labels else os.path.splitext(scene.name)[0]


def blend_resized(a: np.ndarray, b: np.ndarray, ratio: float) -> np.ndarray:
    """Mixup of classification: both images are resized to a square, whatever their shapes, and blended.

    a, b: (H, W, 3) uint8; ratio: weight of a, in [0, 1]. Returns a square of CLASSIFIED_SIDE, (S, S, 3) uint8."""
    return blend_images(resized(a), resized(b), ratio)


def resized(image: np.ndarray) -> np.ndarray:
    """The whole image, (H, W, 3) uint8, as a square of CLASSIFIED_SIDE."""
    return np.ascontiguousarray(render(image, whole_view(image.shape, (CLASSIFIED_SIDE, CLASSIFIED_SIDE))))


def mixed_truth(a: Scene, b: Scene, ratio: float) -> tuple[np.ndarray, tuple[str, ...]]:
    """Objects of two scenes after mixup -> ((M, 6) truth, whose class ids count the scenes' labels; labels (M,))."""
    truths = []
    for scene, first in ((a, 0), (b, len(a.labels))):
        truth = np.ones((len(scene.labels), TRUTH_COLUMNS), np.float32)
        truth[:, :4] = scene.boxes
        truth[:, 4] = first + np.arange(len(truth))
        truths.append(truth)
    return merge_truths(*truths, ratio), a.labels + b.labels


def _draw_classification(scenes, labels, ratios):
    a, b = (scene.image for scene in scenes)
    panels = [(resized(scene.image), f"{letter}\n{shorten(label, 22)}") for scene, label, letter in zip(scenes, labels, "AB")]
    panels += [(blend_resized(a, b, ratio), f"{_weights(ratio)}\n{_mixed_label(labels, ratio)}") for ratio in ratios]
    columns = min(5, len(panels)) if len(panels) != 6 else 3
    lines = math.ceil(len(panels) / columns)
    figure = new_figure(lines * (WIDTH / columns + 0.5))
    axes = np.ravel(figure.subplots(lines, columns))
    for axis in axes:
        axis.set_axis_off()
    for axis, (image, title) in zip(axes, panels):
        show_image(axis, image, title)
    rows = [(ratio, scene.name, label, weight) for ratio in ratios
            for scene, label, weight in zip(scenes, labels, (ratio, 1 - ratio))]
    return Drawn(figure, ("ratio", "image", "label", "weight"), rows, {"ratios": ratios})


def _draw_detection(scenes, ratios):
    a, b = scenes
    canvas = np.maximum(a.image.shape[:2], b.image.shape[:2])
    column = WIDTH / (len(ratios) + 1)
    figure = new_figure(column + column * canvas[0] / canvas[1] + 0.9)
    axes = figure.subplots(2, len(ratios) + 1, height_ratios=(1, canvas[0] / canvas[1]))
    for axis, scene, colour, letter in zip(axes[:, 0], scenes, (OF_A, OF_B), "AB"):
        height, width = scene.image.shape[:2]
        show_image(axis, scene.image, f"{letter}\n{width} x {height}")
        for box in scene.boxes:
            draw_box(axis, box, colour)
    rows, outlined = [], [(axes[0, 0], a.boxes, a.labels, [OF_A] * len(a.labels)),
                          (axes[1, 0], b.boxes, b.labels, [OF_B] * len(b.labels))]
    for (upper, lower), ratio in zip(axes[:, 1:].T, ratios):
        show_image(upper, blend_resized(a.image, b.image, ratio), f"{_weights(ratio)}\nresized, as Figure 2")
        image = blend_images(a.image, b.image, ratio)
        truth, names = mixed_truth(a, b, ratio)
        colours = [OF_A] * len(a.labels) + [OF_B] * len(b.labels)
        show_image(lower, image, f"{_weights(ratio)}\ngeometry preserved")
        for row, colour in zip(truth, colours):
            draw_box(lower, row[:4], colour, alpha=max(0.35, float(row[WEIGHT])))
        outlined.append((lower, truth[:, :4], [f"{name} {row[WEIGHT]:.2g}" for name, row in zip(names, truth)], colours))
        sources = [a.name] * len(a.labels) + [b.name] * len(b.labels)
        rows += [(ratio, source, name, *(float(value) for value in row[:4]), round(float(row[WEIGHT]), 6), image.shape[1],
                  image.shape[0]) for source, name, row in zip(sources, names, truth)]
    fit_labels(figure)
    for axis, boxes, texts, colours in outlined:
        label_boxes(axis, boxes, texts, colours)
    return Drawn(figure, ("ratio", "image", "label", "xmin", "ymin", "xmax", "ymax", "weight", "width", "height"), rows,
                 {"ratios": ratios, "boxes": len(a.labels) + len(b.labels)})


def _weights(ratio):
    return f"{ratio:.2g} : {1 - ratio:.2g}"


def _mixed_label(labels, ratio):
    if labels[0] == labels[1]:
        return f"1 {shorten(labels[0], 20)}"
    return "\n".join(f"{weight:.2g} {shorten(label, 20)}" for label, weight in zip(labels, (ratio, 1 - ratio)))

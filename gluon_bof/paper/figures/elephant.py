"""Figure 5: the elephant in the room, for one or two weights (paper, section 3.1)."""
from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from PIL import Image, ImageOps

from gluon_bof.data.images import read_or_name, read_upright
from gluon_bof.errors import UserError, abbreviate
from gluon_bof.inference.detector import open_detector
from gluon_bof.options.families import family_of
from gluon_bof.options.flags import at_least, flag, positive
from gluon_bof.paper.elephant import ANY_CLASS, Slide, paste, slide
from gluon_bof.paper.figures.page import (
    GREEN,
    ORANGE,
    RED,
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
from gluon_bof.paper.figures.scenes import Scene, embedded_scene, given_scene, read_box
from gluon_bof.paper.figures.weights import names_of, resolve_all
from gluon_bof.terminal import progress_bar
from gluon_bof.visualization.draw import literal

EMBEDDED_IMAGE, EMBEDDED_PATCH = 2, (14, 0)  # an image without triangles, and a triangle
HIDDEN = "#888888"


@dataclass(frozen=True)
class Options(FigureOptions):
    """Options of Figure 5."""

    weights: tuple = many("one or two runs' folders or .params files, such as without and with mixup", "WEIGHTS", required=True)
    image: str = flag("", "file of the room [one of the embedded set]", old="--picture")
    objects: tuple = many("what is in the room, in pixels [what each detector finds there without the elephant]",
                          "LABEL,XMIN,YMIN,XMAX,YMAX")
    patch: str = flag("", "file of the elephant; transparent pixels are not pasted [one of the embedded set]")
    box: str = flag("", "XMIN,YMIN,XMAX,YMAX of the elephant in its file [all of it]")
    label: str = flag("", "the elephant's class [any]")
    scale: float = flag(1.0, "the elephant is resized by this factor")
    step: int | None = flag(None, "most pixels between places [a twentieth of the image's longer side]", kind=int)
    threshold: float = flag(0.5, "score from which on a detection counts")


def draw(given: Options) -> Drawn:
    """Figure 5 -> Drawn; a row for each place, before them one without the elephant."""
    _check(given)
    room = given_scene(given.image, given.objects) if given.image else embedded_scene(EMBEDDED_IMAGE)
    patch, mask, label = _patch(given)
    if any(a < b for a, b in zip(room.image.shape[:2], patch.shape[:2])):
        raise UserError(f"the elephant of {patch.shape[1]} x {patch.shape[0]} pixels does not fit into the image of "
                        f"{room.image.shape[1]} x {room.image.shape[0]}", given.patch or None, "give --scale or another --box")
    names, resolved = names_of(given.weights), resolve_all(given.weights, given)
    for weights, one in zip(given.weights, resolved):
        _require_known({*room.labels, *([label] if label else [])}, one.require(), weights)
    detectors = [open_detector(one) for one in resolved]
    rooms = [room] * len(detectors)
    if given.image and not given.objects:  # in both before the hours of a slide
        rooms = [_found_in(detector, room, given.threshold, weights) for detector, weights in zip(detectors, given.weights)]
    trials = [_Trial(name, weights, family_of(one.options).title, own, _slid(detector, name, given, own, patch, mask, label))
              for name, weights, one, detector, own in zip(names, given.weights, resolved, detectors, rooms)]
    # the place at which all together find least, so that each is seen in the same image
    together = sum(np.nan_to_num(trial.slide.recall, nan=1) for trial in trials)
    shown = np.unravel_index(together.argmin(), together.shape)
    figure = _draw(trials, room, patch, mask, shown)
    most = max(len(trial.room.labels) for trial in trials)
    columns = ("weights", "xmin", "ymin", "patch_score", "patch_found", "visible", "found", "recall", "score_change",
               *(f"score_{number}" for number in range(1, most + 1)))
    numbers = {"patch": {"width": patch.shape[1], "height": patch.shape[0], "label": label}, "threshold": given.threshold,
               "places": int(trials[0].slide.recall.size),
               "weights": {trial.weights: {**trial.slide.summary(), "objects": list(trial.room.labels)} for trial in trials}}
    return Drawn(figure, columns, [row for trial in trials for row in _rows(trial)], numbers)


class _Trial(NamedTuple):
    name: str
    weights: str
    kind: str
    room: Scene
    slide: Slide


def _check(given):
    if len(given.weights) > 2:
        raise UserError(f"--weights names {len(given.weights)}", remedy="give one or two")
    if not 0 < given.threshold <= 1:
        raise UserError(f"--threshold {given.threshold} is outside (0, 1]", remedy="0.5 is usual")
    if given.step is not None:
        at_least(given, "step", 1)
    positive(given, "scale")
    for name, needed in (("objects", "image"), ("box", "patch")):
        if getattr(given, name) and not getattr(given, needed):
            raise UserError(f"--{name} belongs to --{needed}", remedy=f"give --{needed}, too")


def _patch(given):
    """(pixels (h, w, 3), mask (h, w) bool or None, label or None) of the elephant."""
    if given.patch:
        image, mask, label = read_or_name(read_upright, given.patch), _opaque(given.patch), given.label or None
        box = read_box(given.box, image, given.patch) if given.box else (0, 0, image.shape[1], image.shape[0])
    else:
        scene, number = embedded_scene(EMBEDDED_PATCH[0]), EMBEDDED_PATCH[1]
        image, mask, label, box = scene.image, None, given.label or scene.labels[number], scene.boxes[number]
    left, top, right, bottom = (round(float(side)) for side in box)
    left, top = min(left, image.shape[1] - 1), min(top, image.shape[0] - 1)
    window = np.s_[top:max(bottom, top + 1), left:max(right, left + 1)]
    patch, mask = image[window], None if mask is None else mask[window]
    if given.scale != 1:
        size = tuple(max(1, round(given.scale * side)) for side in (patch.shape[1], patch.shape[0]))
        patch = np.asarray(Image.fromarray(np.ascontiguousarray(patch)).resize(size, Image.BICUBIC))
        mask = None if mask is None else np.asarray(Image.fromarray(mask).resize(size, Image.NEAREST))
    return patch, mask, label


def _opaque(path):
    """(H, W) bool: the pixels of a file that are not transparent, upright; None if it knows no transparency."""
    with Image.open(path) as image:
        if "A" not in image.getbands() and "transparency" not in image.info:
            return None
        return np.asarray(ImageOps.exif_transpose(image).convert("RGBA").getchannel("A")) > 127


def _require_known(labels, classes, weights):
    for wanted in labels:
        if wanted not in classes:
            raise UserError(f"{wanted!r} is not among the classes of these weights ({abbreviate(classes, 20)})", weights,
                            "give --image, --patch, --objects and --label that they know")


def _slid(detector, name, given, room, patch, mask, label):
    """One detector's Slide."""
    classes = np.array([detector.classes.index(wanted) for wanted in room.labels], int)
    return slide(detector.detect, room.image, patch, room.boxes, classes,
                 detector.classes.index(label) if label else ANY_CLASS, mask, given.step, given.threshold,
                 lambda chunks: progress_bar(chunks, f"sliding, {name}"))


def _found_in(detector, room, threshold, weights):
    """The room with what this detector finds there by itself."""
    found = detector.detect([room.image])[0]
    sure = found.scores >= threshold
    if not sure.any():
        raise UserError(f"these weights find nothing in {room.name} at --threshold {threshold:g}", weights,
                        "lower it, or name what is there with --objects")
    return Scene(room.name, room.image, found.boxes[sure], tuple(detector.classes[number] for number in found.classes[sure]))


def _rows(trial):
    slid = trial.slide
    clean = [float(score) for score in slid.clean_scores]
    yield (trial.weights, "", "", "", "", len(clean), int((slid.clean_scores >= slid.threshold).sum()),
           float((slid.clean_scores >= slid.threshold).mean()), 0.0, *clean)
    for y, x in np.ndindex(slid.recall.shape):
        yield (trial.weights, int(slid.lefts[x]), int(slid.tops[y]), float(slid.patch_scores[y, x]), int(slid.patch_found[y, x]),
               int(slid.visible[y, x]), int(slid.found[y, x]), _number(slid.recall[y, x]), _number(slid.score_change[y, x]),
               *("" if hidden else float(score) for score, hidden in zip(slid.scores[y, x], slid.hidden[y, x])))


def _number(value):
    return "" if np.isnan(value) else float(value)


def _draw(trials, room, patch, mask, shown):
    height, width = room.image.shape[:2]
    row = WIDTH / 3 * height / width
    figure = new_figure(len(trials) * (row + 0.5) + 0.75)
    *axes, (unused, *bars) = figure.subplots(len(trials) + 1, 3, height_ratios=[row] * len(trials) + [0.12])
    unused.set_axis_off()
    limit = max(0.1, *(float(np.abs(np.nan_to_num(trial.slide.score_change)).max()) for trial in trials))
    for trial, (example, missed, moved) in zip(trials, axes):
        summary = trial.slide.summary()
        example.set_title(f"{literal(shorten(trial.name, 30))}\n{trial.kind}")
        missed_map = _map(missed, trial, patch, 1 - trial.slide.recall, "Oranges", (0, 1))
        missed.set_title(f"recall of the others {_text(summary['recall'])}\n"
                         f"(without elephant {_text(summary['recall_without_patch'])})")
        moved_map = _map(moved, trial, patch, trial.slide.score_change, "PuOr", (-limit, limit))
        moved.set_title(f"their scores move by {_text(summary['score_change'], '+.3f')}\nelephant found "
                        f"{100 * summary['patch_recall']:.0f}%")
        _mark_where_the_patch_is_missed(missed, trial, patch)
        show_image(example, paste(room.image, patch, int(trial.slide.lefts[shown[1]]), int(trial.slide.tops[shown[0]]), mask),
                     example.get_title())
    figure.colorbar(missed_map, cax=bars[0], orientation="horizontal", label="share of the others missed")
    figure.colorbar(moved_map, cax=bars[1], orientation="horizontal", label="change of the others' scores")
    if any(not trial.slide.patch_found.all() for trial in trials):
        unused.text(0, 0, "×: the elephant is missed here", fontsize=9, va="top")
    fit_labels(figure)
    for trial, (axis, _, _) in zip(trials, axes):
        _label_example(axis, trial, patch, shown)
    return figure


def _map(axis, trial, patch, values, colours, limits):
    """Values (Y, X) where the patch's centre lies, with the others' outlines."""
    slid = trial.slide
    height, width = trial.room.image.shape[:2]
    edges = [_cells(corners + side / 2, whole) for corners, side, whole in ((slid.lefts, patch.shape[1], width),
                                                                            (slid.tops, patch.shape[0], height))]
    image = axis.pcolormesh(*edges, values, cmap=colours, vmin=limits[0], vmax=limits[1])
    for box in trial.room.boxes:
        draw_box(axis, box, "black", linewidth=0.8)
    axis.set(xlim=(0, width), ylim=(height, 0), aspect="equal", xticks=(), yticks=(), anchor="N")
    axis.spines[:].set_visible(True)
    axis.grid(False)
    return image


def _cells(centres, whole):
    """Edges of the cells around these places; of a single one: the whole side."""
    if len(centres) == 1:
        return np.array((0, whole))
    between = (centres[:-1] + centres[1:]) / 2
    return np.concatenate([[2 * centres[0] - between[0]], between, [2 * centres[-1] - between[-1]]])


def _mark_where_the_patch_is_missed(axis, trial, patch):
    rows, columns = np.nonzero(~trial.slide.patch_found)
    axis.plot(trial.slide.lefts[columns] + patch.shape[1] / 2, trial.slide.tops[rows] + patch.shape[0] / 2, "x", color="black",
              markersize=2.5, markeredgewidth=0.7)


def _label_example(axis, trial, patch, shown):
    slid = trial.slide
    left, top = int(slid.lefts[shown[1]]), int(slid.tops[shown[0]])
    own = (left, top, left + patch.shape[1], top + patch.shape[0])
    score = slid.patch_scores[shown]
    boxes, texts, colours = [own], [f"elephant {score:.2f}" if score >= slid.threshold else "elephant missed"], [ORANGE]
    for box, name, score, hidden in zip(trial.room.boxes, trial.room.labels, slid.scores[shown], slid.hidden[shown]):
        found = score >= slid.threshold
        boxes.append(box)
        texts.append(f"{name} hidden" if hidden else f"{name} {score:.2f}" if found else f"{name} missed")
        colours.append(HIDDEN if hidden else GREEN if found else RED)
    for box, text, colour in zip(boxes, texts, colours):
        draw_box(axis, box, colour, linestyle="--" if text.endswith(("missed", "hidden")) else "-")
    label_boxes(axis, boxes, texts, colours)


def _text(value, form=".3f"):
    return "-" if value is None else format(round(value, 3) + 0.0, form)  # + 0.0: no minus before zero

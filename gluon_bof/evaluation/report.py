"""Everything about a detector on a data set, as one dict of numbers and one page."""
from __future__ import annotations

from typing import Any, Mapping, Sequence

import numpy as np

from gluon_bof.boxes import Detections, DetectionSet
from gluon_bof.evaluation import plots
from gluon_bof.evaluation.curves import Curve, ap_by_size, best_f1, calibration, confusion_matrix, curve
from gluon_bof.evaluation.errors import detection_errors
from gluon_bof.evaluation.gallery import thumbnail, worst_images
from gluon_bof.evaluation.matching import match_images, match_set, precision_at_recall
from gluon_bof.evaluation.page import png_of, write_page
from gluon_bof.options.families import map_in_words
from gluon_bof.runs.folder import RunFolder

CONFUSIONS = 8  # that are listed
EXPLAINED = {"voc07": "VOC 2007's 11-point mAP@0.5", "voc": "all-point mAP@0.5", "coco": "AP@[.5:.95]"}


def write_report(path: str, detections: Sequence[Detections], detection_set: DetectionSet,
                 scored: Mapping[str, Any], about: dict | None = None, run: str | None = None) -> dict:
    """Write the page of [Detections] on a DetectionSet, and its numbers beside it -> the numbers.

    scored: what `score` or `score_masks` gave of them. about: {name: value} of what was evaluated, shown at the head. run: a
    run's folder, for the training's curves, or None. Raises UserError where they cannot be written."""
    mean_ap = map_in_words("masks" in scored)  # that of a run's table
    numbers, curves = gather(detections, detection_set, scored)
    numbers = {"about": about or {}, **numbers}
    training = training_rows(run) if run else []
    shown = {"figures": _figures(numbers, curves),
             "training": [(title, png_of(figure)) for title, figure in plots.training_figures({"": training}, mean_ap)],
             "thumbnails": {name: [thumbnail(entry, detection_set.records) for entry in entries]
                       for name, entries in numbers["worst"].items()}}
    numbers["training"] = training
    write_page(path, "report.html.j2", numbers, explained=EXPLAINED[numbers["metric"]], kinds=plots.TEXT, **shown)
    return numbers


def report_run(folder: str, detections: Sequence[Detections], detection_set: DetectionSet, scored: Mapping[str, Any],
               about: dict | None = None) -> str:
    """The same into a run's folder, of its last validation; about: what else its head says. Returns the page's path."""
    path = RunFolder(folder).report
    about = {"run": folder, "data set": detection_set.name, **(about or {})}
    write_report(path, detections, detection_set, scored, about, folder)
    return path


def gather(detections: Sequence[Detections], detection_set: DetectionSet,
           scored: Mapping[str, Any]) -> tuple[dict, dict[str, Curve]]:
    """(numbers, {class: Curve}) of [Detections] on a DetectionSet. numbers is a dict about the boxes, also of detectors of masks:

    map, metric, classes (a dict each: name, boxes, ap, small, medium, large, f1, score, precision, recall), sizes, best
    (F1 of all classes together), errors, confusion, calibration, precision_at_recall, worst. All but `map`, `metric` and
    `ap`, which the metric gives, are at an IoU of 0.5 and by COCO's matching."""
    if "masks" in scored:
        scored = {**scored, "map": scored["box_map"], "per_class": scored["box_per_class"]}
    records, names = detection_set.records, detection_set.classes
    count = len(names)
    of_images = match_images(detections, records)
    matches = match_set(of_images, count)
    curves = {name: curve(*matches.of_class(index)) for index, name in enumerate(names)}
    sizes = ap_by_size(detections, records, count)
    overall = best_f1(curve(matches.scores, matches.hits, matches.positives.sum()))
    threshold = 0.0 if overall.score is None else overall.score
    found = detection_errors(of_images, count)
    matrix = confusion_matrix(of_images, count, threshold)
    numbers = {
        "images": len(records), "boxes": int(matches.positives.sum()), "detections": len(matches.scores),
        "map": scored["map"], "metric": scored["metric"], "coco": scored.get("coco"),
        "classes": [dict(name=name, boxes=int(matches.positives[index]), ap=scored["per_class"][name],
                         **{size: values[0][index] for size, values in sizes.items()}, **best_f1(curves[name])._asdict())
                    for index, name in enumerate(names)],
        "sizes": {size: {"ap": _mean(values), "boxes": int(boxes.sum())} for size, (values, boxes) in sizes.items()},
        "best": overall._asdict(),
        "errors": {key: value for key, value in found._asdict().items() if key != "kinds"},
        "confusion": {"score": threshold, "labels": [*names, "background"], "matrix": matrix,
                      "most": _most_confused(matrix, names)},
        "calibration": calibration(matches.scores, matches.hits)._asdict(),
        "precision_at_recall": {name: precision_at_recall(*matches.of_class(index)[1:]) if matches.positives[index] else None
                                for index, name in enumerate(names)},
        "worst": worst_images(of_images, detections, detection_set, found.kinds, threshold)}
    return numbers, curves


def training_rows(folder: str) -> list[dict]:
    """A row an epoch of a run's training as {column: number, text, or None for an empty cell}; [] where there are none."""
    return [{name: _value(cell) for name, cell in row.items()} for row in RunFolder(folder).rows("metrics") if None not in row]


def _value(cell):
    try:
        return float(cell)
    except (TypeError, ValueError):
        return cell or None


def _figures(numbers, curves):
    confusion = numbers["confusion"]
    calibrated = {**numbers["calibration"], "precision": [value if value == value else None
                                                          for value in numbers["calibration"]["precision"]]}
    drawn = {"errors": plots.errors_figure(numbers["errors"]),
             "precision_recall": plots.precision_recall_figure(numbers["precision_at_recall"]),
             "f1": plots.f1_figure(curves, numbers["best"]["score"]),
             "confusion": plots.confusion_figure(confusion["matrix"], confusion["labels"]),
             "reliability": plots.reliability_figure(calibrated)}
    return {name: png_of(figure) for name, figure in drawn.items()}


def _mean(values):
    known = values[~np.isnan(values)]
    return float(known.mean()) if known.size else None


def _most_confused(matrix, names):
    """The largest numbers of one class found as another: [{"there", "found", "times"}]."""
    between = matrix[:-1, :-1] * ~np.eye(len(names), dtype=bool)
    order = np.argsort(-between, axis=None, kind="stable")[:CONFUSIONS]
    rows, columns = np.unravel_index(order, between.shape)
    return [{"there": names[row], "found": names[column], "times": int(between[row, column])}
            for row, column in zip(rows, columns) if between[row, column]]

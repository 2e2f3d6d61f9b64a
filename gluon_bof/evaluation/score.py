"""Detections and ground truth -> one number and a table, by the metric's name."""
from __future__ import annotations

from typing import TYPE_CHECKING, Any, Sequence

from gluon_bof.evaluation.coco import box_and_mask_average_precision, coco_average_precision, mask_average_precision
from gluon_bof.evaluation.voc import mean_ap, voc_average_precision

if TYPE_CHECKING:
    from gluon_bof.boxes import Detections, DetectionSet


def score(detections: Sequence[Detections], detection_set: DetectionSet, metric: str = "auto") -> dict[str, Any]:
    """{"map": fraction, "metric": name, "per_class": {class: AP or None}} and for COCO its twelve numbers. The mean is None,
    as a class's number is, where no box is there to be found: none at all, or only difficult ones and crowds.

    metric: voc07 (11-point mAP@0.5), voc (all points), coco (AP@[.5:.95]), auto (coco for the set of that name)."""
    metric = metric_for(detection_set, metric)
    if metric == "coco":
        return _of_coco(coco_average_precision(detections, detection_set), detection_set)
    ap = voc_average_precision(detections, detection_set.records, len(detection_set.classes),
                               eleven_point=metric == "voc07")
    known = any(value == value for value in ap)
    return {"map": mean_ap(ap) if known else None, "metric": metric, "per_class": _named(detection_set.classes, ap)}


def _of_coco(numbers, detection_set):
    per_class = numbers.pop("per_class")
    return {"map": _fraction(numbers["AP"]), "metric": "coco", "per_class": _named(detection_set.classes, per_class),
            "coco": {name: _fraction(value) for name, value in numbers.items()}}


def metric_for(detection_set: DetectionSet, metric: str) -> str:
    """The metric that a set is scored by: the one that is named, or what auto stands for."""
    if metric != "auto":
        return metric
    return "coco" if detection_set.name == "coco" else "voc07"


def score_masks(detections: Sequence[Detections], detection_set: DetectionSet, metric: str = "auto") -> dict[str, Any]:
    """As `score`, of detections with masks: "map" and "per_class" are those of the masks, COCO's AP with metric coco, else its AP
    at an IoU of 0.5 (both by pycocotools); "masks": COCO's twelve numbers; and of the boxes "box_map", "box_per_class" and with
    metric coco "coco", which are what `score` gives."""
    whole = metric_for(detection_set, metric) == "coco"
    if whole:
        of_boxes, numbers = box_and_mask_average_precision(detections, detection_set)
        boxes = _of_coco(of_boxes, detection_set)
    else:
        boxes, numbers = score(detections, detection_set, metric), mask_average_precision(detections, detection_set)
    per_class, at_half = numbers.pop("per_class"), numbers.pop("per_class_50")
    return {"map": _fraction(numbers["AP" if whole else "AP50"]), "metric": boxes["metric"],
            "per_class": _named(detection_set.classes, per_class if whole else at_half),
            "masks": {name: _fraction(value) for name, value in numbers.items()},
            "box_map": boxes["map"], "box_per_class": boxes["per_class"], **({"coco": boxes["coco"]} if whole else {})}


def _named(classes, values):
    return {name: _fraction(value) for name, value in zip(classes, values)}


def _fraction(value):
    value = float(value)
    return value if value == value else None  # JSON has no NaN

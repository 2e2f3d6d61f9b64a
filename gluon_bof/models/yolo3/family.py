"""What the package asks of YOLOv3 as a family; see models.build."""
from __future__ import annotations

from functools import lru_cache
from typing import Any, Iterator, Mapping, Sequence

from gluon_bof.freebies.sync_batch_norm import norm_layer
from gluon_bof.models.build import ExportForm, parameters_beside, with_inferred_shapes
from gluon_bof.models.heads import classes_by_rows
from gluon_bof.models.one_stage import CANDIDATE_TEXTS, candidates, eval_transform, inference_batch
from gluon_bof.models.yolo3.network import ANCHORS, NETWORKS, YOLOv3, build_yolo3
from gluon_bof.options.yolo3 import MAX_SIDE, STRIDE, Yolo3Options

__all__ = ["backbones", "build", "eval_transform", "export_form", "inference_batch", "matches"]


def build(options: Yolo3Options, classes: Sequence[str], devices: Sequence[Any]) -> YOLOv3:
    """The network of these options for these class names, not yet initialised."""
    norm = norm_layer(options.synchronises_batchnorm(), devices)
    return build_yolo3(options.network, classes, norm, options.anchor_rows() or ANCHORS)


def export_form(options: Yolo3Options) -> ExportForm:
    """Squares and other multiples of 32, one image or more."""
    return ExportForm(MAX_SIDE, STRIDE, True, candidates, CANDIDATE_TEXTS)


def matches(shapes: Mapping[str, tuple]) -> Iterator[tuple[str, int, dict]]:
    """(name, number of classes, {name: Parameter}) of the networks that have weights of these shapes, perhaps."""
    if "yolo_outputs.0.prediction.bias" not in shapes:
        return
    classes = classes_by_rows(shapes, YOLOv3.HEAD_ROWS)
    for name in NETWORKS if classes else ():
        network = build_yolo3(name, [str(index) for index in range(classes)])
        yield f"yolo3_{name}", classes, parameters_beside(network, shapes)


@lru_cache(maxsize=None)
def backbones() -> list[tuple[str, dict]]:
    """[(name, {name in a classifier's file: Parameter})]."""
    return [(name, with_inferred_shapes(build_yolo3(name, ("object",))).backbone_parameters()) for name in NETWORKS]

"""What the package asks of SSD as a family; see models.build."""
from __future__ import annotations

from functools import lru_cache
from typing import Any, Iterator, Mapping, Sequence

from gluon_bof.freebies.sync_batch_norm import norm_layer
from gluon_bof.models.build import ExportForm, with_inferred_shapes
from gluon_bof.models.heads import MAX_CLASSES
from gluon_bof.models.one_stage import CANDIDATE_TEXTS, candidates, eval_transform, inference_batch
from gluon_bof.models.ssd.network import SSD, build_ssd
from gluon_bof.options.ssd import NETWORKS, SHAPES, SsdOptions

__all__ = ["backbones", "build", "eval_transform", "export_form", "inference_batch", "matches"]
MINI_SIDE = 128  # pixels, which names darknet-mini where nothing tells its size
FIRST_BIAS, FIRST_WEIGHT = "class_predictors.0.predictor.bias", "class_predictors.0.predictor.weight"


def build(options: SsdOptions, classes: Sequence[str], devices: Sequence[Any]) -> SSD:
    """The network of resolved options for these class names, not yet initialised."""
    return build_ssd(options.network, options.made_for(), options.dataset, classes,
                     norm_layer(options.synchronises_batchnorm(), devices))


def export_form(options: SsdOptions) -> ExportForm:
    """Any sides that the network takes, one image or more."""
    least, largest = options.sides()
    return ExportForm(largest, 1, True, candidates, CANDIDATE_TEXTS, least)


def matches(shapes: Mapping[str, tuple]) -> Iterator[tuple[str, int, dict]]:
    """(name, number of classes, {name: Parameter}) of the networks that have weights of these shapes, perhaps."""
    if len(shapes.get(FIRST_BIAS, ())) != 1 or len(shapes.get(FIRST_WEIGHT, ())) != 4:
        return
    for name, side in [(of_shape, side) for of_shape in NETWORKS for side in _sides(of_shape)]:
        network = _network(name, side)
        classes, rest = divmod(shapes[FIRST_BIAS][0], network.anchor_generators[0].num_depth)
        # a predictor's inputs are told before its shapes are inferred, which takes long
        if rest or not 1 < classes <= MAX_CLASSES or not network._collect_params_with_prefix().keys() == shapes.keys():
            continue
        network = with_inferred_shapes(_network(name, side, classes - 1))
        yield f"ssd_{side}_{name}", classes - 1, network._collect_params_with_prefix()


def _sides(name):
    return SHAPES[name] or (MINI_SIDE,)


def _network(name, side, classes=1):
    return build_ssd(name, side, "coco", [str(number) for number in range(classes)])


@lru_cache(maxsize=None)
def backbones() -> list[tuple[str, dict]]:
    """[(name, {name in a classifier's file: Parameter})]."""
    return [(name, with_inferred_shapes(_network(name, _sides(name)[0])).backbone_parameters()) for name in NETWORKS]

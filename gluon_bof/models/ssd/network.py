"""GluonCV's SSD networks, with raw predictions for our own targets and loss while they train."""
from __future__ import annotations

import re
from functools import lru_cache
from typing import Any, Iterable, Mapping

import numpy as np

from gluon_bof.backend import autograd, gluon
from gluon_bof.freebies.sync_batch_norm import SyncBatchNorm
from gluon_bof.models.backbone import OnBackbone, laid_end_to_end
from gluon_bof.models.heads import Rows
from gluon_bof.models.ssd.structures import structure_of
from gluon_bof.models.suppression import detections
from gluon_bof.options.ssd import LEAST_SIDES

from gluoncv.model_zoo import get_model
from gluoncv.model_zoo.ssd.anchor import SSDAnchorGenerator
from gluoncv.model_zoo.ssd.ssd import SSD as GluonCVSSD

STDS = (0.1, 0.1, 0.2, 0.2)  # what a box's offsets are divided by
DUMMY_SIDE = 64  # pixels of an image to infer shapes by, where the network can see one so small
ADDED_GAMMA = re.compile(r"expand_(trans_)?bn\d+_gamma$")
OF_RESNET_SSD = {"stage1.0": "conv1", "stage1.1": "bn1", "stage1.4": "layer1", "stage1.5": "layer2", "stage2.0": "layer3",
                 "stage2.1": "layer4"}


class Anchors(SSDAnchorGenerator):
    """GluonCV's anchors of a level, laid out at once."""

    def _generate_anchors(self, sizes, ratios, step, alloc_size, offsets):
        wide = [(sizes[0], sizes[0]), (sizes[1], sizes[1])]
        wide += [(sizes[0] * np.sqrt(ratio), sizes[0] / np.sqrt(ratio)) for ratio in ratios[1:]]
        places = [(np.arange(count) + offset) * step for count, offset in zip(alloc_size, offsets)]
        y, x = (place[..., None] for place in np.meshgrid(*places, indexing="ij"))
        shapes = np.broadcast_to(np.array(wide), (*alloc_size, len(wide), 2))
        centres = np.broadcast_to(np.stack([x, y], axis=-1), shapes.shape)
        return np.concatenate([centres, shapes], axis=-1).reshape(1, 1, *alloc_size, -1)


class NamedSyncBatchNorm(SyncBatchNorm):
    """SyncBatchNorm under the names that BatchNorm has, by which a network of GluonCV's layers' names is saved: its weights fit
    one device as well."""

    def _alias(self):
        return "batchnorm"


class SSD(OnBackbone, GluonCVSSD):
    """GluonCV's network and parameter names, x (B, 3, H, W). In training mode it returns class logits (B, N, K + 1), background
    first, box predictions (B, N, 4) and anchors (1, N, 4) of centre and size in pixels, finest level first; else detections."""

    def __init__(self, name, base_shape, dataset, classes, norm, **keywords):
        structure = structure_of(name, base_shape)
        of_layers = not callable(structure.features)
        layer, arguments = norm
        super().__init__(name if of_layers else None, base_shape, structure.features, list(structure.filters),
                         list(structure.for_set(dataset)), list(structure.ratios), structure.steps, list(classes), stds=STDS,
                         norm_layer=layer, norm_kwargs=arguments, anchor_alloc_size=structure.cells, anchor_generator=Anchors,
                         **keywords)
        for parameter in self.fixed_parameters():
            parameter.init, parameter.grad_req = "ones", "null"
        self._name = name
        self.dummy_input_shape = (1, 3, *[LEAST_SIDES.get(name, DUMMY_SIDE)] * 2)
        self._stem = re.compile(structure.stem)
        # of each level's anchors in a cell: background, then classes; four sides that belong to no class
        self.HEAD_ROWS = tuple(entry for level, anchors in enumerate(self.anchor_generators) for entry in (
            (rf"class_predictors\.{level}\.predictor\.(weight|bias)", Rows(anchors.num_depth, 1, 1)),
            (rf"box_predictors\.{level}\.predictor\.(weight|bias)", Rows(anchors.num_depth, 4, 0))))

    def fixed_parameters(self) -> list[gluon.Parameter]:
        """[Parameter] that count as 1 and do not learn: the normalisations that GluonCV adds to a classifier's layers do not look
        at their gammas, and MXNet writes 1 there while they train."""
        return [parameter for name, parameter in self.features.collect_params().items() if ADDED_GAMMA.search(name)]

    def hybrid_forward(self, F, x):
        logits, boxes, anchors = self._predictions(F, x)
        if autograd.is_training():
            return logits, boxes, anchors
        return detections(F, *_decoded(F, logits, boxes, anchors), self)

    def candidates(self, F: Any, x: Any) -> tuple[Any, Any]:
        """Boxes (B, N, 4) in pixels and scores (B, N, K) of all predictions for x (B, 3, H, W), before any is suppressed."""
        return _decoded(F, *self._predictions(F, x))

    def _predictions(self, F, x):
        levels = self.features(x)

        def rows(predictors, columns):
            of_levels = [F.reshape(F.transpose(predictor(level), axes=(0, 2, 3, 1)), (0, -1, columns))
                         for level, predictor in zip(levels, predictors)]
            return F.concat(*of_levels, dim=1)

        anchors = [anchors(level) for level, anchors in zip(levels, self.anchor_generators)]
        return rows(self.class_predictors, len(self.classes) + 1), rows(self.box_predictors, 4), F.concat(*anchors, dim=1)

    def takes_anchors(self, arrays: Mapping[str, np.ndarray]) -> bool:
        """Whether a file's anchors, {name: array}, may take the place of its own, which boxes are matched to. Those for images of
        another side, larger or smaller by one factor, may not."""
        growth = []
        for level, generator in enumerate(self.anchor_generators):
            own, other = generator.anchors.list_data()[0].asnumpy(), arrays.get(f"anchor_generators.{level}.anchors")
            if other is None or other.shape != own.shape:
                return False
            growth.append((other[0, 0, 0, 0] / own[0, 0, 0, 0]).reshape(-1, 4)[:, 2:].ravel())
        return float(np.ptp(np.concatenate(growth))) > 1e-3

    def backbone_parameters(self) -> dict[str, gluon.Parameter]:
        """{name in the file of a classifier on this backbone: Parameter}."""
        parameters = self.features._collect_params_with_prefix()
        if self._name == "vgg16_atrous":
            return {name: parameter for name, parameter in parameters.items() if name.startswith("stages.")}
        if self._name == "darknet-mini":
            return laid_end_to_end(self.features.stages)
        if self._name == "resnet34_v1b":
            return {name.replace(ours, theirs, 1): parameter for name, parameter in parameters.items()
                    for ours, theirs in OF_RESNET_SSD.items() if name.startswith(f"{ours}.")}
        return {theirs: parameters[ours] for theirs, ours in _names_in_layers(self._name).items() if ours in parameters}

    def stem_parameters(self) -> list[gluon.Parameter]:
        """[Parameter] of the first layers, up to a quarter of the image's sides."""
        return [parameter for name, parameter in self.backbone_parameters().items() if self._stem.match(name)]


def _decoded(F, logits, boxes, anchors):
    """Boxes (B, N, 4) in pixels and scores (B, N, K) of what the network predicts."""
    def column(array, begin, end):
        return F.slice_axis(array, axis=2, begin=begin, end=end)

    size = column(anchors, 2, 4)
    shift = F.concat(*[column(boxes, place, place + 1) * STDS[place] for place in (0, 1)], dim=2)
    growth = F.concat(*[column(boxes, place, place + 1) * STDS[place] for place in (2, 3)], dim=2)
    centre = F.broadcast_add(F.broadcast_mul(shift, size), column(anchors, 0, 2))
    half = F.broadcast_mul(F.exp(growth), size) / 2
    return F.concat(centre - half, centre + half, dim=2), column(F.softmax(logits, axis=2), 1, None)


@lru_cache(maxsize=None)
def _names_in_layers(name):
    """{name in a classifier's file: name that GluonCV's SSD has for it, where layers are taken from the classifier's graph}."""
    classifier = get_model(name, pretrained=False)
    kind = type(classifier).__name__.lower()  # in a scope of its own, the first of a kind is number 0
    return {theirs: f"{kind}0_{parameter.name[len(classifier.prefix):]}"
            for theirs, parameter in classifier._collect_params_with_prefix().items()}


def build_ssd(name: str, base_shape: int, dataset: str, classes: Iterable[str],
              norm: tuple[type, dict[str, Any]] | None = None) -> SSD:
    """SSD on a named backbone for images of this side in pixels and these class names, not yet initialised.

    dataset: "voc" has anchors of its own. norm: (layer class, arguments), BatchNorm by default; VGG has none. Raises KeyError for
    a backbone or a side that there is not."""
    layer, arguments = norm or (gluon.nn.BatchNorm, {})
    if layer is SyncBatchNorm:
        layer = NamedSyncBatchNorm
    return SSD(name, base_shape, dataset, classes, (layer, arguments))

"""Cells: four convolutions, and from each cell of 16 pixels one box and a score for every class."""
from __future__ import annotations

from typing import Any, Iterator, Mapping, Sequence

import numpy as np

from gluon_bof.backend import autograd, gluon
from gluon_bof.data.loader import TrainingBatch
from gluon_bof.data.shared_memory import to_shared
from gluon_bof.data.transforms import EvalTransform, square
from gluon_bof.models.build import ExportForm, with_inferred_shapes
from gluon_bof.models.heads import Rows, classes_by_rows
from gluon_bof.models.preprocess import Normalise
from tests.third_family.options import MAX_SIDE, NETWORKS, STRIDE

CHANNELS = (8, 16, 16, 32)  # of layers that halve the image
LAYERS_OF_STEM = 2 * 3  # a convolution, its normalisation and its activation, twice: a quarter of the image's sides
MIN_SCORE = 0.01


# what the package asks of a family, see models.build

def build(options: Any, classes: Sequence[str], devices: Sequence[Any]) -> Cells:
    """The network, not initialised yet."""
    return Cells(classes)


def eval_transform(options: Any) -> EvalTransform:
    """Validation's images are squares of --data-shape."""
    return EvalTransform(square, options.data_shape)


def inference_batch(options: Any) -> int:
    """Images a batch in inference."""
    return options.batch_size


def export_form(options: Any) -> ExportForm:
    """Multiples of 16, any number of images."""
    return ExportForm(MAX_SIDE, STRIDE, True, _candidates, {"boxes": "xmin, ymin, xmax, ymax in pixels of the input",
                                                            "scores": "of each class, in 0..1"})


def matches(shapes: Mapping[str, tuple]) -> Iterator[tuple[str, int, dict]]:
    """(name, number of classes, {name: Parameter}) of the networks that have weights of these shapes, perhaps."""
    classes = classes_by_rows(shapes, Cells.HEAD_ROWS)
    if classes:
        network = with_inferred_shapes(Cells([str(number) for number in range(classes)]))
        yield f"cells_{NETWORKS[0]}", classes, network._collect_params_with_prefix()


def backbones() -> list[tuple[str, dict]]:
    """[(name, {name in a classifier's file: Parameter})]."""
    return [(NETWORKS[0], with_inferred_shapes(Cells(("object",))).backbone_parameters())]


# network

class Cells(gluon.HybridBlock):
    """x (B, 3, H, W) -> raw predictions (B, N, 4 + K) in training mode: centre in the cell, log of size over the cell's, class
    logits; else class ids (B, D, 1), scores (B, D, 1) and boxes (B, D, 4) in pixels."""

    HEAD_ROWS = ((r"predictor\.(weight|bias)", Rows(1, 4, 1)),)

    def __init__(self, classes, **keywords):
        super().__init__(**keywords)
        self.classes = list(classes)
        self.set_nms()
        with self.name_scope():
            self.features = gluon.nn.HybridSequential()
            for channels in CHANNELS:
                self.features.add(gluon.nn.Conv2D(channels, 3, strides=2, padding=1, use_bias=False), gluon.nn.BatchNorm(),
                                  gluon.nn.Activation("relu"))
            self.predictor = gluon.nn.Conv2D(4 + len(self.classes), 1)
            side = np.arange(MAX_SIDE // STRIDE, dtype=np.float32)
            self.corners = self.params.get_constant("corners", np.stack(np.meshgrid(side, side))[None] * STRIDE)

    def set_nms(self, nms_thresh=0.45, nms_topk=100, post_nms=-1):
        """IoU above which a box is suppressed, how many are looked at; post_nms is GluonCV's, and here all are returned."""
        self.nms_thresh, self.nms_topk, self.post_nms = nms_thresh, nms_topk, post_nms

    def hybrid_forward(self, F, x, corners):
        raw = self.predictor(self.features(x))
        if autograd.is_training():
            return _a_row_each(F, raw)
        boxes, scores = self.decode(F, raw, corners)
        score, class_id = F.topk(scores, axis=2, k=1, ret_typ="both")
        found = F.concat(class_id, score, boxes, dim=2)
        found = F.contrib.box_nms(found, overlap_thresh=self.nms_thresh, valid_thresh=MIN_SCORE, topk=self.nms_topk, id_index=0,
                                  score_index=1, coord_start=2, force_suppress=False)
        return tuple(F.slice_axis(found, axis=2, begin=begin, end=end) for begin, end in ((0, 1), (1, 2), (2, 6)))

    def decode(self, F, raw, corners):
        """Boxes (B, N, 4) in pixels and scores (B, N, K) of raw predictions (B, 4 + K, H, W)."""
        centre = F.sigmoid(F.slice_axis(raw, axis=1, begin=0, end=2)) * STRIDE
        centre = F.broadcast_add(centre, F.slice_like(corners, raw, axes=(2, 3)))
        half = F.exp(F.slice_axis(raw, axis=1, begin=2, end=4)) * (STRIDE / 2)
        scores = F.sigmoid(F.slice_axis(raw, axis=1, begin=4, end=None))
        return _a_row_each(F, F.concat(centre - half, centre + half, dim=1)), _a_row_each(F, scores)

    def backbone_parameters(self):
        """{name in the file of a classifier on this backbone: Parameter}."""
        return {f"features.{name}": parameter for name, parameter in self.features._collect_params_with_prefix().items()}

    def stem_parameters(self):
        """[Parameter] of the first layers, up to a quarter of the image's sides."""
        return [parameter for layer in self.features[:LAYERS_OF_STEM] for parameter in layer.collect_params().values()]

    def image_parameters(self):
        """[Parameter] of the backbone's layers that see the whole image: all."""
        return list(self.backbone_parameters().values())

    def trained_parameters(self):
        """ParameterDict of what learns: everything."""
        return self.collect_params()


def _a_row_each(F, array):
    """(B, C, H, W) -> (B, H * W, C)."""
    return F.transpose(F.reshape(array, (0, 0, -1)), axes=(0, 2, 1))


class _BeforeSuppression(gluon.HybridBlock):
    def __init__(self, network):
        super().__init__()
        self.normalise = Normalise()
        self.network = network

    def hybrid_forward(self, F, images):
        raw = self.network.predictor(self.network.features(self.normalise(images)))
        return self.network.decode(F, raw, self.network.corners.var())


def _candidates(network, data):
    return _BeforeSuppression(network)(data), ["boxes", "scores"]


# training

class CellBatch(TrainingBatch):
    """Batchify: (images (B, S, S, 3) uint8, targets (B, N, 5 + K), names of broken images)."""

    def __init__(self, shared, class_count, smoothing):
        super().__init__(shared)
        self.class_count = class_count
        self.smoothing = smoothing

    def __call__(self, samples):
        images, _, broken = super().__call__(samples)
        targets = [cell_targets(truth, image.shape[0], self.class_count, self.smoothing) for image, truth, _ in samples]
        return images, to_shared(np.stack(targets), self.shared), broken


def cell_targets(truth, size, class_count, smoothing):
    """(N, 5 + K): weight of the box whose centre lies in a cell, 0 where none does; the box; classes, smoothed. truth: (M, 6)."""
    side = size // STRIDE
    targets = np.zeros((side * side, 5 + class_count), np.float32)
    for left, top, right, bottom, label, weight in truth:
        x, y = (left + right) / 2 / STRIDE, (top + bottom) / 2 / STRIDE
        column, row = min(int(x), side - 1), min(int(y), side - 1)
        sides = np.maximum((right - left, bottom - top), 1) / STRIDE
        classes = np.full(class_count, smoothing.negative)
        classes[int(label)] = smoothing.positive
        targets[row * side + column] = np.concatenate([(weight, x - column, y - row), np.log(sides), classes])
    return targets


class TrainingGraph(gluon.HybridBlock):
    """(images (B, S, S, 3) uint8, targets (B, N, 5 + K)) -> box loss and class loss, (B,) each."""

    def __init__(self, network):
        super().__init__()
        self.normalise = Normalise()
        self.network = network

    def hybrid_forward(self, F, images, targets):
        raw = self.network(self.normalise(images))
        weight, centre, size, classes = (F.slice_axis(targets, axis=2, begin=begin, end=end)
                                         for begin, end in ((0, 1), (1, 3), (3, 5), (5, None)))
        apart = F.abs(F.sigmoid(F.slice_axis(raw, axis=2, begin=0, end=2)) - centre) \
            + F.abs(F.slice_axis(raw, axis=2, begin=2, end=4) - size)
        logits = F.slice_axis(raw, axis=2, begin=4, end=None)
        entropy = F.relu(logits) - logits * classes + F.Activation(-F.abs(logits), act_type="softrelu")
        return (F.sum(F.broadcast_mul(apart, weight), axis=(1, 2)),
                F.sum(F.broadcast_mul(entropy, F.where(weight > 0, weight, F.ones_like(weight))), axis=(1, 2)))

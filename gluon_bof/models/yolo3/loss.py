"""YOLOv3's four losses, mixup-weighted (paper, Table 1) and label-smoothed (3.2), from images and truths.

Equal to GluonCV's YOLOV3TargetMerger and YOLOV3Loss; box and class losses are computed only where a box is.
"""
from __future__ import annotations

from gluon_bof.backend import autograd, gluon
from gluon_bof.freebies.label_smoothing import UNSMOOTHED
from gluon_bof.models.gather import batched_gather
from gluon_bof.models.losses import binary_cross_entropy
from gluon_bof.models.preprocess import Normalise
from gluon_bof.models.yolo3.targets import BoxTargets

IGNORE_IOU = 0.7
LARGEST_SIDE = 6.55e4  # a wild scale must not make infinite areas


class YOLOv3Loss(gluon.HybridBlock):
    """(predictions (B, N, 5 + K), truth (B, M, 6), Grid.anchors, Grid.cells) -> objectness, centre, scale and class
    loss, (B,) each: sums over an image's predictions, each box weighing its mix weight."""

    def __init__(self, class_count, smoothing=UNSMOOTHED, ignore_iou=IGNORE_IOU, **kwargs):
        super().__init__(**kwargs)
        self._class_count = class_count
        self._smoothing = smoothing
        self._ignore_iou = ignore_iou
        with self.name_scope():
            self.targets = BoxTargets()

    def hybrid_forward(self, F, predictions, truth, anchors, cells):
        with autograd.pause():
            position, centre, scale, box_weight, class_id, weight = (
                F.stop_gradient(target) for target in self.targets(truth, anchors))
            objectness_target, objectness_weight = self._objectness_targets(
                F, F.stop_gradient(predictions), truth, cells, position, weight)
            classes = F.one_hot(class_id, self._class_count,
                                on_value=self._smoothing.positive, off_value=self._smoothing.negative)
            box_weight = F.expand_dims(box_weight * weight, axis=2)
        objectness = F.squeeze(F.slice_axis(predictions, axis=2, begin=4, end=5), axis=2)
        objectness_loss = F.sum(binary_cross_entropy(F, objectness, objectness_target) * objectness_weight, axis=1)

        claimed = batched_gather(F, predictions, position)  # (B, M, 5 + K)
        centre_loss = binary_cross_entropy(F, F.slice_axis(claimed, axis=2, begin=0, end=2), centre)
        scale_loss = F.abs(F.slice_axis(claimed, axis=2, begin=2, end=4) - scale)
        class_loss = binary_cross_entropy(F, F.slice_axis(claimed, axis=2, begin=5, end=None), classes)
        return (objectness_loss,
                F.sum(F.broadcast_mul(centre_loss, box_weight), axis=(1, 2)),
                F.sum(F.broadcast_mul(scale_loss, box_weight), axis=(1, 2)),
                F.sum(F.broadcast_mul(class_loss, F.expand_dims(weight, axis=2)), axis=(1, 2)))

    def _objectness_targets(self, F, predictions, truth, cells, position, weight):
        """(B, N) target and weight: claimed predictions 1 and their mix weight, others 0 and 1, ignored ones weight 0."""
        number = F.contrib.arange_like(predictions, axis=1)
        is_claimed_by = F.broadcast_equal(F.reshape(number, (1, -1, 1)), F.expand_dims(position, axis=1))
        claim = F.max(F.broadcast_mul(is_claimed_by, F.expand_dims(weight, axis=1)), axis=2)
        target = claim > 0
        free = 1 - self._near_a_box(F, predictions, truth, cells)
        return target, F.where(target, claim, free)

    def _near_a_box(self, F, predictions, truth, cells):
        """(B, N) 1 where the predicted box overlaps some true box by more than the ignore threshold."""
        def column(array, i):
            return F.slice_axis(array, axis=2, begin=i, end=i + 1)

        def sides(axis):
            stride = column(cells, 2)
            middle = F.broadcast_mul(F.broadcast_add(F.sigmoid(column(predictions, axis)), column(cells, axis)), stride)
            half = F.broadcast_mul(F.exp(column(predictions, 2 + axis)), column(cells, 3 + axis)) * 0.5
            return middle - half, middle + half

        def true_side(i):
            return F.transpose(column(truth, i), axes=(0, 2, 1))  # (B, 1, M)

        (left, right), (top, bottom) = sides(0), sides(1)
        width = F.broadcast_minimum(right, true_side(2)) - F.broadcast_maximum(left, true_side(0))
        height = F.broadcast_minimum(bottom, true_side(3)) - F.broadcast_maximum(top, true_side(1))
        shared = F.clip(width, 0, LARGEST_SIDE) * F.clip(height, 0, LARGEST_SIDE)
        areas = F.broadcast_add((right - left) * (bottom - top),
                                (true_side(2) - true_side(0)) * (true_side(3) - true_side(1)))
        # shared / (areas - shared) > t, without the division
        return F.max(shared * (1 + self._ignore_iou) > areas * self._ignore_iou, axis=2)


class TrainingGraph(gluon.HybridBlock):
    """The whole device side of a training step in one graph: (images (B, H, W, 3) uint8, truth (B, M, 6),
    Grid.anchors, Grid.cells) -> the four losses, (B,) each."""

    def __init__(self, network, loss, **kwargs):
        super().__init__(**kwargs)
        self.normalise = Normalise()
        self.network = network
        self.loss = loss

    def hybrid_forward(self, F, images, truth, anchors, cells):
        return self.loss(self.network(self.normalise(images)), truth, anchors, cells)

"""Faster R-CNN's four losses, mixup-weighted (paper, 3.1) and label-smoothed (3.2), from images and truths.

With mix weights of 1 and no smoothing they equal those of GluonCV's ForwardBackwardTask: an image's sum, times the images
of the device's batch, over the number of sampled anchors or regions of all of them.
"""
from __future__ import annotations

from typing import TYPE_CHECKING, Any

from gluon_bof.backend import autograd, gluon
from gluon_bof.freebies.label_smoothing import UNSMOOTHED
from gluon_bof.models.faster_rcnn.targets import ANCHOR_COLUMNS, ANCHOR_NUMBER, BOX, LABEL, WEIGHT
from gluon_bof.models.gather import batched_gather
from gluon_bof.models.losses import binary_cross_entropy, huber
from gluon_bof.models.preprocess import Normalise

if TYPE_CHECKING:
    from gluon_bof.freebies.label_smoothing import Smoothing

LABELS = 3  # the place of the regions' class targets among what the network returns


def smoothed_cross_entropy(F: Any, logits: Any, label: Any, class_count: int, smoothing: Smoothing) -> Any:
    """(B, S) of logits (B, S, C) against labels (B, S), whose target is `positive` there and `negative` elsewhere."""
    target = F.one_hot(label, class_count, on_value=smoothing.positive, off_value=smoothing.negative)
    return -F.sum(F.log_softmax(logits, axis=2) * target, axis=2)


class FasterRCNNLoss(gluon.HybridBlock):
    """(what a FasterRCNN returns while it trains, sampled anchors (B, R, 7)) -> RPN class, RPN box, head class and head
    box loss, (B,) each. smoothing: of the head's softmax, over the classes and background."""

    def __init__(self, class_count, smoothing=UNSMOOTHED, rpn_rho=1 / 9, head_rho=1.0, **kwargs):
        super().__init__(**kwargs)
        self._outputs = class_count + 1
        self._smoothing = smoothing
        self._rpn_rho = rpn_rho
        self._head_rho = head_rho

    def hybrid_forward(self, F, anchor_logits, anchor_boxes, classes, label, weight, boxes, box_target, box_weight,
                       sampled):
        with autograd.pause():
            number, is_object, anchor_weight, anchor_target = (
                F.slice_axis(sampled, axis=2, begin=begin, end=end) for begin, end in
                ((ANCHOR_NUMBER, LABEL), (LABEL, WEIGHT), (WEIGHT, BOX), (BOX, ANCHOR_COLUMNS)))
            number, is_object, anchor_weight = (F.squeeze(column, axis=2)
                                                for column in (number, is_object, anchor_weight))
            is_used = number >= 0
            number = F.relu(number)
            anchors_used = F.maximum(F.sum(is_used), 1)
            regions_used = F.maximum(F.sum(label >= 0), 1)
        logits = batched_gather(F, anchor_logits, number)
        rpn_class = F.sum(binary_cross_entropy(F, logits, is_object) * anchor_weight * is_used, axis=1)
        rpn_box = F.sum(huber(F, batched_gather(F, anchor_boxes, number) - anchor_target, self._rpn_rho), axis=2)
        rpn_box = F.sum(rpn_box * anchor_weight * is_used * (is_object > 0), axis=1)

        head_class = smoothed_cross_entropy(F, classes, F.relu(label), self._outputs, self._smoothing)
        head_class = F.sum(head_class * weight, axis=1)
        head_box = F.sum(F.sum(huber(F, boxes - box_target, self._head_rho), axis=2) * box_weight, axis=1)

        images = F.sum(F.ones_like(rpn_class))
        return tuple(F.broadcast_div(F.broadcast_mul(loss, images), used) for loss, used in (
            (rpn_class, anchors_used), (rpn_box, anchors_used), (head_class, regions_used), (head_box, regions_used)))


class NormalisePadded(gluon.HybridBlock):
    """(images (B, H, W, 3) uint8, sizes (B, 2): height and width of each within its canvas) -> (B, 3, H, W) float32, 0
    in the padding."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.normalise = Normalise()

    def hybrid_forward(self, F, images, sizes):
        normal = self.normalise(images)
        height, width = (F.reshape(F.slice_axis(sizes, axis=1, begin=i, end=i + 1), (-1, 1, 1, 1)) for i in (0, 1))
        row = F.reshape(F.contrib.arange_like(normal, axis=2), (1, 1, -1, 1))
        column = F.reshape(F.contrib.arange_like(normal, axis=3), (1, 1, 1, -1))
        inside = F.broadcast_mul(F.broadcast_lesser(row, height), F.broadcast_lesser(column, width))
        return F.broadcast_mul(normal, inside)


class TrainingGraph(gluon.HybridBlock):
    """The whole device side of a training step: (images (B, H, W, 3) uint8, truth (B, M, 6), sizes (B, 3): height, width
    and background weight, sampled anchors (B, R, 7), keys (B, P + M)) -> the four losses, (B,) each, and the numbers of sampled
    anchors and regions that they were divided by, (1,) each."""

    COUNTED = (0, 0, 1, 1)  # which of the two divides each loss; see training.Step

    def __init__(self, network, loss, **kwargs):
        super().__init__(**kwargs)
        self.normalise = NormalisePadded()
        self.network = network
        self.loss = loss

    def hybrid_forward(self, F, images, truth, sizes, sampled, keys):
        background_weight = F.slice_axis(sizes, axis=1, begin=2, end=3)
        found = self.network(self.normalise(images, sizes), truth, keys, background_weight)
        return self.losses_and_counts(F, found, sampled)

    def losses_and_counts(self, F: Any, found: Any, sampled: Any) -> tuple:
        """(four losses, two counts) of what the network found."""
        with autograd.pause():
            used = (F.slice_axis(sampled, axis=2, begin=ANCHOR_NUMBER, end=LABEL), found[LABELS])
            counts = [F.sum(F.stop_gradient(numbers) >= 0) for numbers in used]
        return (*self.loss(*found, sampled), *counts)

"""SSD's two losses, mixup-weighted (paper, 3.1) and label-smoothed (3.2), from images and truths.

Without mixup and smoothing they equal GluonCV's SSDMultiBoxLoss: an image's sum, times the images of the device's batch, over
the number of matched anchors of all of them."""
from __future__ import annotations

from gluon_bof.backend import autograd, gluon
from gluon_bof.freebies.label_smoothing import UNSMOOTHED
from gluon_bof.models.losses import huber
from gluon_bof.models.preprocess import Normalise
from gluon_bof.models.ssd.network import STDS
from gluon_bof.models.ssd.targets import MultiBoxTargets

NEGATIVES = 3  # background anchors that learn, of a matched one
RHO = 1.0  # where the box loss turns from L2 to L1

assert STDS[0] == STDS[1] and STDS[2] == STDS[3]


class MultiBoxLoss(gluon.HybridBlock):
    """(class logits (B, N, K + 1), box predictions (B, N, 4), anchors (1, N, 4), truth (B, M, 6)) -> class and box loss, (B,)
    each, and the number of matched anchors, (1,).

    A matched anchor weighs its box's mix weight in both losses. Of an image's others those learn that are least sure to be
    background, three for each that is matched, and weigh 1: background is background in both images of a mix. Weights change
    neither which these are, nor by what losses are divided. smoothing: of the softmax over background and classes; is_on_cpus:
    as MultiBoxTargets."""

    def __init__(self, class_count, smoothing=UNSMOOTHED, is_on_cpus=False, **keywords):
        super().__init__(**keywords)
        self._outputs = class_count + 1
        self._smoothing = smoothing
        with self.name_scope():
            self.targets = MultiBoxTargets(is_on_cpus)

    def hybrid_forward(self, F, logits, boxes, anchors, truth):
        log_share = F.log_softmax(logits, axis=2)
        with autograd.pause():
            label, weight, target = (F.stop_gradient(array) for array in self.targets(truth, F.stop_gradient(anchors)))
            is_matched = label > 0
            matched = F.sum(is_matched)
            class_weight = F.where(is_matched, weight, self._hard(F, F.stop_gradient(log_share), is_matched))
            classes = F.one_hot(label, self._outputs, on_value=self._smoothing.positive, off_value=self._smoothing.negative)
        class_loss = F.sum(-F.sum(log_share * classes, axis=2) * class_weight, axis=1)
        box_loss = F.sum(F.sum(huber(F, boxes - target, RHO), axis=2) * weight, axis=1)
        images = F.sum(F.ones_like(class_loss))
        share = F.broadcast_div(images, F.maximum(matched, 1))
        return F.broadcast_mul(class_loss, share), F.broadcast_mul(box_loss, share), matched

    @staticmethod
    def _hard(F, log_share, is_matched):
        """(B, N) 1 for the background anchors that learn."""
        loss = -F.squeeze(F.slice_axis(log_share, axis=2, begin=0, end=1), axis=2)
        rank = F.argsort(F.argsort(loss * (is_matched - 1), axis=1), axis=1)
        return F.broadcast_lesser(rank, F.sum(is_matched, axis=1, keepdims=True) * NEGATIVES)


class TrainingGraph(gluon.HybridBlock):
    """The whole device side of a training step in one graph: (images (B, H, W, 3) uint8, truth (B, M, 6)) -> the two losses, (B,)
    each, and the number of matched anchors that they were divided by, (1,)."""

    COUNTED = (0, 0)  # see training.Step

    def __init__(self, network, loss, **keywords):
        super().__init__(**keywords)
        self.normalise = Normalise()
        self.network = network
        self.loss = loss

    def hybrid_forward(self, F, images, truth):
        return self.loss(*self.network(self.normalise(images)), truth)

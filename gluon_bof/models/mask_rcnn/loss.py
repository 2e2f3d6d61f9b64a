"""Mask R-CNN's five losses: Faster R-CNN's four, and the masks' binary cross-entropy, which weighs as the boxes do (paper, 3.1).

With mix weights of 1 and no smoothing they equal those of GluonCV's ForwardBackwardTask: an image's sum over the cells of its
objects' masks, times the images of the device's batch, over the number of such cells of all of them.
"""
from __future__ import annotations

from gluon_bof.backend import autograd, gluon
from gluon_bof.models.faster_rcnn.loss import TrainingGraph as FasterRCNNGraph
from gluon_bof.models.losses import binary_cross_entropy

MASKS = 3  # how many of what the network returns are of masks, the last ones


class MaskLoss(gluon.HybridBlock):
    """(mask logits (B, Q, S, S), targets (B, Q, S, S) in [0, 1], weights (B, Q), 0 where there is none) -> loss (B,), and the
    number of masks that it was divided by, (1,)."""

    def hybrid_forward(self, F, logits, target, weight):
        with autograd.pause():
            count = F.sum(weight > 0)
        of_image = F.sum(F.mean(binary_cross_entropy(F, logits, target), axis=(2, 3)) * weight, axis=1)
        return F.broadcast_div(F.broadcast_mul(of_image, F.sum(F.ones_like(of_image))), F.maximum(count, 1)), count


class TrainingGraph(FasterRCNNGraph):
    """The whole device side of a training step: what Faster R-CNN's takes and then planes (B, M / 8, H, W) uint8 -> the five
    losses, (B,) each, and the numbers of sampled anchors, regions and masks that they were divided by, (1,) each."""

    COUNTED = (0, 0, 1, 1, 2)

    def __init__(self, network, loss, **kwargs):
        super().__init__(network, loss, **kwargs)
        self.mask_loss = MaskLoss()

    def hybrid_forward(self, F, images, truth, sizes, sampled, keys, planes):
        background_weight = F.slice_axis(sizes, axis=1, begin=2, end=3)
        found = self.network(self.normalise(images, sizes), truth, keys, background_weight, planes)
        masks, count = self.mask_loss(*found[-MASKS:])
        losses = self.losses_and_counts(F, found[:-MASKS], sampled)
        return (*losses[:4], masks, *losses[4:], count)

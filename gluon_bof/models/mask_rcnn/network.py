"""GluonCV's Mask R-CNN networks for any classes: Faster R-CNN's, and a head that draws a mask into every box."""
from __future__ import annotations

from typing import TYPE_CHECKING, Any, Iterable, Sequence

from gluon_bof.backend import autograd, gluon, mx
from gluon_bof.models.faster_rcnn.network import FasterRCNN, assemble
from gluon_bof.models.gather import batched_gather
from gluon_bof.models.heads import Rows
from gluon_bof.models.mask_rcnn.targets import MaskTargets
from gluon_bof.models.unblocked import unblock

if TYPE_CHECKING:
    from gluon_bof.options.mask_rcnn import MaskRcnnOptions


class MaskHead(gluon.HybridBlock):
    """(R, C, h, w) features of regions -> (R, K, 2h, 2w) mask logits of every class, under GluonCV's parameter names.

    convolutions: before the one that doubles the sides; layer, arguments: of a normalisation behind each, or None."""

    def __init__(self, class_count, channels, convolutions, layer=None, arguments=None, **kwargs):
        super().__init__(**kwargs)
        how = dict(weight_initializer=mx.init.Xavier(rnd_type="gaussian", factor_type="out", magnitude=2))
        with self.name_scope():
            doubling = gluon.nn.Conv2DTranspose(channels, kernel_size=2, strides=2, **how)
            self.deconv = doubling if convolutions == 0 else gluon.nn.HybridSequential()
            for _ in range(convolutions):
                self.deconv.add(gluon.nn.Conv2D(channels, kernel_size=3, padding=1, **how))
                if layer:
                    self.deconv.add(layer(**arguments))
                self.deconv.add(gluon.nn.Activation("relu"))
            if convolutions:
                self.deconv.add(doubling, *([layer(**arguments)] if layer else []))
            self.mask = unblock(gluon.nn.Conv2D(class_count, kernel_size=1, **how))

    def hybrid_forward(self, F, cut):
        return self.mask(F.relu(self.deconv(cut)))


class MaskRCNN(FasterRCNN):
    """GluonCV's network and parameter names. Inference takes x (1, 3, H, W) and returns class ids (1, D, 1), scores (1, D, 1),
    boxes (1, D, 4), -1 where suppression left none, and masks (1, D, S, S), probabilities on a grid over each box; the best score
    first. Training takes what a FasterRCNN takes and planes (B, M / 8, H, W), and returns what that does and then mask logits
    (B, Q, S, S) of the matched class, mask targets (B, Q, S, S) and their weights (B, Q), those of the boxes."""

    # every class has a mask of its own
    HEAD_ROWS = (*FasterRCNN.HEAD_ROWS, (r"mask\.mask\.(weight|bias)", Rows(1, 0, 1)))

    def __init__(self, *arguments, mask_head, mask_size, most_masks, **keywords):
        super().__init__(*arguments, **keywords)
        self._most_masks = most_masks
        with self.name_scope():
            self.mask = MaskHead(self.num_class, **mask_head)
        self.mask_targets = MaskTargets(mask_size)

    def hybrid_forward(self, F, x, truth=None, keys=None, background_weight=None, planes=None):
        if not autograd.is_training():
            return self._instances(F, x)
        predictions, of = self._predictions(F, x, truth, keys, background_weight)
        with autograd.pause():
            targets, there = self.mask_targets(batched_gather(F, of.regions, of.index), batched_gather(F, of.matches, of.index),
                                               planes)
            weight = of.weight * there
        cut = F.reshape(of.cut, (-4, -1, self._num_sample, 0, 0, 0))
        logits = self.mask(F.reshape(batched_gather(F, cut, of.index), (-3, 0, 0, 0)))
        logits = F.reshape(logits, (-4, -1, self.region_targets.most_positive, 0, 0, 0))
        return (*predictions, _of_class(F, logits, of.class_id, self.num_class), targets, weight)

    def _instances(self, F, x):
        (ids, scores, boxes), features = self._detections(F, x)
        best = F.slice_axis(F.argsort(F.squeeze(scores, axis=2), axis=1, is_ascend=False), axis=1, begin=0, end=self._most_masks)
        ids, scores, boxes = (batched_gather(F, found, best) for found in (ids, scores, boxes))
        corners = F.reshape(boxes, (-3, 0))
        rois = F.concat(F.zeros_like(F.slice_axis(corners, axis=1, begin=0, end=1)), corners, dim=1)
        logits = F.expand_dims(self.mask(self._cut_regions(F, features, F.stop_gradient(rois))), axis=0)
        masks = F.sigmoid(_of_class(F, logits, F.relu(F.squeeze(ids, axis=2)), self.num_class))
        return ids, scores, boxes, masks


def _of_class(F, logits, class_id, class_count):
    """(B, Q, S, S) of logits (B, Q, K, S, S): those of a class each, (B, Q)."""
    one_hot = F.reshape(F.one_hot(class_id, class_count), (0, 0, 0, 1, 1))
    return F.sum(F.broadcast_mul(logits, one_hot), axis=2)


def build_mask_rcnn(options: MaskRcnnOptions, classes: Iterable[str], devices: Sequence[Any]) -> MaskRCNN:
    """The network of resolved MaskRcnnOptions for these class names, not yet initialised."""
    def extra(layer, arguments):
        head = dict(channels=options.mask_channels, convolutions=options.num_mask_head_convs, layer=layer, arguments=arguments)
        return dict(mask_head=head, mask_size=options.mask_size(),
                    most_masks=min(options.rcnn_max_dets, options.rpn_test_pre_nms, options.rpn_test_post_nms))

    return assemble(MaskRCNN, options, classes, devices, extra)

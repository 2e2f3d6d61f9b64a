"""Cross-entropy of every pixel, with mixed label maps (paper, section 3.1, as classification mixes) and smoothed classes (3.2).

Gradients are those of GluonCV's MixSoftmaxCrossEntropyLoss without a second head, whose weight it leaves out of the gradient: of
the mean over all pixels of the batch that are not ignored. (The values that GluonCV shows are divided by the ignored pixels, too,
and its trainer divides once more, by the images.)"""
from __future__ import annotations

from typing import Any

from gluon_bof.backend import autograd, gluon
from gluon_bof.freebies.label_smoothing import UNSMOOTHED
from gluon_bof.masks import NOBODY
from gluon_bof.models.preprocess import Normalise


class SegmentationLoss(gluon.HybridBlock):
    """(logits (B, K, H, W), label maps (B, M, H, W) float32, weights (B, M)) -> (B,) sum over the pixels of the cross-entropy,
    where the m-th map weighs its weight; pixels of NOBODY count nothing. maps: M; smoothing: see freebies.label_smoothing."""

    def __init__(self, maps: int = 1, smoothing: Any = UNSMOOTHED, **kwargs: Any):
        super().__init__(**kwargs)
        self._maps = maps
        self._own, self._every = smoothing.positive - smoothing.negative, smoothing.negative

    def hybrid_forward(self, F, logits, labels, weights):
        # classes last: as the middle axis MXNet takes three times as long for them on a CPU
        logarithms = F.log_softmax(F.transpose(F.cast(logits, "float32"), axes=(0, 2, 3, 1)), axis=-1)
        total = 0
        for number in range(self._maps):
            label, weight = (F.squeeze(F.slice_axis(array, axis=1, begin=number, end=number + 1), axis=1)
                             for array in (labels, weights))
            counted = label != NOBODY
            likely = self._own * F.pick(logarithms, label * counted, axis=-1)
            if self._every:
                likely = likely + self._every * F.sum(logarithms, axis=-1)
            total = total - weight * F.sum(likely * counted, axis=(1, 2))
        return total


class TrainingGraph(gluon.HybridBlock):
    """The whole device side of a training step: (images (B, H, W, 3) uint8, label maps (B, M, H, W) uint8, weights (B, M)) -> the
    loss of each head, (B,), whose mean is that over the pixels that are not ignored, and the number of these, (1,).

    aux_weight: of the second head's loss; 0: the network has none. COUNTED: see training.Step."""

    def __init__(self, network: Any, loss: SegmentationLoss, aux_weight: float = 0.0, **kwargs: Any):
        super().__init__(**kwargs)
        self.normalise = Normalise()
        self.network = network
        self.loss = loss
        self._weights = (1.0, aux_weight) if aux_weight else (1.0,)
        self.COUNTED = (0,) * len(self._weights)

    def hybrid_forward(self, F, images, labels, weights):
        outputs = self.network(self.normalise(images))
        outputs = outputs if isinstance(outputs, (list, tuple)) else [outputs]
        with autograd.pause():
            labels = F.cast(labels, "float32")
            of_image = F.sum(F.sum(labels != NOBODY, axis=(2, 3)) * weights, axis=1)
            count = F.sum(of_image)
            mean = F.maximum(count, 1) / F.sum(F.ones_like(of_image))
        return (*(weight * F.broadcast_div(self.loss(logits, labels, weights), mean)
                  for weight, logits in zip(self._weights, outputs)), count)

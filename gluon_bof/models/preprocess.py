"""uint8 batch -> normalised network input, on the device."""
from __future__ import annotations

from typing import Any

from gluon_bof.backend import gluon
from gluon_bof.freebies.augmentation import MEAN, STD


class Normalise(gluon.HybridBlock):
    """(B, H, W, 3) uint8 RGB -> (B, 3, H, W) float32, ImageNet's mean taken off and divided by its deviation."""

    def hybrid_forward(self, F, images):
        return F.image.normalize(F.image.to_tensor(images), mean=MEAN, std=STD)


class InferenceGraph(gluon.HybridBlock):
    """(images (B, H, W, 3) uint8) -> what the network gives for normalised ones: a detector class ids (B, D, 1), scores (B, D, 1)
    and boxes (B, D, 4) in input pixels, a classifier logits (B, K), a localiser corners (B, 4) too. A detector's `set_nms` counts
    from the next batch on."""

    def __init__(self, network, **kwargs):
        super().__init__(**kwargs)
        self.normalise = Normalise()
        self.network = network
        self._of_graph = self._nms()

    def forward(self, images: Any) -> Any:
        """As `hybrid_forward`."""
        if self._of_graph != self._nms():
            # a hybridized graph has the settings of its first batch in it, and the network drops none but its own
            self._of_graph = self._nms()
            self._clear_cached_op()
        return super().forward(images)

    def _nms(self):
        return tuple(getattr(self.network, name, None) for name in ("nms_thresh", "nms_topk", "post_nms"))

    def hybrid_forward(self, F, images):
        return self.network(self.normalise(images))

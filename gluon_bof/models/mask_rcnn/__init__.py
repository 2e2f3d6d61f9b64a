"""Mask R-CNN: Faster R-CNN with GluonCV's mask head, mask targets from planes of bits, a fifth loss with mixup's weights."""
from gluon_bof._lazy import attach

__getattr__, __dir__, __all__ = attach(__name__, __file__)

"""Detections against ground truth: VOC's and COCO's average precision, and one call that scores weights on a set."""
from gluon_bof._lazy import attach

__getattr__, __dir__, __all__ = attach(__name__, __file__)

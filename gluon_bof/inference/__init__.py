"""Trained networks at work: on arrays, images and videos; and exported for other programs."""
from gluon_bof._lazy import attach

__getattr__, __dir__, __all__ = attach(__name__, __file__)

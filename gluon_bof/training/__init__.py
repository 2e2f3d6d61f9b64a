"""Training: the pipeline that every script shares, the engine that takes a run through its epochs, the loop, the optimizer.

Knows nothing of evaluation: whoever trains hands the engine a function that validates."""
from gluon_bof._lazy import attach

__getattr__, __dir__, __all__ = attach(__name__, __file__)

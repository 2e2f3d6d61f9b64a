"""Data sets and what workers make of them: readers, the sampler that decides, the loader that computes.

Only loader and shared_memory know MXNet."""
from gluon_bof._lazy import attach

__getattr__, __dir__, __all__ = attach(__name__, __file__)

"""File formats of weights, read in NumPy with every field checked: a damaged file is an error, never a crash. No MXNet."""
from gluon_bof._lazy import attach

__getattr__, __dir__, __all__ = attach(__name__, __file__)

"""Weights: formats, loading and moving them, GluonCV's published ones, and what WEIGHTS means on a command line."""
from gluon_bof._lazy import attach

__getattr__, __dir__, __all__ = attach(__name__, __file__)

"""A run's folder: what lies in it under which name, and what its configuration says. The only place that knows."""
from gluon_bof._lazy import attach

__getattr__, __dir__, __all__ = attach(__name__, __file__)

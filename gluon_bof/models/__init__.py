"""Networks: a family is a folder, build.py says what each has to offer.

Nothing in here knows a file of a run."""
from gluon_bof._lazy import attach

__getattr__, __dir__, __all__ = attach(__name__, __file__)

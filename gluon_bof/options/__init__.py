"""What can be asked for: flags, the options of each family, the table of families, and recipes. No MXNet, no NumPy."""
from gluon_bof._lazy import attach

__getattr__, __dir__, __all__ = attach(__name__, __file__)

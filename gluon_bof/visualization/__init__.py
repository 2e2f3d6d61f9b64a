"""What people would rather see than read: boxes on images, a run's pages, anchors over boxes."""
from gluon_bof._lazy import attach

__getattr__, __dir__, __all__ = attach(__name__, __file__)

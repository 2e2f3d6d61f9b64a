"""SSD: GluonCV's networks, targets for a whole batch on the device, the two losses with hard negatives, mixup's weights and
smoothing."""
from gluon_bof._lazy import attach

__getattr__, __dir__, __all__ = attach(__name__, __file__)

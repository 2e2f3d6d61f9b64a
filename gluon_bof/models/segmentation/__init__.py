"""Segmentation: FCN and U-Net, five ways of upsampling, the loss of every pixel with mixup's weights and smoothing."""
from gluon_bof._lazy import attach

__getattr__, __dir__, __all__ = attach(__name__, __file__)

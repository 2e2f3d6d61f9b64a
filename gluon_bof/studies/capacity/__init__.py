"""The capacity of a network's weights: power laws fitted to the spectra of its layers, alpha-hat = sum of alpha log10 lambda_max
("Universality and Capacity Metrics in Deep Neural Networks", Martin and Mahoney), without any data. NumPy and SciPy only."""
from gluon_bof._lazy import attach

__getattr__, __dir__, __all__ = attach(__name__, __file__)

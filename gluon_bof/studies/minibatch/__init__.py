"""Which mini-batch is the best? Images sorted by a metric and cut into mini-batches, and how far each one's gradient is from the
full gradient ("What's the Best Mini-batch?", Lasky, Kesiz Abnousi, Ma and Yang); and whether the order of training pays."""
from gluon_bof._lazy import attach

__getattr__, __dir__, __all__ = attach(__name__, __file__)

"""Weights: formats, loading and moving them, GluonCV's published ones, and what WEIGHTS means on a command line."""
from gluon_bof._lazy import attach

__getattr__, __dir__, __all__ = attach(__name__, {
    "resolve": (),
    "load": ("load_weights", "load_partially", "transfer", "load_backbone", "save_weights"),
    "zoo": ("download", "download_backbone", "published", "shipped"),
    "convert": ("import_weights",),
    "fitting": ("fitting_network",),
    "inspect": ("WeightsSummary", "read_contents"),
    "anchors": ("resolve_anchors", "keep_anchors"),
})

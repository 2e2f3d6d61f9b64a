"""A run's folder: what lies in it under which name, and what its configuration says. The only place that knows."""
from gluon_bof._lazy import attach

__getattr__, __dir__, __all__ = attach(__name__, {
    "folder": ("Run", "RunFolder"),
    "opening": ("create_run", "find_run", "reopen_run"),
    "config": ("is_run", "read_config", "read_options"),
})

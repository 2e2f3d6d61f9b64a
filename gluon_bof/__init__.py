"""Bag of freebies for training object detection networks, on GluonCV and MXNet.

    model = gluon_bof.load("runs/street")
    found = model.predict("street.jpg")  # found.boxes, found.names, found.scores

Public names are imported when they are first used, so that importing the package starts no MXNet; docs/api.md lists them.
Raises ImportError where Python or NumPy is unsupported."""
from gluon_bof._version import __version__  # noqa: F401
from gluon_bof.compat import check_versions

check_versions()

_HOME = {"load": "api", "train": "api", "evaluate": "api", "open_dataset": "api", "recipes": "api", "UserError": "errors"}
_ROOMS = ("boxes", "data", "evaluation", "freebies", "inference", "masks", "models", "options", "runs",
          "studies", "training", "visualization", "weights")
__all__ = sorted([*_HOME, *_ROOMS, "__version__"])


def __getattr__(name):
    import importlib
    if name in _ROOMS:
        return importlib.import_module(f"gluon_bof.{name}")
    if name in _HOME:
        return getattr(importlib.import_module(f"gluon_bof.{_HOME[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__():
    return __all__

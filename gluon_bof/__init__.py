"""Bag of freebies for training object detection networks, on GluonCV and MXNet.

    model = gluon_bof.load("runs/street")
    found = model.predict("street.jpg")  # found.boxes, found.names, found.scores

Public names are imported when they are first used, so that importing the package starts no MXNet; docs/api.md lists them.
Raises ImportError where Python or NumPy is unsupported."""
from gluon_bof.compat import check_versions

check_versions()

from gluon_bof._lazy import attach  # noqa: E402

__getattr__, __dir__, __all__ = attach(__name__, __file__)

"""Bag of freebies for training object detection networks, on GluonCV and MXNet.

options and errors stand alone; data, models, training, evaluation, paper and studies build on them, one way.
Whatever needs MXNet imports it from `gluon_bof.backend`. Raises ImportError where Python or NumPy is unsupported.

    model = gluon_bof.load("runs/street")
    found = model.predict("street.jpg")  # found.boxes, found.names, found.scores"""
from importlib import import_module

from gluon_bof._version import __version__  # noqa: F401
from gluon_bof.compat import check_versions

check_versions()


def load(weights, **options):
    """A trained detector with `classes`, `predict(image)` and `export(path)`, from a run's folder, a .params file or GluonCV's
    name of a pretrained model; see gluon_bof.inference.model.load. Imports MXNet."""
    # by name: as the place of __version__ the package lies below its parts, and as its face above them
    return import_module("gluon_bof.inference.model").load(weights, **options)

"""Bag of freebies for training object detection networks, on GluonCV and MXNet.

options and errors stand alone; data, models, training, evaluation, paper and studies build on them, one way.
Whatever needs MXNet imports it from `gluon_bof.backend`. Raises ImportError where Python or NumPy is unsupported."""
from gluon_bof.compat import check_versions

__version__ = "0.1.0"

check_versions()

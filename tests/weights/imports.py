"""Networks that imported weights are tried in, and what an import that is refused says."""
import pytest

from gluon_bof.backend import mx
from gluon_bof.errors import UserError
from gluon_bof.weights import convert
from gluon_bof.weights.load import set_weights
from tests.tiny_networks import settled


def filled(network, arrays=None):
    """The network, initialised and settled, with these weights."""
    settled(network, start=mx.init.Zero() if arrays else None)  # a whole Darknet-53 of random numbers takes a second
    if arrays:
        set_weights(network, arrays, "these")
    return network


def refusal(path, target, *given):
    with pytest.raises(UserError) as caught:
        convert.import_weights(path, target, *given)
    assert str(path) in str(caught.value) or "--to" in str(caught.value)
    return str(caught.value)

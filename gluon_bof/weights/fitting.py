"""Which network has weights of given names and shapes."""
from __future__ import annotations

import importlib
from typing import Mapping, NamedTuple

from gluon_bof.options import families
from gluon_bof.weights.load import structured
from gluon_bof.weights.torch_resnet import HEADS

MIN_ARRAYS = 30  # a VGG-16 without its head has so many, every other network here more


class Match(NamedTuple):
    """A network that has the names of some weights. classes: their number, None for a backbone; differing: names of
    those whose shapes are other ones."""

    network: str
    classes: int | None
    differing: tuple


def fitting_network(shapes: Mapping[str, tuple]) -> Match | None:
    """Fit of {name: shape} as our .params files have them, or None."""
    shapes = structured(shapes)
    fits = []
    for network, classes, wanted in _candidates(shapes) if len(shapes) >= MIN_ARRAYS else ():
        found = shapes if classes else {name: shape for name, shape in shapes.items() if not name.startswith(HEADS)}
        if wanted.keys() == found.keys():
            fits.append(Match(network, classes, tuple(name for name in wanted if wanted[name].shape != found[name])))
    return min(fits, key=lambda fit: len(fit.differing), default=None)  # the MobileNets have the same names


def _candidates(shapes):
    """(name, number of classes or None, {name: Parameter}) of the networks that the names may belong to."""
    packages = [importlib.import_module(family.model) for family in families.inferring()]
    found = [match for package in packages for match in package.matches(shapes)]
    return found or [(name, None, parameters) for package in packages for name, parameters in package.backbones()]

"""Type hints: what the packages' `__init__` offer says of each parameter what it takes, and what it returns."""
from __future__ import annotations

import ast
import importlib
import inspect
import pkgutil
from pathlib import Path

import pytest

import gluon_bof

ROOMS = ("gluon_bof", "gluon_bof.data", "gluon_bof.evaluation", "gluon_bof.freebies", "gluon_bof.inference", "gluon_bof.models",
         "gluon_bof.models.faster_rcnn", "gluon_bof.models.segmentation", "gluon_bof.models.ssd", "gluon_bof.models.yolo3",
         "gluon_bof.options", "gluon_bof.runs", "gluon_bof.studies.capacity", "gluon_bof.studies.minibatch",
         "gluon_bof.training", "gluon_bof.visualization", "gluon_bof.weights")
OF_MXNET = ("hybrid_forward",)  # its arguments are whatever MXNet hands over: arrays, or symbols


def offered(room):
    """(name, object) of what a package offers, without submodules."""
    package = importlib.import_module(room)
    return [(name, getattr(package, name)) for name in package.__all__ if not inspect.ismodule(getattr(package, name))]


def own_functions(kind):
    """(name, function) of the public methods and properties that a class itself has in its body."""
    for name, member in vars(kind).items():
        if not name.startswith("_") and name not in OF_MXNET:
            function = member.fget if isinstance(member, property) else getattr(member, "__func__", member)
            if inspect.isfunction(inspect.unwrap(function)):
                yield name, inspect.unwrap(function)


def public_functions(room):
    """(name, function) of the functions that a package offers, and of its classes' and their bases' public methods."""
    for name, item in offered(room):
        if inspect.isclass(item):
            for kind in item.__mro__:
                if kind.__module__.startswith("gluon_bof"):
                    yield from ((f"{name}.{method}", function) for method, function in own_functions(kind))
        elif callable(item):
            yield name, inspect.unwrap(item)


def unhinted(function):
    """Names of the parameters without a hint, and "return"."""
    signature = inspect.signature(function)
    missing = [name for name, parameter in signature.parameters.items()
               if name not in ("self", "cls") and parameter.annotation is inspect.Parameter.empty]
    return missing + ["return"] * (signature.return_annotation is inspect.Signature.empty)


@pytest.mark.parametrize("room", ROOMS)
def test_what_a_package_offers_has_hints(room):
    found = dict(public_functions(room))
    assert {name: unhinted(function) for name, function in found.items() if unhinted(function)} == {}


@pytest.mark.parametrize("room", ROOMS)
def test_editors_and_type_checkers_see_what_a_package_offers(room):
    package = importlib.import_module(room)
    stub = ast.parse(Path(package.__file__).with_suffix(".pyi").read_text(encoding="utf-8"))
    # "import name" alone is private in a stub
    assert {name.asname for line in stub.body for name in line.names} == set(package.__all__)


def test_every_room_is_walked():
    packages = {f"gluon_bof.{found.name}" for found in pkgutil.iter_modules(gluon_bof.__path__)
                if found.ispkg and found.name in gluon_bof.__all__}
    assert packages <= {*ROOMS, "gluon_bof.studies"}  # a bare folder
    assert all(list(public_functions(room)) for room in ROOMS)


def test_a_missing_hint_is_seen():
    def bare(one, two: int, *others, **rest):
        return one

    class Kind:
        @property
        def half(self):
            return 0.5

        @classmethod
        def make(cls, of) -> Kind:
            return cls()

        def _hidden(self, what):
            return what

    assert unhinted(bare) == ["one", "others", "rest", "return"]
    assert {name: unhinted(function) for name, function in own_functions(Kind)} == {"half": ["return"], "make": ["of"]}

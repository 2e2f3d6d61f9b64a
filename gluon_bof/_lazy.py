"""Public names of a package that are imported when they are first asked for, so that importing the package costs nothing."""
from __future__ import annotations

import ast
import importlib
import os
import sys
from typing import Any, Callable


def attach(package: str, file: str) -> tuple[Callable[[str], Any], Callable[[], list], list]:
    """(__getattr__, __dir__, __all__) for the package's __init__, which is this file. The __init__.pyi beside it says which names
    are public, and of which module; editors and type checkers read the same."""
    loader = sys.modules[package].__spec__.loader  # of files or of a zip
    home = public_names(loader.get_data(os.path.join(os.path.dirname(file), "__init__.pyi")).decode())
    # importing a submodule sets it as the package's attribute, and would hide a name of its own
    hidden = {name for name, module in home.items() if module != package and f"{package}.{name}" in home.values()}
    assert not hidden, f"{package}: a public name is a submodule's too: {hidden}"
    public = sorted(home)

    def __getattr__(name):
        if name not in home:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        if home[name] == package:
            return importlib.import_module(f"{package}.{name}")
        return getattr(importlib.import_module(home[name]), name)

    return __getattr__, lambda: public, public


def public_names(stub: str) -> dict[str, str]:
    """{name: module that it is imported from} of a stub's text; a package's own submodule is imported from the package."""
    pairs = [(name.name, line.module) for line in ast.parse(stub).body for name in line.names]
    assert len(dict(pairs)) == len(pairs), f"a name is imported twice: {pairs}"
    return dict(pairs)

"""Public names of a package that are imported when they are first asked for, so that importing the package costs nothing."""
from __future__ import annotations

import importlib
from typing import Any, Callable, Mapping, Sequence


def attach(package: str, names: Mapping[str, Sequence[str]]) -> tuple[Callable[[str], Any], Callable[[], list], list]:
    """(__getattr__, __dir__, __all__) for a package's __init__. names: {submodule: its public names}; a submodule without
    names is public itself."""
    home = {name: module for module, public in names.items() for name in public}
    # importing a submodule sets it as the package's attribute, and would hide a name of its own
    assert not home.keys() & names.keys(), f"{package}: a public name is a submodule's too: {home.keys() & names.keys()}"
    public = sorted({*home, *(module for module, of_it in names.items() if not of_it)})

    def __getattr__(name):
        if name in home:
            return getattr(importlib.import_module(f"{package}.{home[name]}"), name)
        if name in names:
            return importlib.import_module(f"{package}.{name}")
        raise AttributeError(f"module {package!r} has no attribute {name!r}")

    return __getattr__, lambda: public, public

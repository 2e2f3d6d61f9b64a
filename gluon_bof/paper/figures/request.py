"""What every figure can be asked: options that are flags, and for those that open weights the options of `evaluate`."""
from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from gluon_bof.options.flags import flag


@dataclass(frozen=True)
class FigureOptions:
    """Options of a figure; a figure's module has a subclass of the name Options, whose fields are its flags."""

    figure: Any = flag(0, "", hidden=True)  # its number or name
    evaluation: dict = field(default_factory=dict, metadata={"hidden": True, "help": ""})  # {option: value} of `evaluate`
    last: bool = flag(False, "", hidden=True)  # of runs: their last weights, not their best
    out: str = flag("figures", "folder for the PNG and the CSV")


def many(text: str, metavar: Any, nargs: Any = "+", **how: Any) -> Any:
    """A field that holds the words of its flag."""
    return flag((), text, kind=str, nargs=nargs, metavar=metavar, **how)

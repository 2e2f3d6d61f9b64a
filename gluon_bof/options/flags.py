"""Flags are the fields of options: how a field becomes a flag, text becomes a value, and options become JSON."""
from __future__ import annotations

import argparse
import dataclasses
import json
import math
import os

from gluon_bof.errors import UserError

EMBEDDED = "shapes"


class Parser(argparse.ArgumentParser):
    """argparse's parser, whose errors are the user's."""

    def error(self, message):
        raise UserError(message, remedy=f"see {os.path.basename(self.prog)} --help")


def flag(default, text, **how):
    """A field that is a command-line flag. how: argparse's keywords, and `short` for a second name."""
    return dataclasses.field(default=default, metadata=dict(how, help=text))


def parse(options_class, embedded, argv, description):
    """(options, names of the flags that were given, whether --dry-run was).

    Flags that are not given have the class's defaults, or for the embedded set those of `embedded`. Prints help and
    exits for --help; anything it cannot read is a UserError of one line."""
    given = vars(build_parser(options_class, description).parse_args(argv))
    dry_run = given.pop("dry_run", False)
    if given.pop("custom_model", None):
        given["custom_model"] = True
    base = embedded if given.get("dataset", EMBEDDED) == EMBEDDED else options_class()
    return dataclasses.replace(base, **given), set(given), dry_run


def build_parser(options_class, description):
    """An argument parser of the dataclass's fields."""
    parser = Parser(description=description, allow_abbrev=False)
    parser.add_argument("--dry-run", action="store_true", default=argparse.SUPPRESS,
                        help="print the whole resolved configuration as JSON and end")
    fields = dataclasses.fields(options_class)
    after_the_word = None
    if any(field.metadata.get("custom") for field in fields):
        after_the_word = _custom_model_parser(parser)
    for field in fields:
        for place in (parser, after_the_word) if field.metadata.get("custom") else (parser,):
            add_flag(place, field.name, field.metadata, field.default)
    return parser


def add_flag(parser, name, metadata, default):
    """Give an argument parser the flag of a field; where it is not given, nothing is set."""
    how = {key: value for key, value in metadata.items() if key != "custom"}
    if how.pop("hidden", False):
        return
    short = how.pop("short", None)
    if default is not False or "nargs" in how:
        how["help"] += f" [{default}]".replace("%", "%%") if default is not None else ""
        how["type"] = how.pop("kind", type(default) if default is not None else str)
    else:
        how["action"] = "store_true"
    parser.add_argument("--" + name.replace("_", "-"), *[short] if short else [], dest=name, default=argparse.SUPPRESS,
                        **how)


def _custom_model_parser(parser):
    """GluonCV's Faster R-CNN script takes some flags only after the word custom-model, which changes their defaults."""
    word = parser.add_subparsers(dest="custom_model", metavar="custom-model", title="GluonCV's custom model",
                                 description="the word custom-model builds its custom pyramid network; the flags of the "
                                             "network's parts may come before or after it")
    return word.add_parser("custom-model", allow_abbrev=False, add_help=False)


def integers(text, name):
    """The integers of "160,180". Raises UserError."""
    try:
        return [int(word) for word in text.split(",") if word.strip()]
    except ValueError:
        raise UserError(f"{name} {text!r} is not a list of whole numbers",
                        remedy=f"write for example {name} 160,180") from None


def to_json(options):
    """The whole configuration as JSON text."""
    return json.dumps(dataclasses.asdict(options), indent=2)


# which values a field may have, by its default
KINDS = {bool: (bool, str), int: int, float: (int, float), str: str, type(None): (int, float, str, bool, type(None))}


def from_json(options_class, values, path):
    """Options from a configuration that `to_json` wrote. Raises UserError for fields that are not known, and for values of
    another kind."""
    defaults = {field.name: field.default for field in dataclasses.fields(options_class)}
    foreign = sorted(set(values) - set(defaults))
    if foreign:
        raise UserError(f"the configuration has unknown fields: {', '.join(foreign)}", path,
                        "it was written by another version; start a new run")
    for name, value in values.items():
        if not isinstance(value, KINDS[type(defaults[name])]):
            raise UserError(f"{name} cannot be {str(value)[:60]!r}", path, f"a value such as {defaults[name]!r} is meant")
    return dataclasses.replace(options_class(), **values)


def _flag(name):
    return "--" + name.replace("_", "-")


def at_least(options, name, least):
    """Raise UserError where the option is below `least`."""
    if getattr(options, name) < least:
        raise UserError(f"{_flag(name)} {getattr(options, name)} is below {least}", remedy=f"give {least} or more")


def positive(options, name):
    """Raise UserError where the option is not a finite number above 0."""
    value = getattr(options, name)
    if not (math.isfinite(value) and value > 0):
        raise UserError(f"{_flag(name)} {value} must be above 0", remedy="give a positive number")


def not_negative(options, name):
    """Raise UserError where the option is not a finite number from 0 on."""
    value = getattr(options, name)
    if not (math.isfinite(value) and value >= 0):
        raise UserError(f"{_flag(name)} {value} must be 0 or more", remedy="give a number of that kind")


def numbers(text, name, kind=float):
    """The numbers of "0.5,1,2". Raises UserError."""
    try:
        found = tuple(kind(word) for word in text.split(",") if word.strip())
    except ValueError:
        found = ()
    if not found or not all(math.isfinite(value) and value > 0 for value in found):
        raise UserError(f"{name} {text!r} is not a list of positive numbers", remedy=f"write for example {name} 1,2")
    return found

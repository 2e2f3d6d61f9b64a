"""Flags are the fields of options: how a field becomes a flag, text a value, and options JSON. Parsing happens here, once."""
from __future__ import annotations

import argparse
import dataclasses
import json
import math
import os
from difflib import get_close_matches
from numbers import Integral, Real
from types import MappingProxyType
from typing import Any, Callable, Mapping, NamedTuple, NoReturn, Sequence

from gluon_bof.errors import UserError

EMBEDDED = "shapes"
SEEDS = 2 ** 64  # as many as rng's keys tell apart
CUSTOM_MODEL = "custom-model"  # GluonCV's word, after which its scripts of R-CNNs take the flags of the network's parts
# help's groups, in the order of the page; "first" are those that most people need
GROUPS = {
    "first": "most used", "data": "data", "freebies": "freebies", "schedule": "schedule and optimizer", "network": "network",
    "run": "run", "parts": "parts of the network, whose defaults depend on --network, --use-fpn, --norm-layer and --dataset"}


METAVARS = {int: "N", float: "X"}


class NotAValue(argparse.ArgumentTypeError, ValueError):
    """A text that is not what its flag takes."""


class Parser(argparse.ArgumentParser):
    """argparse's parser, whose errors are the user's."""

    def parse_args(self, args: Sequence[str] | None = None, namespace: argparse.Namespace | None = None) -> argparse.Namespace:
        """As argparse's; of a flag that is not known the error names the one that looks like it."""
        parsed, unknown = self.parse_known_args(args, namespace)
        if unknown:
            near = get_close_matches(unknown[0].split("=")[0], self._option_string_actions, 1, 0.75)
            self.error(f"unrecognized arguments: {' '.join(unknown)}" + "".join(f" (is {name} meant?)" for name in near))
        return parsed

    def error(self, message: str) -> NoReturn:
        raise UserError(message, remedy=f"see {os.path.basename(self.prog)} --help")


class _PartsParser(Parser):
    """A parser of a network with parts, which also takes GluonCV's word, before, between or behind the flags."""

    def parse_known_args(self, args=None, namespace=None):
        # the word is what no flag takes: as argparse's positional it would be sought in the value of an unknown flag, too
        parsed, unknown = super().parse_known_args(args, namespace)
        if CUSTOM_MODEL in unknown:
            unknown.remove(CUSTOM_MODEL)
            parsed.custom_model = True
        return parsed, unknown


class Kind(NamedTuple):
    """A field's type: how text becomes its value, and how the value is written, in JSON and on a command line alike.

    parse raises ValueError where the text is none; read: value of JSON -> the field's value."""

    parse: Callable[[str], Any]
    write: Callable[[Any], Any]
    read: Callable[[Any], Any]


def _list_of(number: type, what: str) -> Kind:
    def parse(text):
        try:
            values = tuple(number(word) for word in text.split(",") if word.strip())
            are_finite = all(map(math.isfinite, values))
        except (ValueError, OverflowError):  # the second of whole numbers of hundreds of digits
            are_finite = False
        if not are_finite:
            raise NotAValue(f"{text!r} is not a list of {what}, for example 1,2")
        return values

    def read(value):
        if isinstance(value, (list, tuple)):
            value = write(value)
        if not isinstance(value, str):
            raise ValueError(value)
        return parse(value)

    def write(values):
        return ",".join(str(int(value)) if value == int(value) else repr(float(value)) for value in values)

    return Kind(parse, write, read)


INTEGERS = _list_of(int, "whole numbers")
NUMBERS = _list_of(float, "numbers")


def flag(default: Any, text: str, group: str = "run", **how: Any) -> Any:
    """A field that is a command-line flag; without a text help does not show it.

    group: one of GROUPS. how: argparse's keywords, and: kind, a Kind or a type, where the default's type does not tell it;
    short, a second name; evaluates, whether evaluation may be told it; builds, whether it says which network is built; part,
    whether it builds a part of the network;
    hidden, whether no flag sets it; old, a name that the flag had in the version before."""
    return dataclasses.field(default=default, metadata=dict(how, help=text, group=group))


class Parsed(NamedTuple):
    """A command line: the options, the names of the flags that were given, and whether --dry-run was."""

    options: Any
    given: set
    dry_run: bool


def parse(options_class: type, argv: Sequence[str] | None, description: str, recipes: Mapping[str, Any],
          prog: str | None = None) -> Parsed:
    """Options of a command line. recipes: {name: Recipe} that --recipe chooses from; see `on_recipe`.

    Prints help and exits for --help; anything it cannot read is a UserError of one line."""
    given = vars(build_parser(options_class, description, recipes, prog).parse_args(argv))
    dry_run = given.pop("dry_run", False)
    name = given.get("recipe", "")
    if name and name not in recipes:
        raise UserError(f"no recipe {name!r}", remedy="--list-recipes names them")
    return Parsed(on_recipe(options_class, given, recipes, name), set(given), dry_run)


def on_recipe(options_class: type, given: Mapping[str, Any], recipes: Mapping[str, Any], name: str = "") -> Any:
    """The options with these {field: value} on top of the named one of the recipes, {name: Recipe}; without a name, of the recipe
    "embedded" where there is one and the data set is the embedded one, else of the class's defaults."""
    name = name or ("embedded" if "embedded" in recipes and given.get("dataset", EMBEDDED) == EMBEDDED else "")
    base = dataclasses.replace(recipes[name].options.under(given), recipe=name) if name else options_class()
    return dataclasses.replace(base, **given)


def build_parser(options_class: type, description: str, recipes: Mapping[str, Any] = MappingProxyType({}),
                 prog: str | None = None, everything: bool = False) -> Parser:
    """An argument parser of the dataclass's fields. everything: its help shows the parts of the network, too."""
    fields = dataclasses.fields(options_class)
    has_parts = any(field.metadata.get("part") for field in fields)
    kind = _PartsParser if has_parts else Parser
    parser = kind(prog=prog, description=description, allow_abbrev=False, formatter_class=_Help, usage="%(prog)s [FLAG …]",
                  epilog="--help-all also lists the flags of the network's parts." if has_parts and not everything else None)
    add_help_all(parser, lambda: build_parser(options_class, description, recipes, parser.prog, True))
    parser.add_argument("--dry-run", action="store_true", default=argparse.SUPPRESS,
                        help="print the whole resolved configuration as JSON and end")
    parser.add_argument("--list-recipes", action=_ListRecipes, nargs=0, const=recipes, default=argparse.SUPPRESS,
                        help="print the recipes, what they reach and in which time, and end")
    groups = {name: parser.add_argument_group(title) for name, title in GROUPS.items()}
    for field in fields:
        is_part = field.metadata.get("part", False)
        add_flag(groups["parts" if is_part else field.metadata["group"]], field, shown=everything or not is_part)
    if has_parts:
        parser.add_argument_group("GluonCV's custom model", f"the word {CUSTOM_MODEL} builds its custom pyramid network; the "
                                  "flags of the network's parts may come before or after it")
    return parser


def add_flag(parser: Any, field: dataclasses.Field, shown: bool = True, text: str | None = None, with_default: bool = True,
             **how: Any) -> None:
    """Give an argument parser, or a group of it, the flag of a field; where it is not given, nothing is set.

    text: help in place of the field's; with_default: whether help ends with the field's default; how: argparse's keywords in
    place of the field's."""
    given = dict(field.metadata)
    if given.pop("hidden", False):
        return
    names = ["--" + field.name.replace("_", "-"), *filter(None, [given.pop("short", None)])]
    old = given.pop("old", None)
    kind = kind_of(field)
    for key in ("group", "kind", "evaluates", "builds", "part"):
        given.pop(key, None)
    given["help"] = given["help"] if text is None else text
    if field.default is False and "nargs" not in given:
        given["action"] = "store_true"
    else:
        given["type"] = kind.parse if isinstance(kind, Kind) else kind
        if not given.get("choices"):
            given.setdefault("metavar", METAVARS.get(kind, field.name.rsplit("_", 1)[-1].upper()))
        if with_default and field.default is not False and field.default not in (None, "", ()):
            given["help"] += f" [{written(field, field.default)}]"
    given["help"] = given["help"].replace("%", "%%") if shown and field.metadata["help"] else argparse.SUPPRESS
    given = {**given, **how, "dest": field.name, "default": argparse.SUPPRESS}
    parser.add_argument(*names, **given)
    if old:
        parser.add_argument(old, **{**given, "help": argparse.SUPPRESS})


def kind_of(field: dataclasses.Field) -> Any:
    """The Kind or the type of a field."""
    return field.metadata.get("kind") or (str if field.default is None else type(field.default))


def written(field: dataclasses.Field, value: Any) -> Any:
    """A field's value as JSON and a command line have it."""
    kind = kind_of(field)
    return kind.write(value) if isinstance(kind, Kind) and value is not None else value


def add_help_all(parser: Parser, build: Callable[[], Parser]) -> None:
    """Give a parser the flag --help-all, which prints the help of the parser that `build` makes."""
    parser.add_argument("--help-all", action=_HelpAll, nargs=0, help=argparse.SUPPRESS, default=argparse.SUPPRESS, const=build)


def add_subparsers(parser: Parser, parsers: Mapping[str, tuple[Parser, str]]) -> None:
    """Give a parser sub-commands whose parsers, {name: (parser, text)}, are there already."""
    words = parser.add_subparsers(dest="word", metavar="COMMAND")
    for name, (built, text) in parsers.items():
        words.add_parser(name, help=text, add_help=False)
        words.choices[name] = built


class _Help(argparse.RawDescriptionHelpFormatter):
    """Help whose columns leave room for the text, and whose examples keep their lines."""

    def __init__(self, prog):
        super().__init__(prog, max_help_position=30, width=110)


class _HelpAll(argparse.Action):
    def __call__(self, parser, namespace, values, option_string=None):
        print(self.const().format_help())
        parser.exit()


class _ListRecipes(argparse.Action):
    def __call__(self, parser, namespace, values, option_string=None):
        print("\n".join(f"{name:34} {recipe.summary()}" for name, recipe in self.const.items()))
        parser.exit()


def flags_of(options: Any, base: Any) -> list[str]:
    """The words that make a parser whose flags stand on top of `base` give these options. Raises ValueError for what no flag
    can say."""
    words = []
    for field in dataclasses.fields(options):
        value = getattr(options, field.name)
        if value == getattr(base, field.name):
            continue
        if field.name == "custom_model" and value:
            words.append(CUSTOM_MODEL)
            continue
        if field.metadata.get("hidden") or value is None or value is False:
            raise ValueError(f"no flag says {field.name}={value!r}")
        words.append(flag_name(field.name))
        if value is not True:
            words.append(value if isinstance(value, str) else str(written(field, value)))
    return words


def as_dict(options: Any) -> dict[str, Any]:
    """{field: value as JSON has it}."""
    return {field.name: written(field, getattr(options, field.name)) for field in dataclasses.fields(options)}


def to_json(options: Any) -> str:
    """The whole configuration as JSON text."""
    return json.dumps(as_dict(options), indent=2)


# which values JSON may have for a field, by the type of its default
JSON_KINDS = {bool: bool, int: int, float: (int, float), str: str}


def from_dict(options_class: type, values: Mapping[str, Any], path: str) -> Any:
    """Options from a configuration that `as_dict` gave. Raises UserError, naming `path`, for fields that are not known, and for
    values of another kind."""
    fields = {field.name: field for field in dataclasses.fields(options_class)}
    foreign = sorted(set(values) - set(fields))
    if foreign:
        raise UserError(f"the configuration has unknown fields: {', '.join(foreign)}", path,
                        "it was written by another version; start a new run")
    return dataclasses.replace(options_class(), **{name: _read(fields[name], value, path) for name, value in values.items()})


def _read(field, value, path):
    kind = kind_of(field)
    try:
        if value is None and field.default is None:
            return None
        if isinstance(kind, Kind):
            return kind.read(value)
        if not isinstance(value, JSON_KINDS[kind]) or (isinstance(value, bool) and kind is not bool):
            raise ValueError(value)
        return value
    except (ValueError, TypeError, KeyError):
        raise UserError(f"{field.name} cannot be {repr(value)[:60]}", path,
                        f"a value such as {_example(field, value)!r} is meant") from None


def _example(field, value):
    """What may be meant by a value that a field cannot have: numbers as the text that it wants, else its default."""
    numbers = value if isinstance(value, (list, tuple)) else [value]
    if kind_of(field) is str and all(type(number) in (int, float) for number in numbers):
        return ",".join(map(str, numbers))[:60]
    return written(field, field.default)


# checks

def flag_name(name: str) -> str:
    """--the-flag of a field."""
    return "--" + name.replace("_", "-")


def text_of(name: str, value: Any, remedy: str) -> str:
    """A path or a name that was given for the option, as text. Raises UserError for anything else, and be it bytes."""
    if not isinstance(value, (str, os.PathLike)):
        raise UserError(f"{flag_name(name)} cannot be {repr(value)[:60]}", remedy=remedy)
    return os.fspath(value)


def whole_pixels(name: str, value: Any, usual: int) -> int:
    """The value that was given for the option. Raises UserError for one that is no number of pixels, and be it True."""
    if isinstance(value, bool) or not isinstance(value, Integral):
        raise UserError(f"{flag_name(name)} cannot be {value!r}", remedy=f"give a whole number of pixels, such as {usual}")
    return int(value)


def fraction(name: str, value: Any, usual: float, most: float = 1) -> float:
    """The value that was given for the option. Raises UserError for one that is no number from 0 to `most`, and be it True."""
    if isinstance(value, bool) or not isinstance(value, Real) or not 0 <= value <= most:
        raise UserError(f"{flag_name(name)} {value!r} is outside [0, {most}]", remedy=f"{usual} is usual")
    return float(value)


def at_least(options: Any, name: str, least: float) -> None:
    """Raise UserError where the option is below `least`, or no number."""
    if not getattr(options, name) >= least:
        raise UserError(f"{flag_name(name)} {getattr(options, name)} is below {least}", remedy=f"give {least} or more")


def check_seed(options: Any) -> None:
    """Raise UserError where the option `seed` is below 0, or as large as SEEDS."""
    at_least(options, "seed", 0)
    if options.seed >= SEEDS:
        raise UserError(f"--seed {options.seed} is above {SEEDS - 1}", remedy="give a smaller one")


def positive(options: Any, name: str) -> None:
    """Raise UserError where the option is not a finite number above 0."""
    value = getattr(options, name)
    if not (math.isfinite(value) and value > 0):
        raise UserError(f"{flag_name(name)} {value} must be above 0", remedy="give a finite number above 0")


def not_negative(options: Any, name: str) -> None:
    """Raise UserError where the option is not a finite number from 0 on."""
    value = getattr(options, name)
    if not (math.isfinite(value) and value >= 0):
        raise UserError(f"{flag_name(name)} {value} must be 0 or more", remedy="give a number of that kind")


def positive_numbers(options: Any, name: str) -> None:
    """Raise UserError where the option is not a list of numbers above 0."""
    values = getattr(options, name)
    if not values or min(values) <= 0:
        raise UserError(f"{flag_name(name)} {NUMBERS.write(values)} is not a list of positive numbers",
                        remedy=f"write for example {flag_name(name)} 1,2")

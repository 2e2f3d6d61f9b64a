"""Fields of annotations: JSON files, and their numbers, sizes, flags and turned boxes, which exporters write in many ways."""
from __future__ import annotations

import json
import math
from typing import Any, Iterable, Mapping, Sequence

_FLAGS = {"true": True, "yes": True, "false": False, "no": False, "none": False}


def load_json(path: str) -> Any:
    """What a JSON file holds. Raises OSError, ValueError and RecursionError."""
    return json.loads(json_text(path))


def json_text(path: str) -> str:
    """The text of a JSON file in UTF-8, UTF-16 or UTF-32, with or without a byte order mark. Raises OSError and ValueError."""
    with open(path, "rb") as file:
        data = file.read()
    return data.decode(json.detect_encoding(data))


def repeated_keys(text: str, keys: Iterable[str]) -> list[str]:
    """Those of these keys that the outermost object of a JSON text has several times: the last alone is read. To look at the keys
    of every object takes half as long as to read it, so that is done only where such words are there several times."""
    suspects = [key for key in keys if text.count(f'"{key}"') > 1]
    found = []

    def keep(pairs):
        found[:] = [key for key, _ in pairs]
    if suspects:
        json.loads(text, object_pairs_hook=keep)  # the outermost object is whole last
    return [key for key in suspects if found.count(key) > 1]


def finite_number(value: Any) -> float:
    """A number or its text as a float. Raises ValueError for anything else, and for NaN and infinity."""
    # Python's own 1_0 is ten, and in a file more likely a slip of the pen
    if isinstance(value, bool) or not isinstance(value, (int, float, str)) or isinstance(value, str) and "_" in value:
        raise ValueError(f"{brief(value)} is not a number")
    try:
        number = float(value)
    except OverflowError:
        raise ValueError(f"{str(value)[:20]}... is too large") from None
    if not math.isfinite(number):
        raise ValueError(f"{brief(value)} is not a finite number")
    return number


def stated_size(width: Any, height: Any) -> tuple[float, float] | None:
    """(width, height) that an annotation states, as numbers or text; None unless both are finite and above 0."""
    try:
        sides = tuple(map(finite_number, (width, height)))
    except ValueError:
        return None
    return tuple(int(side) if side == int(side) else side for side in sides) if min(sides) > 0 else None


def read_flag(entry: Mapping[str, Any], key: str) -> bool:
    """A flag of an annotation: a truth value, a number, or the text of either; False if it lacks. Raises ValueError."""
    value = entry.get(key)
    if value is None or value == "":
        return False
    if isinstance(value, str) and value.strip().lower() in _FLAGS:
        return _FLAGS[value.strip().lower()]
    try:
        return value if isinstance(value, bool) else finite_number(value) != 0
    except ValueError:
        raise ValueError(f"{key!r} is {brief(value)}, neither 0 nor 1") from None


def rotation_in(attributes: Any) -> float:
    """The degrees, a number or its text, by which CVAT turns a rectangle about its centre, among an annotation's attributes; 0
    where they say none, or a `rotation` of somebody's own that is no number."""
    try:
        return finite_number(attributes.get("rotation")) if isinstance(attributes, Mapping) else 0.0
    except ValueError:
        return 0.0


def around(points: Iterable[Sequence[float]]) -> tuple[float, float, float, float]:
    """Corners of the box around points (x, y)."""
    columns, rows = zip(*points)
    return min(columns), min(rows), max(columns), max(rows)


def around_turned(corners: Sequence[float], degrees: float) -> tuple[float, float, float, float]:
    """Corners of the upright box around a box that is turned about its centre. One without area stays as it is: it is a fault."""
    left, top, right, bottom = corners
    if not degrees % 180 or left >= right or top >= bottom:
        return tuple(corners)
    quarters, rest = divmod(degrees, 90)  # a quarter turn's corners are to be exact
    across, down = (right - left) / 2, (bottom - top) / 2
    if quarters % 2:
        across, down = down, across
    sine, cosine = math.sin(math.radians(rest)), math.cos(math.radians(rest))
    half = across * cosine + down * sine, across * sine + down * cosine
    centre = (left + right) / 2, (top + bottom) / 2
    return tuple(place - side for place, side in zip(centre, half)) + tuple(place + side for place, side in zip(centre, half))


def brief(value: Any) -> str:
    """A value as messages show it."""
    text = repr(value)
    return text if len(text) <= 80 else text[:77] + "..."

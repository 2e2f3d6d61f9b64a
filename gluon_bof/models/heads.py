"""How the rows of the layers that predict classes and boxes lie, so that heads for other classes take over what they share."""
from __future__ import annotations

import re
from typing import Mapping, NamedTuple, Sequence

MAX_CLASSES = 10_000


class Rows(NamedTuple):
    """An output layer's rows: `groups` times `common` rows that belong to no class, then `each` of every class."""

    groups: int
    common: int
    each: int


def rows_of(head_rows: Sequence[tuple[str, Rows]], name: str) -> Rows | None:
    """The Rows of a parameter by its structured name, None where it predicts no class. head_rows: a network's HEAD_ROWS, pairs of
    a regular expression and Rows."""
    return next((rows for pattern, rows in head_rows if re.fullmatch(pattern, name)), None)


def classes_by_rows(shapes: Mapping[str, tuple], head_rows: Sequence[tuple[str, Rows]]) -> int:
    """How many classes weights of these {name: shape} predict, by their last layer's biases; 0 where no such layer is."""
    for name, shape in shapes.items():
        rows = rows_of(head_rows, name)
        if rows and rows.each and name.endswith("bias") and len(shape) == 1 and shape[0] % rows.groups == 0:
            number, rest = divmod(shape[0] // rows.groups - rows.common, rows.each)
            return number if rest == 0 and 0 < number <= MAX_CLASSES else 0
    return 0

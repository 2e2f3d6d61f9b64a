"""What no network has learned tells a damaged file of weights: most of their formats have no checksum. No MXNet."""
from __future__ import annotations

from typing import Iterable, Iterator, Mapping

import numpy as np

from gluon_bof.errors import UserError

SAVE_AGAIN_REMEDY = "save it again, or copy it again and compare checksums"


def not_learned(arrays: Iterable[tuple[str, np.ndarray]]) -> Iterator[str]:
    """Of each (name, array) that no network has learned, why."""
    for name, array in arrays:
        if array.dtype.kind != "f":
            yield f"{name} holds {array.dtype} in the place of floats"
        elif not np.isfinite(array).all():
            yield f"{name} holds values that are not finite"
        elif name.endswith("running_var") and (array < 0).any():
            yield f"{name} holds negative variances"


def require_learned(arrays: Mapping[str, np.ndarray], path: str, remedy: str = SAVE_AGAIN_REMEDY) -> None:
    """Raise UserError for values that no network has learned, of {name: array}."""
    for problem in not_learned(arrays.items()):
        raise UserError(problem, path, remedy)

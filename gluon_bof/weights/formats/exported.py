"""What `export` writes for other programs, told as such in the place of weights. No MXNet."""
from __future__ import annotations

import mmap
import os
import re

from gluon_bof.errors import UserError
from gluon_bof.weights.formats import params as params_format

NAMES = {".onnx": "an ONNX file is", "-symbol.json": "a graph of MXNet's is"}  # by how a file's name ends
# in a file of parameters that a graph takes; those that are loaded, arg: before them or not, have dots, as in arg:stages.0.weight
EXPORTED = re.compile(r"(arg|aux):\w+")


def refuse_export(path: str) -> None:
    """Raise UserError for what is exported, by its name."""
    for ending, what in NAMES.items():
        if os.path.basename(path).lower().endswith(ending) and os.path.isfile(path):
            raise _refusal(what, path)


def refuse_parameters_of_a_graph(path: str) -> None:
    """Raise UserError for the .params file of an export, by the names in it; a damaged one is told of where it is read whole."""
    if not os.path.isfile(path):
        return
    try:
        with open(path, "rb") as file:
            names = params_format.loads(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)).keys()  # without its values
    except (OSError, ValueError):
        return
    if names and all(map(EXPORTED.fullmatch, names)):
        raise _refusal("an exported graph's parameters are", path)


def _refusal(what, path):
    return UserError(f"{what} for other programs, and not read back", path,
                     "give the run or .params file that was exported")

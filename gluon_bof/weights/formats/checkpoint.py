"""A checkpoint: whole state of a run in one file, atomic and with a checksum. Nothing goes through pickle.

It is a line of JSON (format, checksum, and `meta`: where the run stands) and an MXNet parameter list: the weights under
"weight/", their averages (--ema) under "average/", the optimizer's states under "state/<parameter number>/<array number>".
"""
from __future__ import annotations

import hashlib
import itertools
import json
import os
from typing import Any, Iterable, Mapping

import numpy as np

from gluon_bof.errors import UserError
from gluon_bof.files import write_atomically
from gluon_bof.runs.folder import checkpoints
from gluon_bof.weights.formats import params

FORMAT = "gluon_bof checkpoint 1"
MAGIC = b'{"format": "gluon_bof checkpoint'  # how a checkpoint of any version begins
WEIGHT_PREFIX = "weight/"
AVERAGE_PREFIX = "average/"
MAX_HEADER = 1 << 26  # bytes; a foreign file may hold no line's end


def write_checkpoint(path: str, arrays: Mapping[str, Any], meta: Mapping[str, Any]) -> None:
    """Write {name: MXNet or numpy array} and `meta` (JSON values). Raises UserError; what was there before stays."""
    # the arrays are copied twice, for the checksum that stands before them and for the file, so that never more than one
    # copy of one of them is in memory
    header = {"format": FORMAT, "sha256": _digest(meta, params.pieces(arrays)), "meta": meta}
    write_atomically(path, itertools.chain([json.dumps(header).encode() + b"\n"], params.pieces(arrays)))


def read_checkpoint(path: str) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """(meta, {name: array}) of a checkpoint. Raises UserError for one that is torn or no checkpoint."""
    try:
        with open(path, "rb") as file:
            line, payload = file.readline(MAX_HEADER), file.read()
    except OSError as error:
        raise UserError(f"cannot be read ({error.strerror})", path, "check the path") from None
    try:
        header = json.loads(line)
        if header["format"] != FORMAT:
            raise ValueError("unknown format")
        if header["sha256"] != _digest(header["meta"], [payload]):
            raise ValueError("the checksum does not fit")
        return header["meta"], params.loads(payload)
    except (ValueError, KeyError, TypeError, RecursionError) as error:  # the last: JSON that is nested without end
        raise UserError(f"this checkpoint is damaged ({error})", path, _one_before(path)) from None


def weights_in(arrays: Mapping[str, np.ndarray], prefix: str = WEIGHT_PREFIX) -> dict[str, np.ndarray]:
    """{name: array} of the network among a checkpoint's arrays; by AVERAGE_PREFIX of its averages, {} where there are none."""
    return {name[len(prefix):]: array for name, array in arrays.items() if name.startswith(prefix)}


def _one_before(path):
    for older in reversed([other for other in checkpoints(os.path.dirname(path)) if other < path]):
        try:
            read_checkpoint(older)
        except UserError:
            continue
        return f"the one before it is whole: --resume {older}"
    return "none before it is whole; start again without --resume"


def _digest(meta: Mapping[str, Any], payload: Iterable[bytes]) -> str:
    digest = hashlib.sha256(json.dumps(meta, sort_keys=True).encode())
    for piece in payload:
        digest.update(piece)
    return digest.hexdigest()

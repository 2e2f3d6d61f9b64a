"""A checkpoint: whole state of a run in one file, atomic and with a checksum. Nothing goes through pickle.

It is a line of JSON (format, checksum, and `meta`: where the run stands) and an MXNet parameter list: the weights under
"weight/", the optimizer's states under "state/<parameter number>/<array number>".
"""
from __future__ import annotations

import hashlib
import json
import os

from gluon_bof.errors import UserError
from gluon_bof.runs.folder import checkpoints
from gluon_bof.weights.formats import params as params_format

FORMAT = "gluon_bof checkpoint 1"
MAX_HEADER = 1 << 26  # bytes; a foreign file may hold no line's end


def read_checkpoint(path):
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
        return header["meta"], params_format.loads(payload)
    except (ValueError, KeyError, TypeError, RecursionError) as error:  # the last: JSON that is nested without end
        raise UserError(f"this checkpoint is damaged ({error})", path, _one_before(path)) from None


def _one_before(path):
    folder = os.path.dirname(path)
    for older in reversed([other for other in checkpoints(folder) if other < path]):
        try:
            read_checkpoint(older)
        except UserError:
            continue
        return f"the one before it is whole: --resume {older}"
    return "none before it is whole; start again without --resume"


def _digest(meta, payload):
    digest = hashlib.sha256(json.dumps(meta, sort_keys=True).encode())
    for piece in payload:
        digest.update(piece)
    return digest.hexdigest()

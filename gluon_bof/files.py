"""Files that are whole or not there."""
from __future__ import annotations

import os

from gluon_bof.errors import UserError


def write_atomically(path, data):
    """Write bytes, or an iterable of them, to a file that appears at once and whole: a reader sees the old one or the new one.

    Raises UserError where it cannot be written; what was there before stays."""
    path = os.fspath(path)
    unfinished = f"{path}.{os.getpid()}.part"
    try:
        with open(unfinished, "wb") as file:
            file.writelines([data] if isinstance(data, bytes) else data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(unfinished, path)
        _sync_folder(os.path.dirname(path) or ".")
    except OSError as error:
        try:
            os.unlink(unfinished)
        except OSError:
            pass
        raise UserError(f"cannot be written ({error.strerror})", path,
                        "make room or choose another place; what was saved before is kept") from None


def _sync_folder(folder):
    # without this a power cut could forget the new name
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)

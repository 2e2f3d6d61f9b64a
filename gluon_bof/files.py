"""Files that appear whole or not at all, and their checksums."""
from __future__ import annotations

import hashlib
import os
from typing import Any, Iterable

from gluon_bof.errors import UserError


def write_atomically(path: Any, data: bytes | Iterable[bytes | memoryview], lasting: bool = True) -> None:
    """Write bytes, or an iterable of them, to a file that appears at once and whole: a reader sees the old one or the new one.

    lasting: wait until it would outlast a power cut, which takes longer than to write a small file.
    Raises UserError where it cannot be written; what was there before stays."""
    path = os.fspath(path)
    unfinished = f"{path}.{os.getpid()}.part"
    try:
        with open(unfinished, "wb") as file:
            file.writelines([data] if isinstance(data, bytes) else data)
            if lasting:
                file.flush()
                os.fsync(file.fileno())
        os.replace(unfinished, path)
        if lasting:
            _sync_folder(os.path.dirname(path) or ".")
    except OSError as error:
        try:
            os.unlink(unfinished)
        except OSError:
            pass
        raise UserError(f"cannot be written ({error.strerror})", path,
                        "make room or choose another place; what was saved before is kept") from None


def sha256_of(path: str) -> str:
    """SHA-256 of a file, in hexadecimal."""
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        for block in iter(lambda: file.read(1 << 20), b""):
            digest.update(block)
    return digest.hexdigest()


def _sync_folder(folder):
    # without this a power cut could forget the new name
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)

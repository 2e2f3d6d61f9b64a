"""The checksum that a file of weights has in its name, as those of GluonCV's model zoo do."""
from __future__ import annotations

import hashlib
import os
import re

from gluon_bof.errors import UserError, warn

DATE = r"(?:19|20)\d\d(?:0[1-9]|1[0-2])(?:0[1-9]|[12]\d|3[01])"
SHA1_IN_NAME = re.compile(rf"-(?!{DATE}\.)([0-9a-f]{{8}})\.params$")


def stated_sha1(path: str) -> str | None:
    """The eight digits of a SHA-1 that a file's name ends in; None where it ends in something else, or in a day's date."""
    match = SHA1_IN_NAME.search(os.path.basename(path))
    return match and match[1]


def require_stated_sha1(path: str, data: bytes) -> None:
    """Raise UserError where a file's name has another SHA-1 than its bytes; warn where it is of figures alone, which may count
    something else."""
    stated = stated_sha1(path)
    if stated is None or hashlib.sha1(data).hexdigest().startswith(stated):
        return
    error = UserError(f"its SHA-1 is not {stated}, which its name has", path, "copy it again, unless that means something else")
    if not stated.isdigit():
        raise UserError(error.problem, path, "copy it again, or rename it if it was changed on purpose")
    warn(str(error))

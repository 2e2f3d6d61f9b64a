"""Who trains and who validates: by a split's name, by every fifth image, or by a hash of an image's bytes."""
from __future__ import annotations

import functools
import hashlib
import re
from typing import Any, Iterable, Sequence

from gluon_bof import files
from gluon_bof.errors import UserError, warn_once

ROLES = ("train", "val")
FALLBACKS = {"train": ("train", "trainval"), "val": ("val", "valid", "validation", "test")}  # folders and lists, first come first
EVERY = 5  # where no part tells, every fifth image validates
FEW_REMEDY = "five images are the least, or give --val-share"

_WORDS = {"train": ("train", "training", "trainset"), "val": ("val", "valid", "validation", "validate", "valset"),
          "test": ("test", "testing", "testset", "testdev")}


def require_role(role: str) -> None:
    """Raise UserError for what is neither of ROLES."""
    if role not in ROLES:
        raise UserError(f"the role {role!r} is neither train nor val", remedy="choose one of them; other parts are splits")


def roles_of_words(name: str) -> set[str]:
    """The roles that are whole words of a name in small letters: none in "latest" and "oval", both in "trainval"."""
    words = re.findall("[a-z]+", name)
    roles = {role for role, meant in _WORDS.items() if any(word in meant for word in words)}
    return roles | ({"train", "val"} if "trainval" in words else set())


def role_of(split: str) -> str:
    """train, val or test, of a split's name; "" if it is none of them."""
    roles = roles_of_words(split.lower())
    return roles.pop() if len(roles) == 1 else ""


def has_validation(splits: Iterable[str]) -> bool:
    """Whether a split of these names is a part to validate on."""
    return any(role_of(split) in ("val", "test") for split in splits)


def few_images(count: int) -> str:
    """What is wrong where so few images have no part to validate on."""
    return f"there is nothing to validate on: no part tells, and every {EVERY}th image would, of {count}"


def every_fifth(items: Iterable[Any], role: str) -> list[Any]:
    """Every fifth item for validation, the others for training."""
    return [item for index, item in enumerate(items) if (index % EVERY == EVERY - 1) == (role == "val")]


def told_fifth(items: Iterable[Any], role: str, where: str) -> list[Any]:
    """The same, which is told once."""
    warn_once(f"{where} has no splits: every {EVERY}th image validates, the others train")
    return every_fifth(items, role)


def fifth(items: Sequence[Any], role: str, where: str, remedy: str = FEW_REMEDY) -> list[Any]:
    """Every fifth item validates, the others train: where no split is told, as in VOC's layout. Raises UserError where none does,
    and says the remedy."""
    if role == "val" and len(items) < EVERY:
        raise UserError(few_images(len(items)), where, remedy)
    return told_fifth(items, role, where)


def is_held_out(path: str, share: float) -> bool:
    """Whether an image validates, by a hash of its bytes: the same bytes always do, wherever they lie. share: in (0, 1)."""
    try:
        return _hash(path, files.stamp_of(path)) < share * 2.0 ** 64
    except OSError as error:
        raise UserError(f"the image cannot be read ({error.strerror})", path, "replace the image") from None


@functools.lru_cache(maxsize=None)  # the training and validation sets share one pass
def _hash(path, _stamp):
    """A number below 2 ** 64 of a file's bytes, which are read once per process as long as the file does not change."""
    return int.from_bytes(files.digest_of(path, hashlib.blake2b(digest_size=8)).digest(), "big")

"""Names of classes, as users and files list them."""
from __future__ import annotations

import os
import unicodedata
from typing import Iterable, Mapping, Sequence

from gluon_bof.errors import UserError
from gluon_bof.files import is_utf8


def class_names(text: str | Iterable[str]) -> tuple[str, ...]:
    """Class names from the value of --classes: comma-separated, or a text file with one name a line; or of names themselves.

    Raises UserError if there are none, one is empty or there twice, or the file cannot be read."""
    if isinstance(text, str) and (os.path.isfile(text) or "," not in text and (os.path.splitext(text)[1] or os.sep in text)):
        if not os.path.exists(text):
            raise UserError("the file of class names does not exist", text,
                            "give names as --classes cat,dog, or a text file with one name a line")
        names = read_names(text)
        if not names:
            raise UserError("the file names no class", text, "write one class name a line")
        return unique_names(names, text)
    return unique_names(text)


def read_names(path: str) -> list[str]:
    """The class names of a text file of one a line. Raises UserError where it cannot be read, and as `listed_names` does."""
    try:
        with open(path, encoding="utf-8-sig") as file:
            return listed_names(file, path)
    except (UnicodeDecodeError, IsADirectoryError):
        raise UserError("not a text file of class names", path, "write one class name a line, in UTF-8") from None
    except OSError as error:
        raise UserError(f"the file of class names cannot be read ({error.strerror})", path, "make it readable") from None


def unique_names(classes: str | Iterable[str], path: str | None = None) -> tuple[str, ...]:
    """Class names, comma-separated ones too, as a tuple. path: of the file that they come from. Raises UserError if there are
    none, or one is empty, there twice or no text, or they are a set or a dict."""
    if isinstance(classes, (set, frozenset, Mapping)):
        raise UserError("classes are a set or a dict, whose order need not be that of their numbers", path,
                        "give a list: a name's place is its number")
    if not isinstance(classes, Iterable):
        raise UserError(f"classes cannot be {classes!r}", path, "give a list of their names")
    names = tuple(listed_names(classes.split(",")) if isinstance(classes, str) else classes)
    if not names or not all(isinstance(name, str) and name.strip() for name in names):
        raise UserError("class names must not be empty", path,
                        "give every class a name" if path else "give them as --classes cat,dog")
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise UserError(f"class {twice[0]!r} is named twice", path,
                        "name every class once" if path else "name every class once in --classes")
    refuse_no_text(names, path)
    return names


def listed_names(lines: Iterable[str], path: str | None = None) -> list[str]:
    """Class names of a list, in which a class's place is its number: empty ones at the end are left out. path: of the file of one
    name a line that they come from. Raises UserError for an empty one before a name."""
    names = [" ".join(line.split()) for line in lines]
    while names and not names[-1]:
        names.pop()
    if "" in names:
        place = names.index("") + 1
        raise UserError(f"line {place} is empty" if path else f"class name {place} is empty in --classes", path,
                        f"numbers of classes are places in the list: take it away, or name class {place - 1} there")
    return names


def refuse_no_text(classes: Iterable[str], path: str | None) -> None:
    """Raise UserError for a class name that cannot be written as text in UTF-8, or holds ASCII's control characters, as those of
    a file in UTF-16 do. path: where the names come from."""
    for name in classes:
        if any(char < " " and not char.isspace() for char in name):
            raise UserError(f"the class name {name!r} holds control characters", path, "write the names in UTF-8, not in UTF-16")
        if not is_utf8(name):
            raise UserError(f"the class name {name!r} cannot be written as text", path, "rename it in UTF-8")


def composed(name: str) -> str:
    """A name in one form, of those that Unicode has for the same letters: macOS writes an accent behind its letter."""
    return unicodedata.normalize("NFC", name)


def refuse_one_class(classes: Sequence[str], where: str, remedy: str) -> None:
    """Raise UserError for a single class, which whatever chooses one is always right about. where: the data set."""
    if len(classes) == 1:
        raise UserError(f"there is one class, {classes[0]}, and no other to tell it from", where, remedy)

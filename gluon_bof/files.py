"""Files that appear whole or not at all, tables as CSV, and what tells one file from another."""
from __future__ import annotations

import contextlib
import csv
import errno
import hashlib
import io
import itertools
import json
import os
import platform
import re
import shutil
import tempfile
import threading
import time
from typing import Any, Callable, Iterable, Iterator, Mapping, Sequence

from gluon_bof.errors import UserError

LONGEST = 150  # bytes of a name, of 255, that what is begun for it keeps: HOST-PROCESS, thread or letters of chance, ending
ABANDONED = 3600.0  # seconds after which nobody goes on with what is begun


def write_atomically(path: Any, data: bytes | Iterable[bytes | memoryview], lasting: bool = True) -> None:
    """Write bytes, or an iterable of them, to a file that appears at once and whole: a reader sees the old one or the new one.

    lasting: wait until it would outlast a power cut, which takes longer than to write a small file.
    Raises UserError where it cannot be written; what was there before stays."""
    path = os.fspath(path)
    unfinished = _unfinished(path)
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


def unfinished_of(names: str) -> re.Pattern:
    """What fits the names under which `write_atomically` begins files whose names fit a pattern, on whichever host, and those
    without a thread that earlier versions gave; no folder that another has begun."""
    return re.compile(rf"({names})\.(.*-)?\d+\.part")


def write_figure(path: str, figure: Any, **how: Any) -> None:
    """Write a figure of matplotlib's as a PNG; how: see its `savefig`. It can be drawn again, and waits for no disk. Raises
    UserError as `write_atomically`."""
    image = io.BytesIO()
    figure.savefig(image, format="png", **how)
    write_atomically(path, image.getvalue(), lasting=False)


def refuse_unwritable(path: str, remedy: str = "give a file's path in a folder that exists",
                      reads: Iterable[str | None] = ()) -> None:
    """Raise UserError where no file can be written at that path, or it would take the place of the one that the command's output
    goes into or of one that it reads, before the work that would be lost. reads: paths, of files or of anything else."""
    folder = os.path.dirname(path) or os.curdir
    if not os.path.basename(path) or os.path.isdir(path) or not os.path.isdir(folder) or not os.access(folder, os.W_OK):
        raise UserError("no file can be written there", path or repr(path), remedy)
    refuse_too_long(path)
    if _is_output(path):
        raise UserError("the command's output goes into this file", path, "give another name")
    if os.path.exists(path) and any(read and os.path.exists(read) and os.path.samefile(path, read) for read in reads):
        raise UserError("the command reads this file, which would be replaced", path, "give another name")


def refuse_same(*outputs: str | None) -> None:
    """Raise UserError where two of these outputs, as far as they are given, would be one file."""
    outputs = list(filter(None, outputs))
    places = list(map(_place_of, outputs))
    for path, place in zip(outputs, places):
        if places.count(place) > 1:
            raise UserError("two outputs would go into this file", path, "give one of them another name")


def lies_in(path: str, folder: str) -> bool:
    """Whether a path, and be it a link, is one of a folder or of what lies below it."""
    folder = os.path.realpath(folder)
    return os.path.commonpath((_place_of(path)[0], folder)) == folder


def output_path(path: Any, reads: Iterable[str | None] = (), endings: Iterable[str] = ("",)) -> str:
    """The path of what is to be written, as text; endings: of its files. Raises UserError as `refuse_unwritable`."""
    path = os.fspath(path)
    for ending in endings:
        refuse_unwritable(path + ending if os.path.basename(path) else path, reads=reads)  # no file's name is its ending alone
    return path


def folders_below(folder: str, skips: Callable[[str], bool],
                  onerror: Callable[[OSError], Any] | None = None) -> Iterator[tuple[str, list[str]]]:
    """(path, names of its files, in order) of a folder and of all below it but for those that skips(path). Links to folders are
    followed when all others have been looked at, and no folder is looked at twice. onerror: as os.walk's."""
    seen, waiting = set(), [folder]
    for start in waiting:
        for place, folders, names in os.walk(start, onerror=onerror):
            real = os.path.realpath(place)
            if real in seen:
                folders.clear()
                continue
            seen.add(real)
            below = [path for name in sorted(folders) for path in [os.path.join(place, name)] if not skips(path)]
            folders[:] = map(os.path.basename, below)
            waiting += filter(os.path.islink, below)
            yield place, sorted(names)


def prepare_folder(folder: str, remedy: str = "choose another place with --out") -> None:
    """Make the folder that a command's files go into, before the work that would be lost. Raises UserError where it cannot be
    made or written into."""
    try:
        os.makedirs(folder, exist_ok=True)
    except OSError as error:
        raise UserError(f"the folder cannot be made ({error.strerror})", folder, remedy) from None
    if not os.access(folder, os.W_OK):
        raise UserError("the folder cannot be written", folder, remedy)


def numbered_folder(beginning: str) -> str:
    """Make the folder of the first number that is free, 001 or more behind `beginning`, and be it that others do so at once.
    Returns its path. Raises OSError where it cannot be made."""
    for number in itertools.count(1):
        with contextlib.suppress(FileExistsError):
            os.mkdir(f"{beginning}{number:03d}")
            return f"{beginning}{number:03d}"


def seems_path(text: str) -> bool:
    """Whether a text that may be a model's name is a path by its look, be anything there or not."""
    return os.sep in text or text.endswith(".params")


def unfinished_beside(path: str, ending: str = "") -> str:
    """A path beside this one, which ends so, for what gets its name once it is whole; what killed processes had begun there
    goes."""
    _remove_leftovers(path)
    return _unfinished(path) + ending


@contextlib.contextmanager
def folder_beside(path: str) -> Iterator[str]:
    """A folder beside this path, which goes in the end; those of killed processes go before."""
    _remove_leftovers(path)
    place, name = _place_of(path)
    with tempfile.TemporaryDirectory(".part", f"{_beginning(name)}.{_here()}{os.getpid()}.", place) as folder:
        yield folder


@contextlib.contextmanager
def whole_folder(path: str) -> Iterator[str]:
    """A folder to be filled, that appears at this path, where nothing or an empty folder is, when it is. What killed processes
    had begun there goes. Raises UserError where another process was first."""
    place, name = _place_of(path)
    os.makedirs(place, exist_ok=True)
    with folder_beside(path) as beside:
        unfinished = os.path.join(beside, name)
        os.mkdir(unfinished)  # with the rights of any folder, where that around it is its owner's alone
        yield unfinished
        try:
            os.rename(unfinished, os.path.join(place, name))
        except OSError:
            refuse_filled(path)
            raise


def refuse_filled(path: str) -> None:
    """Raise UserError where anything but an empty folder is at that path."""
    if os.path.lexists(path) and not (os.path.isdir(path) and not os.listdir(path)):
        raise UserError("there is something already", path, "give a new folder")


def _remove_leftovers(path: str) -> None:
    """Remove files and folders PATH.HOST-PROCESS.….part, perhaps with an ending, which processes of this host that are no more
    had begun to fill. What has this process's own number goes when nobody has written there for long: in a container the number
    is always the same, so it may be a dead one's, a living one's in another container, or another thread's."""
    folder, own = _place_of(path)
    stem = _beginning(own)
    with contextlib.suppress(OSError):
        for name in os.listdir(folder):
            match = re.fullmatch(rf"{re.escape(f'{stem}.{_here()}')}(\d+)\.(.*\.)?part(\.\w+)?", name)
            begun = os.path.join(folder, name)
            if match and (_is_abandoned(begun) if int(match[1]) == os.getpid() else not _is_alive(int(match[1]))):
                remove(begun)


def _is_abandoned(path):
    """Whether nothing in a file or folder has been written for long."""
    inside = (os.path.join(folder, name) for folder, *names in os.walk(path) for name in itertools.chain(*names))
    return time.time() - max(os.lstat(each).st_mtime for each in (path, *inside)) > ABANDONED


def remove(path: str) -> None:
    """Remove a file, a link or a folder, as far as that can be done."""
    if os.path.isdir(path) and not os.path.islink(path):
        shutil.rmtree(path, ignore_errors=True)
    else:
        with contextlib.suppress(OSError):
            os.unlink(path)


def _unfinished(path):
    """The path under which this thread begins that file."""
    return f"{_beginning(path)}.{_here()}{os.getpid()}.t-{threading.get_native_id()}.part"


def _beginning(path):
    """What the paths of what is begun for this one begin with: itself, or where its name is long a part of it and a checksum, as
    names that are alike so far are begun at once, too."""
    folder, name = os.path.split(path)
    data = os.fsencode(name)
    if len(data) <= LONGEST:
        return path
    return os.path.join(folder, f"{data[:LONGEST].decode(errors='ignore')}-{hashlib.sha1(data).hexdigest()[:8]}")


def _place_of(path):
    """(the folder that a path lies in, its name there); without links, behind which .. is another folder than it looks like."""
    place, name = os.path.split(path.rstrip(os.sep))
    return os.path.realpath(place), name


def refuse_too_long(path: str, remedy: str = "give a shorter one") -> None:
    """Raise UserError for a name that is too long for a file, of which is heard only when a file that is whole gets it."""
    try:
        os.lstat(path)
    except OSError as error:
        if error.errno == errno.ENAMETOOLONG:
            raise UserError("the name is too long", path, remedy) from None


def _here():
    """What names of this host's processes begin with: a number of another host's, or of a user's own, tells nothing here."""
    return f"{platform.node()}-"


def _is_alive(process):
    try:
        os.kill(process, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except OSError:
        return True
    return True


def refuse_unmakeable(folder: str, remedy: str) -> None:
    """Raise UserError where no such folder can be made, without making it, before the work that would be lost."""
    while not os.path.lexists(folder):
        folder = os.path.dirname(folder)
    if not os.path.isdir(folder) or not os.access(folder, os.W_OK):
        raise UserError("no folder can be made there", folder, remedy)


def in_home(path: str, variable: str) -> str:
    """The path, whose ~ is the user's home. Raises UserError where nobody says which that is. variable: names another place."""
    path = os.path.expanduser(path)
    if path.startswith("~"):
        raise UserError("there is no such home folder", path, f"set HOME or {variable}")
    return path


def cache_folder() -> str:
    """The package's folder of what can be made again: drawn sets, exports. Raises UserError where nobody says."""
    named = os.environ.get("GLUON_BOF_CACHE")
    return in_home(named or os.path.join(os.environ.get("XDG_CACHE_HOME") or "~/.cache", "gluon_bof"), "GLUON_BOF_CACHE")


def may_be_path(name: str) -> bool:
    """Whether a file may have the name: not one with a NUL, or with half a character of JSON."""
    try:
        return b"\0" not in os.fsencode(name)
    except UnicodeEncodeError:
        return False


def is_utf8(name: str) -> bool:
    """Whether a name can be written as text: not one of a file in another encoding, or with half a character of JSON."""
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True


def utf8(text: str) -> bytes:
    """A text's bytes; of a name that is no UTF-8 those of escapes, which JSON knows too."""
    return text.encode(errors="backslashreplace")


def refuse_no_utf8(path: str, who: str) -> None:
    """Raise UserError for a name that is no UTF-8, where a library wants text. who: for example "MXNet opens no file"."""
    if not is_utf8(path):
        raise UserError(f"{who} whose name is no UTF-8", path, "rename it")


def _is_output(path):
    try:
        return os.path.samestat(os.fstat(1), os.stat(path))
    except OSError:  # the output is closed, or there is no such file
        return False


def numbers_beside(page: str) -> str:
    """The path of the JSON that holds a page's numbers."""
    return os.path.splitext(page)[0] + ".json"


def write_text(folder: str, name: str, text: str) -> str:
    """Write a file into a folder, which is made where it is not there. Returns its path. Raises UserError."""
    os.makedirs(folder, exist_ok=True)
    path = os.path.join(folder, name)
    write_atomically(path, utf8(text))
    return path


def read_json(path: str, problem: str, remedy: str, is_whole: Callable[[Any], bool] = lambda content: True, **how: Any) -> Any:
    """What a JSON file in UTF-8 holds. how: json.load's keywords. Raises UserError in these words where it is no JSON or not
    is_whole(content), OSError where it cannot be read."""
    try:
        with open(path, encoding="utf-8") as file:
            content = json.load(file, **how)
        if is_whole(content):
            return content
    except (ValueError, RecursionError):  # another encoding is the first, lists within lists without end the second
        pass
    raise UserError(problem, path, remedy)


def csv_text(rows: Iterable[Mapping[str, Any]], columns: Sequence[str] = ()) -> str:
    """Rows as CSV; None is empty. columns: in their order, those of the first row where none are given."""
    rows = list(rows)
    text = io.StringIO()
    writer = csv.DictWriter(text, columns or list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()


def sha256_of(path: str) -> str:
    """SHA-256 of a file, in hexadecimal."""
    return digest_of(path, hashlib.sha256()).hexdigest()


def digest_of(path: str, digest: Any) -> Any:
    """One of hashlib's digests, updated with a file's bytes."""
    with open(path, "rb") as file:
        for block in iter(lambda: file.read(1 << 20), b""):
            digest.update(block)
    return digest


def stamp_of(path: str) -> tuple[int, int, int]:
    """(time of its last change, size, inode) of a file, which tell whether it is still the one that was read. Raises OSError."""
    status = os.stat(path)
    return status.st_mtime_ns, status.st_size, status.st_ino


def _sync_folder(folder):
    # without this a power cut could forget the new name
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)

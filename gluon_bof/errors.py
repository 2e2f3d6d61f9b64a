"""Errors of the user: what is wrong, in which file, and the remedy. They end a command with exit status 2. And warnings."""
from __future__ import annotations

import contextlib
import copy
import errno
import functools
import logging
import os
import re
import sys
import warnings
from typing import Any, Callable, Iterable, Iterator

from gluon_bof.locks import fork_safe_lock

EXIT_STATUS = 2
TRY_AGAIN = 75  # of a process of a launched job that another start may help, as sysexits.h has it
INTERRUPTED = 130  # what a shell gives for Ctrl-C
PIPE_CLOSED = 141  # and for a closed pipe
NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS)  # what is written is at fault, not what is read
LOGGER = logging.getLogger("gluon_bof")
MAX_LISTED = 8  # names that a message lists
_said = set()  # messages of `warn_once`
NO_MEMORY = re.compile("Failed to allocate|out of memory|Insufficient memory|bad_alloc|ALLOC_FAILED")  # of MXNet, CUDA, OpenCV
_filters = fork_safe_lock()  # of Python's warnings, the whole process's: threads that change them crosswise leave them changed


class UserError(Exception):
    """Something the user can fix. `path` names the file at fault, `remedy` says what to do about it; `status` is what a command
    ends with."""

    status = EXIT_STATUS

    def __init__(self, problem: str, path: Any = None, remedy: str | None = None):
        super().__init__(problem, path, remedy)  # all three, so that it survives the way back from a worker process
        self.problem = problem
        self.path = path
        self.remedy = remedy

    def __str__(self) -> str:
        text = f"{self.path}: {self.problem}" if self.path else str(self.problem)
        if self.remedy:
            text = f"{text}; {self.remedy}"
        return printable(" ".join(text.split()))  # one line, whatever the parts held


@contextlib.contextmanager
def remedied_by(remedy: str) -> Iterator[None]:
    """UserErrors from within have this remedy: that of whoever raises them is for another command."""
    try:
        yield
    except UserError as error:
        raise UserError(error.problem, error.path, remedy) from None


class Aside:
    """A stream, or standard error as it is at the moment; what cannot be written there, as it is closed (None), a pipe that
    nobody reads or a full disk, is lost."""

    def __init__(self, stream: Any = None):
        self._given = stream

    @property
    def _stream(self):
        return self._given or sys.stderr

    def write(self, text: str) -> None:
        if self._stream:
            with contextlib.suppress(OSError):
                self._stream.write(text)

    def flush(self) -> None:
        if self._stream:
            with contextlib.suppress(OSError):
                self._stream.flush()

    def close(self) -> None:
        """Close the stream that was given."""
        if self._given:
            with contextlib.suppress(OSError):
                self._given.close()

    def isatty(self) -> bool:
        return bool(self._stream) and self._stream.isatty()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


def printable(text: str) -> str:
    """The text with escapes for what would steer a terminal."""
    return "".join(char if char.isprintable() else ascii(char)[1:-1] for char in text)


def say(text: str) -> None:
    """Words for people, on standard error."""
    print("\n".join(map(printable, text.split("\n"))), file=sys.stderr)


def abbreviate(names: Iterable[Any], most: int = MAX_LISTED) -> str:
    """The first names, comma-separated, and how many more there are; "none" of none."""
    names = list(map(str, names))
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more if names else "none"


@contextlib.contextmanager
def in_python(**called: str) -> Iterator[None]:
    """For functions that people call from Python: errors speak of arguments, such as label_smooth_eps, not of flags, and the next
    call says again what is said once. called: arguments that have another name than the flag, {flag's: argument's}."""
    try:
        yield
    except UserError as error:
        told = copy.copy(error)  # with what else it carries, such as the name of an unknown class
        told.args = _arguments(error.problem, called), error.path, _arguments(error.remedy, called)
        told.problem, _, told.remedy = told.args
        raise told from None
    finally:
        _said.clear()


def _arguments(text, called):
    if not isinstance(text, str):
        return text

    def argument(match):
        name = match[1].replace("-", "_")
        return called.get(name, name)

    # where a word begins: folders have dashes in their names
    return re.sub(r"""(?<![^\s('"])--([a-z][a-z0-9-]*[a-z0-9])""", argument, text)


class _Early(logging.Handler):
    """Warnings of before a run has its log: printed, and remembered for it."""

    def __init__(self):
        super().__init__(logging.WARNING)
        self.records = []

    def emit(self, record):
        self.records.append(record)
        print(f"warning: {printable(record.getMessage())}", file=sys.stderr)


def warn(message: str) -> None:
    """A line for people, in the log of the run if there is one."""
    LOGGER.warning("%s", message)


def warn_once(message: str) -> None:
    """The same of what several steps find: once in a command or a public call, and in a run's log."""
    if message not in _said:
        _said.add(message)
        warn(message)


class Gathered(logging.Handler):
    """A process's warnings, for another one that tells them."""

    def __init__(self):
        super().__init__(logging.WARNING)
        self._messages = []

    def begin(self) -> None:
        """From now on nobody else hears them."""
        LOGGER.handlers[:] = [self]
        LOGGER.propagate = False

    def emit(self, record):
        self._messages.append(record.getMessage())

    def take(self) -> list[str]:
        """Those that have come since they were taken last."""
        taken, self._messages = self._messages, []
        return taken


@contextlib.contextmanager
def told_before() -> Iterator[None]:
    """Our own lines are not told in here, as those of a run that goes on: it has told them when it began."""
    def is_new(record):
        return False

    LOGGER.addFilter(is_new)
    try:
        yield
    finally:
        LOGGER.removeFilter(is_new)


@contextlib.contextmanager
def without_warnings() -> Iterator[None]:
    """Python's own warnings are not told in here. One thread at a time."""
    with _filters, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


@contextlib.contextmanager
def warn_instead() -> Iterator[None]:
    """A UserError in here is warned of and ends nothing, as of a page of a run that has its result."""
    try:
        yield
    except UserError as error:
        warn(str(error))


def early_warnings() -> list[logging.LogRecord]:
    """The warnings since the command began, whose handler is taken away: the run's log takes over."""
    _said.clear()
    found = [handler for handler in LOGGER.handlers if isinstance(handler, _Early)]
    for handler in found:
        LOGGER.removeHandler(handler)
    return [record for handler in found for record in handler.records]


def is_out_of_memory(error: BaseException) -> bool:
    """Whether memory ran short, in Python, the system, OpenCV or MXNet."""
    if isinstance(error, OSError):
        return error.errno == errno.ENOMEM
    of_library = type(error).__module__.partition(".")[0] in ("cv2", "mxnet")
    return isinstance(error, MemoryError) or of_library and bool(NO_MEMORY.search(str(error)))


def user_facing(main: Callable[..., Any]) -> Callable[..., Any]:
    """Turn a `UserError`, a lack of memory and the system's refusal of a file into one line on stderr and exit status 2. What
    main prints is written when it ends; words on stderr that cannot be written end nothing."""

    @functools.wraps(main)
    def wrapper(*args, **kwargs):
        with _streams():
            if not LOGGER.handlers:
                LOGGER.addHandler(_Early())
            try:
                return _written(main, *args, **kwargs)
            except KeyboardInterrupt:
                print("stopped", file=sys.stderr)
                raise SystemExit(INTERRUPTED) from None
            except BrokenPipeError:  # whoever read the output has seen enough
                raise SystemExit(PIPE_CLOSED) from None
            except Exception as error:
                told = as_users(error)
                if told is None:
                    raise
            finally:
                early_warnings()
            print(f"error: {told}", file=sys.stderr)
            raise SystemExit(told.status)

    return wrapper


def _written(main, *args, **kwargs):
    """What main returns, or SystemExit, once its output is written."""
    try:
        returned = main(*args, **kwargs)
    except SystemExit:
        _flush(sys.stdout)
        raise
    _flush(sys.stdout)
    return returned


def _flush(stream):
    if not stream.closed:
        stream.flush()


@contextlib.contextmanager
def _streams():
    """Standard streams as a command uses them. Python has None for one that whoever started it closed, as by 2>&-, and the next
    file would get its number: nothing is read and written there. What cannot be written in the end is dropped, or Python would
    try again at its own end, and answer with status 120."""
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, mode))
    heard = sys.stderr
    for stream in (sys.stdout, heard):
        if hasattr(stream, "reconfigure"):  # a locale that knows few characters gets the others as numbers
            stream.reconfigure(errors="backslashreplace")
    sys.stderr = Aside(heard)
    try:
        yield
    finally:
        sys.stderr = heard
        for stream in (sys.stdout, heard):
            try:
                _flush(stream)
            except OSError:
                with open(os.devnull, "w") as nowhere:
                    os.dup2(nowhere.fileno(), stream.fileno())


def as_users(error: BaseException) -> UserError | None:
    """The UserError that an exception is, or means; None of a programmer's."""
    if isinstance(error, UserError):
        return error
    if is_out_of_memory(error):
        return UserError(f"the memory does not suffice{_asked_for(error)}", None,
                         "give smaller batches or images, or fewer data workers")
    if is_out_of_files(error):
        return UserError("too many files are open", None, "allow more, as by ulimit -n 4096, or give fewer data workers")
    if isinstance(error, OSError) and (error.filename is not None or error.errno is not None):
        return _of_system(error)
    return None


def is_out_of_files(error: object) -> bool:
    """Whether the error tells that the system opens no more files, which is no fault of the file that was to be opened."""
    if isinstance(error, OSError):
        return error.errno in (errno.EMFILE, errno.ENFILE)
    # what Python makes of one that another process hands over, as a data worker does with an array
    return isinstance(error, RuntimeError) and str(error).endswith("items of ancdata")


def _of_system(error):
    """The UserError of a file that the system refuses."""
    if error.filename is None and error.errno == errno.ENOENT:
        if (error.strerror or "").startswith("No usable temporary directory"):  # of tempfile
            return UserError("there is no folder for temporary files", None, "set TMPDIR to one that can be written")
        if not _has_working_folder():
            return UserError("the working folder has been removed", None, "go to another one, or there anew")
    copied_to = error.filename2 if error.errno in NO_ROOM else None
    return UserError(error.strerror or str(error), copied_to or error.filename,
                     "check that the place exists, may be written and has room")


def _has_working_folder():
    try:
        os.getcwd()
    except OSError:
        return False
    return True


def _asked_for(error):
    """What a library says of the memory that it did not get, in brackets, where it has a number; else nothing."""
    if isinstance(error, OSError):
        return ""
    text = str(error)
    said = [text[match.start():].splitlines()[0] for match in NO_MEMORY.finditer(text)] or [text]
    return f" ({said[-1].strip()})" if any(map(str.isdigit, said[-1])) else ""

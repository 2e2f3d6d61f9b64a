"""A run's log: the lines of a training go to standard error and to its log.txt."""
from __future__ import annotations

import contextlib
import logging
import sys
from typing import Iterator

from gluon_bof.errors import LOGGER, warn
from gluon_bof.terminal import ASIDE


@contextlib.contextmanager
def logging_to(layout: str, *handlers: logging.Handler) -> Iterator[None]:
    """Lines go to these handlers, and to those that a program has given the logger; it is left as it was."""
    level, propagates = LOGGER.level, LOGGER.propagate
    LOGGER.setLevel(logging.INFO)
    LOGGER.propagate = False
    for handler in handlers:
        handler.setFormatter(_Escaping(layout, "%H:%M:%S"))
        LOGGER.addHandler(handler)
    try:
        yield
    finally:
        for handler in handlers:
            LOGGER.removeHandler(handler)
            handler.close()
        LOGGER.setLevel(level)
        LOGGER.propagate = propagates


class _Escaping(logging.Formatter):
    """Bytes of a file's name that are no UTF-8 become escapes."""

    def format(self, record):
        return super().format(record).encode("utf-8", "backslashreplace").decode()


class LogFile(logging.FileHandler):
    """A log that cannot be written, on a full disk, says so once; its lines still go to standard error."""

    has_failed = False

    def handleError(self, record):
        if not self.has_failed:
            self.has_failed = True  # before the warning, which comes here too
            warn(f"{self.baseFilename}: the log cannot be written ({sys.exc_info()[1]})")


class AboveProgressBar(logging.Handler):
    def emit(self, record):
        from tqdm import tqdm
        tqdm.write(self.format(record), file=ASIDE)

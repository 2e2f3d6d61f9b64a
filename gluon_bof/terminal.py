"""The terminal that a command runs at: what is said there beside the work, and the signals that end it or those it starts."""
from __future__ import annotations

import ctypes
import signal
import sys
import threading
from typing import Any, Iterable

from gluon_bof.errors import Aside

PR_SET_PDEATHSIG = 1  # of Linux's prctl.h
ASIDE = Aside()  # one: tqdm writes a line above the bar only where both go to the same file


def progress_bar(items: Iterable | None = None, what: str | None = None, **how: Any) -> Any:
    """tqdm over items, or counted by hand with total=, that goes when it is done; at a terminal alone, and only of something."""
    from tqdm import tqdm
    return tqdm(items, desc=what, leave=False, file=ASIDE, disable=what is None or not ASIDE.isatty(), **how)


class StopListener:
    """While active, the signals that end a command go to `_ask(number, frame)`, which a class below this one has."""

    def __enter__(self):
        self._before = {}
        if threading.current_thread() is threading.main_thread():  # no other may listen
            self._before = {number: signal.signal(number, self._ask) for number in stop_signals()
                            if signal.getsignal(number) is not None}  # of C's handlers Python cannot put back
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)


def stop_signals() -> list[signal.Signals]:
    """Ctrl-C, SIGTERM, and the end of the terminal unless nohup has it ignored."""
    hears_hangup = signal.getsignal(signal.SIGHUP) != signal.SIG_IGN
    return [signal.SIGINT, signal.SIGTERM, *([signal.SIGHUP] if hears_hangup else [])]


def end_with_parent(asked: int) -> None:
    """Have this process get the signal `asked` when its parent ends. Does nothing where the system is not Linux."""
    if sys.platform.startswith("linux"):
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, asked)

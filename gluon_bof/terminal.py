"""The terminal that a command runs at: what is said there beside the work, and the signals that end it."""
from __future__ import annotations

import contextlib
import signal
import sys
import threading
from typing import Any, Iterable


class _Aside:
    """Standard error as it is at the moment; what cannot be written there, as it is closed (None), a pipe that nobody reads or a
    full disk, is lost."""

    def write(self, text: str) -> None:
        if sys.stderr:
            with contextlib.suppress(OSError):
                sys.stderr.write(text)

    def flush(self) -> None:
        if sys.stderr:
            with contextlib.suppress(OSError):
                sys.stderr.flush()

    def isatty(self) -> bool:
        return bool(sys.stderr) and sys.stderr.isatty()

    def __getattr__(self, name: str) -> Any:
        return getattr(sys.stderr, name)


ASIDE = _Aside()  # one: tqdm writes a line above the bar only where both go to the same file


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

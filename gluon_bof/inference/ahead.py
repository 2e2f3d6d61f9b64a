"""Work that threads do ahead of whoever wants it: reading and writing images while a network computes."""
from __future__ import annotations

from collections import deque
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Callable, Iterable, Iterator

BUDGET = 128 << 20  # bytes of results, or of what waits to be worked on
AHEAD = 3  # results a thread, the one that it computes among them


def in_order(function: Callable[[Any], Any], items: Iterable[Any], threads: int, weigh: Callable[[Any], int]) -> Iterator[Any]:
    """function(item) of each, in their order, computed a few ahead by so many threads; a single one takes the items one by one.

    weigh(result): its bytes. No more is computed ahead than fits into BUDGET if each is as heavy as the heaviest so far, but one
    always is. What `function` or the iteration of `items` raises is raised in its place, after the results before it.
    Close it (contextlib.closing) where it may be left early: then no thread works on."""
    pending, heaviest, fault = deque(), 1, None
    items = iter(items)
    pool = ThreadPoolExecutor(threads)
    try:
        while True:
            while fault is None and len(pending) < max(1, min(AHEAD * threads, BUDGET // heaviest)):
                try:
                    pending.append(pool.submit(function, next(items)))
                except BaseException as error:  # Ctrl-C as well
                    fault = error
            if not pending:
                if isinstance(fault, StopIteration):
                    return
                raise fault
            result = pending.popleft().result()
            heaviest = max(heaviest, weigh(result))
            yield result
    finally:
        for future in pending:
            future.cancel()
        pool.shutdown()

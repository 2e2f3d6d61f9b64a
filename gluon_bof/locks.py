"""Locks for what belongs to the whole process, such as another library's switches."""
from __future__ import annotations

import os
import threading
from typing import Any


def fork_safe_lock() -> Any:
    """A lock that its owner may take again. A process is forked only while nobody else holds it: a child would find it held for
    ever."""
    lock = threading.RLock()
    os.register_at_fork(before=lock.acquire, after_in_parent=lock.release, after_in_child=lock.release)
    return lock

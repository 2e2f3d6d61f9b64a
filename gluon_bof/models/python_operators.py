"""What operators of Python's within MXNet's graph need: their arrays as numpy's, and a process that can still fork.

Every operator asks for all arrays in its backward pass, needed or not: MXNet keeps in one place, for all operators of Python's
together, which of them the one made last asked for, and takes that for each one's.
What enters or leaves an operator of Python's is transposed, its gradient too. A convolution leaves its numbers in oneDNN's own
order, of which MXNet 1.9.1 gives such an operator a copy that it has freed by then. What is transposed is as its shape says,
and has memory of its own (where `x * 1` may overwrite x, order and all). They compute on CPUs and cannot be exported
(`models.build.portable`)."""
from __future__ import annotations

import atexit
import sys
import threading
import time
from typing import Sequence

import numpy as np

from gluon_bof.backend import mx
from gluon_bof.devices import numpy_view

FORGOTTEN = 0.05  # seconds after which a result's thread has most likely done with it, where it cannot be ended
FORKS = ("os.fork", "os.forkpty", "subprocess.Popen")  # audited before a process is forked; the last forks before Python 3.10

ran = threading.Event()  # set by every operator, until `_settle` is called


def _settle():
    """Wait until no operator of ours is under way, and none of MXNet's threads has anything left to do with one.

    For a fork MXNet ends its threads, while whoever forks holds Python's lock: one that still wants it, if only to forget what it
    has done, would wait for ever. It does so just after its result is there, which nothing tells.
    Raises MXNetError where an operator, ours or not, has failed and nobody has read of it yet."""
    mx.nd.waitall()  # also for what has not begun
    if ran.is_set():
        ran.clear()
        _renew_threads()


def _renew_threads():
    """Have MXNet end its threads and begin with new ones, as for a fork, but without Python's lock.

    What another thread of Python's gave MXNet to do meanwhile would be lost, so where there are others, or a build of MXNet hides
    these names, there is only waiting. (A fork while another thread uses MXNet now and then hangs without our operators too.)"""
    library = mx.base._LIB
    names = "_ZN5mxnet22pthread_atfork_prepareEv", "_ZN5mxnet21pthread_atfork_parentEv"
    if threading.active_count() > 1 or not all(hasattr(library, name) for name in names):
        time.sleep(FORGOTTEN)
        return
    for name in names:
        getattr(library, name)()


def _before_fork(event, _):
    """A hook of audits and not of forks: what it raises reaches whoever forks, so that no failure is lost."""
    if event in FORKS:
        _settle()


sys.addaudithook(_before_fork)
atexit.register(_settle)


def refuse_sums(requests: Sequence[str]) -> None:
    """Raise ValueError where MXNet wants a gradient added to another, which it does not of what is used once."""
    if "add" in requests:
        raise ValueError(f"gradients are asked for as {', '.join(requests)}")


def numbers(array: mx.nd.NDArray) -> np.ndarray:
    """An MXNet array of the host as numpy's, in the same memory, once it is there."""
    ran.set()
    if array.context.device_type != "cpu" or array.dtype != np.float32:
        raise TypeError(f"float32 on the CPU is wanted, not {array.dtype.__name__} on {array.context}")
    array.wait_to_read()
    return numpy_view(array)

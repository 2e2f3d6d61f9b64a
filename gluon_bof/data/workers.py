"""What a process that works for another one does first. No MXNet in here."""
from __future__ import annotations

import ctypes
import multiprocessing
import os
import signal
import sys

import cv2

PR_SET_PDEATHSIG = 1  # of Linux's prctl.h
_initialised_process = None


def init_worker():
    """Once per process: one thread for OpenCV, whose own do not survive a fork, and a worker dies with whom it works for, also
    when that is killed."""
    global _initialised_process
    if _initialised_process == os.getpid():
        return
    _initialised_process = os.getpid()
    cv2.setNumThreads(0)
    if multiprocessing.current_process().daemon:
        end_with_parent(signal.SIGKILL)


def end_with_parent(asked):
    """Have this process get the signal `asked` when its parent ends. Does nothing where the system is not Linux."""
    if sys.platform.startswith("linux"):
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, asked)

"""One thread for MXNet, so that tests do not spin against loader workers, and a cache folder of the session's own; a session's
memory, which is not a training's, and no waiting for a disk."""
import atexit
import ctypes
import gc
import os
import shutil
import sys
import tempfile

import pytest

os.environ.setdefault("OMP_NUM_THREADS", "1")  # read by MXNet when it is imported
if "GLUON_BOF_CACHE" not in os.environ:
    os.environ["GLUON_BOF_CACHE"] = tempfile.mkdtemp(prefix="gluon_bof_cache_")
    atexit.register(shutil.rmtree, os.environ["GLUON_BOF_CACHE"], ignore_errors=True)

# A test sees what is written whether or not it would outlast a power cut, and two waits for the disk a file are a small part of
# a minute in all. Processes that tests start wait; what is waited for is tested in tests/test_files.py.
os.fsync = lambda descriptor: None

M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3  # of glibc's malloc.h
MALLOPT = getattr(ctypes.CDLL(None), "mallopt", None)


def pytest_configure(config):
    """MXNet is imported before any test imports gluoncv, which imports it unprepared; who only hands tests out needs none."""
    if not config.getoption("numprocesses", None):
        import gluon_bof.backend  # noqa: F401


def pytest_runtest_setup():
    """A training has large arrays go back to the system, for good: the tests after it, in its process, spent a sixth of their
    time on pages that are taken anew. These are the limits that glibc comes to by itself."""
    if MALLOPT:
        MALLOPT(M_MMAP_THRESHOLD, 32 << 20)
        MALLOPT(M_TRIM_THRESHOLD, 64 << 20)
    if "gluon_bof.training.engine" in sys.modules:
        sys.modules["gluon_bof.training.engine"].ECHO_SECONDS = 0.02  # no signal of a test's own process has an echo


@pytest.hookimpl(hookwrapper=True)
def pytest_collection():
    """What is collected stays to the end, and no garbage is looked for in it."""
    gc.disable()
    yield
    gc.freeze()
    gc.enable()

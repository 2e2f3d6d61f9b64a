"""One thread for MXNet, so that tests do not spin against loader workers, and a cache folder of the session's own."""
import atexit
import gc
import os
import shutil
import tempfile

import pytest

os.environ.setdefault("OMP_NUM_THREADS", "1")  # read by MXNet when it is imported
if "GLUON_BOF_CACHE" not in os.environ:
    os.environ["GLUON_BOF_CACHE"] = tempfile.mkdtemp(prefix="gluon_bof_cache_")
    atexit.register(shutil.rmtree, os.environ["GLUON_BOF_CACHE"], ignore_errors=True)

import gluon_bof.backend  # noqa: E402,F401  before any test imports gluoncv, which imports MXNet unprepared


@pytest.hookimpl(hookwrapper=True)
def pytest_collection():
    """What is collected stays to the end, and no garbage is looked for in it."""
    gc.disable()
    yield
    gc.freeze()
    gc.enable()

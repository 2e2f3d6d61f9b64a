"""One thread for MXNet, so that tests do not spin against loader workers, and a cache folder of the session's own."""
import atexit
import os
import shutil
import tempfile

os.environ.setdefault("OMP_NUM_THREADS", "1")  # read by MXNet when it is imported
if "GLUON_BOF_CACHE" not in os.environ:
    os.environ["GLUON_BOF_CACHE"] = tempfile.mkdtemp(prefix="gluon_bof_cache_")
    atexit.register(shutil.rmtree, os.environ["GLUON_BOF_CACHE"], ignore_errors=True)

import gluon_bof.backend  # noqa: E402,F401  before any test imports gluoncv, which imports MXNet unprepared

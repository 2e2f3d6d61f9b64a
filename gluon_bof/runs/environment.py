"""What a run is computed by: versions of packages, the revision of this code, the machine."""
from __future__ import annotations

import os
import platform
import subprocess
from typing import Any

from gluon_bof import threads
from gluon_bof.compat import installed_version

PACKAGES = ("mxnet", "mxnet-cu112", "gluoncv", "numpy", "opencv-python", "pycocotools")


def environment() -> dict[str, Any]:
    """The versions of Python, of PACKAGES and of this code, its revision, the kind of machine, and the threads that are told."""
    versions = {"python": platform.python_version(), "gluon_bof": installed_version("gluon_bof")}
    versions.update({name: installed_version(name) for name in PACKAGES})
    return {"versions": {name: version for name, version in versions.items() if version},
            "git_revision": git_revision(), "machine": platform.machine(),
            "omp_num_threads": os.environ.get(threads.VARIABLE, "")}


def versions_of(told: Any) -> dict[str, Any]:
    """{package: version} and the revision of this code, as far as what is kept of an environment tells them."""
    told = told if isinstance(told, dict) else {}
    versions = told.get("versions")
    return {**(versions if isinstance(versions, dict) else {}), "revision": told.get("git_revision")}


def git_revision() -> str:
    """The revision of the checkout that this code lies in, with "-dirty" where it is changed; "" where it lies in none, as an
    installed package does, also where its environment lies in somebody's repository."""
    if not _git("ls-files", "--error-unmatch", os.path.basename(__file__)):
        return ""
    return _git("describe", "--always", "--dirty", "--abbrev=40")


def _git(*words):
    """What git says of the folder of this code; "" where it refuses, or is not there."""
    here = os.path.dirname(os.path.abspath(__file__))
    try:
        answer = subprocess.run(["git", "-C", here, *words], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
                                check=False)
    except OSError:
        return ""
    return answer.stdout.strip()

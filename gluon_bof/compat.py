"""What MXNet 1.9.1 needs before it is imported: a Python and a NumPy it knows, NumPy's old names, CUDA's libraries.

Importing this module is cheap, and every Python from 3.6 on can do it, so that an unsupported one gets its message."""
import sys
from contextlib import contextmanager
from typing import Iterator

PYTHON_VERSIONS = ((3, 8), (3, 12))  # oldest and newest
# NumPy had these as its own names until 1.24; MXNet still uses np.bool, GluonCV np.float and np.int
NUMPY_ALIASES = (bool, int, float, complex, object)
# Each comes after those it needs
CUDA_LIBRARIES = ("libcudart.so.11.0", "libnvrtc.so.11.2", "libnvToolsExt.so.1", "libcublasLt.so.11", "libcublas.so.11",
                  "libcufft.so.10", "libcurand.so.10", "libcusolver.so.11", "libnccl.so.2", "libcudnn.so.8")
GPU_BUILD = "mxnet-cu112"
DRIVER = "libcuda.so.1"


def check_versions() -> None:
    """Raise ImportError where MXNet 1.9.1 cannot work: Python outside 3.8–3.12, or NumPy 2. Imports neither."""
    check_python(sys.version_info[:2])
    check_numpy(installed_version("numpy"))


def check_python(version: "tuple[int, int]") -> None:
    """version: (major, minor). Raises ImportError, in one line, where it is not supported."""
    oldest, newest = PYTHON_VERSIONS
    if not oldest <= tuple(version) <= newest:
        raise ImportError("gluon_bof runs on Python {}.{} to {}.{}, which MXNet 1.9.1 needs, and this is Python {}.{}; "
                          "run it with one of those, e.g. make test PYTHON=python3.11"
                          .format(*oldest, *newest, *version))


def check_numpy(version: "str | None") -> None:
    """version: NumPy's version as text, or None if it is not installed. Raises ImportError, in one line, for NumPy 2."""
    if version and int(version.split(".")[0]) >= 2:
        raise ImportError("gluon_bof runs on NumPy 1, which MXNet 1.9.1 needs, and NumPy {} is installed; "
                          "fix it with: {} -m pip install {}".format(version, sys.executable, numpy_pin()))


def numpy_pin(python: "tuple[int, int]" = sys.version_info[:2]) -> str:
    """The NumPy that goes with a Python, as pip takes it."""
    return "numpy==1.26.4" if python >= (3, 12) else "numpy==1.23.5"


def installed_version(distribution: str) -> "str | None":
    """Version of an installed distribution as text, or None; the package itself is not imported."""
    from importlib import metadata  # here, because Python 3.7 has no such module and must get its message

    try:
        return metadata.version(distribution)
    except metadata.PackageNotFoundError:
        return None


def prepare_mxnet() -> None:
    """Make `import mxnet` possible. Raises UserError where the GPU's build has no driver, or MXNet is missing."""
    restore_numpy_aliases()
    require_mxnet()
    if installed_version(GPU_BUILD):
        load_cuda_libraries(cuda_library_folders())
        require_driver()


@contextmanager
def light_import() -> Iterator[None]:
    """While MXNet is looked for and imported: no scikit-learn, which it takes the base of a class from that it has retired; a
    scipy.stats that is imported when it is first looked into, as its quantisation does; the standard library's distutils, where
    there is one, in place of setuptools' with all of setuptools; no collection of garbage. They were a third of the time."""
    import gc

    instead = {"sklearn": None, "scipy.stats": _Later("scipy.stats")}  # None: an import fails, as where it is not installed
    instead = {name: module for name, module in instead.items() if name not in sys.modules}
    sys.modules.update(instead)
    setuptools_finders = _take_setuptools_distutils()
    collects = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        for name in instead:
            del sys.modules[name]
        sys.meta_path[:0] = setuptools_finders
        if setuptools_finders:  # setuptools, imported later, warns of another distutils than its own
            for name in [name for name in sys.modules if name.partition(".")[0] == "distutils"]:
                del sys.modules[name]
        if collects:
            gc.enable()


def _take_setuptools_distutils():
    """Take out of the import system what gives setuptools' distutils, where the standard library has its own (Python 3.11 and
    older) and none is imported yet. Returns the finders."""
    from importlib.machinery import PathFinder

    found = [finder for finder in sys.meta_path if type(finder).__name__ == "DistutilsMetaFinder"]
    if not found or "distutils" in sys.modules or PathFinder.find_spec("distutils") is None:
        return []
    sys.meta_path[:] = [finder for finder in sys.meta_path if finder not in found]
    return found


class _Later:
    """A module that is imported when it is first looked into."""

    def __init__(self, name):
        self._name = name

    def __getattr__(self, attribute):
        if attribute.startswith("__"):  # what the import itself asks for
            raise AttributeError(attribute)
        from importlib import import_module

        return getattr(import_module(self._name), attribute)


def for_cpu_contexts(count: int) -> dict:
    """{variable: number} that MXNet has to find when it is imported, so that SyncBatchNorm over so many CPU contexts does not
    wait for ever: threads, of which each of its operators keeps one until the other contexts have come to it; and pieces of
    scratch memory. These go around among the operators of all contexts, and an operator that waits for the others keeps its
    piece: there must be more than the contexts' operators of a training step ask for."""
    return {"MXNET_CPU_WORKER_NTHREADS": 8 * count, "MXNET_CPU_TEMP_COPY": 1024 * count}


def restore_numpy_aliases() -> None:
    """Give NumPy 1.24 and newer the names back that it dropped; older ones have them."""
    import warnings

    import numpy as np

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # NumPy warns of the bare look at a dropped name
        missing = [kind for kind in NUMPY_ALIASES if not hasattr(np, kind.__name__)]
    for kind in missing:
        setattr(np, kind.__name__, kind)


def require_mxnet() -> None:
    """Raise UserError where MXNet, or the distutils that it imports, is missing."""
    from importlib.util import find_spec

    from gluon_bof.errors import UserError

    for module, package in (("mxnet", "mxnet==1.9.1"), ("distutils", "setuptools<81")):
        if find_spec(module) is None:
            raise UserError(f"{module} is not installed for {sys.executable}",
                            remedy=f"run make test, which installs it, or: pip install '{package}'")


def require_driver() -> None:
    """Raise UserError where NVIDIA's driver, without which the GPU's build cannot even be imported, is missing."""
    import ctypes

    from gluon_bof.errors import UserError

    try:
        ctypes.CDLL(DRIVER)
    except OSError:
        raise UserError(f"{GPU_BUILD} is installed, but NVIDIA's driver ({DRIVER}) is not there",
                        remedy=f"install the driver, or: pip uninstall {GPU_BUILD} && pip install mxnet==1.9.1") from None


def cuda_library_folders() -> list:
    """Folders that may hold CUDA's libraries: those of the nvidia-*-cu11 packages, then conda's."""
    from importlib.util import find_spec
    from pathlib import Path

    nvidia = find_spec("nvidia")
    roots = list(nvidia.submodule_search_locations) if nvidia else []
    return [folder for root in roots for folder in sorted(Path(root).glob("*/lib"))] + [Path(sys.prefix, "lib")]


def load_cuda_libraries(folders: list) -> None:
    """Load CUDA_LIBRARIES, in their order, for the whole process; those in no folder are left to the system's linker."""
    import ctypes

    for name in CUDA_LIBRARIES:
        for folder in folders:
            if (folder / name).exists():
                ctypes.CDLL(str(folder / name), mode=ctypes.RTLD_GLOBAL)
                break

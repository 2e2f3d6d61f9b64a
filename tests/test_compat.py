"""What is unsupported is said in one line, and MXNet starts on every NumPy 1 that goes with a supported Python."""
import glob
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from gluon_bof import compat
from gluon_bof.backend import autograd, gluon, mx
from gluon_bof.errors import UserError

ROOT = Path(__file__).resolve().parent.parent


def import_package(python=sys.executable, path=""):
    """Run `import gluon_bof` in a Python of its own, with a folder before all others on its path."""
    environment = dict(os.environ, PYTHONPATH=os.pathsep.join(filter(None, (str(path), str(ROOT)))))
    return subprocess.run([python, "-c", "import gluon_bof, sys; print(*sys.modules)"], env=environment,
                          capture_output=True, text=True)


def put_numpy(folder, version):
    """Metadata of a NumPy of that version, as pip leaves it."""
    metadata = folder / f"numpy-{version}.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text(f"Metadata-Version: 2.1\nName: numpy\nVersion: {version}\n")


@pytest.mark.parametrize("version", [(3, 8), (3, 9), (3, 10), (3, 11), (3, 12)])
def test_supported_pythons_pass(version):
    compat.check_python(version)


@pytest.mark.parametrize("version", [(2, 7), (3, 7), (3, 13), (3, 20), (4, 0)])
def test_other_pythons_are_refused_by_version(version):
    with pytest.raises(ImportError) as caught:
        compat.check_python(version)
    assert "Python 3.8 to 3.12" in str(caught.value) and "{}.{}".format(*version) in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("version", ["1.19.5", "1.23.5", "1.26.4", None])
def test_numpy_1_or_none_yet_passes(version):
    compat.check_numpy(version)


def test_numpy_2_is_refused_when_the_package_is_imported(tmp_path):
    put_numpy(tmp_path, "2.1.0")
    outcome = import_package(path=tmp_path)
    last = outcome.stderr.strip().splitlines()[-1]
    assert outcome.returncode == 1
    assert last.startswith("ImportError: gluon_bof runs on NumPy 1") and "NumPy 2.1.0 is installed" in last
    assert f"{sys.executable} -m pip install {compat.numpy_pin()}" in last


def test_numpy_1_beside_it_is_accepted(tmp_path):
    put_numpy(tmp_path, "1.26.4")
    assert import_package(path=tmp_path).returncode == 0


def test_an_unsupported_python_is_refused_when_the_package_is_imported():
    too_new = [shutil.which("python3.13")] + glob.glob(os.path.expanduser("~/.pyenv/versions/3.13*/bin/python"))
    runs = [python for python in too_new if python and subprocess.run([python, "-V"], capture_output=True).returncode == 0]
    if not runs:
        pytest.skip("no Python 3.13 here")
    last = import_package(runs[0]).stderr.strip().splitlines()[-1]
    assert last.startswith("ImportError: gluon_bof runs on Python 3.8 to 3.12") and "3.13" in last


def test_importing_the_package_imports_neither_numpy_nor_mxnet():
    outcome = import_package()
    assert outcome.returncode == 0, outcome.stderr
    assert not {"numpy", "mxnet", "gluoncv", "cv2"} & set(outcome.stdout.split())


def test_numpy_has_its_old_names_and_keeps_its_own():
    own = np.int64, np.bool_, np.float64
    compat.restore_numpy_aliases()
    assert (np.int64, np.bool_, np.float64) == own
    with np.testing.suppress_warnings() as quiet:
        quiet.filter(DeprecationWarning)
        for kind in (bool, int, float):
            assert np.dtype(getattr(np, kind.__name__)) == np.dtype(kind)


def test_the_backend_computes_a_gradient():
    layer = gluon.nn.Conv2D(1, 3, use_bias=False, weight_initializer="ones")
    layer.initialize()
    with autograd.record():
        total = layer(mx.nd.ones((1, 1, 5, 5))).sum()
    total.backward()
    assert total.asscalar() == 81
    assert (layer.weight.grad().asnumpy() == 9).all()


def test_cuda_libraries_are_loaded_in_order_from_the_first_folder_that_has_them(tmp_path):
    compiler = shutil.which("cc")
    if not compiler:
        pytest.skip("no C compiler here")
    source = tmp_path / "empty.c"
    source.write_text("int present = 1;\n")
    folders = [tmp_path / "cudnn", tmp_path / "cublas"]
    for folder, name in zip(folders, ("libcudnn.so.8", "libcublas.so.11")):
        folder.mkdir()
        subprocess.run([compiler, "-shared", "-fPIC", "-o", str(folder / name), str(source)], check=True)
    script = ("import pathlib, sys; from gluon_bof import compat;"
              "compat.load_cuda_libraries([pathlib.Path(p) for p in sys.argv[1:]]); print(open('/proc/self/maps').read())")
    outcome = subprocess.run([sys.executable, "-c", script, *map(str, folders)], cwd=str(ROOT), check=True,
                             stdout=subprocess.PIPE, text=True)
    assert str(folders[0] / "libcudnn.so.8") in outcome.stdout
    assert str(folders[1] / "libcublas.so.11") in outcome.stdout
    assert compat.CUDA_LIBRARIES.index("libcublas.so.11") < compat.CUDA_LIBRARIES.index("libcudnn.so.8")


def test_the_build_for_gpus_without_a_driver_is_refused_with_the_remedy():
    try:
        compat.require_driver()
    except UserError as error:
        assert "libcuda.so.1" in str(error) and "pip install mxnet==1.9.1" in str(error)
    else:
        pytest.skip("NVIDIA's driver is here")


def test_what_mxnet_does_not_need_is_imported_when_it_is_asked_for():
    """And then it is there, for MXNet's quantisation and for whoever imports it."""
    said = """
import gc, sys
from gluon_bof.backend import mx
print([name for name in ("sklearn", "pandas", "scipy.stats", "distutils") if name in sys.modules])
print("setuptools" in sys.modules, any(type(finder).__name__ == "DistutilsMetaFinder" for finder in sys.meta_path))
print(mx.contrib.quantization.stats.entropy([0.5, 0.5]))
import importlib.util, scipy.stats, setuptools
import distutils.version
print(distutils.__file__ == setuptools._distutils.__file__, gc.isenabled())
print(scipy.stats.norm.cdf(0), importlib.util.find_spec("sklearn.base") is not None, hasattr(scipy.stats, "no_such_name"))
"""
    outcome = subprocess.run([sys.executable, "-c", said], env=dict(os.environ, PYTHONPATH=str(ROOT)), capture_output=True,
                             text=True)
    has_own = sys.version_info < (3, 12)  # Python 3.12 has no distutils but setuptools'
    expected = ["[]", "False True"] if has_own else ["['distutils']", "True True"]
    expected += ["0.6931471805599453", "True True", "0.5 True False"]
    assert outcome.stdout.splitlines() == expected, outcome.stderr
    assert "Warning" not in outcome.stderr


def test_a_module_that_is_there_already_stays_while_mxnet_is_imported():
    import scipy.stats

    with compat.light_import():
        assert sys.modules["scipy.stats"] is scipy.stats
    assert sys.modules["scipy.stats"] is scipy.stats and sys.modules.get("sklearn", compat) is not None

"""The environment: which Python makes it, what it pins, and that nothing half-made is taken for it."""
import os
import re
import shutil
import subprocess
import sys
from importlib import metadata
from pathlib import Path

import pytest

from gluon_bof._version import __version__
from gluon_bof.compat import numpy_pin

try:
    import tomllib
except ImportError:
    import tomli as tomllib

ROOT = Path(__file__).resolve().parent.parent
PIN = re.compile(r"^([A-Za-z0-9_.-]+==[\w.]+)")


def run(*command, **options):
    return subprocess.run([str(part) for part in command], capture_output=True, text=True, **options)


def make(*arguments, cwd):
    """Run make as a person does, whatever make and variables started these tests."""
    outer = ("MAKEFLAGS", "MAKEOVERRIDES", "MAKELEVEL", "MFLAGS", "PYTHON", "GPUS", "SEED", "ARGS")
    environment = {name: value for name, value in os.environ.items() if name not in outer}
    return run("make", *arguments, cwd=str(cwd), env=dict(environment, LC_ALL="C"))


def put_script(path, text):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("#!/bin/sh\n" + text + "\n")
    path.chmod(0o755)
    return path


def settings():
    with open(ROOT / "pyproject.toml", "rb") as file:
        return tomllib.load(file)


def project():
    return settings()["project"]


def pins(requirements):
    return {found.group(1) for found in map(PIN.match, requirements) if found}


@pytest.fixture
def clone(tmp_path):
    """The files that make an environment, in a folder of their own."""
    shutil.copytree(str(ROOT / "tools"), str(tmp_path / "clone" / "tools"))
    for name in ("Makefile", "pyproject.toml"):
        shutil.copy(str(ROOT / name), str(tmp_path / "clone"))
    return tmp_path / "clone"


@pytest.fixture
def find_python(tmp_path):
    """Run tools/find_python.sh on a PATH of tmp_path/first and tmp_path/second, before the system's plain tools."""
    tools = tmp_path / "tools"
    tools.mkdir()
    for name in ("sh", "tr", "basename"):
        (tools / name).symlink_to(shutil.which(name))
    path = os.pathsep.join(str(tmp_path / name) for name in ("first", "second", "tools"))
    return lambda *arguments: run("sh", ROOT / "tools/find_python.sh", *arguments, env=dict(os.environ, PATH=path))


def test_a_shim_that_runs_nothing_is_passed_over(find_python, tmp_path):
    put_script(tmp_path / "first/python3.11", "echo command not found >&2; exit 127")
    real = put_script(tmp_path / "second/python3.11", f'exec "{sys.executable}" "$@"')
    outcome = find_python()
    assert (outcome.returncode, outcome.stdout.strip()) == (0, str(real))


def test_a_python_without_venv_is_refused_with_its_remedy(find_python, tmp_path):
    put_script(tmp_path / "hidden/ensurepip.py", "raise ImportError")
    put_script(tmp_path / "first/python3.9", f'PYTHONPATH="{tmp_path}/hidden" exec "{sys.executable}" "$@"')
    for arguments in ((), (tmp_path / "first/python3.9",)):
        outcome = find_python(*arguments)
        assert outcome.returncode == 2 and len(outcome.stderr.splitlines()) == 1
        assert "apt install python3.9-venv" in outcome.stderr


def test_no_python_at_all_is_one_line(find_python):
    outcome = find_python()
    assert outcome.returncode == 2 and outcome.stdout == ""
    assert len(outcome.stderr.splitlines()) == 1 and "Python 3.8 to 3.12" in outcome.stderr


def test_the_package_is_imported_from_a_zip(tmp_path):
    packed = shutil.make_archive(str(tmp_path / "packed"), "zip", ROOT, "gluon_bof")
    code = "import gluon_bof, gluon_bof.data; print(gluon_bof.UserError.__name__, gluon_bof.data.class_names('a,b'))"
    found = run(sys.executable, "-c", code, env={**os.environ, "PYTHONPATH": packed}, cwd=tmp_path)
    assert found.stdout == "UserError ('a', 'b')\n", found.stderr


def test_make_refuses_a_python_that_does_not_run_and_makes_nothing(clone):
    outcome = make("test", "PYTHON=/bin/false", cwd=clone)
    assert outcome.returncode == 2
    assert "Python 3.8 to 3.12" in outcome.stderr and "/bin/false does not run" in outcome.stderr
    assert not (clone / ".venv").exists()


@pytest.mark.slow  # make itself removes no stamp that was not made
def test_a_failed_installation_leaves_no_stamp(clone):
    (clone / "pyproject.toml").write_text("not = [ TOML")
    outcome = make("install", f"PYTHON={sys.executable}", cwd=clone)
    assert outcome.returncode == 2 and "pip could not install" in outcome.stderr
    assert (clone / ".venv").exists() and not list((clone / ".venv").glob("installed*"))


def test_a_finished_installation_is_not_repeated(clone):
    (clone / ".venv").mkdir()
    (clone / ".venv/installed-by-python3.9").touch()
    assert make("install", cwd=clone).stdout.strip() == "make: Nothing to be done for 'install'."
    os.utime(str(clone / ".venv/installed-by-python3.9"), (0, 0))
    assert "tools/install.py" in make("-n", "install", cwd=clone).stdout


def test_make_hands_gpus_seed_and_arguments_to_the_script(clone):
    (clone / ".venv").mkdir()
    (clone / ".venv/installed-by-default").touch()
    command = make("-n", "train", "GPUS=0,1", "SEED=3", "ARGS=--epochs 2", cwd=clone).stdout.split()
    assert command == ".venv/bin/python train_yolo3.py --gpus 0,1 --seed 3 --epochs 2".split()


def test_environment_yml_pins_what_pyproject_pins():
    lines = (ROOT / "environment.yml").read_text().splitlines()
    conda = pins(line.strip(" -") for line in lines)
    extras = project()["optional-dependencies"]
    assert len(conda) >= 4 and conda <= pins(project()["dependencies"] + extras["gpu"])
    assert "mxnet-cu112==1.9.1" in conda


def test_pyproject_agrees_with_the_package():
    older, newer = (text for text in project()["dependencies"] if text.startswith("numpy"))
    assert numpy_pin((3, 8)) in older and "< '3.12'" in older
    assert numpy_pin((3, 12)) in newer and ">= '3.12'" in newer
    assert project()["requires-python"] == ">=3.8,<3.13"
    assert re.match(r"\d+\.\d+\.\d+$", __version__)


def test_a_wheel_has_every_file_of_the_package():
    patterns = settings()["tool"]["setuptools"]["package-data"]["gluon_bof"]
    shipped = {path for pattern in patterns for path in (ROOT / "gluon_bof").glob(pattern)}
    there = {path for path in (ROOT / "gluon_bof").rglob("*") if path.is_file() and path.suffix not in (".py", ".pyc")}
    assert len(there) > 20 and there == {path for path in shipped if path.is_file()}


def test_there_is_one_cv2():
    names = {distribution.metadata["Name"].lower() for distribution in metadata.distributions()}
    assert {name for name in names if name.startswith("opencv")} == {"opencv-python"}


@pytest.mark.parametrize("status", (0, 3))
def test_ci_runs_make_test_in_the_checkout_and_ends_as_it_does(status, tmp_path):
    (tmp_path / "checkout" / ".ci").mkdir(parents=True)
    script = shutil.copy(str(ROOT / ".ci/run"), str(tmp_path / "checkout" / ".ci"))
    put_script(tmp_path / "tools" / "make", f'echo "$PWD: $*"; exit {status}')
    path = os.pathsep.join((str(tmp_path / "tools"), os.environ["PATH"]))
    answer = run(script, cwd=str(tmp_path), env=dict(os.environ, PATH=path))
    assert answer.returncode == status
    targets = [line.split(": ", 1) for line in answer.stdout.splitlines()]
    assert {place for place, _ in targets} == {str(tmp_path / "checkout")}
    assert status or "test" in {word for _, words in targets for word in words.split()}

"""Which revision a run says that it is computed by."""
import os
import shutil
import subprocess
import sys

import gluon_bof


def test_a_run_of_an_installed_package_does_not_tell_the_revision_of_the_repository_that_its_environment_lies_in(tmp_path):
    def git(*words):
        return subprocess.run(["git", "-C", str(tmp_path), "-c", "user.name=a", "-c", "user.email=a@b", *words], check=True,
                              capture_output=True, text=True).stdout.strip()

    place = tmp_path / "venv" / "site-packages" / "gluon_bof"
    shutil.copytree(os.path.dirname(gluon_bof.__file__), place, ignore=lambda folder, names: [
        name for name in names if not name.endswith((".py", ".pyi")) and not os.path.isdir(os.path.join(folder, name))])
    (tmp_path / "mine.py").write_text("mine = 1\n")
    git("init", "-q")
    git("add", "mine.py")
    git("commit", "-qm", "mine")

    def told():
        code = "from gluon_bof.runs.environment import git_revision; print(git_revision())"
        return subprocess.run([sys.executable, "-c", code], env={**os.environ, "PYTHONPATH": str(place.parent)}, cwd=tmp_path,
                              check=True, capture_output=True, text=True).stdout.strip()

    assert told() == ""
    git("add", "venv")
    git("commit", "-qm", "a checkout of it")
    assert told() == git("rev-parse", "HEAD")
    (tmp_path / "mine.py").write_text("mine = 2\n")
    assert told() == git("rev-parse", "HEAD") + "-dirty"

"""Errors of the user are one line on standard error and exit status 2."""
import errno
import pickle

import pytest

from gluon_bof.errors import UserError, user_facing
from gluon_bof.files import write_atomically


@pytest.mark.parametrize("error,line", (
    (UserError("no area:\n  box", "a/b.xml", "fix it"), "error: a/b.xml: no area: box; fix it"),
    (OSError(errno.ENOSPC, "No space left on device"), "error: No space left on device; check"),
    (FileNotFoundError(errno.ENOENT, "No such file or directory", "x.txt"), "error: x.txt: No such file or directory"),
))
def test_they_are_one_line_and_exit_status_2(error, line, capsys):
    @user_facing
    def fail():
        raise error

    with pytest.raises(SystemExit) as stop:
        fail()
    assert stop.value.code == 2
    told = capsys.readouterr().err
    assert told.startswith(line) and told.count("\n") == 1


def test_other_errors_are_ours_and_stay_whole():
    @user_facing
    def fail():
        raise KeyError("x")

    with pytest.raises(KeyError):
        fail()


def test_they_survive_the_way_back_from_a_worker():
    error = pickle.loads(pickle.dumps(UserError("bad", "a.jpg", "fix it")))
    assert (error.problem, error.path, error.remedy) == ("bad", "a.jpg", "fix it")


def test_a_write_that_fails_leaves_what_was_there(tmp_path):
    path = tmp_path / "kept"
    write_atomically(path, b"old")
    with pytest.raises(UserError, match="cannot be written"):
        write_atomically(tmp_path / "missing" / "file", b"new")
    assert path.read_bytes() == b"old" and [p.name for p in tmp_path.iterdir()] == ["kept"]

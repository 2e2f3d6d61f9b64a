"""Errors of the user are one line on standard error and exit status 2."""
import errno
import os
import pickle
import sys
import threading
import warnings

import cv2
import pytest

from gluon_bof.backend import mx
from gluon_bof.data.faults import UnknownClass
from gluon_bof.errors import UserError, in_python, user_facing, without_warnings

NO_MEMORY = "error: the memory does not suffice; give smaller batches"
NO_FILES = "error: too many files are open; allow more, as by ulimit -n 4096, or give fewer data workers"


@pytest.mark.parametrize("error,line", (
    (UserError("no area:\n  box", "a/b.xml", "fix it"), "error: a/b.xml: no area: box; fix it"),
    (OSError(errno.ENOSPC, "No space left on device"), "error: No space left on device; check"),
    (FileNotFoundError(errno.ENOENT, "No such file or directory", "x.txt"), "error: x.txt: No such file or directory"),
    (FileNotFoundError(errno.ENOENT, "No usable temporary directory found in ['/tmp']"),
     "error: there is no folder for temporary files; set TMPDIR to one that can be written"),
    (OSError(errno.ENOSPC, "No space left on device", "read.jpg", None, "written.jpg"), "error: written.jpg: No space left"),
    (OSError(errno.EIO, "Input/output error", "read.jpg", None, "written.jpg"), "error: read.jpg: Input/output error"),
    (OSError(errno.EMFILE, "Too many open files", "a.jpg"), NO_FILES), (RuntimeError("received 0 items of ancdata"), NO_FILES),
    (MemoryError(), NO_MEMORY), (OSError(errno.ENOMEM, "Cannot allocate memory"), NO_MEMORY),
    (mx.MXNetError("Traceback (most recent call last):\n  File x\nMXNetError: Failed to allocate CPU Memory"), NO_MEMORY),
    (cv2.error("error: (-4:Insufficient memory) Failed to allocate 9 bytes in function 'OutOfMemoryError'"),
     "error: the memory does not suffice (Failed to allocate 9 bytes in function 'OutOfMemoryError'); give smaller batches"),
    (MemoryError("Unable to allocate 5. TiB for an array with shape (9,)"),
     "error: the memory does not suffice (Unable to allocate 5. TiB for an array with shape (9,)); give smaller batches"),
))
def test_a_users_error_is_one_line_and_exit_status_2(error, line, capsys):
    @user_facing
    def fail():
        raise error

    with pytest.raises(SystemExit) as stop:
        fail()
    assert stop.value.code == 2
    told = capsys.readouterr().err
    assert told.startswith(line) and told.count("\n") == 1


def test_a_working_folder_that_has_been_removed_is_told(tmp_path, monkeypatch, capsys):
    """The line named nothing: "No such file or directory"."""
    (tmp_path / "gone").mkdir()
    monkeypatch.chdir(tmp_path / "gone")
    (tmp_path / "gone").rmdir()
    with pytest.raises(SystemExit) as stop:
        user_facing(os.path.abspath)("runs")
    assert stop.value.code == 2 and capsys.readouterr().err.startswith("error: the working folder has been removed; go to")


def test_threads_that_silence_warnings_leave_them_as_they_were():
    """Crosswise, the second one put back what the first had silenced."""
    before = list(warnings.filters)
    begun, go_on = threading.Event(), threading.Event()

    def silence():
        with without_warnings():
            begun.set()
            go_on.wait()

    other = threading.Thread(target=silence)
    with without_warnings():
        other.start()
        begun.wait(0.05)
    go_on.set()
    other.join()
    assert list(warnings.filters) == before


def test_a_closed_standard_error_is_one_that_nobody_reads(monkeypatch, capsys):
    @user_facing
    def fail():
        print("skipped: a.jpg", file=sys.stderr)  # with None it went to standard output
        assert not sys.stderr.isatty()
        raise UserError("no area")

    monkeypatch.setattr(sys, "stderr", None)
    with pytest.raises(SystemExit) as stop:
        fail()
    sys.stderr.close()
    assert stop.value.code == 2 and capsys.readouterr().out == ""


@pytest.mark.parametrize("broken", ("stdout", "stderr"))
@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="no device that is always full")
def test_only_an_output_that_cannot_be_written_ends_a_command_be_it_printed_last(broken, monkeypatch, capsys):
    """Of an output nobody was told, and Python answered 120; a word on standard error ended hours of work before its result."""
    @user_facing
    def work(ends):
        print("a table", file=sys.stderr)
        print("the result")
        if ends:
            raise SystemExit(0)  # as --help
        return "done"

    for ends in (False, True):
        with open("/dev/full", "w", buffering=1 if broken == "stderr" else -1) as stream, monkeypatch.context() as patch:
            patch.setattr(sys, broken, stream)
            try:
                status = work(ends)
            except SystemExit as end:
                status = end.code
            assert getattr(sys, broken) is stream
        # a close that flushes has not failed: nor will Python's own
        said = capsys.readouterr()
        if broken == "stderr":
            assert said.out == "the result\n" and status == (0 if ends else "done")
        else:
            assert status == 2 and said.err.startswith("a table\nerror: No space left on device; check that the place")


@pytest.mark.parametrize("error", (KeyError("x"), mx.MXNetError("Check failed: shapes differ"), RuntimeError("out of memory")))
def test_a_programmers_error_keeps_its_traceback(error):
    @user_facing
    def fail():
        raise error

    with pytest.raises(type(error)):
        fail()


def test_flags_become_arguments_and_folders_with_dashes_keep_their_names():
    with pytest.raises(UserError) as raised, in_python(dataset_root="root"):
        raise UserError("--lr-mode x (--epochs) differs from /data/night--my-set/a.jpg", "/data/night--my-set/a.jpg",
                        "point --dataset-root at '--val-split'")
    assert str(raised.value) == ("/data/night--my-set/a.jpg: lr_mode x (epochs) differs from /data/night--my-set/a.jpg; "
                                 "point root at 'val_split'")


def test_an_error_keeps_what_else_it_carries_where_its_flags_become_arguments():
    with pytest.raises(UnknownClass) as raised, in_python():
        raise UnknownClass("--classes has no cat", "a.json", "name it in --classes", "cat")
    for error in (raised.value, pickle.loads(pickle.dumps(raised.value))):
        assert error.name == "cat" and str(error) == "a.json: classes has no cat; name it in classes"
    assert "--" not in repr(raised.value)


def test_a_users_error_survives_the_way_back_from_a_worker():
    error = pickle.loads(pickle.dumps(UserError("bad", "a.jpg", "fix it")))
    assert (error.problem, error.path, error.remedy) == ("bad", "a.jpg", "fix it")

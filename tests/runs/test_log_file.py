"""A run's log keeps every line: names that are no UTF-8 by escapes, and a full disk is one line of warning."""
import io
import logging
import os
import subprocess
import sys

import pytest

from gluon_bof.errors import LOGGER, user_facing, warn
from gluon_bof.runs.folder import Run
from gluon_bof.runs.opening import create_run


@pytest.fixture
def run(tmp_path):
    run = Run(str(tmp_path / "run"))
    run.start_logging()
    yield run
    run.close()


PROGRAM = """
import os, sys
from gluon_bof.errors import LOGGER
from gluon_bof.runs.folder import Run
run = Run(sys.argv[1])
run.start_logging()
LOGGER.warning("skipped: %s", os.fsdecode(b"gar\\xe7on.jpg"))
LOGGER.warning("skipped: %s", "\\u732b.jpg")
run.close()
"""


def test_a_name_that_is_no_utf8_is_escaped_and_kept(tmp_path):
    # in a process of its own, for pytest's capture cannot hold such a line itself
    ended = subprocess.run([sys.executable, "-c", PROGRAM, str(tmp_path / "run")], capture_output=True, text=True, timeout=60)
    assert ended.returncode == 0, ended.stderr
    lines = (tmp_path / "run" / "log.txt").read_text(encoding="utf-8").splitlines()
    assert [line[9:] for line in lines] == ["skipped: gar\\udce7on.jpg", "skipped: \u732b.jpg"]
    assert "Logging error" not in ended.stderr and "Traceback" not in ended.stderr and "gar\\udce7on.jpg" in ended.stderr


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="no device that is always full")
def test_a_full_disk_is_told_once_and_lines_still_reach_the_terminal(run, capfd):
    handler = next(handler for handler in LOGGER.handlers if isinstance(handler, logging.FileHandler))
    handler.stream.close()
    handler.stream = open("/dev/full", "w", encoding="utf-8")
    for number in range(3):
        LOGGER.warning("line %d", number)
    said = capfd.readouterr().err
    assert said.count("cannot be written") == 1 and "Traceback" not in said and all(f"line {n}" in said for n in range(3))
    handler.stream = open(os.devnull, "w")


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="no device that is always full")
def test_events_on_a_full_disk_are_told_of_once_and_nothing_waits_for_them(tmp_path, caplog):
    """tensorboardX's own writer hung for ever, in a row or at the end."""
    pytest.importorskip("tensorboardX")
    run = Run(str(tmp_path / "run"))
    run.start_logging(tensorboard=True)
    LOGGER.addHandler(caplog.handler)
    run.record("metrics", {"iteration": 1, "map": 0.5})
    file = run._events._writer._py_recordio_writer._writer
    assert os.path.getsize(file.name) > 50
    full = os.open("/dev/full", os.O_WRONLY)
    os.dup2(full, file.fileno())
    os.close(full)
    for iteration in range(2, 30):
        run.record("metrics", {"iteration": iteration, "map": 0.5})
    run.close()
    LOGGER.removeHandler(caplog.handler)
    assert caplog.text.count("events cannot be written any more (No space left on device)") == 1
    assert len(run.rows("metrics")) == 29


def test_warnings_of_before_the_run_reach_its_log(options, capsys):
    @user_facing
    def main():
        warn("something before the run")
        run = create_run(options)
        run.start_logging()
        try:
            warn("something within it")
            LOGGER.info("a line")
        finally:
            run.close()
        return run

    with open(main().log, encoding="utf-8") as file:
        lines = file.read().splitlines()
    assert [line.split(" ", 1)[1] for line in lines] == ["something before the run", "something within it", "a line"]
    said = capsys.readouterr().err
    assert said.count("something before the run") == 1 and "warning: something before the run" in said
    assert not LOGGER.handlers


def test_a_closed_run_logs_no_more(options):
    run = create_run(options)
    run.start_logging()
    run.close()
    LOGGER.log(logging.WARNING, "too late")
    with open(run.log, encoding="utf-8") as file:
        assert file.read() == ""


def test_a_programs_own_logging_is_as_it_was_when_a_run_is_closed(options, monkeypatch):
    own = logging.StreamHandler(io.StringIO())
    monkeypatch.setattr(LOGGER, "handlers", [own])
    monkeypatch.setattr(LOGGER, "level", logging.ERROR)
    for propagates in (False, True):
        monkeypatch.setattr(LOGGER, "propagate", propagates)
        run = create_run(options)
        run.start_logging()
        LOGGER.info("a line")
        run.close()
        assert (LOGGER.handlers, LOGGER.level, LOGGER.propagate) == ([own], logging.ERROR, propagates)
    assert own.stream.getvalue() == "a line\n" * 2

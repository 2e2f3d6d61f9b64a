"""A run's log keeps every line: names that are no UTF-8 by escapes, and a full disk is one line of warning."""
import logging
import os
import subprocess
import sys

import pytest

from gluon_bof.errors import LOGGER
from gluon_bof.runs.folder import Run


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

"""A run's log keeps every line: names that are no UTF-8 by escapes, and a full disk is one line of warning."""
import logging
import os

import pytest

from gluon_bof.errors import LOGGER
from gluon_bof.runs.folder import Run

NAME = os.fsdecode(b"gar\xe7on.jpg")


@pytest.fixture
def run(tmp_path):
    run = Run(str(tmp_path / "run"))
    run.start_logging()
    yield run
    run.close()


def test_a_name_that_is_no_utf8_is_escaped_and_kept(run, capfd):
    LOGGER.warning("skipped: %s", NAME)
    LOGGER.warning("skipped: %s", "\u732b.jpg")
    with open(run.log, encoding="utf-8") as file:
        lines = file.read().splitlines()
    assert [line[9:] for line in lines] == ["skipped: gar\\udce7on.jpg", "skipped: \u732b.jpg"]
    said = capfd.readouterr().err
    assert "Logging error" not in said and "Traceback" not in said and "gar\\udce7on.jpg" in said


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

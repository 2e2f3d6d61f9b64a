"""Standard error that cannot be written ends no work, and nohup is heeded."""
import os
import signal
import sys

import pytest
from tqdm import tqdm

from gluon_bof.distributed.supervise import StopSignals
from gluon_bof.errors import LOGGER
from gluon_bof.runs.folder import Run
from gluon_bof.terminal import ASIDE, progress_bar
from gluon_bof.training.engine import StopRequest


@pytest.fixture
def broken(monkeypatch):
    """Standard error is a pipe that nobody reads any more, as after Ctrl-C of `command 2>&1 | tee log`."""
    read, write = os.pipe()
    os.close(read)
    stream = os.fdopen(write, "w", buffering=1)
    monkeypatch.setattr(sys, "stderr", stream)
    with pytest.raises(BrokenPipeError):
        print("nobody hears it", file=sys.stderr)
    yield
    with pytest.raises(BrokenPipeError):
        stream.close()


def test_progress_without_a_standard_error_is_shown_to_nobody(monkeypatch):
    monkeypatch.setattr(sys, "stderr", None)
    assert not ASIDE.isatty() and list(progress_bar([1, 2], "work")) == [1, 2]
    with tqdm(range(3), file=ASIDE, mininterval=0, dynamic_ncols=True) as bar:
        assert list(bar) == [0, 1, 2]
        tqdm.write("a line above it", file=ASIDE)


def test_a_bar_and_lines_above_it_that_nobody_reads_end_no_training(broken, tmp_path):
    run = Run(str(tmp_path / "run"))
    run.start_logging()
    try:
        for number in tqdm(range(3), file=ASIDE, mininterval=0):
            LOGGER.info("line %d", number)
    finally:
        run.close()
    with open(run.log, encoding="utf-8") as file:
        assert [line[9:] for line in file.read().splitlines()] == ["line 0", "line 1", "line 2"]


@pytest.mark.parametrize("request_of", (StopRequest, StopSignals))
def test_a_closed_terminal_asks_to_stop_unless_nohup_has_it_ignored(request_of):
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with request_of():
            assert signal.getsignal(signal.SIGHUP) == signal.SIG_IGN
        signal.signal(signal.SIGHUP, signal.SIG_DFL)
        with request_of() as stop:
            os.kill(os.getpid(), signal.SIGHUP)
            assert signal.SIGHUP in vars(stop).values()
    finally:
        signal.signal(signal.SIGHUP, before)

"""Runs that end with their test."""
import pytest

from gluon_bof.runs.folder import Run


@pytest.fixture
def opened(tmp_path):
    """Function that opens runs, which are closed at the end."""
    runs = []

    def open_run(name):
        runs.append(Run(str(tmp_path / name)))
        return runs[-1]

    yield open_run
    for run in runs:
        run.close()

"""Options of a run in a folder of the test's own."""
import pytest

from gluon_bof.options.yolo3 import Yolo3Options


@pytest.fixture
def options(tmp_path):
    return Yolo3Options(runs=str(tmp_path / "runs"), dataset="voc", network="mobilenet0.25")

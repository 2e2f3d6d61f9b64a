"""A drawn set: whole or not there, for whoever may read it; and whose a pixel is."""
import multiprocessing
import os
import sys
from pathlib import Path

import numpy as np
import pytest

from gluon_bof.data import shapes
from gluon_bof.data.drawn import owners
from gluon_bof.errors import UserError
from gluon_bof.masks import NOBODY
from tests.scripts import started, wait_for

FEW = {"trainval": 6, "test": 3}
DRAW = "import sys; from gluon_bof.data import shapes; shapes.ensure_shapes(sys.argv[1], {'trainval': %d, 'test': 5})"


def test_two_processes_at_once_leave_one_whole_set(tmp_path):
    words = [sys.executable, "-c", DRAW % 20, str(tmp_path)]
    with started(words) as one, started(words) as other:
        assert [process.wait(60) for process in (one, other)] == [0, 0]
    assert [path.name for path in tmp_path.iterdir()] == [f"shapes-v{shapes.FILES}"]
    assert len(list(tmp_path.rglob("*.jpg"))) == 25


def test_a_process_that_may_start_no_other_draws_the_same(tmp_path, monkeypatch):
    side_by_side = shapes.ensure_shapes(str(tmp_path / "one"), FEW)
    monkeypatch.setattr(multiprocessing.current_process(), "daemon", True)
    alone = shapes.ensure_shapes(str(tmp_path / "other"), FEW)
    files = sorted(path.relative_to(alone) for path in Path(alone).rglob("*.*"))
    assert len(files) > 9 and all(Path(alone, file).read_bytes() == Path(side_by_side, file).read_bytes() for file in files)


def test_a_killed_process_leaves_nothing_that_is_used(tmp_path):
    with started([sys.executable, "-c", DRAW % 5000, str(tmp_path)]) as process:
        wait_for(process, lambda: len(list(tmp_path.rglob("*.jpg"))) > 2)
    assert not (tmp_path / f"shapes-v{shapes.FILES}").exists()
    shapes.ensure_shapes(tmp_path, FEW)
    assert [path.name for path in tmp_path.iterdir()] == [f"shapes-v{shapes.FILES}"]


def test_a_drawn_set_is_read_by_whoever_the_umask_says(tmp_path):
    before = os.umask(0o027)
    try:
        folder = Path(shapes.ensure_shapes(tmp_path, FEW))
    finally:
        os.umask(before)
    assert {path.stat().st_mode & 0o777 for path in (folder, folder / "VOC2007" / "JPEGImages")} == {0o750}


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_set_that_another_user_drew_for_himself_is_one_line(tmp_path):
    (tmp_path / f"shapes-v{shapes.FILES}").mkdir(0o000)
    with pytest.raises(UserError, match="cannot be read.*GLUON_BOF_CACHE"):
        shapes.ensure_shapes(tmp_path, FEW)


def test_a_place_that_cannot_be_written_is_named(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError) as refusal:
        shapes.load_shapes("train", str(tmp_path / "file" / "cache"))
    assert "GLUON_BOF_CACHE" in str(refusal.value) and str(tmp_path) in str(refusal.value)


def test_a_pixel_is_whose_most_of_it_is_and_nobodys_in_a_tie():
    first, second = np.zeros((2, 2, 10), bool)
    first[:, 0:3], second[:, 3:6] = True, True  # whole; half each; whole; none
    first[0, 8] = second[1, 8] = second[1, 9] = True  # one and two of four, beside one of the ground's
    second[0, 6] = True  # one of four, beside three of the ground's
    np.testing.assert_array_equal(owners([first, second], (1, 5)), [[1, NOBODY, 2, 0, 2]])
    half = np.array([(1, 1), (0, 0)], bool)
    np.testing.assert_array_equal(owners([half], (1, 1)), [[NOBODY]])
    np.testing.assert_array_equal(owners([half, ~half], (1, 1)), [[NOBODY]])

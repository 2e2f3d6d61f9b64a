"""From a command line to a training: which script is taken."""
import multiprocessing
import sys

import pytest

from gluon_bof.commands import train as train_command
from gluon_bof.data.workers import Workers
from gluon_bof.errors import UserError
from gluon_bof.options import families
from gluon_bof.options.yolo3 import Yolo3Options
from gluon_bof.training.entry import run_training, script_of, train_of
from tests.command_lines import refused


@pytest.fixture
def foreign(tmp_path, monkeypatch):
    """GluonCV's script of the same name in the working folder, which python -m and notebooks look into first."""
    script = tmp_path / "train_ssd.py"
    script.write_text("raise AssertionError('it was run')")
    monkeypatch.delitem(sys.modules, "train_ssd", raising=False)
    monkeypatch.syspath_prepend(str(tmp_path))
    return script


def test_another_script_of_the_name_is_told_and_not_run(foreign, capsys):
    with pytest.raises(UserError, match="takes the place of gluon_bof's script train_ssd.py; work in another folder") as refusal:
        train_of("ssd")
    assert refusal.value.path == str(foreign)
    assert str(foreign) in refused(train_command.main, capsys, "ssd", "--dry-run")


@pytest.mark.parametrize("family", [family.name for family in families.FAMILIES])
def test_each_familys_script_is_found_where_it_lies(family):
    assert families.by_name(family).script_file == script_of(family).__file__


def test_a_daemonic_process_is_told_that_it_may_start_no_data_workers_and_keeps_no_run(tmp_path, monkeypatch):
    monkeypatch.setattr(multiprocessing.current_process(), "daemon", True)
    with pytest.raises(UserError, match="a daemonic process, such as a Pool's, may start no data workers; give --num-workers 0"):
        run_training(Yolo3Options(runs=str(tmp_path / "runs")).resolved(), set(), lambda *_: Workers(2, len))
    assert not list(tmp_path.glob("runs/*"))


def test_a_start_that_the_system_refuses_keeps_no_run(tmp_path):
    """As where there is no folder for temporary files: the name was taken for good."""
    def train(options, run, checkpoint):
        return open(tmp_path / "missing")

    with pytest.raises(FileNotFoundError):
        run_training(Yolo3Options(runs=str(tmp_path / "runs")).resolved(), set(), train)
    assert not list(tmp_path.glob("runs/*"))


def test_a_training_leaves_no_data_workers(tmp_path):
    """They lived until the garbage collector came by."""
    kept = []

    def train(options, run, checkpoint):
        kept.append(Workers(2, len))
        return {}

    before = set(multiprocessing.active_children())
    run_training(Yolo3Options(runs=str(tmp_path)).resolved(), set(), train)
    assert set(multiprocessing.active_children()) <= before

"""From a command line to a training: which script is taken."""
import dataclasses
import multiprocessing
import sys

import numpy as np
import pytest

from gluon_bof.commands import train as train_command
from gluon_bof.data.anchors import write_anchors
from gluon_bof.data.workers import Workers
from gluon_bof.errors import UserError
from gluon_bof.options import families
from gluon_bof.options.flags import parse
from gluon_bof.options.recipes import RECIPES
from gluon_bof.options.yolo3 import Yolo3Options
from gluon_bof.runs.config import read_options
from gluon_bof.runs.opening import MAY_CHANGE, continued_options, create_run
from gluon_bof.training.entry import open_run, ready, run_training, script_of, train_of
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


@pytest.fixture
def asked(tmp_path, monkeypatch):
    """Function that says what a family's command line comes to, on the run of a family with some options; "RUN" is its folder."""
    monkeypatch.chdir(tmp_path)

    def ready_of(family, words, **options):
        kind = families.by_name(family).options
        run = create_run(families.prepared(kind(runs="runs", dataset="voc", **options)))
        run.close()
        found, given, _ = parse(kind, words.replace("RUN", run.folder).split(), "", RECIPES.of_family(family))
        return ready(found, given), run.folder, set(given)

    return ready_of


def test_a_new_run_in_the_place_of_one_to_go_on_with_is_told(tmp_path, caplog):
    run, _, checkpoint = open_run(Yolo3Options(runs=str(tmp_path), resume="auto", name="n").resolved(), set())
    run.close()
    assert checkpoint is None and f"--resume auto found no run called n in {tmp_path}: a new one begins" in caplog.text


@pytest.mark.parametrize("family, options, words", (
    ("yolo3", {"epochs": 1}, "--resume RUN --epochs 1"),
    ("yolo3", {"epochs": 1, "mixup": "beta"}, "--resume RUN --mixup --epochs 1 --keep 7"),
    ("yolo3", {"epochs": 1}, "--resume auto --epochs 1 --momentum 0.9"),
    ("yolo3", {"label_smooth": True}, "--resume RUN --label-smooth"),
    ("faster_rcnn", {}, "--resume RUN --image-short 600 --num-fpn-filters 256"),
    ("faster_rcnn", {"no_pretrained_base": True}, "--resume RUN --no-pretrained-base --epochs 20"),
    ("segmentation", {"model": "unet"}, "--resume RUN --pretrained-base no --lr-mode poly"),
    ("segmentation", {"no_cuda": True, "save_dir": "runs/s"}, "--resume RUN --no-cuda --save-dir runs/s --base-size 520"),
    ("segmentation", {"no_cuda": True}, "--resume RUN --gpus 0"),
    ("yolo3", {"scale_lr": True, "warmup_epochs": 1, "warmup_lr": 0.0015, "batch_size": 128}, "--resume auto --scale-lr"),
    ("yolo3", {"lr_decay_epoch": (0, 5)}, "--resume RUN")))  # as rules of before had it
def test_a_runs_own_flag_is_asked_of_the_run_and_not_of_a_recipe(asked, family, options, words, caplog):
    """Without --dataset the recipe of the embedded set stood below: one epoch left nothing of its warm-up, its anchors fit no
    --image-short 600, and what did nothing with it was warned of."""
    found, folder, given = asked(family, words, **options)
    own = {name: getattr(found, name) for name in given & MAY_CHANGE - {"resume"}}
    expected = dataclasses.replace(read_options(folder), **own)
    assert continued_options(folder, found, given) == expected and not caplog.records


def test_a_file_of_anchors_is_for_the_runs_size(asked, tmp_path, caplog):
    write_anchors(str(tmp_path / "a.json"), np.reshape(np.arange(5, 23), (9, 2)), 64)
    found, folder, _ = asked("yolo3", "--resume RUN --anchors a.json", data_shape=64, anchors="a.json")
    assert found.anchors == read_options(folder).anchors == tuple(range(5, 23)) and not caplog.records


@pytest.mark.parametrize("words, told", (
    ("--resume RUN --epochs 2", "--epochs 2 differs from the run's 1"), ("--resume auto --lr 5", "--lr 5.0 differs"),
    ("--resume RUN --keep 0", "--keep 0 is below 1"), ("--resume RUN --cpus 2 --gpus 0", "are two choices of devices"),
    ("--resume RUN --recipe embedded", "--recipe embedded differs from the run's")))
def test_what_a_run_cannot_have_is_said_to_differ_from_its_own(asked, words, told):
    with pytest.raises(UserError, match=told):
        asked("yolo3", words, epochs=1)


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

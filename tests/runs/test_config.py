"""What a run says of itself: the family and options of today's runs, and of those that version 0.1 wrote."""
import json
import os
import shutil
from pathlib import Path

import pytest

from gluon_bof.commands import evaluate
from gluon_bof.data import class_sets, label_sets, sets
from gluon_bof.errors import UserError
from gluon_bof.options import families
from gluon_bof.options.classifier import ClassifierOptions
from gluon_bof.options.faster_rcnn import FasterRcnnOptions
from gluon_bof.options.training import NAMED_SETS
from gluon_bof.options.yolo3 import Yolo3Options
from gluon_bof.runs.config import is_run, read_config, read_options, require_set, write_config, written_options
from gluon_bof.runs.folder import RunFolder
from gluon_bof.runs.opening import continued_options
from gluon_bof.weights.formats.checkpoint import read_checkpoint, write_checkpoint
from gluon_bof.weights.resolve import resolve
from tests.pages import without_pages
from tests.tiny_sets import CLASSES, write_voc_set

OPTIONS = [Yolo3Options(mixup="beta", random_shapes=(64, 96), anchors=tuple(float(side) for side in range(5, 23))),
           Yolo3Options(network="mobilenet0.25-slim", mixup="even", lr_decay_epoch=(3, 4)),
           FasterRcnnOptions(network="resnet18_v1b", use_fpn=True, mixup="beta", image_short=(64, 96)).resolved(),
           FasterRcnnOptions(network="resnest50", norm_layer="syncbn", use_fpn=True, dataset="coco").resolved(),
           ClassifierOptions(network="resnet18_v1b", mixup="beta"), ClassifierOptions(network="darknet53")]
SMALL = ("--dataset voc --network mobilenet0.25-slim --data-shape 64 --no-random-shape --batch-size 2 --epochs 2 --lr 0.01 "
         "--pretrained-base no -j 0 --log-interval 1 --gpus= --seed 3 --save-interval 0").split()


def as_version_0_1_wrote(config):
    """The same configuration without what version 0.1 did not know."""
    options = {name: value for name, value in config["options"].items() if name != "recipe"}
    if config["family"] == "classifier":
        options.update(start_epoch=0, save_prefix="")
    return {**{key: value for key, value in config.items() if key != "family"}, "options": options}


def make_old(folder):
    """Turn a run's folder into one of version 0.1: its configuration, names of its columns, folders and checkpoints' fields."""
    run = RunFolder(str(folder))
    config = Path(run.config)
    config.write_text(json.dumps(as_version_0_1_wrote(json.loads(config.read_text())), indent=2))
    Path(run.images).rename(folder / "pictures")
    for table in ("metrics", "intervals"):
        path = Path(run.table(table))
        path.write_text(path.read_text().replace("images_per_second", "pictures_per_second"))
    for path in run.checkpoint_paths():
        meta, arrays = read_checkpoint(path)
        meta["losses"] = {"pictures" if key == "images" else key: value for key, value in meta["losses"].items()}
        write_checkpoint(path, arrays, meta)


@pytest.fixture
def moved(tmp_path, monkeypatch):
    """A run on the set `there`, whose path is relative, seen from another folder that has another `there`."""
    for place in ("start/there", "start/run", "elsewhere/there"):
        (tmp_path / place).mkdir(parents=True)
    (tmp_path / "start/names.txt").write_text("cat")
    monkeypatch.chdir(tmp_path / "start")
    write_config("run", Yolo3Options(dataset="there", dataset_root="none", classes="names.txt"))
    assert read_options("run").dataset == "there"
    monkeypatch.chdir(tmp_path / "elsewhere")
    return tmp_path / "start"


def test_a_runs_relative_set_is_not_looked_for_below_another_folder(moved, caplog):
    kept = read_options(str(moved / "run"))
    assert (kept.dataset, kept.dataset_root, kept.classes) == (str(moved / "there"), "none", str(moved / "names.txt"))
    assert resolve(str(moved / "run")).options.dataset == str(moved / "there")
    resolve(str(moved / "run")).require_set()
    assert not caplog.text


def test_a_run_that_was_copied_with_its_project_goes_on_with_the_copy_of_its_set(moved, monkeypatch):
    copy = shutil.copytree(moved, moved.parent / "copy")
    monkeypatch.chdir(copy)
    assert (read_options("run").dataset, read_options("run").classes) == ("there", "names.txt")
    assert continued_options("run", Yolo3Options(dataset="there", classes="names.txt"), {"dataset", "classes"}).dataset == "there"
    os.rmdir("there")
    assert read_options("run").dataset == str(moved / "there")
    assert written_options("run")["dataset"] == "there"


def test_a_set_that_is_gone_is_named_with_the_remedy_and_another_of_its_path_is_not_taken_without_a_word(moved, caplog):
    (moved / "there").rmdir()
    found = resolve(str(moved / "run"))
    found.require_set()
    assert found.options.dataset == "there" and f"was {moved}/there; {os.path.abspath('there')} is taken" in caplog.text
    os.rmdir("there")
    with pytest.raises(UserError, match="start/there: the data set of this run is not there any more; .* --dataset FOLDER"):
        found.require_set()
    with pytest.raises(UserError, match="not there any more; put it back"):
        require_set(str(moved / "run"), "put it back")
    resolve(str(moved / "run"), {"dataset": "new"}).require_set()


def test_names_of_sets_are_no_folders_that_a_run_was_started_in(tmp_path, monkeypatch):
    assert set(NAMED_SETS) == {*sets.NAMES, *label_sets.NAMED, *class_sets.DRAWN, "imagenet", "cifar10"}
    (tmp_path / "voc").mkdir()
    monkeypatch.chdir(tmp_path)
    write_config("", Yolo3Options(dataset="voc"))
    monkeypatch.chdir(tmp_path / "voc")
    assert read_options(str(tmp_path)).dataset == "voc"


@pytest.mark.parametrize("options", OPTIONS, ids=lambda options: f"{type(options).__name__}-{options.network}")
@pytest.mark.parametrize("old", (False, True), ids=("today", "0.1"))
def test_a_runs_family_and_options_come_back(options, old, tmp_path):
    write_config(str(tmp_path), options)
    path = tmp_path / "config.json"
    config = json.loads(path.read_text())
    assert families.by_name(config["family"]).options is type(options) and config["environment"]["versions"]["mxnet"]
    if old:
        path.write_text(json.dumps(as_version_0_1_wrote(config)))
        assert "family" not in json.loads(path.read_text())
    assert read_options(str(tmp_path)) == options
    assert read_config(str(tmp_path))["family"] == config["family"]
    assert is_run(str(tmp_path))


def test_changes_are_read_as_the_configuration_is_and_foreign_ones_refused(tmp_path):
    write_config(str(tmp_path), OPTIONS[0])
    assert read_options(str(tmp_path), random_shapes="96,128", gpus="").random_shapes == (96, 128)
    with pytest.raises(UserError, match="YOLOv3 has no --use-fpn"):
        read_options(str(tmp_path), use_fpn=True)


@pytest.mark.parametrize("content, told", (
    ("{", "cannot be read"), ("[]", "cannot be read"), ('{"options": 3}', "options is no object"),
    ('{"options": {"no_such": 1}}', "unknown fields: no_such"), ('{"options": {"epochs": "many"}}', "epochs cannot be 'many'"),
    ('{"family": "ssd7", "options": {}}', "unknown family 'ssd7'"), ('{"options": {"network": ["a"]}}', "network cannot be")))
def test_a_damaged_configuration_is_refused_by_name(content, told, tmp_path):
    path = tmp_path / "config.json"
    path.write_text(content)
    with pytest.raises(UserError, match=told):
        read_options(str(tmp_path))


def test_files_of_other_programs_are_no_run(tmp_path):
    assert not is_run(str(tmp_path))
    (tmp_path / "config.json").write_text(json.dumps({"model": "something else"}))
    assert not is_run(str(tmp_path))


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """A folder with a finished run "whole", and with "old", the same as version 0.1 left it after its first epoch."""
    import train_yolo3

    path = tmp_path_factory.mktemp("old")
    write_voc_set(path / "set", images=4, validation=2)
    with pytest.MonkeyPatch.context() as patch:
        without_pages(patch)
        train_yolo3.main([*SMALL, "--dataset-root", str(path / "set"), "--runs", str(path / "runs"), "--name", "whole"])
        shutil.copytree(path / "runs" / "whole", path / "runs" / "old")
        make_old(path / "runs" / "old")
        yield path / "runs"


def test_a_run_of_version_0_1_opens_and_is_scored_as_before(runs, capsys):
    found = resolve(str(runs / "old"))
    assert type(found.options) is Yolo3Options and found.classes == CLASSES
    scores = []
    for name in ("whole", "old"):
        assert evaluate.main([str(runs / name), "--last", "-j", "0"]) == 0
        scores.append(json.loads(capsys.readouterr().out.splitlines()[-1])["map"])
    assert scores[0] == scores[1]


def test_a_run_of_version_0_1_goes_on_to_the_bit(runs):
    import train_yolo3

    old, whole = RunFolder(str(runs / "old")), RunFolder(str(runs / "whole"))
    Path(old.checkpoint_paths()[-1]).unlink()
    Path(old.last_weights).unlink()
    train_yolo3.main(["--resume", old.folder])
    assert Path(old.last_weights).read_bytes() == Path(whole.last_weights).read_bytes()
    ours, theirs = ([(row["epoch"], row["iteration"], row["class_loss"], row["map"]) for row in run.rows("metrics")]
                    for run in (old, whole))
    assert ours == theirs and len(ours) == 2
    assert all(float(row["images_per_second"]) > 0 for row in old.rows("metrics"))

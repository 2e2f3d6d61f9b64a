"""Runs begun under names of their own, found again, and gone on with as they were."""
import dataclasses
import json
import os
import shutil
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from gluon_bof.errors import UserError, early_warnings
from gluon_bof.options.faster_rcnn import FasterRcnnOptions
from gluon_bof.options.segmentation import SegmentationOptions
from gluon_bof.options.yolo3 import Yolo3Options
from gluon_bof.runs.config import read_options
from gluon_bof.runs.folder import PLANNED, Run, RunFolder
from gluon_bof.runs.opening import continued_options, create_run, find_run, reopen_run
from gluon_bof.training.entry import _cpus_of
from tests.scripts import ROOT


def created(options):
    """The folder of a new run that was closed again."""
    run = create_run(options)
    run.close()
    return run.folder


def test_what_is_refused_holds_no_lock(options):
    run = create_run(options)
    run.record("metrics", {"epoch": 0, "iteration": 12, "map": 0.25})
    run.record("metrics", {"epoch": 1, "iteration": 24, "map": 0.25})
    run.close()
    with pytest.raises(UserError, match="checkpoints are gone") as kept:
        reopen_run(run.folder, None, options, set())
    Run(run.folder).close()
    assert kept.value


def test_a_run_whose_checkpoints_are_gone_is_not_begun_anew_over_what_it_has(options):
    def left_with(epochs, *weights):
        run = create_run(options)
        for epoch in range(epochs):
            run.record("metrics", {"epoch": epoch, "iteration": epoch + 1})
        for path in weights:
            with open(getattr(run, path), "w") as file:
                file.write("kept")
        run.close()
        return run.folder

    for folder in (left_with(2), left_with(2, "last_weights", "best_weights"), left_with(0, "best_weights")):
        with pytest.raises(UserError, match="checkpoints are gone.*start another run"):
            reopen_run(folder, None, options, set())
    # killed before its first save, in that within the first epoch, and in that after it
    for folder in (left_with(0), left_with(0, "last_weights"), left_with(1, "best_weights", "last_weights")):
        run, _, checkpoint = reopen_run(folder, None, options, set())
        run.close()
        assert checkpoint is None


def test_the_devices_that_are_given_take_the_place_of_the_others(options):
    folder = created(Yolo3Options(**{**vars(options), "cpus": 2}))
    kept = Yolo3Options(**{**vars(options), "gpus": "0"})
    assert (continued_options(folder, kept, {"gpus"}).cpus, continued_options(folder, kept, {"gpus"}).gpus) == (0, "0")
    assert (continued_options(folder, kept, set()).cpus, continued_options(folder, kept, set()).gpus) == (2, options.gpus)
    assert continued_options(folder, Yolo3Options(**{**vars(options), "gpus": ""}), {"gpus"}).cpus == 0  # the CPU as one device


def test_a_run_on_contexts_of_the_cpu_goes_on_with_as_many_before_mxnet_is_imported(options):
    folder = created(Yolo3Options(**{**vars(options), "cpus": 2}))
    resumed = Yolo3Options(**{**vars(options), "resume": folder})
    assert _cpus_of(resumed, {"resume"}) == 2
    assert _cpus_of(resumed, {"resume", "gpus"}) == 0 and _cpus_of(options, set()) == 0
    assert _cpus_of(Yolo3Options(resume="auto", runs=os.path.join(folder, "no runs")), set()) == 0


def test_a_folder_of_other_things_is_refused_and_loses_nothing_and_what_a_killed_start_left_is_taken(options, tmp_path):
    named = Yolo3Options(**{**vars(options), "name": "mine"})
    folder = os.path.join(options.runs, "mine")
    for path in ("thesis.txt", "old/a.params", "images/cat.jpg", "checkpoints/iteration-000000001.ckpt"):
        shutil.rmtree(folder, ignore_errors=True)
        os.makedirs(os.path.dirname(os.path.join(folder, path)))
        with open(os.path.join(folder, path), "w") as file:
            file.write("kept")
        with pytest.raises(UserError, match="no run's folder, and it holds files.*--name") as error:
            create_run(named)
        assert error.value.path == folder and os.path.isfile(os.path.join(folder, path)), path
    shutil.rmtree(folder)
    Run(folder).close()  # killed before its configuration was written
    RunFolder(folder).keep_result(PLANNED, {})
    with open(os.path.join(folder, "config.json.1.part"), "w"):
        pass
    assert created(named) == folder


def test_new_runs_are_numbered_and_a_name_that_is_taken_is_refused(options, tmp_path):
    assert [os.path.basename(created(options)) for _ in range(2)] == ["mobilenet0.25_voc-001", "mobilenet0.25_voc-002"]
    named = Yolo3Options(**{**vars(options), "name": "mine"})
    assert created(named) == os.path.join(options.runs, "mine")
    with pytest.raises(UserError, match="a run of this name is there already.*--resume"):
        create_run(named)
    with pytest.raises(UserError, match="cannot be made.*--runs"):
        create_run(Yolo3Options(runs=os.devnull))


def test_runs_that_begin_at_once_have_numbers_of_their_own(options):
    together = threading.Barrier(4)

    def begin(_):
        together.wait(30)
        return created(options)

    with ThreadPoolExecutor(4) as pool:
        folders = set(pool.map(begin, range(4)))
    assert sorted(map(os.path.basename, folders)) == [f"mobilenet0.25_voc-00{number}" for number in (1, 2, 3, 4)]


def test_auto_means_the_newest_run_or_that_of_the_name(options):
    auto = Yolo3Options(**{**vars(options), "resume": "auto"})
    assert find_run("auto", auto) == (None, None)
    old, new = (created(Yolo3Options(**{**vars(options), "name": name})) for name in ("old", "new"))
    os.utime(RunFolder(old).config, (1, 1))
    os.mkdir(os.path.join(options.runs, "no run"))
    assert find_run("auto", auto) == (new, None)
    assert find_run("auto", Yolo3Options(**{**vars(auto), "name": "old"})) == (old, None)


def test_a_config_json_of_another_program_makes_no_run_and_a_damaged_one_stays_one(options):
    """--resume auto ended at the foreign one, and its name was said to be taken by a run, which then could not be resumed."""
    auto = Yolo3Options(**{**vars(options), "resume": "auto"})
    mine, other = created(Yolo3Options(**{**vars(options), "name": "mine"})), os.path.join(options.runs, "other")
    os.mkdir(other)
    path = Path(other, "config.json")
    path.write_text('{"architectures": ["other"]}')
    os.utime(RunFolder(mine).config, (1, 1))
    assert find_run("auto", auto) == (mine, None)
    with pytest.raises(UserError, match="holds no config.json of a run; give a folder under runs/, a checkpoint"):
        find_run(other, options)
    named = Yolo3Options(**{**vars(options), "name": "other"})
    with pytest.raises(UserError, match="no run's folder, and it holds files"):
        create_run(named)
    for damage in (lambda: path.write_text("{"), lambda: path.symlink_to("/proc/self/mem")):  # which cannot be read
        path.unlink()
        damage()
        assert find_run("auto", Yolo3Options(**{**vars(auto), "name": "other"})) == find_run(other, options) == (other, None)
        with pytest.raises(UserError, match="a run of this name is there already"):
            create_run(named)


def test_auto_goes_by_the_clock_and_says_so_where_it_jumped(options, caplog):
    auto = Yolo3Options(**{**vars(options), "resume": "auto"})
    old, new = (created(Yolo3Options(**{**vars(options), "name": name})) for name in ("old", "new"))
    os.utime(RunFolder(old).config, (1, 1))
    assert find_run("auto", auto) == (new, None) and not caplog.text
    ahead = time.time() + 3600
    os.utime(RunFolder(old).config, (ahead, ahead))
    assert find_run("auto", Yolo3Options(**{**vars(auto), "name": "old"})) == (old, None) and not caplog.text  # no choice
    assert [find_run("auto", auto) for _ in range(2)] == [(old, None)] * 2
    early_warnings()  # forgets what was said
    assert caplog.text.count(f"{old} may not be the newest run; name the one that is meant: --resume FOLDER") == 1


@pytest.mark.parametrize("words, told", (
    (["--resume", "runs/mine"], "runs/mine/lock: Read-only file system; check that the place exists, may be written"),
    (["--dataset", "shapes", "--runs", "runs"], "the run's folder cannot be made (Read-only file system); choose another place")))
def test_a_read_only_folder_is_one_line_and_loses_nothing(words, told, options, tmp_path):
    created(Yolo3Options(**{**vars(options), "name": "mine"}))
    before = {path: path.read_bytes() for path in (tmp_path / "runs").rglob("*") if path.is_file()}
    own = [] if os.geteuid() == 0 else ["--map-root-user"]  # a mount that none but this process sees
    mount = "mount --bind runs runs && mount -o remount,ro,bind runs || exit 77; exec \"$@\""
    try:
        ended = subprocess.run(["unshare", "--mount", *own, "sh", "-c", mount, "sh", sys.executable, str(ROOT / "train_yolo3.py"),
                                *words], cwd=tmp_path, capture_output=True, text=True, check=False)
    except FileNotFoundError:
        pytest.skip("no unshare")
    if ended.returncode == 77 or ended.stderr.startswith("unshare:"):
        pytest.skip("nothing may be mounted here")
    assert ended.returncode == 2 and ended.stdout == ""
    errors = [line for line in ended.stderr.splitlines() if not line.startswith("warning: ")]
    assert len(errors) == 1 and errors[0].startswith("error: ") and told in errors[0]
    assert {path: path.read_bytes() for path in (tmp_path / "runs").rglob("*") if path.is_file()} == before


def test_a_checkpoint_means_its_run_and_itself(options):
    folder = created(options)
    path = RunFolder(folder).checkpoint(12)
    with pytest.raises(UserError, match="no such checkpoint"):
        find_run(path, options)
    for iteration in (12, 120):
        with open(RunFolder(folder).checkpoint(iteration), "w"):
            pass
    assert find_run(path, options) == (os.path.abspath(folder), path)
    run, _, checkpoint = reopen_run(folder, None, options, set())
    run.close()
    assert checkpoint == RunFolder(folder).checkpoint(120)  # the newest, where none was named
    run, _, checkpoint = reopen_run(folder, path, options, set())
    run.close()
    assert checkpoint == path


def test_a_run_goes_on_with_its_own_options_and_those_that_change_no_bit(options):
    folder = created(Yolo3Options(**{**vars(options), "epochs": 7, "keep": 3, "resume": "start.params"}))
    given = Yolo3Options(runs=options.runs, resume=folder, epochs=200, keep=9, num_workers=0, log_interval=5)
    continued = continued_options(folder, given, {"resume", "runs", "keep", "num_workers", "log_interval"})
    assert continued == Yolo3Options(**{**vars(read_options(folder)), "keep": 9, "num_workers": 0, "log_interval": 5})
    assert continued.epochs == 7 and continued.resume == "start.params"
    with pytest.raises(UserError, match="another script trains this run"):
        continued_options(folder, FasterRcnnOptions(resume=folder), {"resume"})


def test_the_weights_of_a_finished_run_alone_are_offered_for_more_epochs(options):
    run = create_run(dataclasses.replace(options, epochs=2))
    run.record("metrics", {"epoch": 0, "iteration": 12})
    Path(run.last_weights).write_bytes(b"")
    longer = dataclasses.replace(options, epochs=200)
    with pytest.raises(UserError, match="--epochs 200 differs from the run's 2; .* leave it out$"):
        continued_options(run.folder, longer, {"epochs"})
    run.record("metrics", {"epoch": 1, "iteration": 24})
    with pytest.raises(UserError, match="leave it out, or start another run under another --name, with its other flags "
                                        "but for its start, .* --resume .*last.params --start-epoch 2 --epochs 200, which has"):
        continued_options(run.folder, longer, {"epochs"})
    os.remove(run.last_weights)
    with pytest.raises(UserError, match="leave it out$"):
        continued_options(run.folder, longer, {"epochs"})
    run.close()


# other values, each of which gives another result
COUNTS = dict(seed=1, batch_size=8, accumulate=2, optimizer="adam", lr=0.5, lr_mode="cosine", momentum=0.1, wd=0.1, no_wd=True,
              ema=0.5, mixup="even", mixup_alpha=1.0, label_smooth_eps=0.1, no_augment=True, data_shape=320, num_samples=5,
              freeze="stem", amp=True, syncbn="per-process", val_interval=2, early_stop=1)


def test_what_changes_the_result_is_refused_to_a_run_that_goes_on(options):
    folder = created(options)
    for name, value in COUNTS.items():
        with pytest.raises(UserError, match="differs from the run's"):
            continued_options(folder, dataclasses.replace(options, **{name: value}), {name})


@pytest.mark.parametrize("where", ({"name": "other"}, {"runs": "elsewhere"}))
def test_a_run_does_not_go_on_under_a_name_or_in_a_place_that_is_not_its_own(options, where):
    """It went on in its own folder, where the flags asked for another run."""
    folder = created(options)
    parent, name = os.path.split(folder)
    own = Yolo3Options(**{**vars(options), "resume": folder, "name": name, "runs": os.path.relpath(parent)})
    assert continued_options(folder, own, {"name", "runs"}) == read_options(folder)
    with pytest.raises(UserError, match="(other|elsewhere) differs from the run's"):
        continued_options(folder, Yolo3Options(**{**vars(own), **where}), {"name", "runs"})


def test_a_flag_that_says_another_is_compared_as_that_one(options):
    """GluonCV's names of a segmenter's run and of its devices were refused, where --name, --runs and --gpus are taken."""
    folder = created(SegmentationOptions(runs=options.runs, dataset="pascal_voc", name="u", gpus="0"))

    def continued(**given):
        asked = SegmentationOptions(dataset="pascal_voc", resume=folder, **given).resolved()
        return continued_options(folder, asked, {"resume", *given})

    assert continued(save_dir=folder).gpus == continued(checkname="u").gpus == "0"
    assert (continued(no_cuda=True).gpus, continued(ngpus=2).gpus) == ("", "0,1")
    for given, told in (({"save_dir": f"{options.runs}/v"}, "--save-dir, so --name v,"),
                        ({"save_dir": "elsewhere/u"}, "--save-dir, so --runs elsewhere,"),
                        ({"checkname": "v"}, "--checkname, so --name v,"), ({"ngpus": -1, "name": "v"}, "--name v")):
        with pytest.raises(UserError, match=f"{told} differs from the run's"):
            continued(**given)
    rcnn = created(FasterRcnnOptions(runs=options.runs, dataset="voc", pretrained_base="no").resolved())
    asked = FasterRcnnOptions(resume=rcnn, no_pretrained_base=True).resolved()
    assert continued_options(rcnn, asked, {"resume", "no_pretrained_base"}).pretrained_base == "no"


def test_other_versions_than_a_run_was_begun_with_are_told_of(options, caplog):
    folder = created(Yolo3Options(**{**vars(options), "dataset": "shapes"}))
    reopen_run(folder, None, options, set())[0].close()
    assert "was begun with" not in caplog.text
    path = RunFolder(folder).config
    config = json.loads(Path(path).read_text())
    config["environment"]["versions"].update({"numpy": "1.0", "mxnet-cu112": "1.8.0"})
    config["environment"]["git_revision"] = "0123"
    Path(path).write_text(json.dumps(config))
    reopen_run(folder, None, options, set())[0].close()
    told = next(line for line in caplog.text.splitlines() if "was begun with" in line)
    assert f"numpy 1.0 (now {np.__version__})" in told and "mxnet-cu112 1.8.0 (now none)" in told
    assert "revision 0123 (now " in told and "gluoncv" not in told.split("was begun")[1]


def test_a_run_goes_on_whose_set_is_written_in_another_way(options, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "set").mkdir()
    own = Yolo3Options(**{**vars(options), "dataset": "set"})
    folder = os.path.abspath(created(own))
    whole = Yolo3Options(**{**vars(own), "dataset": str(tmp_path / "set")})
    assert continued_options(folder, whole, {"dataset"}).dataset == "set"
    (tmp_path / "elsewhere" / "set").mkdir(parents=True)
    monkeypatch.chdir(tmp_path / "elsewhere")
    assert continued_options(folder, whole, {"dataset"}).dataset == str(tmp_path / "set")
    with pytest.raises(UserError, match="--dataset set differs from the run's"):
        continued_options(folder, own, {"dataset"})


@pytest.mark.parametrize("name", ("transfer", "pretrained_base"))
def test_a_run_goes_on_whose_start_is_written_in_another_way(options, tmp_path, monkeypatch, name):
    """--dry-run refused what the training itself, which makes the path whole, does not."""
    monkeypatch.chdir(tmp_path)
    for file in ("a.params", "b.params"):
        (tmp_path / file).write_text("weights")
    own = dataclasses.replace(options, **{name: str(tmp_path / "a.params")})
    folder = created(own)
    assert continued_options(folder, dataclasses.replace(own, **{name: "a.params"}), {name}) == read_options(folder)
    with pytest.raises(UserError, match="b.params differs from the run's"):
        continued_options(folder, dataclasses.replace(own, **{name: "b.params"}), {name})


def test_a_run_of_before_whose_root_was_ignored_beside_a_folder_goes_on_without_it(options, tmp_path):
    (tmp_path / "set").mkdir()
    old = Yolo3Options(**{**vars(options), "dataset": str(tmp_path / "set"), "dataset_root": "elsewhere"})
    folder = created(old)
    assert continued_options(folder, old, set()).dataset_root == ""
    named = Yolo3Options(**{**vars(options), "name": "named", "dataset": "voc", "dataset_root": "there"})
    assert continued_options(created(named), named, set()).dataset_root == "there"

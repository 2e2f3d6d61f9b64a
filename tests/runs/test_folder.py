"""A run's folder: what lies in it under which name, who may write it, what is in its log, and how it is found again."""
import io
import json
import logging
import os
import resource
import shutil
import signal
import struct
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from gluon_bof.data.workers import Workers
from gluon_bof.errors import LOGGER, UserError, early_warnings, user_facing, warn
from gluon_bof.options.faster_rcnn import FasterRcnnOptions
from gluon_bof.options.yolo3 import Yolo3Options
from gluon_bof.runs.config import read_classes, read_options
from gluon_bof.runs.folder import PLANNED, SETS, Run, RunFolder, continued_options, create_run, find_run, reopen_run
from gluon_bof.training.entry import _cpus_of
from tests.scripts import ROOT

HOLDER = "import sys\nfrom gluon_bof.runs.folder import Run\nrun = Run(sys.argv[1])\n" \
         "print('held', flush=True)\nsys.stdin.read()\n"


@pytest.fixture
def options(tmp_path):
    return Yolo3Options(runs=str(tmp_path / "runs"), dataset="voc", network="mobilenet0.25")


@pytest.fixture
def run(tmp_path):
    opened = Run(str(tmp_path / "run"))
    yield opened
    opened.close()


def created(options):
    """The folder of a new run that was closed again."""
    run = create_run(options)
    run.close()
    return run.folder


# tables

def test_rows_are_appended_and_those_after_an_iteration_forgotten(run):
    for iteration in (3, 6, 9):
        run.record("metrics", {"epoch": iteration // 3 - 1, "iteration": iteration, "map": iteration / 10})
    run.record("intervals", {"iteration": 4, "loss": "1"})
    run.forget_after(6, 2)
    assert [row["iteration"] for row in run.rows("metrics")] == ["3", "6"]
    assert run.rows("metrics")[1] == {"epoch": "1", "iteration": "6", "map": "0.6"}
    run.record("metrics", {"epoch": 2, "iteration": 9, "map": 0.5})
    assert [row["map"] for row in run.rows("metrics")] == ["0.3", "0.6", "0.5"]
    run.forget_after(0, 0)
    assert run.rows("metrics") == run.rows("intervals") == [] and run.rows("nothing") == []


def test_the_row_of_an_epoch_that_is_validated_again_is_forgotten(run):
    """Saved while it validated, gone on and killed behind the row: that stood there twice."""
    for table in ("metrics", "intervals"):
        for epoch in (0, 1):
            run.record(table, {"epoch": epoch, "iteration": 3 * epoch + 3, "map": 0.5})
    run.forget_after(6, 1)
    assert [[row["epoch"] for row in run.rows(table)] for table in ("metrics", "intervals")] == [["0"], ["0", "1"]]


def test_checkpoints_of_what_comes_again_are_dropped_with_its_rows(run):
    """Else a run that goes on from an older one and is killed would go on from a newer one, without the rows in between."""
    for iteration in (3, 6, 9):
        with open(run.checkpoint(iteration), "w"):
            pass
    run.forget_after(6, 2)
    assert run.checkpoint_paths() == [run.checkpoint(3), run.checkpoint(6)]
    run.origin = run.checkpoint(6)  # of a set that was larger then
    run.forget_after(2, 0)
    assert run.checkpoint_paths() == [run.checkpoint(6)]


def test_a_row_that_a_kill_tore_is_forgotten_too(run):
    run.record("metrics", {"epoch": 0, "iteration": 3, "map": 0.1})
    for torn in ("1,6", "1,6,0.2", "1,6,0.2,5,0.4\r\n"):  # no third column, perhaps not all of it, another row behind it
        with open(run.table("metrics"), "a") as file:
            file.write(torn)
        run.forget_after(9, 3)
        assert [row["iteration"] for row in run.rows("metrics")] == ["3"]


@pytest.mark.parametrize("torn", ("", "epoch,iter", "epoch,iteration,map", "epoch,iteration,map\r\n",
                                  "epoch,iteration,map\r\n0,3,0.", "epoch,iter0,3,0.5\r\n1,6,0.5\r\n"))
def test_a_table_of_which_no_row_is_whole_begins_anew(run, torn):
    """The next rows stood behind its torn header or first row, and were read into other columns."""
    with open(run.table("metrics"), "w") as file:
        file.write(torn)
    run.forget_after(3, 1)
    run.record("metrics", {"epoch": 1, "iteration": 6, "map": 0.25})
    assert run.rows("metrics") == [{"epoch": "1", "iteration": "6", "map": "0.25"}]


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="no device that is always full")
def test_a_row_on_a_full_disk_names_its_table_and_an_intervals_is_told_once(run, caplog):
    for table in ("metrics", "intervals"):
        os.symlink("/dev/full", run.table(table))
    with pytest.raises(UserError, match="an epoch's row cannot be written .No space left on device.") as error:
        run.record("metrics", {"epoch": 0, "iteration": 3, "map": 0.1})
    assert error.value.path == run.table("metrics")
    for iteration in (1, 2):
        run.record("intervals", {"iteration": iteration, "loss": 2.0})
    assert caplog.text.count("intervals.csv: a row cannot be written") == 1


def test_a_row_that_had_no_room_leaves_nothing_that_the_next_goes_on_with(run):
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (10, before[1]))
    try:
        run.record("intervals", {"iteration": 1, "loss": 2.0})
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, handler)
    run.record("intervals", {"iteration": 2, "loss": 3.0})
    assert run.rows("intervals") == [{"iteration": "2", "loss": "3.0"}]


def test_the_columns_of_version_0_1_have_their_names_of_today(run):
    with open(run.table("metrics"), "w", newline="") as file:
        file.write("epoch,iteration,pictures_per_second,map\r\n0,6,25.9,\r\n1,12,20.5,0.5\r\n")
    assert [row["images_per_second"] for row in run.rows("metrics")] == ["25.9", "20.5"]
    run.forget_after(6, 1)
    run.record("metrics", {"epoch": 1, "iteration": 12, "images_per_second": 30, "map": 0.25})
    assert run.rows("metrics") == [{"epoch": "0", "iteration": "6", "images_per_second": "25.9", "map": ""},
                                   {"epoch": "1", "iteration": "12", "images_per_second": "30", "map": "0.25"}]


# who may write

def test_a_run_that_another_process_trains_is_refused(tmp_path):
    folder = str(tmp_path / "run")
    holder = subprocess.Popen([sys.executable, "-c", HOLDER, folder], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert holder.stdout.readline() == "held\n"
    with pytest.raises(UserError, match="another process is training in this run"):
        Run(folder)
    holder.communicate("")
    Run(folder).close()


def test_a_closed_run_is_free_though_its_data_workers_live_and_hold_its_lock(tmp_path):
    run = Run(str(tmp_path / "run"))
    workers = Workers(1, len)
    assert list(workers.results(["abc"])) == [3]
    run.close()
    Run(run.folder).close()  # as a notebook goes on after Ctrl-C
    assert list(workers.results(["ab"])) == [2]


def test_what_is_refused_holds_no_lock(options):
    run = create_run(options)
    run.record("metrics", {"epoch": 0, "iteration": 12, "map": 0.25})
    run.record("metrics", {"epoch": 1, "iteration": 24, "map": 0.25})
    run.close()
    with pytest.raises(UserError, match="checkpoints are gone") as kept:
        reopen_run(run.folder, None, options, set())
    Run(run.folder).close()
    assert kept.value


def test_a_run_that_made_nothing_frees_its_name_and_one_that_did_stays(options):
    run = create_run(options)
    run.discard_if_unused()
    run.close()
    assert not os.path.exists(run.folder)
    run = create_run(options)
    with open(os.path.join(run.images, "training_images.png"), "w"):
        pass  # drawn before the first batch
    run.keep_result(PLANNED, {})
    run.discard_if_unused()
    run.close()
    assert not os.path.exists(run.folder)
    run = create_run(options)
    with open(run.checkpoint(3), "w"):
        pass
    run.discard_if_unused()
    run.close()
    assert os.path.exists(run.folder)


@pytest.mark.parametrize("is_link", (False, True))
@pytest.mark.parametrize("held", ((), (PLANNED,)), ids=("empty", "planned"))
def test_a_given_folder_or_a_link_to_one_is_left_empty_by_a_run_that_made_nothing(options, tmp_path, is_link, held):
    named = Yolo3Options(**{**vars(options), "name": "mine"})
    place = tmp_path / "runs" / "mine"
    folder = tmp_path / "large" if is_link else place
    folder.mkdir(parents=True)
    if is_link:
        place.parent.mkdir()
        place.symlink_to(folder)
    for result in held:  # a table's plan: its folder is the run's own
        RunFolder(str(place)).keep_result(result, {})
    run = create_run(named)
    run.start_logging()
    run.discard_if_unused()
    run.close()
    assert folder.is_dir() == (is_link or not held) and not any(folder.glob("*"))
    assert place.is_symlink() == is_link


def test_a_run_that_is_reopened_or_has_rows_is_never_discarded(options):
    for table in ("intervals", "metrics", None):
        run = create_run(options)
        if table:
            run.record(table, {"iteration": 1, "loss": 2.0})
        run.close()
        if not table:  # without checkpoints and images, as somebody keeps a finished run
            for path in (run.best_weights, os.path.join(run.folder, "classes.txt")):
                with open(path, "w") as file:
                    file.write("kept")
            run = Run(run.folder)
        run.discard_if_unused()
        run.close()
        assert os.path.exists(run.folder)


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


# log

def test_warnings_of_before_the_run_reach_its_log(options, capsys):
    @user_facing
    def main():
        warn("something before the run")
        run = create_run(options)
        run.start_logging()
        try:
            warn("something within it")
            LOGGER.info("a line")
        finally:
            run.close()
        return run

    with open(main().log, encoding="utf-8") as file:
        lines = file.read().splitlines()
    assert [line.split(" ", 1)[1] for line in lines] == ["something before the run", "something within it", "a line"]
    said = capsys.readouterr().err
    assert said.count("something before the run") == 1 and "warning: something before the run" in said
    assert not LOGGER.handlers


def test_a_closed_run_logs_no_more(options):
    run = create_run(options)
    run.start_logging()
    run.close()
    LOGGER.log(logging.WARNING, "too late")
    with open(run.log, encoding="utf-8") as file:
        assert file.read() == ""


def test_a_programs_own_logging_is_as_it_was_when_a_run_is_closed(options, monkeypatch):
    own = logging.StreamHandler(io.StringIO())
    monkeypatch.setattr(LOGGER, "handlers", [own])
    monkeypatch.setattr(LOGGER, "level", logging.ERROR)
    for propagates in (False, True):
        monkeypatch.setattr(LOGGER, "propagate", propagates)
        run = create_run(options)
        run.start_logging()
        LOGGER.info("a line")
        run.close()
        assert (LOGGER.handlers, LOGGER.level, LOGGER.propagate) == ([own], logging.ERROR, propagates)
    assert own.stream.getvalue() == "a line\n" * 2


# found again

def scalars(folder):
    """[(tag, step, value)] of the TensorBoard files in a folder: records between a length with its checksum and a checksum."""
    from tensorboardX.proto import event_pb2
    found = []
    for path in sorted(folder.iterdir()):
        data = path.read_bytes()
        while data:
            length, = struct.unpack("<Q", data[:8])
            event = event_pb2.Event.FromString(data[12:12 + length])
            found += [(value.tag, event.step, value.simple_value) for value in event.summary.value]
            data = data[16 + length:]
    return found


def test_tensorboard_has_every_number_of_the_tables_at_its_iteration(options):
    pytest.importorskip("tensorboardX")
    run = create_run(options)
    run.start_logging(tensorboard=True)
    run.record("intervals", {"epoch": 0, "iteration": 3, "loss": 2.5})
    run.record("metrics", {"epoch": 0, "iteration": 6, "map": 0.25, "note": ""})
    run.close()
    assert scalars(Path(run.events)) == [("intervals/loss", 3, 2.5), ("metrics/map", 6, 0.25)]
    assert run.rows("metrics")[0]["map"] == "0.25"


def test_tensorboard_that_is_not_installed_is_one_line(options, monkeypatch):
    for name in ("tensorboardX", "tensorboardX.event_file_writer"):  # the second may be there of another test
        monkeypatch.setitem(sys.modules, name, None)
    run = create_run(options)
    with pytest.raises(UserError, match=r"--tensorboard: no event writer is installed; pip install 'gluon_bof\[tensorboard\]'"):
        run.start_logging(tensorboard=True)
    run.close()


def test_auto_means_the_newest_run_or_that_of_the_name(options):
    auto = Yolo3Options(**{**vars(options), "resume": "auto"})
    assert find_run("auto", auto) == (None, None)
    old, new = (created(Yolo3Options(**{**vars(options), "name": name})) for name in ("old", "new"))
    os.utime(RunFolder(old).config, (1, 1))
    os.mkdir(os.path.join(options.runs, "no run"))
    assert find_run("auto", auto) == (new, None)
    assert find_run("auto", Yolo3Options(**{**vars(auto), "name": "old"})) == (old, None)


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
    with pytest.raises(UserError, match="--epochs 200 differs from the run's 7"):
        continued_options(folder, given, {"epochs"})
    with pytest.raises(UserError, match="another script trains this run"):
        continued_options(folder, FasterRcnnOptions(resume=folder), {"resume"})


@pytest.mark.parametrize("where", ({"name": "other"}, {"runs": "elsewhere"}))
def test_a_run_does_not_go_on_under_a_name_or_in_a_place_that_is_not_its_own(options, where):
    """It went on in its own folder, where the flags asked for another run."""
    folder = created(options)
    parent, name = os.path.split(folder)
    own = Yolo3Options(**{**vars(options), "resume": folder, "name": name, "runs": os.path.relpath(parent)})
    assert continued_options(folder, own, {"name", "runs"}) == read_options(folder)
    with pytest.raises(UserError, match="(other|elsewhere) differs from the run's"):
        continued_options(folder, Yolo3Options(**{**vars(own), **where}), {"name", "runs"})


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


# the data that a run goes on with

MARKS = {"train": "a", "val": "b"}


def resumed(options):
    """A run that goes on from a checkpoint, its marks kept before."""
    run = create_run(options)
    run.write_classes(("cat", "dog"))
    run.keep_marks(MARKS)
    run.origin = run.checkpoint(3)
    return run


@pytest.mark.parametrize("others", (("dog", "cat"), ("cat", "dog", "owl"), ("cat",)))
def test_a_run_goes_on_with_its_own_classes_alone_whose_names_stay(options, others):
    """Their file was written anew before the resume was refused, and the run could not be evaluated any more."""
    run = resumed(options)
    with pytest.raises(UserError, match=f"start another run with --transfer {run.folder}$"):
        run.write_classes(others)
    assert read_classes(run.folder) == ["cat", "dog"]
    Path(run.folder, "classes.txt").write_bytes(b"\xef\xbb\xbfcat\r\ndog\r\n")  # saved by an editor
    run.write_classes(("cat", "dog"))
    run.origin = None  # nothing was saved yet: it begins anew
    run.write_classes(others)
    run.close()
    assert read_classes(run.folder) == list(others)


def test_the_first_class_that_differs_is_named(options):
    run = resumed(options)
    with pytest.raises(UserError, match="from class 1 on the set's are owl, dog, and those that this was trained on dog;"):
        run.write_classes(("cat", "owl", "dog"))
    run.close()


def test_a_run_goes_on_with_its_own_training_set_alone_and_another_that_validates_is_told_of(options, caplog):
    run = resumed(options)
    run.keep_marks(MARKS)
    with pytest.raises(UserError, match="the training set is not the one that the run was trained on"):
        run.keep_marks({**MARKS, "train": "other"})
    assert "validated on" not in caplog.text and run.read_result(SETS) == MARKS
    for times in (1, 1):  # the second time it is the same as before
        run.keep_marks({**MARKS, "val": "other"})
        assert caplog.text.count("the validation set is not the one that the run was validated on") == times
    os.unlink(run.result(SETS))
    run.keep_marks({"train": "of a run", "val": "of before"})
    run.close()
    assert run.read_result(SETS) == {"train": "of a run", "val": "of before"}


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


def test_what_a_killed_write_of_weights_left_behind_goes_with_the_next_save(tmp_path):
    run = Run(str(tmp_path / "run"))
    left = [tmp_path / "run" / "last.params.5952.part", tmp_path / "run" / "checkpoints" / "iteration-000000003.ckpt.77.part"]
    for path in left:
        path.write_bytes(b"half")
    (tmp_path / "run" / "last.params").write_bytes(b"whole")
    run.keep_newest(3)
    run.close()
    assert not any(path.exists() for path in left) and (tmp_path / "run" / "last.params").exists()


def test_a_run_of_before_whose_root_was_ignored_beside_a_folder_goes_on_without_it(options, tmp_path):
    (tmp_path / "set").mkdir()
    old = Yolo3Options(**{**vars(options), "dataset": str(tmp_path / "set"), "dataset_root": "elsewhere"})
    folder = created(old)
    assert continued_options(folder, old, set()).dataset_root == ""
    named = Yolo3Options(**{**vars(options), "name": "named", "dataset": "voc", "dataset_root": "there"})
    assert continued_options(created(named), named, set()).dataset_root == "there"

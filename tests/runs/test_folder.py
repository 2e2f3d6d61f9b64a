"""A run's folder: what lies in it under which name, who may write it, and what it keeps of its data."""
import os
import resource
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from gluon_bof.data.workers import Workers
from gluon_bof.errors import UserError
from gluon_bof.files import folder_beside, write_atomically
from gluon_bof.options.yolo3 import Yolo3Options
from gluon_bof.runs.config import read_classes
from gluon_bof.runs.folder import PLANNED, SETS, Run, RunFolder
from gluon_bof.runs.opening import create_run

HOLDER = "import sys\nfrom gluon_bof.runs.folder import Run\nrun = Run(sys.argv[1])\n" \
         "print('held', flush=True)\nsys.stdin.read()\n"


@pytest.fixture
def run(tmp_path):
    opened = Run(str(tmp_path / "run"))
    yield opened
    opened.close()


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


@pytest.mark.parametrize("columns, rows, scores", (
    ("epoch,iteration,map", ("0,3,0.25", "1,6,", "2,9,0.5", "3,12"), {0: 0.25, 2: 0.5}),
    ("epoch,accuracy,localisation", ("0,0.5,0.25", "x,0.5,0.25", "1,0.5,"), {0: 0.25, 1: 0.5}),
    ("epoch,miou", ("0,0.125",), {0: 0.125})))
def test_scores_are_those_of_validated_epochs_and_a_row_that_a_killed_run_left_half_is_none(run, columns, rows, scores):
    Path(run.table("metrics")).write_text("".join(f"{line}\n" for line in (columns, *rows)))
    assert run.scores() == scores


def test_the_row_of_an_epoch_that_is_validated_again_is_forgotten(run):
    """Saved while it validated, gone on and killed behind the row: that stood there twice."""
    for table in ("metrics", "intervals"):
        for epoch in (0, 1):
            run.record(table, {"epoch": epoch, "iteration": 3 * epoch + 3, "map": 0.5})
    run.forget_after(6, 1)
    assert [[row["epoch"] for row in run.rows(table)] for table in ("metrics", "intervals")] == [["0"], ["0", "1"]]


def test_checkpoints_of_what_comes_again_are_dropped_with_its_rows(run, caplog):
    """Else a run that goes on from an older one and is killed would go on from a newer one, without the rows in between."""
    for iteration in (3, 6, 9):
        with open(run.checkpoint(iteration), "w"):
            pass
    run.forget_after(9, 3)
    assert not caplog.records
    run.forget_after(6, 2)
    assert run.checkpoint_paths() == [run.checkpoint(3), run.checkpoint(6)]
    assert "after iteration 6 is dropped, for it comes again; until then last.params" in caplog.text
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


def test_what_a_killed_write_of_weights_left_behind_goes_with_the_next_save(tmp_path):
    run = Run(str(tmp_path / "run"))
    left = [tmp_path / "run" / name for name in ("last.params.5952.part", "best.params.a.host-77.part", "metrics.csv.1-1.part",
                                                 "epoch-0009.params.host-1.t-2.part", "config.json.host-1.part",
                                                 "sets.json.host-1.part", "partition.json.5.part",
                                                 "checkpoints/iteration-000000003.ckpt.host-77.part")]
    for path in left:
        path.write_bytes(b"half")
    (tmp_path / "run" / "last.params").write_bytes(b"whole")
    run.keep_newest(3)
    run.close()
    assert not any(path.exists() for path in left) and (tmp_path / "run" / "last.params").exists()


def test_what_other_commands_have_begun_in_a_runs_folder_ends_no_training_and_stays(tmp_path):
    """An export's folder ended it with an IsADirectoryError, and an evaluation's file went while it was written."""
    run = Run(str(tmp_path / "run"))

    def detections():
        run.keep_newest(3)
        yield b"[]"

    with folder_beside(os.path.join(run.folder, "best.params")) as folder:
        write_atomically(os.path.join(run.folder, "found.json"), detections())
        assert os.path.isdir(folder) and (tmp_path / "run" / "found.json").read_bytes() == b"[]"
    run.close()


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


@pytest.mark.parametrize("content", ["[]", "3", "null", '"train"'])
def test_a_result_that_is_no_object_is_not_whole(tmp_path, content):
    (tmp_path / "sets.json").write_text(content)
    with pytest.raises(UserError, match="sets.json: this result is not whole; remove it"):
        RunFolder(str(tmp_path)).read_result("sets")


def test_a_table_that_is_no_text_is_named(tmp_path):
    (tmp_path / "metrics.csv").write_bytes("epoch,map\n0,0.5\n".encode("utf-16"))
    with pytest.raises(UserError, match="metrics.csv: this is no table of text"):
        RunFolder(str(tmp_path)).scores()

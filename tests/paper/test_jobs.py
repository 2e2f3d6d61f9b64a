"""Trainings and evaluations as processes: what is run, what is kept, and what an error does to the others."""
import dataclasses
import fcntl
import hashlib
import json
import os
import shlex
import signal
import subprocess
import sys
import threading
import time

import pytest

from gluon_bof.errors import UserError
from gluon_bof.options.flags import parse
from gluon_bof.options.recipes import RECIPES
from gluon_bof.options.yolo3 import Yolo3Options
from gluon_bof.paper import jobs
from gluon_bof.runs.config import write_config
from gluon_bof.training.entry import ready
from tests.scripts import ROOT

HOLDER = "import fcntl, sys, time\nlock = open(sys.argv[1], 'w')\nfcntl.flock(lock, fcntl.LOCK_EX)\nprint('held', flush=True)\n" \
         "time.sleep(0.5)\nopen(sys.argv[2], 'w').write('saved')\n"
COUNTS = "import json, pathlib, sys\nfile = pathlib.Path(sys.argv[1])\nfile.write_text(file.read_text() + 'x' if file.exists() " \
         "else 'x')\nprint('a line before')\nprint(json.dumps({'map': 0.5, 'sha256': sys.argv[2]}))\n"


def job_of(folder, **options):
    """A training of YOLOv3 whose run lies in a folder."""
    return jobs.Training("yolo3", (), Yolo3Options(runs=str(folder), name="run", **options))


def with_run(job):
    """The job, whose folder holds a run with its options."""
    os.makedirs(job.run.folder)
    write_config(job.run.folder, job.options)
    return job


# side by side

@pytest.fixture
def seen():
    """Ctrl-C as a shell hands it on (to what it starts in the background it says to ignore it): set when Python has seen it."""
    seen = threading.Event()

    def interrupt(*_):
        seen.set()
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGINT, interrupt)
    yield seen
    signal.signal(signal.SIGINT, before)


def test_lists_run_in_their_order_and_side_by_side():
    done, meet = [], threading.Barrier(2, timeout=30)  # broken unless both lists are under way at once
    jobs.run_in_parallel([[lambda: meet.wait(), lambda: done.append("a1"), lambda: done.append("a2")],
                          [lambda: meet.wait(), lambda: done.append("b1")]])
    assert sorted(done) == ["a1", "a2", "b1"] and done.index("a1") < done.index("a2")


@pytest.mark.parametrize("error", (UserError("no"), KeyboardInterrupt("stop"), ValueError("wrong")), ids=repr)
def test_after_an_error_nothing_further_starts_and_what_runs_is_awaited(error):
    failed, works, done = threading.Event(), threading.Event(), []

    def fail():
        assert works.wait(30)
        failed.set()
        raise error

    def work():
        works.set()
        assert failed.wait(30)
        time.sleep(0.1)
        done.append("first")

    with pytest.raises(type(error)) as raised:
        jobs.run_in_parallel([[fail, lambda: done.append("never")], [work, lambda: done.append("never either")]])
    assert raised.value is error and done == ["first"]


def test_ctrl_c_starts_nothing_further_and_what_runs_is_awaited(seen):
    both, done = threading.Barrier(2, timeout=30), []

    def save_and_end(name):
        assert seen.wait(30)
        time.sleep(0.5)
        done.append(name)

    def interrupt():
        both.wait()
        time.sleep(0.5)  # the main thread waits by now; where it came in the instant before, that would sleep on
        os.kill(os.getpid(), signal.SIGINT)
        while not seen.wait(3):
            os.kill(os.getpid(), signal.SIGINT)
        save_and_end("first")

    def go_on():
        both.wait()
        save_and_end("second")

    shared = iter([interrupt, go_on, lambda: done.append("never")])
    with pytest.raises(KeyboardInterrupt):
        jobs.run_in_parallel([shared, shared])
    assert sorted(done) == ["first", "second"]


def test_a_command_that_ctrl_c_ended_is_no_failure():
    with pytest.raises(KeyboardInterrupt):
        jobs.run([sys.executable, "-c", "raise SystemExit(130)"], {})


def test_an_error_of_a_single_list_is_raised_at_once():
    done = []
    with pytest.raises(ZeroDivisionError):
        jobs.run_in_parallel([[lambda: 1 / 0, lambda: done.append("never")]])
    assert not done


# runs that are there already

def test_a_run_that_a_process_still_holds_is_waited_for(tmp_path):
    job = with_run(job_of(tmp_path))
    saved = tmp_path / "saved"
    holder = subprocess.Popen([sys.executable, "-c", HOLDER, job.run.lock, str(saved)], stdout=subprocess.PIPE, text=True)
    assert holder.stdout.readline() == "held\n"
    job.run.wait_until_free()
    assert saved.read_text() == "saved"
    holder.communicate()
    with open(job.run.lock) as lock:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)  # and it is not held by who waited


def test_a_run_that_was_killed_before_it_took_its_lock_is_free(tmp_path):
    with_run(job_of(tmp_path)).run.wait_until_free()


@pytest.mark.parametrize("change, words", (({"epochs": 9}, "--epochs 200 and not 9"),
                                           ({"mixup": "beta"}, "--mixup False and not True"),
                                           ({"random_shapes": (64, 96)}, "--random-shapes 320,608 and not 64,96")))
def test_a_run_of_other_settings_is_refused_by_the_flag(tmp_path, change, words):
    with_run(job_of(tmp_path))
    with pytest.raises(UserError) as refusal:
        jobs.refuse_other_settings(job_of(tmp_path, **change))
    assert words in str(refusal.value) and str(tmp_path / "run") in str(refusal.value)


@pytest.mark.parametrize("change", ({"num_workers": 9}, {"gpus": "0,1"}, {"keep": 7}, {"recipe": "embedded"}))
def test_what_changes_no_result_may_differ(tmp_path, change):
    with_run(job_of(tmp_path))
    jobs.refuse_other_settings(job_of(tmp_path, **change))


@pytest.mark.parametrize("kept, again", (("{}/bb.params", "bb.params"), ("{}/start/last.params", "start/last.params"),
                                         ("{}/start", "start/"), ("/elsewhere/start/last.params", "start/last.params")))
def test_a_start_is_the_same_however_its_path_is_written(tmp_path, monkeypatch, kept, again):
    """A run keeps the whole path, so the same command with a relative one was refused."""
    monkeypatch.chdir(tmp_path)
    with_run(job_of(tmp_path, transfer=kept.format(tmp_path)))
    jobs.refuse_other_settings(job_of(tmp_path, transfer=again))
    for other in ("other.params", "other/last.params", "."):
        with pytest.raises(UserError, match="the run there has --transfer .* and not"):
            jobs.refuse_other_settings(job_of(tmp_path, transfer=other))
    with pytest.raises(UserError, match="--transfer"):
        jobs.refuse_other_settings(job_of(tmp_path))


def test_a_file_beside_a_run_is_another_start_in_a_folder_of_the_same_name(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with_run(job_of(tmp_path, transfer=f"/another/{tmp_path.name}/bb.params"))
    with pytest.raises(UserError, match="--transfer"):
        jobs.refuse_other_settings(job_of(tmp_path, transfer="bb.params"))


def test_a_file_of_other_bytes_is_another_start_though_it_lies_in_a_folder_of_the_same_name(tmp_path):
    for place, content in (("a", "one"), ("b", "two"), ("c", "one")):
        (tmp_path / place / "start").mkdir(parents=True)
        (tmp_path / place / "start" / "last.params").write_text(content)
    with_run(job_of(tmp_path, transfer=f"{tmp_path}/a/start/last.params"))
    jobs.refuse_other_settings(job_of(tmp_path, transfer=f"{tmp_path}/c/start/last.params"))
    with pytest.raises(UserError, match="--transfer"):
        jobs.refuse_other_settings(job_of(tmp_path, transfer=f"{tmp_path}/b/start/last.params"))


def test_a_training_whose_result_is_kept_is_not_run_again(tmp_path):
    job = with_run(job_of(tmp_path))
    job.run.keep_result(jobs.TRAINING, {"map": 0.25})
    assert jobs.train(job, {}) == {"map": 0.25}
    with pytest.raises(UserError, match="--epochs"):
        jobs.train(job_of(tmp_path, epochs=3), {})


class Resumed(jobs.Training):
    """A training whose run goes on by a short program, which leaves the weights "end"."""

    def resuming_command(self):
        return [sys.executable, "-c", "import sys\nopen(sys.argv[1], 'w').write('end')\nprint('{\"map\": 0.5}')",
                self.run.last_weights]


def test_a_finished_run_that_was_set_back_goes_on_and_its_unfinished_weights_are_not_taken(tmp_path):
    """Somebody has resumed an older checkpoint, and stopped."""
    job = with_run(Resumed(*job_of(tmp_path)))
    assert jobs.train(job, {}) == {"map": 0.5}
    job.run.keep_result(jobs.TRAINING, {**job.run.read_result(jobs.TRAINING), "map": 0.25})
    assert jobs.train(job, {})["map"] == 0.25  # its result is kept: it has not gone on
    with open(job.run.last_weights, "w") as file:
        file.write("middle")
    assert jobs.train(job, {}) == {"map": 0.5}
    with open(job.run.last_weights) as file:
        assert file.read() == "end"
    os.remove(job.run.last_weights)
    assert jobs.train(job, {})["map"] == 0.5  # whoever needs the weights says that they have gone


def test_an_evaluation_is_made_once_for_the_same_weights_and_words_and_anew_for_others(tmp_path):
    job = with_run(job_of(tmp_path))
    counter = tmp_path / "counter"

    def evaluate(content, *more):
        with open(job.run.last_weights, "wb") as file:
            file.write(content)
        words = [sys.executable, "-c", COUNTS, str(counter), hashlib.sha256(content).hexdigest(), *more]
        return jobs.evaluate(job, words, "evaluation", {"A": "b c"})

    first = evaluate(b"weights")
    assert first["map"] == 0.5 and first["command"].startswith("A='b c' ")
    assert evaluate(b"weights") == first and counter.read_text() == "x"
    assert evaluate(b"others")["sha256"] != first["sha256"] and counter.read_text() == "xx"
    assert evaluate(b"others", "--nms-thresh=0.5")["command"].endswith("--nms-thresh=0.5") and counter.read_text() == "xxx"


# commands

def test_a_command_gives_its_last_line_and_gets_the_environment():
    program = "import json, os; print('a line before'); print(json.dumps([os.environ['TOLD'], 1]))"
    assert jobs.run([sys.executable, "-c", program], {"TOLD": "b"}) == ["b", 1]


@pytest.mark.parametrize("code, told", (
    ("import sys; print('error: no such set', file=sys.stderr); sys.exit(2)", "a command failed: error: no such set"),
    ("import sys; sys.exit(7)", "a command failed: it ended with status 7"),
    ("print('no JSON')", "a command gave no result"), ("pass", "a command gave no result")))
def test_a_command_that_fails_is_named_with_what_it_said(code, told):
    with pytest.raises(UserError) as refusal:
        jobs.run([sys.executable, "-c", code], {"A": "1"}, quiet=True)
    assert told in str(refusal.value) and "try it by itself" in str(refusal.value)
    assert "A=1" in str(refusal.value) and shlex.quote(code)[:20] in str(refusal.value)


def test_a_line_is_what_a_shell_reads_back():
    words = [sys.executable, "-c", "import os, sys; print(os.environ['A'], sys.argv[1:])", "two words", "it's", "$HOME", "*"]
    said = subprocess.run(jobs.line(words, {"A": "x y"}), shell=True, capture_output=True, text=True, check=True)
    assert said.stdout == "x y ['two words', \"it's\", '$HOME', '*']\n"


@pytest.mark.parametrize("name", ("yolo3/embedded", "faster_rcnn/small-dataset", "table-2/mixup@small", "table-6/backbone-mixup"))
def test_a_training_is_its_recipe_with_what_stands_on_top(name):
    recipe = RECIPES[name]
    job = jobs.training(recipe, ["--epochs", "77"], runs="here", name="it", seed=5, num_workers=0)
    assert job.options == job.options.__class__(**{**vars(recipe.options), "recipe": recipe.name, "epochs": 77, "runs": "here",
                                                   "name": "it", "seed": 5, "num_workers": 0}).resolved()
    assert job.run.folder == os.path.join("here", "it") and list(job.words[:2]) == ["--recipe", recipe.name]
    assert job.resuming_command()[-2:] == ["--gpus", recipe.options.gpus] or recipe.options.gpus is None


@pytest.mark.parametrize("recipe, anchors", (("yolo3/small-dataset", {"anchors": tuple(range(10, 28))}),
                                             ("faster_rcnn/small-dataset", {"anchor_scales": (1, 2, 3, 4, 5)})))
def test_a_run_with_the_anchors_of_its_start_is_gone_on_with(tmp_path, recipe, anchors):
    """It was refused, as the recipe's are others."""
    start, recipe = tmp_path / "start", RECIPES[recipe]
    start.mkdir()
    write_config(str(start), dataclasses.replace(recipe.options, **anchors).resolved())
    job = jobs.training(recipe, ["--dataset", "voc", "--transfer", str(start)], runs=str(tmp_path), name="run")
    parsed = parse(type(recipe.options), job.words, "", RECIPES.of_family(job.family))
    os.makedirs(job.run.folder)
    write_config(job.run.folder, ready(parsed.options, parsed.given))
    jobs.refuse_other_settings(job)
    assert vars(job.options).items() >= anchors.items()


def test_a_family_is_trained_by_its_script_where_it_lies_and_else_by_the_installed_one(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert jobs.script_words("faster_rcnn")[1:] == ["-m", "gluon_bof", "train", "faster_rcnn"]
    script = tmp_path / "train_faster_rcnn.py"
    script.write_text("")  # GluonCV's has this name
    assert jobs.script_words("faster_rcnn")[1:] == ["-m", "gluon_bof", "train", "faster_rcnn"]
    script.unlink()
    script.symlink_to(ROOT / script.name)
    assert jobs.script_words("faster_rcnn")[1:] == ["train_faster_rcnn.py"]
    assert jobs.script_words("classifier")[1:] == ["-m", "gluon_bof", "pretrain"]


def test_a_kept_result_that_is_not_whole_is_refused_by_name(tmp_path):
    job = with_run(job_of(tmp_path))
    with open(job.run.result("training"), "w") as file:
        file.write(json.dumps({"map": 1})[:-3])
    with pytest.raises(UserError, match="training.json.*not whole"):
        jobs.train(job, {})

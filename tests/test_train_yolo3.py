"""The script as a user runs it, on a small real set: what it leaves, how it stops, and that it goes on to the bit."""
import contextlib
import csv
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

import train_yolo3
from gluon_bof.options.yolo3 import Yolo3Options
from gluon_bof.runs.folder import checkpoints
from gluon_bof.weights.formats import params as params_format
from gluon_bof.weights.formats.checkpoint import read_checkpoint
from tests.pages import without_pages
from tests.scripts import ROOT, Script, after_rows, in_the_middle_of_a_checkpoint, parameters, wait_for
from tests.tiny_sets import write_voc_set

SMALL = ("--dataset voc --network darknet-mini --data-shape 64 --random-shapes 64,96 --random-shape-interval 2 "
         "--batch-size 4 --epochs 3 --lr 0.001 --lr-mode cosine --warmup-epochs 1 --mixup --no-mixup-epochs 1 "
         "--label-smooth-eps 0.1 --pretrained-base no -j 1 --log-interval 2 --seed 3 --no-wd --syncbn")
SCRIPT = Script("train_yolo3.py", SMALL)
run, start, refused, training, kill_and_resume = (SCRIPT.run, SCRIPT.start, SCRIPT.refused, SCRIPT.training,
                                                   SCRIPT.kill_and_resume)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A folder with a set and a run that nobody interrupted."""
    return SCRIPT.folder_of_a_run(tmp_path_factory.mktemp("work"), 16)


def test_the_last_line_is_the_outcome_and_the_folder_is_complete(folder):
    outcome = json.loads((folder / "outcome.json").read_text())
    assert outcome["run"] == "runs/whole" and 0 <= outcome["map"] <= 1 and outcome["iterations"] == 12
    place = folder / "runs" / "whole"
    for name in ("config.json", "log.txt", "metrics.csv", "intervals.csv", "last.params", "best.params", "classes.txt",
                 "images/learning_rate_and_losses.png", "images/validation_map.png",
                 "images/training_images.png", "images/validation_images.png"):
        assert (place / name).stat().st_size > 0, name
    assert sorted(outcome["images"]) == sorted(f"runs/whole/images/{p.name}" for p in (place / "images").iterdir())
    configuration = json.loads((place / "config.json").read_text())
    assert configuration["options"]["epochs"] == 3 and configuration["environment"]["versions"]["mxnet"] == "1.9.1"
    assert len(checkpoints(str(place / "checkpoints"))) == 3
    rows = (place / "metrics.csv").read_text().splitlines()
    assert len(rows) == 4 and rows[0].startswith("epoch,iteration,learning_rate,objectness_loss")
    assert (place / "classes.txt").read_text().split() == ["blue", "green", "red"]


@pytest.mark.parametrize("workers", ("3", pytest.param("0", marks=pytest.mark.slow)))
def test_neither_the_workers_number_nor_a_validation_on_the_way_changes_a_bit(folder, workers, monkeypatch):
    without_pages(monkeypatch)
    SCRIPT.here(folder, *training(folder, f"workers-{workers}"), "-j", workers, "--val-interval", "1000")
    assert parameters(folder, f"workers-{workers}") == parameters(folder, "whole")


@pytest.mark.slow
def test_killed_while_it_writes_a_checkpoint_it_goes_on_to_the_bit(folder):
    kill_and_resume(folder, "killed-writing", in_the_middle_of_a_checkpoint(1))


@pytest.mark.slow  # tests/contracts.py kills later ones, tests/runs/ what a start leaves
def test_killed_before_its_first_checkpoint_it_goes_on_to_the_bit(folder):
    kill_and_resume(folder, "killed-early", lambda place: (place / "config.json").exists())


@pytest.mark.slow
@pytest.mark.parametrize("moment", range(5))
def test_killed_at_random_moments_it_goes_on_to_the_bit(folder, moment):
    rng = random.Random(moment)
    pause, conditions = rng.uniform(0, 1.5), (after_rows("intervals", rng.randint(1, 5)), in_the_middle_of_a_checkpoint(0),
                                              after_rows("metrics", rng.randint(1, 2)))
    condition, seen = rng.choice(conditions), []

    def later(place):
        if not seen and condition(place):
            seen.append(time.time())
        return bool(seen) and (time.time() > seen[0] + pause * 0.3)
    kill_and_resume(folder, f"killed-{moment}", later)


@pytest.mark.slow
def test_killed_a_hundred_times_it_ends_at_the_bits_of_a_run_never_killed(folder):
    """Every life is as long as chance has it: in the imports, in a batch, in a validation, in a write."""
    long = ["--epochs", "400", "--val-interval", "20", "--log-interval", "0"]
    assert run(folder, *training(folder, "never-killed"), *long, seconds=3600).returncode == 0
    began = time.monotonic()
    assert run(folder, "--resume", "runs/never-killed").returncode == 0  # which has nothing left to do
    starting, rng, words = time.monotonic() - began, random.Random(100), [*training(folder, "killed-often"), *long]
    for _ in range(100):
        with start(folder, *words) as process, contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(starting * rng.uniform(0.3, 2))
            break  # it has come to its end
        if (folder / "runs" / "killed-often" / "config.json").exists():
            words = ["--resume", "runs/killed-often"]
    else:
        assert run(folder, *words, seconds=3600).returncode == 0
    assert parameters(folder, "killed-often") == parameters(folder, "never-killed")


@pytest.mark.slow  # tests/training/test_engine.py stops and goes on to the bit, test_stops.py sends signals to the script
@pytest.mark.parametrize("number", (signal.SIGTERM, signal.SIGINT))
def test_asked_to_stop_it_saves_and_says_how_to_go_on(folder, number):
    name = f"stopped-{int(number)}"
    with start(folder, *training(folder, name)) as process:
        wait_for(process, lambda: after_rows("intervals", 1)(folder / "runs" / name))
        process.send_signal(number)
        _, errors = process.communicate(timeout=60)
    assert process.returncode == 128 + number
    assert f"--resume runs/{name}" in errors and "Traceback" not in errors
    resumed = run(folder, "--resume", f"runs/{name}")
    assert resumed.returncode == 0, resumed.stderr
    assert parameters(folder, name) == parameters(folder, "whole")


@pytest.mark.slow
def test_a_finished_run_resumed_says_its_outcome_again(folder):
    again = run(folder, "--resume", "runs/whole", "--report")
    assert again.returncode == 0, again.stderr
    outcome, before = json.loads(again.stdout.splitlines()[-1]), json.loads((folder / "outcome.json").read_text())
    assert outcome["map"] == before["map"]
    reported = json.loads((folder / "runs/whole/report.json").read_text())
    assert reported["map"] == before["map"] and len(reported["training"]) == before["epochs"]


def test_a_resumed_run_keeps_its_configuration(folder):
    assert "--epochs 9" in refused(folder, "--dataset", "voc", "--resume", "runs/whole", "--epochs", "9")


def test_a_torn_checkpoint_is_refused_by_name_and_the_one_before_it_offered(folder, monkeypatch):
    name = "torn"
    shutil.copytree(folder / "runs" / "whole", folder / "runs" / name)
    older, newest = checkpoints(str(folder / "runs" / name / "checkpoints"))[-2:]
    os.truncate(newest, os.path.getsize(newest) - 100)
    message = refused(folder, "--resume", f"runs/{name}", "-j", "0")
    assert os.path.basename(newest) in message and os.path.basename(older) in message
    offered = message.split("--resume ")[1].split()[0]
    without_pages(monkeypatch)
    SCRIPT.here(folder, "--resume", offered, "-j", "0")
    assert parameters(folder, name) == parameters(folder, "whole")
    read_checkpoint(newest)  # the torn one has been written again


def test_places_that_hold_no_run_are_refused(folder):
    assert "config.json" in refused(folder, "--resume", "runs/nothing")
    assert "config.json" in refused(folder, "--resume", "set")
    assert "a run of this name is there already" in refused(folder, *training(folder, "whole"))


def test_a_loss_that_is_not_finite_stops_the_run_and_keeps_the_checkpoint(folder):
    words = list(training(folder, "infinite"))
    message = refused(folder, *words, "--lr", "1e30", "--warmup-epochs", "0", "--init", "gluoncv", "-j", "0")
    assert "loss became" in message and "epoch" in message and "batch" in message and "learning rate" in message


@pytest.mark.slow  # tests/contracts.py starts every family from weights alone
def test_weights_that_are_started_from_are_those_of_the_file(folder):
    still = ["--lr", "1e-30", "--wd", "0", "--warmup-epochs", "0"]  # steps that are too small to be seen
    words = [*training(folder, "still"), "--resume", "runs/whole/last.params", "--start-epoch", "2", *still]
    finished = run(folder, *words)
    assert finished.returncode == 0, finished.stderr
    started, whole = (params_format.loads(parameters(folder, name)) for name in ("still", "whole"))
    learning = [name for name in whole if "running_" not in name]  # which moves with every batch
    assert len(learning) > 100
    for name in learning:
        np.testing.assert_allclose(started[name], whole[name], rtol=0, atol=1e-20, err_msg=name)


@pytest.mark.parametrize("damage", ("missing", "cut", "foreign", "other"))
def test_unfit_weights_are_refused_by_name(folder, damage, tmp_path):
    path = tmp_path / "bad.params"
    whole = parameters(folder, "whole")
    arrays = params_format.loads(whole)
    if damage == "cut":
        path.write_bytes(whole[:1000])
    elif damage == "foreign":
        path.write_bytes(b"\x80\x04pickle")
    elif damage == "other":
        path.write_bytes(params_format.dumps({"x.weight": np.zeros((2, 2), np.float32),
                                              **dict(list(arrays.items())[3:])}))
    message = refused(folder, *training(folder, f"bad-{damage}"), "-j", "0", "--resume", str(path))
    assert str(path) in message


def test_evaluate_agrees_with_the_run_and_prints_one_object(folder):
    answer = subprocess.run([sys.executable, "-m", "gluon_bof", "evaluate", str(folder / "runs/whole"), "--last", "-j",
                             "0"], cwd=ROOT, capture_output=True, text=True)
    assert answer.returncode == 0, answer.stderr
    lines = answer.stdout.splitlines()
    assert len(lines) == 1
    outcome = json.loads(lines[0])
    assert outcome["map"] == json.loads((folder / "outcome.json").read_text())["map"]
    assert outcome["images"] == 4 and set(outcome["per_class"]) == {"blue", "green", "red"}


def test_a_run_that_could_not_begin_leaves_its_name_free(folder):
    refused(folder, "--dataset", "nowhere", "--name", "free")
    assert not (folder / "runs" / "free").exists()


def test_a_broken_image_stops_the_script_with_one_line(folder, tmp_path):
    write_voc_set(tmp_path / "set", images=6, validation=2)
    broken = tmp_path / "set" / "VOC2007" / "JPEGImages" / "000002.jpg"
    broken.write_bytes(broken.read_bytes()[:900])
    words = training(tmp_path, "broken")
    assert str(broken) in refused(folder, *words)


@pytest.mark.parametrize("ways, classes, is_told", (({"label_smooth_eps": 0.1}, 1, True), ({"label_smooth_eps": 0.1}, 2, False),
                                                    ({"label_smooth": True}, 1, False), ({}, 1, False)))
def test_smoothing_that_changes_no_target_is_told(ways, classes, is_told, caplog):
    smoothing = train_yolo3.class_smoothing(Yolo3Options(**ways), classes)
    assert ("--label-smooth-eps 0.1 does nothing with one class" in caplog.text) is is_told
    assert (smoothing.positive < 1) is (bool(ways) and not is_told)


@pytest.mark.slow  # tests/contracts.py transfers and freezes, in one process
def test_fine_tuning_keeps_what_is_frozen_and_the_run_keeps_its_anchors(folder):
    sides = [float(side) for side in range(5, 23)]
    (folder / "anchors.json").write_text(json.dumps(np.reshape(sides, (9, 2)).tolist()))
    (folder / "two.txt").write_text("red\ngreen\n")
    words = [*training(folder, "tuned"), "--epochs", "2", "--transfer", "runs/whole", "--freeze", "all-but-head",
             "--anchors", "anchors.json", "--classes", "two.txt", "--on-bad-sample", "skip"]
    finished = run(folder, *words)
    assert finished.returncode == 0, finished.stderr
    assert "classes kept: red, green; left out: blue" in finished.stderr
    place = folder / "runs" / "tuned"
    configuration = json.loads((place / "config.json").read_text())
    assert [float(side) for side in configuration["options"]["anchors"].split(",")] == sides
    source, tuned = (params_format.loads(path.read_bytes())
                     for path in (folder / "runs" / "whole" / "best.params", place / "last.params"))
    assert np.ravel([tuned[f"yolo_outputs.{level}.anchors"] for level in (2, 1, 0)]).tolist() == sides
    heads = {name for name in tuned if ".prediction." in name}
    assert heads and all((tuned[name] == source[name]).all() for name in tuned.keys() - heads if "anchors" not in name)
    assert all(tuned[name].shape[0] == 3 * (5 + 2) for name in heads)
    again = run(folder, "--resume", "runs/tuned", "--anchors", "anchors.json")
    assert again.returncode == 0, again.stderr


@pytest.mark.slow
def test_auto_without_a_run_starts_as_the_flags_say_and_the_source_may_go_afterwards(folder, tmp_path):
    source = tmp_path / "source"
    shutil.copytree(folder / "runs" / "whole", source)
    # auto finds no run of this name
    words = [*training(folder, "begun"), "--epochs", "2", "--transfer", str(source), "--resume", "auto"]
    with start(folder, *words) as process:
        wait_for(process, lambda: checkpoints(str(folder / "runs" / "begun" / "checkpoints")))
    assert "classes kept: blue, green, red" in (folder / "runs" / "begun" / "log.txt").read_text()
    shutil.rmtree(source)
    finished = run(folder, "--resume", "runs/begun")
    assert finished.returncode == 0, finished.stderr


def test_a_transfer_from_another_network_is_refused(folder):
    words = [*training(folder, "foreign"), "-j", "0"]
    message = refused(folder, *words, "--transfer", "runs/whole", "--network", "mobilenet1.0")
    assert "best.params" in message and "give --network darknet-mini" in message


@pytest.mark.slow
def test_random_shapes_and_validation_do_not_grow_the_memory(tmp_path):
    write_voc_set(tmp_path / "set", images=16, validation=4)
    finished = run(tmp_path, "--dataset", "voc", "--dataset-root", str(tmp_path / "set"), "--network", "mobilenet0.25",
                   "--pretrained-base", "no", "--data-shape", "320", "--random-shapes", "160,352", "--batch-size", "4",
                   "--num-samples", "240", "--epochs", "5", "--mixup", "--log-interval", "60", "--name", "shapes", seconds=1800)
    assert finished.returncode == 0, finished.stderr
    with open(tmp_path / "runs" / "shapes" / "intervals.csv", newline="") as file:
        most = [int(row["memory_mb"]) for row in csv.DictReader(file)]
    assert len(most) == 5 and most[-1] <= 1.1 * most[0]

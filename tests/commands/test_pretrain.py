"""gluon-bof pretrain: a real run learns, and killed and resumed it ends in the same bits."""
import json
import shutil
import subprocess
import sys

import numpy as np
import pytest

from gluon_bof.commands import minibatch, pretrain
from gluon_bof.weights.formats import params as params_format
from tests.command_lines import refused
from tests.data.test_localisation import write_objects
from tests.scripts import PIPES, ROOT, after_rows, parameters, started, wait_for
from tests.tiny_sets import write_class_folders

PRETRAIN = [sys.executable, "-m", "gluon_bof", "pretrain"]


def words(folder, name):
    return [*PRETRAIN, *f"--dataset {folder}/set --data-shape 32 --batch-size 4 --epochs 12 --lr 0.02 --mixup "
            f"--no-mixup-epochs 2 --least-area 0.5 --runs {folder}/runs --name {name} -j 1 --log-interval 1 --seed 5".split()]


def outcome_of(command):
    """What a pre-training says last."""
    answer = subprocess.run(command, cwd=ROOT, timeout=1200, **PIPES)
    assert answer.returncode == 0, answer.stderr
    return json.loads(answer.stdout.splitlines()[-1])


def killed_and_resumed(folder, *more):
    """(outcome of a run that nobody stopped, of one that was killed and went on, the weights in which both end)."""
    whole, killed = outcome_of([*words(folder, "whole"), *more]), folder / "runs" / "killed"
    with started([*words(folder, "killed"), *more], cwd=ROOT) as process:
        wait_for(process, lambda: after_rows("metrics", 2)(killed))
        process.kill()
        process.wait()
    resumed = outcome_of([*PRETRAIN, "--resume", str(killed)])
    assert parameters(folder, "whole") == parameters(folder, "killed")
    return whole, resumed, params_format.loads(parameters(folder, "killed"))


@pytest.mark.slow
def test_pre_training_learns_to_tell_the_embedded_sets_shapes(tmp_path):
    told = outcome_of([*PRETRAIN, *f"--runs {tmp_path} --epochs 5 --num-samples 2000 -j 1".split()])
    assert told["accuracy"] > 0.75  # 0.25 is chance


@pytest.mark.slow
def test_a_killed_pre_training_goes_on_to_the_bit(tmp_path):
    write_class_folders(tmp_path / "set", np.random.default_rng(0))
    outcome, _, weights = killed_and_resumed(tmp_path)
    assert 0 <= outcome["accuracy"] <= 1 and outcome["iterations"] == 72 and "features.0.weight" in weights
    assert len((tmp_path / "runs" / "killed" / "metrics.csv").read_text().splitlines()) == 13
    assert not list((tmp_path / "runs" / "killed").rglob("*.part"))


@pytest.mark.slow
def test_a_stopped_localisation_goes_on_to_the_bit_and_draws_its_boxes(tmp_path):
    write_objects(tmp_path / "set", np.random.default_rng(0))
    outcome, again, weights = killed_and_resumed(tmp_path, "--localise", "--box-weight", "5", "--epochs", "8")
    assert {"accuracy", "mean_iou", "localisation", "best_localisation"} <= outcome.keys() and outcome["mixup"]
    assert weights["box.weight"].shape[0] == 4
    assert {name: again[name] for name in ("accuracy", "mean_iou", "localisation")} == \
        {name: outcome[name] for name in ("accuracy", "mean_iou", "localisation")}
    assert (tmp_path / "runs" / "killed" / "images" / "validation_boxes.png").stat().st_size > 10_000


@pytest.mark.parametrize("main, word", ((pretrain.main, ()), (minibatch.main, ("train",))), ids=("pretrain", "minibatch"))
def test_a_single_class_is_refused_which_every_image_is_of(main, word, tmp_path, capsys):
    """Its accuracy was 1, without a word."""
    write_class_folders(tmp_path / "set", np.random.default_rng(0))
    for role in ("train", "val"):
        shutil.rmtree(tmp_path / "set" / role / "bright")
    told = refused(main, capsys, *word, "--data-shape", "32", "-j", "0", "--gpus=", "--dataset", tmp_path / "set", "--runs",
                   tmp_path / "runs", at_once=False)
    assert "set: there is one class, dark, and no other to tell it from; add images of another one" in told


@pytest.mark.parametrize("flags, told", (
    (["--box-weight", "3"], "--box-weight 3 does nothing without --localise"),
    (["--localise", "--box-weight", "0"], "--box-weight 0.0 must be above 0"),
    (["--localise", "--dataset", "imagenet"], "--localise needs boxes"),
    (["--localise", "--dataset", "bare"], "bare")))
def test_flags_that_cannot_be_meant_are_refused_in_one_line(flags, told, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_class_folders(tmp_path / "bare", np.random.default_rng(0))
    assert told in refused(pretrain.main, capsys, "--data-shape", "32", "-j", "0", "--gpus=", *flags, at_once=False)
    assert not list(tmp_path.glob("runs/*/last.params"))

"""gluon-bof pretrain: a real run learns, and killed and resumed it ends in the same bits."""
import json
import subprocess
import sys

import numpy as np
import pytest

from gluon_bof.commands import pretrain
from gluon_bof.weights.formats import params as params_format
from tests.data.test_localisation import write_objects
from tests.scripts import PIPES, ROOT, after_rows, wait_for
from tests.tiny_sets import write_class_folders

PRETRAIN = [sys.executable, "-m", "gluon_bof", "pretrain"]


def words(folder, name):
    return [*PRETRAIN, *f"--dataset {folder}/set --data-shape 32 --batch-size 4 --epochs 12 --lr 0.02 --mixup "
            f"--no-mixup-epochs 2 --least-area 0.5 --runs {folder}/runs --name {name} -j 1 --log-interval 1 --seed 5".split()]


@pytest.mark.slow
def test_pre_training_learns_to_tell_the_embedded_sets_shapes(tmp_path):
    answer = subprocess.run([*PRETRAIN, *f"--runs {tmp_path} --epochs 5 --num-samples 2000 -j 1".split()], cwd=ROOT, **PIPES)
    assert answer.returncode == 0, answer.stderr
    assert json.loads(answer.stdout.splitlines()[-1])["accuracy"] > 0.75  # 0.25 is chance


@pytest.mark.slow
def test_a_killed_pre_training_goes_on_to_the_bit(tmp_path):
    write_class_folders(tmp_path / "set", np.random.default_rng(0))
    whole = subprocess.run(words(tmp_path, "whole"), cwd=ROOT, **PIPES)
    assert whole.returncode == 0, whole.stderr
    outcome = json.loads(whole.stdout.splitlines()[-1])
    assert 0 <= outcome["accuracy"] <= 1 and outcome["iterations"] == 72
    process = subprocess.Popen(words(tmp_path, "killed"), cwd=ROOT, **PIPES)
    wait_for(process, lambda: after_rows("metrics", 2)(tmp_path / "runs" / "killed"))
    process.kill()
    process.communicate()
    resumed = subprocess.run([*PRETRAIN, "--resume", str(tmp_path / "runs" / "killed")], cwd=ROOT, **PIPES)
    assert resumed.returncode == 0, resumed.stderr
    finals = [(tmp_path / "runs" / name / "last.params").read_bytes() for name in ("whole", "killed")]
    assert finals[0] == finals[1] and "features.0.weight" in params_format.loads(finals[0])
    assert len((tmp_path / "runs" / "killed" / "metrics.csv").read_text().splitlines()) == 13
    assert not list((tmp_path / "runs" / "killed").rglob("*.part"))


@pytest.mark.slow
def test_a_stopped_localisation_goes_on_to_the_bit_and_draws_its_boxes(tmp_path):
    write_objects(tmp_path / "set", np.random.default_rng(0))
    localise = ["--localise", "--box-weight", "5", "--epochs", "8"]
    whole = subprocess.run([*words(tmp_path, "whole"), *localise], cwd=ROOT, **PIPES)
    assert whole.returncode == 0, whole.stderr
    outcome = json.loads(whole.stdout.splitlines()[-1])
    assert {"accuracy", "mean_iou", "localisation", "best_localisation"} <= outcome.keys() and outcome["mixup"]
    process = subprocess.Popen([*words(tmp_path, "killed"), *localise], cwd=ROOT, **PIPES)
    wait_for(process, lambda: after_rows("metrics", 2)(tmp_path / "runs" / "killed"))
    process.kill()
    process.communicate()
    resumed = subprocess.run([*PRETRAIN, "--resume", str(tmp_path / "runs" / "killed")], cwd=ROOT, **PIPES)
    assert resumed.returncode == 0, resumed.stderr
    finals = [(tmp_path / "runs" / name / "last.params").read_bytes() for name in ("whole", "killed")]
    assert finals[0] == finals[1] and params_format.loads(finals[0])["box.weight"].shape[0] == 4
    again = json.loads(resumed.stdout.splitlines()[-1])
    assert {name: again[name] for name in ("accuracy", "mean_iou", "localisation")} == \
        {name: outcome[name] for name in ("accuracy", "mean_iou", "localisation")}
    assert (tmp_path / "runs" / "killed" / "images" / "validation_boxes.png").stat().st_size > 10_000


@pytest.mark.parametrize("flags, told", (
    (["--box-weight", "3"], "--box-weight 3 does nothing without --localise"),
    (["--localise", "--box-weight", "0"], "--box-weight 0.0 must be above 0"),
    (["--localise", "--dataset", "imagenet"], "--localise needs boxes"),
    (["--localise", "--dataset", "bare"], "bare")))
def test_flags_that_cannot_be_meant_are_refused_in_one_line(flags, told, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_class_folders(tmp_path / "bare", np.random.default_rng(0))
    with pytest.raises(SystemExit) as ended:
        pretrain.main(["--data-shape", "32", "-j", "0", "--gpus=", *flags])
    said = capsys.readouterr().err.splitlines()[-1]
    assert ended.value.code == 2 and said.startswith("error: ") and told in said
    assert not list(tmp_path.glob("runs/*/last.params"))

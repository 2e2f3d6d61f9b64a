"""The script as a user runs it, on a small real set; what it shares with train_yolo3.py is tested there."""
import json
import subprocess
import sys

import pytest

import gluon_bof
import train_ssd
from gluon_bof.weights.formats import params as params_format
from tests.pages import without_pages
from tests.scripts import ROOT
from tests.tiny_sets import CLASSES, write_voc_set

SMALL = ("--dataset voc --network darknet-mini --pretrained-base no --data-shape 64 --random-shapes 64,96 --batch-size 2 "
         "--epochs 2 --lr 0.01 --lr-mode cosine --warmup-epochs 1 --mixup --no-mixup-epochs 1 --label-smooth-eps 0.1 --syncbn "
         "--ema 0.5 --accumulate 2 --val-interval 2 --log-interval 1 --gpus= --seed 3").split()


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A folder with a set."""
    folder = tmp_path_factory.mktemp("work")
    write_voc_set(folder / "set", images=4, validation=2)
    return folder


def trained(folder, name, *more):
    """(outcome, bytes of the last weights)."""
    outcome = train_ssd.main([*SMALL, "--dataset-root", str(folder / "set"), "--runs", str(folder / "runs"), "--name", name,
                              *more])
    return outcome, (folder / "runs" / name / "last.params").read_bytes()


@pytest.mark.slow
def test_the_workers_number_changes_no_bit_with_every_freebie_on(folder, monkeypatch):
    without_pages(monkeypatch)
    outcome, wanted = trained(folder, "none", "-j", "0")
    assert outcome["iterations"] == 2 and 0 <= outcome["map"] <= 1 and set(outcome["per_class"]) == set(CLASSES)
    for workers in ("1", "3"):
        assert trained(folder, f"workers-{workers}", "-j", workers)[1] == wanted
    assert trained(folder, "other", "-j", "0", "--seed", "4")[1] != wanted


def test_a_lone_file_is_opened_by_its_name_or_its_family(folder, monkeypatch):
    without_pages(monkeypatch)
    prefix = str(folder / "lone_")
    trained(folder, "prefixed", "-j", "0", "--save-prefix", prefix)
    path = f"{prefix}ssd_64_darknet-mini_voc_best.params"
    renamed = folder / "ssd_64_darknet-mini_voc_best.params"
    renamed.write_bytes(open(path, "rb").read())
    assert gluon_bof.load(renamed, classes=list(CLASSES)).detector.options.data_shape == 64
    given = dict(network="darknet-mini", data_shape=64, classes=list(CLASSES))
    assert gluon_bof.load(path, family="ssd", **given).classes == CLASSES
    with pytest.raises(gluon_bof.UserError, match="do not fit this network"):  # several families have darknet-mini
        gluon_bof.load(path, **given)
    with pytest.raises(gluon_bof.UserError, match="a run of SSD"):
        gluon_bof.load(folder / "runs" / "prefixed", family="yolo3")
    with pytest.raises(gluon_bof.UserError, match="unknown family"):
        gluon_bof.load(path, family="ssd7", **given)


@pytest.mark.slow  # a process of its own: MXNet's threads are counted when it starts
def test_synchronised_normalisation_on_two_contexts_saves_weights_for_one(folder):
    words = [*SMALL, "--network", "mobilenet0.25", "--base-shape", "300", "--dataset-root", str(folder / "set"), "--name", "two",
             "--cpus", "2", "--batch-size", "4", "--accumulate", "1", "-j", "0"]
    done = subprocess.run([sys.executable, "-W", "ignore", str(ROOT / "train_ssd.py"), *words], cwd=folder, capture_output=True,
                          text=True)
    assert done.returncode == 0, done.stderr
    arrays = params_format.loads((folder / "runs" / "two" / "last.params").read_bytes())
    assert "features.mobilenet0_batchnorm0_gamma" in arrays and not [name for name in arrays if "sync" in name]
    assert gluon_bof.load(folder / "runs" / "two", last=True).classes == CLASSES


@pytest.mark.slow  # minutes
def test_the_embedded_job_learns(tmp_path):
    done = subprocess.run([sys.executable, str(ROOT / "train_ssd.py")], cwd=tmp_path, stdout=subprocess.PIPE, text=True,
                          check=True)
    assert json.loads(done.stdout.splitlines()[-1])["map"] >= 0.75

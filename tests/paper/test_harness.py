"""Runs that leave bundles: what a bundle says of its run, what goes on after a stop, and what is refused."""
import dataclasses
import hashlib
import json
import os
import re
import subprocess
import sys
import time

import pytest

from gluon_bof.errors import UserError
from gluon_bof.files import sha256_of
from gluon_bof.options.ssd import SsdOptions
from gluon_bof.options.yolo3 import Yolo3Options
from gluon_bof.paper import bundles, factorial, harness, jobs, miniature
from gluon_bof.paper.bundles import Store
from tests.paper.made_up import finish_by_hand, planned, read_bundles
from tests.scripts import ROOT, finished
from tests.tiny_sets import write_voc_set

TABLE = [sys.executable, "-m", "gluon_bof", "table"]
LEAST = "--epochs 1 --batch-size 4 --no-mixup-epochs 0 --warmup-epochs 0 --lr-decay-epoch 1 --data-shape 64 --random-shapes 64,64"
LEAST_BEFORE = "--epochs 1 --batch-size 4 --warmup-epochs 0"


def write_miniature_set(folder):
    """A tiny set with the names of vocmini's splits."""
    root = write_voc_set(folder / "set", images=8, validation=4)
    splits = root / "VOC2007" / "ImageSets" / "Main"
    for name, like in ((miniature.BASELINE.train_split, "trainval"), ("test-other", "test")):
        (splits / f"{name}.txt").write_text((splits / f"{like}.txt").read_text())


def words_of(folder, *words, extra=""):
    """The command of a miniature of tiny runs."""
    return [*TABLE, "miniature", "--dataset", str(folder / "set"), "--runs", str(folder / "runs"), "--out",
            str(folder / "results"), *words, "--", *LEAST.split(), *extra.split(), "--", *LEAST_BEFORE.split()]


@pytest.mark.slow
def test_a_killed_factorial_goes_on_to_the_same_bundles_and_is_not_run_again(tmp_path):
    write_miniature_set(tmp_path)
    (tmp_path / "whole").mkdir()
    os.symlink(tmp_path / "set", tmp_path / "whole" / "set")
    words = ("--rows", "mixup", "--seeds", "0,1", "--jobs", "2")
    assert finished(words_of(tmp_path / "whole", *words, extra="--epochs 5"))["left"] == 0
    expected = read_bundles(tmp_path / "whole")
    for sign in ("*-backbone/config.json", "*-seed-*/checkpoints/*.ckpt", "*-seed-*/evaluation-*.json"):
        process = subprocess.Popen(words_of(tmp_path, *words, extra="--epochs 5"), cwd=ROOT, stdout=subprocess.DEVNULL,
                                   stderr=subprocess.DEVNULL)
        try:
            while not list((tmp_path / "runs").glob(sign)):
                assert process.poll() is None
                time.sleep(0.01)
        finally:  # itself alone: what it has started goes on
            process.kill()
            process.wait()
        assert len(read_bundles(tmp_path)) < 3
    assert finished(words_of(tmp_path, *words, extra="--epochs 5"))["left"] == 0
    found = read_bundles(tmp_path)
    assert len(found) == 3 and set(found) == set(expected)
    for name, bundle in found.items():
        assert all(bundle[key] == expected[name][key] for key in ("weights_sha256", "evaluations", "configuration_sha256",
                                                                  "starts_from", "commands"))
        assert str(tmp_path) not in json.dumps(bundle) and sys.executable not in json.dumps(bundle)
        assert bundle["weights_sha256"] == sha256_of(tmp_path / "runs" / name / "last.params")
    before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.json")}
    finished(words_of(tmp_path, *words, extra="--epochs 5"))
    assert before == {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.json")}


def test_a_bundle_says_what_its_run_was(tmp_path, monkeypatch):
    """The folder of a finished run, without the minute that it takes."""
    job = harness.Job(harness.Backbone("row"), 4, harness.training(Yolo3Options(
        dataset="vocmini", seed=4, runs=str(tmp_path / "runs"), name="it", gpus="")),
        experiment="ours", data={"set": "vocmini", "version": 1}, marks={"fold": 3})
    evaluation = harness.evaluation(job.training, "evaluation-test-128", 128, "test", "coco")
    job = dataclasses.replace(job, evaluations=(evaluation,))
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    finish_by_hand(job)
    digest = sha256_of(job.run.last_weights)
    with open(job.run.table("metrics"), "w") as file:
        file.write("iteration,seconds\n1,2.5\n2,3.5\n")
    job.run.keep_result(evaluation.result, {"map": 0.5, "metric": "coco", "sha256": digest, "seconds": 7.0,
                                            "command": jobs.line(evaluation.words, harness.ONE_THREAD)})
    store = Store(str(tmp_path))
    harness.run_missing([job], store)
    found = store.read("it")
    assert (found["experiment"], found["row"], found["seed"], found["fold"]) == ("ours", "row", 4, 3)
    assert found["weights_sha256"] == digest and found["starts_from"] is None
    assert found["training"] == {"map": 0.25, "metric": "coco"}
    assert found["evaluations"] == {"test-128": {"map": 0.5, "metric": "coco"}}
    assert found["times"]["training_seconds"] == 6.0 and found["times"]["evaluation_seconds"] == {"test-128": 7.0}
    assert found["versions"]["mxnet"] and found["machine"]["cores"] >= 1 and found["machine"]["omp_num_threads"] == "1"
    assert re.fullmatch(r"([0-9a-f]{40}(-dirty)?)?", found["git_revision"])
    assert found["commands"][0].startswith("OMP_NUM_THREADS=1 python ") and "--runs runs" in found["commands"][0]
    assert str(tmp_path) not in json.dumps(found)

    with open(job.run.last_weights, "wb") as file:
        file.write(b"others")
    wanted = dataclasses.replace(job, evaluations=(evaluation, harness.evaluation(job.training, "evaluation-further")))
    with pytest.raises(UserError, match="other weights than its bundle says"):
        harness.run_missing([wanted], store)


def test_a_run_that_fails_keeps_no_other_from_being_made(tmp_path, monkeypatch, capsys):
    """Its own settings make it fail at once: there is no such set."""
    store, made = Store(str(tmp_path)), []
    wanted = [harness.Job(harness.Backbone(f"row {seed}"), seed, harness.training(Yolo3Options(
        dataset=str(tmp_path / "none"), seed=seed, runs=str(tmp_path / "runs"), name=f"run-{seed}", gpus="")), environment={})
        for seed in range(2)]
    finish_by_hand(wanted[1])
    with pytest.raises(UserError, match="1 of 2 runs failed; run-0: a command failed") as refusal:
        harness.run_missing(wanted, store, after_each=made.append)
    assert "try it by itself" in str(refusal.value) and "failed: run-0" in capsys.readouterr().err
    assert made == wanted[1:] and store.read("run-1") and not store.read("run-0")


@pytest.mark.parametrize("start, told", (({"transfer": "./run"}, "./run: .*--transfer"),
                                         ({"transfer": "gone/last.params"}, "gone/last.params: .*--transfer"),
                                         ({"pretrained_base": "gone.params"}, "gone.params: .*--pretrained-base")))
def test_a_start_that_is_not_there_is_refused_before_any_run_begins(tmp_path, start, told):
    """Each run failed by itself, after those before it."""
    first, second = (harness.Job(harness.Backbone(str(seed)), seed, harness.training(SsdOptions(
        dataset=str(tmp_path / "none"), seed=seed, runs=str(tmp_path / "runs"), name=f"run-{seed}", **own)), environment={})
        for seed, own in enumerate(({"pretrained_base": "darknet53"}, start)))
    with pytest.raises(UserError, match=f"^{told}; check the path"):
        harness.run_missing([first, second], Store(str(tmp_path)))
    assert not (tmp_path / "runs").exists()


def test_a_further_evaluation_leaves_what_else_the_bundle_had(tmp_path):
    store, job = Store(str(tmp_path)), dataclasses.replace(planned(tmp_path)[1], pretraining=None, evaluations=())
    finish_by_hand(job)
    harness.run_missing([job], store)
    store.write({**store.read(job.name), bundles.COST: {"ratios": [1.0]}})
    further = harness.evaluation(job.training, "evaluation-further")
    job.run.keep_result(further.result, {"map": 0.5, "sha256": sha256_of(job.run.last_weights), "seconds": 7.0,
                                         "command": jobs.line(further.words, job.environment)})
    harness.run_missing([dataclasses.replace(job, evaluations=(further,))], store)
    assert store.read(job.name)["evaluations"] == {"further": {"map": 0.5}}
    assert store.read(job.name)[bundles.COST] == {"ratios": [1.0]}


@pytest.mark.parametrize("change, is_backbones, words", [
    ({"data": {"set": "vocmini", "version": 0}}, False, "the run there has data .*3.* and not .*0"),
    ({"pretraining_data": {"set": "vocmini", "version": 0}}, True, "the run there has data .*3.* and not .*0"),
    ({}, False, "the run there has started from other weights than .*miniature-backbone")])
def test_a_run_of_other_data_or_another_start_gets_no_bundle_that_says_todays(tmp_path, change, is_backbones, words):
    store, job = Store(str(tmp_path)), dataclasses.replace(planned(tmp_path)[1], evaluations=())
    backbone = job.backbone()
    for one, base in ((backbone, None), (job, hashlib.sha256(b"weights").hexdigest())):
        harness._refuse_other_plan(one, base)
        finish_by_hand(one)
    harness.run_missing([job], store)
    for one in (backbone, job):
        os.remove(store.path(one.name))
    if not change:
        with open(backbone.run.last_weights, "wb") as file:
            file.write(b"others")
    with pytest.raises(UserError, match=words) as error:
        harness.run_missing([dataclasses.replace(job, **change)], store)
    refused = backbone if is_backbones else job
    assert error.value.path == refused.run.folder and "--runs" in error.value.remedy and not store.read(refused.name)


def test_a_run_goes_on_on_other_devices_and_no_plan_is_written_among_files_of_others(tmp_path):
    """Such as the config.json of another program, whose run would have been taken for the job's."""
    job = planned(tmp_path)[1]
    harness._refuse_other_plan(job, None)
    finish_by_hand(job)
    on_two = job.training._replace(options=dataclasses.replace(job.training.options, gpus="0,1"))
    harness._refuse_other_plan(dataclasses.replace(job, training=on_two), None)
    os.makedirs(tmp_path / "else" / job.name)
    (tmp_path / "else" / job.name / "config.json").write_text('{"architectures": ["other"]}')
    with pytest.raises(UserError, match="it holds files"):
        harness._refuse_other_plan(factorial.plan((0,), str(tmp_path / "else"))[1], None)
    assert os.listdir(tmp_path / "else" / job.name) == ["config.json"]


def test_a_run_does_not_start_from_other_weights_than_its_backbones_bundle_has(tmp_path):
    store = Store(str(tmp_path))
    first, second = planned(tmp_path)[:2]
    jobs_ = [dataclasses.replace(job, evaluations=()) for job in (first, second)]
    backbone = jobs_[0].backbone()
    for job in (backbone, *jobs_):
        finish_by_hand(job)
    harness.run_missing(jobs_[:1], store)
    found = store.read(jobs_[0].name)
    assert found["starts_from"] == {"name": "miniature-backbone", "weights_sha256": sha256_of(backbone.run.last_weights)}
    assert store.read("miniature-backbone")["weights_sha256"] == found["starts_from"]["weights_sha256"]

    with open(backbone.run.last_weights, "wb") as file:
        file.write(b"others")
    with pytest.raises(UserError, match="other weights than its bundle says"):
        harness.run_missing(jobs_[1:], store)
    assert not store.read(jobs_[1].name)

"""Evidence bundles: what they hold and refuse, what is made where they are missing, and what a kill costs."""
import dataclasses
import hashlib
import json
import os
import re
import subprocess
import sys
import tempfile
import time

import pytest

from gluon_bof.commands import table
from gluon_bof.data.sets import open_set
from gluon_bof.errors import UserError
from gluon_bof.files import sha256_of
from gluon_bof.options.flags import as_dict
from gluon_bof.options.recipes import TABLES
from gluon_bof.options.yolo3 import Yolo3Options
from gluon_bof.paper import bundles, effects, embedded, factorial, harness, jobs, miniature, pages, photographs
from gluon_bof.paper.budget import budget_of, until
from gluon_bof.paper.bundles import Store, fingerprint
from gluon_bof.runs.config import write_config
from gluon_bof.weights.zoo import BACKBONES, SHIPPED
from tests.command_lines import refused
from tests.paper.made_up import bundle_for
from tests.scripts import ROOT, finished
from tests.tiny_sets import write_voc_set

TABLE = [sys.executable, "-m", "gluon_bof", "table"]
LEAST = "--epochs 1 --batch-size 4 --no-mixup-epochs 0 --warmup-epochs 0 --lr-decay-epoch 1 --data-shape 64 --random-shapes 64,64"
LEAST_BEFORE = "--epochs 1 --batch-size 4 --warmup-epochs 0"


def planned(folder, seeds=(0,), **changes):
    """The factorial's jobs on a folder that need not hold images."""
    return factorial.plan(seeds, str(folder / "runs"), **changes)


# what is another configuration

@pytest.mark.parametrize("change, words", (({"epochs": 3}, f"--epochs 3 and not {miniature.BASELINE.epochs}"),
                                           ({"lr_mode": "poly"}, "--lr-mode poly"),
                                           ({"gpus": "0,1"}, "devices 2 and not 1"), ({"network": "darknet53"}, "--network")))
def test_a_bundle_of_another_configuration_is_refused_by_the_flag(tmp_path, change, words):
    job, store = planned(tmp_path)[1], Store(str(tmp_path))
    other = dataclasses.replace(job, training=job.training._replace(options=dataclasses.replace(job.training.options, **change)))
    store.write(bundle_for(other))
    with pytest.raises(UserError, match=re.escape(words)):
        harness.missing([job], store)


def test_a_bundle_whose_number_another_command_gave_is_made_again_and_not_published(tmp_path):
    job = factorial.plan((0,), str(tmp_path / "runs"), design=miniature.FASTER_RCNN)[1]
    store = Store(str(tmp_path))
    whole = bundle_for(job)
    store.write(whole)
    assert not harness.missing([job], store) and pages.miniature_summary(store, "faster_rcnn").startswith("1 runs, 9 a seed")
    store.write({**whole, "commands": [command.replace("--nms-thresh 0.5", "--nms-thresh 0.3") for command in whole["commands"]]})
    assert harness.missing([job], store) == [job]
    with pytest.raises(UserError, match="test-128, or has it by another command"):
        pages.miniature_summary(store, "faster_rcnn")


def test_a_bundle_that_started_from_another_backbone_or_read_other_data_is_refused(tmp_path):
    job, store = planned(tmp_path)[1], Store(str(tmp_path))
    store.write(bundle_for(planned(tmp_path, extra_pretraining=["--epochs", "3"])[1]))
    with pytest.raises(UserError, match=f"a start from a run with --epochs 3 and not {miniature.BACKBONE.epochs}"):
        harness.missing([job], store)
    store.write(bundle_for(dataclasses.replace(job, data={"set": "vocmini", "version": 0})))
    with pytest.raises(UserError, match="data .*version.*0.* and not"):
        harness.missing([job], store)


def test_neither_places_nor_what_changes_no_result_tell_configurations_apart(tmp_path):
    job = planned(tmp_path)[1]
    elsewhere = factorial.plan((0,), "/other/runs")[1]
    assert job.configuration() == elsewhere.configuration()
    options = dataclasses.replace(job.training.options, num_workers=0, log_interval=7, keep=3)
    assert dataclasses.replace(job, training=job.training._replace(options=options)).configuration() == job.configuration()
    assert str(tmp_path) not in json.dumps(job.configuration())


def test_an_option_that_is_younger_than_the_bundle_has_its_default_in_it(tmp_path):
    job, store = planned(tmp_path)[1], Store(str(tmp_path))
    old = bundle_for(job)
    del old["configuration"]["options"]["ema"]
    old["configuration_sha256"] = bundles.hash_of(old["configuration"])
    store.write(old)
    assert not harness.missing([job], store)
    averaged = planned(tmp_path, extra=["--ema", "0.9"])[1]
    with pytest.raises(UserError, match="--ema 0.0 and not 0.9"):
        harness.missing([averaged], store)


def test_a_bundle_that_was_changed_by_hand_or_is_not_whole_is_refused(tmp_path):
    job, store = planned(tmp_path)[1], Store(str(tmp_path))
    changed = bundle_for(job)
    changed["configuration"]["options"]["lr"] = 0.5
    store.write(changed)
    with pytest.raises(UserError, match="changed after it was written"):
        store.read(job.name)
    with open(store.path(job.name), "w") as file:
        file.write(json.dumps(bundle_for(job))[:-30])
    with pytest.raises(UserError, match="no JSON"):
        store.read(job.name)
    store.write({**bundle_for(job), "name": "another"})
    os.replace(store.path("another"), store.path(job.name))
    with pytest.raises(UserError, match="no bundle of the run"):
        store.read(job.name)
    for change in ({"times": None}, {"seed": "1"}, {"machine": "one"}):
        store.write({**bundle_for(job), **change})
        with pytest.raises(UserError, match="no bundle of the run"):
            store.read(job.name)


@pytest.mark.parametrize("change", [lambda bundle: bundle["evaluations"]["test-128"]["coco"].update(AP=0.6),
                                    lambda bundle: bundle.update(seed=1), lambda bundle: bundle.update(more=1),
                                    lambda bundle: bundle["times"].update(finished="2021-01-01T00:00:00Z")])
def test_a_number_that_was_changed_by_hand_is_seen(tmp_path, change):
    job, store = planned(tmp_path)[1], Store(str(tmp_path))
    store.write({**bundle_for(job), "by_number": {1: 0.1, 10: 0.2, 9: float("nan")}})  # as JSON has them, in its order of keys
    found = store.read(job.name)
    store.write(found)  # what was read may be written again
    assert json.dumps(store.read(job.name), sort_keys=True) == json.dumps(found, sort_keys=True)
    change(found)
    with open(store.path(job.name), "w") as file:
        json.dump(found, file)
    with pytest.raises(UserError, match=f"^{store.path(job.name)}: this bundle was changed after it was written"):
        store.read(job.name)


def test_a_bundle_is_read_again_when_its_file_is_another_and_no_caller_changes_what_others_read(tmp_path):
    job, store = planned(tmp_path)[1], Store(str(tmp_path))
    store.write(bundle_for(job))
    path = store.path(job.name)
    store.read(job.name)["evaluations"].clear()
    first, before = store.read(job.name), os.stat(path)
    assert first["evaluations"]
    with open(path, "r+") as file:
        file.write("x")
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert store.read(job.name) == first  # nothing tells the file from the one that was read
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns + 1))
    with pytest.raises(UserError, match="no JSON"):
        store.read(job.name)
    store.write(bundle_for(job, 0.75))
    assert store.read(job.name)["evaluations"]["test-128"]["map"] == 0.75
    os.remove(path)
    assert store.read(job.name) is None


def test_a_page_is_not_written_again_for_every_run_that_is_there(tmp_path):
    job, store, made = planned(tmp_path)[1], Store(str(tmp_path)), []
    store.write(bundle_for(job))
    harness.run_missing([job], store, after_each=made.append)
    assert not made


def test_a_bundle_of_before_such_hashes_is_read(tmp_path):
    job, store = planned(tmp_path)[1], Store(str(tmp_path))
    old = bundle_for(job)
    os.makedirs(store.folder)
    with open(store.path(job.name), "w") as file:
        json.dump(old, file)
    assert store.read(job.name) == old


# what fits

def test_what_fits_is_told_by_the_bundles_times_and_whole_seeds_by_all_rows(tmp_path):
    store = Store(str(tmp_path))
    wanted = planned(tmp_path, seeds=(0, 1))
    for job in wanted[:7]:
        store.write(bundle_for(job, seconds=300.0))
    found = budget_of(wanted, store, 2, 0.5)  # five minutes each, two at a time: twelve
    assert len(found.to_do) == 27 and found.fits == 12 and found.whole_seeds() == [0]
    assert "yolo3 at 5.0 minutes a run (median of 7 bundles)" in found.text(2, 0.5)
    assert budget_of(wanted, store, 2, 10).whole_seeds() == [0, 1]
    baseline = [job for job in wanted if job.row.key == "baseline"]
    assert budget_of(baseline, store, 1, 10, None, wanted).whole_seeds() == []


@pytest.mark.parametrize("what, row", [("upsampling", "nearest"), ("embedded", "ssd"), ("photographs", "yolo3-bag")])
@pytest.mark.parametrize("flags", [(), ("--", "--epochs", "40")])
def test_a_seed_is_whole_with_every_row_and_not_with_those_that_were_asked_for_alone(what, row, flags, tmp_path):
    words = [what, "--rows", row, "--seeds", "0,1", "--runs", str(tmp_path / "runs"), "--out", str(tmp_path)]
    if what == "photographs":
        words += ["--dataset", str(write_photographs(tmp_path)), "--folds", "2", "--plan"]
    store, work = Store(str(tmp_path)), table.work_of(table.read_arguments([*words, *flags]), words)
    assert budget_of(work.wanted, store, planned=work.planned).whole_seeds() == []
    for job in work.planned:
        if job.seed == 1 and job.row.key != row:
            store.write(bundle_for(job))
    assert budget_of(work.wanted, store, planned=work.planned).whole_seeds() == [1]


def test_a_run_of_another_row_with_other_flags_makes_no_seed_whole_and_keeps_none_from_being_made(tmp_path):
    ssd, *others = embedded.plan((0,), str(tmp_path / "runs"))[2:]
    for job in (*others, *embedded.plan((0,), str(tmp_path / "runs"), ("yolo3", "faster-rcnn"), ("--epochs", "40"))):
        Store(str(tmp_path)).write(bundle_for(job))
    found = budget_of([ssd], Store(str(tmp_path)), planned=embedded.plan((0,), str(tmp_path / "runs")))
    assert found.to_do == [ssd] and found.whole_seeds() == []


def test_hours_without_any_measured_time_ask_for_one(tmp_path):
    wanted = planned(tmp_path)
    with pytest.raises(UserError, match="--minutes"):
        budget_of(wanted, Store(str(tmp_path)), 1, 1)
    assert budget_of(wanted, Store(str(tmp_path)), 1, 1, stated=6).fits == 10
    assert budget_of(wanted, Store(str(tmp_path))).fits == 17


def test_nothing_starts_that_would_end_too_late(tmp_path):
    job = planned(tmp_path)[0]
    for minutes, starts in ((5, True), (7, False)):
        budget = budget_of([job], Store(str(tmp_path)), 1, None, minutes)
        assert until(0.1, budget)(job) is starts and until(None, budget)(job)
    made = []
    harness.run_missing([job], Store(str(tmp_path)), 1, made.append, lambda job: False)
    assert not made and not os.path.exists(job.run.folder)


def test_what_the_seeds_can_tell_is_the_resolution_at_the_bundles_own_spread(tmp_path):
    store = Store(str(tmp_path))
    for number, job in enumerate(planned(tmp_path, seeds=(0, 1))):
        store.write(bundle_for(job, 0.5 + 0.01 * (number // 17)))  # a point apart in every row: a spread of 1 / sqrt 2
    wanted = planned(tmp_path, seeds=(0, 1, 2))
    text = factorial.resolution_text(store, budget_of(wanted, store), "", miniature.YOLO3)
    main, step = effects.resolution(0.5 ** 0.5, 3)
    corrected, _ = effects.resolution(0.5 ** 0.5, 3, tests=4)
    assert f"main effect from nothing at {main:.2f} points ({corrected:.2f} with 4 tests), a step between two rows at " \
           f"{step:.2f}" in text
    assert "0.71 points of AP (of 17 rows)" in text


def test_seeds_that_will_not_be_whole_resolve_nothing(tmp_path):
    every, store = planned(tmp_path, seeds=miniature.SEEDS), Store(str(tmp_path))
    for hours, text in ((0.01, "an interval needs two whole seeds"), (10 * 17 / 60, "an interval needs two whole seeds"),
                        (10 * 34 / 60, "2 seeds at a spread")):
        budget = budget_of(every, store, 1, hours, stated=10)
        assert text in factorial.resolution_text(store, budget, "", miniature.YOLO3)
    baseline = [job for job in every if job.row.key == "baseline"]
    budget = budget_of(baseline, store, planned=every)
    assert "needs two" in factorial.resolution_text(store, budget, "", miniature.YOLO3)


def test_a_folder_is_told_from_another_behind_links_too_and_hidden_files_are_none_of_it(tmp_path):
    for name, size in (("a", 3), ("b", 4)):
        (tmp_path / name).mkdir()
        (tmp_path / f"images of {name}").mkdir()
        (tmp_path / f"images of {name}" / "1.jpg").write_bytes(b"x" * size)
        (tmp_path / name / "images").symlink_to(tmp_path / f"images of {name}")
    one, other = (fingerprint(str(tmp_path / name)) for name in ("a", "b"))
    assert one["files"] == other["files"] == 1 and one["sha256"] != other["sha256"]
    (tmp_path / "a" / ".DS_Store").write_bytes(b"x")
    (tmp_path / "a" / "nowhere.jpg").symlink_to(tmp_path / "nothing")
    (tmp_path / "images of a" / "back").symlink_to(tmp_path / "a")
    (tmp_path / "a" / "the same").symlink_to(tmp_path / "images of a")  # or the order of a folder's names would tell its files
    assert fingerprint(str(tmp_path / "a"))["files"] == 1


def test_no_photographs_are_copied_where_their_folds_cannot_be_written(tmp_path):
    (tmp_path / "file").write_text("mine")
    with pytest.raises(UserError, match="file/results: the folder cannot be made"):
        photographs.prepare(str(write_photographs(tmp_path)), 3, str(tmp_path / "runs"), str(tmp_path / "file" / "results"))
    assert not (tmp_path / "runs").exists()


def test_a_folder_has_the_fingerprint_that_bundles_say(tmp_path):
    files = {"set/images/train/1.jpg": "one", "set/images/2.jpg": "two2", "set/b.txt": "x", "set/.git/config": "h",
             "far/4.jpg": "four"}
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    (tmp_path / "set" / "images" / "val").symlink_to(tmp_path / "far")
    found = fingerprint(str(tmp_path / "set"))
    assert (found["folder"], found["files"]) == ("set", 4)
    assert found["sha256"] == "a204e049ca74decf8141704a34c5af06c546e373352fe94a3ab2bb2e297d4224"


def test_a_folder_with_another_label_of_as_many_letters_is_another(tmp_path):
    (tmp_path / "1.txt").write_text("0 0.5 0.5 0.1 0.1\n")
    before = fingerprint(str(tmp_path))
    (tmp_path / "1.txt").write_text("1 0.5 0.5 0.1 0.1\n")
    assert fingerprint(str(tmp_path)) != before and fingerprint(str(tmp_path))["sha256"] == before["sha256"]


def test_a_bundle_of_before_labels_were_looked_at_is_valid_and_one_of_other_labels_is_refused(tmp_path):
    store, (job,) = Store(str(tmp_path)), photographs.plan(photographs.Folds("mine", 1, "mine", ("cat",), {"set": "mine"}),
                                                           rows=["yolo3-bag"])
    labelled = [dataclasses.replace(job, data={**job.data, "labels": text}) for text in ("a", "b")]
    for one in labelled:
        store.write(bundle_for(job))
        assert not harness.missing([one], store)
        store.write(bundle_for(one))
        assert not harness.missing([job], store)
    with pytest.raises(UserError, match='data .*"labels": "b".* and not .*"labels": "a".*run.s folder away'):
        harness.missing(labelled[:1], store)


def test_the_half_alone_tells_its_own_resolution(tmp_path):
    every = planned(tmp_path, seeds=miniature.SEEDS)
    half = [job for job in every if job.row.key in factorial.chosen_rows("half", miniature.YOLO3)]
    store = Store(str(tmp_path))
    text = factorial.resolution_text(store, budget_of(half, store, planned=every), "", miniature.YOLO3)
    assert f"3 seeds of the half at a spread of 0.60 points of AP (the pilot's) tell a main effect from nothing at " \
           f"{effects.resolution(0.6, 3, 4)[0]:.2f} points" in text


def test_the_factorial_has_every_cell_and_seed_once_with_all_its_evaluations(tmp_path):
    wanted = planned(tmp_path, seeds=miniature.SEEDS)
    assert len({job.name for job in wanted}) == 17 * len(miniature.SEEDS)
    for job in wanted:
        keys = [evaluation.key for evaluation in job.evaluations]
        assert keys == [f"{split}-{size}" for split in ("test", "test-other") for size in (96, 128, 192)] + \
            [f"{miniature.BASELINE.train_split}-128", "mechanisms-128"]
        assert "--sliding-patch 100" in " ".join(job.evaluations[-1].words)
        assert job.pretraining.options.name == "miniature-backbone"
        assert job.training.options.pretrained_base == job.pretraining.run.last_weights


@pytest.mark.parametrize("number, keys", ((1, factorial.TABLE_1_ROWS), (5, factorial.TABLE_5_ROWS), (6, factorial.TABLE_6_ROWS)))
def test_rows_of_the_papers_tables_differ_from_each_other_as_the_papers_do(tmp_path, number, keys):
    design = miniature.FASTER_RCNN if number == 6 else miniature.YOLO3
    ours = {job.row.key: job for job in factorial.plan((0,), str(tmp_path / "runs"), with_further=True, design=design)}
    rows = [ours[key] for key in keys]
    papers = TABLES[number].rows
    assert len(rows) == len(papers)
    for place in range(1, len(rows)):
        mine = [as_dict(row.row.options) for row in (rows[0], rows[place])]
        theirs = [as_dict(row.small.options) for row in (papers[0], papers[place])]
        changed = {name for name in mine[0] if mine[0][name] != mine[1][name]} - {"val_interval"}  # of Figure 6's rows
        assert changed == {name for name in theirs[0] if theirs[0][name] != theirs[1][name]}
        assert all(mine[1][name] == theirs[1][name] for name in changed)
    if number >= 5:
        assert [row.pretraining.options.mixup for row in rows] == [row.small.pretraining.mixup for row in papers]


def test_further_rows_are_made_where_they_are_asked_for_alone():
    for text, count in (("", 17), ("further", 4), ("baseline,further", 5), ("1,2", 2), ("half", 8)):
        assert len(factorial.chosen_rows(text, miniature.YOLO3)) == count
    for text, count in (("", 9), ("further", 2), ("baseline,further", 3)):
        assert len(factorial.chosen_rows(text, miniature.FASTER_RCNN)) == count
    words = ["miniature", "--rows", "further", "--seeds", "0"]
    work = table.work_of(table.read_arguments(words), words)
    assert len(work.wanted) == 4 and len(work.planned) == 17
    assert {job.pretraining.options.name for job in work.wanted} == {"miniature-backbone", "miniature-backbone-mixup"}


# the command

@pytest.mark.parametrize("words, message", [
    (["miniature", "--cost"], "--cost does nothing for miniature"), (["miniature", "--gpus", "0"], "--gpus does nothing"),
    (["miniature", "--rows", "22"], "no row '22'"), (["miniature", "--rows", "0"], "no row '0'"),
    (["miniature", "--detector", "faster_rcnn", "--rows", "half"], "no row 'half'"), (["embedded", "--rows", "²"], "no row '²'"),
    (["bag", "--rows", "friends"], "no row 'friends'"), (["miniature", "--hours", "0"], "--hours: '0' is no number above 0"),
    (["embedded", "--folds", "3"], "--folds is for photographs alone"),
    (["2", "--detector", "faster_rcnn"], "for miniature alone"),
    (["photographs"], "give --dataset"), (["photographs", "--dataset", "x", "--", "--", "--lr", "1"], "a second --"),
    (["embedded", "--dataset", "x"], "--dataset does nothing"),
    (["miniature", "--", "--pretrained-base", "x"], "--pretrained-base after --"),
    (["miniature", "--", "--seed", "3"], "--seed after --")])
def test_arguments_that_cannot_be_meant_are_refused(words, message):
    with pytest.raises(UserError, match=message):
        table.work_of(table.read_arguments(words), words)


@pytest.mark.parametrize("words, is_told", [((), False), (("--", "--epochs", "2"), True)])
def test_runs_that_the_pages_will_refuse_are_told_before_they_start(words, is_told, tmp_path, capsys):
    words = ["embedded", "--rows", "ssd", "--seeds", "0", "--out", str(tmp_path), *words]
    job, = table.work_of(table.read_arguments(words), words).wanted
    Store(str(tmp_path)).write(bundle_for(job))  # so that nothing is left to run
    assert table.main(words) == 0
    assert ("which pages refuse" in capsys.readouterr().err) == is_told
    if is_told:
        with pytest.raises(UserError, match="--epochs 2 and not"):
            pages.embedded_summary(Store(str(tmp_path)))


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


def read_bundles(folder):
    found = [json.loads(path.read_text()) for path in sorted((folder / "results" / "runs").glob("*.json"))]
    return {bundle["name"]: bundle for bundle in found}


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
    os.makedirs(job.run.folder)
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    write_config(job.run.folder, job.training.options)
    with open(job.run.last_weights, "wb") as file:
        file.write(b"weights")
    digest = sha256_of(job.run.last_weights)
    with open(job.run.table("metrics"), "w") as file:
        file.write("iteration,seconds\n1,2.5\n2,3.5\n")
    job.run.keep_result("training", {"map": 0.25, "metric": "coco", "run": job.run.folder, "weights": job.run.last_weights})
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


# photographs

def write_photographs(folder, images=9):
    """A tiny set as LabelImg leaves it, two of its images the same bytes under two names."""
    write_voc_set(folder / "source", images=images - 1, validation=1)
    source = folder / "source" / "VOC2007"
    mine = folder / "mine"
    mine.mkdir()
    for image in sorted((source / "JPEGImages").iterdir()):
        (mine / image.name).write_bytes(image.read_bytes())
        annotation = source / "Annotations" / f"{image.stem}.xml"
        (mine / annotation.name).write_bytes(annotation.read_bytes())
    (mine / "again.jpg").write_bytes((mine / "000000.jpg").read_bytes())
    (mine / "again.xml").write_text((mine / "000000.xml").read_text().replace("000000.jpg", "again.jpg"))
    return mine


def listing(folder):
    """Everything that a change of a folder shows in."""
    return sorted((str(path), path.stat().st_mtime_ns, path.stat().st_nlink, path.stat().st_size) for path in folder.rglob("*"))


def test_folds_are_written_once_and_the_folder_is_only_read(tmp_path):
    mine = write_photographs(tmp_path)
    before = listing(mine)
    folds = photographs.prepare(str(mine), 3, str(tmp_path / "runs"), str(tmp_path / "results"))
    assert listing(mine) == before
    assert folds.name == "mine" and sum(folds.data["images"]) == 10 and folds.classes == ("blue", "green", "red")
    written = (tmp_path / "results" / "folds-mine-3.json").read_text()
    again = photographs.prepare(str(tmp_path / "gone" / "mine"), 3, str(tmp_path / "runs"), str(tmp_path / "results"))
    assert again == folds and (tmp_path / "results" / "folds-mine-3.json").read_text() == written
    elsewhere = photographs.prepare(str(mine), 3, str(tmp_path / "other runs"), str(tmp_path / "results"))
    assert elsewhere.data == folds.data

    parts = [{part: {record.image_id for record in open_set(folds.folder, None, "val", split=folds.split(fold, part)).records}
              for part in ("train", "test")} for fold in range(3)]
    everything = set.union(*(part["test"] for part in parts))
    assert len(everything) == 10 and sum(len(part["test"]) for part in parts) == 10
    assert all(part["train"] == everything - part["test"] for part in parts)
    assert [{"again", "000000"} <= part["test"] for part in parts].count(True) == 1

    os.remove(mine / "000003.jpg")
    with pytest.raises(UserError, match="other files than what was copied") as error:
        photographs.prepare(str(mine), 3, str(tmp_path / "runs"), str(tmp_path / "results"))
    assert error.value.path == str(mine)
    with pytest.raises(UserError, match="made of other images"):
        photographs.prepare(str(mine), 3, str(tmp_path / "third runs"), str(tmp_path / "results"))


def test_folds_are_told_with_their_labels_which_move_no_image_to_another_fold(tmp_path):
    mine, results = write_photographs(tmp_path), tmp_path / "results"
    before = photographs.prepare(str(mine), 3, str(tmp_path / "runs"), str(results))
    written = (results / "folds-mine-3.json").read_text()
    for path in mine.glob("*.xml"):
        path.write_text(path.read_text().replace(">blue<", ">grey<"))
    with pytest.raises(UserError, match="other files than what was copied"):
        photographs.prepare(str(mine), 3, str(tmp_path / "runs"), str(results))
    os.rename(tmp_path / "runs" / "sets", tmp_path / "away")
    after = photographs.prepare(str(mine), 3, str(tmp_path / "runs"), str(results))
    assert after.data.pop("labels") != before.data.pop("labels") and after.data == before.data
    assert (results / "folds-mine-3.json").read_text() == written


def test_a_copy_of_photographs_is_never_there_without_what_it_was_copied_from(tmp_path, monkeypatch):
    """Killed between the two, it stood for any folder of its name."""
    def kill(*_):
        raise KeyboardInterrupt

    mine, runs = write_photographs(tmp_path), tmp_path / "runs"
    monkeypatch.setattr(photographs, "write_text", kill)
    with pytest.raises(KeyboardInterrupt):
        photographs.prepare(str(mine), 3, str(runs), str(tmp_path / "results"))
    assert not list((runs / "sets").iterdir())


@pytest.mark.parametrize("words, told", [(("--dry-run",), "commands"), (("--plan",), "plan"), (("--seeds", "x"), "--seeds 'x'"),
                                         (("--dry-run", "--", "--classes", "a"), "--classes after -- is the experiment's")])
def test_what_only_tells_of_photographs_copies_none_and_leaves_nothing_behind(words, told, tmp_path, capsys, monkeypatch):
    mine = write_photographs(tmp_path)
    (tmp_path / "temporary").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "temporary"))
    before = listing(tmp_path)
    own = ["photographs", "--dataset", str(mine), "--folds", "3", "--runs", str(tmp_path / "runs"), "--out",
           str(tmp_path / "results")]
    if told in ("commands", "plan"):
        assert table.main([*own, *words]) == 0
    else:
        assert told in refused(table.main, capsys, *own, *words)
    said = capsys.readouterr()
    after = listing(tmp_path)
    assert [row[0] for row in after] == [row[0] for row in before]
    assert [row for row in after if row[0] != str(tmp_path / "temporary")] == [row for row in before if row[0] != str(
        tmp_path / "temporary")]
    if told == "commands":
        assert f"--dataset {tmp_path / 'runs' / 'sets' / 'mine-3'}" in said.out and "--val-split fold-2-test" in said.out
    elif told == "plan":
        assert len(json.loads(said.out.splitlines()[-1])["missing"]) == 12


def test_what_is_foreseen_of_folds_is_what_is_then_made(tmp_path):
    mine, runs, results = (str(path) for path in (write_photographs(tmp_path), tmp_path / "runs", tmp_path / "results"))
    foreseen = photographs.foresee(mine, 3, runs, results)
    assert foreseen == photographs.prepare(mine, 3, runs, results) == photographs.foresee(mine, 3, runs, results)


def test_a_fold_depends_on_an_images_bytes_alone():
    digests = {f"image {number}": format(number * 7919 % 997, "03x") for number in range(23)}
    folds = photographs.assigned(digests, 5)
    sizes = [list(folds.values()).count(fold) for fold in range(5)]
    assert max(sizes) - min(sizes) <= 1
    renamed = photographs.assigned({name[::-1]: digest for name, digest in reversed(list(digests.items()))}, 5)
    assert renamed == {name[::-1]: fold for name, fold in folds.items()}
    with pytest.raises(UserError, match="cannot be parted"):
        photographs.assigned({"a": "1", "b": "1"}, 2)


def test_both_rows_of_a_detector_differ_in_the_bag_alone():
    for family, freebies in (("yolo3", {"no_random_shape", "lr_mode", "lr", "mixup", "label_smooth_eps"}),
                             ("faster_rcnn", {"lr_mode", "lr", "mixup", "label_smooth_eps"})):
        baseline, bag = (as_dict(photographs.Setting(family, is_bag).options(6)) for is_bag in (False, True))
        assert {name for name in bag if bag[name] != baseline[name]} == freebies
        assert bag["label_smooth_eps"] / 6 == pytest.approx(0.1 / 20)


def test_photographs_and_the_miniature_suppress_the_detections_of_a_detector_alike():
    for job in photographs.plan(photographs.Folds("mine", 5, "mine", ("cat",), {})):
        flags = miniature.DESIGNS[job.row.family].evaluated
        assert job.evaluations and all(" ".join(flags) in " ".join(scored.words) for scored in job.evaluations)
    assert "--nms-thresh 0.5" in " ".join(miniature.FASTER_RCNN.evaluated)


def test_a_shipped_backbone_is_told_by_its_hash():
    for name in BACKBONES:
        told = bundles.configuration(Yolo3Options(pretrained_base=name), {})["options"]["pretrained_base"]
        assert told == f"{name} {shipped_sha(name)}"


def shipped_sha(name):
    return sha256_of(os.path.join(os.path.dirname(SHIPPED), f"{BACKBONES[name]}.params"))


@pytest.mark.slow
def test_photographs_leave_a_bundle_for_every_fold(tmp_path):
    mine = write_photographs(tmp_path)
    words = [*TABLE, "photographs", "--dataset", str(mine), "--folds", "2", "--rows", "yolo3-baseline,yolo3-bag", "--runs",
             str(tmp_path / "runs"), "--out", str(tmp_path / "results"), "--", "--epochs", "1", "--no-mixup-epochs", "0",
             "--warmup-epochs", "0", "--batch-size", "4", "--data-shape", "64", "--random-shapes", "64,64", "--lr-decay-epoch",
             "1"]
    assert finished(words)["left"] == 0
    found = read_bundles(tmp_path)
    assert sorted((bundle["row"], bundle["fold"]) for bundle in found.values()) == [
        (row, fold) for row in ("yolo3-bag", "yolo3-baseline") for fold in (0, 1)]
    for bundle in found.values():
        assert set(bundle["evaluations"]) == {"test", "train"} and str(tmp_path) not in json.dumps(bundle)
        assert bundle["evaluations"]["test"]["images"] + bundle["evaluations"]["train"]["images"] == 10


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


def finish_by_hand(job):
    """What a training leaves, without the training."""
    os.makedirs(job.run.folder, exist_ok=True)
    write_config(job.run.folder, job.training.options)
    with open(job.run.last_weights, "wb") as file:
        file.write(b"weights")
    job.run.keep_result("training", {"map": 0.25, "metric": "coco"})


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

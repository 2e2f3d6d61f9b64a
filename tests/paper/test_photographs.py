"""Photographs of one's own: folds that are written once, what is run on them, and what their pages say."""
import dataclasses
import json
import os
import sys
import tempfile

import pytest

from gluon_bof.commands import table
from gluon_bof.data.convert import convert_set
from gluon_bof.data.sets import open_set
from gluon_bof.errors import UserError
from gluon_bof.options.flags import as_dict
from gluon_bof.options.recipes import RECIPES
from gluon_bof.paper import harness, miniature, pages, photograph_numbers, photographs
from gluon_bof.paper.bundles import Store, hash_of
from gluon_bof.paper.pictures import digest_in, digest_of
from tests.command_lines import refused
from tests.paper.made_up import bundle_for, read_bundles, write_photographs
from tests.scripts import finished

TABLE = [sys.executable, "-m", "gluon_bof", "table"]


def test_no_photographs_are_copied_where_their_folds_cannot_be_written(tmp_path):
    (tmp_path / "file").write_text("mine")
    with pytest.raises(UserError, match="file/results: the folder cannot be made"):
        photographs.prepare(str(write_photographs(tmp_path)), 3, str(tmp_path / "runs"), str(tmp_path / "file" / "results"))
    assert not (tmp_path / "runs").exists()


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


def let_another_be_first(monkeypatch, *words):
    """Have a preparation of these words end while the next one copies. Returns where the folds that it gives will be."""
    others = []

    def copy_second(*given, **how):
        monkeypatch.undo()
        others.append(photographs.prepare(*words))
        return convert_set(*given, **how)

    monkeypatch.setattr(photographs, "convert_set", copy_second)
    return others


def test_two_tables_of_the_same_photographs_may_begin_at_once(tmp_path, monkeypatch):
    """The one that copied them second ended: "there is something already"."""
    words = str(write_photographs(tmp_path)), 3, str(tmp_path / "runs"), str(tmp_path / "results")
    others = let_another_be_first(monkeypatch, *words)
    assert [photographs.prepare(*words)] == others
    assert [folder.name for folder in (tmp_path / "runs" / "sets").iterdir()] == ["mine-3"]


def test_of_two_tables_of_other_photographs_of_one_name_the_second_is_refused(tmp_path, monkeypatch):
    mine, others = (write_photographs(place) for place in (tmp_path / "mine", tmp_path / "others"))
    (others / "again.jpg").unlink()
    let_another_be_first(monkeypatch, str(mine), 3, str(tmp_path / "runs"), str(tmp_path / "results"))
    with pytest.raises(UserError, match="it has other files than what was copied"):
        photographs.prepare(str(others), 3, str(tmp_path / "runs"), str(tmp_path / "other results"))


@pytest.mark.parametrize("lost", ("JPEGImages", "Annotations", "classes.txt"))
def test_a_copy_that_lost_files_is_named_and_an_empty_folder_is_filled(lost, tmp_path):
    mine, copy = write_photographs(tmp_path), tmp_path / "runs" / "sets" / "mine-3"
    copy.mkdir(parents=True)
    folds = photographs.prepare(str(mine), 3, str(tmp_path / "runs"), str(tmp_path / "results"))
    assert len(folds.data["images"]) == 3
    (copy / lost).rename(tmp_path / "away")
    for place in (photographs.prepare, photographs.foresee):
        with pytest.raises(UserError, match=f"mine-3/{lost}: this copy of photographs is not whole; remove .*mine-3"):
            place(str(mine), 3, str(tmp_path / "runs"), str(tmp_path / "results"))


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


@pytest.mark.parametrize("family", ("yolo3", "faster_rcnn"))
def test_the_recipe_photographs_is_the_whole_bag_that_was_measured_on_six_classes(family):
    """But for what learns nothing: where it runs, and how often it validates, saves and reports."""
    measured, recipe = (as_dict(options.resolved()) for options in (
        photographs.Setting(family, True).options(6), RECIPES.of_family(family)["photographs"].options))
    assert {name for name in recipe if recipe[name] != measured[name]} <= {
        "gpus", "val_interval", "save_interval", "log_interval", "keep", "lr_decay_epoch"}
    assert recipe["lr_mode"] == "cosine"  # which lr_decay_epoch is not of


def test_photographs_and_the_miniature_suppress_the_detections_of_a_detector_alike():
    for job in photographs.plan(photographs.Folds("mine", 5, "mine", ("cat",), {})):
        flags = miniature.DESIGNS[job.row.family].evaluated
        assert job.evaluations and all(" ".join(flags) in " ".join(scored.words) for scored in job.evaluations)
    assert "--nms-thresh 0.5" in " ".join(miniature.FASTER_RCNN.evaluated)


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


def test_photographs_are_told_over_whole_folds_only(tmp_path):
    store = Store(str(tmp_path))
    content = {"folds": 3, "images": {str(number): {"fold": number % 3, "sha256": str(number)} for number in range(9)}}
    path = tmp_path / "folds-mine-3.json"
    path.write_text(json.dumps(content))
    folds = photographs.Folds("mine", 3, "elsewhere/mine-3", ("one", "two", "none"), photographs.told_folds("mine", 3, str(path)))
    assert folds.data == {"set": "mine", "folds": 3, "images": [3, 3, 3], "sha256": hash_of(content)}
    planned = photographs.plan(folds, (0, 1))
    for job in planned:
        bag = 0.02 + 0.01 * job.marks["fold"] if job.row.is_bag else 0
        if (job.seed, job.marks["fold"], job.row.key) != (1, 2, "yolo3-bag"):
            store.write(bundle_for(job, 0.4 + bag))
    gains = {gain.detector: gain for gain in photograph_numbers.gains(store)}
    yolo3 = gains["YOLOv3"]
    assert (yolo3.set, yolo3.images, yolo3.seeds) == ("mine", 9, [0]) and gains["Faster R-CNN"].seeds == [0, 1]
    assert yolo3.effect.by_fold == pytest.approx({0: 2, 1: 3, 2: 4})
    assert (yolo3.baseline, yolo3.bag) == pytest.approx((40, 43)) and yolo3.fit == pytest.approx(53.75) and not yolo3.is_fitted
    text = pages.photographs_summary(store)
    under = "not resolved (underfitted)"
    assert f"| mine, YOLOv3 | +3.00 ± 3.93 | {under} | +3.75 ± 4.91 | {under} | ± 2.48 | 3, 1 |" in text
    assert "| – | +3.00 ± 3.93 points of AP@[.5:.95], 9 of `mine` in 3 folds (underfitted: " in pages.readme_table(store)
    assert "Not shown" not in text
    of_yolo3 = [job for job in planned if job.row.family == "yolo3" and job.seed == 0][0]
    kept = store.read(of_yolo3.name)
    os.remove(store.path(of_yolo3.name))
    for section in ("photographs", "figure-1"):
        assert "Not shown, for no seed has both rows in every fold: mine, YOLOv3.*" in pages.SECTIONS[section](store)
    assert "| YOLOv3 | – | – | +3.00 points of AP@[.5:.95], 3 of 3 folds of `mine` (underfitted: 5" in pages.readme_table(store)
    store.write(kept)
    figure_1, forest = pages.pictures(store)
    bars = forest.numbers[0].groups["mine, 9 photographs"]
    assert [bar.label for bar in bars] == ["YOLOv3 (3 folds)", "Faster R-CNN (3 folds)"]
    assert [row.label for row in figure_1.numbers] == [f"{name}, AP@[.5:.95] on mine" for name in ("YOLOv3", "Faster R-CNN")]
    forest.draw(str(tmp_path / forest.file))
    assert digest_in(str(tmp_path / forest.file)) == digest_of(forest.numbers)

    path.write_text(json.dumps({**content, "images": {**content["images"], "0": {"fold": 1, "sha256": "0"}}}))
    with pytest.raises(UserError, match="data"):
        pages.photographs_summary(store)
    assert harness.missing(planned[:1], store) == []

    path.write_text(json.dumps(content))
    for job, labels in zip(planned, ("a", "b")):
        store.write(bundle_for(dataclasses.replace(job, data={**job.data, "labels": labels})))
        if labels == "a":
            assert pages.photographs_summary(store)
    with pytest.raises(UserError, match="labels"):
        pages.photographs_summary(store)


@pytest.mark.parametrize("content", ["", "[]", '{"folds": 2', *(json.dumps({"folds": 2, "images": {"a": told}}) for told in (
    3, {"fold": 0}, {"sha256": "x", "fold": 2}, {"sha256": "x", "fold": 1.5}, {"sha256": "x", "fold": True}))])
def test_damaged_folds_are_named(tmp_path, content):
    """They ended in tracebacks, and an image of fold 7 was trained on in every fold and tested in none."""
    path = tmp_path / "folds-mine-2.json"
    path.write_text(content)
    with pytest.raises(UserError, match="folds-mine-2.json: this is no whole file of folds"):
        photographs.told_folds("mine", 2, str(path))


def test_folds_of_another_number_are_told_as_such(tmp_path):
    """They were told as of other images, though the images were the same, and a page counted the first ones alone."""
    digests = {str(number): str(number) for number in range(4)}
    photographs._written_folds(str(tmp_path / "folds-mine-3.json"), digests, 3)
    os.rename(tmp_path / "folds-mine-3.json", tmp_path / "folds-mine-2.json")
    for read in (lambda path: photographs.told_folds("mine", 2, path), lambda path: photographs._written_folds(path, digests, 2)):
        with pytest.raises(UserError, match="folds-mine-2.json: .* into 3 folds, not into 2; bring it back"):
            read(str(tmp_path / "folds-mine-2.json"))

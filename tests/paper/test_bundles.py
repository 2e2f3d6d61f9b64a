"""Evidence bundles: what they hold, what tells one from another, and what is refused of one that was changed."""
import dataclasses
import json
import os
import re

import pytest

from gluon_bof.errors import UserError
from gluon_bof.files import sha256_of
from gluon_bof.options.yolo3 import Yolo3Options
from gluon_bof.paper import bundles, factorial, harness, miniature, pages
from gluon_bof.paper.bundles import Store, fingerprint
from gluon_bof.weights.zoo import BACKBONES, SHIPPED
from tests.paper.made_up import bundle_for, planned


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


def test_a_shipped_backbone_is_told_by_its_hash():
    for name in BACKBONES:
        told = bundles.configuration(Yolo3Options(pretrained_base=name), {})["options"]["pretrained_base"]
        assert told == f"{name} {shipped_sha(name)}"


def shipped_sha(name):
    return sha256_of(os.path.join(os.path.dirname(SHIPPED), f"{BACKBONES[name]}.params"))

"""gluon-bof check --with WEIGHTS. (Without, see tests/data/test_check.py.)"""
import json
import os
from dataclasses import replace

import numpy as np
import pytest

from gluon_bof.commands.check import main
from gluon_bof.data import check
from gluon_bof.evaluation.doubts import doubt_set, images_of
from gluon_bof.options.flags import as_dict
from gluon_bof.options.segmentation import SegmentationOptions
from gluon_bof.weights.resolve import resolve
from tests.command_lines import refused
from tests.evaluation.browser import look_at
from tests.tiny_networks import write_run
from tests.tiny_sets import write_voc_set


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return write_run(tmp_path_factory.mktemp("runs") / "run")


def test_doubtful_labels_are_listed_and_shown(run, tmp_path, capsys):
    folder, page = write_voc_set(tmp_path / "set", 4, 3), tmp_path / "page.html"
    assert main([str(folder), "--with", run, "--report", str(page)]) == 0
    said = capsys.readouterr()
    outcome, numbers = json.loads(said.out.splitlines()[-1]), json.loads((tmp_path / "page.json").read_text())
    assert outcome["faults"] == 0 and outcome["suspects"]["count"] == len(numbers["suspects"]) > 3
    assert sum(outcome["suspects"]["by_kind"].values()) == outcome["suspects"]["count"]
    doubts = [one["suspicion"] for one in numbers["suspects"]]
    assert doubts == sorted(doubts, reverse=True) and numbers["images"] == 7
    first = outcome["suspects"]["first"][0]
    assert first["path"] in said.err and f"{first['suspicion']:.2f}" in said.err
    seen = look_at(page, 390, tmp_path, {"missing", "class", "place", "list"})
    assert seen["needs"] <= 390 and seen["over"] == [] and seen["images"] > 3 and seen["broken"] == 0


def test_broken_images_are_left_out_that_only_decoding_finds(run, tmp_path, capsys):
    """The reader drops an image whose header is broken."""
    folder = write_voc_set(tmp_path / "set", 3, 2)
    path = folder / "VOC2007/JPEGImages/000001.jpg"
    path.write_bytes(path.read_bytes()[:-600])
    assert main([str(folder), "--with", run]) == 1
    outcome = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert outcome["faults_by_kind"] == {"broken image": 1}
    assert not any("000001.jpg" in one["path"] for one in outcome["suspects"]["first"])


def test_the_network_looks_at_the_set_as_it_was_read_which_is_not_read_again(run, tmp_path, capsys, monkeypatch):
    """It looked at all images of a set of which --masks had read those with masks."""
    folder, opened, really = write_voc_set(tmp_path / "set", 3, 2), [], check.open_set
    lists = folder / "VOC2007/ImageSets/Segmentation"
    lists.mkdir()
    for split, names in (("trainval", "000000\n000001\n"), ("test", "000003\n")):
        (lists / f"{split}.txt").write_text(names)
    monkeypatch.setattr(check, "open_set", lambda *given, **how: opened.append(given[2]) or really(*given, **how))
    assert main([str(folder), "--masks", "--with", run, "--report", str(tmp_path / "page.html")]) == 0
    images = json.loads(capsys.readouterr().out.splitlines()[-1])["images"]
    assert images == {"train": 2, "val": 1} and json.loads((tmp_path / "page.json").read_text())["images"] == 3
    assert opened == ["train", "val"]


def test_a_file_that_several_entries_name_is_one_image_with_the_boxes_of_all(run, tmp_path):
    """The boxes of the last entry alone were known, and all others' objects doubted."""
    sets, _ = check.open_parts(str(write_voc_set(tmp_path / "set", 3, 2)))
    assert any(len(record.boxes) > 1 for found in sets.values() for record in found.records)
    told = doubt_set(resolve(run), "set", sets)
    apart = [replace(record, path=path, boxes=record.boxes[some], classes=record.classes[some], difficult=record.difficult[some],
                     crowd=record.crowd[some]) for record in sets["train"].records
             for path, some in ((record.path, slice(1)), (os.path.relpath(record.path), slice(1, None)))]
    assert doubt_set(resolve(run), "set", {**sets, "train": replace(sets["train"], records=apart)}) == told
    both = replace(sets["val"], records=sets["val"].records + sets["train"].records)  # one of two equal boxes was doubted
    assert doubt_set(resolve(run), "set", {**sets, "val": both}) == told
    for before, after in zip(sets["train"].records, images_of([*sets["train"].records, *both.records])):
        assert all(np.array_equal(getattr(before, field), getattr(after, field))
                   for field in ("boxes", "classes", "difficult", "crowd"))


def test_weights_that_do_not_know_the_classes_do_not_cost_the_report_of_the_set(tmp_path, capsys):
    folder = write_voc_set(tmp_path / "set", 2, 1)
    with pytest.raises(SystemExit) as ended:
        main([str(folder), "--with", "shapes"])
    said = capsys.readouterr()
    line, = [line for line in said.err.splitlines() if line.startswith("error: ")]
    assert ended.value.code == 2 and "the network knows no blue, green, red" in line
    outcome = json.loads(said.out.splitlines()[-1])
    assert outcome["images"] == {"train": 2, "val": 1} and "suspects" not in outcome


def test_a_segmenter_is_refused_before_the_set_is_read(tmp_path, capsys):
    (tmp_path / "config.json").write_text(json.dumps({"family": "segmentation", "options": as_dict(SegmentationOptions())}))
    (tmp_path / "best.params").write_bytes(b"")
    line = refused(main, capsys, tmp_path / "no set", "--with", tmp_path)
    assert "gives every pixel a class, and finds no boxes" in line


@pytest.mark.parametrize("words, problem", [
    (("--report", "page.html"), "name the network: --with WEIGHTS"),
    (("--with", "RUN", "--report", "page.txt"), "a page's name ends in .html"),
    (("--with", "RUN", "--report", "nowhere/page.html"), "no file can be written there"),
    (("--with", "RUN", "-j", "-1"), "--num-workers -1 is below 0"),
    (("--with", "nowhere.params"), "no such weights")])
def test_what_cannot_be_done_is_one_line(run, tmp_path, capsys, words, problem):
    folder = write_voc_set(tmp_path / "set", 2, 1)
    assert problem in refused(main, capsys, folder, *(run if word == "RUN" else word for word in words))

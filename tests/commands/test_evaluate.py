"""gluon-bof evaluate WEIGHTS. (Its numbers: see tests/inference/test_model.py and tests/evaluation.)"""
import dataclasses
import os
import shutil
from pathlib import Path

import pytest

from gluon_bof.commands import check, export
from gluon_bof.commands.evaluate import build_parser
from gluon_bof.commands.flags import evaluation_fields
from gluon_bof.data.check import open_parts
from gluon_bof.errors import UserError
from gluon_bof.evaluation.doubts import doubt_set
from gluon_bof.evaluation.validation import evaluate
from gluon_bof.inference.tiles import Tiling
from gluon_bof.options.flags import written
from gluon_bof.options.yolo3 import Yolo3Options
from gluon_bof.runs.config import write_config
from gluon_bof.runs.folder import SETS, RunFolder
from gluon_bof.weights.resolve import resolve
from tests.data import voc_files
from tests.data.layout_files import coco_standard, ultralytics
from tests.tiny_networks import NETWORK, SIZE, write_run
from tests.tiny_sets import write_voc_set

HERE = {"num_workers": 0}


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return write_run(tmp_path_factory.mktemp("runs") / "run")


def test_help_tells_no_default_of_training_where_a_runs_own_options_count():
    text = " ".join(build_parser().format_help().split())
    assert "What is not given is the run's own" in text
    assert not [field.name for field in evaluation_fields()
                if field.default not in (None, "", (), dataclasses.MISSING) and f"[{written(field, field.default)}]" in text]


@pytest.mark.parametrize("words, name, value", ((("--norm-layer", "bn"), "norm_layer", "bn"),
                                                (("--network", "mobilenet1_0"), "network", "mobilenet1.0")))
def test_a_word_that_one_family_alone_takes_is_read_though_another_has_a_flag_of_that_name(words, name, value):
    assert getattr(build_parser().parse_args(["a.params", *words]), name) == value
    assert getattr(export.build_parser().parse_args(["a.params", "--to", "a.onnx", *words]), name) == value


def test_a_set_that_names_no_classes_is_not_given_the_networks_without_a_word(run, tmp_path, caplog):
    ultralytics(tmp_path)
    os.unlink(tmp_path / "data.yaml")
    assert evaluate(resolve(run, dict(HERE, dataset=str(tmp_path))))["images"] == 2
    assert f"{tmp_path} names no classes: the numbers of its labels are taken for blue, green, red, in this order" in caplog.text
    caplog.clear()
    (tmp_path / "classes.txt").write_text("green\nblue\nred\n")
    evaluate(resolve(run, dict(HERE, dataset=str(tmp_path))))
    assert "names no classes" not in caplog.text


def test_what_is_left_out_is_counted(run, tmp_path):
    write_voc_set(tmp_path, images=1, validation=2)
    (tmp_path / "VOC2007/Annotations/000002.xml").write_text("<annotation>")
    found = evaluate(resolve(run, dict(HERE, dataset=str(tmp_path), on_bad_sample="skip")))
    assert (found["images"], found["skipped"]) == (1, 1)


@pytest.mark.parametrize("count, tiling, told", ((101, None, "has 101 boxes to find: YOLOv3 and SSD give at most 100"),
                                                 (101, Tiling(640), "has 101 boxes"), (101, Tiling(SIZE), ""), (100, None, ""),
                                                 (0, None, "has a box to find")))
def test_what_no_network_finds_is_told_once_and_as_training_tells_it(run, tmp_path, caplog, count, tiling, told):
    boxes = [("red", 1 + number % 50, 1 + number // 50, 60, 60) for number in range(count)]
    voc_files.write_set(tmp_path, {"a": voc_files.xml(*boxes)}, {"val": "a"})
    evaluate(resolve(run, dict(HERE, dataset=str(tmp_path))), tiling=tiling)
    assert caplog.text.count("to find") == bool(told) and told in caplog.text


def test_outputs_that_nothing_names_are_not_taken_for_the_sets_classes_without_a_word(run, tmp_path, caplog):
    shutil.copy(f"{run}/best.params", tmp_path / "lone.params")
    write_voc_set(tmp_path / "set", images=2, validation=1)
    told = dict(HERE, network=NETWORK, data_shape=SIZE, dataset=str(tmp_path / "set"))
    said = "lone.params tells no class names: its outputs are taken for blue, green, red, in this order; --classes tells another"
    evaluate(resolve(str(tmp_path / "lone.params"), told))
    assert said in caplog.text
    caplog.clear()
    lone = resolve(str(tmp_path / "lone.params"), {"network": NETWORK, "data_shape": SIZE})
    doubt_set(lone, told["dataset"], open_parts(told["dataset"])[0])
    assert said in caplog.text
    caplog.clear()
    evaluate(resolve(str(tmp_path / "lone.params"), dict(told, classes="blue,green,red")))
    assert "tells no class names" not in caplog.text


def test_a_class_of_the_set_that_the_weights_do_not_know_has_a_remedy_that_does_not_lead_back(run, tmp_path):
    """It was to be named in --classes, which nobody had given, and which refuses it."""
    write_voc_set(tmp_path, images=2, validation=3)
    for path in (tmp_path / "VOC2007/Annotations").glob("*.xml"):
        path.write_text(path.read_text().replace("<name>blue", "<name>Blue"))
    with pytest.raises(UserError, match="the weights do not know the set's class 'Blue'; --on-bad-sample skip .* --classes"):
        evaluate(resolve(run, dict(HERE, dataset=str(tmp_path))))
    found = evaluate(resolve(run, dict(HERE, dataset=str(tmp_path), on_bad_sample="skip")))
    assert found["images"] == 3 and found["skipped"] > 0
    assert evaluate(resolve(run, dict(HERE, dataset=str(tmp_path), classes="Blue,green,red")))["skipped"] == 0


@pytest.mark.parametrize("told", (dict(network=NETWORK), dict(model="unet")))
def test_missing_weights_are_told_before_the_set_is_read(told, tmp_path):
    with pytest.raises(UserError, match="none.params: there are no such weights"):
        evaluate(resolve(str(tmp_path / "none.params"), dict(told, dataset=str(tmp_path / "no set"))))


def test_no_output_takes_the_place_of_weights_annotations_or_images(run, tmp_path):
    coco_standard(tmp_path / "set")
    path = tmp_path / "set/annotations/instances_val2017.json"
    path.write_text(path.read_text().replace("cat\"", "blue\"").replace("dog\"", "green\""))
    found = resolve(run, dict(HERE, dataset=str(tmp_path / "set")))
    read = [f"{run}/best.params", f"{run}/config.json", str(path), str(tmp_path / "set/val2017/e.jpg")]
    before = [Path(path).read_bytes() for path in read]
    for path in read:
        for outputs in (dict(save=path), dict(report=path)):
            with pytest.raises(UserError, match="the command reads this file, which would be replaced"):
                evaluate(found, **outputs)
    assert [Path(path).read_bytes() for path in read] == before
    for name in ("annotations/other.json", "train2017/f.jpg", "notes.html", "annotations.html"):  # whose numbers go into a .json
        (tmp_path / "set" / name).parent.mkdir(exist_ok=True)
        (tmp_path / "set" / name).write_text("mine")
        for outputs in (dict(save=str(tmp_path / "set" / name)), dict(report=str(tmp_path / "set" / name))):
            with pytest.raises(UserError, match="this file lies in the set's folder, and would be replaced"):
                evaluate(found, **outputs)
        with pytest.raises(SystemExit):
            check.main([str(tmp_path / "set"), "--with", run, "--report", str(tmp_path / "set" / name)])
        assert (tmp_path / "set" / name).read_text() == "mine"
    for _ in range(2):  # what such a command wrote there
        evaluate(found, save=str(tmp_path / "set/found.json"), report=str(tmp_path / "set/page.html"))


def test_a_set_that_is_not_the_one_that_the_run_was_validated_on_is_told_of(run, tmp_path, caplog):
    """It may hold images that the run was trained on, where every fifth one validates."""
    shutil.copytree(run, tmp_path / "run")
    write_voc_set(tmp_path / "set", images=2, validation=1)
    write_config(str(tmp_path / "run"), Yolo3Options(network=NETWORK, data_shape=SIZE, dataset=str(tmp_path / "set")))
    evaluate(resolve(str(tmp_path / "run"), HERE))
    assert "was validated on" not in caplog.text
    RunFolder(str(tmp_path / "run")).keep_result(SETS, {"train": "a", "val": "b"})
    evaluate(resolve(str(tmp_path / "run"), HERE))
    assert caplog.text.count("the validation set is not the one that") == 1

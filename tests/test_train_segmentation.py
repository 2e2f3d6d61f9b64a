"""The script as a user runs it, on a small real set; evaluate, predict, load, export and weights with its runs; refusals."""
import contextlib
import csv
import io
import json
import os
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

import train_segmentation
from gluon_bof.backend import autograd, gluon, mx
from gluon_bof.commands import evaluate as evaluate_command
from gluon_bof.commands import export as export_command
from gluon_bof.commands import predict as predict_command
from gluon_bof.commands import train as train_command
from gluon_bof.commands import weights as weights_command
from gluon_bof.data.label_sets import open_segmentation
from gluon_bof.data.segmentation import read_labels
from gluon_bof.errors import UserError
from gluon_bof.evaluation.compare import compare_runs
from gluon_bof.evaluation.segmentation import confusion, scores_of
from gluon_bof.freebies.label_maps import unfitted
from gluon_bof.inference.detector import open_detector
from gluon_bof.inference.model import load
from gluon_bof.inference.segmenter import likeliest
from gluon_bof.runs.config import read_config
from gluon_bof.runs.folder import RunFolder
from gluon_bof.training import segmentation
from gluon_bof.training.segmentation import Reseeded
from gluon_bof.weights.resolve import resolve
from tests.command_lines import refused
from tests.contracts import killed_after_a_checkpoint
from tests.distributed.group import train as train_together
from tests.scripts import ROOT, inside
from tests.tiny_masks import CLASSES, HEIGHT, WIDTH, write_mask_set

SMALL = ("--model unet --backbone plain --upsampling max-unpooling --base-size 64 --crop-size 32 --batch-size 4 "
         "--test-batch-size 2 "
         "--epochs 2 --optimizer adam --lr 0.01 --lr-mode cosine --mixup --no-mixup-epochs 1 --label-smooth-eps 0.1 --ema 0.5 "
         "--no-wd -j 0 --log-interval 1 --seed 3 --on-bad-sample skip --gpus=").split()


def said(main, words):
    """(what a command's main returns, its last line on standard output)."""
    with contextlib.redirect_stdout(io.StringIO()) as out, contextlib.redirect_stderr(io.StringIO()):
        returned = main(list(map(str, words)))
    return returned, json.loads(out.getvalue().splitlines()[-1])


def words(folder, name, *more):
    return [*SMALL, "--dataset", str(folder / "set"), "--runs", str(folder / "runs"), "--name", name, *more]


@pytest.fixture(scope="module", name="folder")
def folder_of_a_run(tmp_path_factory):
    """A folder with a set that has an image cut short, a run that nobody interrupted, and what it said last in outcome.json."""
    folder = tmp_path_factory.mktemp("work")
    write_mask_set(folder / "set", 12, 5)
    os.truncate(folder / "set" / "train" / "images" / "train05.jpg", 600)
    outcome, last = said(train_segmentation.main, words(folder, "whole"))
    assert json.loads(json.dumps(outcome)) == last
    (folder / "outcome.json").write_text(json.dumps(outcome))
    return folder


@pytest.fixture(name="whole")
def whole_run(folder):
    return RunFolder(str(folder / "runs" / "whole"))


def test_the_last_line_is_the_outcome_and_the_folder_is_complete(folder, whole):
    outcome = json.loads((folder / "outcome.json").read_text())
    assert outcome["iterations"] == 6 and outcome["skipped"] == 1 and set(outcome["per_class"]) == set(CLASSES)
    assert 0 <= outcome["miou"] <= outcome["best_miou"] <= 1 and 0 <= outcome["pixel_accuracy"] <= 1
    for name in ("config.json", "metrics.csv", "intervals.csv", "last.params", "best.params", "classes.txt",
                 "images/training_images.png", "images/validation_images.png", "images/validation_miou.png"):
        assert (Path(whole.folder) / name).stat().st_size > 0, name
    with open(whole.table("metrics"), newline="") as file:
        rows = list(csv.DictReader(file))
    assert [name for name in rows[0] if name.endswith("_loss")] == ["cross_entropy_loss", "total_loss"]
    assert float(rows[-1]["miou"]) == outcome["miou"] and float(rows[-1]["pixel_accuracy"]) == outcome["pixel_accuracy"]
    assert read_config(whole.folder)["family"] == "segmentation"


@pytest.fixture(name="without_pages")
def no_pages(monkeypatch):
    """Pages of a run take as long as all the rest."""
    for name in ("draw_training_maps", "draw_validation_maps", "draw_run"):
        monkeypatch.setattr(segmentation, name, lambda *_: None)


@pytest.mark.parametrize("workers", (pytest.param("1", marks=pytest.mark.slow), "3"))
def test_the_workers_number_changes_no_bit(folder, whole, workers, without_pages):
    said(train_segmentation.main, words(folder, f"workers-{workers}", "-j", workers))
    other = RunFolder(str(folder / "runs" / f"workers-{workers}"))
    assert Path(other.last_weights).read_bytes() == Path(whole.last_weights).read_bytes()


def test_another_seed_changes_the_weights(folder, whole, without_pages):
    said(train_segmentation.main, words(folder, "other", "--seed", "4", "--epochs", "1", "--no-mixup-epochs", "0"))
    other = RunFolder(str(folder / "runs" / "other"))
    assert Path(other.last_weights).read_bytes() != Path(whole.last_weights).read_bytes()


def test_killed_it_goes_on_to_the_bit(folder, whole, without_pages):
    run = RunFolder(str(folder / "runs" / "killed"))
    killed_after_a_checkpoint([sys.executable, "-W", "ignore", "-m", "train_segmentation", *words(folder, "killed")], folder, run)
    outcome, _ = said(train_segmentation.main, ["--resume", run.folder])
    assert Path(run.last_weights).read_bytes() == Path(whole.last_weights).read_bytes()
    assert outcome["miou"] == json.loads((folder / "outcome.json").read_text())["miou"]


def test_dropout_draws_the_same_when_a_run_goes_on_and_other_masks_on_each_device():
    """Two steps in a row, and the second one alone: the same masks; another batch, or another device, other masks."""
    devices = [mx.cpu(0), mx.cpu(1)]
    layer, images = gluon.nn.Dropout(0.5), [mx.nd.ones((64, 64), ctx=device) for device in devices]
    layer.initialize(ctx=devices)

    def masks(batch, device=0):
        arguments = Reseeded(7)
        arguments.step = SimpleNamespace(batch=batch, devices=devices)
        with autograd.train_mode():
            return layer(*arguments(images[device])).asnumpy()

    first, second = masks(0), masks(1)
    assert (masks(1) == second).all() and (first != second).any() and (masks(0, 1) != first).any()


@pytest.mark.slow
def test_the_embedded_job_reaches_its_goal(tmp_path):
    outcome, _ = said(train_segmentation.main, ["--runs", tmp_path, "--gpus="])
    assert outcome["miou"] >= 0.75


@pytest.mark.slow
@pytest.mark.parametrize("batch", ("2", "5"))  # of the 5 images: both validate, or one of the two has no share
def test_two_workers_train_and_validate_as_one_process(folder, batch):
    # what every pixel goes through is frozen but the last layer, which is the same in one process and in many
    more = ("--freeze", "all-but-head", "--optimizer", "sgd", "--upsampling", "transposed", "--test-batch-size", batch)
    one, _ = said(train_segmentation.main, words(folder, f"one-{batch}", *more))
    first, second = train_together(2, [str(ROOT / "train_segmentation.py"), *words(folder, f"two-{batch}", *more)], folder)
    two = json.loads(first.out.splitlines()[-1])
    assert second.out == "" and two["iterations"] == one["iterations"]
    assert two["miou"] == pytest.approx(one["miou"], abs=1e-3)
    assert two["pixel_accuracy"] == pytest.approx(one["pixel_accuracy"], abs=1e-3)


# what is done with a run

def test_evaluation_of_a_run_is_its_last_validation(folder, whole):
    _, found = said(evaluate_command.main, [whole.folder, "--last", "--num-workers", "0", "--engine", "auto"])
    assert found["val_split"] == ""
    outcome = json.loads((folder / "outcome.json").read_text())
    assert {key: found[key] for key in ("miou", "pixel_accuracy", "per_class")} == {
        key: outcome[key] for key in ("miou", "pixel_accuracy", "per_class")}
    assert found["images"] == 5 and found["skipped"] == 0 and "map" not in found


def test_an_image_that_evaluation_leaves_out_is_counted(whole, tmp_path):
    write_mask_set(tmp_path / "set", 1, 3)
    (tmp_path / "set" / "val" / "masks" / "val01.png").write_bytes(b"no map")
    _, found = said(evaluate_command.main, [whole.folder, "--dataset", tmp_path / "set", "--num-workers", "0",
                                             "--on-bad-sample", "skip"])
    assert (found["images"], found["skipped"]) == (2, 1)


def test_predictions_are_label_maps_in_the_images_own_pixels_and_score_as_evaluated(folder, whole):
    model = load(whole.folder, last=True)
    assert model.classes == CLASSES
    samples = open_segmentation(str(folder / "set"), None, "val").samples
    found = model.predict([sample.path for sample in samples])
    counts = 0
    for sample, one in zip(samples, found):
        assert one.labels.shape == one.scores.shape == (HEIGHT, WIDTH) and one.labels.dtype == np.uint8
        assert (one.scores >= 1 / 3 - 1e-6).all() and (one.scores <= 1).all() and one.labels.max() < 3
        counts = counts + confusion(one.labels, read_labels(sample, 3), 3)
    assert scores_of(counts)[1] == pytest.approx(json.loads((folder / "outcome.json").read_text())["miou"], abs=1e-9)


def test_predict_writes_overlays_and_maps(folder, whole, tmp_path):
    image = sorted((folder / "set" / "val" / "images").iterdir())[0]
    (tmp_path / "broken.jpg").write_bytes(b"no image")
    _, answer = said(predict_command.main, [whole.folder, image, tmp_path / "broken.jpg", "--out", tmp_path / "out", "--last",
                                            "--on-bad-sample", "skip"])
    assert answer["images"] == 1 and len(answer["skipped"]) == 1
    wanted = load(whole.folder, last=True).predict(str(image)).labels
    with Image.open(tmp_path / "out" / f"{image.stem}.labels.png") as written:
        np.testing.assert_array_equal(np.array(written), wanted)
    with Image.open(tmp_path / "out" / image.name) as drawn:
        assert drawn.size == (WIDTH, HEIGHT)
    row, = json.loads((tmp_path / "out" / "segments.json").read_text())["images"]
    assert sum(row["shares"].values()) == pytest.approx(1)


@pytest.mark.parametrize("theirs", ("segments.json", "a.labels.png"))
def test_a_label_map_or_summary_takes_the_place_of_no_file_in_anothers_folder(theirs, folder, whole, tmp_path, capsys):
    image = sorted((folder / "set" / "val" / "images").iterdir())[0]
    Image.open(image).save(tmp_path / "a.png")
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / theirs).write_text("theirs")
    line = refused(predict_command.main, capsys, whole.folder, tmp_path / "a.png", "--out", tmp_path / "out")
    assert f"{theirs}: the prediction would replace it" in line
    assert [path.name for path in (tmp_path / "out").iterdir()] == [theirs]


def test_images_of_one_name_do_not_overwrite_each_others_maps(folder, whole, tmp_path):
    one, other = (Image.open(path) for path in sorted((folder / "set" / "val" / "images").iterdir())[:2])
    one.save(tmp_path / "a.png")
    other.save(tmp_path / "a.jpg", quality=100)
    one.save(tmp_path / "a.labels.png")
    said(predict_command.main, [whole.folder, tmp_path, "--out", tmp_path / "out"])
    rows = json.loads((tmp_path / "out" / "segments.json").read_text())["images"]
    files = [row["labels"] for row in rows]
    assert len(set(files)) == 3 and not {Path(file).name for file in files} & {"a.png", "a.jpg", "a.labels.png"}
    model = load(whole.folder)
    for row in rows:
        with Image.open(row["labels"]) as written:
            np.testing.assert_array_equal(np.array(written), model.predict(row["file"]).labels)


def test_a_file_outside_a_run_is_evaluated_as_the_network_that_the_flags_say(folder, whole, tmp_path):
    (tmp_path / "a.params").write_bytes(Path(whole.last_weights).read_bytes())
    _, found = said(evaluate_command.main, [tmp_path / "a.params", "--model", "unet", "--backbone", "plain", "--upsampling",
                                            "max-unpooling", "--dataset", folder / "set", "--crop-size", "32", "-j", "0"])
    assert found["miou"] == json.loads((folder / "outcome.json").read_text())["miou"]


def test_a_pixels_class_is_its_likeliest_after_interpolation_the_first_of_equal_ones():
    scores = np.random.default_rng(0).random((5, 16, 16)).astype(np.float32)
    scores[3] = scores[1]
    for shape in ((40, 29), (16, 9), (7, 12)):
        whole = unfitted(scores, shape)
        found = likeliest(scores, shape)
        np.testing.assert_array_equal(found.labels, whole.argmax(axis=0))
        np.testing.assert_array_equal(found.scores, whole.max(axis=0))


def test_export_of_a_run_agrees_with_onnxruntime(whole, tmp_path):
    pytest.importorskip("onnxruntime")
    _, answer = said(export_command.main, [whole.folder, "--to", tmp_path / "a.onnx", "--size", "64,32"])
    assert answer["score_difference"] < 1e-4 and answer["size"] == [64, 32] and (tmp_path / "a.onnx").stat().st_size > 1000


def test_an_export_of_a_segmenter_is_compared_on_no_other_images_than_predict_takes(folder, whole, tmp_path):
    pytest.importorskip("onnxruntime")
    model, path = load(whole.folder), min((folder / "set" / "val" / "images").iterdir())
    assert model.export(tmp_path / "a.onnx", images=path).images == 5
    for bad in ([np.zeros((40, 60, 3))], np.zeros((40, 60), np.uint8), [tmp_path / "none.png"]):
        with pytest.raises(UserError, match="is no image|does not exist"):
            model.export(tmp_path / "b.onnx", images=bad)
    with pytest.raises(UserError, match="this file, which would be replaced"):
        model.export(path, images=[path])


def test_weights_show_tells_the_network(whole):
    _, answer = said(weights_command.main, ["show", whole.folder])
    assert (answer["network"], answer["number_of_classes"], answer["classes"]) == ("unet_plain", 3, list(CLASSES))


def test_eval_only_validates_and_keeps_no_run(folder, whole):
    outcome, _ = said(train_segmentation.main, words(folder, "evaluated", "--eval", "--resume", whole.last_weights))
    assert outcome["miou"] == json.loads((folder / "outcome.json").read_text())["miou"]
    assert not (folder / "runs" / "evaluated").exists()


def test_train_names_the_family(capsys):
    train_command.main([])
    assert "segmentation" in capsys.readouterr().out


@pytest.mark.parametrize("main, more, told", [
    (predict_command.main, ("IMAGE", "--out", "OUT", "--tile", "640"), "a segmenter takes no --tile"),
    (predict_command.main, ("IMAGE", "--out", "OUT", "--nms", "0.5"), "a segmenter takes no --nms"),
    (predict_command.main, ("IMAGE", "--out", "OUT", "--score", "0.5"), "a segmenter takes no --score"),
    (predict_command.main, ("IMAGE", "--out", "OUT", "--engine", "onnx"), "a segmenter takes no --engine"),
    (predict_command.main, ("VIDEO", "--out", "OUT"), "a segmenter takes images, not videos"),
    (evaluate_command.main, ("--engine", "onnx"), "a segmenter takes no --engine onnx; leave it out: MXNet computes segmenters"),
    (evaluate_command.main, ("--save-json", "a.json"), "a segmenter takes no --save-json"),
    (evaluate_command.main, ("--report", "a.html"), "a segmenter takes no --report"),
    (evaluate_command.main, ("--metric", "coco"), "segmentation has no --metric"),
    (evaluate_command.main, ("--dataset", "nowhere"), "no data set 'nowhere'"),
    (export_command.main, ("--to", "a", "--format", "mxnet"), "is not exported as mxnet; give --format onnx"),
    (export_command.main, ("--to", "a.onnx", "--no-nms"), "a segmenter suppresses nothing; leave --no-nms out"),
    (export_command.main, ("--to", "a.onnx", "--size", "33,32"), "cannot see images of 33 x 32")])
def test_what_a_segmenter_cannot_do_is_refused_in_one_line(main, more, told, folder, whole, tmp_path, capsys):
    image = sorted((folder / "set" / "val" / "images").iterdir())[0]
    (tmp_path / "a.mp4").write_bytes(b"")
    places = {"IMAGE": str(image), "OUT": str(tmp_path / "out"), "VIDEO": str(tmp_path / "a.mp4")}
    with inside(tmp_path):
        assert told in refused(main, capsys, whole.folder, *(places.get(word, word) for word in more))


def test_a_report_of_detectors_refuses_it(whole, tmp_path):
    with pytest.raises(UserError, match="this run trained no detector"):
        compare_runs(str(tmp_path / "a.html"), [whole.folder])


@pytest.mark.parametrize("name, classes", (("fcn_resnet101_voc", 21), ("fcn_resnet50_ade", 150)))
def test_a_file_of_gluoncvs_name_tells_its_network_and_classes(name, classes, tmp_path):
    (tmp_path / f"{name}.params").write_bytes(b"")
    found = resolve(str(tmp_path / f"{name}.params"))
    assert (found.options.model, found.options.backbone, found.options.aux) == ("fcn", name.split("_")[1], True)
    assert len(found.classes) == classes and len(set(found.classes)) == classes


def test_it_is_no_detector(whole):
    with pytest.raises(UserError, match="gives every pixel a class"):
        open_detector(resolve(whole.folder))

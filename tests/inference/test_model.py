"""gluon_bof.load and what it gives: the same detections from a path, an array, a list and from `evaluate`."""
import json
import os
import shutil

import cv2
import numpy as np
import pytest
from PIL import Image

import gluon_bof
from gluon_bof.backend import autograd, gluon, mx
from gluon_bof.commands.evaluate import main as evaluate
from gluon_bof.data.images import read_upright
from gluon_bof.errors import UserError
from tests.data.image_files import gradient
from tests.tiny_networks import NETWORK, SIZE, write_run
from tests.tiny_sets import CLASSES, write_voc_set


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A run's folder, whose last weights are not its best."""
    folder = tmp_path_factory.mktemp("runs")
    best, other = write_run(folder / "best", seed=3), write_run(folder / "other", seed=4)
    shutil.copy(os.path.join(other, "best.params"), os.path.join(best, "last.params"))
    return best


@pytest.fixture(scope="module")
def model(run):
    return gluon_bof.load(run)


@pytest.fixture(scope="module")
def voc(tmp_path_factory):
    """(a set's folder, paths of its test part)."""
    folder = write_voc_set(tmp_path_factory.mktemp("set"), images=1, validation=5)
    return str(folder), sorted(str(path) for path in folder.glob("VOC2007/JPEGImages/*.jpg"))[1:]


@pytest.fixture(scope="module")
def alone(run, tmp_path_factory):
    """The weights outside of any run."""
    return shutil.copy(os.path.join(run, "best.params"), tmp_path_factory.mktemp("weights") / "mine.params")


def same(one, other):
    for part, wanted in zip(one, other):
        np.testing.assert_array_equal(part, wanted)
    return True


# predictions

def test_a_path_and_an_array_alone_or_in_a_list_give_the_same(model, voc, tmp_path):
    path = tmp_path / "a.png"
    shutil.copy(voc[1][0], path)  # what it is decides, not its name
    image = read_upright(str(path))
    found = model.predict(image)
    assert len(found.scores) > 10
    assert all(same(found, other) for other in [model.predict(str(path)), model.predict(path), *model.predict([image, path])])
    assert same(found, model.predict(image[:, ::-1].copy()[:, ::-1]))  # an array that does not lie in one piece
    lists = model.predict(tuple(voc[1]))
    assert len(lists) == 5 and not np.array_equal(lists[0].scores[:5], lists[1].scores[:5])
    assert model.predict([]) == []


@pytest.mark.parametrize("size", [(96, 120), (300, 20), (7, 200), (1, 1)])
def test_boxes_lie_within_the_image(model, size):
    image = np.random.default_rng(0).integers(0, 256, (*size, 3)).astype(np.uint8)
    found = model.predict(image)
    boxes = found.boxes
    assert boxes.dtype == found.scores.dtype == np.float32 and found.classes.dtype == np.int64
    assert boxes.shape == (len(found.scores), 4) and len(found.names) == len(found.classes) == len(boxes) > 0
    assert (boxes >= 0).all() and (boxes <= [size[1], size[0], size[1], size[0]]).all() and (boxes[:, 2:] >= boxes[:, :2]).all()
    assert (np.diff(found.scores) <= 0).all() and ((found.scores > 0) & (found.scores <= 1)).all()
    assert found.names == [model.classes[number] for number in found.classes] and model.classes == CLASSES


def test_a_score_leaves_out_what_is_below_it(model, voc):
    whole = model.predict(voc[1][0])
    limit = float(whole.scores[6])
    few = model.predict(voc[1][0], score=limit)
    assert len(few.scores) == (whole.scores >= limit).sum() >= 7
    assert same(few, [part[:len(few.scores)] for part in whole])
    none = model.predict(voc[1][0], score=1)
    assert none.boxes.shape == (0, 4) and none.names == []


def test_predictions_are_those_of_evaluate(run, model, voc, tmp_path, capsys):
    saved = tmp_path / "saved.json"
    evaluate([run, "--dataset", voc[0], "--num-workers", "0", "--batch-size", "3", "--save-json", str(saved),
              "--report", str(tmp_path / "why.html")])
    outcome = json.loads(capsys.readouterr().out)
    told = json.loads((tmp_path / "why.json").read_text())
    assert outcome["images"] == 5 and outcome["skipped"] == 0 and outcome["map"] == told["map"]
    assert outcome["calibration_error"] == told["calibration"]["error"] > 0
    rows = json.loads(saved.read_text())
    for path, found in zip(voc[1], model.predict(voc[1])):
        mine = [row for row in rows if row["image_id"] == os.path.splitext(os.path.basename(path))[0]]
        assert len(mine) == len(found.scores) > 10
        np.testing.assert_allclose([row["score"] for row in mine], found.scores, rtol=1e-5)
        np.testing.assert_array_equal([row["category_id"] for row in mine], found.classes + 1)
        sides = np.hstack([found.boxes[:, :2], found.boxes[:, 2:] - found.boxes[:, :2]])
        np.testing.assert_allclose([row["bbox"] for row in mine], sides, atol=1e-3)


@pytest.mark.parametrize("bad", [np.zeros((4, 4), np.uint8), np.zeros((4, 4, 4), np.uint8), np.zeros((1, 4, 4, 3), np.uint8),
                                 np.zeros((0, 4, 3), np.uint8), np.zeros((4, 4, 3)), np.zeros((4, 4, 3), np.int8)],
                         ids=lambda array: f"{array.shape} {array.dtype}")
def test_other_arrays_are_refused(model, bad):
    with pytest.raises(UserError, match=r"is no image; give \(height, width, 3\) uint8"):
        model.predict(bad)


def test_what_is_neither_path_nor_array_nor_list_is_refused_in_a_short_line(model):
    for bad in (None, 0, 1.5, b"a" * 9999, (path for path in "ab"), mx.nd.zeros((4, 4, 3), dtype="uint8"), [None]):
        with pytest.raises(UserError, match="is no image; give a path, an array"):  # 0: would wait for the keyboard
            model.predict(bad)


@pytest.mark.parametrize("score", (30, 1.01, -1, float("nan"), "0.3", None, True))
def test_a_score_that_no_detection_or_every_one_has_is_refused(model, score):
    with pytest.raises(UserError, match=rf"^score {score!r} is outside \[0, 1\]; 0.3 is usual"):
        model.predict(np.zeros((4, 4, 3), np.uint8), score=score)


def test_within_a_recorded_step_the_same_is_found(model, voc):
    wanted = model.predict(voc[1][0])
    with autograd.record():
        assert same(model.predict(voc[1][0]), wanted)
    with autograd.train_mode():
        assert same(model.predict(voc[1][0]), wanted)


def test_missing_and_broken_files_are_named(model, voc, tmp_path):
    half = tmp_path / "half.jpg"
    with open(voc[1][0], "rb") as file:
        half.write_bytes(file.read()[:-300])
    (tmp_path / "text.png").write_text("no image")
    for path in (half, tmp_path / "text.png", tmp_path / "none.jpg", tmp_path):
        with pytest.raises(UserError) as caught:
            model.predict([voc[1][0], str(path)])
        assert caught.value.path == str(path) and len(str(caught.value).splitlines()) == 1


# images as people see them

def test_boxes_are_in_the_upright_images_pixels(model, voc, tmp_path):
    with Image.open(voc[1][0]) as stored:
        upright = np.asarray(stored)
    exif = Image.Exif()
    exif[0x0112] = 8  # to be turned to the left
    Image.fromarray(np.rot90(upright, -1)).save(tmp_path / "turned.png", exif=exif)
    assert same(model.predict(tmp_path / "turned.png"), model.predict(upright))


def test_a_damaged_exif_header_does_not_hide_the_image(tmp_path):
    Image.fromarray(gradient()).save(tmp_path / "a.jpg", exif=b"Exif\0\0MM\0*\xff\xff\xff\xff\xff", quality=95, subsampling=0)
    np.testing.assert_allclose(read_upright(tmp_path / "a.jpg").astype(int), gradient(), atol=12)


@pytest.mark.parametrize("mode, ending", [("L", "png"), ("L", "jpg"), ("LA", "png"), ("1", "png"), ("P", "png"), ("P", "bmp"),
                                          ("RGBA", "png"), ("CMYK", "jpg"), ("CMYK", "tif"), ("L", "tif")])
def test_any_kind_of_image_has_its_three_channels(model, mode, ending, tmp_path):
    path = tmp_path / f"a.{ending}"
    transparent = np.dstack([gradient(), gradient()[:, :, 0]])
    image = Image.fromarray(transparent) if mode == "RGBA" else Image.fromarray(gradient()).convert(mode)
    image.save(path, **({"quality": 95} if ending == "jpg" else {}))
    with Image.open(path) as stored:
        assert stored.mode == mode
        wanted = np.asarray(stored.convert("RGB")).astype(int)
    read = read_upright(path)
    assert read.shape == (48, 64, 3) and read.dtype == np.uint8
    np.testing.assert_allclose(read.astype(int), wanted, atol=2)
    assert same(model.predict(path), model.predict(read))


@pytest.mark.parametrize("ending", ["png", "tif"])
@pytest.mark.parametrize("channels", [1, 3])
def test_sixteen_bits_become_eight(channels, ending, tmp_path):
    deep = gradient().astype(np.uint16) * 256 + 200
    cv2.imwrite(str(tmp_path / f"a.{ending}"), deep[:, :, ::-1] if channels == 3 else deep[:, :, 0])
    wanted = gradient() if channels == 3 else gradient()[:, :, :1].repeat(3, axis=2)
    np.testing.assert_allclose(read_upright(tmp_path / f"a.{ending}").astype(int), wanted, atol=1)


# loading

def test_weights_of_a_run_and_outside_of_one_are_the_same(run, model, alone, voc, tmp_path):
    names = tmp_path / "names.txt"
    names.write_text("\n".join(CLASSES))
    wanted = model.predict(voc[1][0])
    assert same(gluon_bof.load(os.path.join(run, "best.params")).predict(voc[1][0]), wanted)
    for classes in (CLASSES, list(CLASSES), ",".join(CLASSES), str(names)):
        other = gluon_bof.load(alone, network=NETWORK, classes=classes, short=SIZE)
        assert other.classes == CLASSES and same(other.predict(voc[1][0]), wanted)


def test_a_runs_last_weights_are_others(run, model, voc):
    last = gluon_bof.load(run, last=True)
    assert not np.array_equal(last.predict(voc[1][0]).scores[:5], model.predict(voc[1][0]).scores[:5])
    assert same(gluon_bof.load(os.path.join(run, "last.params"), classes=None).predict(voc[1][0]), last.predict(voc[1][0]))


def test_another_size_and_overlap_change_what_is_found(run, model, voc):
    wanted = model.predict(voc[1][0])
    larger = gluon_bof.load(run, device="cpu", short=96).predict(voc[1][0])
    assert not np.array_equal(larger.boxes[:5], wanted.boxes[:5]) and (larger.boxes <= [120, 96, 120, 96]).all()
    assert len(gluon_bof.load(run, nms=0.05).predict(voc[1][0]).scores) < len(wanted.scores)
    assert same(gluon_bof.load(run, nms=model.detector.network.nms_thresh).predict(voc[1][0]), wanted)
    assert same(gluon_bof.load(run, short=np.int64(SIZE), nms=np.float64(model.detector.network.nms_thresh)).predict(voc[1][0]),
                wanted)


@pytest.mark.parametrize("options, said", [
    ({"short": 1056}, "short 1056 is not a multiple of 32 up to 1024"), ({"short": 100}, "short 100 is not a multiple of 32"),
    ({"short": 0}, "short 0"), ({"short": -32}, "short -32"), ({"nms": 0}, "nms 0"), ({"nms": 1.5}, "nms 1.5"),
    ({"nms": float("nan")}, "nms nan"), ({"nms": "0.4"}, "nms '0.4'"), ({"nms": True}, "nms True"),
    ({"short": "64"}, "short cannot be '64'"), ({"short": True}, "short cannot be True"),
    ({"metric": 3}, "metric cannot be 3; a value such as '3'"),
    ({"device": "gpu:99"}, "GPU 99 was asked for"), ({"device": "tpu"}, "device 'tpu'"),
    ({"device": ""}, "device ''"), ({"classes": "one"}, "its classes are blue, green, red"), ({"classes": "a,a"}, "twice"),
    ({"network": "mobilenet0.25"}, "the weights do not fit"), ({"colour": "red"}, "YOLOv3 has no colour")])
def test_options_that_cannot_be_are_refused(run, options, said):
    with pytest.raises(UserError) as caught:
        gluon_bof.load(run, **options)
    assert said in str(caught.value) and caught.value.remedy


@pytest.mark.skipif(mx.context.num_gpus() > 0, reason="this machine has a GPU")
def test_a_gpu_that_is_not_there_is_refused(run):
    for device in ("gpu", "gpu:0", "gpu1"):
        with pytest.raises(UserError, match="GPU . was asked for, but MXNet sees 0; device cpu always works"):
            gluon_bof.load(run, device=device)


def test_weights_that_are_not_there_are_named_before_anything_else(run, alone, tmp_path):
    for missing in (tmp_path / "none.params", tmp_path / "none"):
        with pytest.raises(UserError, match="there are no such weights") as caught:
            gluon_bof.load(missing)
        assert caught.value.path == str(missing)
    begun = tmp_path / "begun"
    shutil.copytree(run, begun)
    (begun / "best.params").unlink()
    with pytest.raises(UserError, match=f"{begun}: the run has no best weights yet.*; give its last ones: {begun}/last.params"):
        gluon_bof.load(begun)
    (begun / "last.params").unlink()
    with pytest.raises(UserError, match="best.params: there are no such weights"):
        gluon_bof.load(begun)
    with pytest.raises(UserError, match="not a run's folder"):
        gluon_bof.load(tmp_path)
    with pytest.raises(UserError, match="class names of these weights are not known"):
        gluon_bof.load(alone, network=NETWORK)
    with pytest.raises(UserError, match="yolo3_darknet53_vok"):
        gluon_bof.load("yolo3_darknet53_vok")
    (tmp_path / "text.params").write_text("no weights")
    with pytest.raises(UserError, match="text.params"):
        gluon_bof.load(tmp_path / "text.params", network=NETWORK, classes=CLASSES)


@pytest.mark.parametrize("format", ("onnx", "mxnet"))
@pytest.mark.parametrize("bad, told", (
    (np.zeros((40, 60), np.uint8), r"an array \(40, 60\) of uint8 is no image"),
    ([np.zeros((40, 60, 4), np.uint8)], r"an array \(40, 60, 4\) of uint8 is no image"),
    ([np.zeros((40, 60, 3))], "of float64 is no image"), (np.zeros((40, 60, 3), np.uint16), "of uint16 is no image"),
    ("none.jpg", "none.jpg: the image does not exist"), (None, "NoneType is no image")))
def test_an_export_is_compared_on_no_other_images_than_predict_takes(format, bad, told, model, tmp_path):
    with pytest.raises(UserError, match=told):
        model.export(tmp_path / "a", format, images=bad)
    assert not os.listdir(tmp_path)


def test_an_export_is_compared_on_images_however_they_are_given_and_replaces_none(model, voc, tmp_path):
    path = shutil.copy(voc[1][0], tmp_path / "a.json")
    read, checks = read_upright(path), []
    with Image.open(path) as opened:
        for images in ([read], read, path, [opened], read[None]):
            checks.append(model.export(tmp_path / "b", "mxnet", images=images))
    assert checks == [checks[0]] * 5 and checks[0].images == 5
    with pytest.raises(UserError, match="a.json: the command reads this file, which would be replaced"):
        model.export(tmp_path / "a", "mxnet", images=path)


def test_export(model, voc, tmp_path):
    check = model.export(tmp_path / "a", format="mxnet", size=(64, 96), images=[read_upright(voc[1][0])])
    assert check.detections > 50 and check.score_difference == check.box_difference == 0
    assert sorted(os.listdir(tmp_path)) == ["a-0000.params", "a-symbol.json", "a.json"]
    block = gluon.SymbolBlock.imports(str(tmp_path / "a-symbol.json"), ["image"], str(tmp_path / "a-0000.params"))
    assert block(mx.nd.zeros((1, 64, 96, 3), dtype=np.uint8))[2].shape[2] == 4
    with pytest.raises(UserError, match="nms is True or False in an export, not 0.4; load with nms=0.45"):  # which is not its own
        model.export(tmp_path / "b", nms=0.4)
    with pytest.raises(UserError, match="unknown format 'caffe'; choose onnx or mxnet"):
        model.export(tmp_path / "b", format="caffe")

"""onnxruntime in MXNet's place: the same detections, from an export that is made once, kept by what it is of, and compared."""
import json
import os
import shutil
import sys
import time
from functools import lru_cache

import numpy as np
import pytest

import gluon_bof
from gluon_bof.commands.evaluate import main as evaluate
from gluon_bof.commands.predict import main as predict
from gluon_bof.data.shapes import draw_image
from gluon_bof.errors import UserError
from gluon_bof.inference import onnx_engine
from gluon_bof.inference.agreement import match_rows
from gluon_bof.inference.engines import arrays
from gluon_bof.inference.onnx_engine import AutoEngine, OnnxEngine
from gluon_bof.masks import decode
from tests.inference.lively_detectors import mask_rcnn_detector, rcnn_detector
from tests.tiny_networks import write_run
from tests.tiny_sets import write_voc_set

pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(autouse=True)
def own_cache(cache, monkeypatch):
    monkeypatch.setenv("GLUON_BOF_CACHE", str(cache))


def exports(cache):
    return {path.name: path.stat().st_ino for path in (cache / "engines").glob("*")} if (cache / "engines").is_dir() else {}


@lru_cache(maxsize=None)
def drawn(count=4):
    return tuple(draw_image(1, number)[0] for number in range(count))


def shapes(engine, **options):
    return gluon_bof.load("shapes", short=96, engine=engine, **options)


@pytest.fixture(scope="module")
def found_by_mxnet():
    """What MXNet finds in the drawn images."""
    return shapes("mxnet").predict(drawn())


def alike(one, other, least=5):
    """Two lists of Predictions are the same to the tolerance of an export."""
    assert len(one) == len(other) and sum(len(found.scores) for found in one) >= least
    for wanted, found in zip(one, other):
        rows = [np.column_stack([seen.classes, seen.scores, seen.boxes]).astype(np.float32) for seen in (wanted, found)]
        _, score, box, unmatched = match_rows(*rows, 1e9)
        assert score <= 1e-4 and box <= 0.05 and unmatched <= 2
    return True


def test_onnxruntime_finds_what_mxnet_finds_and_its_export_is_made_once(cache, found_by_mxnet):
    onnx = shapes("onnx")
    assert alike(found_by_mxnet, onnx.predict(drawn()))
    made = exports(cache)
    assert len(made) == 1 and not any(name.endswith(".part") for name in made)
    again = shapes("onnx")  # its layers have other names in the same process
    assert alike(onnx.predict(drawn()), again.predict(drawn())) and exports(cache) == made
    assert [found.scores.tolist() for found in again.predict(drawn())] == [again.predict(image).scores.tolist()
                                                                            for image in drawn()]


def test_another_size_or_suppression_has_another_export(cache):
    before = set(exports(cache))
    assert alike(shapes("mxnet", nms=0.95).predict(drawn()), shapes("onnx", nms=0.95).predict(drawn()))
    mxnet, onnx = (gluon_bof.load("shapes", short=128, engine=engine) for engine in ("mxnet", "onnx"))
    assert alike(mxnet.predict(drawn()), onnx.predict(drawn()))
    assert len(set(exports(cache)) - before) == 2


@pytest.mark.slow
@pytest.mark.parametrize("make", [rcnn_detector, mask_rcnn_detector])
@pytest.mark.parametrize("kind", ["single level", "pyramid"])
def test_an_rcnn_too_with_an_export_for_each_size(make, kind):
    detector = make(kind)
    images = [*drawn(1), np.rot90(drawn(1)[0]).copy()]
    wanted = detector.detect(images)
    detector.engine = OnnxEngine(detector, kind)
    found = detector.detect(images)
    assert len(detector.engine.sessions) == 2
    for image, one, other in zip(images, wanted, found):
        rows = [np.column_stack([seen.classes, seen.scores, seen.boxes]).astype(np.float32) for seen in (one, other)]
        _, score, box, unmatched = match_rows(*rows, 160)
        assert len(one.scores) >= 10 and score <= 1e-4 and box <= 0.1 and unmatched <= 2
        assert (one.masks is None) == (other.masks is None) == (make is rcnn_detector)
        if one.masks is not None:  # how many cover each pixel: equal scores may stand in another order
            covered = [decode(seen.masks, image.shape[:2]).sum(axis=0) for seen in (one, other)]
            assert covered[0].max() > 1 and (covered[0] != covered[1]).mean() < 0.01


def path_of(model, size=(96, 96)):
    return OnnxEngine(model.detector, model.detector.engine.digest).path(size)


def test_a_damaged_export_is_named_removed_and_made_anew():
    model = shapes("onnx", nms=0.5)
    path = path_of(model)
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "w") as file:
        file.write("no network")
    with pytest.raises(UserError, match=f"^{path}: this export in the cache was damaged, and is removed; start again$"):
        model.predict(drawn(1))
    assert not os.path.exists(path) and len(model.predict(drawn(1))[0].scores) and os.path.exists(path)


def other_export_in_its_place(model):
    """The export of other settings under the name of this model's."""
    other = shapes("onnx", nms=0.95)
    other.predict(drawn(1))
    shutil.copy(path_of(other), path_of(model))
    return path_of(model)


def test_an_export_that_finds_something_else_is_refused_and_removed():
    model = shapes("onnx", nms=0.3)
    path = other_export_in_its_place(model)
    with pytest.raises(UserError, match="onnxruntime disagrees with MXNet: .*; give engine mxnet$"):
        model.predict(drawn())
    assert not os.path.exists(path)


def test_a_single_bit_that_flipped_in_the_cache_is_seen():
    model = shapes("onnx", nms=0.5)
    model.predict(drawn(1))
    path = path_of(model)
    with open(path, "r+b") as file:
        file.seek(os.path.getsize(path) // 2)
        byte = file.read(1)[0]
        file.seek(-1, os.SEEK_CUR)
        file.write(bytes([byte ^ 1]))
    with pytest.raises(UserError, match=f"^{path}: this export in the cache was damaged, and is removed; start again$"):
        shapes("onnx", nms=0.5).predict(drawn(1))
    assert not os.path.exists(path)


def test_an_export_that_onnxruntime_cannot_run_is_one_line_and_removed():
    other, model = shapes("onnx", nms=0.95), gluon_bof.load("shapes", short=128, nms=0.65, engine="onnx")
    other.predict(drawn(1))
    path = path_of(model, (128, 128))
    shutil.copy(path_of(other), path)  # of another size under its name
    with pytest.raises(UserError, match=f"^{path}: onnxruntime cannot run this export .*; give engine mxnet$"):
        model.predict(drawn(1))
    assert not os.path.exists(path) and len(model.predict(drawn(1))[0].scores)


@pytest.mark.parametrize("engine", ["onnx", pytest.param("auto", marks=pytest.mark.slow)])
def test_a_cache_that_cannot_be_written_costs_a_warning_and_no_detection(engine, tmp_path, monkeypatch, caplog, found_by_mxnet):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("GLUON_BOF_CACHE", str(tmp_path / "file"))  # for root, too, no folder can be made there
    model = shapes(engine)
    with caplog.at_level("WARNING", "gluon_bof"):
        if engine == "auto":
            model.detector.engine.expect(10 ** 7)
            batch = np.stack([model.detector.see(image) for image in drawn()])
            for _ in range(8):
                arrays(model.detector.engine(batch))
            assert model.detector.engine.chosen
        found = model.predict(drawn())
    assert alike(found_by_mxnet, found)
    assert sum("the export is not kept for the next time" in record.getMessage() for record in caplog.records) == 1


def test_what_a_killed_process_had_begun_goes_and_what_another_is_writing_stays(cache):
    (cache / "engines").mkdir(exist_ok=True)
    old, young = (cache / "engines" / f"{name}.onnx.1.part" for name in ("old", "young"))
    for path, age in ((old, 7200), (young, 60)):
        path.write_bytes(b"half")
        os.utime(path, (time.time() - age,) * 2)
    made = str(cache / "engines" / "made.onnx")
    onnx_engine._keep(made, b"an export")
    assert young.exists() and not old.exists() and onnx_engine._kept(made) == b"an export"
    young.unlink()
    os.unlink(made)


def test_suppression_that_is_set_after_the_first_image_counts():
    model, image = shapes("mxnet"), drawn(1)[0]
    network = model.detector.network
    first = model.predict(image)
    for settings in ((0.9, 400, 100), (0.9, 400, 3), (network.nms_thresh, network.nms_topk, network.post_nms)):
        network.set_nms(*settings)
        fresh = shapes("mxnet")
        fresh.detector.network.set_nms(*settings)
        found, wanted = model.predict(image), fresh.predict(image)
        assert found.scores.tolist() == wanted.scores.tolist() and found.boxes.tolist() == wanted.boxes.tolist()
        assert len(found.scores) == 3 or settings[2] > 3
    assert found.scores.tolist() == first.scores.tolist()


# auto

def test_auto_takes_a_side_where_much_is_to_come_and_none_where_little_is(cache):
    model, before = shapes("auto", nms=0.6), set(exports(cache))
    batch = np.stack([model.detector.see(image) for image in drawn()])
    engine = model.detector.engine
    engine.expect(40)
    wanted = [arrays(engine(batch)) for _ in range(6)][-1]
    assert not engine.chosen and engine.name == "mxnet" and set(exports(cache)) == before and engine.to_come == 16
    engine.expect(10 ** 7)
    found = [arrays(engine(batch)) for _ in range(2)][-1]
    chosen = engine.chosen[96, 96]
    assert chosen in (engine.mxnet, engine.other) and engine.name == chosen.name and len(set(exports(cache)) - before) == 1
    ids, scores, boxes = found
    np.testing.assert_array_equal(ids, wanted[0])
    np.testing.assert_allclose(scores, wanted[1], atol=1e-4)
    np.testing.assert_allclose(boxes, wanted[2], atol=0.05)


def test_auto_stays_with_mxnet_and_says_so_where_the_export_disagrees(caplog):
    model = shapes("auto", nms=0.35)
    other_export_in_its_place(model)
    batch = np.stack([model.detector.see(image) for image in drawn()])
    engine = model.detector.engine
    engine.expect(10 ** 7)
    with caplog.at_level("WARNING", "gluon_bof"):
        for _ in range(8):
            found = arrays(engine(batch))
    assert engine.chosen == {(96, 96): engine.mxnet} and "the network stays with MXNet: " in caplog.text
    for part, wanted in zip(found, arrays(engine.mxnet(batch))):
        np.testing.assert_array_equal(part, wanted)


def test_auto_goes_back_to_mxnet_where_a_later_export_disagrees(caplog):
    model = shapes("auto", nms=0.35)
    engine = model.detector.engine
    engine.other = OnnxEngine(model.detector, engine.digest)
    engine.chosen[96, 96] = engine.other  # as if it had been faster before the suppression was set
    other_export_in_its_place(model)
    with caplog.at_level("WARNING", "gluon_bof"):
        found = model.predict(drawn())
    assert "the network stays with MXNet: " in caplog.text and engine.name == "mxnet"
    assert [one.scores.tolist() for one in found] == [one.scores.tolist() for one in shapes("mxnet", nms=0.35).predict(drawn())]


def test_without_the_packages_onnx_is_refused_and_auto_is_mxnet(monkeypatch):
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(UserError, match=r"packages that are not here .*pip install 'gluon_bof\[export\]', or give engine mxnet"):
        shapes("onnx")
    engine = shapes("auto").detector.engine
    assert isinstance(engine, AutoEngine) and not engine.possible
    engine.expect(10 ** 9)
    for _ in range(5):
        engine(np.zeros((1, 96, 96, 3), np.uint8))
    assert engine.name == "mxnet" and not engine.chosen


@pytest.mark.parametrize("name", ["tensorrt", "", None])
def test_an_engine_that_is_none_is_refused(name):
    with pytest.raises(UserError, match="^engine .* is not known; choose auto, mxnet, onnx$"):
        shapes(name)



# the commands

def test_predict_and_evaluate_have_the_same_with_either(tmp_path, capsys):
    run = write_run(tmp_path / "run")
    folder = write_voc_set(tmp_path / "set", images=1, validation=4)
    rows, maps = {}, {}
    images = str(folder / "VOC2007" / "JPEGImages")
    for engine in ("mxnet", "onnx"):
        predict([run, images, "--out", str(tmp_path / engine), "--engine", engine, "--score", "0"])
        assert json.loads(capsys.readouterr().out)["engine"] == engine
        rows[engine] = json.loads((tmp_path / engine / "detections.json").read_text())
        evaluate([run, "--dataset", str(folder), "-j", "0", "--engine", engine])
        told = json.loads(capsys.readouterr().out)
        assert told["engine"] == engine
        maps[engine] = told["map"]
    assert maps["onnx"] == pytest.approx(maps["mxnet"], abs=1e-6)
    for image in range(1, 6):
        ours, theirs = (np.array([[row["category_id"], row["score"], *row["bbox"]] for row in rows[engine]
                                  if row["image_id"] == image], np.float32) for engine in ("mxnet", "onnx"))
        found, _, _, unmatched = match_rows(ours, theirs, 1e9)
        assert found > 10 and unmatched <= 2

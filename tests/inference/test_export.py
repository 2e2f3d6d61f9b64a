"""Exported files against MXNet on real images: what another program reads from them is what the detector finds."""
import json
import os
import sys

import numpy as np
import pytest

from gluon_bof.backend import gluon, mx
from gluon_bof.errors import UserError
from gluon_bof.inference import export, onnx_operators
from gluon_bof.inference.agreement import BOX_TOLERANCE, SCORE_TOLERANCE, match_rows
from gluon_bof.inference.export import description, export_mxnet, export_onnx, input_size
from gluon_bof.inference.model import Model
from gluon_bof.inference.onnx_engine import OnnxEngine
from gluon_bof.models.suppression import detections
from gluon_bof.weights.resolve import resolve
from tests.inference.lively_detectors import (
    CLASSES,
    SIZE,
    images,
    mask_rcnn_detector,
    rcnn_detector,
    seen,
    shared_yolo3_detector,
    yolo3_detector,
)

onnx = pytest.importorskip("onnx")
onnxruntime = pytest.importorskip("onnxruntime")


@pytest.fixture(scope="module")
def yolo3():
    return shared_yolo3_detector()


@pytest.fixture(scope="module")
def yolo3_file(yolo3, tmp_path_factory):
    """(path of its ONNX, what the comparison with MXNet found)."""
    path = str(tmp_path_factory.mktemp("export") / "a.onnx")
    return path, export_onnx(yolo3, path, SIZE, images=images()[:2])


@pytest.fixture(scope="module")
def rcnn():
    return rcnn_detector("pyramid")


def opened(path):
    return onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])


def assert_found_is_the_detectors(detector, outputs, batch):
    """ids, scores and boxes of a batch (B, H, W, 3) are those of the detector's own graph, and not none."""
    for number, image in enumerate(batch):
        wanted = [array.asnumpy()[0] for array in detector.graph(mx.nd.array(image[None], dtype=np.uint8))]
        wanted, found = (np.concatenate(arrays, axis=1) for arrays in (wanted, [array[number] for array in outputs]))
        assert wanted.shape == found.shape
        rows, score, box, unmatched = match_rows(wanted, found, max(SIZE))
        assert rows >= 10 and unmatched <= 2 and len(np.unique(wanted[:, 1])) > rows / 2
        assert score < SCORE_TOLERANCE and box < BOX_TOLERANCE


def test_onnx_of_yolo3_finds_what_mxnet_finds(yolo3, yolo3_file):
    path, check = yolo3_file
    assert check.images == 6 and check.detections > 100 and check.unmatched <= 2
    assert 0 < check.score_difference < SCORE_TOLERANCE and check.box_difference < BOX_TOLERANCE
    batch = np.stack([seen(image) for image in images()])
    for few in (batch[:1], batch):  # one image or many
        assert_found_is_the_detectors(yolo3, opened(path).run(["ids", "scores", "boxes"], {"image": few}), few)


def test_onnx_of_yolo3_without_suppression(yolo3, tmp_path):
    path = str(tmp_path / "a.onnx")
    export_onnx(yolo3, path, SIZE, nms=False)
    batch = np.stack([seen(image) for image in images()])
    boxes, scores = opened(path).run(["boxes", "scores"], {"image": batch})
    cells = SIZE[0] * SIZE[1] * (1 / 64 + 1 / 256 + 1 / 1024) * 3
    assert boxes.shape == (len(batch), cells, 4) and scores.shape == (len(batch), cells, 3)
    found = detections(mx.nd, mx.nd.array(boxes), mx.nd.array(scores), yolo3.network)
    assert_found_is_the_detectors(yolo3, [array.asnumpy() for array in found], batch)


@pytest.mark.parametrize("kind, more", (("pyramid", ()), *[pytest.param(*case, marks=pytest.mark.slow) for case in (
    ("single level", ()), ("pyramid", ("--roi-mode", "pool")), ("learning pyramid", ()))]))
def test_onnx_of_faster_rcnn_finds_what_mxnet_finds(kind, more, rcnn, tmp_path):
    detector = rcnn if (kind, more) == ("pyramid", ()) else rcnn_detector(kind, *more)
    path = str(tmp_path / "a.onnx")
    check = export_onnx(detector, path, SIZE)
    assert check.detections > 40
    session = opened(path)
    for image in images()[1::2]:
        batch = seen(image)[None]
        assert_found_is_the_detectors(detector, session.run(["ids", "scores", "boxes"], {"image": batch}), batch)


def test_onnx_of_faster_rcnn_without_suppression(rcnn, tmp_path):
    path = str(tmp_path / "a.onnx")
    export_onnx(rcnn, path, SIZE, nms=False)
    batch = seen(images()[0])[None]
    (rows,) = opened(path).run(["rows"], {"image": batch})
    network = rcnn.network
    kept = mx.nd.contrib.box_nms(mx.nd.array(rows), overlap_thresh=network.nms_thresh, topk=network.nms_topk, valid_thresh=0.001,
                                 id_index=0, score_index=1, coord_start=2, force_suppress=True).asnumpy()
    wanted = np.concatenate([array.asnumpy()[0] for array in rcnn.graph(mx.nd.array(batch, dtype=np.uint8))], axis=1)
    count, _, _, unmatched = match_rows(wanted, kept.reshape(-1, 6), max(SIZE))
    assert count >= 10 and unmatched <= 2 and (rows[..., 0] >= 0).sum() > count


def pasted(mask, box, size):
    """The rule of docs/export.md: (height, width) bool of probabilities (S, S) over a box, in an image of this size."""
    rows, columns = (
        np.maximum(0, 1 - np.abs(((np.arange(side) + 0.5 - begin) / (end - begin) * cells - 0.5)[:, None] - np.arange(cells)))
        for side, begin, end, cells in zip(size, box[1::-1], box[:1:-1], mask.shape))
    return rows @ mask @ columns.T >= 0.5


@pytest.mark.parametrize("kind", ("pyramid", *[pytest.param(kind, marks=pytest.mark.slow)
                                               for kind in ("single level", "learning pyramid")]))
def test_onnx_of_mask_rcnn_finds_the_masks_that_predict_pastes(kind, tmp_path):
    detector = mask_rcnn_detector(kind)
    path = str(tmp_path / "a.onnx")
    check = export_onnx(detector, path, SIZE)
    assert check.detections > 40 and check.score_difference < SCORE_TOLERANCE
    large = (2 * SIZE[0], 2 * SIZE[1])
    image = seen(images()[0], large)
    wanted = Model(detector).predict(image)
    ids, scores, boxes, masks = opened(path).run(["ids", "scores", "boxes", "masks"], {"image": detector.see(image)[None]})
    assert masks.shape[:2] == ids.shape[:2] == (1, boxes.shape[1]) and 0 <= masks.min() < 0.5 < masks.max() <= 1
    ids, scores, boxes, masks = (array[0, ids[0, :, 0] >= 0] for array in (ids, scores, boxes, masks))
    clipped = 2 * np.clip(boxes, 0, np.tile(SIZE[::-1], 2))
    # scores that are next to equal may stand in another order
    order = np.abs(clipped - wanted.boxes[:, None]).sum(axis=2).argmin(axis=1)
    # those outside the image are in no prediction
    assert len(np.unique(order)) == len(order) == (clipped[:, 2:] > clipped[:, :2]).all(axis=1).sum()
    np.testing.assert_array_equal(ids[order, 0], wanted.classes)
    np.testing.assert_allclose(scores[order, 0], wanted.scores, rtol=0, atol=SCORE_TOLERANCE)
    found = np.stack([pasted(masks[place], 2 * boxes[place].astype(float), large) for place in order])
    assert 0.01 < wanted.masks.mean() < 0.9 and (found != wanted.masks).mean() < 1e-4


def test_the_file_says_what_it_needs(yolo3_file):
    model = onnx.load(yolo3_file[0])
    onnx.checker.check_model(model, full_check=True)
    said = {entry.key: entry.value for entry in model.metadata_props}
    assert json.loads(said["classes"]) == list(CLASSES) and said["network"] == "mobilenet0.25"
    assert (json.loads(said["mean"]), json.loads(said["std"])) == ([0.485, 0.456, 0.406], [0.229, 0.224, 0.225])
    told = json.loads(said["input"])
    assert (told["name"], told["layout"], told["height"], told["width"]) == ("image", "NHWC", 96, 128)
    assert told["images"] == "one or more"  # none ends the process, within onnxruntime
    (entry,) = model.graph.input
    assert [side.dim_param or side.dim_value for side in entry.type.tensor_type.shape.dim] == ["images", 96, 128, 3]
    assert json.loads(said["outputs"]).keys() == {output.name for output in model.graph.output}


@pytest.mark.parametrize("name, fit, interpolation", (("yolo3", "stretched to", "area where both"),
                                                      ("rcnn", "short side 96, long side at most 160", "linear")))
def test_the_description_is_of_the_detector_itself(name, fit, interpolation, request):
    detector = request.getfixturevalue(name)
    said = description(detector, SIZE, True)
    assert fit in said["resize"]["fit"] and said["resize"]["interpolation"].startswith(interpolation)
    assert said["nms_threshold"] == detector.network.nms_thresh
    assert said["input"]["images"] == {"yolo3": "one or more", "rcnn": 1}[name]


@pytest.mark.parametrize("name", ("yolo3", "rcnn"))
def test_mxnets_files_give_the_same_bits_at_any_size(name, request, tmp_path):
    detector = request.getfixturevalue(name)
    prefix = str(tmp_path / "a")
    check = export_mxnet(detector, prefix, SIZE)
    assert check.detections > 40 and check.score_difference == check.box_difference == check.unmatched == 0
    assert sorted(os.listdir(tmp_path)) == ["a-0000.params", "a-symbol.json", "a.json"]
    assert json.loads((tmp_path / "a.json").read_text())["classes"] == list(CLASSES)
    block = gluon.SymbolBlock.imports(f"{prefix}-symbol.json", ["image"], f"{prefix}-0000.params")
    image = mx.nd.array(seen(images()[1], (128, 96))[None], dtype=np.uint8)
    for wanted, found in zip(detector.graph(image), block(image)):
        np.testing.assert_array_equal(found.asnumpy(), wanted.asnumpy())
    symbol, arguments, states = mx.model.load_checkpoint(prefix, 0)
    assert set(arguments) | set(states) | {"image"} == set(symbol.list_inputs())
    assert set(states) == set(symbol.list_auxiliary_states())
    with pytest.raises(UserError, match="an exported graph's parameters are for other programs, and not read back"):
        resolve(f"{prefix}-0000.params")


def test_a_wrong_translation_is_caught_and_nothing_is_written(rcnn, tmp_path, monkeypatch):
    monkeypatch.delitem(onnx_operators.TRANSLATIONS, "_contrib_ROIAlign")  # MXNet's own is half a cell off
    with pytest.raises(UserError, match="onnxruntime disagrees with MXNet"):
        export_onnx(rcnn, str(tmp_path / "a.onnx"), SIZE)
    assert not os.listdir(tmp_path)


def test_mxnets_files_that_disagree_are_to_be_reported_and_not_written(yolo3, tmp_path, monkeypatch):
    """The remedy was the format that had been given."""
    monkeypatch.setattr(export, "_ours", lambda detector, *how: lambda seen: [2 * array for array in detector.graph(seen)])
    with pytest.raises(UserError, match="MXNet from these files disagrees .*; report it, with the network's name$"):
        export_mxnet(yolo3, str(tmp_path / "a"), SIZE)
    assert not os.listdir(tmp_path)


def test_an_operator_without_onnx_is_named(yolo3, tmp_path, monkeypatch):
    monkeypatch.delitem(onnx_operators.TRANSLATIONS, "_image_normalize")
    with pytest.raises(UserError, match="no ONNX for _image_normalize; give --format mxnet"):
        export_onnx(yolo3, str(tmp_path / "a.onnx"), SIZE)
    with pytest.raises(UserError, match="no ONNX for _image_normalize; give --engine mxnet$"):
        OnnxEngine(yolo3, "weights")(np.zeros((1, *SIZE, 3), np.uint8))


def test_an_export_that_nothing_tells_of_is_refused(tmp_path):
    detector = yolo3_detector("mobilenet0.25")
    for output in detector.network.yolo_outputs:
        output.prediction.bias.set_data(mx.nd.full(output.prediction.bias.shape, -9))  # no score above the least
    with pytest.raises(UserError, match="nothing is detected.*--verify-on"):
        export_onnx(detector, str(tmp_path / "a.onnx"), SIZE)
    assert not os.listdir(tmp_path)


def test_without_onnx_the_remedy_is_named(yolo3, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(UserError, match=r"pip install 'gluon_bof\[export\]'"):
        export_onnx(yolo3, str(tmp_path / "a.onnx"), SIZE)


def test_sizes_that_a_network_cannot_take_are_refused(yolo3, rcnn):
    assert input_size(yolo3) == (96, 96) and input_size(rcnn) == (96, 128)
    assert input_size(yolo3, (1024, 32)) == (1024, 32) and input_size(rcnn, (50, 160)) == (50, 160)
    for detector, size in ((yolo3, (96, 100)), (yolo3, (0, 96)), (yolo3, (1056, 96)), (yolo3, (-32, 32)),
                           (rcnn, (96, 161)), (rcnn, (31, 96))):
        with pytest.raises(UserError, match=f"{size[0]} x {size[1]}; give"):
            input_size(detector, size)


@pytest.mark.parametrize("size", ([64, 96], (np.int64(64), np.int32(96)), np.array([64, 96], np.uint16)))
def test_a_size_may_be_of_numpys_numbers(yolo3, size):
    found = input_size(yolo3, size)
    assert found == (64, 96) and {type(side) for side in found} == {int}  # which JSON writes


@pytest.mark.parametrize("size, told", (((True, 96), "--size cannot be True; give a whole number of pixels"),
                                        ((96.0, 96), "--size cannot be 96.0"), (("96", 96), "--size cannot be '96'"),
                                        (96, r"the size 96 is not a height and a width; give \(416, 416\)"), ((96,), "the size"),
                                        (np.array(96), "the size 96 is not")))
def test_a_size_that_is_no_two_numbers_of_pixels_is_refused_by_what_is_wrong(yolo3, size, told):
    with pytest.raises(UserError, match=f"^{told}"):
        input_size(yolo3, size)


@pytest.mark.slow
@pytest.mark.parametrize("network", ("darknet53", "mobilenet1.0"))
@pytest.mark.parametrize("post", (True, False))
def test_the_larger_networks(network, post, tmp_path):
    detector = yolo3_detector(network, [f"class {number}" for number in range(80)])
    check = export_onnx(detector, str(tmp_path / "a.onnx"), (128, 160), post, images())
    assert check.detections > 300 and check.unmatched <= 6

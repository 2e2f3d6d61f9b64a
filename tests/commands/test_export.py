"""python -m gluon_bof export: from a .params file to files that onnxruntime and MXNet read; failures on one line."""
import json
import os
import resource
import sys
from functools import partial
from pathlib import Path

import cv2
import numpy as np
import pytest

from gluon_bof.backend import gluon, mx
from gluon_bof.commands import export as export_command
from gluon_bof.inference.agreement import SCORE_TOLERANCE, match_rows
from gluon_bof.options.flags import as_dict
from gluon_bof.weights.load import save_weights
from tests import command_lines
from tests.inference.lively_detectors import CLASSES, SIZE, images, rcnn_detector, seen, shared_yolo3_detector
from tests.models.faster_rcnn import oracle
from tests.tiny_networks import write_run

onnxruntime = pytest.importorskip("onnxruntime")
refused = partial(command_lines.refused, export_command.main)
KNOWN = ("--network", "mobilenet0.25", "--classes", ",".join(CLASSES))


@pytest.fixture(scope="module")
def yolo3(tmp_path_factory):
    """(detector, path of its weights)."""
    detector = shared_yolo3_detector()
    path = str(tmp_path_factory.mktemp("weights") / "yolo3.params")
    save_weights(detector.network, path)
    return detector, path


@pytest.fixture(scope="module")
def image(tmp_path_factory):
    path = str(tmp_path_factory.mktemp("images") / "a.png")
    cv2.imwrite(path, images()[-1][:, :, ::-1])
    return path


def run(capsys, *words):
    """The command's JSON."""
    answer, told = command_lines.answer_of(export_command.main, capsys, *words)
    assert "rows: scores differ by up to" in told
    return answer


def test_onnx(yolo3, image, tmp_path, capsys):
    detector, weights = yolo3
    path = str(tmp_path / "a.onnx")
    told = run(capsys, weights, *KNOWN, "--to", path, "--size", "96,128", "--check", image)
    assert (told["format"], told["to"], told["size"], told["post_processing"]) == ("onnx", path, [96, 128], True)
    assert told["images"] == 5 and told["detections"] > 100 and 0 < told["score_difference"] < SCORE_TOLERANCE
    batch = seen(images()[0])[None]
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    found = np.concatenate(session.run(["ids", "scores", "boxes"], {"image": batch}), axis=2)[0]
    wanted = np.concatenate([array.asnumpy()[0] for array in detector.graph(mx.nd.array(batch, dtype=np.uint8))], axis=1)
    rows, _, _, unmatched = match_rows(wanted, found, max(SIZE))
    assert rows > 20 and unmatched <= 2
    assert os.listdir(tmp_path) == ["a.onnx"]


def test_a_broken_image_to_verify_on_is_not_answered_with_a_flag_that_export_has_not(tmp_path, capsys):
    (tmp_path / "a.jpg").write_bytes(b"no image")
    line = refused(capsys, "shapes", "--to", str(tmp_path / "a.onnx"), "--verify-on", str(tmp_path / "a.jpg"))
    assert line.endswith("a.jpg: not an image that can be decoded; replace it, or leave it out")


def test_a_name_that_is_no_utf8_is_refused_where_mxnet_is_to_open_it(tmp_path, capsys):
    path = os.fsdecode(os.fsencode(tmp_path) + b"/caf\xe9")
    assert "MXNet opens no file whose name is no UTF-8; rename it" in refused(capsys, "shapes", "--format", "mxnet", "--to", path)


@pytest.mark.slow  # tests/inference/test_export.py has other settings
def test_onnx_with_another_overlap(yolo3, tmp_path, capsys):
    numbers = [run(capsys, yolo3[1], *KNOWN, "--to", str(tmp_path / "a.onnx"), "--short", "64", "--nms", overlap)["detections"]
               for overlap in ("0.1", "0.45")]
    assert 0 < numbers[0] < numbers[1]


def test_onnx_without_suppression(yolo3, tmp_path, capsys):
    told = run(capsys, yolo3[1], *KNOWN, "--to", str(tmp_path / "a.onnx"), "--short", "64", "--no-post")
    assert not told["post_processing"] and told["size"] == [64, 64] and told["detections"] == 4 * 3 * (4 + 16 + 64)


def test_mxnets_files(yolo3, tmp_path, capsys):
    detector, weights = yolo3
    prefix = str(tmp_path / "a")
    told = run(capsys, weights, *KNOWN, "--to", prefix, "--size", "96,128", "--format", "mxnet")
    assert told["score_difference"] == told["box_difference"] == told["unmatched"] == 0 < told["detections"]
    block = gluon.SymbolBlock.imports(f"{prefix}-symbol.json", ["image"], f"{prefix}-0000.params")
    batch = mx.nd.array(np.stack([seen(image) for image in images()]), dtype=np.uint8)
    for wanted, found in zip(detector.graph(batch), block(batch)):
        np.testing.assert_array_equal(found.asnumpy(), wanted.asnumpy())


@pytest.mark.slow  # tests/contracts.py exports every family, tests/inference/ opens runs
def test_faster_rcnn_of_a_run(tmp_path, capsys):
    detector = rcnn_detector("pyramid")
    run_folder = tmp_path / "run"
    run_folder.mkdir()
    save_weights(detector.network, str(run_folder / "best.params"))
    (run_folder / "classes.txt").write_text("\n".join(CLASSES))
    (run_folder / "config.json").write_text(json.dumps({"options": as_dict(oracle.small_options("pyramid"))}))
    told = run(capsys, str(run_folder), "--to", str(tmp_path / "a.onnx"))
    assert told["size"] == [96, 128] and told["detections"] > 40


def test_mxnets_files_take_the_place_of_none_of_a_runs_own(tmp_path, capsys):
    folder = write_run(tmp_path / "run")
    before = Path(folder, "config.json").read_bytes()
    assert "config.json: the command reads this file" in refused(capsys, folder, "--to", f"{folder}/config", "--format", "mxnet")
    assert "best.params: the command reads" in refused(capsys, folder, "--to", f"{folder}/best.params", "--format", "onnx")
    assert sorted(os.listdir(folder)) == ["best.params", "classes.txt", "config.json"]
    assert Path(folder, "config.json").read_bytes() == before


def test_bad_arguments_are_refused_on_one_line(yolo3, tmp_path, capsys, monkeypatch):
    words = (yolo3[1], *KNOWN, "--to", str(tmp_path / "a.onnx"))
    assert "multiples of 32" in refused(capsys, *words, "--size", "96,100")
    assert "multiple of 32" in refused(capsys, *words, "--short", "100")
    assert "sides from 32 to 1024" in refused(capsys, *words, "--size", "2048,96")
    assert "--size 96 is not a height and a width" in refused(capsys, *words, "--size", "96")
    assert "give one" in refused(capsys, *words, "--size", "96,96", "--short", "96")
    assert "--nms" in refused(capsys, *words, "--nms", "1.5")
    assert "missing.png" in refused(capsys, *words, "--check", str(tmp_path / "missing.png"))
    assert "missing.params" in refused(capsys, str(tmp_path / "missing.params"), *words[1:])
    assert "in a folder that exists" in refused(capsys, *words[:-1], str(tmp_path / "nowhere" / "a.onnx"))
    assert "in a folder that exists" in refused(capsys, *words[:-1], str(tmp_path))
    assert "--to" in refused(capsys, *words[:-2])
    # a folder in which not even root may write
    assert "/proc/self/a.onnx: no file can be written there" in refused(capsys, *words[:-1], "/proc/self/a.onnx")
    for kind, length in (("onnx", 256), ("mxnet", 250)):  # the second is too long with its endings
        line = refused(capsys, "no-weights", "--to", str(tmp_path / ("a" * length)), "--format", kind)
        assert "the name is too long; give a shorter one" in line
    before = Path(yolo3[1]).read_bytes()
    assert "the command reads this file" in refused(capsys, *words[:-1], yolo3[1])
    assert Path(yolo3[1]).read_bytes() == before
    monkeypatch.setitem(sys.modules, "onnx", None)
    assert "pip install 'gluon_bof[export]', or for a detector give --format mxnet" in refused(capsys, *words)
    assert not os.listdir(tmp_path)


@pytest.mark.parametrize("kind", ("onnx", "mxnet"))
def test_a_full_disk_leaves_what_was_there(kind, yolo3, tmp_path, capsys):
    before = {}
    for name in ("a", "a-0000.params", "a-symbol.json", "a.json"):
        (tmp_path / name).write_bytes(b"of yesterday")
        before[name] = b"of yesterday"
    limit, most = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, most))
    try:
        line = refused(capsys, yolo3[1], *KNOWN, "--to", str(tmp_path / "a"), "--format", kind, "--short", "64")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, most))
    assert line.startswith(f"error: {tmp_path / 'a'}: cannot be written (File too large)")
    assert {name: (tmp_path / name).read_bytes() for name in os.listdir(tmp_path)} == before

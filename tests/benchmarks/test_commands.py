"""Each benchmark as a real process on a few images: its last line is one JSON object with every figure."""
import json
import math
import os
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

from benchmarks.common import copy_bandwidth, in_turn, ratio, voc_folder
from gluon_bof.data.images import read_image
from gluon_bof.data.sets import open_set
from gluon_bof.data.shapes import ensure_shapes
from tests.tiny_sets import write_voc_set

ROOT = Path(__file__).resolve().parents[2]


def run(name, *words):
    process = subprocess.run([sys.executable, str(ROOT / "benchmarks" / name), *words], capture_output=True, text=True,
                             check=False, env=dict(os.environ, OMP_NUM_THREADS="1"), timeout=300)
    assert process.returncode == 0, process.stderr
    return json.loads(process.stdout.splitlines()[-1]), process.stderr


def positive(result, *names):
    for name in names:
        assert math.isfinite(result[name]) and result[name] > 0, name


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    return str(write_voc_set(tmp_path_factory.mktemp("images"), images=6, validation=2, width=160, height=120))


@pytest.mark.slow  # two sides, twice
def test_loader(images):
    result, words = run("loader.py", "--images", images, "--count", "4", "--samples", "4", "--batch", "2", "--rounds", "1",
                        "--workers", "1", "--profile")
    positive(result, "ratio_mixup", "ratio_plain", "ratio_rcnn", "ratio_mixup_cached", "ratio_plain_cached",
             "times_decode", "times_decode_plain",
             "shared_memory_megabytes", "image_bytes")
    positive(result["milliseconds"], *result["milliseconds"])
    assert 1 < result["wire_bytes"] <= 1.05 and 1 < result["wire_bytes_rcnn"] <= 1.1
    assert result["wire_bytes_official"] > 4  # floats, and dense targets besides
    assert result["shared_memory_megabytes"] > 2 * 416 * 416 * 3 / 1e6  # a batch at least
    assert all(stage in words for stage in ("decode", "blend", "copy", "anchors"))


@pytest.mark.slow
def test_two_stage():
    result, words = run("two_stage.py", "--kind", "slim", "--short", "96", "--rounds", "2")
    positive(result, "ratio", "processor_ratio", "matrix_peak_gflops", "copy_gigabytes_per_second")
    assert result["same_as_mxnets_operators"] and "to the last bit" in words


@pytest.mark.slow
def test_unblocked():
    result, _ = run("unblocked.py", "--only", "dpn-mini", "--rounds", "1")
    positive(result["dpn-mini"], "ours", "in blocks", "ratio", "processor_ratio")


@pytest.mark.slow
def test_inference(images):
    result, _ = run("inference.py", "--images", images, "--count", "2", "--batch", "2", "--rounds", "1", "--size", "128",
                    "--network", "mobilenet0.25", "--workers", "1")
    positive(result, "ratio", "images_per_second", "images_per_second_official")
    assert result["score_difference"] < 1e-3 and result["box_difference_pixels"] < 1


@pytest.mark.slow
@pytest.mark.parametrize("workers", (1, 2))
def test_a_soak_watches_every_process_and_ends_them(workers):
    result, _ = run("soak.py", "--minutes", "1", "--workers", str(workers))
    assert result["status"] == 128 + 15 and result["iterations"] > 0 and 0.9 < result["growth"] < 1.2
    trainers = [name for name in result["processes"] if "train_yolo3.py" in name]
    assert len(trainers) >= 2 * workers  # each with its data workers
    assert not [name for name in result["processes"] if os.path.exists(f"/proc/{name.split()[0]}")]


@pytest.mark.parametrize("name", ["loader.py", "inference.py"])
def test_a_folder_without_images_is_refused_in_one_line(name, tmp_path):
    answer = subprocess.run([sys.executable, str(ROOT / "benchmarks" / name), "--images", str(tmp_path / "none")],
                            capture_output=True, text=True, check=False)
    lines = [line for line in answer.stderr.splitlines() if "none" in line]
    assert answer.returncode == 2 and len(lines) == 1 and "Traceback" not in answer.stderr


def test_jpegs_of_a_folder_stay_as_they_are_and_boxes_keep_off_the_edges(images):
    given = open_set(images, None, "train").records
    with voc_folder(images, 4, 3) as (folder, classes):
        laid = open_set(folder, None, "train", tuple(classes)).records
        assert len(laid) == 4 and len(open_set(folder, None, "val", tuple(classes)).records) == 3
        for ours, theirs in zip(laid, given):
            assert Path(ours.path).read_bytes() == Path(theirs.path).read_bytes()
            assert ours.boxes.shape == theirs.boxes.shape and np.abs(ours.boxes - theirs.boxes).max() <= 1.5
            assert (ours.boxes[:, :2] < ours.boxes[:, 2:]).all()
            assert ours.boxes.min() >= 0 and (ours.boxes[:, 2:] < (ours.width, ours.height)).all()


def test_the_embedded_images_are_as_large_and_as_hard_to_decode_as_photographs(tmp_path, monkeypatch):
    monkeypatch.setenv("GLUON_BOF_CACHE", str(tmp_path))
    ensure_shapes(splits={"trainval": 8, "test": 1})  # a few, for the whole set takes ten seconds to draw
    with voc_folder("shapes", 4) as (folder, _):
        paths = sorted((Path(folder) / "VOC2007" / "JPEGImages").iterdir())
        sizes = [cv2.imread(str(path)).shape for path in paths]
        bits = [8 * path.stat().st_size / (shape[0] * shape[1]) for path, shape in zip(paths, sizes)]
    assert len(paths) == 4 and all(430 <= min(shape[:2]) and max(shape[:2]) <= 680 for shape in sizes)
    assert 3 < np.mean(bits) < 6


def test_an_image_that_is_no_jpeg_becomes_one(tmp_path):
    root = write_voc_set(tmp_path, images=1, validation=1)
    path = root / "VOC2007" / "JPEGImages" / "000000.jpg"
    before = read_image(str(path))
    cv2.imwrite(str(tmp_path / "as.png"), before[:, :, ::-1])
    os.replace(tmp_path / "as.png", path)
    with voc_folder(str(root), 1) as (folder, _):
        data = (Path(folder) / "VOC2007" / "JPEGImages" / "000000.jpg").read_bytes()
    after = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)[:, :, ::-1]
    assert data[:2] == b"\xff\xd8" and np.abs(after.astype(int) - before).mean() < 6


def test_sides_take_turns_and_the_ratio_is_of_rounds():
    order = []
    values = iter([1.0, 10.0, 30.0, 2.0, 4.0, 20.0])

    def side(name):
        return lambda: order.append(name) or next(values)

    found = in_turn({"a": side("a"), "b": side("b")}, 3)
    assert order == ["a", "b", "b", "a", "a", "b"]
    assert found == {"a": [1.0, 2.0, 4.0], "b": [10.0, 30.0, 20.0]}
    assert ratio(found["b"], found["a"]) == 10.0  # of 10, 15 and 5


def test_the_bandwidth_of_copies_is_in_gigabytes_a_second():
    assert 0.1 < copy_bandwidth(megabytes=16) < 2000

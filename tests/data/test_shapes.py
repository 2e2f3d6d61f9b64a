"""The embedded set: the same on every run, whole or not there, boxes that fit."""
import os
import signal
import subprocess
import sys
import time
from collections import Counter

import cv2
import numpy as np
import pytest

from gluon_bof.data import shapes
from gluon_bof.data.voc import load_voc
from gluon_bof.errors import UserError

FEW = {"trainval": 6, "test": 3}


def test_an_image_is_a_pure_function_of_its_place():
    first, objects = shapes.draw_image(0, 5)
    shapes.draw_image(1, 2)
    again, same = shapes.draw_image(0, 5)
    np.testing.assert_array_equal(first, again)
    assert objects == same
    assert not np.array_equal(first, shapes.draw_image(1, 5)[0]) or first.shape != shapes.draw_image(1, 5)[0].shape


def test_classes_are_balanced_and_boxes_lie_inside():
    drawn = [shapes.draw_image(0, index) for index in range(120)]
    counts = Counter(label for _, objects in drawn for label, _, _ in objects)
    assert set(counts) == set(shapes.CLASSES) and min(counts.values()) > 0.5 * max(counts.values())
    assert sum(not objects for _, objects in drawn) < 15
    assert sum(difficult for _, objects in drawn for _, _, difficult in objects) < 0.3 * sum(counts.values())
    assert len({image.shape for image, _ in drawn}) >= 4
    for image, objects in drawn:
        for _, (left, top, right, bottom), _ in objects:
            assert 0 <= left < right <= image.shape[1] and 0 <= top < bottom <= image.shape[0]


@pytest.mark.parametrize("label", shapes.CLASSES)
def test_boxes_are_tight(label):
    outline = shapes._outline(label, 120, 1.1, 12)
    mask, whole = shapes._mask(label, outline, np.array((130.0, 100.0)), 220, 260)
    assert mask.sum() == whole
    left, top, right, bottom = shapes._tight_box(mask)
    small = cv2.resize(mask.astype(np.uint8) * 255, (130, 110), interpolation=cv2.INTER_AREA) > 0
    rows, columns = np.nonzero(small)
    assert (left, top, right, bottom) == (columns.min(), rows.min(), columns.max() + 1, rows.max() + 1)


def test_the_embedded_set_is_written_once_and_read_by_the_real_reader(tmp_path):
    folder = shapes.ensure_drawn(tmp_path, FEW)
    stamps = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")}
    assert shapes.ensure_drawn(tmp_path, FEW) == folder
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")} == stamps
    for role, count in (("train", 6), ("val", 3)):
        found = load_voc(folder, role, classes=shapes.CLASSES)
        assert len(found) == count and not found.faults
    record = load_voc(folder, "val", classes=shapes.CLASSES).records[0]
    _, objects = shapes.draw_image(1, 0)
    # VOC's corners are those of pixels: the last one's number is one less than where the box ends
    np.testing.assert_array_equal(record.boxes, [np.array(box) - (0, 0, 1, 1) for _, box, _ in objects])


DRAW = "import sys; from gluon_bof.data import shapes; shapes.ensure_drawn(sys.argv[1], {'trainval': 40, 'test': 5})"


def test_two_processes_at_once_leave_one_whole_set(tmp_path):
    both = [subprocess.Popen([sys.executable, "-c", DRAW, str(tmp_path)]) for _ in range(2)]
    assert [process.wait(60) for process in both] == [0, 0]
    assert [path.name for path in tmp_path.iterdir()] == [f"shapes-v{shapes.VERSION}"]
    assert len(list(tmp_path.rglob("*.jpg"))) == 45


def test_a_killed_process_leaves_nothing_that_is_used(tmp_path):
    process = subprocess.Popen([sys.executable, "-c", DRAW, str(tmp_path)])
    deadline = time.time() + 30
    while len(list(tmp_path.rglob("*.jpg"))) < 3:
        assert time.time() < deadline
        time.sleep(0.005)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert not (tmp_path / f"shapes-v{shapes.VERSION}").exists()
    shapes.ensure_drawn(tmp_path, FEW)
    assert [path.name for path in tmp_path.iterdir()] == [f"shapes-v{shapes.VERSION}"]


def test_a_place_that_cannot_be_written_is_named(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError) as refusal:
        shapes.load_shapes("train", str(tmp_path / "file" / "cache"))
    assert "GLUON_BOF_CACHE" in str(refusal.value) and str(tmp_path) in str(refusal.value)


def test_the_cache_is_where_the_user_says(monkeypatch):
    monkeypatch.setenv("GLUON_BOF_CACHE", "/somewhere")
    assert shapes.cache_folder() == "/somewhere"
    monkeypatch.delenv("GLUON_BOF_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", "/cache")
    assert shapes.cache_folder() == os.path.join("/cache", "gluon_bof")

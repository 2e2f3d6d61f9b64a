"""Masks on their way from the network's outputs to people: into the image's pixels, into the files, into arrays."""
import csv
import json
from types import SimpleNamespace

import numpy as np

from gluon_bof import masks
from gluon_bof.inference.detector import unpack
from gluon_bof.inference.model import MaskPrediction, Model
from gluon_bof.inference.results import COLUMNS, DetectionWriter

SHAPE = (80, 120, 3)


def found_by_hand():
    """Detections of five outputs in an image that the network saw at half its size; one reaches beyond it, one lies beside it,
    one is nothing."""
    ids = np.array([[1], [-1], [0], [0], [0]], np.float32)
    scores = np.array([[0.4], [0.9], [0.8], [0.6], [0.7]], np.float32)
    boxes = np.array([(5, 5, 25, 15), (0, 0, 9, 9), (30, 10, 50, 30), (50, 20, 70, 36), (-20, 0, -5, 9)], np.float32)
    cells = np.zeros((5, 14, 14), np.float32)
    cells[0], cells[2:4, :, :7] = 1, 1
    return unpack(ids, scores, boxes, (40, 60, 3), SHAPE, cells)


def test_masks_are_in_the_images_pixels_best_score_first_and_stay_over_the_whole_box():
    found = found_by_hand()
    np.testing.assert_array_equal(found.classes, [0, 0, 1])
    np.testing.assert_array_equal(found.boxes[1], [100, 40, 120, 72])  # cut at the image's edge
    dense = masks.decode(found.masks, SHAPE[:2])
    # the left halves of 60 to 100 and, beyond the edge of the image, of 100 to 140; corners are rounded off, as GluonCV's are
    for mask, (left, top, right, bottom) in zip(dense, ((60, 20, 80, 60), (100, 40, 120, 72), (10, 10, 50, 30))):
        assert mask[top + 1:bottom - 1, left + 1:right - 1].all() and mask[top:bottom, left:right].sum() == mask.sum()
        assert (right - left) * (bottom - top) - 4 <= mask.sum()


def test_masks_are_made_as_large_as_the_image_only_where_that_is_asked_for():
    found = found_by_hand()
    model = Model(SimpleNamespace(classes=("ant", "bee")))
    held, given = model.prediction(found, 0.5), model.prediction(found, 0.5, SHAPE)
    np.testing.assert_array_equal(held.masks, found.masks[:2])
    np.testing.assert_array_equal(given.masks, masks.decode(found.masks[:2], SHAPE[:2]))
    assert given.masks.dtype == bool and given.masks.shape == (2, *SHAPE[:2]) and held.masks.nbytes < 400


def test_the_files_have_cocos_run_lengths_and_the_table_has_none(tmp_path):
    found, model = found_by_hand(), Model(SimpleNamespace(classes=("ant", "bee")))
    dense = masks.decode(found.masks, SHAPE[:2])
    writer = DetectionWriter(model)
    for name, score in (("none.jpg", 1), ("a.jpg", 0)):
        writer.add(name, SHAPE, model.prediction(found, score))
    paths = writer.save(str(tmp_path))
    with open(paths["json"]) as file:
        rows = json.load(file)
    assert [row["image_id"] for row in rows] == [2, 2, 2]
    coded = np.array([row["segmentation"]["counts"].encode() for row in rows])
    np.testing.assert_array_equal(masks.decode(coded, rows[0]["segmentation"]["size"]), dense)
    with open(paths["csv"], newline="") as file:
        assert next(csv.reader(file)) == list(COLUMNS)


def test_each_images_rows_have_its_own_masks():
    coded = masks.encode(np.stack([np.eye(4, dtype=bool), ~np.eye(4, dtype=bool)]))
    writer = DetectionWriter(SimpleNamespace(classes=("ant",)))
    for number in range(2):
        writer.add(f"{number}.jpg", (4, 4, 3), MaskPrediction(np.zeros((1, 4), np.float32), np.zeros(1, np.int64), ["ant"],
                                                              np.ones(1, np.float32), coded[number:number + 1]))
    assert [row["segmentation"]["counts"].encode() for row in writer.rows] == list(coded)

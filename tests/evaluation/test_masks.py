"""Masks' average precision against pycocotools, run on JSON files that the tests write for themselves."""
import contextlib
import io
import json

import cv2
import numpy as np
import pytest
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from gluon_bof import masks
from gluon_bof.boxes import Detections, DetectionSet, Record
from gluon_bof.data.coco import load_coco
from gluon_bof.data.fields import load_json
from gluon_bof.evaluation import coco as scoring
from gluon_bof.evaluation.coco import mask_average_precision, save_detections
from gluon_bof.evaluation.score import score, score_masks
from gluon_bof.evaluation.validation import Validation, _packed, _unpacked
from gluon_bof.evaluation.voc import mean_ap, voc_average_precision
from gluon_bof.options.mask_rcnn import MaskRcnnOptions
from gluon_bof.visualization.draw import colour_of, draw_detections
from tests.evaluation.test_coco import NAMES

IDS = {"cat": 17, "ant": 3, "zebra": 90}
SIZE = (90, 120)  # height, width


def polygon(rng):
    centre, count = rng.uniform((20, 20), (100, 70)), int(rng.integers(3, 9))
    angles = np.sort(rng.uniform(0, 2 * np.pi, count))
    return (centre + rng.uniform(6, 34, (count, 1)) * np.stack([np.cos(angles), np.sin(angles)], 1)).clip(0, (120, 90))


def entry_of(number, image, category, points, crowd=0):
    low, high = points.min(0), points.max(0)
    entry = {"id": number, "image_id": image, "category_id": category, "iscrowd": crowd, "bbox": [*low, *(high - low)],
             "segmentation": [points.ravel().tolist()]}
    mask = masks.of_segmentation(entry["segmentation"], SIZE)
    entry["area"] = float(masks.area([mask], SIZE)[0])
    if crowd:
        entry["segmentation"] = masks.as_json(mask, SIZE)
    return entry


@pytest.fixture
def scene(tmp_path):
    """(path of a JSON, detections of its images in order): polygons, a crowd, and what was found nearby."""
    rng = np.random.default_rng(2)
    images, annotations, found = [], [], []
    for image in range(1, 9):
        images.append({"id": image, "file_name": f"{image}.png", "width": SIZE[1], "height": SIZE[0]})
        cv2.imwrite(str(tmp_path / f"{image}.png"), np.zeros((*SIZE, 3), np.uint8))
        rows = []
        for _ in range(rng.integers(1, 5)):
            points, category = polygon(rng), list(IDS.values())[rng.integers(3)]
            annotations.append(entry_of(len(annotations) + 1, image, category, points, int(rng.random() < 0.15)))
            for _ in range(rng.integers(0, 3)):
                rows.append((points + rng.normal(0, 1.2, points.shape), category if rng.random() < 0.9 else 3, rng.random()))
        rows.sort(key=lambda row: -row[2])
        order = sorted(IDS, key=IDS.get)
        coded = [masks.of_segmentation([points.clip(0, (120, 90)).ravel().tolist()], SIZE) for points, _, _ in rows]
        boxes = np.array([[*points.min(0), *points.max(0)] for points, _, _ in rows], np.float32).reshape(-1, 4)
        found.append(Detections(boxes, np.array([[IDS[name] for name in order].index(c) for _, c, _ in rows], np.int64),
                                np.array([s for _, _, s in rows], np.float32), np.array(coded) if coded else masks.no_masks()))
    path = tmp_path / "train.json"
    path.write_text(json.dumps({"images": images, "annotations": annotations,
                                "categories": [{"id": number, "name": name} for name, number in IDS.items()]}))
    return path, found


def official(truth_path, result_path, kind):
    with contextlib.redirect_stdout(io.StringIO()):
        truth = COCO(str(truth_path))
        evaluation = COCOeval(truth, truth.loadRes(str(result_path)), kind)
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    return dict(zip(NAMES, evaluation.stats)), evaluation.eval["precision"][:, :, :, 0, 2]


def test_masks_and_boxes_score_as_pycocotools_scores_the_saved_file(scene, tmp_path):
    path, found = scene
    data = load_coco(str(path), "train", masks=True)
    assert len(data.records) == 8 and sum(record.crowd.sum() for record in data.records) > 1
    save_detections(str(tmp_path / "found.json"), found, data)
    # pycocotools takes a result's area from its box where both are there
    rows = json.loads((tmp_path / "found.json").read_text())
    for row in rows:
        del row["bbox"]
    (tmp_path / "masks.json").write_text(json.dumps(rows))
    numbers, precision = official(path, tmp_path / "masks.json", "segm")
    ours = score_masks(found, data, "coco")
    for name, value in numbers.items():
        assert ours["masks"][name] == pytest.approx(value, abs=1e-6) if value > -1 else ours["masks"][name] is None, name
    assert 0.1 < ours["map"] < 0.95 and ours["map"] == ours["masks"]["AP"]
    for place, value in enumerate(ours["per_class"].values()):
        assert value == pytest.approx(precision[:, :, place][precision[:, :, place] > -1].mean(), abs=1e-6)
    of_boxes, _ = official(path, tmp_path / "found.json", "bbox")
    assert ours["box_map"] == pytest.approx(of_boxes["AP"], abs=1e-6) and ours["coco"]["AP50"] == pytest.approx(of_boxes["AP50"])


def test_masks_of_equal_scores_count_in_the_order_of_ids_whatever_the_records(scene):
    path, found = scene
    data = load_coco(str(path), "train", masks=True)
    level = [one._replace(scores=np.full_like(one.scores, 0.5)) for one in found]
    expected = mask_average_precision(level, data)
    data.records.reverse()
    assert mask_average_precision(level[::-1], data) == expected


def test_an_annotation_that_its_mask_took_away_is_no_ground_truth_of_boxes_either(scene):
    path, found = scene
    content = json.loads(path.read_text())
    lost = next(entry for entry in content["annotations"] if not entry["iscrowd"])
    whole = load_coco(str(path), "train", masks=True)
    lost["segmentation"] = []
    path.write_text(json.dumps(content))
    read = load_coco(str(path), "train", masks=True, on_bad_sample="skip")
    assert sum(len(record.boxes) for record in read.records) == sum(len(record.boxes) for record in whole.records) - 1
    perfect = [Detections(record.boxes[~record.crowd], record.classes[~record.crowd], np.ones((~record.crowd).sum(), np.float32),
                          record.true_masks()) for record in read.records]
    assert score_masks(perfect, read, "coco")["coco"]["AR100"] == 1


def test_boxes_and_masks_by_cocos_metric_are_scored_on_annotations_that_are_read_once(scene, monkeypatch):
    path, found = scene
    data = load_coco(str(path), "train", masks=True)
    opened = []
    monkeypatch.setattr(scoring, "load_json", lambda place: opened.append(place) or load_json(place))
    ours = score_masks(found, data, "coco")
    assert opened == [str(path)]
    boxes = score(found, data, "coco")
    assert {"map": ours["box_map"], "per_class": ours["box_per_class"], "coco": ours["coco"], "metric": "coco"} == boxes
    assert ours["masks"] == score_masks(found, data, "voc07")["masks"]


def test_at_half_the_masks_count_at_an_iou_of_a_half_and_the_boxes_as_vocs(scene):
    path, found = scene
    data = load_coco(str(path), "train", masks=True)
    whole, half = score_masks(found, data, "coco"), score_masks(found, data, "voc07")
    assert half["map"] == whole["masks"]["AP50"] and half["metric"] == "voc07" and "coco" not in half
    assert half["map"] == pytest.approx(np.mean(list(half["per_class"].values())), abs=1e-9)
    assert half["box_map"] == pytest.approx(mean_ap(voc_average_precision(found, data.records, 3)))


def test_the_page_of_a_run_tells_that_its_curve_is_of_masks_and_all_else_of_boxes(scene, tmp_path):
    path, found = scene
    (tmp_path / "metrics.csv").write_text("epoch,iteration,map\n0,3,0.25\n")
    validation = Validation(MaskRcnnOptions(metric="coco", num_workers=0).resolved(), load_coco(str(path), "train", masks=True))
    validation.detections, validation.result = found, score_masks(found, validation.set, "coco")
    validation.report(str(tmp_path))
    numbers = json.loads((tmp_path / "report.json").read_text())
    assert numbers["map"] == validation.result["box_map"] != validation.result["map"]
    assert numbers["about"]["AP of the masks"] == f"{validation.result['map']:.4f}; this page is about the boxes"
    assert "Validation mAP of the masks, epoch by epoch" in (tmp_path / "report.html").read_text(encoding="utf-8")


def test_the_records_own_masks_are_the_truth_where_no_json_is_and_difficult_ones_count_for_nothing():
    def dense(*boxes):
        found = np.zeros((len(boxes), *SIZE), np.uint8)
        for mask, (left, top, right, bottom) in zip(found, boxes):
            mask[top:bottom, left:right] = 1
        return masks.encode(found)

    boxes = [(5, 5, 45, 45), (60, 10, 100, 50), (10, 55, 50, 85)]
    record = Record("a.png", "a.xml", "a", SIZE[1], SIZE[0], np.array(boxes, np.float32), np.zeros(3, np.int64),
                    np.array([False, False, True]), np.zeros(3, bool), masks=dense(*boxes))
    data = DetectionSet("set", ("thing",), [record])
    # the same box, but half of its mask; the difficult one; and a hit
    found = Detections(np.array(boxes, np.float32), np.zeros(3, np.int64), np.array([0.9, 0.8, 0.7], np.float32),
                       np.concatenate([dense((5, 5, 45, 24)), dense(boxes[2]), dense(boxes[1])]))
    numbers = mask_average_precision([found], data)
    assert numbers["AP50"] == pytest.approx(0.2525, abs=2e-3)  # half of the recall, at a precision of a half
    assert score_masks([found], data)["box_map"] > 0.9


def test_detections_with_masks_go_between_processes_to_the_bit(scene):
    _, found = scene
    shared = [*found[:3], None, *found[4:]]
    again = _unpacked(_packed(shared))
    assert again[3] is None
    for one, other in zip(shared, again):
        for a, b in zip(one or (), other or ()):
            assert a.dtype == b.dtype and a.tobytes() == b.tobytes()
    plain = [one._replace(masks=None) for one in found]
    assert all(one.masks is None and len(one.boxes) == len(other.boxes) for one, other in zip(_unpacked(_packed(plain)), plain))


def test_a_drawn_mask_is_tinted_inside_and_nowhere_else():
    from gluon_bof.inference.model import MaskPrediction, Prediction
    image = np.full((*SIZE, 3), 90, np.uint8)
    mask = np.zeros((1, *SIZE), bool)
    mask[0, 30:60, 40:80] = True
    parts = np.array([(40, 30, 80, 60)], np.float32), np.array([2]), ["ring"], np.array([0.9], np.float32)
    drawn, boxes = draw_detections(image, MaskPrediction(*parts, mask)), draw_detections(image, Prediction(*parts))
    np.testing.assert_array_equal(drawn[50, 60], (90 * 0.55 + np.array(colour_of(2)) * 0.45).astype(np.uint8))
    assert (boxes[50, 60] == 90).all()
    outside = ~cv2.dilate(mask[0].view(np.uint8), np.ones((3, 3))).astype(bool)
    np.testing.assert_array_equal(drawn[outside], boxes[outside])
    np.testing.assert_array_equal(draw_detections(image, MaskPrediction(*parts, masks.encode(mask))), drawn)

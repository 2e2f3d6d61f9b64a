"""Average precision against gluoncv's metrics and pycocotools on the same detections."""
import contextlib
import io
import json

import numpy as np
import pytest
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from gluon_bof.data.boxes import Detections, DetectionSet, Record
from gluon_bof.evaluation.coco import coco_average_precision, save_detections
from gluon_bof.evaluation.score import score
from gluon_bof.evaluation.voc import mean_ap, voc_average_precision

import gluon_bof.backend  # noqa: F401  (before gluoncv)
from gluoncv.utils.metrics.voc_detection import VOC07MApMetric, VOCMApMetric

CLASSES = ("a", "b", "c", "d")


def random_case(seed, pictures=20, difficult=0.15, crowd=0.0):
    """(records, detections): some boxes found well, some badly, some twice, and some where nothing is."""
    rng = np.random.default_rng(seed)
    records, detections = [], []
    for number in range(pictures):
        count = rng.integers(0, 7)
        corner = rng.uniform(0, 150, (count, 2))
        boxes = np.concatenate([corner, corner + rng.uniform(4, 120, (count, 2))], axis=1).astype(np.float32)
        classes = rng.integers(0, 3, count)  # nothing of class d is there
        records.append(Record(f"{number}.jpg", "", number + 1, 300, 300, boxes, classes,
                              rng.random(count) < difficult, rng.random(count) < crowd))
        chosen = rng.integers(0, count, rng.integers(0, 12)) if count else np.zeros(0, int)
        found = boxes[chosen] + rng.normal(0, rng.choice((1, 8, 30)), (len(chosen), 4)).astype(np.float32)
        stray = rng.uniform(0, 150, (3, 2))
        found = np.concatenate([found, np.concatenate([stray, stray + 40], axis=1)]).astype(np.float32)
        found[:, 2:] = np.maximum(found[:, 2:], found[:, :2] + 1)
        numbers = np.concatenate([np.where(rng.random(len(chosen)) < 0.8, classes[chosen],
                                           rng.integers(0, 4, len(chosen))), rng.integers(0, 4, 3)]).astype(int)
        detections.append(Detections(found, numbers, rng.permutation(1000)[:len(found)].astype(np.float32) / 1000
                                     + np.float32(number * 1e-5)))
    return records, detections


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("metric,eleven_point", ((VOC07MApMetric, True), (VOCMApMetric, False)))
def test_vocs_ap_equals_gluoncvs(metric, eleven_point, seed):
    records, detections = random_case(seed)
    official = metric(class_names=list(CLASSES))
    for record, found in zip(records, detections):
        official.update([found.boxes[None]], [found.classes[None]], [found.scores[None]], [record.boxes[None]],
                        [record.classes[None]], [record.difficult[None].astype(int)])
    expected = official.get()[1]
    ap = voc_average_precision(detections, records, len(CLASSES), eleven_point=eleven_point)
    np.testing.assert_allclose(ap, expected[:-1], atol=1e-6)
    assert mean_ap(ap) == pytest.approx(expected[-1], abs=1e-6)
    assert np.isnan(ap[3]) and 0.05 < mean_ap(ap) < 0.95


def test_a_case_by_hand():
    """Two objects; hit (0.9), miss (0.8), hit (0.7): precision 1 up to recall 1/2, then 2/3."""
    truth = np.array([[0, 0, 9, 9], [50, 50, 59, 59]], np.float32)
    record = Record("", "", 1, 100, 100, truth, np.zeros(2, int), np.zeros(2, bool), np.zeros(2, bool))
    found = Detections(np.array([[0, 0, 9, 9], [80, 80, 89, 89], [50, 50, 59, 59]], np.float32), np.zeros(3, int),
                       np.array([0.9, 0.8, 0.7], np.float32))
    assert voc_average_precision([found], [record], 1)[0] == pytest.approx((6 + 5 * 2 / 3) / 11)
    assert voc_average_precision([found], [record], 1, eleven_point=False)[0] == pytest.approx(0.5 + 0.5 * 2 / 3)


def nothing_found(records):
    return [Detections(np.zeros((0, 4), np.float32), np.zeros(0, int), np.zeros(0, np.float32)) for _ in records]


def test_finding_nothing_is_zero_and_everything_is_one():
    records, _ = random_case(1, difficult=0)
    perfect = [Detections(r.boxes, r.classes, np.linspace(0.9, 0.8, len(r.boxes)).astype(np.float32)) for r in records]
    detection_set = DetectionSet("own", CLASSES, records)
    for metric in ("voc07", "voc", "coco"):
        assert score(nothing_found(records), detection_set, metric)["map"] == 0
        assert score(perfect, detection_set, metric)["map"] == pytest.approx(1)


def pycocotools_alone(path, records, detections, category_ids):
    results = [{"image_id": record.image_id, "category_id": category_ids[number], "score": float(value),
                "bbox": [float(b[0]), float(b[1]), float(b[2] - b[0]), float(b[3] - b[1])]}
               for record, found in zip(records, detections) for b, number, value in zip(*found)]
    with contextlib.redirect_stdout(io.StringIO()):
        truth = COCO(str(path))
        evaluation = COCOeval(truth, truth.loadRes(results), "bbox")
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    return evaluation.stats


def write_coco(path, records, category_ids):
    annotations = []
    for record in records:
        for box, number, crowd in zip(record.boxes.astype(float), record.classes, record.crowd):
            width, height = box[2] - box[0], box[3] - box[1]
            annotations.append(dict(id=len(annotations) + 1, image_id=record.image_id, iscrowd=int(crowd),
                                    category_id=category_ids[number], bbox=[box[0], box[1], width, height],
                                    area=width * height))
    path.write_text(json.dumps(dict(
        images=[dict(id=r.image_id, file_name=r.path, width=300, height=300) for r in records],
        categories=[dict(id=number, name=name) for number, name in zip(category_ids, CLASSES)],
        annotations=annotations)))


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("with_json", (True, False))
def test_cocos_ap_equals_pycocotools(with_json, seed, tmp_path, capsys):
    records, detections = random_case(seed, difficult=0, crowd=0.15)
    category_ids = [3, 7, 18, 90]
    write_coco(tmp_path / "truth.json", records, category_ids)
    expected = pycocotools_alone(tmp_path / "truth.json", records, detections, category_ids)
    detection_set = DetectionSet("coco", CLASSES, records,
                                 annotation_file=str(tmp_path / "truth.json") if with_json else None)
    capsys.readouterr()
    numbers = coco_average_precision(detections, detection_set)
    assert capsys.readouterr().out == ""
    per_class = numbers.pop("per_class")
    np.testing.assert_allclose(np.nan_to_num(list(numbers.values()), nan=-1), expected, atol=1e-6)
    assert np.isnan(per_class[3])
    assert np.nanmean(per_class) == pytest.approx(expected[0], abs=1e-6)


def test_saved_detections_are_cocos_results(tmp_path):
    records, detections = random_case(2, crowd=0)
    save_detections(str(tmp_path / "found.json"), detections, DetectionSet("own", CLASSES, records))
    results = json.loads((tmp_path / "found.json").read_text())
    assert len(results) == sum(len(found.scores) for found in detections)
    first = detections[0]
    assert results[0]["bbox"] == pytest.approx([*first.boxes[0, :2], *(first.boxes[0, 2:] - first.boxes[0, :2])])

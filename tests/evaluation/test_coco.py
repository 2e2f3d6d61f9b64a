"""COCO's average precision against pycocotools, run on JSON files that the tests write for themselves."""
import contextlib
import io
import json
import os
import sys
import threading

import cv2
import numpy as np
import pytest
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from gluon_bof.boxes import Detections, DetectionSet, Record
from gluon_bof.data.coco import load_coco
from gluon_bof.errors import UserError
from gluon_bof.evaluation.coco import coco_average_precision, save_detections
from gluon_bof.evaluation.voc import voc_average_precision

TOLERANCE = 1e-6
SIZE = 300
NAMES = ("AP", "AP50", "AP75", "APs", "APm", "APl", "AR1", "AR10", "AR100", "ARs", "ARm", "ARl")
CATEGORIES = {"zebra": 90, "ant": 3, "cat": 17, "dog": 18}  # in the file's order; "dog" is never there
IDS = sorted(CATEGORIES.values())


class WithIgnore(COCOeval):
    """COCOeval that honours "ignore" for itself, not by way of the area."""

    def _prepare(self):
        wanted = {entry["id"] for entry in self.cocoGt.dataset["annotations"] if entry.get("ignore")}
        super()._prepare()
        for entries in self._gts.values():
            for entry in entries:
                entry["ignore"] = int(entry["ignore"] or entry["id"] in wanted)


def official(truth_path, result_path, ids, image_ids=None, evaluator=COCOeval):
    """({name: number}, [AP of each category id]) by pycocotools alone, -1 as NaN."""
    with contextlib.redirect_stdout(io.StringIO()):
        truth = COCO(str(truth_path))
        evaluation = evaluator(truth, truth.loadRes(str(result_path)), "bbox")
        evaluation.params.catIds = list(ids)
        if image_ids is not None:
            evaluation.params.imgIds = list(image_ids)
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    precision = evaluation.eval["precision"]
    per_class = []
    for category_id in ids:
        values = precision[:, :, evaluation.params.catIds.index(category_id), 0, 2]
        per_class.append(values[values > -1].mean() if (values > -1).any() else np.nan)
    return {name: np.nan if value == -1 else value for name, value in zip(NAMES, evaluation.stats)}, per_class


def assert_equal(result, expected):
    numbers, per_class = expected
    assert set(result) == set(NAMES) | {"per_class"}
    np.testing.assert_allclose([result[name] for name in NAMES], [numbers[name] for name in NAMES], rtol=0,
                               atol=TOLERANCE)
    np.testing.assert_allclose(result["per_class"], per_class, rtol=0, atol=TOLERANCE)


def random_truth(rng, count=25, difficult_share=0.0):
    """COCO content as a dict: quarter-pixel boxes of all sizes, crowds, images without boxes, outlines' areas."""
    images = [{"id": int(number), "file_name": f"{number}.jpg", "width": SIZE, "height": SIZE}
              for number in rng.permutation(1000)[:count] + 1]
    annotations = []
    for image in images:
        for _ in range(rng.choice((0, 1, 3, 8))):
            width, height = (rng.choice((20, 60, 180), 2) * rng.uniform(0.4, 1, 2) * 4).round() / 4
            x, y = (rng.uniform(0, (SIZE - width, SIZE - height)) * 4).round() / 4
            annotations.append({"id": len(annotations) + 1, "image_id": image["id"],
                                "category_id": int(rng.choice([90, 3, 17])), "bbox": [x, y, width, height],
                                "area": width * height * rng.uniform(0.4, 1), "iscrowd": int(rng.random() < 0.12),
                                "ignore": int(rng.random() < difficult_share)})
    return {"images": images, "annotations": annotations,
            "categories": [{"id": number, "name": name} for name, number in CATEGORIES.items()]}


def random_results(rng, truth, chance=4, shift=0.08):
    """COCO's result rows: hits near and far, several on one box, wrong classes, chance finds; distinct scores."""
    rows = []
    for entry in truth["annotations"]:
        x, y, width, height = entry["bbox"]
        for _ in range(rng.integers(0, 4)):
            dx, dy = rng.normal(0, shift, 2) * (width, height)
            scale = np.exp(rng.normal(0, shift, 2))
            category_id = entry["category_id"] if rng.random() < 0.9 else int(rng.choice(IDS))
            rows.append((entry["image_id"], category_id, [x + dx, y + dy, width * scale[0], height * scale[1]]))
    for image in truth["images"]:
        for _ in range(rng.integers(0, chance + 1)):
            rows.append((image["id"], int(rng.choice(IDS)), [*rng.uniform(0, SIZE / 2, 2), *rng.uniform(3, 150, 2)]))
    # values that float32 holds exactly, so that both paths see the same numbers
    scores = rng.permutation(len(rows)) / 2 ** 14
    return [{"image_id": image_id, "category_id": category_id, "bbox": ((np.array(box) * 64).round() / 64).tolist(),
             "score": float(score)} for (image_id, category_id, box), score in zip(rows, scores)]


def as_detections(results, image_ids, ids=tuple(IDS)):
    """[Detections] of the images, best first, as a detector would hand them over."""
    found = []
    for image_id in image_ids:
        rows = sorted((row for row in results if row["image_id"] == image_id and row["category_id"] in ids),
                      key=lambda row: -row["score"])
        boxes = np.array([row["bbox"] for row in rows], np.float64).reshape(-1, 4)
        boxes[:, 2:] += boxes[:, :2]
        found.append(Detections(boxes.astype(np.float32),
                                np.array([ids.index(row["category_id"]) for row in rows], np.int64),
                                np.array([row["score"] for row in rows], np.float32)))
    return found


def write(path, content):
    path.write_text(json.dumps(content))
    return path


def write_set(folder, truth):
    """A COCO-layout set with (black) images. Returns the JSON's path."""
    (folder / "val2017").mkdir(parents=True)
    (folder / "annotations").mkdir()
    for image in truth["images"]:
        cv2.imwrite(str(folder / "val2017" / image["file_name"]), np.zeros((SIZE, SIZE, 3), np.uint8))
    return write(folder / "annotations" / "instances_val2017.json", truth)


def in_memory(truth):
    """The same ground truth as a set of VOC's kind: no JSON, images named by text; "ignore" is difficult."""
    records = []
    for image in truth["images"]:
        rows = [entry for entry in truth["annotations"] if entry["image_id"] == image["id"]]
        boxes = np.array([entry["bbox"] for entry in rows], np.float32).reshape(-1, 4)
        boxes[:, 2:] += boxes[:, :2]
        records.append(Record(image["file_name"], "image.xml", f"image{image['id']}", SIZE, SIZE, boxes,
                              np.array([IDS.index(entry["category_id"]) for entry in rows], np.int64),
                              np.array([entry["ignore"] for entry in rows], bool),
                              np.array([entry["iscrowd"] for entry in rows], bool)))
    return DetectionSet("shapes", ("ant", "cat", "dog", "zebra"), records)


def simple_set(*images):
    """A set of one class without a JSON; each image is a list of boxes."""
    records = [Record("a.jpg", "a.xml", f"a{number}", SIZE, SIZE, np.array(boxes, np.float32).reshape(-1, 4),
                      np.zeros(len(boxes), np.int64), np.zeros(len(boxes), bool), np.zeros(len(boxes), bool))
               for number, boxes in enumerate(images)]
    return DetectionSet("shapes", ("thing",), records)


def detections(boxes=(), scores=()):
    return Detections(np.array(boxes, np.float32).reshape(-1, 4), np.zeros(len(boxes), np.int64),
                      np.array(scores, np.float32))


@pytest.mark.parametrize("seed", range(4))
def test_equals_pycocotools_on_a_json(tmp_path, seed, capsys):
    rng = np.random.default_rng(seed)
    truth = random_truth(rng)
    path = write_set(tmp_path, truth)
    results = random_results(rng, truth)
    found_set = load_coco(str(tmp_path), "val")
    found = as_detections(results, [one.image_id for one in found_set.records])
    expected = official(path, write(tmp_path / "results.json", results), IDS)
    assert 0.1 < expected[0]["AP"] < 0.9 and np.isnan(expected[1][IDS.index(18)]), "a poor case to test with"
    capsys.readouterr()
    assert_equal(coco_average_precision(found, found_set), expected)
    assert capsys.readouterr().out == ""


def test_other_threads_keep_standard_output_meanwhile(tmp_path):
    rng = np.random.default_rng(0)
    truth = random_truth(rng)
    write_set(tmp_path, truth)
    found_set = load_coco(str(tmp_path), "val")
    found = as_detections(random_results(rng, truth), [one.image_id for one in found_set.records])
    outputs, done = {sys.stdout}, threading.Event()
    other = threading.Thread(target=lambda: [outputs.add(sys.stdout) for _ in iter(done.is_set, True)])
    other.start()
    coco_average_precision(found, found_set)
    done.set()
    other.join()
    assert outputs == {sys.stdout}


def test_more_detections_than_count(tmp_path):
    rng = np.random.default_rng(5)
    truth = random_truth(rng, count=4)
    path = write_set(tmp_path, truth)
    results = random_results(rng, truth, chance=900)
    found_set = load_coco(str(tmp_path), "val")
    found = as_detections(results, [one.image_id for one in found_set.records])
    assert max(np.bincount(one.classes).max() for one in found) > 100
    assert_equal(coco_average_precision(found, found_set),
                 official(path, write(tmp_path / "results.json", results), IDS))


def test_only_the_sets_images_and_classes_count(tmp_path):
    """Half of the images, and classes in an order that is not that of the category ids."""
    rng = np.random.default_rng(6)
    truth = random_truth(rng)
    path = write_set(tmp_path, truth)
    ids = (90, 3)
    found_set = load_coco(str(tmp_path), "val", classes=("zebra", "ant"), on_bad_sample="skip")
    found_set.records = found_set.records[::2]
    image_ids = [one.image_id for one in found_set.records]
    results = random_results(rng, truth)
    found = as_detections(results, image_ids, ids)
    expected = official(path, write(tmp_path / "results.json", results), ids, image_ids)
    assert abs(expected[1][0] - expected[1][1]) > 1000 * TOLERANCE, "a poor case to test with"
    assert_equal(coco_average_precision(found, found_set), expected)


def test_scores_that_are_equal_count_in_the_order_of_ids_whatever_the_records(tmp_path):
    rng = np.random.default_rng(7)
    truth = random_truth(rng)
    path = write_set(tmp_path, truth)
    results = [dict(row, score=0.5) for row in random_results(rng, truth)]
    found_set = load_coco(str(tmp_path), "val")
    expected = official(path, write(tmp_path / "results.json", results), IDS)
    found_set.records.reverse()
    found = as_detections(results, [one.image_id for one in found_set.records])
    assert_equal(coco_average_precision(found, found_set), expected)


def test_a_box_to_be_ignored_is_a_crowd_to_every_metric(tmp_path):
    """COCO's metric asked for it, and VOC's held detections on it against them."""
    rng = np.random.default_rng(6)
    truth = random_truth(rng, difficult_share=0.3)
    results = random_results(rng, truth)
    crowds = dict(truth, annotations=[dict(entry, iscrowd=int(entry["iscrowd"] or entry["ignore"]), ignore=0)
                                      for entry in truth["annotations"]])
    write_set(tmp_path / "ignored", truth)
    path = write_set(tmp_path / "crowds", crowds)
    ignored_set, crowd_set = (load_coco(str(tmp_path / name), "val") for name in ("ignored", "crowds"))
    found = as_detections(results, [one.image_id for one in ignored_set.records])
    expected = official(path, write(tmp_path / "results.json", results), IDS)
    assert_equal(coco_average_precision(found, ignored_set), expected)
    of_voc, of_crowds = (voc_average_precision(found, one.records, 4) for one in (ignored_set, crowd_set))
    np.testing.assert_array_equal(of_voc, of_crowds)
    asked_for = official(tmp_path / "ignored/annotations/instances_val2017.json", tmp_path / "results.json", IDS)
    assert abs(expected[0]["AP"] - asked_for[0]["AP"]) > 1000 * TOLERANCE, "a poor case to test with"


@pytest.mark.parametrize("seed", range(4))
def test_equals_pycocotools_on_records_with_difficult_boxes(tmp_path, seed):
    rng = np.random.default_rng(10 + seed)
    truth = random_truth(rng, difficult_share=0.3)
    for entry in truth["annotations"]:
        entry["area"] = entry["bbox"][2] * entry["bbox"][3]  # VOC has no outlines
    results = random_results(rng, truth)
    truth_path, result_path = write(tmp_path / "truth.json", truth), write(tmp_path / "results.json", results)
    found_set = in_memory(truth)
    found = as_detections(results, [image["id"] for image in truth["images"]])
    expected = official(truth_path, result_path, IDS, evaluator=WithIgnore)
    assert_equal(coco_average_precision(found, found_set), expected)
    without_ignore = official(truth_path, result_path, IDS)
    assert abs(expected[0]["AP"] - without_ignore[0]["AP"]) > 1000 * TOLERANCE, "a poor case to test with"


def test_by_hand():
    """Two boxes, one found at IoU 0.8 and best score, then a miss: recall 1/2 at precision 1 for 7 of 10 IoUs.

    Of the 101 recall points, 51 lie at or below 1/2."""
    found_set = simple_set([(0, 0, 100, 100), (150, 150, 250, 250)])
    found = [detections([(0, 0, 100, 80), (0, 200, 50, 250)], (0.9, 0.8))]
    result = coco_average_precision(found, found_set)
    assert result["AP50"] == result["AP75"] == pytest.approx(51 / 101)
    assert result["AP"] == pytest.approx(0.7 * 51 / 101) and result["per_class"] == pytest.approx([0.7 * 51 / 101])
    assert result["AR100"] == pytest.approx(0.35) and result["AR1"] == pytest.approx(0.35)
    assert np.isnan([result[name] for name in ("APs", "APm", "ARs", "ARm")]).all()


@pytest.mark.parametrize("with_json", [True, False])
def test_no_detections_give_zero(tmp_path, with_json):
    truth = random_truth(np.random.default_rng(3))
    write_set(tmp_path, truth)
    found_set = load_coco(str(tmp_path), "val") if with_json else in_memory(truth)
    result = coco_average_precision([detections()] * len(found_set), found_set)
    assert [result[name] for name in NAMES] == [0.0] * 12
    np.testing.assert_array_equal(result["per_class"], [0, 0, np.nan, 0])


def test_no_ground_truth_gives_no_number():
    result = coco_average_precision([detections([(0, 0, 9, 9)], (0.5,)), detections()], simple_set([], []))
    assert np.isnan([result[name] for name in NAMES]).all() and np.isnan(result["per_class"]).all()


@pytest.mark.parametrize("first_id", [0, 1, "text"])
def test_perfect_detections_whatever_the_ids(tmp_path, first_id):
    """COCOeval by itself takes an annotation whose id is 0 for one never found, and stops at text."""
    truth = random_truth(np.random.default_rng(8))
    for place, entry in enumerate(truth["annotations"]):
        entry["iscrowd"] = 0
        entry["id"] = f"annotation {place}" if first_id == "text" else first_id + place
        if first_id == "text":
            entry["image_id"] = f"image {entry['image_id']}"
    if first_id == "text":
        for image in truth["images"]:
            image["id"] = f"image {image['id']}"
    write_set(tmp_path, truth)
    found_set = load_coco(str(tmp_path), "val")
    found = [Detections(one.boxes, one.classes, np.linspace(0.9, 0.5, len(one.boxes), dtype=np.float32))
             for one in found_set.records]
    result = coco_average_precision(found, found_set)
    assert [result[name] for name in ("AP", "AP50", "AR100")] == pytest.approx([1.0] * 3)


def test_a_box_that_stands_around_cvats_rotated_rectangle_was_a_miss(tmp_path):
    truth = random_truth(np.random.default_rng(8))
    for entry in truth["annotations"]:
        entry.update(iscrowd=0, bbox=[SIZE / 2, SIZE / 2, 60, 6], attributes={"rotation": 90.0})
    write_set(tmp_path, truth)
    found_set = load_coco(str(tmp_path), "val")
    found = [Detections(one.boxes, one.classes, np.ones(len(one.boxes), np.float32)) for one in found_set.records]
    assert found_set.records[0].boxes[0].tolist() == [SIZE / 2 + 27, SIZE / 2 - 27, SIZE / 2 + 33, SIZE / 2 + 33]
    assert coco_average_precision(found, found_set)["AP"] == pytest.approx(1)


def test_a_rectangle_turned_by_180_degrees_that_sticks_out_of_its_image_was_a_miss(tmp_path):
    truth = random_truth(np.random.default_rng(8))
    for entry in truth["annotations"]:
        entry.update(iscrowd=0, bbox=[SIZE - 30, SIZE / 2, 60, 6], attributes={"rotation": 180.0})
    write_set(tmp_path, truth)
    found_set = load_coco(str(tmp_path), "val")
    found = [Detections(one.boxes, one.classes, np.ones(len(one.boxes), np.float32)) for one in found_set.records]
    assert found_set.records[0].boxes[0].tolist() == [SIZE - 30, SIZE / 2, SIZE, SIZE / 2 + 6]
    assert coco_average_precision(found, found_set)["AP"] == pytest.approx(1)


def test_malformed_annotations_are_left_out(tmp_path):
    truth = random_truth(np.random.default_rng(9))
    write_set(tmp_path / "sound", truth)
    sound_set = load_coco(str(tmp_path / "sound"), "val")
    image_id = truth["images"][0]["id"]
    entry = {"image_id": image_id, "category_id": 3, "area": 10, "iscrowd": 0}
    truth["annotations"] += [None, "text", {}, [1], dict(entry, id=9001), dict(entry, id=9002, bbox=[1, 2, None, 4]),
                             dict(entry, id=9003, bbox=[1, 2, 3]), dict(entry, id=9004, bbox=[9, 9, -5, 5]),
                             dict(entry, id=9005, bbox=[1, 2, 3, float("nan")]),
                             dict(entry, id=9006, bbox=[1, 2, 3, 4], image_id=[1])]
    write_set(tmp_path / "faulty", truth)
    found_set = load_coco(str(tmp_path / "faulty"), "val", on_bad_sample="skip")
    found = [Detections(one.boxes, one.classes, np.full(len(one.boxes), 0.5, np.float32))
             for one in found_set.records]
    np.testing.assert_equal(coco_average_precision(found, found_set), coco_average_precision(found, sound_set))


@pytest.mark.parametrize("bbox, kept, outline", [
    ([0.1, 0.1, 0.4, 0.4], None, 9), ([SIZE + 9, 20, 50, 40], None, 9), ([10, 20, 0, 40], None, 9),
    # their middles are inside; small is what is left of the one, and the outline of the other
    ([SIZE - 30, 20, 50, 34], [SIZE - 30, 20, 30, 34], 50 * 34), ([SIZE - 30, 20, 50, 40], [SIZE - 30, 20, 30, 40], 900)],
    ids=["normalised", "outside", "no area", "cut", "cut with an outline"])
def test_boxes_that_the_reader_skipped_are_no_misses_and_those_that_it_cut_are_judged_as_cut(bbox, kept, outline, tmp_path):
    truth = random_truth(np.random.default_rng(9))
    rest = truth["annotations"]
    image_ids = {row["image_id"] for row in rest}
    found_sets = []
    for name, box, area in (("faulty", bbox, outline), ("by-hand", kept, min(outline, kept[2] * kept[3]) if kept else 0)):
        truth["annotations"] = rest + [{"id": 9001 + number, "image_id": image_id, "category_id": 3, "iscrowd": 0, "bbox": box,
                                        "area": area} for number, image_id in enumerate(image_ids) if box]
        write_set(tmp_path / name, truth)
        found_sets.append(load_coco(str(tmp_path / name), "val", on_bad_sample="skip"))
    assert found_sets[0].faults
    found = [detections(one.boxes, np.linspace(0.9, 0.5, len(one.boxes)))._replace(classes=one.classes)
             for one in found_sets[1].records]
    found[::2] = [Detections(*(part[:-1] for part in one[:3])) for one in found[::2]]  # half of the last boxes are missed
    np.testing.assert_equal(*(coco_average_precision(found, one) for one in found_sets))


def test_area_and_iscrowd_may_be_missing(tmp_path):
    truth = random_truth(np.random.default_rng(12))
    for entry in truth["annotations"]:
        entry.update(area=entry["bbox"][2] * entry["bbox"][3], iscrowd=0)
    results = random_results(np.random.default_rng(1), truth)
    path = write(tmp_path / "complete.json", truth)
    expected = official(path, write(tmp_path / "results.json", results), IDS)
    for entry in truth["annotations"]:
        del entry["area"], entry["iscrowd"]
    write_set(tmp_path / "set", truth)
    found_set = load_coco(str(tmp_path / "set"), "val")
    found = as_detections(results, [one.image_id for one in found_set.records])
    assert_equal(coco_average_precision(found, found_set), expected)


def test_a_box_that_is_no_number_is_a_miss():
    found_set = simple_set([(0, 0, 100, 100)])
    found = [detections([(np.nan,) * 4, (0, 0, 100, 100)], (0.9, 0.8))]
    assert coco_average_precision(found, found_set)["AP"] == pytest.approx(0.5)


def test_an_annotation_file_that_went_away_is_named(tmp_path):
    path = write_set(tmp_path, random_truth(np.random.default_rng(0)))
    found_set = load_coco(str(tmp_path), "val")
    for damage in (lambda: path.write_text("{"), path.unlink):
        damage()
        with pytest.raises(UserError, match="instances_val2017.json: the annotations cannot be read any more"):
            coco_average_precision([detections()] * len(found_set), found_set)


def test_saved_detections_are_pycocotools_results(tmp_path):
    """The file alone, given to pycocotools, scores what we say."""
    rng = np.random.default_rng(7)
    truth = random_truth(rng)
    path = write_set(tmp_path, truth)
    found_set = load_coco(str(tmp_path), "val")
    results = random_results(rng, truth)
    found = as_detections(results, [one.image_id for one in found_set.records])
    saved = tmp_path / "saved.json"
    save_detections(saved, found, found_set)
    by_score = sorted(json.loads(saved.read_text()), key=lambda row: row["score"])
    assert by_score == sorted(results, key=lambda row: row["score"])
    assert_equal(coco_average_precision(found, found_set), official(path, saved, IDS))


def test_saved_without_a_json(tmp_path):
    found_set = simple_set([], [(0, 0, 10, 10)])
    save_detections(str(tmp_path / "saved.json"), [detections(), detections([(1, 2, 11, 22)], (0.5,))], found_set)
    assert json.loads((tmp_path / "saved.json").read_text()) == [
        {"image_id": "a1", "category_id": 1, "bbox": [1, 2, 10, 20], "score": 0.5}]
    save_detections(str(tmp_path / "saved.json"), [detections()] * 2, found_set)
    assert json.loads((tmp_path / "saved.json").read_text()) == []
    assert os.listdir(tmp_path) == ["saved.json"]


def test_an_unwritable_place_is_named(tmp_path):
    found_set = simple_set([])
    for path in (tmp_path / "absent" / "saved.json", tmp_path):
        with pytest.raises(UserError, match="cannot be written") as caught:
            save_detections(path, [detections()], found_set)
        assert str(caught.value).startswith(str(path)) and caught.value.remedy
    assert os.listdir(tmp_path) == []


def test_lists_of_different_length_are_refused(tmp_path):
    for function in (coco_average_precision, lambda *given: save_detections(tmp_path / "saved.json", *given)):
        with pytest.raises(ValueError, match="2 images of detections for 1 records"):
            function([detections()] * 2, simple_set([]))

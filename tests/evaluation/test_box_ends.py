"""Where boxes end: weights that GluonCV trained against ours, on the same ground truth."""
import hashlib
import json
from types import SimpleNamespace

import numpy as np
import pytest

from gluon_bof.boxes import BoxEnds, Detections, DetectionSet
from gluon_bof.data.check import open_parts
from gluon_bof.data.coco import load_coco
from gluon_bof.errors import UserError
from gluon_bof.evaluation import doubts
from gluon_bof.evaluation.coco import coco_average_precision
from gluon_bof.evaluation.validation import Validation, evaluate
from gluon_bof.inference.model import load
from gluon_bof.inference.predict import DetectionWriter
from gluon_bof.options.yolo3 import Yolo3Options
from gluon_bof.runs.opening import create_run
from gluon_bof.weights import zoo
from gluon_bof.weights.resolve import resolve
from tests.evaluation.test_coco import official, random_truth, write_set
from tests.tiny_networks import CLASSES, write_run
from tests.tiny_sets import write_voc_set

from gluoncv.utils.bbox import bbox_xywh_to_xyxy

NAME = "yolo3_mobilenet1.0_coco"


@pytest.fixture(scope="module")
def coco(tmp_path_factory):
    folder = tmp_path_factory.mktemp("coco")
    write_set(folder, random_truth(np.random.default_rng(0), count=6))
    return folder


def test_a_detector_that_is_right_in_gluoncvs_eyes_scores_1(coco):
    """Its boxes are what GluonCV's reader makes of the annotations."""
    found_set = load_coco(str(coco), "val")
    truth = json.loads((coco / "annotations" / "instances_val2017.json").read_text())
    ids = sorted(entry["id"] for entry in truth["categories"])
    found = []
    for record in found_set.records:
        rows = [entry for entry in truth["annotations"] if entry["image_id"] == record.image_id and not entry["iscrowd"]]
        boxes = np.array([bbox_xywh_to_xyxy(entry["bbox"]) for entry in rows], np.float32).reshape(-1, 4)
        found.append(Detections(boxes, np.array([ids.index(entry["category_id"]) for entry in rows], np.int64),
                                np.linspace(0.9, 0.5, len(rows)).astype(np.float32)))
    theirs = [BoxEnds.LAST_PIXEL.as_edges(one) for one in found]
    assert coco_average_precision(theirs, found_set)["AP"] == pytest.approx(1)
    assert coco_average_precision(list(map(BoxEnds.EDGE.as_edges, found)), found_set)["AP"] < 0.95


@pytest.fixture
def published(tmp_path, monkeypatch):
    """A run's weights in a file of their own that GluonCV would have published, and the options that it takes."""
    run = write_run(tmp_path / "run")
    path = tmp_path / "elsewhere" / "some.params"
    path.parent.mkdir()
    data = (tmp_path / "run" / "best.params").read_bytes()
    path.write_bytes(data)
    monkeypatch.setitem(zoo.CHECKSUMS, NAME, hashlib.sha1(data).hexdigest())
    return run, str(path), {"network": "mobilenet0.25-slim", "data_shape": 64, "classes": ",".join(CLASSES)}


def test_weights_are_known_by_their_content_and_runs_by_their_configuration(published, tmp_path):
    run, path, given = published
    assert resolve(path, given).box_ends is BoxEnds.LAST_PIXEL
    assert resolve(run).box_ends is BoxEnds.EDGE  # the same bytes, but a run of ours; its config.json says nothing
    assert resolve("shapes").box_ends is BoxEnds.EDGE
    own = tmp_path / "own.params"
    own.write_bytes(open(path, "rb").read() + b"\0")
    assert resolve(str(own), given).box_ends is BoxEnds.EDGE
    config = json.loads((tmp_path / "run" / "config.json").read_text())
    for word, ends in (("last pixel", BoxEnds.LAST_PIXEL), ("edge", BoxEnds.EDGE)):
        (tmp_path / "run" / "config.json").write_text(json.dumps({**config, "box_ends": word}))
        assert resolve(run).box_ends is ends
    (tmp_path / "run" / "config.json").write_text(json.dumps({**config, "box_ends": "middle"}))
    with pytest.raises(UserError, match="config.json: box_ends cannot be 'middle'.*edge or last pixel"):
        _ = resolve(run).box_ends


def test_a_run_that_starts_from_published_weights_is_ours(published, tmp_path):
    run = create_run(Yolo3Options(runs=str(tmp_path), name="tuned", transfer=published[1]))
    assert json.loads(open(run.config).read())["box_ends"] == "edge"
    assert resolve(run.folder).box_ends is BoxEnds.EDGE


def test_evaluation_and_its_file_have_the_pixel_and_own_weights_do_not(published, coco, tmp_path):
    run, path, given = published
    truth = json.loads((coco / "annotations" / "instances_val2017.json").read_text())
    names = ",".join(entry["name"] for entry in sorted(truth["categories"], key=lambda entry: entry["id"])[:3])
    given = {**given, "classes": names, "dataset": str(coco), "num_workers": 0, "on_bad_sample": "skip", "metric": "coco"}
    rows, scores = [], []
    for weights in (path, str(tmp_path / "own.params")):
        if weights != path:
            open(weights, "wb").write(open(path, "rb").read())
            zoo.CHECKSUMS[NAME] = "another"
        saved = tmp_path / "saved.json"
        scores.append(evaluate(resolve(weights, given), str(saved))["coco"])
        rows.append(json.loads(saved.read_text()))
    theirs, ours = (np.array([row["bbox"] for row in found]) for found in rows)
    assert len(ours) > 20
    np.testing.assert_allclose(theirs, ours + (0, 0, 1, 1), atol=1e-4)
    # and what was scored is what was written: by pycocotools alone, on the JSON as it is
    ids = sorted(entry["id"] for entry in truth["categories"])[:3]
    for found, score in zip(rows, scores):
        (tmp_path / "rows.json").write_text(json.dumps(found))
        expected, _ = official(coco / "annotations" / "instances_val2017.json", tmp_path / "rows.json", ids)
        for name in ("AP", "AR100"):
            assert score[name] == pytest.approx(expected[name], abs=1e-9)


def test_on_vocs_ground_truth_nothing_is_added():
    options = Yolo3Options(network="mobilenet0.25-slim", data_shape=64, num_workers=0)
    for file, ends in ((None, BoxEnds.EDGE), ("a.json", BoxEnds.LAST_PIXEL)):
        validation = Validation(options, DetectionSet("x", ("a",), [], annotation_file=file), BoxEnds.LAST_PIXEL)
        assert validation.ends is ends


def test_a_check_does_not_doubt_labels_for_the_pixel_that_published_weights_leave_out(published, coco, monkeypatch):
    _, path, given = published
    looked_at = {}
    monkeypatch.setattr(doubts, "find_suspects", lambda found, records, count: looked_at.update(found=found) or [])
    ours = [Detections(np.array([[1, 2, 30, 40]], np.float32), np.zeros(1, np.int64), np.ones(1, np.float32))]
    monkeypatch.setattr(doubts, "detections_of", lambda *given: ours)
    doubts.doubt_set(resolve(path, given), str(coco), open_parts(str(coco))[0])
    assert looked_at["found"][0].boxes.tolist() == [[1, 2, 31, 41]]
    voc = write_voc_set(coco / "voc", 2, 1)
    doubts.doubt_set(resolve(path, given), str(voc), open_parts(str(voc))[0])
    assert looked_at["found"][0].boxes.tolist() == [[1, 2, 30, 40]]


def test_predictions_keep_their_pixels_and_their_rows_have_cocos(published):
    _, path, given = published
    image = np.random.default_rng(0).integers(0, 256, (60, 80, 3)).astype(np.uint8)
    model = load(path, **given)
    assert model.box_ends is BoxEnds.LAST_PIXEL
    found = model.predict(image)
    rows = {}
    for ends in BoxEnds:
        writer = DetectionWriter(SimpleNamespace(classes=model.classes), ends)
        writer.add("a.png", image.shape, found)
        rows[ends] = np.array([row["bbox"] for row in writer.rows])
    left, top, right, bottom = found.boxes.T
    np.testing.assert_allclose(rows[BoxEnds.EDGE], np.stack([left, top, right - left, bottom - top], axis=1), atol=1e-3)
    np.testing.assert_allclose(rows[BoxEnds.LAST_PIXEL], rows[BoxEnds.EDGE] + (0, 0, 1, 1), atol=2e-3)

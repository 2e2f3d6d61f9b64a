"""The page that says why: its numbers, its parts, and that it can be read."""
import base64
import dataclasses
import io
import json
import re

import numpy as np
import pytest
from PIL import Image

from gluon_bof.boxes import Detections, DetectionSet
from gluon_bof.data.voc import load_voc
from gluon_bof.errors import UserError
from gluon_bof.evaluation.compare import compare_runs
from gluon_bof.evaluation.curves import calibration
from gluon_bof.evaluation.errors import detection_errors
from gluon_bof.evaluation.gallery import FOUND, LABELLED, draw_thumbnail, thumbnail, worst_images
from gluon_bof.evaluation.matching import match_images
from gluon_bof.evaluation.page import plain
from gluon_bof.evaluation.plots import TEXT, confusion_figure, reliability_figure, training_figures
from gluon_bof.evaluation.report import gather, report_run, training_rows, write_report
from gluon_bof.evaluation.score import score
from gluon_bof.options.yolo3 import Yolo3Options
from gluon_bof.runs.config import write_config
from tests.data.image_files import write_image
from tests.evaluation.browser import look_at
from tests.evaluation.drawn_detections import draw, found_of, record_of
from tests.tiny_sets import write_voc_set

PARTS = {"classes", "errors", "errors-figure", "curves", "precision-recall", "f1", "best-f1", "confusion", "confusion-figure",
         "calibration", "reliability", "worst", "false-positives", "missed", "loose", "training", "training-1", "training-2",
         "training-3"}
CLASSES = ("blue", "green", "red")
SHORT = {"map": 0.5, "best": {"f1": 0.5}, "errors": {"gains": {}}, "calibration": {"error": 0.1}, "sizes": {}, "classes": []}


@pytest.fixture(scope="module")
def reported(tmp_path_factory):
    """(folder of a run with its report, the numbers): the tiny set, its own boxes shifted, mistaken, doubled and dropped."""
    folder = tmp_path_factory.mktemp("report")
    found_set = load_voc(str(write_voc_set(folder / "set", 2, 12)), "val", classes=CLASSES)
    rng = np.random.default_rng(0)
    run = folder / "run"
    run.mkdir()
    rows = [f"{epoch},{10 * epoch},0.01,{3 - epoch},{2 - epoch / 2},{'' if epoch == 1 else epoch / 4}" for epoch in range(3)]
    (run / "metrics.csv").write_text("\n".join(["epoch,iteration,learning_rate,a_loss,b_loss,map", *rows]) + "\n")
    spoilt = [_spoilt(record, rng) for record in found_set.records]
    report_run(str(run), spoilt, found_set, score(spoilt, found_set))
    return run, json.loads((run / "report.json").read_text())


def _spoilt(record, rng):
    boxes, classes, scores = [(0, 0, 15, 15)], [0], [rng.uniform(0.1, 0.9)]
    for box, label in zip(record.boxes, record.classes):
        if rng.random() < 0.8:
            boxes.append(box + rng.normal(0, 3, 4))
            classes.append(label if rng.random() < 0.8 else (label + 1) % 3)
            scores.append(rng.uniform(0.3, 1))
    return found_of(boxes, classes, scores)


def test_every_part_is_seen_at_a_laptops_and_a_phones_width(reported, tmp_path):
    for width in (1280, 390):
        seen = look_at(reported[0] / "report.html", width, tmp_path, PARTS)
        assert seen["needs"] <= seen["width"] <= width and seen["over"] == []
        assert seen["images"] >= 10 and seen["broken"] == seen["shapes"] == 0


def test_the_page_is_one_small_file_that_asks_nobody_for_anything(reported):
    html = (reported[0] / "report.html").read_text(encoding="utf-8")
    assert len(html) < 2e6
    addresses = re.findall(r'(?:src|href|url)\s*[=(]\s*["\']?([^"\')\s>]{1,30})', html)
    assert addresses and all(address.startswith("data:image/") for address in addresses)
    assert "<script" not in html and "http" not in re.sub(r'src="data:[^"]*"', "", html)
    assert any(address.startswith("data:image/png") for address in addresses)


def cells(*shown):
    """Cells of a table for (number or None, what it is multiplied by, its digits)."""
    return "".join("<td>–</td>" if value is None else f"<td>{scale * value:.{digits}f}</td>" for value, scale, digits in shown)


def test_the_json_says_what_the_page_shows(reported):
    html, numbers = (reported[0] / "report.html").read_text(encoding="utf-8"), reported[1]
    assert f"<b>{100 * numbers['map']:.1f}</b>" in html and f"<b>{numbers['boxes']}</b>" in html
    sizes, errors = ("small", "medium", "large"), numbers["errors"]
    mean = {size: numbers["sizes"][size]["ap"] for size in sizes}
    for row in [*numbers["classes"], {"name": "mean", "boxes": numbers["boxes"], "ap": numbers["map"], **mean}]:
        assert f"<td>{row['name']}</td><td>{row['boxes']}</td>{cells(*((row[key], 100, 1) for key in ('ap', *sizes)))}" in html
    for row in [*numbers["classes"], {"name": "all together", **numbers["best"]}]:
        assert f"<td>{row['name']}</td>{cells((row['f1'], 1, 3), (row['score'], 1, 2), (row['precision'], 1, 3))}" \
            f"{cells((row['recall'], 1, 3))}" in html
    for kind, gain in errors["gains"].items():
        assert f"<td>{TEXT[kind]}</td><td>{errors['counts'][kind]}</td>{cells((gain, 100, 1))}" in html
    for words, key in (("false positives", "false_positive"), ("misses", "false_negative")):
        assert f"<td>all {words}</td><td></td>{cells((errors[key], 100, 1))}" in html
    assert numbers["confusion"]["most"] and f"<b>{numbers['calibration']['error']:.3f}</b>" in html
    for row in numbers["confusion"]["most"]:
        assert f"<td>{row['there']}</td><td class=\"text\">{row['found']}</td><td>{row['times']}</td>" in html
    matrix = np.array(numbers["confusion"]["matrix"])
    assert matrix[:3].sum() == numbers["boxes"] == sum(row["boxes"] for row in numbers["classes"])
    assert sum(numbers["calibration"]["counts"]) == numbers["detections"]
    assert set(numbers["errors"]["gains"]) == {"classification", "localisation", "both", "duplicate", "background", "missed"}
    assert [row["map"] for row in numbers["training"]] == [0, None, 0.5]
    assert all(len(numbers["worst"][name]) for name in ("false_positives", "missed", "loose"))
    scores = [entry["score"] for entry in numbers["worst"]["false_positives"]]
    areas = [entry["area"] for entry in numbers["worst"]["missed"]]
    overlaps = [entry["overlap"] for entry in numbers["worst"]["loose"]]
    assert scores == sorted(scores, reverse=True) and areas == sorted(areas, reverse=True) and overlaps == sorted(overlaps)


def test_a_detector_that_finds_nothing_and_a_class_without_boxes_have_a_page_too(tmp_path):
    found_set = load_voc(str(write_voc_set(tmp_path / "set", 2, 3)), "val", classes=CLASSES)
    found_set = DetectionSet("own", ("blue", "green", "red", "<i>$x_1$"), found_set.records)
    nothing = Detections(np.zeros((0, 4), np.float32), np.zeros(0, np.int64), np.zeros(0, np.float32))
    found = [nothing] * 3
    numbers = write_report(str(tmp_path / "r.html"), found, found_set, score(found, found_set, "coco"))
    assert numbers["map"] == 0 and numbers["best"]["score"] is None
    html = (tmp_path / "r.html").read_text(encoding="utf-8")
    assert "<i>$x" not in html and "&lt;i&gt;$x_1$" in html and "There are none." in html and "Training" not in html
    assert json.loads((tmp_path / "r.json").read_text())["classes"][3]["ap"] is None


def test_a_set_without_a_box_to_find_has_a_page_without_a_mean(tmp_path):
    found_set = load_voc(str(write_voc_set(tmp_path / "set", 2, 3)), "val", classes=CLASSES)
    for record in found_set.records:
        record.difficult[:] = True
    wrong = [found_of([(0, 0, 10, 10)], [0], [0.9])] * 3
    for metric in ("voc07", "coco"):
        numbers = write_report(str(tmp_path / "r.html"), wrong, found_set, score(wrong, found_set, metric))
        assert numbers["map"] is None and numbers["boxes"] == 0 and numbers["best"]["score"] is None
        assert "<b>–</b>" in (tmp_path / "r.html").read_text(encoding="utf-8")


@pytest.mark.slow  # a browser of its own
def test_many_classes_fit(tmp_path):
    found_set = load_voc(str(write_voc_set(tmp_path / "set", 2, 6)), "val", classes=CLASSES)
    many = DetectionSet("own", CLASSES + tuple(f"a class with a long name {number}" for number in range(77)), found_set.records)
    exact = [found_of(record.boxes, record.classes, np.linspace(0.9, 0.5, len(record.boxes))) for record in many.records]
    numbers = write_report(str(tmp_path / "r.html"), exact, many, score(exact, many))
    assert numbers["map"] == pytest.approx(1) and (tmp_path / "r.html").stat().st_size < 2e6
    seen = look_at(tmp_path / "r.html", 390, tmp_path)
    assert seen["needs"] <= 390 and seen["over"] == []


def test_an_image_that_has_gone_leaves_the_page_whole(tmp_path):
    found_set = load_voc(str(write_voc_set(tmp_path / "set", 2, 3)), "val", classes=CLASSES)
    for path in (tmp_path / "set").rglob("*.jpg"):
        path.write_bytes(b"")
    wrong = [found_of([(0, 0, 10, 10)], [0], [0.9])] * 3
    write_report(str(tmp_path / "r.html"), wrong, found_set, score(wrong, found_set))
    assert "this image cannot be read" in (tmp_path / "r.html").read_text(encoding="utf-8")


def test_a_thumbnail_shows_the_boxes_where_they_are():
    image = np.zeros((1000, 2000, 3), np.uint8)
    image[400:440, 1500:1540] = 255
    box = (1500, 400, 1540, 440)
    for found, label, colour in ((box, None, FOUND), (None, box, LABELLED)):
        thumbnail = draw_thumbnail(image, found, label)
        assert thumbnail.shape[:2] == (360, 360)  # of 400 pixels
        for of in (colour, 255):  # the box, and the object in it, are in the middle of their surroundings
            rows, columns = np.nonzero((thumbnail == of).all(axis=2))
            edges = columns.min(), rows.min(), columns.max() + 1, rows.max() + 1
            assert edges == pytest.approx((162, 162, 198, 198), abs=1 if of == colour else 4)
    edge = draw_thumbnail(image, None, (0, 0, 2000, 1000))
    assert edge.shape[:2] == (180, 360)


def test_a_thumbnail_is_of_the_image_as_its_boxes_lie(tmp_path):
    write_image(tmp_path / "a.png", 6, np.zeros((100, 50, 3), np.uint8))
    record = dataclasses.replace(record_of([(0, 0, 50, 100)], [0]), path=str(tmp_path / "a.png"), orientation=6)
    uri = thumbnail({"index": 0, "found": (0, 0, 50, 100)}, [record])
    assert Image.open(io.BytesIO(base64.b64decode(uri.split(",")[1]))).size == (150, 300)  # thrice as large


def test_numbers_are_jsons_kinds():
    assert plain({"a": np.float32(0.5), "b": [np.nan, np.int64(3)], "c": np.array([np.inf, 1])}) == {
        "a": 0.5, "b": [None, 3], "c": [None, 1]}


def test_a_run_without_a_table_has_no_curves(tmp_path):
    assert training_rows(str(tmp_path)) == []


@pytest.mark.parametrize("losses, drawn", [({"total_loss": "3.5"}, 3.5), ({"box_loss": "1", "class_loss": "2"}, 3),
                                           ({"total_loss": "3.5", "box_loss": "1"}, 3.5), ({}, None)])
def test_the_loss_that_is_drawn_is_the_tables_own_or_the_sum_of_its_parts(losses, drawn):
    figures = dict(training_figures({"run": [{"epoch": "0", "map": "0.1", **losses}]}))
    lines = figures["Training loss"].axes[0].lines if "Training loss" in figures else []
    assert [line.get_ydata().tolist() for line in lines] == ([] if drawn is None else [[drawn]])


def test_a_confusions_colour_is_its_share_of_what_is_there():
    figure = confusion_figure([[6, 2, 0], [1, 0, 3], [0, 0, 0]], ("ant", "bee", "background"))
    np.testing.assert_allclose(figure.axes[0].images[0].get_array(), [[0.75, 0.25, 0], [0.25, 0, 0.75], [0, 0, 0]])


def test_bars_of_reliability_are_as_high_as_the_share_of_hits():
    found = calibration(np.array([0.1, 0.2, 0.3, 0.9]), np.array([True, True, False, False]), 2)
    axes = reliability_figure(plain(found._asdict())).axes[0]
    np.testing.assert_allclose([(bar.get_x(), bar.get_height()) for bar in axes.patches], [(0, 2 / 3), (0.5, 0)])
    assert [text.get_text() for text in axes.texts] == ["3", "1"]


def test_the_numbers_need_no_image_file():
    detections, records = draw(3, 10)
    found_set = DetectionSet("own", tuple("abcd"), records)
    numbers = plain(gather(detections, found_set, score(detections, found_set, "coco"))[0])
    assert numbers["coco"]["AP50"] >= numbers["map"] and numbers["images"] == 10


def test_the_score_is_the_validations_and_of_masks_that_of_the_boxes():
    """The page scored once more, which by COCO's metric took most of its time."""
    detections, records = draw(3, 2)
    boxes = {"map": 0.25, "metric": "coco", "per_class": {"a": 0.1, "b": 0.4, "c": None, "d": None}, "coco": {"AP50": 0.5}}
    masks = {"map": 0.75, "metric": "coco", "per_class": dict.fromkeys("abcd", 0.75), "masks": {"AP50": 0.9},
             "box_map": 0.25, "box_per_class": boxes["per_class"], "coco": boxes["coco"]}
    for scored in (boxes, masks):
        numbers, _ = gather(detections, DetectionSet("own", tuple("abcd"), records), scored)
        assert (numbers["map"], numbers["coco"]) == (0.25, {"AP50": 0.5})
        assert [row["ap"] for row in numbers["classes"]] == [0.1, 0.4, None, None]


def test_the_numbers_of_one_image_are_those_counted_by_hand():
    record = record_of([(200, 0, 260, 40), (0, 200, 50, 250), (200, 200, 230, 230)], [0, 1, 1])
    found = found_of([(200, 0, 260, 40), (0, 200, 50, 250), (200, 200, 230, 218), (300, 300, 330, 330)], [1, 1, 1, 0],
                     [0.9, 0.3, 0.8, 0.1])
    found_set = DetectionSet("own", ("ant", "bee"), [record])
    numbers, _ = gather([found], found_set, score([found], found_set, "coco"))
    ant, bee = numbers["classes"]
    assert numbers["confusion"]["matrix"].tolist() == [[0, 1, 0], [0, 2, 0], [0, 0, 0]]
    assert numbers["confusion"]["most"] == [{"there": "ant", "found": "bee", "times": 1}]
    assert (bee["small"], bee["medium"], ant["medium"], numbers["sizes"]["medium"]["ap"]) == pytest.approx((1, 0.5, 0, 0.25))
    assert (ant["f1"], bee["f1"], bee["recall"], bee["precision"]) == pytest.approx((0, 0.8, 1, 2 / 3))
    assert numbers["precision_at_recall"]["bee"] == pytest.approx(np.full(101, 2 / 3))
    assert not np.any(numbers["precision_at_recall"]["ant"])


def test_the_worst_are_told_with_their_own_boxes_and_crowds_excuse():
    record = record_of([(0, 200, 50, 250), (0, 0, 90, 90), (200, 0, 260, 40), (200, 200, 230, 230)], [1, 0, 0, 1],
                       crowd=[False, True, False, False])
    found = found_of([(200, 0, 260, 40), (0, 200, 50, 250), (200, 200, 230, 218), (0, 0, 90, 90)], [1, 1, 1, 0],
                     [0.9, 0.3, 0.8, 0.95])
    matches = match_images([found], [record])
    kinds = detection_errors(matches, 2).kinds
    worst = worst_images(matches, [found], DetectionSet("own", ("ant", "bee"), [record]), kinds, 0.5)
    told = {name: [(entry["said"], entry["labelled"]) for entry in entries] for name, entries in worst.items()}
    assert told == {"false_positives": [("bee 0.90: wrong class, on a ant (IoU 1.00)", [200, 0, 260, 40])],
                    "missed": [("bee, 50 × 50 pixels, not found", [0, 200, 50, 250]),
                               ("ant, 60 × 40 pixels, not found", [200, 0, 260, 40])],
                    "loose": [("bee 0.80: IoU 0.60", [200, 200, 230, 230])]}


@pytest.mark.parametrize("text", ["{", "[" * 100_000, *(json.dumps({**SHORT, **changed}) for changed in (
    {"map": "0.5"}, {"map": 1.5}, {"calibration": {"error": True}}, {"sizes": {"small": {"ap": -1}}}, {"errors": {}},
    {"classes": [{"name": "cat", "ap": [1]}]}))])
def test_a_report_that_holds_no_shares_is_named_and_not_set_beside_others(tmp_path, text):
    write_config(str(tmp_path), Yolo3Options())
    (tmp_path / "report.json").write_text(text)
    with pytest.raises(UserError, match="report.json: the run's report .*; write it again, or remove it"):
        compare_runs(str(tmp_path / "runs.html"), [str(tmp_path)])

"""`python -m gluon_bof figure`: the tables against closed forms, SciPy, pixel arithmetic and evaluations; no text on another."""
import itertools
import json
import math
import os
import shutil
import subprocess
import sys
from types import SimpleNamespace

import cv2
import numpy as np
import pytest
import scipy.stats
from PIL import Image

from gluon_bof.backend import mx
from gluon_bof.commands import figure as figures
from gluon_bof.data.images import read_image
from gluon_bof.errors import UserError
from gluon_bof.evaluation import validation
from gluon_bof.evaluation.validation import evaluate
from gluon_bof.freebies.mixup import blend_images
from gluon_bof.inference.detector import open_detector
from gluon_bof.models.build import build_network
from gluon_bof.options.mask_rcnn import MaskRcnnOptions
from gluon_bof.options.recipes import TABLES
from gluon_bof.options.segmentation import SegmentationOptions
from gluon_bof.options.yolo3 import Yolo3Options
from gluon_bof.paper.cost import images_per_second
from gluon_bof.paper.figures import classes as figure_classes
from gluon_bof.paper.figures import detections as figure_detections
from gluon_bof.paper.figures import elephant as figure_elephant
from gluon_bof.paper.figures import page as figure_page
from gluon_bof.paper.figures import schedules as figure_schedules
from gluon_bof.paper.figures import throughput as figure_throughput
from gluon_bof.paper.figures.mixup import blend_resized
from gluon_bof.paper.figures.ratios import sampled_ratios
from gluon_bof.paper.figures.scenes import given_scene
from gluon_bof.paper.figures.weights import names_of
from gluon_bof.runs.opening import create_run
from gluon_bof.weights.formats import params as params_format
from gluon_bof.weights.load import read_weights, save_weights
from gluon_bof.weights.resolve import resolve
from tests.command_lines import refused
from tests.paper.drawn_figures import called, checked, texts_on_each_other
from tests.scripts import ROOT
from tests.tiny_sets import CLASSES, write_voc_set

COMMAND = [sys.executable, "-m", "gluon_bof", "figure"]


def answer_of(*words):
    """What the command, as a process, printed last, and its table."""
    process = subprocess.run([*COMMAND, *map(str, words)], cwd=ROOT, capture_output=True, text=True, timeout=300)
    assert process.returncode == 0, process.stderr
    return checked(json.loads(process.stdout.splitlines()[-1]))


def drawn(*words):
    """The figure itself."""
    given, module = figures.read_request([str(word) for word in words])
    with figure_page.look():
        made = module.draw(given)
        assert texts_on_each_other(made.figure) == []
    return made


@pytest.fixture(scope="module")
def pair(tmp_path_factory):
    """Two image files of different shapes."""
    folder = tmp_path_factory.mktemp("images")
    rng = np.random.default_rng(5)
    for name, shape in (("wide", (60, 90, 3)), ("high", (80, 50, 3))):
        cv2.imwrite(str(folder / f"{name}.png"), rng.integers(0, 256, shape, np.uint8))
    return [str(folder / f"{name}.png") for name in ("wide", "high")]


def blended(a, b, ratio):
    """Both images, black where they do not reach, added in floating point."""
    shape = np.maximum(a.shape, b.shape)
    padded = [np.pad(image.astype(float), [(0, whole - side) for whole, side in zip(shape, image.shape)])
              for image in (a, b)]
    return ratio * padded[0] + (1 - ratio) * padded[1]


@pytest.mark.parametrize("ratio", (0.1, 0.5, 0.75))
def test_blends_are_pixel_arithmetic(pair, ratio):
    a, b = (cv2.imread(path)[:, :, ::-1] for path in pair)
    kept = blend_images(read_image(pair[0]), read_image(pair[1]), ratio)
    assert kept.shape == (80, 90, 3) and np.abs(kept - blended(a, b, ratio)).max() <= 0.5 + 1e-4
    squares = [cv2.resize(np.ascontiguousarray(image), (224, 224), interpolation=cv2.INTER_CUBIC) for image in (a, b)]
    assert np.abs(blend_resized(a, b, ratio) - blended(*squares, ratio)).max() <= 0.5 + 1e-4


def test_figure_2_mixes_labels_and_no_boxes(pair, tmp_path):
    answer, rows = answer_of(2, "--images", *pair, "--labels", "cat", "dog", "--ratios", "0.1,0.4", "--out", tmp_path)
    assert answer["figure"] == 2 and answer["ratios"] == [0.1, 0.4]
    assert [(row["ratio"], row["label"], float(row["weight"])) for row in rows] == [
        ("0.1", "cat", 0.1), ("0.1", "dog", 0.9), ("0.4", "cat", 0.4), ("0.4", "dog", 0.6)]


def test_figure_3_keeps_every_box_where_it_was_with_its_images_weight(pair, tmp_path, capsys):
    answer, rows = called(capsys, 3, "--images", *pair, "--boxes-a", "cat,1,2,30,40", "cat,50,10,90,60", "--boxes-b",
                             "dog,5,6,50,80", "--ratios", "0.3,0.5", "--out", tmp_path)
    assert answer["boxes"] == 3 and len(rows) == 6
    columns = ("ratio", "xmin", "ymin", "xmax", "ymax", "weight", "width", "height")
    values = [[float(row[name]) for name in columns] for row in rows]
    np.testing.assert_allclose(values[:3], [(0.3, 1, 2, 30, 40, 0.3, 90, 80), (0.3, 50, 10, 90, 60, 0.3, 90, 80),
                                            (0.3, 5, 6, 50, 80, 0.7, 90, 80)], atol=1e-6)
    assert [row["label"] for row in rows[:3]] == ["cat", "cat", "dog"]


def test_figure_4_is_scipys_density_and_the_samplers_draws_fit_it(tmp_path, capsys):
    answer, rows = called(capsys, 4, "--out", tmp_path, "--samples", 5000)
    assert answer["betas"] == [[0.2, 0.2], [1, 1], [1.5, 1.5]] and len(rows) == 600
    table = {name: np.array([float(row[name]) for row in rows]) for name in rows[0]}
    np.testing.assert_allclose(table["density"], scipy.stats.beta.pdf(table["x"], table["alpha"], table["beta"]), rtol=1e-9)
    for alpha in (0.2, 1.0, 1.5):
        assert table["drawn"][table["alpha"] == alpha].mean() == pytest.approx(1)  # it integrates to one
        ratios = sampled_ratios(alpha, alpha, 2000)
        assert scipy.stats.kstest(ratios, scipy.stats.beta(alpha, alpha).cdf).pvalue > 0.01
        np.testing.assert_array_equal(ratios, sampled_ratios(alpha, alpha, 2000))
    assert scipy.stats.kstest(sampled_ratios(1.5, 1.5, 2000), "uniform").pvalue < 1e-6


def closed_form(mode, place, lr, batches, epochs, warmup, steps):
    """Section 3.4: a straight line, then a tenth after each step, or half a cosine."""
    if place < warmup * batches:
        return lr * place / (warmup * batches - 1)
    if mode == "step":
        return lr * 0.1 ** sum(place >= step * batches for step in steps)
    length = (epochs - warmup) * batches - 1
    return lr * (1 + math.cos(math.pi * (place - warmup * batches) / length)) / 2


def test_figure_6_is_the_closed_form_and_the_runs_own_numbers(tmp_path, capsys):
    runs = {}
    for mode, values in (("step", ("0.25", "", "0.5")), ("cosine", ("0.375", "", "0.75"))):
        run = create_run(Yolo3Options(runs=str(tmp_path), name=f"run-{mode}", lr_mode=mode))
        for epoch, value in enumerate(values):
            run.record("metrics", {"epoch": epoch, "iteration": 7 * (epoch + 1), "map": value})
        run.close()
        runs[run.folder] = values
    answer, rows = called(capsys, 6, "--epochs", 20, "--batches", 9, "--warmup-epochs", 2, "--lr-decay-epoch", "12,17",
                          "--lr", "0.01", "--every", 1, "--runs", *runs, "--out", tmp_path)
    for mode in ("step", "cosine"):
        rates = [float(row["value"]) for row in rows if row["quantity"] == "learning rate" and row["series"] == mode]
        expected = [closed_form(mode, place, 0.01, 9, 20, 2, (12, 17)) for place in range(180)]
        np.testing.assert_allclose(rates, expected, rtol=1e-9, atol=1e-12)
    curves = [(row["series"], row["iteration"], row["epoch"], row["value"]) for row in rows if row["quantity"] != "learning rate"]
    assert curves == [(folder, *place) for folder, values in runs.items()
                      for place in (("7", "1", values[0]), ("21", "3", values[2]))]
    assert answer["runs"] == {folder: {"last": float(values[2]), "best": float(values[2])} for folder, values in runs.items()}


def test_figure_6_does_not_draw_the_map_of_masks_beside_that_of_boxes(tmp_path):
    folders = []
    for options in (Yolo3Options(runs=str(tmp_path), name="boxes"), MaskRcnnOptions(runs=str(tmp_path), name="masks")):
        run = create_run(options)
        run.record("metrics", {"epoch": 0, "iteration": 7, "map": 0.5})
        run.close()
        folders.append(run.folder)
    with pytest.raises(UserError, match="masks: its mAP is of masks, that of .*boxes of boxes"):
        drawn(6, "--runs", *folders)
    assert drawn(6, "--runs", folders[1]).rows[-1][0] == "validation mAP of the masks"


def test_figure_6_tells_of_curves_that_are_of_other_images(tmp_path, caplog):
    folders = []
    for split in ("", "dev"):
        run = create_run(Yolo3Options(runs=str(tmp_path), name=f"on-{split}", val_split=split))
        run.record("metrics", {"epoch": 0, "iteration": 7, "map": 0.5})
        run.close()
        folders.append(run.folder)
    drawn(6, "--runs", *folders)
    assert f"{folders[1]} was scored with --val-split dev, {folders[0]} with none: their scores do not compare" in caplog.text


def test_figure_6_does_not_send_a_segmentation_back_to_train_for_an_map_that_it_never_has(tmp_path):
    run = create_run(SegmentationOptions(runs=str(tmp_path), name="maps"))
    run.record("metrics", {"epoch": 0, "iteration": 7, "miou": 0.5})
    run.close()
    with pytest.raises(UserError, match="trained no detector, and figure 6 draws the mAP of detectors"):
        drawn(6, "--runs", run.folder)


def test_figure_6_has_the_papers_settings():
    given, module = figures.read_request(["6"])
    assert (given.epochs, given.warmup_epochs, given.lr_decay_epoch, given.batches) == (200, 4, (160, 180), 258)
    assert module is figure_schedules and figure_schedules.RECIPE.batch_size == 64
    rates = figure_schedules.schedule_of("cosine", given)
    assert len(rates) == 51600 and rates[26316] == pytest.approx(closed_form("cosine", 26316, 0.001, 258, 200, 4, ()), rel=1e-6)


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A run's folder of an untrained detector that finds something everywhere, on a tiny set."""
    folder = tmp_path_factory.mktemp("runs")
    dataset = write_voc_set(folder / "set", images=2, validation=6)
    options = Yolo3Options(dataset=str(dataset), network="mobilenet0.25", pretrained_base="no", data_shape=96, batch_size=2,
                           num_workers=0, gpus="", runs=str(folder), name="one")
    made = create_run(options)
    made.write_classes(CLASSES)
    network = build_network(options, CLASSES, [mx.cpu()])
    for seed, path in enumerate((made.best_weights, made.last_weights)):
        mx.random.seed(seed)
        network.initialize(mx.init.Xavier(magnitude=12), force_reinit=True)  # large enough for scores to follow the image
        save_weights(network, path)
    made.close()
    return SimpleNamespace(folder=made.folder, image=str(dataset / "VOC2007" / "JPEGImages" / "000000.jpg"))


@pytest.fixture(scope="module")
def evaluations(run):
    """What evaluation says of the run's two weights, and the files that hold it."""
    found = [evaluate(resolve(os.path.join(run.folder, name))) for name in ("best.params", "last.params")]
    for number, result in enumerate(found):
        with open(os.path.join(run.folder, f"{number}.json"), "w") as file:
            file.write(f"{json.dumps(result)}\n")
    return found, [os.path.join(run.folder, f"{number}.json") for number in (0, 1)]


@pytest.fixture
def opened(monkeypatch):
    """The folders of sets, as often as they are opened for validation."""
    found, open_set = [], validation.open_set
    monkeypatch.setattr(validation, "open_set", lambda *given, **how: found.append(given[0]) or open_set(*given, **how))
    return found


def test_figure_1_is_evaluation_and_measurement_beside_given_points(run, evaluations, tmp_path, capsys, monkeypatch, opened):
    monkeypatch.setattr("gluon_bof.paper.cost.MIN_SECONDS", 0.02)
    (tmp_path / "points.csv").write_text("name,map,throughput,series\nother,0.25,90,theirs\nsmaller,0.2,120,theirs\n")
    answer, rows = called(capsys, 1, "--runs", run.folder, "--points", tmp_path / "points.csv", "--out", tmp_path)
    assert [(row["name"], float(row["map"])) for row in rows] == [("other", 0.25), ("smaller", 0.2),
                                                                 ("one", evaluations[0][0]["map"])]
    assert float(rows[2]["throughput"]) > 0 and "measured on cpu" in rows[2]["source"] and answer["points"][2]["name"] == "one"
    assert len(opened) == 1


def test_figure_1_does_not_draw_the_map_of_masks_among_that_of_boxes():
    found = {"map": 0.1, "box_map": 0.3, "masks": {}, "metric": "voc07", "weights": "w", "dataset": "d"}
    side = figure_throughput.Side("one", "", None)
    assert figure_throughput.point_of(side, found, 9.0, "cpu")[:3] == ("one", 0.3, 9.0)


def test_figure_1_draws_the_papers_ap_only_beside_its_metric(tmp_path):
    table = tmp_path / "points.csv"
    table.write_text("name,map,throughput,series,metric\na,0.36,90,x,coco\nb,0.38,60,x,coco\n")
    rows = drawn(1, "--points", table, "--paper").rows
    assert [(row[0], row[2]) for row in rows[2:]] == [(row.name, row.paper_value / 100) for row in TABLES[4].rows]
    table.write_text("name,map,throughput\na,0.36,90\n")
    with pytest.raises(UserError, match="--paper draws COCO's AP"):
        drawn(1, "--points", table, "--paper")


def test_figure_5_slides_through_an_image_for_two_weights(run, tmp_path, capsys):
    weights = [os.path.join(run.folder, name) for name in ("best.params", "last.params")]
    answer, rows = called(capsys, 5, "--weights", *weights, "--image", run.image, "--objects", "red,10,10,50,50",
                          "blue,60,40,100,80", "--patch", run.image, "--box", "0,0,40,30", "--step", 30, "--threshold", 0.01,
                          "--out", tmp_path)
    assert answer["places"] == 4 * 4 and len(rows) == 2 * 17
    for path in weights:
        places = [row for row in rows if row["weights"] == path][1:]
        recalls = [float(row["recall"]) for row in places if row["recall"]]
        assert answer["weights"][path]["recall"] == pytest.approx(np.mean(recalls))
        assert answer["weights"][path]["patch_recall"] == pytest.approx(np.mean([int(row["patch_found"]) for row in places]))
        corners = {(int(row["xmin"]), int(row["ymin"])) for row in places}
        assert corners == set(itertools.product((0, 27, 53, 80), (0, 22, 44, 66)))


def test_nothing_moves_where_the_elephant_is_transparent(run, tmp_path):
    glass = np.full((30, 40, 4), 255, np.uint8)
    glass[:, :, 3] = 0
    Image.fromarray(glass).save(tmp_path / "glass.png")
    words = (5, "--weights", run.folder, "--image", run.image, "--threshold", 0.2, "--step", 60)
    clear = drawn(*words, "--patch", tmp_path / "glass.png")
    assert clear.numbers["weights"][run.folder]["score_change"] == 0 == max(abs(row[8]) for row in clear.rows)
    Image.fromarray(glass[:, :, :3]).save(tmp_path / "paper.png")
    assert drawn(*words, "--patch", tmp_path / "paper.png").numbers["weights"][run.folder]["score_change"] != 0


def test_figure_7_draws_what_is_detected(run, tmp_path, capsys):
    answer, rows = called(capsys, 7, "--weights", run.folder, "--count", 4, "--threshold", 0, "--out", tmp_path)
    assert answer["images"] == 4 and answer["detections"] == len(rows) > 0
    assert len({row["image"] for row in rows}) == 4 and {row["class"] for row in rows} <= set(CLASSES)
    drawn(7, "--weights", run.folder, "--images", run.image, "--threshold", 0.2)


def test_figure_8_is_the_difference_of_two_evaluations(run, evaluations, tmp_path, capsys, opened):
    found, files = evaluations
    weights = [os.path.join(run.folder, name) for name in ("best.params", "last.params")]
    answer, rows = called(capsys, 8, "--weights", *weights, "--out", tmp_path)
    assert answer["map"] == [result["map"] for result in found] and max(answer["map"]) > 0 and len(opened) == 2
    assert {(result["family"], result["val_split"], result["images"]) for result in found} == {("yolo3", "", 6)}
    assert {row["class"]: (float(row["before"]), float(row["after"])) for row in rows} == {
        name: tuple(result["per_class"][name] for result in found) for name in CLASSES}
    assert called(capsys, 8, "--weights", *files, "--out", tmp_path)[1] == rows
    with pytest.raises(UserError, match="draw figure 8"):
        drawn(9, "--weights", *weights)


@pytest.fixture
def no_evaluation(monkeypatch):
    """What cannot be drawn is to be refused before the hours of an evaluation, or of a slide."""
    for module, name in ((figure_classes, "evaluate"), (figure_throughput, "evaluate"), (figure_elephant, "slide")):
        monkeypatch.setattr(module, name, lambda *given: pytest.fail("the work had begun"))


@pytest.mark.parametrize("change, words, message", (
    ({"dataset": "other"}, (), "the evaluation's dataset is other"),
    ({"val_split": "2007_val"}, ("--val-split", "2007_test"), "the evaluation's val_split is 2007_val, that of .* is 2007_test"),
    ({"metric": "coco"}, ("--metric", "voc07"), "the evaluation's metric is coco"),
    ({"metric": "coco"}, (), "the evaluation's metric is coco, that of .* is voc07"),
    ({"images": 7}, (), "the evaluation's images is 7, that of .* is 6"),
    ({"per_class": {"cat": 0.5}}, (), "the classes differ")))
def test_what_figure_8_cannot_compare_is_not_evaluated_first(change, words, message, run, tmp_path, no_evaluation):
    set_of_run = os.path.dirname(os.path.dirname(os.path.dirname(os.path.dirname(run.image)))) + "/set"
    told = {"map": 0.5, "dataset": set_of_run, "metric": "voc07", "per_class": dict.fromkeys(CLASSES, 0.5), **change}
    (tmp_path / "a.json").write_text(json.dumps(told))
    with pytest.raises(UserError, match=message):
        drawn(8, "--weights", run.folder, tmp_path / "a.json", *words)


@pytest.mark.parametrize("number, change, message", (
    (8, {"family": "faster_rcnn"}, "a.json: the network is a Faster R-CNN; draw figure 9"),
    (9, {"family": "mask_rcnn", "masks": {}}, "a.json: the network is a Mask R-CNN; give a Faster R-CNN"),
    (9, {"masks": {}}, "the network is a Mask R-CNN")))  # as an earlier version wrote it
def test_evaluations_are_of_the_figures_family_as_weights_are(number, change, message, tmp_path):
    told = {"map": 0.5, "dataset": "set", "metric": "voc07", "per_class": {"cat": 0.5}}
    for name, evaluation in (("a", {**told, **change}), ("b", told)):
        (tmp_path / f"{name}.json").write_text(json.dumps(evaluation))
    with pytest.raises(UserError, match=message):
        drawn(number, "--weights", tmp_path / "b.json", tmp_path / "a.json")


def test_figure_8_does_not_compare_evaluations_of_other_images_and_takes_files_that_do_not_tell():
    told = {"map": 0.5, "dataset": "set", "metric": "voc07", "per_class": {"cat": 0.5}}
    before, after = {**told, "val_split": "a", "images": 6}, {**told, "val_split": "a", "images": 7}
    with pytest.raises(UserError, match="after: the evaluation's images is 7, that of before is 6"):
        figure_classes.class_changes(before, after, ("before", "after"))
    for old in (told, {**told, "images": 6}, {**told, "val_split": "a"}, {**told, "val_split": "", "images": 6},
                {**told, "dataset": "set"}):
        assert figure_classes.class_changes(before, old, ("before", "after")) == [("cat", 0.5, 0.5, 0.0)]


def test_figure_1_does_not_draw_one_runs_accuracy_on_a_set_beside_anothers_on_another(run, tmp_path, no_evaluation):
    config = json.loads(open(os.path.join(run.folder, "config.json")).read())
    for change in ({"dataset": "vocmini"}, {"val_split": "2007_val"}):
        other = tmp_path / f"other-{next(iter(change))}"
        shutil.copytree(run.folder, other)
        (other / "config.json").write_text(json.dumps({**config, "options": {**config["options"], **change}}))
        with pytest.raises(UserError, match=f"its {next(iter(change))} is '{next(iter(change.values()))}', that of .* is '"):
            drawn(1, "--runs", run.folder, other)


def test_image_by_image_is_one_image_a_call_whatever_a_detector_would_look_at_together(run):
    detector = open_detector(resolve(run.folder))
    image, looked_at = read_image(run.image), []
    engine = detector.engine
    detector.engine = lambda views: looked_at.append(len(views)) or engine(views)
    assert detector.together(detector.see(image)) > 1 and len(detector.detect([image] * 3)) == 3
    images_per_second(detector, [image] * 3, 0.01)
    assert looked_at[0] > 1 and set(looked_at[1:]) == {1}


def test_no_figure_works_with_the_first_weights_where_the_second_are_missing(run, tmp_path, no_evaluation):
    (tmp_path / "coco.csv").write_text("name,map,throughput,metric\na,0.36,90,coco\n")
    missing = os.path.join(run.folder, "nowhere.params")
    for words in ((8, "--weights", run.folder, missing), (1, "--runs", run.folder, missing),
                  (5, "--weights", run.folder, missing, "--image", run.image, "--patch", run.image, "--scale", "0.1")):
        with pytest.raises(UserError, match="there are no such weights"):
            drawn(*words)
    with pytest.raises(UserError, match="is given twice"):
        drawn(8, "--weights", run.folder, run.folder)
    for words in (("--metric", "voc07"), ()):  # the run's own is auto
        with pytest.raises(UserError, match="measured by coco and voc07"):
            drawn(1, "--runs", run.folder, "--points", tmp_path / "coco.csv", *words)
    with pytest.raises(UserError, match="'lion' is not among the classes"):
        drawn(5, "--weights", run.folder, os.path.join(run.folder, "last.params"), "--label", "lion", "--image", run.image,
              "--patch", run.image, "--scale", "0.1")


def test_figure_5_does_not_slide_for_the_first_weights_where_the_second_find_nothing(run, no_evaluation):
    arrays = read_weights(os.path.join(run.folder, "best.params"))
    blind = os.path.join(run.folder, "blind.params")
    with open(blind, "wb") as file:
        file.write(params_format.dumps({name: array - 99 * name.endswith("prediction.bias") for name, array in arrays.items()}))
    with pytest.raises(UserError, match="blind.params: these weights find nothing"):
        drawn(5, "--weights", run.folder, blind, "--image", run.image, "--patch", run.image, "--scale", "0.1",
              "--threshold", "0.01")


def turned(path, image):
    """Write an image whose file says that its right side is up (EXIF 6). Returns the path."""
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(image).save(path, exif=exif)
    return str(path)


def test_a_photograph_of_a_turned_camera_is_drawn_upright(tmp_path):
    pixels = np.random.default_rng(0).integers(0, 256, (60, 90, 4), np.uint8)
    pixels[:, :, 3] = np.where(pixels[:, :, 3] > 99, 255, 0)
    path = turned(tmp_path / "a.png", pixels[:, :, :3])
    upright = np.rot90(pixels, -1)
    assert np.array_equal(given_scene(path, ["cat,1,61,60,90"]).image, upright[:, :, :3])  # the box lies in what people see
    rows = drawn(3, "--images", path, path, "--boxes-a", "cat,1,61,60,90", "--ratios", "0.5").rows
    assert rows[0][1:] and (60, 90) == tuple(map(int, rows[0][-2:]))
    glass = figure_elephant.Options(weights=("x",), patch=turned(tmp_path / "glass.png", pixels), box="0,60,60,90")
    patch, mask, _ = figure_elephant._patch(glass)
    assert np.array_equal(patch, upright[60:, :, :3]) and np.array_equal(mask, upright[60:, :, 3] > 127)


def test_a_row_of_fewer_objects_than_another_has_its_columns_and_no_value_goes_without_one(tmp_path):
    figure, columns = figure_page.new_figure(1), ("weights", "score_1", "score_2")
    table = figure_page.save(figure_page.Drawn(figure, columns, [("a", 0.5), ("b", 0.25, 0.75)], {}), str(tmp_path), 5)[1]
    assert open(table).read() == "weights,score_1,score_2\na,0.5,\nb,0.25,0.75\n"
    with pytest.raises(ValueError):
        figure_page.save(figure_page.Drawn(figure, columns[:2], [("b", 0.25, 0.75)], {}), str(tmp_path), 5)


def test_changes_are_sorted_and_classes_without_an_ap_come_last():
    before = {"dataset": "d", "metric": "m", "per_class": {"a": 0.5, "b": 0.25, "c": None, "d": 0.5, "e": 0.5}}
    after = dict(before, per_class={"a": 0.25, "b": 0.75, "c": 0.5, "d": 0.5, "e": None})
    assert figure_classes.class_changes(before, after, ("x", "y")) == [
        ("b", 0.25, 0.75, 0.5), ("d", 0.5, 0.5, 0.0), ("a", 0.5, 0.25, -0.25), ("c", "", 0.5, ""), ("e", 0.5, "", "")]
    for change in ({"metric": "n"}, {"dataset": "e"}, {"per_class": {"a": 1.0}}):
        with pytest.raises(UserError):
            figure_classes.class_changes(before, {**after, **change}, ("x", "y"))


def write_evaluations(folder, classes):
    rng = np.random.default_rng(0)
    paths = []
    for name in ("before", "after"):
        per_class = {f"a class of {number}": float(rng.uniform(0, 1)) for number in range(classes)}
        paths.append(folder / f"{name}.json")
        paths[-1].write_text(json.dumps({"map": 0.4, "metric": "coco", "dataset": "coco", "per_class": per_class}))
    return paths


@pytest.mark.slow  # draws every figure
def test_no_text_lies_on_another(tmp_path, pair):
    drawn(2)
    drawn(2, "--images", *pair, "--ratios", "0.1,0.2,0.3,0.4", "--labels", "a rather long label of it", "an even longer label")
    drawn(3)
    drawn(3, "--ratios", "0.1,0.2,0.3,0.5")
    drawn(4)
    drawn(4, "--samples", "0", "--betas", "0.5,0.5", "1,2", "2,2", "3,3")
    drawn(6)
    for classes in (1, 4, 20, 80):
        drawn(8, "--weights", *write_evaluations(tmp_path, classes))


def test_labels_in_a_crowd_keep_apart():
    rng = np.random.default_rng(1)
    corners = rng.uniform(0, 150, (60, 2))
    boxes = np.hstack([corners, corners + rng.uniform(5, 80, (60, 2))])
    figure = figure_page.new_figure(4)
    axis = figure.subplots()
    figure_page.show_image(axis, np.zeros((200, 200, 3), np.uint8))
    figure_page.fit_labels(figure)
    figure_page.label_boxes(axis, boxes, [f"class {number}" for number in range(60)], ["red"] * 60)
    assert texts_on_each_other(figure) == [] and 10 < len(axis.texts) < 60 and axis.texts[0].get_text() == "class 0"


def test_a_broken_image_is_not_answered_with_a_flag_that_figures_have_not(tmp_path, capsys):
    (tmp_path / "a.jpg").write_bytes(b"no image")
    path = str(tmp_path / "a.jpg")
    for words in (["2", "--images", path, path], ["5", "--weights", "shapes", "--patch", path],
                  ["7", "--weights", "shapes", "--images", path]):
        assert f"{path}: not an image that can be decoded; replace it, or" in refused(figures.main, capsys, *words)


@pytest.mark.parametrize("words, message", [
    (["10"], "no figure '10'"), (["--out"], "no figure '--out'"), (["4", "--alpha", "1"], "unrecognized arguments: --alpha"),
    (["2", "--ratios", "0.1,1.2"], "--ratios 1.2 is outside"), (["3", "--ratios", "half"], "not a list of numbers"),
    (["3", "--ratios", "0,0.1,0.2,0.3,0.4"], "at most 4"), (["3", "--boxes-a", "cat,1,2,3,4"], "belong to --images"),
    (["3", "--images", "no.jpg", "no.jpg"], "no.jpg: the image does not exist"), (["4", "--betas", "0.2"], "not a pair"),
    (["4", "--betas", "0,1"], "outside"), (["6", "--every", "0"], "below 1"), (["6", "--runs", "no-run"], "no-run"),
    (["6", "--lr", "inf"], "--lr inf must be above 0"), (["6", "--lr", "nan"], "--lr nan"),
    (["6", "--warmup-epochs", "-1"], "--warmup-epochs -1 is below 0"), (["4", "--seed", "-1"], "--seed -1 is below 0"),
    (["4", "--seed", str(2 ** 64)], "is above"), (["6", "--lr-decay-epoch", "0,9"], "--lr-decay-epoch 0,9: by a step"),
    (["5", "--weights", "a", "--step", "0"], "--step 0 is below 1"), (["5", "--weights", "a", "--scale", "inf"], "--scale inf"),
    (["6", "--warmup-epochs", "300"], "does not fit"), (["1"], "nothing to draw"), (["²"], "no figure '²'"),
    (["1", "--points", "no.csv"], "no.csv: the table"),
    (["5", "--weights", "a", "b", "c"], "one or two"), (["5", "--weights", "a", "--threshold", "0"], "outside"),
    (["5", "--weights", "a", "--box", "1,2,3,4"], "belongs to --patch"), (["5", "--weights", "no-run"], "no-run"),
    (["7", "--weights", "no-run", "--count", "0"], "below 1"),
    (["8", "--weights", "no.json", "other.json"], "no.json: not the output"),
    (["7", "--weights", "shapes", "--tile", "64"], "--tile: figure 7 has no such flag"),
    (["7", "--weights", "shapes", "--overlap", "0.5"], "--overlap: "),
    (["5", "--weights", "shapes", "--engine", "onnx"], "--engine: "),
    (["1", "--runs", "shapes", "--save-json", "a.json", "--report", "a.html"], "--save-json, --report: figure 1 has no"),
    (["8", "--weights", "a.json", "b.json", "--sliding-patch", "3"], "--sliding-patch: "),
    (["8", "--weights", "a.json", "b.json", "--metric", "coco", "--last"], "--metric, --last: there are no weights to evaluate"),
    (["3", "--labels", "cat", "dog"], "--labels: Figure 3 has no labels"),
    (["7", "--weights", "shapes", "--images", "a.jpg", "--val-split", "x", "--count", "3"], "--val-split, --count: --images are"),
    (["7", "--weights", "shapes", "--last"], "--last: there is no run"),
    (["8", "--weights", "a.params", "b.params", "--last"], "--last: there is no run"),
    (["1", "--runs", "a.params", "b.params", "--last"], "--last: there is no run"),
    (["1", "--points", "a.csv", "--metric", "coco"], "--metric: there are no weights to evaluate"),
    (["8", "--weights", "a"], "expected 2 arguments"), (["7", "--weights", "no-run", "--speed", "9"], "unrecognized"),
])
def test_arguments_that_cannot_be_meant_are_refused(words, message, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert message in refused(figures.main, capsys, *words)


@pytest.mark.parametrize("box", ("cat,1,2,3", "cat,5,5,5,9", "cat,0,0,91,10", "cat,a,b,c,d"))
def test_boxes_that_are_none_are_refused(pair, box):
    with pytest.raises(UserError, match="wide.png"):
        drawn(3, "--images", *pair, "--boxes-a", box)


@pytest.mark.parametrize("text, message", [
    ("", "empty"), ("name,map\na,0.5\n", "no column 'throughput'"), ("name,map,throughput\na,much,9\n", "line 2"),
    ("name,map,throughput\na,50,9\n", "line 2: map is a fraction"), ("name,map,throughput\na,0.5,0\n", "throughput above 0"),
    ("name,map,throughput,metric\na,0.5,9,coco\nb,0.5,9,voc\n", "measured by coco and voc"),
])
def test_a_broken_table_of_points_is_refused(tmp_path, text, message):
    (tmp_path / "points.csv").write_text(text)
    with pytest.raises(UserError, match=message):
        drawn(1, "--points", tmp_path / "points.csv")


def test_a_place_that_is_a_file_is_refused(tmp_path, capsys):
    (tmp_path / "out").write_text("")
    refused(figures.main, capsys, "4", "--out", tmp_path / "out")


def test_names_lose_the_words_that_they_share_and_stay_apart():
    assert names_of(["runs/m-baseline-seed-0", "runs/m-cosine+mixup-seed-0"]) == ["baseline", "cosine+mixup"]
    assert names_of(["a-seed-0", "a-seed-1"]) == ["a-seed-0", "a-seed-1"]  # a number alone says nothing
    assert names_of(["mixup-a", "mixup"]) == ["mixup-a", "mixup"] and names_of(["one-run"]) == ["one-run"]
    assert names_of(["x/last.params", "y/last.params"]) == ["x/last.params", "y/last.params"]


@pytest.mark.parametrize("names, short", [
    (("m-with-mixup", "m-without-mixup"), ("with-mixup", "without-mixup")),
    (("m-no-mixup", "m-no-cosine"), ("no-mixup", "no-cosine")),
    (("m-label-smoothing-seed-1", "m-label-smoothing+mixup-seed-1"), ("label-smoothing", "label-smoothing+mixup")),
    (("m-random-shapes-seed-1", "m-random-shapes+cosine-seed-1"), ("random-shapes", "random-shapes+cosine")),
    (("m-random-shapes+cosine+label-smoothing-seed-0", "m-random-shapes+cosine+label-smoothing+mixup-seed-0"),
     ("random-shapes+cosine+label-smoothing", "random-shapes+cosine+label-smoothing+mixup")),
    (("m-label-smoothing-seed-0", "m-random-shapes+label-smoothing-seed-0"),
     ("label-smoothing", "random-shapes+label-smoothing")),
    (("m-seed-0", "m-mixup-seed-0"), ("m-seed-0", "m-mixup-seed-0"))])
def test_a_shortened_name_keeps_the_words_that_say_what_a_run_is(names, short):
    assert names_of(names) == list(short)


def test_the_images_of_a_line_are_equally_high_and_keep_their_shape(tmp_path, capsys):
    files = []
    for number, (width, height) in enumerate(((160, 120), (90, 160), (160, 90), (120, 160))):
        files.append(tmp_path / f"{number}.png")
        Image.fromarray(np.full((height, width, 3), 40 * number, np.uint8)).save(files[-1])
    drawn = figure_detections.draw(figure_detections.Options(weights="shapes", images=tuple(map(str, files))))
    boxes = [axis.get_window_extent() for axis in drawn.figure.axes if axis.images]
    assert len(boxes) == 4 and np.ptp([box.height for box in boxes[:3]]) < 0.02 * boxes[0].height
    assert boxes[0].width / boxes[0].height == pytest.approx(160 / 120, rel=0.02)
    assert boxes[2].x1 - boxes[0].x0 > 0.95 * drawn.figure.bbox.width


def test_the_name_of_a_narrow_image_does_not_lie_on_its_neighbours_names(tmp_path):
    files = []
    for number, (width, height) in enumerate(((160, 90), (60, 160), (160, 90))):
        files.append(tmp_path / f"IMG_20190713_142355_burst_0001_{number}.png")
        Image.fromarray(np.zeros((height, width, 3), np.uint8)).save(files[-1])
    drawn = figure_detections.draw(figure_detections.Options(weights="shapes", images=tuple(map(str, files))))
    names = [axis.title for axis in drawn.figure.axes]
    places = [name.get_window_extent() for name in names]
    assert all(left.x1 < right.x0 for left, right in zip(places, places[1:]))
    assert [name.get_text()[-5:] for name in names] == ["0.png", "1.png", "2.png"]


def test_an_image_of_extreme_shape_does_not_make_a_figure_that_no_file_holds(tmp_path):
    Image.fromarray(np.zeros((640, 8, 3), np.uint8)).save(tmp_path / "tower.png")
    drawn = figure_detections.draw(figure_detections.Options(weights="shapes", images=(str(tmp_path / "tower.png"),)))
    assert drawn.figure.get_figheight() < 5 * figure_page.WIDTH


@pytest.mark.parametrize("changed", [{"map": True}, {"map": 1.5}, {"map": float("nan")}, {"per_class": {"cat": -0.5}},
                                     {"per_class": {"cat": 10 ** 400}}, {"per_class": ["cat"]}, {"dataset": 3}])
def test_an_evaluation_whose_numbers_are_no_shares_is_refused(tmp_path, changed):
    """A mAP of true was drawn as 100%, and a number of 400 digits was a traceback."""
    whole = {"map": 0.5, "per_class": {"cat": 0.5}, "dataset": "x", "metric": "voc"}
    (tmp_path / "found.json").write_text(json.dumps({**whole, **changed}))
    with pytest.raises(UserError, match="found.json: not the output of an evaluation"):
        figure_classes.read_evaluation(str(tmp_path / "found.json"))

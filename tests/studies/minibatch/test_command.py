"""gluon-bof minibatch rank, probe, heatmap and compare through main(argv)."""
import csv
import json
import os
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from gluon_bof.backend import mx
from gluon_bof.commands.minibatch import build_parser, main, options_of
from gluon_bof.errors import UserError
from gluon_bof.options.minibatch import MinibatchOptions
from gluon_bof.runs.config import write_config
from gluon_bof.runs.folder import RunFolder
from gluon_bof.studies.minibatch.compare import OUTCOME, Trained, differences, folder_of, interval, jobs, run_all
from gluon_bof.studies.minibatch.heatmap import WRITTEN, draw, draw_run, summary
from gluon_bof.studies.minibatch.single import of_its_run
from gluon_bof.studies.minibatch.tasks import build_classifier
from tests.cifar10_files import write_cifar10
from tests.command_lines import answer_of, refused


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    folder = tmp_path_factory.mktemp("minibatch")
    write_cifar10(folder / "cifar10", 4, 5)
    return folder


run = partial(answer_of, main)


def of(place):
    return "--dataset", "cifar10", "--dataset-root", place / "cifar10", "--network", "dpn-mini", "--batch-size", 5


@pytest.mark.parametrize("word", ("train", "compare"))
def test_help_offers_nothing_that_is_always_refused(word, capsys):
    with pytest.raises(SystemExit):
        main([word, "--help"])
    text = capsys.readouterr().out
    never = ("--cpus", "--horovod", "dist_sync", "default: embedded")
    assert "--kv-store" in text and not [words for words in never if words in text]


def test_rank_writes_every_image_with_its_score_and_mini_batch(place, capsys, tmp_path):
    answer, _ = run(capsys, "rank", *of(place), "--batch-size", 6, "--out", tmp_path)
    assert (answer["batches"], answer["left_out"]) == (3, 2)
    rows = list(csv.DictReader(open(tmp_path / "rank.csv")))
    scores = [float(row["score"]) for row in rows]
    assert scores == sorted(scores) and len(rows) == 20 and scores[-1] == answer["highest"][0]
    assert [row["batch"] for row in rows] == [str(place // 6) if place < 18 else "" for place in range(20)]
    assert rows[0]["classes"] in ("airplane", "automobile") and len(answer["class_entropy"]) == 3


def test_rank_by_colour_shows_its_three_numbers(place, capsys, tmp_path):
    run(capsys, "rank", *of(place), "--metric", "colour", "--out", tmp_path)
    rows = list(csv.DictReader(open(tmp_path / "rank.csv")))
    assert all(0 <= float(rows[0][f"score_{number}"]) <= 1 for number in range(3))


def test_rank_knows_the_boxes_of_a_detection_set(capsys, tmp_path):
    from tests.tiny_sets import write_voc_set
    root = write_voc_set(tmp_path / "set", 6, 1)
    answer, _ = run(capsys, "rank", "--dataset", root, "--network", "yolo3_darknet-mini", "--data-shape", 32, "--batch-size", 2,
                    "--metric", "objects", "--out", tmp_path)
    assert answer["batches"] == 3 and 1 <= answer["lowest"][0] <= answer["highest"][0] <= 3


@pytest.mark.slow  # a run's probe is tested beside it
def test_a_probe_of_fresh_weights_says_what_it_is(place, capsys, tmp_path):
    answer, told = run(capsys, "probe", *of(place), "--null-partitions", 20, "--null-batches", 1, "--out", tmp_path)
    assert answer["null"]["partitions"] == answer["null"]["batches"] == 20 and answer["mean_is_full_gradient"]
    rows = list(csv.DictReader(open(tmp_path / "probe.csv")))
    assert [float(row["distance"]) for row in rows] == answer["distance"]
    assert {"class_entropy", "score", "features.3_cosine", "output_norm"} <= set(rows[0])
    assert "frozen statistics" in told and "full gradient" in told
    batch, told = run(capsys, "probe", *of(place), "--statistics", "batch", "--null-partitions", 2, "--out", tmp_path)
    assert not batch["mean_is_full_gradient"] and "is not the full gradient" in told
    assert batch["null"]["batches"] == 8 and batch["distance"] != answer["distance"]


def test_a_probe_of_a_run_takes_its_options_and_heatmap_draws_it(place, capsys, tmp_path):
    folder = place / "run"
    main([str(word) for word in ("train", *of(place), "--epochs", 2, "--lr-decay-epoch", 1, "--null-partitions", 2,
                                 "--null-batches", 2, "--gpus", "", "--runs", place, "--name", "run")])
    capsys.readouterr()
    answer, _ = run(capsys, "probe", folder, "--probe", "sketch", "--null-partitions", 0, "--out", tmp_path)
    assert (answer["network"], answer["method"], answer["batches"]) == ("dpn-mini", "sketch", 4) and answer["null"] is None
    answer, told = run(capsys, "heatmap", folder)
    assert answer["files"] == [str(folder / "images" / "heatmap.png")] and os.path.getsize(answer["files"][0]) > 10_000
    assert [row["epoch"] for row in answer["epochs"]] == [0, 1] and "noise scale" in told
    assert os.path.getsize(draw_run(str(folder), "output", str(tmp_path / "output.png"))) > 10_000
    with pytest.raises(UserError, match="no part of the network is called 'neck'.*features.0"):
        draw_run(str(folder), "neck")


@pytest.mark.parametrize("kept, given, probe", (("none", (), "two-pass"), ("sketch", (), "sketch"), ("none", ("probe",), None)))
def test_a_run_that_was_trained_without_probes_is_probed_in_two_passes(tmp_path, kept, given, probe):
    write_config(str(tmp_path), MinibatchOptions(probe=kept, batch_size=7, name="mine"))
    own = of_its_run(str(tmp_path), given)
    assert (own.get("probe"), own["batch_size"]) == (probe, 7) and "name" not in own


def probe_like(epoch, distance, null=None):
    return {"epoch": epoch, "metric": "edges", "statistics": "frozen", "batch_size": 8, "learning_rate": 0.1,
            "distance": list(distance), "null": null, "full_norm": 1.0, "diversity": 0.2, "noise_scale": 3.0,
            "class_entropy": list(np.linspace(1, 2, len(distance))), "blocks": {}}


@pytest.mark.parametrize("rates, told", [((0.1, 0.1), "rate 0.1"), ((0.1, 0.02, 0.001), "rate 0.1 to 0.001"),
                                         ((0.01, 0.1, 0.1), "rate 0.01 to 0.1"), ((0.05, 0.1, 0.002), "rate 0.1 to 0.002")])
def test_a_phases_title_tells_all_of_its_rates(tmp_path, monkeypatch, rates, told):
    from matplotlib.figure import Figure
    saved = []
    monkeypatch.setattr(Figure, "savefig", lambda figure, *given, **how: saved.append(figure))
    probes = [{**probe_like(epoch, [1, 2]), "learning_rate": rate} for epoch, rate in enumerate(rates)]
    draw(probes, [len(rates)], str(tmp_path / "map.png"))
    assert saved[0].axes[0].get_title() == f"epochs 0 to {len(rates) - 1}, {told}"


def test_the_legend_of_a_map_lies_on_no_phases_lines(tmp_path, monkeypatch):
    from matplotlib.figure import Figure
    saved = []
    monkeypatch.setattr(Figure, "savefig", lambda figure, *given, **how: saved.append(figure))
    null = {"median": 2, "low": 1, "high": 3, "partitions": 20, "distances": [1, 3]}
    draw([probe_like(epoch, [1, 2, 3, 4], null) for epoch in range(2)], [1, 2], str(tmp_path / "map.png"))
    assert not any(axis.get_legend() for axis in saved[0].axes)
    legend, = saved[0].legends
    assert [text.get_text() for text in legend.get_texts()] == ["5–95% of 20 random partitions", "their median"]


def test_a_profile_is_in_units_of_each_epochs_own_median(tmp_path, monkeypatch):
    from matplotlib.figure import Figure
    saved = []
    monkeypatch.setattr(Figure, "savefig", lambda figure, *given, **how: saved.append(figure))
    first, last = ({"median": median, "low": 1, "high": 3, "partitions": 20} for median in (2, 4))
    draw([probe_like(0, [1, 2], first), probe_like(1, [50, 90]), probe_like(2, [2, 8], last)], [3], str(tmp_path / "map.png"))
    draw([probe_like(0, [1, 3]), probe_like(1, [50, 350])], [3], str(tmp_path / "map.png"))  # or of its mean
    assert [list(figure.axes[1].lines[-1].get_xdata()) for figure in saved] == [[0.5, 1.5], [0.375, 1.625]]


def test_a_map_shows_near_mini_batches_lighter_than_far_ones(tmp_path):
    import cv2
    probes = [probe_like(epoch, [1, 1, 1, 1, 9, 9, 9, 9]) for epoch in range(3)]
    image = cv2.imread(draw(probes, [3], str(tmp_path / "map.png")))
    height, width = image.shape[:2]
    near, far = image[int(0.7 * height), int(0.25 * width)], image[int(0.3 * height), int(0.25 * width)]
    assert near.astype(int).sum() > far.astype(int).sum() + 100


def test_a_summary_counts_what_is_beyond_the_random_ones(tmp_path):
    (tmp_path / "probes").mkdir()
    null = {"median": 2, "low": 1, "high": 3, "partitions": 20, "distances": [1, 3]}
    (tmp_path / "probes" / "epoch-0004.json").write_text(json.dumps(probe_like(4, [1, 2, 3, 4], null)))
    row, = summary(str(tmp_path))
    assert row == {"epoch": 4, "full_norm": 1.0, "diversity": 0.2, "noise_scale": 3.0, "nearest": 0, "farthest": 3,
                   "random_noise_scale": pytest.approx(8 * 5 * 4 / 3), "beyond": 0.25, "with_entropy": pytest.approx(1)}


def test_compare_trains_what_is_missing_and_pairs_by_seed(place, capsys, tmp_path):
    words = ("compare", *of(place)[:4], "--batch-size", 10, "--networks", "dpn-mini", "--orders", "shuffled,rs2", "--epochs", 1,
             "--lr-decay-epoch", "", "--gpus", "", "--runs", tmp_path, "--out", tmp_path)
    first, _ = run(capsys, *words, "--seeds", "0")
    stamp = os.path.getmtime(tmp_path / "dpn-mini-rs2-0" / "last.params")
    answer, told = run(capsys, *words, "--seeds", "0,1")
    assert os.path.getmtime(tmp_path / "dpn-mini-rs2-0" / "last.params") == stamp
    assert answer["trained"][:2] == first["trained"] and {row["steps"] for row in answer["trained"]} == {2}
    difference, = answer["differences"]
    scores = {(row["order"], row["seed"]): row["score"] for row in answer["trained"]}
    assert difference["mean"] == pytest.approx(np.mean([scores["rs2", seed] - scores["shuffled", seed] for seed in (0, 1)]))
    assert difference["seeds"] == 2 and "less shuffled" in told
    assert len(list(csv.DictReader(open(tmp_path / "orders.csv")))) == 4
    assert "a run of this name has another lr" in refused(main, capsys, *words, "--seeds", "0", "--lr", 0.5)


def test_compare_goes_on_with_a_run_whose_backbone_is_written_in_another_way(tmp_path, monkeypatch):
    """A run keeps the whole path, so the same command with a relative one was refused."""
    monkeypatch.chdir(tmp_path)
    asked = MinibatchOptions(network="yolo3_darknet-mini", runs="runs", name="run", pretrained_base="bb.params")
    run = RunFolder("runs/run")
    os.makedirs(run.folder)
    write_config(run.folder, replace(asked, pretrained_base=str(tmp_path / "bb.params"), probe="sketch"))
    run.keep_result(OUTCOME, {"iterations": 4, "map": 0.5})
    assert [one.score for one in run_all([asked])] == [0.5]
    with pytest.raises(UserError, match="a run of this name has another lr, pretrained_base"):
        run_all([replace(asked, lr=0.5, pretrained_base="other.params")])


def test_a_training_that_had_nothing_to_find_is_compared_without_a_score(capsys, tmp_path):
    words = ["compare", "--dataset", "shapes", "--networks", "yolo3_darknet-mini", "--orders", "shuffled", "--seeds", "0",
             "--runs", str(tmp_path), "--out", str(tmp_path)]
    base = options_of(build_parser().parse_args(words), network="yolo3_darknet-mini", probe="none")
    one, = jobs(base, [base.network], ["shuffled"], [0], str(tmp_path))
    os.mkdir(folder_of(one))
    write_config(folder_of(one), one)
    RunFolder(folder_of(one)).keep_result(OUTCOME, {"iterations": 4, "map": None})
    answer, said = run(capsys, *words)
    assert answer["trained"][0]["score"] is None and "shuffled, seed 0: - after 4 updates" in said
    assert "nothing to compare: that takes --orders shuffled and another" in said


@pytest.mark.parametrize("words, told", [
    (("--orders", "shuffled,drop-extremes", "--epochs", 2, "--lr-decay-epoch", 1), "a tenth of 4 mini-batches is none"),
    (("--orders", "shuffled", "--out", "FILE"), "the folder cannot be made")])
def test_compare_trains_nothing_where_a_later_order_or_its_table_cannot_be(place, capsys, tmp_path, words, told):
    (tmp_path / "file").write_text("mine")
    words = [tmp_path / "file" / "out" if word == "FILE" else word for word in words]
    places = ("--runs", tmp_path / "runs", "--out", tmp_path / "out")
    line = refused(main, capsys, "compare", *of(place), "--networks", "dpn-mini", "--seeds", "0", "--gpus", "", *places, *words)
    assert told in line and not (tmp_path / "runs").exists()


@pytest.mark.parametrize("word, work", [("rank", "rank.rank_set"), ("probe", "single.probe_weights")])
def test_no_work_is_done_for_a_table_that_cannot_be_written(place, capsys, tmp_path, monkeypatch, word, work):
    monkeypatch.setattr(f"gluon_bof.studies.minibatch.{work}", lambda *given: pytest.fail("the work had begun"))
    (tmp_path / "file").write_text("mine")
    assert "the folder cannot be made" in refused(main, capsys, word, *of(place), "--out", tmp_path / "file" / "out")


@pytest.mark.parametrize("out, told", (("file/a.png", "the folder cannot be made"),
                                       ("folder.png", "no file can be written there")))
def test_no_heatmap_is_drawn_that_cannot_be_written(tmp_path, monkeypatch, out, told):
    monkeypatch.setattr("gluon_bof.studies.minibatch.heatmap.read_probes", lambda *given: pytest.fail("the work had begun"))
    (tmp_path / "file").write_text("mine")
    (tmp_path / "folder.png").mkdir()
    write_config(str(tmp_path), MinibatchOptions())
    probe = RunFolder(str(tmp_path)).probe(0)
    os.makedirs(os.path.dirname(probe))
    Path(probe).write_text("{}")
    with pytest.raises(UserError, match=told):
        draw_run(str(tmp_path), path=str(tmp_path / out))


def test_the_interval_is_students():
    from scipy import stats
    values = [0.01, 0.03, -0.01, 0.02, 0.05]
    mean, low, high = interval(values)
    assert (low, high) == pytest.approx(stats.t.interval(0.95, 4, np.mean(values), stats.sem(values)))
    assert mean == pytest.approx(0.02) and interval([0.5]) == (0.5, None, None) and interval([0.5, 0.5]) == (0.5, 0.5, 0.5)


def test_seeds_that_only_one_order_has_are_not_compared():
    trained = [Trained("a", "shuffled", seed, 1, 0.5, {0: 0.1 * seed}) for seed in (0, 1)]
    trained += [Trained("a", "grab", seed, 1, 0.6 + 0.1 * seed, {0: 0.3}) for seed in (1, 2)]
    row, = differences(trained)
    assert (row.seeds, row.mean) == (1, pytest.approx(0.2))
    assert differences(trained, epoch=0)[0].mean == pytest.approx(0.2) and differences(trained, epoch=7) == []


@pytest.mark.parametrize("words, told", [
    ((), "minibatch needs to be told"), (("heatmap", "."), "not a run's folder"), (("sort",), "sort"),
    (("compare", "--orders", "mine"), "--orders mine"),
    (("compare", "--null-batches", "3"), "unrecognized"), (("compare", "--seeds", "x"), "--seeds"),
    (("compare", "--seeds", "0,1,0"), "--seeds '0,1,0' is no list of different whole numbers"),
    (("rank", "--batch-size", "0"), "--batch-size 0"), (("probe", "--metric", "perceptual"), "AlexNet"),
    (("probe", "--probe", "none"), "none")])
def test_mistakes_end_in_one_line_with_status_2(capsys, words, told):
    assert told in refused(main, capsys, *words)


def test_a_set_that_is_smaller_than_asked_for_is_told(place, capsys, tmp_path):
    answer, told = run(capsys, "rank", *of(place), "--num-images", 300, "--out", tmp_path)
    assert answer["images"] == 20 and told.count("--num-images 300: the set has 20 images") == 1
    answer, told = run(capsys, "rank", *of(place), "--num-images", 20, "--out", tmp_path)
    assert answer["images"] == 20 and "warning" not in told


def test_gradients_that_are_not_finite_are_one_line(place, capsys, tmp_path):
    network = build_classifier("dpn-mini", 10, 32, mx.cpu())
    network.output.weight.set_data(network.output.weight.data() * 1e38)
    network.save_parameters(str(tmp_path / "far.params"))
    line = refused(main, capsys, "probe", tmp_path / "far.params", *of(place), "--null-partitions", 0, "--seed", 2 ** 64 - 1)
    assert line.startswith("error: the gradient of a mini-batch is not finite")


PROBE = {**dict.fromkeys(WRITTEN, 1), "distance": [1.0, 2.0], "class_entropy": [0.5, 0.5]}


@pytest.mark.parametrize("content", ['{"epoch": 1, "dist', "", "null", "[]", '{"epoch": 1}', '{"epoch": NaN}', "\x00\xff",
                                     *(json.dumps({**PROBE, **changed}) for changed in (
                                         {"distance": []}, {"distance": ["1", "2"]}, {"class_entropy": [1]}, {"epoch": "1"},
                                         {"batch_size": ""}, {"null": [1]}, {"null": {"high": 1}}, {"distance": [1e308, 1]}))])
def test_a_damaged_probe_is_named(tmp_path, content):
    (tmp_path / "probes").mkdir()
    (tmp_path / "probes" / "epoch-0001.json").write_text(content)
    with pytest.raises(UserError, match="epoch-0001.json: this probe is not whole"):
        summary(str(tmp_path))


def test_a_map_is_a_png(tmp_path):
    write_config(str(tmp_path), MinibatchOptions())
    for name in ("map.txt", "map"):
        with pytest.raises(UserError, match="is no name of a .png"):
            draw_run(str(tmp_path), path=str(tmp_path / name))

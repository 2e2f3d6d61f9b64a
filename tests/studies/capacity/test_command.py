"""gluon-bof capacity through its main(argv)."""
import csv
import json
import os
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from gluon_bof.commands.capacity import main
from gluon_bof.errors import UserError
from gluon_bof.runs.folder import RunFolder
from gluon_bof.studies.capacity import CONVENTIONS, analyze
from gluon_bof.weights.formats import params as params_format
from tests.command_lines import answer_of, refused

GROUPS = ["features.3.1.body.0.weight", "features.3.1.body.3.weight", "features.3.2.body.0.weight",
          "features.4.1.body.0.weight", "features.4.2.body.0.weight"]
RNG = np.random.default_rng(0)
NAMES = ("stages.0.0.weight", "yolo_blocks.0.body.0.0.weight", "yolo_outputs.0.prediction.weight")


def write_weights(path, strength=0.0, seed=0):
    rng = np.random.default_rng(seed)
    arrays = {}
    for name in NAMES:
        learned = rng.normal(size=(60, 4)) @ rng.normal(size=(4, 40))
        arrays[name] = (rng.normal(size=(60, 40)) + strength * learned).astype(np.float32)
    path.write_bytes(params_format.dumps(arrays))
    return str(path)


def write_run(folder, network, scores):
    """A run whose checkpoints get further from noise."""
    folder.mkdir()
    run = RunFolder(str(folder))
    Path(run.config).write_text(json.dumps({"options": {"network": network}}))
    lines = ["epoch,iteration,map"] + [f"{epoch},{epoch},{score}" for epoch, score in enumerate(scores)]
    Path(run.table("metrics")).write_text("\n".join(lines) + "\n")
    paths = [write_weights(Path(run.epoch_weights(epoch)), 0.3 * epoch) for epoch in range(len(scores))]
    write_weights(Path(run.best_weights), 0.3 * (len(scores) - 1))
    write_weights(Path(run.last_weights), 0.3)
    return str(folder), paths


run = partial(answer_of, main)


def test_one_network_gives_a_table_a_summary_and_files(tmp_path, capsys):
    answer, told = run(capsys, write_weights(tmp_path / "a.params", 1.0), "--csv", "--plot", "--null", "--out", tmp_path / "out")
    assert answer["layers"] == 3 and set(answer["blocks"]) == {"backbone", "neck", "heads"}
    assert all(os.path.getsize(path) > 500 for path in answer["files"])
    assert sorted(map(os.path.basename, answer["files"])) == ["alpha_by_depth.png", "alpha_histogram.png", "lambda_by_layer.png",
                                                              "layers.csv", "spectrum.png"]
    rows = list(csv.DictReader(open(tmp_path / "out" / "layers.csv")))
    assert np.mean([float(row["alpha"]) for row in rows]) == pytest.approx(answer["alpha"])
    assert "null alpha" in told and "yolo_blocks.0.body.0.0" in told


@pytest.mark.parametrize("places, folders", (
    (("runs/lr-0.1", "runs/lr-0.2"), ("runs-lr-0.1", "runs-lr-0.2")),
    (("yolo3_mobilenet1.0_voc-001", "yolo3_mobilenet1.0_voc-002"), ("yolo3_mobilenet1.0_voc-001", "yolo3_mobilenet1.0_voc-002")),
    (("a/x/best.params", "b/x/best.params", "x/best-2.params"), ("x-best", "x-best-2", "x-best-2-2"))))
def test_no_network_of_several_writes_over_the_files_of_another(tmp_path, capsys, monkeypatch, places, folders):
    monkeypatch.chdir(tmp_path)
    for seed, place in enumerate(places):
        path = Path(place if place.endswith(".params") else f"{place}/best.params")
        path.parent.mkdir(parents=True, exist_ok=True)
        write_weights(path, 1.0, seed)
        if not place.endswith(".params"):
            Path(place, "config.json").write_text('{"options": {}}')
    answer, _ = run(capsys, *places, "--csv", "--out", "out")
    assert [network["files"] for network in answer["networks"]] == [[f"out/{folder}/layers.csv"] for folder in folders]
    for network, folder in zip(answer["networks"], folders):
        rows = list(csv.DictReader(open(f"out/{folder}/layers.csv")))
        assert np.mean([float(row["alpha"]) for row in rows]) == pytest.approx(network["alpha"])


def test_the_numbers_are_of_the_convention_that_is_asked_for(tmp_path, capsys):
    path, rng, found = tmp_path / "a.params", np.random.default_rng(0), set()
    path.write_bytes(params_format.dumps({"stages.0.0.weight": rng.normal(size=(60, 55, 2, 2)).astype(np.float32)}))
    for convention in CONVENTIONS:
        answer, _ = run(capsys, path, "--convention", convention)
        summary = analyze(str(path), convention).summary
        assert answer["convention"] == convention and {name: answer[name] for name in summary} == summary
        found.add(answer["alpha_hat"])
    assert len(found) == len(CONVENTIONS)


def test_checkpoints_are_set_against_epochs_and_scores(tmp_path, capsys):
    _, paths = write_run(tmp_path / "one", "net", ["0.1", "", "0.3", "0.35", "0.5"])
    answer, _ = run(capsys, *reversed(paths), "--plot", "--csv", "--out", tmp_path / "out")
    assert [row["score"] for row in answer["runs"]["one"]] == [0.1, None, 0.3, 0.35, 0.5]
    scale, = (row for row in answer["correlations"] if row["metric"] == "log_spectral_norm")
    assert scale["models"] == 4 and scale["pearson"] > 0.9
    table, drawn = answer["files"]
    assert os.path.getsize(drawn) > 500
    rows = list(csv.DictReader(open(table)))
    assert [row["score"] for row in rows] == ["0.1", "", "0.3", "0.35", "0.5"]
    assert [float(row["alpha"]) for row in rows] == [row["alpha"] for row in answer["runs"]["one"]]


def test_the_fifth_run_is_not_left_out_of_the_figure(monkeypatch):
    from gluon_bof.studies.capacity import plots
    saved = []
    monkeypatch.setattr(plots, "_save", lambda figure, path: saved.append(figure))
    report = SimpleNamespace(summary={"alpha": 2.0, "alpha_hat": 3.0})
    plots.draw_epochs({f"run {number}": [SimpleNamespace(epoch=0, score=0.5, report=report)] for number in range(5)}, "a.png")
    assert [len(axis.lines) for axis in saved[0].axes] == [5, 5, 5]


def test_runs_are_correlated_by_network(tmp_path, capsys):
    folders = [write_run(tmp_path / f"{network}{place}", network, [0.1 * place + 0.1] * (place + 1))[0]
               for network in ("small", "large") for place in range(3)]
    answer, told = run(capsys, "--correlate", *folders, "--csv", "--plot", "--out", tmp_path / "out")
    assert {row["group"] for row in answer["correlations"]} == {"yolo3 small", "yolo3 large", "all", "within architectures"}
    assert {row["models"] for row in answer["correlations"]} == {3, 6}
    assert "within architectures" in told
    # shape, scale and both, and the norms that they are compared with
    assert {"alpha", "log_spectral_norm", "alpha_hat", "log_norm", "log_alpha_norm", "log_l1_bound", "stable_rank",
            "log_stable_rank"} == {row["metric"] for row in answer["correlations"]}
    assert sorted(map(os.path.basename, answer["files"])) == ["models.csv", "models.png"]
    assert [float(row["alpha_hat"]) for row in csv.DictReader(open(tmp_path / "out" / "models.csv"))] == [
        model["alpha_hat"] for model in answer["models"]]


def test_a_folder_of_logs_among_the_runs_is_left_out_with_a_warning_and_a_missing_one_refused(tmp_path, capsys):
    folder, _ = write_run(tmp_path / "one", "net", ["0.1", "0.4"])
    (tmp_path / "launch").mkdir()
    answer, told = run(capsys, "--correlate", tmp_path / "launch", folder)
    assert [model["score"] for model in answer["models"]] == [0.4] and f"{tmp_path / 'launch'} is left out" in told
    assert "two: this is not a run's folder" in refused(main, capsys, "--correlate", folder, tmp_path / "two")


def test_a_runs_last_weights_go_with_its_last_score(tmp_path, capsys):
    folder, _ = write_run(tmp_path / "one", "net", ["0.1", "0.6", "0.4"])
    best, last = (run(capsys, "--correlate", folder, *words)[0]["models"][0] for words in ((), ("--last",)))
    assert (best["score"], last["score"]) == (0.6, 0.4)
    assert last["log_spectral_norm"] < best["log_spectral_norm"]


def test_a_run_without_a_score_is_named_before_any_weights_are_read(tmp_path, capsys):
    folder, _ = write_run(tmp_path / "one", "net", ["0.1"])
    (tmp_path / "two").mkdir()
    (tmp_path / "two" / "config.json").write_text('{"options": {"network": "net"}}')
    Path(RunFolder(folder).best_weights).unlink()
    assert "two: this run has no score" in refused(main, capsys, "--correlate", folder, tmp_path / "two")


def test_a_layer_that_cannot_be_drawn_is_refused(tmp_path, capsys):
    path = write_weights(tmp_path / "a.params")
    words = (path, "--plot", "--layer", "head", "--out", tmp_path / "out")
    assert "no layer is named head" in refused(main, capsys, *words, at_once=False)


def test_a_network_of_zeros_is_answered_with_null(tmp_path, capsys):
    (tmp_path / "zero.params").write_bytes(params_format.dumps({"a.weight": np.zeros((9, 9), np.float32)}))
    answer, told = run(capsys, tmp_path / "zero.params", "--plot", "--null", "--out", tmp_path / "out")
    assert answer["alpha"] is None and "all weights are 0" in told


def write_pair(folder, seed=0, **accuracies):
    """What a training of Figure 4's pair has left in a folder."""
    about = dict(network="cifar_resnet20_v1", seed=seed, epochs=6, more_epochs=1, rate=0.05, strength=0.5, groups=GROUPS,
                 **accuracies)
    (folder / "pair.json").write_text(json.dumps(about))
    for name, strength in (("plain", 1.0), ("regularised", 0.5))[:max(1, len(accuracies))]:
        arrays = {group: RNG.normal(size=(32, 16, 3, 3)).astype(np.float32) * strength for group in GROUPS}
        (folder / f"{name}.params").write_bytes(params_format.dumps(arrays))


def test_figure_4_is_drawn_of_the_pair_that_is_there(tmp_path, capsys):
    write_pair(tmp_path, plain=0.9, regularised=0.8)
    answer, _ = run(capsys, "--figure-4", "--out", tmp_path)
    assert set(answer["summaries"]) == {"plain, accuracy 0.900", "regularised, accuracy 0.800"}
    assert answer["files"] == [str(tmp_path / "figure-4.png")] and os.path.getsize(tmp_path / "figure-4.png") > 500


@pytest.mark.parametrize("accuracies", ({"plain": 0.9, "regularised": 0.8}, {}))
def test_figure_4_of_another_seed_is_not_that_of_the_pair_which_is_there(accuracies, tmp_path, capsys):
    write_pair(tmp_path, **accuracies)
    line = refused(main, capsys, "--figure-4", "--seed", "1", "--out", tmp_path)
    assert "pair.json: the pair there has seed 0; give another --out" in line


def test_weights_of_an_unknown_seed_are_not_taken_for_the_pairs(tmp_path, capsys):
    write_pair(tmp_path)
    (tmp_path / "pair.json").unlink()
    line = refused(main, capsys, "--figure-4", "--out", tmp_path)
    assert "plain.params: no pair.json beside it tells what was trained" in line


def test_a_pair_that_a_kill_cut_off_has_told_its_seed(tmp_path, monkeypatch):
    from gluon_bof.studies.capacity import group_pair

    def killed(*given):
        raise KeyboardInterrupt

    monkeypatch.setattr(group_pair, "open_classes", killed)
    with pytest.raises(KeyboardInterrupt):
        group_pair.train_pair(str(tmp_path / "pair"), seed=3)
    assert json.loads((tmp_path / "pair" / "pair.json").read_text())["seed"] == 3
    with pytest.raises(KeyboardInterrupt):  # the same one goes on
        group_pair.train_pair(str(tmp_path / "pair"), seed=3)
    with pytest.raises(UserError, match="the pair there has seed 3"):
        group_pair.train_pair(str(tmp_path / "pair"), seed=4)


def test_the_score_of_best_weights_with_localisation_is_what_they_were_chosen_by(tmp_path, capsys):
    folder, _ = write_run(tmp_path / "one", "net", ["0.1"])
    Path(folder, "metrics.csv").write_text("epoch,accuracy,mean_iou,localisation\n0,0.95,0.3,0.2\n1,0.8,0.75,0.78\n")
    assert run(capsys, "--correlate", folder)[0]["models"][0]["score"] == 0.78


def test_two_families_on_one_backbone_are_not_one_architecture(tmp_path, capsys):
    folders = []
    for family in ("yolo3", "ssd"):
        folders.append(write_run(tmp_path / family, "net", ["0.1"])[0])
        Path(folders[-1], "config.json").write_text(json.dumps({"family": family, "options": {"network": "net"}}))
    assert [model["architecture"] for model in run(capsys, "--correlate", *folders)[0]["models"]] == ["yolo3 net", "ssd net"]


def test_scores_of_several_kinds_are_not_correlated_together(tmp_path, capsys):
    boxes, masks, maps = (write_run(tmp_path / name, "net", ["0.1"])[0] for name in ("boxes", "masks", "maps"))
    Path(masks, "config.json").write_text(json.dumps({"family": "mask_rcnn", "options": {"network": "net"}}))
    Path(maps, "metrics.csv").write_text("epoch,iteration,miou\n0,1,0.25\n")
    for other, told in ((masks, "mAP of the masks"), (maps, "mean IoU")):
        line = refused(main, capsys, "--correlate", boxes, other)
        assert f"{other}: its score is {told}, that of {boxes} mAP" in line


def test_scores_on_several_sets_are_not_correlated_without_a_word(tmp_path, capsys):
    own, other = (write_run(tmp_path / name, "net", ["0.1"])[0] for name in ("own", "other"))
    Path(other, "config.json").write_text(json.dumps({"family": "yolo3", "options": {"network": "net", "dataset": "vocmini"}}))
    assert main(["--correlate", str(own), str(other)]) == 0
    assert f"{other} was scored with --dataset vocmini, {own} with " in capsys.readouterr().err


def test_a_segmenters_score_is_its_mean_iou(tmp_path, capsys):
    folder, _ = write_run(tmp_path / "one", "net", ["0.1", "0.4"])
    Path(folder, "metrics.csv").write_text("epoch,iteration,miou,pixel_accuracy\n0,1,0.25,0.9\n1,2,0.5,0.9\n")
    Path(folder, "config.json").write_text('{"family": "segmentation", "options": {"model": "unet", "backbone": "plain"}}')
    model, = run(capsys, "--correlate", folder)[0]["models"]
    assert model["score"] == 0.5 and model["architecture"] == "segmentation unet on plain"


@pytest.mark.parametrize("words, told", [(("--figure-4", "shapes"), "WEIGHTS: --figure-4 draws"),
                                         (("--figure-4", "--csv", "--null"), "--null, --csv: --figure-4 draws"),
                                         (("--figure-4", "--layer", "a", "--last"), "--last, --layer: --figure-4 draws"),
                                         ((), "no WEIGHTS"), (("none.params",), "none.params"),
                                         (("x", "--convention", "mine"), "mine"), (("--correlate", "."), "not a run"),
                                         (("--correlate",), "no WEIGHTS"), (("x", "--seed", "-1"), "--seed -1"),
                                         (("x", "--seed", 2 ** 64), "is above"),
                                         (("shapes", "--layer", "a"), "--layer a: the spectrum of one layer is drawn by --plot"),
                                         (("--correlate", ".", "--plot", "--layer", "a"), "--layer a: the spectrum"),
                                         (("epoch-0001.params", "epoch-0002.params", "--plot", "--layer", "a"), "--layer a"),
                                         (("shapes", "--last"), "--last: there is no run"),
                                         (("none.params", "--csv", "--out", f"{__file__}/out"), "the folder cannot be made"),
                                         (("test_command.py", "none.params", "--csv", "--out", os.path.dirname(__file__)),
                                          "the folder cannot be made"),
                                         (("--figure-4", "--out", f"{__file__}/out"), "the folder cannot be made")])
def test_mistakes_end_in_one_line_with_status_2(capsys, words, told):
    assert told in refused(main, capsys, *words)

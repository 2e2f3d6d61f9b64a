"""gluon-bof report: runs side by side."""
import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from gluon_bof.__main__ import main as gluon_bof_main
from gluon_bof.boxes import DetectionSet
from gluon_bof.commands.report import main
from gluon_bof.evaluation.report import report_run
from gluon_bof.evaluation.score import score
from tests.command_lines import refused
from tests.evaluation.browser import look_at
from tests.evaluation.drawn_detections import draw


def write_run(folder, seed, maps, report=True, **options):
    folder.mkdir(parents=True)
    (folder / "config.json").write_text(json.dumps({"options": {"lr": 0.01, "seed": seed, "name": folder.name, **options}}))
    rows = [f"{epoch},{epoch + 1},0.01,{2 - value},{'' if value is None else value}" for epoch, value in enumerate(maps)]
    (folder / "metrics.csv").write_text("\n".join(["epoch,iteration,learning_rate,total_loss,map", *rows]) + "\n")
    if report:
        detections, records = draw(seed, 5)
        found_set = DetectionSet("own", tuple("abcd"), records)
        report_run(str(folder), detections, found_set, score(detections, found_set))
    return str(folder)


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs")
    write_run(folder / "one", 1, (0.1, 0.6, 0.5))
    write_run(folder / "two", 2, (0.2, 0.3), mixup=True)
    write_run(folder / "bare", 2, (0.4,), report=False)
    return folder


@pytest.fixture
def runs(written, tmp_path):
    shutil.copytree(written, tmp_path, dirs_exist_ok=True)
    return [str(tmp_path / name) for name in ("one", "two", "bare")]


def test_reports_of_other_images_or_of_no_weights_of_the_run_stood_side_by_side_without_a_word(tmp_path, caplog):
    runs = [write_run(tmp_path / name, 1, (0.5,)) for name in ("a", "b")]
    given = [*runs, "--out", str(tmp_path / "page.html")]
    assert main(given) == 0 and not caplog.messages
    path = tmp_path / "b" / "report.json"
    numbers = json.loads(path.read_text())
    path.write_text(json.dumps({**numbers, "images": 9, "about": {"SHA-256": "0" * 64}}))
    (tmp_path / "b" / "last.params").write_bytes(b"other weights")
    assert main(given) == 0
    weights, images = caplog.messages
    assert weights.startswith(f"{path} is not of the run's best or last weights: write it again, with evaluate {runs[1]} ")
    assert images.startswith(f"{runs[1]} reports of 9 images with ") and f", {runs[0]} of 5 with " in images


def test_runs_are_set_side_by_side(runs, tmp_path, capsys):
    page = tmp_path / "page.html"
    assert main([*runs, "--out", str(page)]) == 0
    outcome = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert [(run["epochs"], run["last"], run["best"], run["at_epoch"]) for run in outcome["runs"]] == [
        (3, 0.5, 0.6, 1), (2, 0.3, 0.3, 1), (1, 0.4, 0.4, 0)]
    numbers = json.loads((tmp_path / "page.json").read_text())
    assert numbers["options"] == {"seed": [1, 2, 2], "mixup": [False, True, False]}
    own = json.loads((tmp_path / "one" / "report.json").read_text())
    assert numbers["runs"][0]["report"]["map"] == own["map"] and numbers["runs"][2]["report"] is None
    html = page.read_text(encoding="utf-8")
    assert "<td>one</td><td>3</td><td>50.0</td><td>60.0</td><td>1</td>" in html
    assert f"<td>mAP, %</td><td>{100 * own['map']:.1f}</td>" in html
    seen = look_at(page, 390, tmp_path, {"outcomes", "options", "training", "training-1", "training-3", "reports"})
    assert seen["needs"] <= 390 and seen["over"] == [] and seen["images"] == 3


def test_a_single_run_without_a_report_has_its_curves(runs, tmp_path):
    main([runs[2], "--out", str(tmp_path / "page.html")])
    html = (tmp_path / "page.html").read_text(encoding="utf-8")
    assert 'id="training-1"' in html and 'id="reports"' not in html and "The same." in html


def test_runs_of_one_name_are_told_apart(tmp_path):
    two = [write_run(tmp_path / place / "same", 0, (0.1,), report=False) for place in "ab"]
    main([*two, "--out", str(tmp_path / "page.html")])
    names = [run["name"] for run in json.loads((tmp_path / "page.json").read_text())["runs"]]
    assert names == two


def test_a_page_does_not_put_its_numbers_over_a_file_that_is_no_pages(runs, tmp_path, capsys):
    (tmp_path / "page.json").write_text("mine")
    line = refused(main, capsys, *runs, "--out", tmp_path / "page.html")
    assert "page.json: it would be replaced by the page's numbers" in line
    assert (tmp_path / "page.json").read_text() == "mine" and not (tmp_path / "page.html").exists()


def test_a_page_that_is_there_is_written_again(runs, tmp_path):
    for words in (runs, runs[:1]):
        assert main([*words, "--out", str(tmp_path / "page.html")]) == 0
    assert len(json.loads((tmp_path / "page.json").read_text())["runs"]) == 1


def test_a_page_does_not_put_its_numbers_over_the_commands_output(runs, tmp_path):
    main([*runs, "--out", str(tmp_path / "page.html")])
    with open(tmp_path / "page.json", "a") as output:
        ended = subprocess.run([sys.executable, "-m", "gluon_bof", "report", *runs, "--out", str(tmp_path / "page.html")],
                               stdout=output, stderr=subprocess.PIPE, text=True, check=False)
    assert ended.returncode == 2 and "page.json: the command's output goes into this file" in ended.stderr


def test_a_page_does_not_take_the_place_of_a_report_that_it_reads(runs, capsys):
    before = Path(runs[0], "report.json").read_bytes()
    line = refused(main, capsys, *runs, "--out", f"{runs[0]}/report.html")
    assert "report.html: the command reads this file, which would be replaced" in line
    assert Path(runs[0], "report.json").read_bytes() == before


@pytest.mark.parametrize("words, problem", (
    (("evaluate", "shapes", "--save-json", "a.json", "--report", "./a.html"), "a.json: two outputs would go into this file"),
    (("evaluate", "shapes", "--save-json", "./a.html", "--report", "a.html"), "a.html: two outputs would go into this file"),
    (("check", "set", "--with", "shapes", "--report", "train.html"), "train.json: it would be replaced")))
def test_a_report_does_not_take_the_place_of_detections_or_annotations(words, problem, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "train.json").write_text("{}")
    assert problem in refused(gluon_bof_main, capsys, *words)
    assert [path.name for path in tmp_path.iterdir()] == ["train.json"]


@pytest.mark.parametrize("family, options", (("classifier", {}), ("minibatch", {"network": "dpn-mini"})))
def test_a_run_whose_accuracy_would_appear_nowhere_is_refused(family, options, tmp_path, capsys):
    runs = [write_run(tmp_path / "bare", 2, (0.4,), report=False)]
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "config.json").write_text(json.dumps({"family": family, "options": options}))
    line = refused(main, capsys, *runs, tmp_path / "other", "--out", tmp_path / "page.html")
    assert "other: this run trained no detector" in line and not (tmp_path / "page.html").exists()


def test_scores_of_other_images_or_another_metric_do_not_stand_side_by_side_without_a_word(runs, tmp_path, capsys):
    write_run(tmp_path / "other", 1, (0.3,), report=False, dataset="vocmini", metric="coco")
    main([*runs, "--out", str(tmp_path / "alike.html")])
    assert "scores do not compare" not in capsys.readouterr().err
    main([*runs, str(tmp_path / "other"), "--out", str(tmp_path / "page.html")])
    told = capsys.readouterr().err
    for flag, value, first in (("dataset", "vocmini", "shapes"), ("metric", "coco", "auto")):
        assert f"other was scored with --{flag} {value}, {runs[0]} with {first}: their scores do not compare" in told


def of_family(folder, name):
    (folder / "config.json").write_text(json.dumps({"family": name, "options": {}}))
    return str(folder)


def test_the_map_of_masks_does_not_stand_beside_that_of_boxes(runs, tmp_path, capsys):
    of_family(tmp_path / "two", "mask_rcnn")
    line = refused(main, capsys, *runs, "--out", tmp_path / "page.html")
    assert f"two: its mAP is of masks, that of {runs[0]} of boxes" in line


def test_a_page_tells_the_map_of_masks_from_that_of_boxes(runs, tmp_path):
    page = tmp_path / "page.html"
    main([of_family(tmp_path / "one", "mask_rcnn"), "--out", str(page)])
    html = page.read_text(encoding="utf-8")
    assert "last mAP of the masks, %" in html and "Validation mAP of the masks" in html and "mAP of the boxes, %" in html


def test_a_detector_of_the_mini_batch_study_has_its_map_on_the_page(tmp_path):
    run = write_run(tmp_path / "two", 2, (0.2, 0.3), report=False)
    options = {"network": "yolo3_darknet-mini"}
    (tmp_path / "two" / "config.json").write_text(json.dumps({"family": "minibatch", "options": options}))
    main([run, "--out", str(tmp_path / "page.html")])
    assert json.loads((tmp_path / "page.json").read_text())["runs"][0]["best"] == 0.3


@pytest.mark.parametrize("fault", ("no run", "damaged report", "no page"))
def test_what_cannot_be_read_or_written_is_one_line(runs, tmp_path, capsys, fault):
    words = [runs[0], "--out", str(tmp_path / "page.html")]
    if fault == "no run":
        words[0] = str(tmp_path)
    elif fault == "no page":
        words[2] = str(tmp_path / "page.txt")
    else:
        (tmp_path / "one" / "report.json").write_text('{"map": 0.5}')
    refused(main, capsys, *words)
    assert not (tmp_path / "page.html").exists()

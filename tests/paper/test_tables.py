"""`python -m gluon_bof table`: its commands parse back, real runs fill it, a kill costs nothing."""
import csv
import dataclasses
import json
import os
import shlex
import signal
import statistics
import subprocess
import sys
import time
from pathlib import Path

import pytest

import train_faster_rcnn
import train_yolo3
from gluon_bof.commands import pretrain
from gluon_bof.commands import table as table_command
from gluon_bof.commands.evaluate import build_parser
from gluon_bof.commands.table import commands_of, read_arguments, request_of
from gluon_bof.errors import UserError
from gluon_bof.options.classifier import ClassifierOptions
from gluon_bof.options.flags import as_dict, parse
from gluon_bof.options.recipes import RECIPES, TABLES, VOC_METRIC
from gluon_bof.paper import tables
from gluon_bof.paper.bundles import Store
from gluon_bof.paper.table_pages import shared_settings
from gluon_bof.paper.tables import Request, plan
from tests.paper.made_up import bundle_for
from tests.scripts import ROOT, finished
from tests.tiny_sets import write_voc_set

TABLE = [sys.executable, "-m", "gluon_bof", "table"]
# the smallest that trains: one epoch of one batch
LEAST = "--epochs 1 --num-samples 8 --batch-size 4 --no-mixup-epochs 0 --warmup-epochs 0 --data-shape 64 --random-shapes 64,64"


def requests():
    for table in TABLES.values():
        keys = tuple(row.key for row in table.rows)
        yield Request(table, "paper", keys, (0, 1))
        yield Request(table, "paper", keys, gpus="0,1,2,3", jobs=2, dataset_root="/data/sets of mine")
        yield Request(table, "small", keys, (0, 1), runs="elsewhere", dataset="/data/a set")


def identity(request):
    return f"{request.table.number}-{request.scale}-{request.jobs}"


def row_options(request, job, place):
    """What the job of this place should train with: the row's options, and what the table sets itself."""
    setup = job.row.small if request.is_small else job.row.paper
    size = "@small" if request.is_small else ""
    own = dict(seed=job.seed, runs=request.runs, name=f"{request.stem}-{job.row.key}-seed-{job.seed}",
               recipe=f"table-{request.table.number}/{job.row.key}{size}")
    own.update(dict(dataset=request.dataset) if request.is_small else dict(dataset_root=request.dataset_root))
    if request.jobs == 2:
        own["gpus"] = ("0,1", "2,3")[place % 2]
    pretraining = None
    if setup.pretraining:
        phase = "backbone-mixup" if setup.pretraining.mixup else "backbone-plain"
        of_backbone = dict(own, name=f"{request.stem}-{phase}-seed-{job.seed}",
                           recipe=f"table-{request.table.number}/{phase}{size}")
        of_backbone.pop("dataset_root", None)
        pretraining = dataclasses.replace(setup.pretraining, **of_backbone)
        own["pretrained_base"] = f"{request.runs}/{pretraining.name}/last.params"
    return dataclasses.replace(setup.options, **own).resolved(), pretraining


@pytest.mark.parametrize("request_", [request if request.jobs == 1 else pytest.param(request, marks=pytest.mark.slow)
                                      for request in requests()], ids=identity)
def test_every_command_parses_back_to_the_rows_options(request_, capsys, monkeypatch):
    monkeypatch.chdir(ROOT)  # where the scripts have their short names
    for place, job in enumerate(plan(request_)):
        options, of_backbone = row_options(request_, job, place)
        *pretraining, training = job.commands()[:-len(job.evaluations)]
        assert bool(pretraining) == bool(of_backbone) and job.training.options == options
        words = shlex.split(shlex.join(training))
        script, family = {"train_yolo3.py": (train_yolo3, "yolo3"),
                          "train_faster_rcnn.py": (train_faster_rcnn, "faster_rcnn")}[words[1]]
        assert parse(type(options), words[2:], "", RECIPES.of_family(family)).options.resolved() == options
        script.main([*words[2:], "--dry-run"])
        assert json.loads(capsys.readouterr().out) == json.loads(json.dumps(as_dict(options)))
        for words in pretraining:
            assert words[1:4] == ["-m", "gluon_bof", "pretrain"]
            assert parse(ClassifierOptions, words[4:], "", RECIPES.of_family("classifier")).options == of_backbone
            pretrain.main([*words[4:], "--dry-run"])
            assert json.loads(capsys.readouterr().out) == json.loads(json.dumps(as_dict(of_backbone)))
        for found in job.evaluations:
            assert found.words[1:5] == ("-m", "gluon_bof", "evaluate", job.run.folder)
            arguments = build_parser().parse_args(found.words[4:])
            assert arguments.weights == job.run.folder and arguments.last
            assert found.size is None or arguments.data_shape == found.size


def test_a_plan_begins_with_the_backbones_and_names_each_once():
    for number in (5, 6):
        request = Request(TABLES[number], "paper", tuple(row.key for row in TABLES[number].rows))
        words = [words for words, _ in commands_of(plan(request))]
        assert [command[3] for command in words[:2]] == ["pretrain", "pretrain"]
        assert [command[5] for command in words[:2]] == [f"table-{number}/backbone-plain", f"table-{number}/backbone-mixup"]
        assert not any("pretrain" in command for command in words[2:])


def test_a_folder_of_ones_own_is_walked_once_for_all_runs(tmp_path, monkeypatch):
    walked = []
    monkeypatch.setattr(tables, "fingerprint", lambda folder: walked.append(folder) or {"folder": "mine"})
    jobs = plan(Request(TABLES[5], "small", seeds=(0, 1), dataset=str(tmp_path)))
    assert walked == [str(tmp_path)] and all(job.configuration()["data"] == {"folder": "mine"} for job in jobs)


def test_printed_commands_run_as_printed(tmp_path):
    words = [*TABLE, "2", "--scale", "small", "--rows", "mixup", "--dataset", str(tmp_path / "a set"), "--dry-run"]
    answer = subprocess.run(words, cwd=ROOT, stdout=subprocess.PIPE, text=True, check=True)
    training, evaluation = answer.stdout.splitlines()
    told = subprocess.run(training + " --dry-run", shell=True, cwd=ROOT, stdout=subprocess.PIPE, check=True)
    assert json.loads(told.stdout)["mixup"] is True and "OMP_NUM_THREADS=1 " in training
    assert "evaluate 'runs/table-2-small-a set-mixup-seed-0' --last" in evaluation


def test_gpus_are_split_evenly_among_jobs():
    keys = tuple(row.key for row in TABLES[2].rows)
    jobs = plan(Request(TABLES[2], "paper", keys, gpus="0,1,2,3", jobs=2))
    assert [job.training.options.gpus for job in jobs[:3]] == ["0,1", "2,3", "0,1"]
    with pytest.raises(UserError, match="split evenly"):
        plan(Request(TABLES[2], "paper", keys, gpus="0,1,2", jobs=2))


@pytest.mark.parametrize("words, message", [
    (["7"], "no table '7'"), (["²"], "no table '²'"), (["2", "--rows", "²"], "no row '²'"),
    (["2", "--rows", "8"], "no row '8'"), (["2", "--rows", "mixup,smoothing"], "'smoothing'"),
    (["2", "--seeds", "0,0"], "different whole"), (["2", "--seeds", f"0,{2 ** 64}"], "different whole"),
    (["2", "--jobs", "0"], "below 1"), (["2", "--dataset", "x"], "does nothing"),
    (["2", "--dry-run", "--", "--", "--epochs", "77"], "a second -- does nothing for table 2"),
    (["2", "--scale", "small", "--dataset-root", "x"], "does nothing"), (["2", "--speed", "9"], "unrecognized"),
])
def test_arguments_that_cannot_be_meant_are_refused(words, message):
    with pytest.raises(UserError, match=message):
        request_of(read_arguments(words))


def test_flags_after_the_bars_reach_the_trainings_and_the_tables_own_are_refused():
    words = ["5", "--scale", "small", "--dataset", "/data/set", "--", "--epochs", "30", "--", "--epochs", "2"]
    request = request_of(read_arguments(words))
    job = plan(request)[0]
    assert (job.training.options.epochs, job.pretraining.options.epochs) == (30, 2)
    with pytest.raises(UserError, match="--seed after --"):
        plan(request_of(read_arguments(["2", "--scale", "small", "--dataset", "x", "--", "--seed", "3"])))
    with pytest.raises(UserError, match="--transfer after --"):  # these runs start from the table's own backbones
        plan(request_of(read_arguments(["5", "--scale", "small", "--dataset", "x", "--", "--transfer", "y"])))
    request = request_of(read_arguments(["3", "--", "custom-model", "--clip", "4"]))  # the table's own stand behind it
    assert plan(request)[0].training.options.custom_model and {"custom-model", "--clip 4.0"} <= {*shared_settings(request)}
    request = request_of(read_arguments(["2", "--rows", "1, mixup", "--seeds", "2,0"]))
    assert request.rows == ("no-augmentation", "mixup") and request.seeds == (2, 0)


def harness(folder, *words):
    """The words of a table of tiny runs on a tiny set."""
    return [*TABLE, "2", "--scale", "small", "--dataset", str(folder / "set"), "--runs", str(folder / "runs"), "--out",
            str(folder / "results"), *words, "--", *LEAST.split()]


def page(folder):
    with open(folder / "results" / "table-2-small-set.csv") as file:
        return {row["key"]: row for row in csv.DictReader(file)}


@pytest.mark.parametrize("number, scale", ((2, "paper"), (5, "paper"), (2, "small"), (6, "small")))
def test_a_tables_page_says_what_its_bundles_give(number, scale, tmp_path):
    words = [str(number), "--scale", scale, "--seeds", "0,1", "--out", str(tmp_path)]
    words += ["--dataset", "/data/set"] if scale == "small" else []
    work, store, values = table_command.work_of(table_command.read_arguments(words), words), Store(str(tmp_path)), {}
    for place, job in enumerate(work.planned):
        if job.row is not work.planned[-1].row or job.seed == 0:  # of the last row one seed is left out
            values.setdefault(job.row.key, {})[job.seed] = 40 + place
            store.write(bundle_for(job, (40 + place) / 100, seconds=90))
        elif (number, scale) == (2, "small"):  # or its set had nothing but difficult objects
            of_nothing = bundle_for(job, seconds=90)
            for evaluation in of_nothing["evaluations"].values():
                evaluation["map"] = None
            store.write(of_nothing)
    told = work.write(store)
    table, text = TABLES[number], Path(told["page"]).read_text(encoding="utf-8")
    with open(told["csv"], encoding="utf-8", newline="") as file:
        found = list(csv.DictReader(file))
    assert {line["key"] for line in found} == {row.key for row in table.rows} == values.keys()
    for line in found:
        row, of_seeds = table.row(line["key"]), values[line["key"]]
        mean = statistics.mean(of_seeds.values())
        deviation = f" ± {statistics.stdev(of_seeds.values()):.2f}" if len(of_seeds) > 1 else ""
        assert line["ours"] == f"{mean:.2f}{deviation}" and line["minutes"] == "1.5"
        assert line["seeds"] == ", ".join(f"{seed}: {value:.2f}" for seed, value in of_seeds.items())
        if scale == "small":
            gains = [value - values[row.baseline_key][seed] for seed, value in of_seeds.items()]
            assert line["gain"].split(" ")[0] == ("" if row.key == row.baseline_key else f"{statistics.mean(gains):+.2f}")
        elif line["paper"]:
            assert line["paper"] == str(row.paper_value) and line["difference"] == f"{mean - row.paper_value:+.2f}"
        if table.metric != VOC_METRIC:
            assert (line["AP50"], line["AP75"]) == (f"{1.25 * mean:.2f}", f"{mean / 2:.2f}")
        assert "| " + " | ".join(cell for column, cell in line.items() if column not in ("key", "flags", "runs")) + " |" in text
    assert scale == "small" or {line["paper"] for line in found} >= {str(row.paper_value) for row in table.rows}
    assert f"gluon-bof table {shlex.join(words)}\n" in text


@pytest.mark.slow  # test_harness.py runs the harness too
def test_a_rows_number_is_its_runs_evaluation_and_is_not_made_twice(tmp_path):
    write_voc_set(tmp_path / "set", images=8, validation=4)
    finished(harness(tmp_path, "--rows", "baseline"))
    folder = tmp_path / "runs" / "table-2-small-set-baseline-seed-0"
    result = json.loads((tmp_path / "results" / "runs" / f"{folder.name}.json").read_text())["evaluations"]["own"]
    rows = page(tmp_path)
    assert len(rows) == 7 and rows["baseline"]["ours"] == f"{100 * result['map']:.2f}"
    assert "paper" not in rows["baseline"] and all(rows[key]["ours"] == "" for key in rows if key != "baseline")
    text = (tmp_path / "results" / "table-2-small-set.md").read_text()
    assert text.splitlines()[0] == "# Table 2 at small scale on set, not the paper's work" and "80.25" not in text

    before = {path: path.stat().st_mtime_ns for path in folder.rglob("*")}
    finished(harness(tmp_path, "--rows", "baseline"))
    assert before == {path: path.stat().st_mtime_ns for path in folder.rglob("*")}

    other = subprocess.run([*harness(tmp_path, "--rows", "baseline"), "--lr", "0.1"], cwd=ROOT, stderr=subprocess.PIPE,
                           text=True)
    assert other.returncode == 2 and "--lr 0.003 and not 0.1" in other.stderr and "Traceback" not in other.stderr


@pytest.mark.slow
def test_a_killed_harness_goes_on_and_ends_with_the_same_numbers(tmp_path):
    write_voc_set(tmp_path / "set", images=16, validation=4)
    words = ("--rows", "baseline,cosine,mixup", "--seeds", "0,1", "--jobs", "2")
    longer = ("--epochs", "6", "--num-samples", "16", "--no-mixup-epochs", "1")
    (tmp_path / "whole").mkdir()
    os.symlink(tmp_path / "set", tmp_path / "whole" / "set")
    whole = finished([*harness(tmp_path / "whole", *words), *longer])
    for moment in (8, 25):  # within the first trainings, and within the later ones
        process = subprocess.Popen([*harness(tmp_path, *words), *longer], cwd=ROOT, stdout=subprocess.PIPE,
                                   stderr=subprocess.PIPE)
        time.sleep(moment)
        process.send_signal(signal.SIGKILL)
        process.communicate()
    rows = finished([*harness(tmp_path, *words), *longer])["rows"]
    assert rows == whole["rows"]
    for row in rows:
        assert len(row["values"]) == (2 if row["row"] in ("baseline", "cosine", "mixup") else 0)
    line = page(tmp_path)["mixup"]
    values = [value for row in rows if row["row"] == "mixup" for value in row["values"].values()]
    assert line["ours"] == f"{statistics.mean(values):.2f} ± {statistics.stdev(values):.2f}"


def test_a_table_without_its_ends_says_that_their_cost_is_not_compared(tmp_path, caplog):
    given = read_arguments(["2", "--scale", "small", "--dataset", "/data/set", "--rows", "2", "--cost", "--runs", str(tmp_path)])
    planned = table_command.work_of(given, []).planned
    with caplog.at_level("WARNING", "gluon_bof"):
        table_command._compare_cost(planned, Store(str(tmp_path)))
    assert "no weights, of table-2-small-set-no-augmentation-seed-0 and table-2-small-set-mixup-seed-0" in caplog.text


@pytest.mark.slow
def test_both_ends_of_the_table_cost_the_same(tmp_path):
    write_voc_set(tmp_path / "set", images=8, validation=4)
    finished(harness(tmp_path, "--rows", "1,7", "--cost"))
    found = json.loads((tmp_path / "results" / "runs" / "table-2-small-set-mixup-seed-0.json").read_text())["cost"]
    assert found["same_graph"] and found["operators"][0] == found["operators"][1]
    assert found["operators"][0]["Convolution"] > 30 and len(found["ratios"]) == 7
    assert "## Cost in inference" in (tmp_path / "results" / "table-2-small-set.md").read_text()

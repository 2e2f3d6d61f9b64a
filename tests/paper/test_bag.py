"""The bag on further families: what differs between its rows, and the page that is made of made-up bundles."""
import json

import numpy as np
import pytest

from gluon_bof.commands import table as command
from gluon_bof.errors import UserError
from gluon_bof.options.flags import as_dict
from gluon_bof.paper import bag, bag_pages, harness, miniature, pages
from gluon_bof.paper.bundles import Store
from gluon_bof.training.entry import run_script
from tests.command_lines import refused
from tests.paper.made_up import bundle_for, made_up_bag


def test_a_planned_run_is_not_warned_of_what_is_idle_of_its_row(tmp_path, capsys):
    job = next(job for job in bag.plan((0,), str(tmp_path)) if job.row.key == bag.SSD.rows()[2].key)
    for is_planned in (False, True):
        if is_planned:
            harness._refuse_other_plan(job, None)
        run_script("ssd", [*job.training.words, "--dry-run"], "")
        assert ("does nothing with --lr-mode cosine" in capsys.readouterr().err) != is_planned


def test_each_row_adds_one_freebie_to_the_one_before_it_and_changes_nothing_else():
    assert [len(family.rows()) for family in bag.BAGS] == [5, 4, 4] and len({row.key for row in bag.ROWS}) == 13
    for family in bag.BAGS:
        for before, row in zip(family.rows(), family.rows()[1:]):
            assert row.on[:-1] == before.on
            old, new = as_dict(before.options()), as_dict(row.options())
            assert {name for name in old if old[name] != new[name]} == set(family.factors[row.on[-1]])
        first, last = family.rows()[0].options(), family.rows()[-1].options()
        assert (first.mixup, first.label_smooth_eps, first.lr_mode) == ("", 0.0, "step")
        assert (last.mixup, last.label_smooth_eps, last.lr_mode) == ("beta", 0.1, "cosine")
        assert len(tuple(first.training_sizes())) == 1


def test_every_run_reads_the_miniatures_set_and_starts_from_its_backbone(tmp_path):
    jobs = bag.plan((0,), str(tmp_path))
    for job in jobs:
        options = job.training.options
        options.check()
        assert (options.dataset, options.train_split, options.val_split, options.gpus) == ("vocmini", "train-125", "test", "")
        assert options.network == miniature.BACKBONE.network and options.no_mixup_epochs * 10 == options.epochs
        assert options.pretrained_base == job.pretraining.run.last_weights
        assert job.pretraining.options.name == miniature.BACKBONE.name
        assert [evaluation.key for evaluation in job.evaluations] == ["test", "train-125"]


def test_the_page_tells_paired_gains_and_marks_what_does_not_fit(tmp_path):
    numbers = made_up_bag(Store(str(tmp_path)))
    text = pages.SECTIONS["bag"](Store(str(tmp_path)))
    for family in bag.BAGS:
        last = family.rows()[-1].key
        differences = [100 * (numbers[last, seed] - numbers[family.rows()[0].key, seed]) for seed in bag.SEEDS]
        half = 4.302653 * np.std(differences, ddof=1) / np.sqrt(3)  # Student, two degrees
        part = text.split(f"{family.title}:")[1].split("\n\n")[1]
        line = next(line for line in part.splitlines() if "whole bag" in line)
        assert f"**{np.mean(differences):+.2f} ± {half:.2f}** | gain" in line
        assert ("underfitted" in part) == (family is not bag.SSD)
    assert "39 bundles" in text
    measured = pages.SECTIONS["measured"](Store(str(tmp_path)))
    rows = [line for line in measured.splitlines() if f", {len(bag.SEEDS)} seeds" in line]
    assert [line.split(" | ")[0] for line in rows] == [f"| {family.title}" for family in bag.BAGS]
    assert [line for line in rows if "underfitted" in line] == [line for line in rows if "SSD" not in line]


def test_a_gain_tells_its_seeds_where_a_row_has_more(tmp_path):
    store = Store(str(tmp_path))
    made_up_bag(store, (0, 1, 2), ("ssd-baseline",))
    made_up_bag(store, (0, 1), bag.chosen_rows("ends"))
    lines = [line for line in pages.SECTIONS["bag"](store).splitlines() if line.startswith("| whole bag")]
    assert ["(seeds 0, 1) | " in line for line in lines] == [True, False, False]


def test_a_gain_is_drawn_by_the_fit_of_its_own_seeds(tmp_path):
    store = Store(str(tmp_path))
    whole = bag.SSD.rows()[-1].key
    made_up_bag(store, (0,), ("ssd-baseline",))
    made_up_bag(store, (0, 1), (whole,))
    alone = store.read(f"bag-{whole}-seed-1")
    alone["evaluations"][miniature.TRAIN]["coco"]["AP50"] = 0.5
    store.write(alone)
    picture, = bag_pages.bag_pictures(store)
    bar, = picture.numbers[0].groups["SSD, AP@[.5:.95]"]
    assert bar.label == "whole bag (1 seed)" and bar.counts


def test_a_page_of_some_rows_tells_those_alone(tmp_path):
    store = Store(str(tmp_path))
    assert "No run" in pages.SECTIONS["bag"](store) and pages.pictures(store) == []
    made_up_bag(store, (0,), ("ssd-baseline",))
    text = pages.SECTIONS["bag"](store)
    assert "SSD:\n" in text and "\nMask R-CNN: not run.\n" in text and "\nFCN-8s: not run.\n" in text
    assert "![" not in text and pages.pictures(store) == []
    made_up_bag(store, (0,), bag.chosen_rows("ends"))
    assert "| whole bag: cosine + label-smoothing + mixup | " in pages.SECTIONS["bag"](store)
    figure_1, picture = pages.pictures(store)
    for drawn, section in ((figure_1, "figure-1"), (picture, "bag")):
        drawn.draw(str(tmp_path / drawn.file))
        assert (tmp_path / drawn.file).stat().st_size > 10_000 and drawn.file in pages.SECTIONS[section](store)


def test_a_bundle_of_another_protocol_is_refused(tmp_path):
    store = Store(str(tmp_path))
    job, *_ = bag.plan((0,))
    bundle = bundle_for(job)
    bundle["configuration"]["options"]["epochs"] += 1
    store.write(bundle)
    with pytest.raises(UserError):
        pages.SECTIONS["bag"](store)


def test_the_command_plans_rows_and_refuses_what_would_change_the_protocol(tmp_path, capsys):
    where = ["--runs", str(tmp_path), "--out", str(tmp_path)]
    assert command.main(["bag", "--rows", "ends", "--seeds", "0,1", "--plan", *where]) == 0
    missing = json.loads(capsys.readouterr().out.splitlines()[-1])["missing"]
    assert len(missing) == 12 and "bag-ssd-random-shapes+cosine+label-smoothing+mixup-seed-1" in missing
    for words in (["--dataset", "x"], ["--rows", "ssd"], ["--", "--epochs", "1"]):
        refused(command.main, capsys, "bag", *where, *words)

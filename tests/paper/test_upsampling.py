"""The experiment with ways of upsampling: what differs between its runs, its page and its figure, from made-up bundles."""
import csv

import numpy as np
import pytest

from gluon_bof.commands import figure as figures
from gluon_bof.options.flags import as_dict
from gluon_bof.options.segmentation import UPSAMPLINGS
from gluon_bof.paper import pages, upsampling
from gluon_bof.paper.bundles import Store
from tests.command_lines import answer_of, refused
from tests.paper.made_up import bundle_for

GAINS = dict(zip(UPSAMPLINGS, (0, 0.01, -0.02, 0.0, 0.03)))


def made_up(store, seeds=upsampling.SEEDS, left_out=()):
    """{(way, seed): points} of bundles that are written."""
    rng, numbers = np.random.default_rng(0), {}
    for job in upsampling.plan(seeds):
        value = 0.7 + 0.01 * job.seed + GAINS[job.row.key] + rng.normal(0, 0.0005)
        if job.name not in left_out:
            bundle = bundle_for(job)
            bundle["training"] = {"miou": value}
            store.write(bundle)
            numbers[job.row.key, job.seed] = 100 * value
    return numbers


def test_runs_differ_in_the_way_of_upsampling_and_the_seed_alone():
    planned = upsampling.plan()
    assert len(planned) == 15 and {job.row.key for job in planned} == set(UPSAMPLINGS)
    first = as_dict(planned[0].training.options)
    for job in planned:
        other = as_dict(job.training.options)
        assert {name for name in first if first[name] != other[name]} <= {"upsampling", "seed", "name"}
        assert other["upsampling"] == job.row.key and other["seed"] == job.seed
        job.training.options.check()


def test_page_and_figure_say_the_paired_gains(tmp_path, capsys):
    numbers = made_up(Store(str(tmp_path)))
    answer, _ = answer_of(figures.main, capsys, "upsampling", "--results", tmp_path, "--out", tmp_path)
    text = pages.SECTIONS["upsampling"](Store(str(tmp_path)))
    for way in UPSAMPLINGS[1:]:
        wanted = [numbers[way, seed] - numbers["nearest", seed] for seed in upsampling.SEEDS]
        mean, half = answer["gain"][way]
        assert mean == pytest.approx(np.mean(wanted))
        assert half == pytest.approx(4.302653 * np.std(wanted, ddof=1) / np.sqrt(3), rel=1e-4)  # Student, two degrees
    lines = {line.split(" | ")[0].strip("| "): line for line in text.splitlines()}
    assert "gain" in lines["transposed"] and "loss" in lines["bed-of-nails"] and "15 bundles" in text
    with open(answer["csv"], newline="") as file:
        assert len(list(csv.DictReader(file))) == 15 + 4


def test_seeds_that_were_asked_for_beyond_the_usual_ones_are_told(tmp_path):
    store = Store(str(tmp_path))
    made_up(store, (0, 3))
    assert set(upsampling.against_nearest(upsampling.points(upsampling.found(store)))["bilinear"].by_seed) == {0, 3}
    assert "10 bundles" in pages.SECTIONS["upsampling"](store)


def test_a_seed_that_is_not_whole_is_in_no_gain_and_none_is_refused(tmp_path, capsys):
    store = Store(str(tmp_path))
    line = refused(figures.main, capsys, "upsampling", "--results", tmp_path, "--out", tmp_path)
    assert "gluon-bof table upsampling" in line
    made_up(store, left_out=("upsampling-transposed-seed-2",))
    numbers = upsampling.of_whole_seeds(upsampling.points(upsampling.found(store)))
    assert {seed for of_way in numbers.values() for seed in of_way} == {0, 1}
    assert "(seeds 0, 1) | " in pages.SECTIONS["upsampling"](store)

"""What fits into the hours that are given, which seeds will be whole, and what they can tell."""
import os

import pytest

from gluon_bof.commands import table
from gluon_bof.errors import UserError
from gluon_bof.paper import effects, embedded, factorial, harness, miniature
from gluon_bof.paper.budget import budget_of, until
from gluon_bof.paper.bundles import Store
from tests.paper.made_up import bundle_for, planned, write_photographs


def test_what_fits_is_told_by_the_bundles_times_and_whole_seeds_by_all_rows(tmp_path):
    store = Store(str(tmp_path))
    wanted = planned(tmp_path, seeds=(0, 1))
    for job in wanted[:7]:
        store.write(bundle_for(job, seconds=300.0))
    found = budget_of(wanted, store, 2, 0.5)  # five minutes each, two at a time: twelve
    assert len(found.to_do) == 27 and found.fits == 12 and found.whole_seeds() == [0]
    assert "yolo3 at 5.0 minutes a run (by the median of 7 bundles)" in found.text(2, 0.5)
    assert budget_of(wanted, store, 2, 10).whole_seeds() == [0, 1]
    baseline = [job for job in wanted if job.row.key == "baseline"]
    assert budget_of(baseline, store, 1, 10, None, wanted).whole_seeds() == []


@pytest.mark.parametrize("what, row", [("upsampling", "nearest"), ("embedded", "ssd"), ("photographs", "yolo3-bag")])
@pytest.mark.parametrize("flags", [(), ("--", "--epochs", "40")])
def test_a_seed_is_whole_with_every_row_and_not_with_those_that_were_asked_for_alone(what, row, flags, tmp_path):
    words = [what, "--rows", row, "--seeds", "0,1", "--runs", str(tmp_path / "runs"), "--out", str(tmp_path)]
    if what == "photographs":
        words += ["--dataset", str(write_photographs(tmp_path)), "--folds", "2", "--plan"]
    store, work = Store(str(tmp_path)), table.work_of(table.read_arguments([*words, *flags]), words)
    assert budget_of(work.wanted, store, planned=work.planned).whole_seeds() == []
    for job in work.planned:
        if job.seed == 1 and job.row.key != row:
            store.write(bundle_for(job))
    assert budget_of(work.wanted, store, planned=work.planned).whole_seeds() == [1]


def test_a_run_of_another_row_with_other_flags_makes_no_seed_whole_and_keeps_none_from_being_made(tmp_path):
    ssd, *others = embedded.plan((0,), str(tmp_path / "runs"))[2:]
    for job in (*others, *embedded.plan((0,), str(tmp_path / "runs"), ("yolo3", "faster-rcnn"), ("--epochs", "40"))):
        Store(str(tmp_path)).write(bundle_for(job))
    found = budget_of([ssd], Store(str(tmp_path)), planned=embedded.plan((0,), str(tmp_path / "runs")))
    assert found.to_do == [ssd] and found.whole_seeds() == []


def test_a_longer_row_is_given_as_much_more_time_as_it_has_more_epochs(tmp_path):
    store = Store(str(tmp_path))
    jobs = {job.row.key: job for job in factorial.plan((0,), str(tmp_path / "runs"), with_further=True)}
    store.write(bundle_for(jobs["baseline"], seconds=600.0))
    found = budget_of([jobs["mixup"], jobs["baseline-longer"]], store, 1, 0.4)
    assert [found.estimate(job) for job in found.to_do] == pytest.approx([10, 15]) and found.fits == 1
    assert "yolo3 at 12.5 minutes a run (by the median of 1 bundles), 0.4 hours" in found.text(1, 0.4)


def test_hours_without_any_measured_time_ask_for_one(tmp_path):
    wanted = planned(tmp_path)
    with pytest.raises(UserError, match="--minutes"):
        budget_of(wanted, Store(str(tmp_path)), 1, 1)
    assert budget_of(wanted, Store(str(tmp_path)), 1, 1, stated=6).fits == 10
    assert budget_of(wanted, Store(str(tmp_path))).fits == 17


def test_nothing_starts_that_would_end_too_late(tmp_path):
    job = planned(tmp_path)[0]
    for minutes, starts in ((5, True), (7, False)):
        budget = budget_of([job], Store(str(tmp_path)), 1, None, minutes)
        assert until(0.1, budget)(job) is starts and until(None, budget)(job)
    made = []
    harness.run_missing([job], Store(str(tmp_path)), 1, made.append, lambda job: False)
    assert not made and not os.path.exists(job.run.folder)


def test_what_the_seeds_can_tell_is_the_resolution_at_the_bundles_own_spread(tmp_path):
    store = Store(str(tmp_path))
    for number, job in enumerate(planned(tmp_path, seeds=(0, 1))):
        store.write(bundle_for(job, 0.5 + 0.01 * (number // 17)))  # a point apart in every row: a spread of 1 / sqrt 2
    wanted = planned(tmp_path, seeds=(0, 1, 2))
    text = factorial.resolution_text(store, budget_of(wanted, store), "", miniature.YOLO3)
    main, step = effects.resolution(0.5 ** 0.5, 3)
    corrected, _ = effects.resolution(0.5 ** 0.5, 3, tests=4)
    assert f"main effect from nothing at {main:.2f} points ({corrected:.2f} with 4 tests), a step between two rows at " \
           f"{step:.2f}" in text
    assert "0.71 points of AP (of 17 rows)" in text


def test_seeds_that_will_not_be_whole_resolve_nothing(tmp_path):
    every, store = planned(tmp_path, seeds=miniature.SEEDS), Store(str(tmp_path))
    for hours, text in ((0.01, "an interval needs two whole seeds"), (10 * 17 / 60, "an interval needs two whole seeds"),
                        (10 * 34 / 60, "2 seeds at a spread")):
        budget = budget_of(every, store, 1, hours, stated=10)
        assert text in factorial.resolution_text(store, budget, "", miniature.YOLO3)
    baseline = [job for job in every if job.row.key == "baseline"]
    budget = budget_of(baseline, store, planned=every)
    assert "needs two" in factorial.resolution_text(store, budget, "", miniature.YOLO3)


def test_the_half_alone_tells_its_own_resolution(tmp_path):
    every = planned(tmp_path, seeds=miniature.SEEDS)
    half = [job for job in every if job.row.key in factorial.chosen_rows("half", miniature.YOLO3)]
    store = Store(str(tmp_path))
    text = factorial.resolution_text(store, budget_of(half, store, planned=every), "", miniature.YOLO3)
    assert f"3 seeds of the half at a spread of 0.60 points of AP (the pilot's) tell a main effect from nothing at " \
           f"{effects.resolution(0.6, 3, 4)[0]:.2f} points" in text

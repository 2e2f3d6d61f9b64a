"""Figure 1 and the README's lines: both ends of the stack, of the seeds that have both."""
import numpy as np
import pytest

from gluon_bof.paper import bag, ends, factorial, miniature, miniature_numbers, miniature_pages
from gluon_bof.paper.bundles import Store
from tests.paper.made_up import OWN_IMAGES, bundle_for, made_up_bag, made_up_rows


def made_up(store, baselines, bags, fit):
    """Bundles of YOLOv3's both ends. baselines, bags: {seed: AP in 0..1}."""
    made_up_rows(store, {(row, seed): value for row, numbers in zip(miniature_numbers.end_rows("yolo3"), (baselines, bags))
                         for seed, value in numbers.items()}, **{OWN_IMAGES: fit})


def test_a_seed_that_lacks_an_end_is_in_neither_mean(tmp_path):
    store = Store(str(tmp_path))
    made_up(store, {0: 0.10, 1: 0.90, 2: 0.12}, {0: 0.15, 2: 0.13}, fit=0.98)
    of_yolo3, = ends.both_ends(store)
    assert of_yolo3.pair.over == pytest.approx({0: 10, 2: 12}) and of_yolo3.pair.mine == pytest.approx({0: 15, 2: 13})
    assert of_yolo3.pair.gain.mean == pytest.approx(3) and of_yolo3.is_fitted
    picture, = ends.figure_1_pictures(store)
    (row,) = picture.numbers
    assert (row.label, row.before, row.after) == ("YOLOv3, AP@[.5:.95] on vocmini", pytest.approx(11), pytest.approx(14))
    assert row.gain.dots == pytest.approx((5, 1)) and row.gain.counts


def test_a_whole_bag_below_its_fit_is_drawn_hollow(tmp_path):
    store = Store(str(tmp_path))
    made_up(store, {0: 0.10}, {0: 0.15}, fit=0.77)  # a quarter below its mAP@0.5
    of_yolo3, = ends.both_ends(store)
    picture, = ends.figure_1_pictures(store)
    assert not of_yolo3.is_fitted and not picture.numbers[0].gain.counts


def test_a_whole_bag_is_marked_by_its_fit_in_the_seeds_that_it_is_compared_in(tmp_path):
    store = Store(str(tmp_path))
    before, = (job for job in factorial.plan((0,)) if job.row.key == miniature.stacked()[-2])
    store.write(bundle_for(before, 0.12))
    made_up(store, {0: 0.10}, {0: 0.15}, fit=0.98)
    made_up(store, {}, {1: 0.15}, fit=0.5)  # underfitted, and without a baseline
    of_yolo3, = ends.both_ends(store)
    assert of_yolo3.is_fitted
    text = miniature_pages.miniature_summary(store)
    assert text.startswith("The whole bag against the baseline, seed 0: ") and "| + mixup | " in text
    assert "(underfitted" not in text + miniature_pages.miniature_tables(store).split("Table 5")[0].split("Table 4")[1]
    picture, = (picture for picture in miniature_pages.miniature_pictures(store, "yolo3") if "effects" in picture.file)
    assert all(bar.counts for panel in picture.numbers for bars in panel.groups.values() for bar in bars)


def test_families_of_the_bag_follow_the_two_detectors_in_their_own_numbers(tmp_path):
    store = Store(str(tmp_path))
    made_up(store, {0: 0.1}, {0: 0.2}, fit=0.98)
    made_up_bag(store, (0,), bag.chosen_rows("ends"))
    found = ends.both_ends(store)
    assert [of.title for of in found] == ["YOLOv3", *(family.title for family in bag.BAGS)]
    assert [of.number for of in found[1:]] == [family.numbers[0].title for family in bag.BAGS]
    assert all(np.isfinite(of.pair.means).all() for of in found)


def test_without_a_run_there_is_no_picture(tmp_path):
    store = Store(str(tmp_path))
    assert not ends.both_ends(store) and not ends.figure_1_pictures(store) and "No run" in ends.figure_1(store)

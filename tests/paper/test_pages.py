"""Published numbers and pictures are those of the bundles, and pages of made-up bundles tell what these say."""
import json
import os
import re

import numpy as np
import pytest

from gluon_bof.errors import UserError
from gluon_bof.paper import effects, factorial, harness, miniature, miniature_numbers, miniature_pages, pages, words
from gluon_bof.paper.bundles import Store
from gluon_bof.paper.figures.page import new_figure
from gluon_bof.paper.pictures import Bar, Panel, _forest_panel, digest_in, digest_of
from tests.paper.made_up import GAINS, OWN_IMAGES, bundle_for, made_up_factorial
from tests.scripts import ROOT

PICTURES = ["figure-1.png", "figure-6.png", *(f"miniature-{what}.png" for what in ("rows", "effects", "classes"))]
RESULTS = str(ROOT / "results")


@pytest.mark.parametrize("path", pages.published(str(ROOT)), ids=os.path.basename)
def test_a_published_page_says_what_its_bundles_give(path):
    with open(path, encoding="utf-8") as file:
        text = file.read()
    assert pages.MARKED.search(text) and pages.filled(text, Store(RESULTS)) == text, "python tools/write_results.py"


def test_published_pictures_show_what_their_bundles_give():
    pictures = pages.pictures(Store(RESULTS))
    assert pictures
    for picture in pictures:
        assert digest_in(os.path.join(RESULTS, picture.file)) == digest_of(picture.numbers), "python tools/write_results.py"


def test_no_published_bundle_holds_a_path():
    bundles = list(Store(RESULTS).everything())
    assert bundles
    for bundle in bundles:
        text = json.dumps(bundle)
        assert not re.search(r"/(home|root|tmp|work|usr)/", text), bundle["name"]


def test_a_page_and_its_picture_follow_a_single_number(tmp_path):
    store = Store(str(tmp_path))
    made_up_factorial(store)
    page = tmp_path / "page.md"
    page.write_text("before\n<!-- bundles: miniature -->\nold\n<!-- end -->\nafter\n")
    changed = pages.write_pages([str(page)], str(tmp_path))
    assert [os.path.basename(path) for path in changed] == ["page.md", *PICTURES]
    assert not pages.write_pages([str(page)], str(tmp_path))
    text = page.read_text()
    assert text.startswith("before\n<!-- bundles: miniature -->\nThe whole bag against the baseline, seeds 0, 1, 2:")
    assert "\n51 runs, 17 a seed" in text and text.endswith("<!-- end -->\nafter\n")

    job = factorial.plan((1,))[-1]
    bundle = store.read(job.name)
    bundle["evaluations"][factorial.NUMBER]["coco"]["AP"] += 0.001
    store.write(bundle)
    assert pages.filled(text, store) != text
    for picture in pages.pictures(store):
        is_another = digest_in(str(tmp_path / picture.file)) != digest_of(picture.numbers)
        assert is_another == (picture.file != "figure-6.png")  # which shows two other rows


def test_a_page_that_is_refused_leaves_those_before_it_as_they_were(tmp_path):
    store = Store(str(tmp_path))
    store.write(bundle_for(factorial.plan((0,), extra=["--epochs", "7"])[3]))
    paths = [tmp_path / "1.md", tmp_path / "2.md"]
    for path, name in zip(paths, ("shipped", "miniature")):
        path.write_text(f"<!-- bundles: {name} -->\nold\n<!-- end -->\n")
    with pytest.raises(UserError, match="--epochs 7 and not"):
        pages.write_pages(map(str, paths), str(tmp_path))
    assert all("\nold\n" in path.read_text() for path in paths)


def test_a_page_of_bundles_that_would_not_be_run_so_now_is_refused(tmp_path):
    store = Store(str(tmp_path))
    made_up_factorial(store, (0,))
    job = factorial.plan((0,), extra=["--epochs", "7"])[3]
    store.write(bundle_for(job))
    with pytest.raises(UserError, match="--epochs 7 and not"):
        pages.miniature_summary(store)
    with pytest.raises(UserError, match="no section"):
        pages.filled("<!-- bundles: nothing -->\n<!-- end -->", store)


@pytest.mark.parametrize("change, words", [(dict(row="cosine"), "says row cosine and not baseline"),
                                           (dict(seed=1), "says seed 1 and not 0"),
                                           (dict(evaluations={}), "lacks the evaluation test-96")])
def test_a_bundle_that_stands_for_another_row_or_lacks_a_number_is_one_line(tmp_path, change, words):
    store = Store(str(tmp_path))
    plans = [factorial.plan((seed,)) for seed in (0, 1)]
    job = plans[0][1]
    for plan in plans:
        store.write(bundle_for(plan[0]))
    store.write({**bundle_for(job), **change})
    with pytest.raises(UserError, match=f"^{store.path(job.name)}: the bundle (there )?{words}"):
        pages.miniature_summary(store)


def test_rows_that_started_from_other_weights_than_the_backbones_bundle_has_are_on_no_page(tmp_path):
    store = Store(str(tmp_path))
    job = factorial.plan((0,))[1]
    backbone = {**bundle_for(job.backbone()), "weights_sha256": "a", "training": {"accuracy": 0.5}}
    store.write(backbone)
    for start in ("a", "b"):
        store.write({**bundle_for(job), "starts_from": {"name": backbone["name"], "weights_sha256": start}})
        if start == "a":
            assert "The backbone tells 50.0%" in pages.miniature_rows(store)
    for what in (pages.miniature_rows, pages.miniature_summary, lambda store: harness.missing([job], store)):
        with pytest.raises(UserError, match=f"^{store.path(job.name)}: the run started from other weights"):
            what(store)


def test_a_backbone_of_another_configuration_is_told_on_no_page(tmp_path):
    store = Store(str(tmp_path))
    other = factorial.plan((0,), extra_pretraining=("--epochs", "1"))[1].backbone()
    for bundle in (bundle_for(factorial.plan((0,))[1]), {**bundle_for(other), "training": {"accuracy": 0.1}}):
        store.write(bundle)
    with pytest.raises(UserError, match=f"^{store.path(other.name)}: the bundle there has --epochs 1 and not"):
        pages.miniature_rows(store)


def test_a_seed_that_lacks_a_run_is_told_and_not_counted(tmp_path):
    store = Store(str(tmp_path))
    numbers = made_up_factorial(store, left_out=["miniature-baseline-seed-2"])
    text = pages.miniature_summary(store)
    assert "\n50 runs, 17 a seed; main effects are from all 16 combinations, seeds 0, 1." in text
    whole = {place: value for place, value in numbers.items() if place[1] < 2}
    assert words.told(effects.main_effect("mixup", whole, miniature.combinations()), len(GAINS)) in text
    assert "no seed is whole yet" in miniature_pages._whole(effects.told_from([store.read("miniature-mixup-seed-2")],
                                                                              miniature.YOLO3))


def test_main_effects_are_told_from_the_half_while_it_alone_is_whole_in_more_seeds(tmp_path):
    store = Store(str(tmp_path))
    numbers = made_up_factorial(store, left_out=["miniature-mixup-seed-1", "miniature-cosine-seed-2",
                                                 "miniature-no-augmentation-seed-0"])  # which is in no main effect
    text = pages.miniature_summary(store)
    assert "half with an even number of freebies, seeds 0, 1, 2, until the rest is there in as many seeds." in text
    told = next(line for line in text.splitlines() if line.startswith("| mixup | "))
    effect = words.told(effects.main_effect("mixup", numbers, miniature.half()), len(GAINS))
    assert told.startswith(f"| mixup | {effect} | ")
    start = "Each freebie of YOLOv3 with the others on and off, `vocmini`, 3 seeds, half of all combinations: random-shapes "
    assert start in pages.readme_table(store) and f"; mixup {effect} points of AP@[.5:.95].\n" in pages.readme_table(store)
    of_freebies = pages.SECTIONS["freebies"](store)
    assert "YOLOv3, 3 seeds, half of all combinations:" in of_freebies and f"| mixup | +1.5 | {effect} | " in of_freebies
    assert "the second is on, points of AP, seed 0.\n" in pages.miniature_rows(store)  # which alone is whole
    job, = (job for job in factorial.plan((0,)) if job.row.key == "cosine+mixup")
    store.write(bundle_for(job, 0.5, **{OWN_IMAGES: 0.5}))
    assert "points of AP@[.5:.95] (underfitted: 1 of 8 rows).\n" in pages.readme_table(store)
    told = [line for line in pages.miniature_summary(store).splitlines() if line.endswith(" (underfitted: 1 of 8 rows) |")]
    assert [line.split(" | ")[0] for line in told] == [f"| {factor}" for factor in miniature.FACTORS]


def test_the_whole_bag_is_told_before_a_seed_is_whole_from_the_seeds_that_have_both_ends(tmp_path):
    store = Store(str(tmp_path))
    ends = ("baseline", miniature.stacked()[-1])
    left_out = [f"miniature-{cell.key}-seed-{seed}" for cell in miniature.cells() for seed in range(3) if cell.key not in ends]
    numbers = made_up_factorial(store, left_out=[*left_out, "miniature-baseline-seed-1"])
    text = pages.miniature_summary(store)
    gains = {seed: numbers[ends[1], seed] - numbers[ends[0], seed] for seed in (0, 2)}
    assert "5 runs, 17 a seed; no seed is whole yet" in text
    told = words.told(effects.over_seeds(gains))
    ends_of = [np.mean([numbers[row, seed] for seed in gains]) for row in ends]
    assert text.startswith(f"The whole bag against the baseline, seeds 0, 2: {told} points of AP@[.5:.95], "
                           f"{ends_of[0]:.1f} to {ends_of[1]:.1f} ({effects.judged(effects.over_seeds(gains))}); ")
    assert "Both ends of the stack, seeds 0, 2, points:" in text and "Every row has" in text
    assert f"| {told} |" in next(line for line in text.splitlines() if line.startswith("| AP@[.5:.95] |"))
    assert f"| YOLOv3 | – | {told} points of AP@[.5:.95], 2 seeds | – |" in pages.readme_table(store)


def test_a_step_between_two_stacked_rows_is_told_from_the_seeds_that_have_both_before_any_is_whole(tmp_path):
    store = Store(str(tmp_path))
    rows = miniature.stacked()[1:]
    left_out = [f"miniature-{cell.key}-seed-{seed}" for cell in miniature.cells() for seed in range(3) if cell.key not in rows]
    numbers = made_up_factorial(store, left_out=[*left_out, f"miniature-{rows[2]}-seed-1"])
    text = pages.miniature_summary(store)
    lines = {line.split(" | ")[0].strip("| *"): line for line in text.splitlines() if line.startswith("| ")}
    for name, over, key, seeds in (("+ random-shapes", rows[0], rows[1], (0, 1, 2)), ("+ cosine", rows[1], rows[2], (0, 2)),
                                   ("+ label-smoothing", rows[2], rows[3], (0, 2)),
                                   ("whole bag, over the baseline", rows[0], rows[4], (0, 1, 2))):
        told = words.told(effects.over_seeds({seed: numbers[key, seed] - numbers[over, seed] for seed in seeds}))
        assert lines[name].startswith(f"| {name} | {told} | ") or lines[name].startswith(f"| **{name}** | {told} | ")
        assert lines[name].endswith(f"| {', '.join(map(str, seeds))} |")
    assert "no seed is whole yet" in text and "main effect, points" not in text
    assert "baseline, over no augmentation" not in text and "miniature-effects.png" in text
    assert [picture.file for picture in pages.pictures(store)] == PICTURES


def test_seeds_that_have_both_ends_alone_are_told_beside_the_whole_ones_as_the_readme_counts_them(tmp_path):
    store = Store(str(tmp_path))
    ends = ("baseline", miniature.stacked()[-1])
    made_up_factorial(store, left_out=[f"miniature-{cell.key}-seed-{seed}" for cell in miniature.cells() for seed in (1, 2)
                                       if cell.key not in ends])
    text = pages.miniature_summary(store)
    gain = miniature_numbers.whole_bag(miniature_numbers.miniature_bundles(store, "yolo3"), miniature_numbers.AP, "yolo3")
    told = next(line for line in text.splitlines() if line.startswith("| **whole bag, over the baseline** |"))
    assert "all 16 combinations, seed 0; intervals need two" in text and told.endswith("| 0, 1, 2 |")
    assert "Both ends of the stack, seeds 0, 1, 2" in text
    assert f" {words.told(gain)} |" in told and words.told(gain) in pages.readme_table(store)


def test_a_row_a_little_below_its_fit_is_not_told_to_have_it():
    assert words.mark(96.96, 97.0) == " (underfitted: 96.9 of 97 on its training images)"
    assert words.spread_of_fit([96.86, 97.06], 97.0) == "96.9 ± 0.1 (underfitted)"
    assert words.spread_of_fit([95.0, 96.0], 97.0) == "95.5 ± 0.7 (underfitted)"


def test_rows_that_stand_beside_their_difference_are_of_its_seeds_or_tell_their_own(tmp_path):
    store, mixed = Store(str(tmp_path)), factorial.TABLE_1_ROWS[-1]
    numbers = made_up_factorial(store, left_out=[f"miniature-{mixed}-seed-1", f"miniature-{miniature.stacked()[-1]}-seed-2"])
    table_1, table_4 = (pages.miniature_tables(store).split(f"Table {number}, ")[1] for number in (1, 4))
    assert next(line for line in table_1.splitlines() if line.startswith("| baseline |")).endswith(" | 0, 1, 2 |")
    assert next(line for line in table_1.splitlines() if line.startswith("| beta(1.5, 1.5)")).endswith(" | 0, 2 |")
    at_128 = next(line for line in table_4.splitlines() if line.startswith("| at 128 |"))
    assert f"| {words.spread([numbers['baseline', seed] for seed in (0, 1)])} |" in at_128


def test_a_row_that_does_not_fit_its_training_images_is_told(tmp_path):
    store = Store(str(tmp_path))
    made_up_factorial(store)
    assert "Every row has at least 97%" in pages.miniature_summary(store)
    for seed in range(3):
        job = factorial.plan((seed,))[-1]
        store.write(bundle_for(job, 0.42, **{OWN_IMAGES: 0.7}))
    assert "says nothing about the paper's regime" in pages.miniature_summary(store)
    assert "87.5 ± 0.0 (underfitted)" in pages.miniature_rows(store)
    assert "points of AP@[.5:.95], 3 seeds (underfitted: 87.5 of 97 on its training images) |" in pages.readme_table(store)
    assert "the baseline, seeds 0, 1, 2 (underfitted: 87.5 of 97 on its training images): " in pages.miniature_summary(store)
    assert pages.miniature_summary(store).count("(underfitted) | 0, 1, 2 |") == 2  # the whole bag, and the step to it
    effects_of, = (picture for picture in pages.pictures(store) if picture.file == "miniature-effects.png")
    for panel in effects_of.numbers:
        filled = [[bar.counts for bar in bars] for bars in panel.groups.values()]
        assert filled == [[False] * 4, [True] * 3 + [False], [False]]  # a main effect is of the bag, too
    rows, = (picture for picture in pages.pictures(store) if picture.file == "miniature-rows.png")
    for axis in rows.drawing(*rows.shown).axes[1:]:
        squares = [line for line in axis.lines if line.get_marker() == "s"]
        assert [square.get_markerfacecolor() == "none" for square in squares] == [False] * 16 + [True]


def test_ends_that_were_trained_for_longer_are_told_beside_the_others_with_their_own_fit(tmp_path):
    store = Store(str(tmp_path))
    made_up_factorial(store)
    assert "trained half as long again" not in pages.miniature_summary(store)
    before = [pages.miniature_rows(store), pages.readme_table(store), pages.miniature_summary(store)]
    for job in factorial.plan((0, 1), with_further=True):
        if job.row.key in factorial.LONGER_ROWS:
            assert job.training.options.epochs == 960
            value = 0.4 + 0.05 * (job.row.key == factorial.LONGER_ROWS[1]) + 0.01 * job.seed
            store.write(bundle_for(job, value, **{OWN_IMAGES: 0.79}))
    summary = pages.miniature_summary(store)
    longer = re.search(r"\n\nBoth ends, trained half as long again \(960 epochs\).*?(?=\n\nBy what)", summary, re.DOTALL)[0]
    assert ", seeds 0, 1, points:" in longer and "\n\n4 bundles in [runs/](runs/)" in longer
    assert "| AP@[.5:.95] | 40.5 ± 0.7 | 45.5 ± 0.7 | **+5.00 ± 0.00** | gain |" in longer  # 98.75 of its own
    told = re.search(r"\n\nThe same, both for 960 epochs in place of 640, seeds 0, 1: (.*?)\n\n", summary)
    assert told[1].startswith("**+5.00 ± 0.00** points of AP@[.5:.95], 40.5 to 45.5 (gain); **+6.25 ± 0.00** mAP@0.5 (gain); ")
    in_readme = "; both for 960 epochs: **+5.00 ± 0.00** points of AP@[.5:.95], 2 seeds"
    assert in_readme in pages.readme_table(store)
    after = [pages.miniature_rows(store), pages.readme_table(store).replace(in_readme, ""),
             summary.replace(longer, "").replace(told[0], "\n\n")]
    assert after == before
    shown = {picture.file: picture.shown[0] for picture in pages.pictures(store)}
    assert [row.label.partition(", AP")[0] for row in shown["figure-1.png"]] == ["YOLOv3", "YOLOv3, 960 epochs"]
    for panel in shown["miniature-effects.png"]:
        assert [bar.label for bar in panel.groups["over the baseline"]] == ["whole bag", "the same, 960 epochs"]
    job = factorial.plan((1,), with_further=True)[-1]
    store.write(bundle_for(job, 0.46, **{OWN_IMAGES: 0.7}))
    assert "| gain (underfitted) |" in pages.miniature_summary(store)


def test_the_factorial_of_faster_rcnn_is_told_by_its_own_rows(tmp_path):
    store, design = Store(str(tmp_path)), miniature.FASTER_RCNN
    made_up_factorial(store)
    planned = factorial.plan((0, 1), design=design)
    assert len(planned) == 18 and {job.pretraining.options.name for job in planned} == {"miniature-backbone"}
    for job in planned:
        store.write(bundle_for(job, 0.5 + sum(GAINS[factor] for factor in job.row.on or ()), **{OWN_IMAGES: 0.98}))
    text = pages.miniature_summary(store, "faster_rcnn")
    assert "\n18 runs, 9 a seed; main effects are from all 8 combinations, seeds 0, 1." in text and "0.05/3" in text
    assert "random-shapes" not in text
    for factor in design.factors:
        assert f"| {factor} | **{100 * GAINS[factor]:+.2f} ± 0.00** |" in text
    assert [picture.file for picture in pages.pictures(store)] == [
        *PICTURES, *(name.replace("miniature-", "miniature-faster-rcnn-") for name in PICTURES[2:])]
    assert "\n51 runs, 17 a seed" in pages.miniature_summary(store)


@pytest.mark.parametrize("family, whole", [("yolo3", 2.87), ("faster_rcnn", 3.55)])
def test_the_papers_whole_bag_beside_ours_has_the_freebies_of_ours_alone(tmp_path, family, whole):
    store, design = Store(str(tmp_path)), miniature.DESIGNS[family]
    for job in factorial.plan((0,), design=design):
        if job.row.key in miniature.stacked(design):
            store.write(bundle_for(job))
    effects_picture, = (picture for picture in pages.miniature_pictures(store, family) if picture.file.endswith("effects.png"))
    bag, = effects_picture.numbers[-1].groups["over the baseline"]
    assert bag.paper == pytest.approx(whole)


def test_mixup_alone_is_told_beside_the_whole_bag_where_a_patch_slides(tmp_path):
    store = Store(str(tmp_path))
    assert pages.figure_5(store) == words.NO_RUN
    for job in factorial.plan((0,), design=miniature.FASTER_RCNN):  # smoothing loses 20 points, mixup wins 4 in two rows
        wins = job.row.key in ("mixup", "cosine+label-smoothing+mixup")
        store.write(bundle_for(job, 0.4 - 0.2 * ("label-smoothing" in (job.row.on or ())) + 0.04 * wins))
    text = pages.figure_5(store)
    assert "Faster R-CNN" in text and "YOLOv3" not in text
    assert "| objects beside it found | +4.00 | +2.00 | -16.00 |" in text


def test_by_what_the_freebies_work_is_told_by_their_main_effects(tmp_path):
    store = Store(str(tmp_path))
    gain = effects.main_effect("mixup", made_up_factorial(store), miniature.combinations()).mean
    text = pages.miniature_summary(store).partition("By what they work")[2]
    rows = [line.strip("| ").split(" | ") for line in text.splitlines() if " | " in line]
    mixup = {row[0]: float(row[-1].strip("*").split(" ± ")[0]) for row in rows if row[0] in {
        measure.title for measure in miniature_numbers.MECHANISMS}}
    # of the made-up bundles a quarter of AP is the patch's, and what AP gains the calibration error loses
    assert mixup["sliding patch found"] == pytest.approx(gain / 4, abs=0.006)
    assert mixup["calibration error"] == pytest.approx(-gain, abs=0.006) and len(mixup) == 9
    assert mixup["objects found without it"] == pytest.approx(2 * gain, abs=0.006)
    assert mixup["scores beside it, less those without it"] == pytest.approx(-gain / 2, abs=0.006)
    assert mixup["share of those found without it"] == pytest.approx(0, abs=0.006)  # half of them in every made-up bundle


def test_the_change_of_a_class_is_the_mean_over_the_seeds_that_have_both_ends(tmp_path):
    store = Store(str(tmp_path))
    numbers = made_up_factorial(store, left_out=["miniature-baseline-seed-1"])
    ends = [[numbers[row, seed] / 100 for seed in (0, 2)] for row in ("baseline", miniature.stacked()[-1])]
    bundles = miniature_numbers.miniature_bundles(store, "yolo3")
    found = {name: change for name, *change in miniature_numbers.class_changes(bundles, "yolo3")}
    assert found.keys() == {"one", "two"}  # the third has no AP
    for name, power in (("one", 1), ("two", 2)):
        before, after = (np.mean(np.power(values, power)) for values in ends)
        assert found[name] == pytest.approx([before, after, after - before])
    text = pages.miniature_summary(store)
    assert "higher in 2 of 2 classes, in 2 by more than its 95% interval (0 lower by more)" in text


def test_a_class_is_higher_by_more_than_its_interval_only_where_all_its_seeds_say_so(tmp_path):
    store = Store(str(tmp_path))
    for job in factorial.plan((0, 1, 2)):
        bundle = bundle_for(job)
        is_bag = job.row.key == miniature.stacked()[-1]
        bundle["evaluations"][factorial.NUMBER]["per_class"] = {
            "up": 0.5 + (0.1 + 0.01 * job.seed) * is_bag, "down": 0.5 - 0.1 * is_bag, "once": 0.5 + 0.1 * is_bag * job.seed}
        store.write(bundle)
    assert "higher in 2 of 3 classes, in 1 by more than its 95% interval (1 lower by more).*" in pages.miniature_summary(store)


def test_a_forest_plot_has_one_colour_and_its_headings_beside_it_and_hides_no_dot_nor_line():
    axis = new_figure(3).subplots()
    _forest_panel(axis, Panel("gains", {f"set {number}": [Bar(f"bar {number}", 1, 1, (1,))] for number in range(9)}))
    labels = [(label.get_text(), label.get_fontweight()) for label in axis.get_yticklabels()]
    assert labels == [each for number in range(9) for each in ((f"set {number}", "bold"), (f"bar {number}", "normal"))]
    assert not axis.texts
    marks = [line.get_marker() for line in axis.lines if line.get_marker() in ("s", "o")]
    assert marks == ["s", "o"] * 9
    assert len({line.get_color() for line in axis.lines if line.get_marker() == "s"}) == 1


def test_table_6_is_of_the_backbones_and_detectors_with_and_without_mixup(tmp_path):
    store, design = Store(str(tmp_path)), miniature.FASTER_RCNN
    values = dict(zip(factorial.TABLE_6_ROWS, (0.5, 0.51, 0.505, 0.53)))
    for job in factorial.plan((0, 1), with_further=True, design=design):
        store.write(bundle_for(job, values.get(job.row.key, 0.4)))
    rows = [line.strip("| ").split(" | ") for line in pages.miniature_tables(store).splitlines() if line.startswith("| ")]
    assert [row[2].strip("*") for row in rows[-3:]] == ["+1.00 ± 0.00", "+0.50 ± 0.00", "+3.00 ± 0.00"]
    assert [row[3] for row in rows[-3:]] == ["+0.20", "+0.20", "+1.20"]  # the paper's

"""The embedded jobs: what each family's run reads and is measured by, and what pages tell of it."""
import json

import pytest

from gluon_bof.commands import table
from gluon_bof.data.shapes import FILES, VERSION, ensure_shapes
from gluon_bof.options.families import by_name
from gluon_bof.options.recipes import RECIPES
from gluon_bof.paper import embedded, pages
from gluon_bof.paper.bundles import Store
from tests.paper.made_up import bundle_for
from tests.tiny_sets import draw_few_shapes

LEAST = {"mask-rcnn": "--epochs 1 --no-mixup-epochs 0 --lr-warmup 1", "unet": "--epochs 1 --no-mixup-epochs 0 --warmup-epochs 0"}


def numbers_of(seed):
    """What an evaluation of any family may hold, a hundredth more for each seed."""
    return {"map": 0.11 + seed / 100, "miou": 0.33 + seed / 100, "pixel_accuracy": 0.44, "box_map": 0.22,
            "masks": {"AP": 0.55, "AP50": 0.66 + seed / 100, "AP75": 0.77}, "per_class": {"circle": 0.9}}


def made_up(store, seeds=(0,), rows=()):
    """Bundles that hold these numbers."""
    for job in embedded.plan(seeds, rows=rows):
        bundle = bundle_for(job)
        bundle["evaluations"]["own"].update(numbers_of(job.seed))
        store.write(bundle)


def test_every_family_that_finds_something_in_images_has_its_job():
    found = {recipe.family for recipe in RECIPES.values() if recipe.name == "embedded"}
    assert {row.family for row in embedded.ROWS} == found - {"classifier"}


def test_what_runs_read_is_told_by_the_version_of_what_they_read():
    versions = {job.row.key: job.data["version"] for job in embedded.plan((0,))}
    assert versions == {"yolo3": VERSION, "faster-rcnn": VERSION, "ssd": VERSION, "mask-rcnn": FILES, "unet": FILES}


def test_a_metric_is_asked_of_detectors_alone():
    for job in embedded.plan((0,)):
        evaluation, = job.evaluations
        assert ("--metric" in evaluation.words) != by_name(job.row.family).segments


def test_a_row_is_measured_by_its_own_number_on_readme_and_page(tmp_path):
    store = Store(str(tmp_path))
    made_up(store, (0, 1))
    readme, page = pages.readme_table(store), pages.SECTIONS["embedded"](store)
    for title, number, mean, line in (
            ("SSD", "mAP@0.5", "0.115", "0.1100 | 0.900 |"), ("U-Net", "mean IoU", "0.335", "0.3300 | 0.4400 | 0.900 |"),
            ("Mask R-CNN", "mask AP@0.5", "0.665", "0.6600 | 0.5500 | 0.7700 | 0.2200 | 0.900 |")):
        of_row, = (told for told in readme.splitlines() if told.startswith(f"| {title} | "))
        assert of_row.startswith(f"| {title} | {number} {mean} (0.") and of_row.endswith(" | – | – |")
        part = page.split(f"{title}:\n\n")[1]
        assert part.startswith(f"| seed | {number} |") and f"\n| 0 | {line}\n" in part


def test_a_row_without_a_bundle_is_on_no_page_and_a_rows_own_section_tells_no_other(tmp_path):
    store = Store(str(tmp_path))
    made_up(store, rows=("ssd", "unet"))
    assert "Mask R-CNN" not in pages.readme_table(store) + pages.SECTIONS["embedded"](store)
    assert pages.SECTIONS["embedded-mask-rcnn"](store) == "No run has a bundle yet."
    text = pages.SECTIONS["embedded-unet"](store)
    assert text.startswith("U-Net:") and "SSD" not in text and "\n1 bundle in [runs/](runs/)" in text


@pytest.mark.slow
@pytest.mark.parametrize("key", LEAST)
def test_the_bundle_of_a_run_has_what_its_row_is_measured_by(key, tmp_path, monkeypatch, capsys):
    draw_few_shapes(monkeypatch, tmp_path / "cache")
    ensure_shapes()  # the run, a process of its own, finds these few images
    words = ["embedded", "--rows", key, "--seeds", "0", "--runs", str(tmp_path / "runs"), "--out", str(tmp_path), "--"]
    assert table.main([*words, *LEAST[key].split()]) == 0
    assert json.loads(capsys.readouterr().out.splitlines()[-1]) == {"experiment": "embedded", "left": 0}
    bundle, (row,) = Store(str(tmp_path)).read(f"embedded-{key}-seed-0"), (row for row in embedded.ROWS if row.key == key)
    evaluation = bundle["evaluations"]["own"]
    assert all(0 <= number.fraction_of(evaluation) <= 1 for number in row.numbers) and evaluation["images"] == 8
    assert {"circle", "cross", "ring", "triangle"} <= evaluation["per_class"].keys()

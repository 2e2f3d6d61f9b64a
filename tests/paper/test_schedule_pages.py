"""Figure 6 of bundles: rates as the rows follow them, curves of the seeds that have both."""
import math

import pytest

from gluon_bof.errors import UserError
from gluon_bof.paper import miniature, schedule_pages
from gluon_bof.paper.bundles import CONTENT, Store
from gluon_bof.paper.pictures import digest_in, digest_of
from tests.paper.made_up import made_up_rows

STEP, COSINE = miniature.SCHEDULES.values()


def test_a_seed_that_lacks_one_schedule_is_in_neither_curve(tmp_path):
    store = Store(str(tmp_path))
    made_up_rows(store, {(STEP, 0): 0.10, (STEP, 1): 0.90, (STEP, 2): 0.20, (COSINE, 0): 0.30, (COSINE, 2): 0.40})
    found = schedule_pages.by_schedule(store)
    assert {name: [bundle["seed"] for bundle in bundles] for name, bundles in found.items()} == {"step": [0, 2], "cosine": [0, 2]}
    epochs, curves = schedule_pages.validation_curves(found["step"])
    assert epochs == list(range(64, 641, 64)) and curves[0][-1] == pytest.approx(10) and curves[1][4] == pytest.approx(10)
    assert "ends at 15.0 with step and 35.0 with cosine" in schedule_pages.figure_6(store)
    picture, = schedule_pages.figure_6_pictures(store)
    picture.draw(str(tmp_path / picture.file))
    assert digest_in(str(tmp_path / picture.file)) == digest_of(picture.numbers)


def test_without_a_seed_of_both_schedules_nothing_is_drawn(tmp_path):
    store = Store(str(tmp_path))
    made_up_rows(store, {(STEP, 0): 0.1, (COSINE, 1): 0.1})
    assert schedule_pages.figure_6(store).startswith("No seed") and not schedule_pages.figure_6_pictures(store)


def test_a_bundle_without_its_validations_is_named(tmp_path):
    store = Store(str(tmp_path))
    made_up_rows(store, {(STEP, 0): 0.1, (COSINE, 0): 0.1})
    bundle = store.read(f"miniature-{STEP}-seed-0")
    store.write({name: value for name, value in bundle.items() if name not in ("validations", CONTENT)})
    with pytest.raises(UserError, match="validations"):
        schedule_pages.figure_6(store)


def test_the_rates_are_the_closed_forms_with_each_schedules_peak():
    step, cosine = (schedule_pages.rates(name, 15) for name in ("step", "cosine"))
    assert len(step) == len(cosine) == 9600 and step[:30] == pytest.approx([0.002 * place / 29 for place in range(30)])
    for place, wanted in ((100, 0.002), (512 * 15 - 1, 0.002), (512 * 15, 0.0002), (576 * 15, 0.00002)):
        assert step[place] == pytest.approx(wanted)
    for place in (30, 4000, 9599):
        assert cosine[place] == pytest.approx(0.0015 * (1 + math.cos(math.pi * (place - 30) / (9600 - 31))), abs=1e-6)

"""Effects are what a regression gives; their intervals hold what they say, and they and verdicts are SciPy's."""
import json
import math

import numpy as np
import pytest
from scipy import stats

from gluon_bof.paper import effects, factorial, miniature, miniature_numbers, words
from gluon_bof.paper.bundles import Store
from gluon_bof.paper.effects import Measure
from tests.paper.made_up import GAINS, made_up_factorial


def made_up(rng, gains, seeds=(0, 1, 2), noise=0.5):
    return {(cell.key, seed): 60 + 3 * seed + sum(gains[name] for name in cell.on or ()) + rng.normal(0, noise)
            for cell in miniature.cells() for seed in seeds}


def test_main_effects_are_those_of_least_squares():
    rng = np.random.default_rng(0)
    gains = dict(zip(miniature.FACTORS, (-2.0, 0.5, 0.0, 1.5)))
    numbers = made_up(rng, gains)
    cells = [cell for cell in miniature.cells() if cell.on is not None]
    for place, factor in enumerate(miniature.FACTORS):
        found = effects.main_effect(factor, numbers, miniature.combinations())
        for seed in (0, 1, 2):
            design = np.array([[1] + [name in cell.on for name in miniature.FACTORS] for cell in cells], float)
            fitted = np.linalg.lstsq(design, np.array([numbers[cell.key, seed] for cell in cells]), rcond=None)[0]
            assert found.by_seed[seed] == pytest.approx(fitted[1 + place])
        values = np.array(list(found.by_seed.values()))
        assert found.mean == pytest.approx(values.mean())
        assert found.half_width == pytest.approx(4.302653 * values.std(ddof=1) / math.sqrt(3), rel=1e-5)


def test_the_half_tells_main_effects_in_spite_of_interactions_of_two_and_that_of_three_factors_is_not_used():
    half = miniature.half()
    signs = np.array([[1 if name in cell.on else -1 for name in miniature.FACTORS] for cell in half])
    assert len({cell.key for cell in half}) == 8 and (signs.sum(axis=0) == 0).all()
    pairs = np.array([signs[:, a] * signs[:, b] for a in range(4) for b in range(a)])
    assert (pairs @ signs == 0).all() and (signs.T @ signs == 8 * np.eye(4)).all()
    numbers = {(cell.key, 0): 60 + 2 * ("mixup" in cell.on) + 5 * ({"cosine", "label-smoothing"} <= set(cell.on))
               for cell in half}
    assert effects.main_effect("mixup", numbers, half).mean == pytest.approx(2)
    assert effects.main_effect("random-shapes", numbers, half).mean == pytest.approx(0)
    assert miniature.half(miniature.FASTER_RCNN) == ()


def test_intervals_hold_the_true_effect_as_often_as_they_say():
    rng = np.random.default_rng(1)
    gains = dict.fromkeys(miniature.FACTORS, 0.7)
    held = []
    for _ in range(200):
        found = effects.main_effect("mixup", made_up(rng, gains), miniature.combinations())
        held.append(abs(found.mean - 0.7) <= found.half_width)
    assert 0.9 < np.mean(held) < 0.99


def test_a_missing_run_is_not_passed_over():
    numbers = made_up(np.random.default_rng(0), dict.fromkeys(miniature.FACTORS, 0))
    del numbers["cosine", 1]
    with pytest.raises(KeyError):
        effects.main_effect("mixup", numbers, miniature.combinations())


def test_resolution_is_the_half_width_that_such_a_spread_gives_on_average():
    rng = np.random.default_rng(2)
    gains, rows = dict.fromkeys(miniature.FACTORS, 0), miniature.combinations()
    widths = [effects.main_effect("cosine", made_up(rng, gains, noise=0.6), rows).half_width ** 2 for _ in range(200)]
    main, step = effects.resolution(0.6, 3)
    assert math.sqrt(np.mean(widths)) == pytest.approx(main, rel=0.1)
    assert step == pytest.approx(main * math.sqrt(8))


@pytest.mark.parametrize("seeds, told", [(3, 1.535), (5, 0.579)])
def test_resolution_with_several_tests_is_from_where_on_the_protocol_speaks_of_an_effect(seeds, told):
    corrected, _ = effects.resolution(0.6, seeds, tests=4)
    assert corrected == pytest.approx(told, abs=0.001)
    for mean, verdict in ((0.99 * corrected, "gain, not with 4 tests"), (1.01 * corrected, "gain")):
        effect = effects.Effect(mean, effects.resolution(0.6, seeds)[0], dict.fromkeys(range(seeds)))
        assert effects.judged(effect, 4) == verdict


# intervals and verdicts, by another program than ours

def interval(values):
    """SciPy's 95% interval of a mean: (mean, half of it)."""
    low, high = stats.ttest_1samp(values, 0).confidence_interval(0.95)
    return (low + high) / 2, (high - low) / 2


def test_intervals_read_from_the_bundles_files_are_those_of_scipy(tmp_path):
    made_up_factorial(Store(str(tmp_path)))
    points = {}
    for path in (tmp_path / "runs").glob("*.json"):
        bundle = json.loads(path.read_text())
        points[bundle["row"], bundle["seed"]] = 100 * bundle["evaluations"][factorial.NUMBER]["coco"]["AP"]
    store = Store(str(tmp_path))
    bundles = miniature_numbers.miniature_bundles(store, "yolo3")
    basis = effects.told_from(bundles, miniature.YOLO3)
    found = effects.main_effects(bundles, miniature_numbers.AP, basis, miniature.YOLO3)
    rows = [row.split("+") if row != "baseline" else [] for row, seed in points if seed == 0 and row != "no-augmentation"]
    names = {frozenset(row): "+".join(row) or "baseline" for row in rows}
    for factor in GAINS:
        pairs = [(names[frozenset(row)], names[frozenset(row) | {factor}]) for row in rows if factor not in row]
        assert len(pairs) == 8
        by_seed = [np.mean([points[with_it, seed] - points[without, seed] for without, with_it in pairs]) for seed in range(3)]
        assert (found[factor].mean, found[factor].half_width) == pytest.approx(interval(by_seed))
    everything = "random-shapes+cosine+label-smoothing+mixup"
    gains = {**miniature_numbers.step_effects(bundles, miniature_numbers.AP, "yolo3"),
             "bag": miniature_numbers.whole_bag(bundles, miniature_numbers.AP, "yolo3")}
    for name, key, over in (("bag", everything, "baseline"), ("random-shapes+cosine", "random-shapes+cosine", "random-shapes"),
                            ("baseline", "baseline", "no-augmentation")):
        assert (gains[name].mean, gains[name].half_width) == pytest.approx(
            interval([points[key, seed] - points[over, seed] for seed in range(3)]))


def test_an_effect_of_known_numbers():
    effect = effects.over_seeds({0: 1.0, 1: 2.0, 2: 3.0})
    assert effect.mean == 2 and effect.half_width == pytest.approx(4.302653 / 3 ** 0.5)
    assert words.told(effect) == "+2.00 ± 2.48" and effects.judged(effect) == "not resolved"
    alone = effects.over_seeds({0: 1.0})
    assert words.told(alone) == "+1.00" and effects.judged(alone) == "not resolved"


def test_interactions_are_those_of_least_squares(tmp_path):
    numbers = made_up_factorial(Store(str(tmp_path)), noise=0.01)
    found = effects.interactions(numbers, miniature.YOLO3)
    cells = [cell for cell in miniature.cells() if cell.on is not None]
    design = np.array([[1] + [1 if name in cell.on else -1 for name in GAINS] for cell in cells], float)
    pairs = list(found)
    columns = [design[:, 1 + list(GAINS).index(a)] * design[:, 1 + list(GAINS).index(b)] for a, b in pairs]
    full = np.column_stack([design, *columns])
    for seed in range(3):
        fitted = np.linalg.lstsq(full, np.array([numbers[cell.key, seed] for cell in cells]), rcond=None)[0]
        for place, pair in enumerate(pairs):
            assert found[pair].by_seed[seed] == pytest.approx(4 * fitted[5 + place])


def test_a_verdict_is_that_of_the_t_test_at_its_level():
    rng = np.random.default_rng(3)
    seen = set()
    for _ in range(300):
        values = rng.normal(rng.choice((-3, 0, 1, 3)), 1, 3)
        effect = effects.over_seeds(dict(enumerate(values)))
        p = stats.ttest_1samp(values, 0).pvalue
        verdict = effects.judged(effect, 4)
        word = "gain" if values.mean() > 0 else "loss"
        assert verdict == ("not resolved" if p >= 0.05 else word if p < 0.0125 else f"{word}, not with 4 tests")
        seen.add(verdict)
    assert len(seen) == 5


def test_folds_are_paired_and_their_interval_is_over_folds():
    rng = np.random.default_rng(4)
    differences = {(fold, seed): float(value) for (fold, seed), value in
                   zip([(fold, seed) for fold in range(5) for seed in range(2)], rng.normal(1, 2, 10))}
    found = effects.over_folds(differences)
    by_fold = [(differences[fold, 0] + differences[fold, 1]) / 2 for fold in range(5)]
    mean, half = interval(by_fold)
    assert (found.mean, found.not_widened) == pytest.approx((mean, half))
    assert found.by_fold == pytest.approx(dict(enumerate(by_fold)))
    assert found.half_width == pytest.approx(stats.t.ppf(0.975, 4) * np.std(by_fold, ddof=1) * (1 / 5 + 1 / 4) ** 0.5)
    del differences[3, 1]
    with pytest.raises(ValueError):
        effects.over_folds(differences)


def test_a_measure_is_the_mean_over_its_evaluations_in_points():
    bundle = {"evaluations": {"a": {"coco": {"AP": 0.25}}, "b": {"coco": {"AP": None}}, "c": {"coco": {"AP": 0.5}}}}
    assert Measure("", ("a", "b", "c")).of(bundle) == 25
    with pytest.raises(KeyError):
        Measure("", ("d",)).of(bundle)


def test_a_share_is_of_each_evaluations_own_whole_and_of_nothing_there_is_none():
    bundle = {"evaluations": {name: {"coco": {}, "slide": {"found": found, "all": whole}}
                              for name, found, whole in (("a", 0.1, 0.4), ("b", 0.3, 0.4), ("c", 0.0, 0.0))}}
    assert Measure("", ("a", "b"), "slide.found", "slide.all").of(bundle) == pytest.approx(50)
    assert np.isnan(Measure("", ("c",), "slide.found", "slide.all").of(bundle))

"""Main effects are what a regression gives, and their intervals hold what they say."""
import math

import numpy as np
import pytest

from gluon_bof.paper import effects, miniature


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

"""Power laws against the package powerlaw, against closed forms and against the search that looks at every tail."""
import contextlib
import io

import numpy as np
import pytest

from gluon_bof.errors import UserError
from gluon_bof.studies.capacity.fit import fit_power_law

ANY_ALPHA = {"alpha": [1, None]}  # powerlaw's own range ends at 3


def pareto(alpha, count, seed):
    return 0.7 * (1 - np.random.default_rng(seed).random(count)) ** (-1 / (alpha - 1))


def every_tail(values, corrected=False, least=2, cut=False, penalty=0.0):
    """(alpha, xmin, D) by looking at every tail whole."""
    values, best = np.sort(values), None
    for start in range(len(values) - 1):
        tail = values[start:]
        if len(tail) < least:
            continue
        alpha = 1 + (len(tail) - corrected) / np.log(tail / tail[0]).sum()
        law = 1 - (tail / tail[0]) ** (1 - alpha)
        distance = np.abs((law / law[-1] if cut else law) - np.arange(len(tail)) / len(tail)).max()
        if best is None or distance - penalty / len(tail) ** 0.5 < best[0]:
            best = distance - penalty / len(tail) ** 0.5, alpha, tail[0], distance
    return best[1:]


@pytest.mark.filterwarnings("ignore:Standard error:DeprecationWarning")
@pytest.mark.parametrize("values", [pareto(2.5, 200, 0), pareto(1.7, 80, 1), pareto(4.2, 60, 2),
                                    np.abs(np.random.default_rng(3).normal(size=70)),
                                    np.linalg.eigvalsh(np.cov(np.random.default_rng(4).normal(size=(60, 100))))])
def test_fit_is_that_of_the_package_powerlaw(values):
    powerlaw = pytest.importorskip("powerlaw")
    wanted = powerlaw.Fit(values, parameter_ranges=ANY_ALPHA, verbose=0)
    found = fit_power_law(values)
    assert found.alpha == pytest.approx(wanted.alpha, rel=1e-9)
    assert (found.xmin, found.n_tail) == (wanted.xmin, wanted.n_tail)
    assert found.D == pytest.approx(wanted.D, abs=1e-9)
    assert found.sigma == pytest.approx((wanted.alpha - 1) / wanted.n_tail ** 0.5, rel=1e-9)


def test_blackouts_have_the_published_exponent():
    pytest.importorskip("powerlaw")
    from powerlaw.data import load_test_dataset
    found = fit_power_law(load_test_dataset("blackouts"))
    assert round(found.alpha, 5) == 2.27264
    assert (found.xmin, found.n_tail) == (230000, 59)


@pytest.mark.parametrize("method, how", [("mle", {}), ("mle-xmax", {"cut": True}), ("small", {"corrected": True, "least": 8}),
                                         ("small-penalised", {"corrected": True, "least": 8, "penalty": 0.868})])
def test_bounds_and_prefix_sums_leave_out_no_tail(method, how):
    rng = np.random.default_rng(5)
    for count in (9, 15, 40, 400):
        noise = np.linalg.eigvalsh(np.cov(rng.normal(size=(count, count + 9))))
        for values in (pareto(2.2, count, count), rng.random(count), noise):
            alpha, xmin, distance = every_tail(values, **how)
            found = fit_power_law(values, method)
            assert found.xmin == xmin
            assert found.alpha == pytest.approx(alpha, rel=1e-11)
            assert found.D == pytest.approx(distance, abs=1e-11)


def test_small_spectra_are_fitted_as_by_weightwatcher():
    """It computes D - 0.868/sqrt(n) for every tail of at least 8, and then takes the tail of least D all the same."""
    with contextlib.redirect_stderr(io.StringIO()):
        reference = pytest.importorskip("weightwatcher.WW_powerlaw")
    differs = 0
    for seed in range(60):
        values = pareto(2.0, 8 + seed % 12, seed)
        with contextlib.redirect_stdout(io.StringIO()):
            wanted = reference.WWFit(values)
        found = fit_power_law(values, "small")
        assert (found.alpha, found.xmin) == (pytest.approx(wanted.alpha, rel=1e-10), pytest.approx(wanted.xmin, rel=1e-12))
        assert found.D == pytest.approx(wanted.D, abs=1e-9)
        differs += fit_power_law(values, "small-penalised").xmin != found.xmin
    assert differs > 10  # the two criteria are not the same thing


def test_quantiles_of_a_power_law_give_the_closed_form():
    count, alpha = 500, 2.7
    values = (1 - np.arange(count) / count) ** (-1 / (alpha - 1))
    log_factorial = np.log(np.arange(1, count + 1)).sum()
    wanted = 1 + (alpha - 1) * count / (count * np.log(count) - log_factorial)  # all values are the tail
    assert wanted == pytest.approx(2.713800927813593, rel=1e-14)
    assert fit_power_law(values).alpha == pytest.approx(wanted, rel=1e-12)


def test_scale_does_not_matter():
    values = pareto(2.4, 120, 8)
    one, other = fit_power_law(values), fit_power_law(values * 1e7)
    assert other.alpha == pytest.approx(one.alpha, rel=1e-12)
    assert other.xmin == pytest.approx(one.xmin * 1e7, rel=1e-15)


@pytest.mark.parametrize("values", [[], [3.0], [0.0, -1.0], [2.0, 2.0, 2.0], [0.0, 5.0]])
def test_what_has_no_spread_has_no_fit(values):
    for method in ("mle", "mle-xmax", "small", "small-penalised", "median"):
        found = fit_power_law(values, method)
        assert not found.found and np.isnan(found.alpha) and found.n_tail == 0


def test_median_is_hill_of_the_upper_half():
    values = pareto(2.6, 101, 9)
    upper = np.sort(values)[50:]
    found = fit_power_law(values, "median")
    assert found.alpha == pytest.approx(1 + 1 / np.log(upper / upper[0]).mean(), rel=1e-12)
    assert (found.xmin, found.n_tail) == (upper[0], 51)


def test_values_that_are_not_finite_are_refused():
    with pytest.raises(UserError, match="not finite"):
        fit_power_law([1.0, np.nan])
    with pytest.raises(UserError, match="unknown estimator"):
        fit_power_law([1.0], "best")

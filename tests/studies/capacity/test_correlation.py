"""The published pairs, Simpson's paradox, and permutation probabilities against counting."""
import numpy as np
import pytest
from scipy import stats

from gluon_bof.errors import UserError
from gluon_bof.studies.capacity.correlation import Model, correlate, permutation_p

VGG = [("VGG", 68.97, 1.84), ("VGG", 69.66, 1.65), ("VGG", 71.64, 1.41), ("VGG", 72.08, 1.16), ("VGG_BN", 70.45, 1.60),
       ("VGG_BN", 71.51, 1.36), ("VGG_BN", 73.52, 1.08), ("VGG_BN", 74.27, 0.81)]


def by_group(models, metric="alpha_hat"):
    return {row.group: row for row in correlate(models, (metric,))}


def test_published_vgg_networks_correlate_as_published():
    found = by_group([(kind, top1, {"alpha_hat": hat}) for kind, top1, hat in VGG])
    assert round(found["all"].pearson, 3) == -0.982
    assert (found["all"].models, found["VGG"].models) == (8, 4)
    assert round(found["VGG"].pearson, 3) == -0.969
    assert round(found["VGG_BN"].pearson, 3) == -0.987
    assert found["all"].kendall == pytest.approx(stats.kendalltau([row[1] for row in VGG], [row[2] for row in VGG])[0])
    assert found["VGG"].p == pytest.approx(2 / 24)  # of 24 orders only this one and its reverse are as strong
    assert found["all"].p < 0.001


def test_a_sign_that_differs_within_and_over_architectures_is_seen():
    models = [(kind, accuracy + 10 * step, {"scale": 5 * step - accuracy})
              for step, kind in enumerate(("small", "middle", "large")) for accuracy in (0.0, 1.0, 2.0, 3.0)]
    found = by_group(models, "scale")
    assert found["all"].pearson > 0.7
    assert found["small"].pearson == found["large"].pearson == pytest.approx(-1)
    assert found["within architectures"].pearson == pytest.approx(-1)


def test_permutation_p_is_that_of_scipy():
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(2, 7))
    wanted = stats.permutation_test((x,), lambda order: abs(np.corrcoef(order, y)[0, 1]), permutation_type="pairings",
                                    n_resamples=np.inf, alternative="greater").pvalue
    assert permutation_p(x, y) == pytest.approx(wanted, abs=1e-12)
    x, y = rng.normal(size=(2, 20))
    assert permutation_p(x, y) == pytest.approx(stats.pearsonr(x, y).pvalue, abs=0.03)


def test_orders_are_drawn_within_architectures_there_alone():
    models = [(kind, value + 10 * step, {"scale": value + 10 * step}) for step, kind in enumerate(("small", "large"))
              for value in (0.0, 1.0, 2.0)]
    found = by_group(models, "scale")
    assert found["all"].p == pytest.approx(2 / 720)  # this order and its reverse
    assert found["within architectures"].p == pytest.approx(2 / 36, abs=0.01)


def test_what_does_not_vary_has_no_correlation():
    for models in ([("a", 1.0, {"alpha_hat": 2.0})] * 4, [("a", 1.0, {"alpha_hat": 2.0}), ("a", 2.0, {"alpha_hat": 3.0})]):
        row = by_group(models)["a"]
        assert np.isnan([row.pearson, row.kendall, row.p]).all()


def test_models_without_a_number_are_left_out_of_its_correlation():
    models = [("a", float(place), {"alpha_hat": value}) for place, value in enumerate((1.0, 2.0, float("nan"), 3.5))]
    assert by_group(models)["a"].models == 3


def test_a_missing_metric_is_named():
    with pytest.raises(UserError, match="the model first has no alpha_hat"):
        correlate([Model("first", "a", 1.0, {})], ("alpha_hat",))

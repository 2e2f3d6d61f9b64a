"""Label smoothing against the paper's Eq. 3, written out by hand."""
import numpy as np
import pytest

from gluon_bof.freebies.label_smoothing import equation_3, gluoncv_variant, smooth_labels


def test_smoothing_has_the_stated_values():
    assert gluoncv_variant(20) == pytest.approx((0.975, 0.025))
    assert gluoncv_variant(80) == pytest.approx((0.9875, 0.0125))
    assert equation_3(0.1, 20) == pytest.approx((0.905, 0.005))
    assert equation_3(0, 7) == (1, 0)
    with pytest.raises(ValueError):
        equation_3(1, 20)


def test_every_label_is_smoothed_around_its_own_class():
    np.testing.assert_allclose(smooth_labels(np.array([2, 0]), 4, 0.1), 0.9 * np.eye(4)[[2, 0]] + 0.025, rtol=1e-6)

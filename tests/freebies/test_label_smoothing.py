"""Label smoothing against the paper's Eq. 3, written out by hand."""
import pytest

from gluon_bof.freebies.label_smoothing import equation_3, gluoncv_variant


def test_smoothing_has_the_stated_values():
    assert gluoncv_variant(20) == pytest.approx((0.975, 0.025))
    assert gluoncv_variant(80) == pytest.approx((0.9875, 0.0125))
    assert equation_3(0.1, 20) == pytest.approx((0.905, 0.005))
    assert equation_3(0, 7) == (1, 0)
    with pytest.raises(ValueError):
        equation_3(1, 20)

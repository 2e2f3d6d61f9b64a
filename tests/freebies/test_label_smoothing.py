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


@pytest.mark.parametrize("labels", ([2, 0], np.array([2, 0]), np.array([2, 0], np.uint8), np.array([2, 0], np.float32)))
def test_every_label_is_smoothed_around_its_own_class(labels):
    np.testing.assert_allclose(smooth_labels(labels, 4, 0.1), 0.9 * np.eye(4)[[2, 0]] + 0.025, rtol=1e-6)


def test_of_no_labels_there_are_no_targets():
    assert smooth_labels([], 4).shape == (0, 4)


@pytest.mark.parametrize("labels, told", (
    ([1, 2, 3], "the label 3 is none of 3 classes, which count from 0"), ([-1], "the label -1"), ([0.7], "the label 0.7"),
    ([float("nan")], "the label nan"), (np.eye(3), r"labels \(3, 3\) of float64 are no class numbers"), (2, r"labels \(\) of"),
    ([True, False], "of bool"), (["cat"], "are no class numbers")))
def test_a_label_that_is_no_class_has_no_row_without_a_positive(labels, told):
    with pytest.raises(ValueError, match=told):
        smooth_labels(labels, 3)

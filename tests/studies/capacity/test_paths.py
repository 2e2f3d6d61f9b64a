"""Path norms against all paths, one by one."""
import itertools

import numpy as np
import pytest

from gluon_bof.errors import UserError
from gluon_bof.studies.capacity.paths import log_path_norm

RNG = np.random.default_rng(0)


@pytest.mark.parametrize("power", [1, 2])
def test_path_norm_is_the_sum_over_all_paths(power):
    first, second, third = RNG.normal(size=(4, 3)), RNG.normal(size=(2, 4)), RNG.normal(size=(3, 2))
    total = sum(abs(first[b, a] * second[c, b] * third[d, c]) ** power
                for a, b, c, d in itertools.product(range(3), range(4), range(2), range(3)))
    assert log_path_norm([first, second, third], power) == pytest.approx(np.log10(total) / power, rel=1e-12)


def test_every_place_of_a_kernel_is_a_path():
    kernel, dense = RNG.normal(size=(4, 3, 3, 3)), RNG.normal(size=(2, 8))  # two values a channel
    total = (kernel ** 2).sum(axis=(1, 2, 3)) @ (dense ** 2).reshape(2, 4, 2).sum(axis=(0, 2))
    assert log_path_norm([kernel, dense]) == pytest.approx(np.log10(total) / 2, rel=1e-12)


def test_l1_path_norm_is_below_its_layers_bounds():
    layers = [RNG.normal(size=(30, 30)) for _ in range(6)]
    bound = sum(np.log10(np.abs(layer).sum(axis=1).max()) for layer in layers)
    assert log_path_norm(layers, 1) <= bound + np.log10(30)  # of 30 outputs
    assert log_path_norm([1e200 * layer for layer in layers], 1) == pytest.approx(1200 + log_path_norm(layers, 1))


def test_what_is_no_chain_is_refused_and_a_cut_one_has_none():
    with pytest.raises(UserError, match="layer 1 takes 5"):
        log_path_norm([np.ones((4, 3)), np.ones((2, 5))])
    assert log_path_norm([np.ones((4, 3)), np.zeros((2, 4))]) == -np.inf

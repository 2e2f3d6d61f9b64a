"""The step that shrinks a layer of the regularised network."""
import numpy as np
import pytest

from gluon_bof.backend import gluon, mx
from gluon_bof.studies.capacity.group_pair import _shrink


def test_a_layers_norm_shrinks_by_a_length_times_the_root_of_its_size_and_what_is_too_short_ends():
    weight = np.random.default_rng(0).normal(size=(4, 3, 2, 2)).astype(np.float32)
    parameter = gluon.Parameter("weight", shape=weight.shape)
    parameter.initialize()
    parameter.set_data(mx.nd.array(weight))
    norm = np.linalg.norm(weight)
    kept = 1 - 0.1 * np.sqrt(48) / norm
    assert _shrink(parameter, 0.1, least=0.2 * norm) == pytest.approx(kept, rel=1e-5)
    np.testing.assert_allclose(parameter.data().asnumpy(), kept * weight, rtol=1e-5)
    for _ in range(2):  # and what is 0 stays so
        assert _shrink(parameter, 0.1, least=norm) == 0 and not parameter.data().asnumpy().any()

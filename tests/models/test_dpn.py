"""Dual path networks: sizes that the literature tells, and which channels are added and which appended."""
import numpy as np

from gluon_bof.backend import mx
from gluon_bof.models.dpn import DPN92, DualPathBlock, Stage, dpn92, dpn_mini
from gluon_bof.models.preprocess import Normalise


def learned(network):
    return sum(int(np.prod(parameter.shape)) for parameter in network.collect_params().values() if parameter.grad_req != "null")


def test_dpn92_has_the_parameters_of_cifars():
    network = dpn92(10)
    network.infer_shape(mx.nd.zeros((1, 3, 32, 32)))
    assert learned(network) == 34_236_634
    assert network.output.weight.shape == (10, 2048 + 4 * 128)
    assert 3 * sum(stage.blocks for stage in DPN92) + 2 == 92  # layers: three a block, the stem and the output


def test_a_block_adds_the_residual_channels_and_appends_the_dense_ones():
    block = DualPathBlock(Stage(2, 4, 6, 3, 1), 2, False)
    block.initialize(mx.init.Normal(0.5))
    x = mx.nd.random.normal(shape=(2, 10, 5, 5))
    made, y = block.body(x).asnumpy(), block(x).asnumpy()
    assert y.shape == (2, 13, 5, 5)
    x = x.asnumpy()
    assert np.allclose(y[:, :6], np.maximum(x[:, :6] + made[:, :6], 0), atol=1e-6)
    assert np.allclose(y[:, 6:10], np.maximum(x[:, 6:], 0)) and np.allclose(y[:, 10:], np.maximum(made[:, 6:], 0), atol=1e-6)


def test_the_small_one_takes_images_of_16_and_32():
    network = dpn_mini(4)
    network.initialize(mx.init.MSRAPrelu())
    assert network(Normalise()(mx.nd.zeros((2, 16, 16, 3), dtype=np.uint8))).shape == (2, 4)
    assert network(mx.nd.zeros((2, 3, 32, 32))).shape == (2, 4)
    assert learned(network) == 227_076

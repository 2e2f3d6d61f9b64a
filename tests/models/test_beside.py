"""Channels beside each other: concat's values and gradients to the bit, and no memory lost where oneDNN's concat loses it."""
import gc
import subprocess
import sys

import numpy as np
import pytest

from gluon_bof.backend import autograd, gluon, mx
from gluon_bof.models.beside import beside


class Joined(gluon.HybridBlock):
    """Two maps, joined by one of the two ways, times weights."""

    def __init__(self, how):
        super().__init__()
        self.how = how

    def hybrid_forward(self, F, a, b, weights):
        joined = beside(F, a, b) if self.how == "beside" else F.concat(a, b, dim=1)
        return F.sum(joined * weights)


def gradients(how, arrays, hybridize=True):
    a, b, weights = arrays
    for array in (a, b):
        array.attach_grad()
    network = Joined(how)
    if hybridize:
        network.hybridize(static_alloc=True)
    with autograd.record():
        loss = network(a, b, weights)
    loss.backward()
    return [loss.asnumpy(), a.grad.asnumpy(), b.grad.asnumpy()]


@pytest.mark.parametrize("hybridize", (False, True))
def test_values_and_gradients_are_those_of_concat_to_the_bit(hybridize):
    mx.random.seed(1)
    arrays = [mx.nd.random.uniform(shape=(2, channels, 5, 7)) for channels in (3, 4, 7)]
    for ours, theirs in zip(*(gradients(how, arrays, hybridize) for how in ("beside", "concat"))):
        np.testing.assert_array_equal(ours, theirs)


def lost(how, steps=1500):
    """Bytes a step that this process grows by."""
    arrays = [mx.nd.random.uniform(shape=(1, channels, 4, 4)) for channels in (32, 32, 64)]
    for array in arrays[:2]:
        array.attach_grad()
    network = Joined(how)
    network.hybridize(static_alloc=True)

    def step():
        with autograd.record():
            loss = network(*arrays)
        loss.backward()
        arrays[0].grad.asnumpy()

    def resident():
        mx.nd.waitall()
        gc.collect()
        with open("/proc/self/statm", encoding="ascii") as file:
            return int(file.read().split()[1]) * 4096

    for _ in range(300):
        step()
    before = resident()
    for _ in range(steps):
        step()
    return (resident() - before) / steps


@pytest.mark.slow  # only another MXNet could lose it again
@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")
def test_no_memory_is_lost_in_a_step():
    program = f"import sys; sys.path.insert(0, {sys.path[0]!r}); from tests.models.test_beside import lost; print(lost('beside'))"
    said = subprocess.run([sys.executable, "-W", "ignore", "-c", program], capture_output=True, text=True, check=True).stdout
    assert float(said) < 300  # concat: 2,000 and more

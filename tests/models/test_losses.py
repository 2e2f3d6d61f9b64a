"""Elementwise losses where their formulas bend."""
from gluon_bof.backend import autograd, mx
from gluon_bof.models.losses import huber


def test_a_rho_of_0_is_the_absolute_value_with_a_finite_gradient_at_0():
    difference = mx.nd.array([[0.0, 2.0, -3.0]])
    difference.attach_grad()
    with autograd.record():
        loss = huber(mx.nd, difference, 0)
    loss.backward()
    assert loss.asnumpy().tolist() == [[0, 2, 3]] and difference.grad.asnumpy().tolist() == [[0, 1, -1]]

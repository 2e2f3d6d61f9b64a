"""The loss of label maps against GluonCV's MixSoftmaxCrossEntropyLoss, its gradients, and Eq. 3 written out."""
import numpy as np
import pytest

from gluon_bof.backend import autograd, gluon, mx
from gluon_bof.freebies.label_smoothing import equation_3
from gluon_bof.masks import NOBODY
from gluon_bof.models.segmentation.loss import SegmentationLoss, TrainingGraph

from gluoncv.loss import MixSoftmaxCrossEntropyLoss

CLASSES = 4
SHAPE = (3, 7, 5)


class Given(gluon.HybridBlock):
    """A network whose logits do not depend on what it sees: parameters. aux: a second head."""

    def __init__(self, logits, aux=False, **kwargs):
        super().__init__(**kwargs)
        self.logits = self.params.get("logits", shape=logits.shape, init=mx.init.Constant(mx.nd.array(logits)))
        self._aux = aux

    def hybrid_forward(self, F, images, logits):
        return (logits, 0.5 * logits) if self._aux else logits


def arrays(seed=0, ignored=0.2, maps=1):
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, CLASSES, (SHAPE[0], maps, *SHAPE[1:])).astype(np.uint8)
    labels[rng.random(labels.shape) < ignored] = NOBODY
    logits = rng.normal(size=(SHAPE[0], CLASSES, *SHAPE[1:])).astype(np.float32)
    weights = np.ones((SHAPE[0], 1), np.float32)
    if maps == 2:
        ratios = rng.random(SHAPE[0]).astype(np.float32)
        weights = np.stack([ratios, 1 - ratios], axis=1)
    return logits, labels, weights


def trained(logits, labels, weights, aux_weight=0.0, epsilon=0.0, hybrid=True):
    """(losses, count, gradient of the batch's mean by the logits)."""
    network = Given(logits, aux_weight > 0)
    graph = TrainingGraph(network, SegmentationLoss(labels.shape[1], equation_3(epsilon, CLASSES)), aux_weight)
    graph.initialize()
    if hybrid:
        graph.hybridize()
    images = mx.nd.zeros((SHAPE[0], *SHAPE[1:], 3), dtype=np.uint8)
    with autograd.record():
        *losses, count = graph(images, mx.nd.array(labels, dtype=np.uint8), mx.nd.array(weights))
        total = mx.nd.add_n(*losses).sum() / SHAPE[0]
    total.backward()
    return [loss.asnumpy() for loss in losses], float(count.asscalar()), network.logits.grad().asnumpy()


@pytest.mark.parametrize("ignored", (0.0, 0.3))
def test_value_and_gradient_are_gluoncvs(ignored):
    logits, labels, weights = arrays(1, ignored)
    (found,), count, gradient = trained(logits, labels, weights)
    theirs, pred = MixSoftmaxCrossEntropyLoss(aux=False), mx.nd.array(logits)
    pred.attach_grad()
    with autograd.record():
        wanted = theirs(pred, mx.nd.array(np.where(labels[:, 0] == NOBODY, -1, labels[:, 0].astype(int))))
    wanted.backward()
    assert count == (labels != NOBODY).sum()
    # theirs shows a mean over ignored pixels too
    share = count / labels.size
    np.testing.assert_allclose(found * share, wanted.asnumpy(), atol=1e-5)
    np.testing.assert_allclose(gradient, pred.grad.asnumpy(), atol=1e-6)


def test_a_mixed_loss_is_gluoncvs_mixup():
    logits, labels, weights = arrays(2, 0.0, maps=2)
    (found,), count, _ = trained(logits, labels, weights)
    assert count == pytest.approx(labels[:, 0].size, rel=1e-6)
    for image in range(SHAPE[0]):  # theirs takes one ratio for a batch
        loss = MixSoftmaxCrossEntropyLoss(aux=False, mixup=True)
        loss._axis, loss._from_logits = 1, False
        one, other = (mx.nd.array(labels[image:image + 1, number]) for number in (0, 1))
        wanted = loss(mx.nd.array(logits[image:image + 1]), one, other, float(weights[image, 0]))
        assert found[image] == pytest.approx(float(wanted.asscalar()), abs=1e-5)


def test_pixels_that_one_map_ignores_still_count_by_the_other():
    logits, labels, weights = arrays(3, 0.4, maps=2)
    (found,), count, _ = trained(logits, labels, weights)
    logarithms = logits - np.log(np.exp(logits).sum(axis=1, keepdims=True))
    total, counted = np.zeros(SHAPE[0]), 0.0
    for number in (0, 1):
        known = labels[:, number] != NOBODY
        own = np.take_along_axis(logarithms, np.where(known, labels[:, number], 0)[:, None].astype(int), 1)[:, 0]
        total -= weights[:, number] * (own * known).sum(axis=(1, 2))
        counted += (known.sum(axis=(1, 2)) * weights[:, number]).sum()
    assert count == pytest.approx(counted, rel=1e-5)
    np.testing.assert_allclose(found, total / (counted / SHAPE[0]), rtol=1e-5)


def test_smoothing_is_equation_3_at_every_pixel():
    logits, labels, weights = arrays(4, 0.3)
    (found,), count, _ = trained(logits, labels, weights, epsilon=0.1)
    logarithms = logits - np.log(np.exp(logits).sum(axis=1, keepdims=True))
    target = 0.9 * (np.arange(CLASSES)[:, None, None] == labels) + 0.1 / CLASSES
    wanted = -(target * logarithms * (labels != NOBODY)).sum(axis=(1, 2, 3)) / (count / SHAPE[0])
    np.testing.assert_allclose(found, wanted, rtol=1e-5)


def test_a_second_head_has_its_own_weighted_loss():
    logits, labels, weights = arrays(5)
    (found, second), *_ = trained(logits, labels, weights, aux_weight=0.5)
    (alone,), *_ = trained(0.5 * logits, labels, weights)
    np.testing.assert_allclose(second, 0.5 * alone, rtol=1e-5)
    (plain,), *_ = trained(logits, labels, weights)
    np.testing.assert_allclose(found, plain, rtol=1e-6)


def test_a_batch_in_which_all_is_ignored_has_no_loss_and_no_gradient():
    logits, labels, weights = arrays(6, ignored=1.1)
    (found,), count, gradient = trained(logits, labels, weights)
    assert count == 0 and not found.any() and not gradient.any()

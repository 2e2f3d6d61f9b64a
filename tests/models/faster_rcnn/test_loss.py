"""Losses and gradients against GluonCV's ForwardBackwardTask, closed forms and finite differences."""
import numpy as np
import pytest

from gluon_bof.backend import autograd, mx
from gluon_bof.freebies.label_smoothing import Smoothing, equation_3
from gluon_bof.models.faster_rcnn.anchors import anchor_grid
from gluon_bof.models.faster_rcnn.loss import FasterRCNNLoss, NormalisePadded, TrainingGraph
from gluon_bof.models.preprocess import Normalise
from tests.marks import slow_but
from tests.models.faster_rcnn import oracle

RHOS = dict(rpn_rho=1 / 9, head_rho=1.0)


def compare(kind, sizes, mix_ratio):
    batch, canvas = len(sizes), tuple(np.max(sizes, axis=0))
    options, ours, theirs = oracle.pair(kind, batch)
    x, truth = oracle.draw_batch(np.random.default_rng(5), sizes, canvas, [3, 5][:batch])
    targets = oracle.official_anchor_targets(theirs, x.shape, sizes, truth, seed=11)
    expected, their_gradients = oracle.official_step(theirs, x, truth, targets, 21, mix_ratio, **RHOS)

    truth[..., 5] = np.where(truth[..., 4] >= 0, mix_ratio, -1)
    rows = oracle.our_anchor_rows(anchor_grid(options), truth, sizes, canvas, seed=11, weights=[mix_ratio] * batch)
    losses, gradients = oracle.our_step(ours, x, truth, rows, oracle.official_keys(theirs, batch, 21),
                                        [mix_ratio] * batch, Smoothing(), **RHOS)
    np.testing.assert_allclose(losses.mean(axis=1), expected, rtol=1e-4, atol=1e-5)
    assert gradients.keys() == their_gradients.keys()
    for name, gradient in gradients.items():
        scale = np.abs(their_gradients[name]).max()
        np.testing.assert_allclose(gradient, their_gradients[name], rtol=0, atol=1e-4 * scale + 1e-7, err_msg=name)
    assert (expected > 0).all()


@pytest.mark.parametrize("kind", oracle.KINDS)
@pytest.mark.parametrize("sizes", [pytest.param([(96, 128)], marks=pytest.mark.slow), [(96, 128), (90, 121)]],
                         ids=["one", "padded"])
def test_losses_and_gradients_are_gluoncvs(kind, sizes):
    compare(kind, sizes, 1.0)


@pytest.mark.parametrize("kind", slow_but(["single level", "pyramid"], "pyramid"))
def test_even_mixup_with_one_ratio_is_gluoncvs(kind):
    compare(kind, [(96, 128), (90, 121)], 0.5)


def small_case(rng, classes=3):
    """(arguments of FasterRCNNLoss but for the sampled anchors, sampled anchors) of two images, with unused rows."""
    logits, boxes = rng.normal(size=(2, 20)), rng.normal(size=(2, 20, 4))
    label = np.array([[0, 2, -1, 1, 3], [0, 0, -1, -1, 2]])
    weight = np.array([[1, 0.3, 0, 0.7, 0.3], [1, 1, 0, 0, 0.7]])
    box_weight = np.array([[0.3, 0.7, 0.3], [0.7, 0, 0]])
    rows = np.full((2, 6, 7), -1.0)
    rows[0, :5] = np.column_stack([[3, 4, 9, 17, 19], [1, 0, 1, 0, 0], [0.3, 1, 0.7, 1, 1], rng.normal(size=(5, 4))])
    rows[1, :3] = np.column_stack([[0, 5, 6], [0, 1, 0], [1, 0.7, 1], rng.normal(size=(3, 4))])
    arguments = (logits, boxes, rng.normal(size=(2, 5, classes + 1)), label, weight, rng.normal(size=(2, 3, 4)),
                 rng.normal(size=(2, 3, 4)), box_weight)
    return arguments, rows


def by_hand(arguments, rows, positive, negative, rpn_rho, head_rho):
    """The four losses (4, B), term by term."""
    def huber(values, rho):
        return sum(abs(v) - rho / 2 if abs(v) > rho else v * v / (2 * rho) for v in values)

    logits, boxes, classes, label, weight, predicted, target, box_weight = arguments
    losses = np.zeros((4, 2))
    for b in range(2):
        for number, is_object, anchor_weight, *box in rows[b]:
            if number < 0:
                continue
            logit = logits[b, int(number)]
            losses[0, b] += anchor_weight * -np.log(1 / (1 + np.exp(-logit if is_object else logit)))
            losses[1, b] += anchor_weight * is_object * huber(boxes[b, int(number)] - box, rpn_rho)
        for s in range(5):
            if label[b, s] >= 0:
                log_p = classes[b, s] - np.log(np.exp(classes[b, s]).sum())
                soft = np.full(4, negative)
                soft[label[b, s]] = positive
                losses[2, b] -= weight[b, s] * (soft * log_p).sum()
        for q in range(3):
            losses[3, b] += box_weight[b, q] * huber(predicted[b, q] - target[b, q], head_rho)
    return losses * 2 / np.array([[8], [8], [7], [7]])  # images over sampled anchors (5 + 3) and regions (4 + 3)


@pytest.mark.parametrize("smoothing", (Smoothing(), equation_3(0.1, 4)), ids=("hard", "smoothed"))
@pytest.mark.parametrize("hybrid", (False, True))
def test_mixed_losses_are_the_sums_of_their_parts(smoothing, hybrid):
    arguments, rows = small_case(np.random.default_rng(0))
    loss = FasterRCNNLoss(3, smoothing, 0.5, 0.3)
    if hybrid:
        loss.hybridize()
    found = loss(*[mx.nd.array(argument) for argument in arguments], mx.nd.array(rows))
    expected = by_hand(arguments, rows, smoothing.positive, smoothing.negative, 0.5, 0.3)
    np.testing.assert_allclose(np.stack([part.asnumpy() for part in found]), expected, rtol=2e-5)


def test_the_counts_are_of_what_was_sampled_background_too():
    arguments, rows = small_case(np.random.default_rng(0))
    graph = TrainingGraph(None, FasterRCNNLoss(3))
    *_, anchors, regions = graph.losses_and_counts(mx.nd, list(map(mx.nd.array, arguments)), mx.nd.array(rows))
    assert (anchors.asscalar(), regions.asscalar()) == (8, 7)


def test_smoothed_gradients_are_the_finite_differences():
    arguments, rows = small_case(np.random.default_rng(1))
    smoothing = equation_3(0.2, 4)
    arrays = [mx.nd.array(argument) for argument in arguments]
    arrays[2].attach_grad()
    loss = FasterRCNNLoss(3, smoothing, 1 / 9, 1.0)
    with autograd.record():
        total = mx.nd.add_n(*loss(*arrays, mx.nd.array(rows)))
    total.backward()
    gradient = arrays[2].grad.asnumpy()
    step = 1e-5
    for place in np.ndindex(*gradient.shape):
        sides = []
        for sign in (1, -1):
            moved = [np.array(argument, np.float64) for argument in arguments]
            moved[3] = arguments[3]
            moved[2][place] += sign * step
            sides.append(by_hand(moved, rows, smoothing.positive, smoothing.negative, 1 / 9, 1.0).sum())
        np.testing.assert_allclose(gradient[place], (sides[0] - sides[1]) / (2 * step), rtol=1e-3, atol=1e-5)


def test_padding_is_0_for_the_network():
    images = mx.nd.array(np.random.default_rng(0).integers(0, 255, (2, 8, 9, 3)), dtype="uint8")
    seen = NormalisePadded()(images, mx.nd.array([[8, 9, 1], [5, 4, 1]])).asnumpy()
    whole = Normalise()(images).asnumpy()
    np.testing.assert_array_equal(seen[0], whole[0])
    np.testing.assert_array_equal(seen[1, :, :5, :4], whole[1, :, :5, :4])
    assert (seen[1, :, 5:] == 0).all() and (seen[1, :, :, 4:] == 0).all()

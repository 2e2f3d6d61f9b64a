"""Networks, targets and losses against GluonCV's own classes, closed forms and finite differences."""
import numpy as np
import pytest

from gluon_bof.backend import autograd, gluon, mx
from gluon_bof.freebies.label_smoothing import equation_3
from gluon_bof.models.build import build_network
from gluon_bof.models.ssd.loss import MultiBoxLoss, TrainingGraph
from gluon_bof.models.ssd.network import Anchors, build_ssd
from gluon_bof.models.ssd.structures import mini_features, structure_of
from gluon_bof.models.ssd.targets import MultiBoxTargets
from gluon_bof.options.ssd import SHAPES, SsdOptions
from gluon_bof.weights.load import structured_parameters

from gluoncv.loss import SSDMultiBoxLoss
from gluoncv.model_zoo.ssd.anchor import SSDAnchorGenerator
from gluoncv.model_zoo.ssd.ssd import SSD as GluonCVSSD
from gluoncv.model_zoo.ssd.target import SSDTargetGenerator

SIDE, CLASSES = 128, 3


def anchors_of(side=SIDE):
    """(1, N, 4) of darknet-mini for a square of this side."""
    structure = structure_of("darknet-mini", side)
    found = []
    for level, step in enumerate(structure.steps):
        sizes, cells = structure.sizes[level:level + 2], -(-side // step)
        generator = Anchors(level, (side, side), sizes, structure.ratios[level], step, (cells, cells))
        found.append(generator.anchors.value.reshape((1, -1, 4)))
    return mx.nd.concat(*found, dim=1)


def draw_truth(rng, images=3, boxes=6, side=SIDE):
    """(B, M, 6) with padding, small and large boxes, clashing ones, and one that an anchor fits exactly."""
    truth = np.full((images, boxes, 6), -1, np.float32)
    for image in range(images):
        for row in range(boxes - image):
            corner, size = rng.uniform(0, side * 0.7, 2), rng.uniform(4, side * 0.6, 2)
            truth[image, row] = [*corner, *np.minimum(corner + size, side), rng.integers(CLASSES), 1]
    truth[0, 1, :4] = truth[0, 0, :4] + [1, 0, 2, 1]  # nearly the same
    truth[0, 2, :4] = truth[0, 0, :4]  # the same
    return truth


def gluoncvs_targets(anchors, truth):
    """Class and box targets (B, N), (B, N, 4) as GluonCV's workers make them, an image at a time."""
    generator = SSDTargetGenerator(negative_mining_ratio=-1)
    found = []
    for rows in truth:
        rows = mx.nd.array(rows[rows[:, 4] >= 0][None])
        found.append(generator(anchors, None, rows[:, :, :4], rows[:, :, 4:5])[:2])
    return [mx.nd.concat(*part, dim=0) for part in zip(*found)]


@pytest.mark.parametrize("seed", range(6))
def test_targets_are_gluoncvs_with_clashing_boxes_and_padding(seed):
    truth, anchors = draw_truth(np.random.default_rng(seed)), anchors_of()
    label, weight, box = MultiBoxTargets()(mx.nd.array(truth), anchors)
    class_target, box_target = gluoncvs_targets(anchors, truth)
    np.testing.assert_array_equal(label.asnumpy(), class_target.asnumpy())
    matched = label.asnumpy() > 0
    assert matched.any(axis=1).all() and (weight.asnumpy() == matched).all()
    np.testing.assert_allclose(box.asnumpy()[matched], box_target.asnumpy()[matched], rtol=0, atol=1e-4)


def draw_predictions(rng, anchors, images=3):
    return (rng.normal(0, 2, (images, anchors.shape[1], CLASSES + 1)).astype(np.float32),
            rng.normal(0, 1, (images, anchors.shape[1], 4)).astype(np.float32))


def step(loss, predictions, *others):
    """(outputs, gradients of the predictions of all losses together)."""
    predictions = [mx.nd.array(array) for array in predictions]
    for array in predictions:
        array.attach_grad()
    with autograd.record():
        outputs = loss(*predictions, *others)
        total = mx.nd.add_n(*[mx.nd.sum(output) for output in outputs[:2]])
    total.backward()
    return [output.asnumpy() for output in outputs], [array.grad.asnumpy() for array in predictions]


@pytest.mark.parametrize("hybrid", (False, True))
def test_losses_and_gradients_are_gluoncvs(hybrid):
    rng, anchors = np.random.default_rng(7), anchors_of()
    truth, predictions = draw_truth(rng), draw_predictions(rng, anchors)
    loss = MultiBoxLoss(CLASSES)
    if hybrid:
        loss.hybridize()
    (classes, boxes, matched), gradients = step(loss, predictions, anchors, mx.nd.array(truth))

    targets = gluoncvs_targets(anchors, truth)
    official = SSDMultiBoxLoss()
    theirs, their_gradients = step(lambda *given: [part[0] for part in official(*given, *targets)][1:], predictions)
    # the trainer divides by the images, GluonCV's by 1
    np.testing.assert_allclose(classes / len(truth), theirs[0], rtol=1e-4)
    np.testing.assert_allclose(boxes / len(truth), theirs[1], rtol=1e-4)
    assert matched == (targets[0].asnumpy() > 0).sum()
    for found, wanted in zip(gradients, their_gradients):
        np.testing.assert_allclose(found / len(truth), wanted, rtol=1e-4, atol=1e-7)
        assert np.abs(wanted).max() > 0

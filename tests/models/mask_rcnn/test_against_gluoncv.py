"""Mask targets, losses, gradients, and what the network finds, against GluonCV's own on the same weights and images."""
import numpy as np
import pytest

from gluon_bof.backend import autograd, gluon, mx
from gluon_bof.models.faster_rcnn.anchors import anchor_grid
from gluon_bof.models.mask_rcnn.loss import MaskLoss
from gluon_bof.models.mask_rcnn.network import build_mask_rcnn
from gluon_bof.models.mask_rcnn.targets import MaskTargets, unpacked
from gluon_bof.options.mask_rcnn import MaskRcnnOptions
from gluon_bof.weights.load import structured_parameters
from tests.marks import slow_but
from tests.models.faster_rcnn import oracle
from tests.models.faster_rcnn.test_against_zoo import few_proposals, pair_of
from tests.models.mask_rcnn.oracle import drawn_masks, official_step, our_step, pair, planes_of

from gluoncv.model_zoo import get_model
from gluoncv.model_zoo.rcnn.mask_rcnn.rcnn_target import MaskTargetGenerator


@pytest.mark.parametrize("hybrid", (False, True))
def test_planes_are_unpacked_bit_for_bit(hybrid):
    class Unpacked(gluon.HybridBlock):
        def hybrid_forward(self, F, planes):
            return unpacked(F, planes)

    block = Unpacked()
    if hybrid:
        block.hybridize()
    dense = np.random.default_rng(0).integers(0, 2, (2, 16, 5, 7)).astype(np.uint8)
    np.testing.assert_array_equal(block(planes_of(dense)).asnumpy(), dense)


@pytest.mark.parametrize("hybrid", (False, True))
@pytest.mark.parametrize("size", ((14, 14), (28, 28), (6, 10)))
def test_mask_targets_are_gluoncvs(size, hybrid):
    rng = np.random.default_rng(4)
    canvas, classes = (60, 90), 3
    _, truth = oracle.draw_batch(rng, [canvas, (50, 80)], canvas, [5, 3])
    dense = drawn_masks(rng, truth, canvas)
    dense[0, 1] = 0  # one of which nothing is known
    regions = truth[:, [0, 1, 2, 0, 1, 2, 1], :4] + rng.normal(0, 4, (2, 7, 4)).astype(np.float32)
    matches = np.tile(np.array([0, 1, 2, 0, 1, 2, 1], np.float32), (2, 1))
    labels = np.take_along_axis(truth[..., 4], matches.astype(int), axis=1) + 1
    labels[0, 5] = 0  # background, as far as GluonCV goes
    targets, selected = MaskTargetGenerator(2, 7, classes, size)(
        mx.nd.array(regions), mx.nd.array(dense), mx.nd.array(matches), mx.nd.array(labels))
    block = MaskTargets(size)
    if hybrid:
        block.hybridize()
    ours, there = block(mx.nd.array(regions), mx.nd.array(matches), planes_of(dense))
    for class_id in range(classes):  # GluonCV repeats a target for every class
        np.testing.assert_allclose(ours.asnumpy(), targets[:, :, class_id].asnumpy(), rtol=0, atol=1e-6)
    assert selected.sum().asscalar() == 13 * np.prod(size)
    np.testing.assert_array_equal(there.asnumpy() == 0, np.array([matches[0] == 1, np.zeros(7, bool)]))
    assert 0.2 < ours.mean().asscalar() < 0.9


@pytest.mark.parametrize("kind, sizes", [pytest.param("single level", [(96, 128)], marks=pytest.mark.slow),
                                         ("pyramid", [(96, 128), (90, 121)]),
                                         pytest.param("learning pyramid", [(90, 121), (96, 128)], marks=pytest.mark.slow)])
def test_losses_and_gradients_are_gluoncvs(kind, sizes):
    batch, canvas = len(sizes), tuple(np.max(sizes, axis=0))
    options, ours, theirs = pair(kind, batch)
    rng = np.random.default_rng(5)
    x, truth = oracle.draw_batch(rng, sizes, canvas, [3, 5][:batch])
    dense = drawn_masks(rng, truth, canvas)
    targets = oracle.official_anchor_targets(theirs, x.shape, sizes, truth, seed=11)
    expected, their_gradients = official_step(theirs, x, truth, dense, targets, 21)
    expected[2:] /= batch  # of these three GluonCV tells the sum over the images, of the first two the mean

    rows = oracle.our_anchor_rows(anchor_grid(options), truth, sizes, canvas, seed=11)
    losses, gradients = our_step(ours, x, truth, dense, rows, oracle.official_keys(theirs, batch, 21))
    np.testing.assert_allclose(losses.mean(axis=1), expected, rtol=1e-4, atol=1e-5)
    assert gradients.keys() == their_gradients.keys()
    for name, gradient in gradients.items():
        scale = np.abs(their_gradients[name]).max()
        # a bias before a normalisation has none but the rounding's, of about 1e-7
        np.testing.assert_allclose(gradient, their_gradients[name], rtol=0, atol=1e-4 * scale + 1e-6, err_msg=name)
    assert (expected > 0).all() and any(name.startswith("mask.") for name in gradients)


def test_a_mask_weighs_in_the_loss_as_its_box_does():
    rng = np.random.default_rng(6)
    logits, target = rng.normal(size=(2, 3, 4, 4)), rng.random((2, 3, 4, 4))
    weight = np.array([(0.3, 0.7, 0.0), (1.0, 0.7, 0.0)])
    found, count = MaskLoss()(*map(mx.nd.array, (logits, target, weight)))
    entropy = -(target * np.log(1 / (1 + np.exp(-logits))) + (1 - target) * np.log(1 - 1 / (1 + np.exp(-logits)))).mean((2, 3))
    np.testing.assert_allclose(found.asnumpy(), (entropy * weight).sum(1) * 2 / 4, rtol=1e-5)
    assert count.asscalar() == 4
    nothing, count = MaskLoss()(*map(mx.nd.array, (logits, target, 0 * weight)))
    assert (nothing.asnumpy() == 0).all() and count.asscalar() == 0


def test_the_mix_weight_of_boxes_is_the_masks_but_for_masks_that_are_unknown():
    _, ours, theirs = pair("pyramid", 2)
    rng = np.random.default_rng(7)
    sizes, canvas = [(96, 128)] * 2, (96, 128)
    x, truth = oracle.draw_batch(rng, sizes, canvas, [4, 4])
    dense, keys = drawn_masks(rng, truth, canvas), oracle.official_keys(theirs, 2, 21)
    dense[0] = 0
    weights = []
    for ratio in (1.0, 0.25):
        truth[..., 5] = np.where(truth[..., 4] >= 0, ratio, -1)
        with autograd.train_mode():
            *_, box_weight, _, _, mask_weight = ours(*map(mx.nd.array, (x, truth)), keys, mx.nd.ones((2, 1)), planes_of(dense))
        assert (box_weight.asnumpy() > 0).any(axis=1).all()
        np.testing.assert_array_equal(mask_weight.asnumpy(), box_weight.asnumpy() * [[0], [1]])
        weights.append(mask_weight.asnumpy())
    np.testing.assert_array_equal(weights[1], 0.25 * weights[0])
    assert (weights[0] > 0).sum() > 2


def learning(network):
    """Structured names of what learns, constants left out."""
    chosen = {id(parameter) for parameter in network.collect_train_params().values() if not isinstance(parameter, gluon.Constant)}
    return {name for name, parameter in structured_parameters(network).items() if id(parameter) in chosen}


@pytest.mark.parametrize("kind", slow_but(("single level", "pyramid"), "pyramid"))
def test_with_the_same_weights_it_finds_the_same_boxes_and_masks(kind):
    _, ours, theirs = pair(kind, 1)
    assert learning(ours) == learning(theirs)
    assert_finds_the_same(ours, theirs, (96, 128), 50)


def few_masks(network):
    network._rcnn_max_dets = network._most_masks = 80  # GluonCV's name, and ours
    return few_proposals(network)


@pytest.mark.slow  # the one above compares smaller networks
def test_with_the_zoos_weights_our_network_finds_what_the_zoos_finds():
    name, size = "mask_rcnn_fpn_resnet18_v1b_coco", (96, 128)
    options = MaskRcnnOptions(dataset="coco", network="resnet18_v1b", use_fpn=True)
    official, ours = pair_of(name, options, build_mask_rcnn, size, few_masks)
    assert learning(ours) == learning(official)

    assert_finds_the_same(ours, official, size, 80)


@pytest.mark.slow
@pytest.mark.parametrize("name", [f"mask_rcnn_{pyramid}{network}_coco" for pyramid in ("", "fpn_")
                                  for network in ("resnet18_v1b", "resnet50_v1b", "resnet101_v1d")])
def test_names_shapes_and_what_learns_are_those_of_the_published_networks(name):
    theirs = get_model(name, pretrained_base=False)
    theirs.infer_shape(mx.nd.zeros((1, 3, 256, 384)))
    options = MaskRcnnOptions(**MaskRcnnOptions.from_file_name(name)).resolved()
    ours = build_mask_rcnn(options, theirs.classes, [mx.cpu()])
    ours.infer_shape(mx.nd.zeros((1, 3, 64, 64)))
    shapes, expected = ({key: parameter.shape for key, parameter in structured_parameters(network).items()}
                        for network in (ours, theirs))
    assert shapes == expected and learning(ours) == learning(theirs)


def assert_finds_the_same(ours, official, size, most):
    x = mx.nd.array(np.random.default_rng(0).normal(size=(1, 3, *size)))
    with oracle.roi_align_of_the_gpu():
        expected = [output.asnumpy()[0] for output in official(x)]
    found = [output.asnumpy()[0] for output in ours(x)]
    assert [mine.shape for mine in found] == [theirs.shape for theirs in expected] and len(found[3]) == most
    # GluonCV also finds what fills up the proposals: boxes without an area
    with_area = (expected[2][:, 2:] > expected[2][:, :2]).all(axis=1) & (expected[0][:, 0] >= 0)
    count = int(with_area.sum())
    assert count > 5 and (found[0][:count] >= 0).all()
    for mine, theirs in zip(found, expected):
        np.testing.assert_allclose(mine[:count], theirs[with_area], rtol=0, atol=1e-5 * max(1, np.abs(theirs).max()))

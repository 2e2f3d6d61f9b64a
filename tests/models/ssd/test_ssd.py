"""Networks, targets and losses against GluonCV's own classes, closed forms and finite differences."""
import re

import numpy as np
import pytest

from gluon_bof.backend import autograd, gluon, mx
from gluon_bof.freebies.label_smoothing import equation_3
from gluon_bof.models.build import build_network
from gluon_bof.models.ssd.family import build, export_form
from gluon_bof.models.ssd.loss import MultiBoxLoss
from gluon_bof.models.ssd.network import Anchors, build_ssd
from gluon_bof.models.ssd.structures import mini_features, structure_of
from gluon_bof.models.ssd.targets import MultiBoxTargets
from gluon_bof.options.ssd import SHAPES, SsdOptions
from gluon_bof.weights.load import structured_parameters
from gluon_bof.weights.resolve import resolve
from gluon_bof.weights.zoo import options_of

from gluoncv.loss import SSDMultiBoxLoss
from gluoncv.model_zoo import get_model, get_model_list
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


@pytest.mark.parametrize("is_on_cpus", (False, True))
@pytest.mark.parametrize("hybrid", (False, True))
def test_losses_and_gradients_are_gluoncvs(hybrid, is_on_cpus):
    rng, anchors = np.random.default_rng(7), anchors_of()
    truth, predictions = draw_truth(rng), draw_predictions(rng, anchors)
    loss = MultiBoxLoss(CLASSES, is_on_cpus=is_on_cpus)
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


# mixup and smoothing

def test_matched_anchors_weigh_their_boxs_mix_weight_in_both_losses_and_background_weighs_1():
    rng, anchors = np.random.default_rng(3), anchors_of()
    truth, predictions = draw_truth(rng, 2), draw_predictions(rng, anchors, 2)
    mixed = truth.copy()
    ratio = np.where(np.arange(truth.shape[1]) % 2, 0.3, 0.7)
    mixed[..., 5] = np.where(truth[..., 4] >= 0, ratio, -1)
    label, weight, target = (array.asnumpy() for array in MultiBoxTargets()(mx.nd.array(mixed), anchors))
    plain = MultiBoxTargets()(mx.nd.array(truth), anchors)
    assert set(weight[label > 0]) == {np.float32(0.3), np.float32(0.7)} and not weight[label == 0].any()
    np.testing.assert_array_equal(label, plain[0].asnumpy())

    logits, boxes = (array.astype(np.float64) for array in predictions)
    log_share = logits - np.log(np.exp(logits).sum(axis=2, keepdims=True))
    smoothing = equation_3(0.1, CLASSES + 1)
    classes, box = np.zeros(2), np.zeros(2)
    for image in range(2):
        matched = np.flatnonzero(label[image] > 0)
        free = np.flatnonzero(label[image] == 0)
        hard = free[np.argsort(log_share[image, free, 0])[:3 * len(matched)]]
        for anchor in (*matched, *hard):
            wanted = np.full(CLASSES + 1, smoothing.negative)
            wanted[int(label[image, anchor])] = smoothing.positive
            share = weight[image, anchor] if anchor in matched else 1
            classes[image] -= share * (wanted * log_share[image, anchor]).sum()
        for anchor in matched:
            apart = np.abs(boxes[image, anchor] - target[image, anchor])
            box[image] += weight[image, anchor] * np.where(apart > 1, apart - 0.5, 0.5 * apart ** 2).sum()
    share = 2 / (label > 0).sum()
    found, _ = step(MultiBoxLoss(CLASSES, smoothing), predictions, anchors, mx.nd.array(mixed))
    np.testing.assert_allclose(found[0], classes * share, rtol=1e-5)
    np.testing.assert_allclose(found[1], box * share, rtol=1e-5)


def test_a_batch_without_boxes_has_no_loss_and_no_gradient():
    anchors = anchors_of()
    predictions = draw_predictions(np.random.default_rng(0), anchors, 2)
    outputs, gradients = step(MultiBoxLoss(CLASSES), predictions, anchors, mx.nd.full((2, 8, 6), -1))
    assert not any(output.any() for output in outputs) and not any(gradient.any() for gradient in gradients)


def test_a_box_without_area_is_nobodys_and_a_side_below_a_pixel_counts_as_one():
    anchors, truth = anchors_of(), np.full((1, 8, 6), -1, np.float32)
    truth[0, :2] = [[500, 500, 500, 500, 1, 1], [40, 40, 40.25, 90, 2, 1]]
    label, _, target = (array.asnumpy()[0] for array in MultiBoxTargets()(mx.nd.array(truth), anchors))
    assert set(label) == {0, 3} and np.isfinite(target).all()
    sides = anchors.asnumpy()[0, label == 3, 2:]
    np.testing.assert_allclose(target[label == 3, 2:], np.log((1, 50) / sides) / 0.2, rtol=1e-4)


def test_gradients_are_those_of_finite_differences():
    rng, anchors = np.random.default_rng(5), anchors_of(64)
    truth = mx.nd.array(draw_truth(rng, 1, 4, 64))
    predictions = draw_predictions(rng, anchors, 1)
    loss = MultiBoxLoss(CLASSES, equation_3(0.1, CLASSES + 1))
    _, gradients = step(loss, predictions, anchors, truth)
    for place, gradient in enumerate(gradients):
        for spot in np.argsort(-np.abs(gradient).ravel())[:5]:
            moved = []
            for by in (1e-2, -1e-2):
                arrays = [array.copy() for array in predictions]
                arrays[place].ravel()[spot] += by
                moved.append(sum(output.sum() for output in step(loss, arrays, anchors, truth)[0][:2]))
            np.testing.assert_allclose((moved[0] - moved[1]) / 2e-2, gradient.ravel()[spot], rtol=0.02, atol=2e-3)


# networks

@pytest.mark.parametrize("alloc, step_size, ratios", (((20, 33), 8, (1, 2, 0.5)), ((16, 16), 100, (1, 2, 0.5, 3, 1 / 3))))
def test_anchors_are_gluoncvs_to_the_bit(alloc, step_size, ratios):
    ours, theirs = (kind(0, (300, 300), (30, 60), ratios, step_size, alloc).anchors.value.asnumpy()
                    for kind in (Anchors, SSDAnchorGenerator))
    np.testing.assert_array_equal(ours, theirs)


PUBLISHED = [name for name in get_model_list() if "dataset" in SsdOptions.from_file_name(name)]
QUICK = ("ssd_300_vgg16_atrous_voc", "ssd_512_mobilenet1.0_coco")


@pytest.mark.parametrize("name", [name if name in QUICK else pytest.param(name, marks=pytest.mark.slow) for name in PUBLISHED])
def test_a_published_name_builds_exactly_gluoncvs_network(name):
    official = get_model(name, pretrained=False, pretrained_base=False)
    ours = build_network(resolve("a.params", dict(options_of(name), pretrained_base="no", family="ssd")).options,
                         official.classes, [mx.cpu()])
    theirs = structured_parameters(official)
    official.infer_shape(mx.nd.zeros((1, 3, 320, 320)))
    for key, parameter in structured_parameters(ours).items():
        assert parameter.shape == theirs[key].shape, key
        if isinstance(parameter, gluon.Constant):
            np.testing.assert_array_equal(parameter.value.asnumpy(), theirs[key].value.asnumpy(), err_msg=key)
    assert theirs.keys() == structured_parameters(ours).keys()
    for attribute in ("nms_thresh", "nms_topk", "post_nms"):
        assert getattr(ours, attribute) == getattr(official, attribute)


def gluoncvs_mini(classes, side):
    """GluonCV's own SSD on darknet-mini's levels."""
    structure = structure_of("darknet-mini", side)
    return GluonCVSSD(None, side, mini_features, None, list(structure.sizes), [list(ratios) for ratios in structure.ratios],
                      structure.steps, list(classes), anchor_alloc_size=structure.cells)


def initialised_mini(side=SIDE, seed=1):
    mx.random.seed(seed)
    options = SsdOptions(network="darknet-mini", data_shape=side, pretrained_base="no")
    return build_network(options, ("a", "b", "c"), [mx.cpu()])


def test_gluoncvs_ssd_loads_darknet_minis_weights_and_detects_the_same(tmp_path):
    ours, theirs = initialised_mini(), gluoncvs_mini("abc", SIDE)
    for name, parameter in structured_parameters(ours).items():  # scores that differ
        if name.startswith("class_predictors") and name.endswith("weight"):
            parameter.set_data(mx.nd.random.normal(0, 1, parameter.shape))
    path = str(tmp_path / "a.params")
    ours.save_parameters(path)
    theirs.load_parameters(path)
    x = mx.nd.random.normal(0, 1, (2, 3, 96, SIDE))
    with autograd.train_mode():
        for found, wanted in zip(ours(x), theirs(x)):
            np.testing.assert_allclose(found.asnumpy(), wanted.asnumpy(), rtol=1e-5, atol=1e-5)
    ours.initialize(force_reinit=False)
    found, wanted = ([array.asnumpy() for array in network(x)] for network in (ours, theirs))
    assert (wanted[0] >= 0).sum() > 50
    for image in range(2):
        both = [np.concatenate([array[image] for array in arrays], axis=1) for arrays in (found, wanted)]
        rows = [array[array[:, 0] >= 0] for array in both]
        np.testing.assert_allclose(rows[0], rows[1], rtol=1e-4, atol=1e-3)


@pytest.mark.parametrize("name, side", [(name, side) for name, sides in SHAPES.items() for side in sides])
def test_every_network_has_a_backbone_of_a_classifiers_names_and_a_stem_up_to_a_quarter_of_the_sides(name, side):
    network = build_ssd(name, side, "voc", "ab")
    backbone, stem = network.backbone_parameters(), {id(parameter) for parameter in network.stem_parameters()}
    assert len(backbone) >= 26
    known = {id(parameter) for parameter in structured_parameters(network).values()}
    assert {id(parameter) for parameter in backbone.values()} <= known
    if name != "vgg16_atrous":
        classifier = get_model(name, pretrained=False)
        missing = classifier._collect_params_with_prefix().keys() - backbone.keys()
        # SSD takes a ResNet v2's last features before its last convolutions
        assert all(re.match(r"output\.|fc\." if name != "resnet101_v2" else r"output\.|features\.[89]\.", key) for key in missing)
        first = up_to_a_quarter(classifier)
        assert {id(parameter) for name, parameter in backbone.items()
                if name.replace("features.", "").split(".")[0] in first} == stem
    else:
        assert {name.split(".")[1] for name, parameter in backbone.items() if id(parameter) in stem} == set("012")


def up_to_a_quarter(classifier):
    """Names of the first layers, whose outputs have at least a quarter of the image's sides."""
    seen, names = mx.sym.var("data"), set()
    for name, layer in getattr(classifier, "features", classifier)._children.items():
        seen = layer(seen)
        if seen.infer_shape(data=(1, 3, 64, 64))[1][0][2] < 16:
            return names
        names.add(name)


@pytest.mark.parametrize("name, side", (("vgg16_atrous", 300), ("resnet34_v1b", 300), ("darknet-mini", 128)))
def test_an_export_is_refused_below_the_least_side_that_mxnet_can_take(name, side):
    options = SsdOptions(dataset="voc", network=name, data_shape=side, gpus="").resolved()
    network = build(options, ["cat"], [mx.cpu()])
    symbol = mx.sym.Group(list(network(mx.sym.var("data"))))
    least = export_form(options).min_side
    symbol.infer_shape_partial(data=(1, 3, least, least))
    if least > 32:
        with pytest.raises(mx.MXNetError):
            symbol.infer_shape_partial(data=(1, 3, least - 1, least - 1))

"""Targets, losses and gradients against GluonCV's own generators, network and loss."""
from contextlib import contextmanager

import numpy as np
import pytest

from gluon_bof.backend import autograd, mx
from gluon_bof.errors import UserError
from gluon_bof.freebies.label_smoothing import equation_3, gluoncv_variant
from gluon_bof.models.preprocess import InferenceGraph
from gluon_bof.models.yolo3.loss import IGNORE_IOU, TrainingGraph, YOLOv3Loss
from gluon_bof.models.yolo3.network import ANCHORS, build_yolo3
from gluon_bof.models.yolo3.targets import BoxTargets, grid_on, grid_tables
from gluon_bof.weights.load import load_weights, save_weights, structured_parameters

import gluoncv
from gluoncv.model_zoo.yolo.yolo_target import YOLOV3PrefetchTargetGenerator

CLASSES = ("cat", "dog", "cow", "car", "bus")
TOLERANCE = 1e-5


@pytest.fixture(scope="module")
def networks(tmp_path_factory):
    """(ours, GluonCV's), with the same weights."""
    mx.random.seed(3)
    ours = build_yolo3("mobilenet0.25", CLASSES)
    official = gluoncv.model_zoo.get_model("yolo3_mobilenet0.25_custom", classes=list(CLASSES), pretrained_base=False)
    for network in (ours, official):
        network.initialize(mx.init.Xavier(magnitude=12), force_reinit=True)  # the usual start makes all scores alike
        network(mx.nd.zeros((1, 3, 64, 64)))
    path = str(tmp_path_factory.mktemp("weights") / "a.params")
    save_weights(ours, path)
    official.load_parameters(path)
    return ours, official


@contextmanager
def suppressing(networks, **settings):
    """A context in which both networks suppress as set_nms is told."""
    before = networks[0].nms_thresh, networks[0].nms_topk, networks[0].post_nms
    try:
        for network in networks:
            network.set_nms(**settings)
        yield
    finally:
        for network in networks:
            network.set_nms(*before)


def random_truth(seed, size, mixed, images=3, most=9, rows=16):
    """(B, M, 6) with clashes: the last box of each image repeats the first, another shares its centre and shape."""
    rng = np.random.default_rng(seed)
    truth = np.full((images, rows, 6), -1, np.float32)
    for boxes in truth:
        count = rng.integers(3, most + 1)
        corner = rng.uniform(0, size * 0.9, (count, 2))
        boxes[:count, :2] = corner
        boxes[:count, 2:4] = np.minimum(corner + rng.uniform(0.5, size, (count, 2)), size)
        boxes[count - 1, :4] = boxes[0, :4]
        boxes[1, :4] = boxes[0, :4] + 0.01
        boxes[:count, 4] = rng.integers(0, len(CLASSES), count)
        boxes[:count, 5] = rng.choice([0.3, 0.7], count) if mixed else 1
    return mx.nd.array(truth)


def official_targets(official, truth, size):
    with autograd.train_mode():
        _, anchors, offsets, maps, *_ = official(mx.nd.zeros((1, 3, size, size)))
    return YOLOV3PrefetchTargetGenerator(len(CLASSES))(
        mx.nd.zeros((1, 3, size, size)), maps, anchors, offsets,
        truth[:, :, :4], truth[:, :, 4:5], truth[:, :, 5:6])


def dense(truth, size):
    """Our per-box targets written out per prediction, as the official generator returns them."""
    grid = grid_on(mx.cpu(), size)
    position, centre, scale, box_weight, class_id, weight = (t.asnumpy() for t in BoxTargets()(truth, grid.anchors))
    images, predictions = len(position), grid.cells.shape[1]
    objectness = np.zeros((images, predictions, 1))
    centres, scales, weights = (np.zeros((images, predictions, 2)) for _ in range(3))
    classes = np.full((images, predictions, len(CLASSES)), -1.0)
    for image, box in zip(*np.nonzero(weight)):
        at = image, int(position[image, box])
        objectness[at] = weight[image, box]
        centres[at], scales[at], weights[at] = centre[image, box], scale[image, box], box_weight[image, box]
        classes[at] = np.arange(len(CLASSES)) == class_id[image, box]
    return objectness, centres, scales, weights, classes


@pytest.mark.parametrize("mixed", (False, True))
@pytest.mark.parametrize("size", (96, 160, 416))
def test_targets_equal_the_official_generators(networks, size, mixed):
    for seed in range(3):
        truth = random_truth(seed, size, mixed)
        for ours, official in zip(dense(truth, size), official_targets(networks[1], truth, size)):
            np.testing.assert_allclose(ours, official.asnumpy(), atol=TOLERANCE)


def test_the_later_of_two_boxes_that_claim_one_anchor_wins():
    truth = np.full((1, 8, 6), -1, np.float32)
    truth[0, 0] = 10, 10, 50, 60, 1, 0.3
    truth[0, 1] = 10, 10, 50, 60, 2, 0.7
    *_, weight = BoxTargets()(mx.nd.array(truth), grid_on(mx.cpu(), 96).anchors)
    np.testing.assert_allclose(weight.asnumpy()[0, :3], (0, 0.7, 0), atol=1e-7)


def test_boxes_of_the_shapes_of_ones_own_anchors_claim_them_and_have_the_scale_0():
    own = ((9, 12, 15, 23, 23, 29), (41, 45, 39, 73, 59, 84), (77, 64, 75, 118, 97, 93))
    grid, sides = grid_on(mx.cpu(), 192, own), np.reshape(own, (9, 2))
    truth = np.hstack([96.5 - sides / 2, 96.5 + sides / 2, np.tile((0, 1), (9, 1))])
    position, _, scale, *_ = (array.asnumpy()[0] for array in BoxTargets()(mx.nd.array(truth[None]), grid.anchors))
    np.testing.assert_allclose(scale, 0, atol=1e-6)
    strides = np.repeat((8, 16, 32), 3)[:, None]
    np.testing.assert_array_equal(grid.cells.asnumpy()[0, position.astype(int)],
                                  np.hstack([96 // strides, 96 // strides, strides, sides]))


def test_a_side_below_a_pixel_counts_as_one():
    grid = grid_on(mx.cpu(), 96)
    position, _, scale, *_ = BoxTargets()(mx.nd.array([[[40, 40, 40.25, 90, 0, 1]]]), grid.anchors)
    anchor = grid.cells.asnumpy()[0, int(position.asscalar()), 3:]
    np.testing.assert_allclose(scale.asnumpy()[0, 0], np.log((1, 50) / anchor), atol=1e-6)


@pytest.mark.parametrize("mixed", (False, True))
@pytest.mark.parametrize("smooth", (False, True))
def test_losses_and_gradients_equal_the_official_ones(networks, mixed, smooth):
    ours, official = networks
    size, rng = 128, np.random.default_rng(5)
    truth = random_truth(11, size, mixed)
    images = mx.nd.array(rng.integers(0, 256, (3, size, size, 3)), dtype="uint8")
    graph = TrainingGraph(ours, YOLOv3Loss(len(CLASSES), gluoncv_variant(len(CLASSES)) if smooth
                                           else equation_3(0, len(CLASSES))))
    normalised = mx.nd.image.normalize(mx.nd.image.to_tensor(images), (0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
    targets = official_targets(official, truth, size)
    official._target_generator._label_smooth = smooth
    with autograd.record():
        losses = graph(images, truth, *grid_on(mx.cpu(), size))
        total = mx.nd.add_n(*losses)
    total.backward()
    with autograd.record():
        expected = official(normalised, truth[:, :, :4], *targets)
        expected_total = mx.nd.add_n(*expected)
    expected_total.backward()
    for value, expectation in zip(losses, expected):
        np.testing.assert_allclose(value.asnumpy(), expectation.asnumpy(), rtol=TOLERANCE)
    gradients = {name: p.grad().asnumpy() for name, p in structured_parameters(ours).items() if p.grad_req != "null"}
    theirs = structured_parameters(official)
    assert gradients and max(np.abs(g).max() for g in gradients.values()) > 1
    for name, gradient in gradients.items():
        expectation = theirs[name].grad().asnumpy()
        np.testing.assert_allclose(gradient, expectation, atol=1e-4 * max(1, np.abs(expectation).max()))


def test_predictions_near_a_box_are_not_punished(networks):
    """With the box that the network predicts as the truth, ignoring is not a dead branch: the official loss agrees."""
    ours, official = networks
    size = 96
    x = mx.nd.random.uniform(-2, 2, (1, 3, size, size))
    with autograd.train_mode():
        boxes = official(x)[0].asnumpy()[0]
    inside = [box for box in boxes if (box >= 0).all() and (box <= size).all()]
    assert len(inside) > 4
    truth = np.full((1, 16, 6), -1, np.float32)
    for row, box in zip(truth[0, :14], inside[::3]):
        row[:4], row[4:] = box, (1, 1)
    truth = mx.nd.array(truth)
    targets = official_targets(official, truth, size)
    official._target_generator._label_smooth = False
    with autograd.record():
        raw = ours(x)
        losses = YOLOv3Loss(len(CLASSES))(raw, truth, *grid_on(mx.cpu(), size))
        without = YOLOv3Loss(len(CLASSES), ignore_iou=1.1)(raw, truth, *grid_on(mx.cpu(), size))
        expected = official(x, truth[:, :, :4], *targets)
    np.testing.assert_allclose(losses[0].asnumpy(), expected[0].asnumpy(), rtol=TOLERANCE)
    assert without[0].asscalar() > losses[0].asscalar() + 0.5


def test_what_is_near_a_large_box_is_told_by_its_whole_overlap():
    cells = grid_tables(416).cells
    centre, half = (cells[0, :, :2] + 0.5) * cells[0, :, 2:3], cells[0, :, 3:] / 2
    truth = np.array([[20, 30, 390, 350, 0, 1], [200, 180, 270, 290, 0, 1]], np.float32)
    found = YOLOv3Loss(1)._near_a_box(mx.nd, mx.nd.zeros((1, len(centre), 6)), mx.nd.array(truth[None]), mx.nd.array(cells))
    is_near = gluoncv.utils.bbox_iou(np.hstack([centre - half, centre + half]), truth[:, :4]) > IGNORE_IOU
    assert is_near.any(axis=0).all()
    np.testing.assert_array_equal(found.asnumpy()[0], is_near.any(axis=1))


def test_an_image_without_boxes_has_only_an_objectness_loss(networks):
    truth = mx.nd.full((2, 8, 6), -1)
    with autograd.record():
        raw = networks[0](mx.nd.random.uniform(-1, 1, (2, 3, 64, 64)))
        objectness, *others = YOLOv3Loss(len(CLASSES))(raw, truth, *grid_on(mx.cpu(), 64))
    assert (objectness.asnumpy() > 0).all()
    for loss in others:
        np.testing.assert_array_equal(loss.asnumpy(), 0)


def test_detections_equal_the_official_networks(networks, tmp_path):
    ours, official = networks
    images = mx.nd.array(np.random.default_rng(0).integers(0, 256, (2, 96, 96, 3)), dtype="uint8")
    normalised = mx.nd.image.normalize(mx.nd.image.to_tensor(images), (0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
    for mine, theirs in zip(InferenceGraph(ours)(images), official(normalised)):
        np.testing.assert_allclose(mine.asnumpy(), theirs.asnumpy(), atol=1e-4)
    official.save_parameters(str(tmp_path / "theirs.params"))
    load_weights(ours, str(tmp_path / "theirs.params"))


def test_without_limits_all_detections_are_found_as_the_official_networks(networks):
    ours, official = networks
    images = mx.nd.array(np.random.default_rng(0).integers(0, 256, (1, 64, 64, 3)), dtype="uint8")
    normalised = mx.nd.image.normalize(mx.nd.image.to_tensor(images), (0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
    usual = ours.post_nms
    with suppressing(networks, nms_thresh=0.45, nms_topk=-1, post_nms=-1):
        found, scores, _ = (array.asnumpy()[0, :, 0] for array in InferenceGraph(ours)(images))
        classes, expected, _ = (array.asnumpy()[0, :, 0] for array in official(normalised))
    kept, count = expected > 0, (expected > 0).sum()
    assert count > usual and (scores[count:] < 0).all()
    np.testing.assert_allclose(scores[:count], expected[kept], atol=1e-5)
    assert sorted(found[:count]) == sorted(classes[kept])  # scores that are nearly alike may change places


@pytest.mark.parametrize("topk", (10, -1))
def test_where_fewer_candidates_compete_than_post_nms_asks_for_the_rest_is_empty(networks, topk):
    ours, official = networks
    x = mx.nd.random.normal(0, 1, (1, 3, 32, 32))
    candidates = (1 + 4 + 16) * 3 * len(CLASSES)
    with suppressing(networks, nms_thresh=0.45, nms_topk=topk, post_nms=candidates):
        expected = official(x)[1].asnumpy()[0]
    with suppressing(networks, nms_thresh=0.45, nms_topk=topk, post_nms=candidates + 1):  # the official network fails
        scores = ours(x)[1].asnumpy()[0]
    assert 0 < (expected > 0).sum() <= (topk if topk > 0 else candidates - 1)
    np.testing.assert_allclose(scores, np.append(expected, [[-1]], axis=0), atol=1e-5)


def test_a_threshold_below_0_is_refused_where_it_would_leave_one_box_of_each_class(networks):
    graph = InferenceGraph(networks[0])
    with suppressing(networks, nms_thresh=-1), pytest.raises(UserError, match="nms_thresh -1 must be 0 or more"):
        graph(mx.nd.zeros((1, 64, 64, 3), dtype="uint8"))


def test_hybridised_graphs_give_the_same_numbers(networks):
    ours = networks[0]
    truth = random_truth(2, 96, True)
    images = mx.nd.array(np.random.default_rng(1).integers(0, 256, (3, 96, 96, 3)), dtype="uint8")
    results = []
    for hybrid in (False, True):
        graph = TrainingGraph(ours, YOLOv3Loss(len(CLASSES)))
        graph.hybridize(hybrid, static_alloc=True)
        with autograd.record():
            results.append([loss.asnumpy() for loss in graph(images, truth, *grid_on(mx.cpu(), 96))])
        graph.hybridize(False)
    np.testing.assert_allclose(results[0], results[1], rtol=1e-5)


def test_anchors_of_a_grid_may_be_lists_or_pairs_and_nobody_writes_into_what_others_get():
    grid = grid_tables(96)
    for anchors in (list(map(list, ANCHORS)), np.reshape(ANCHORS, (9, 2))):
        assert all(map(np.array_equal, grid_tables(96, anchors), grid))
        assert all(np.array_equal(ours.asnumpy(), theirs) for ours, theirs in zip(grid_on(mx.cpu(), 96, anchors), grid))
    with pytest.raises(ValueError, match="read-only"):
        grid.cells[:] = 0


def test_the_grid_is_laid_out_as_the_network_predicts():
    grid = grid_tables(416)
    assert grid.cells.shape == (1, 10647, 5)
    np.testing.assert_array_equal(grid.cells[0, 0], (0, 0, 32, 116, 90))
    np.testing.assert_array_equal(grid.cells[0, -1], (51, 51, 8, 33, 23))
    assert grid.anchors[:, 4].tolist() == [0] * 3 + [507] * 3 + [2535] * 3

"""Targets of both stages against GluonCV's generators, with the same seed of their samplers."""
import numpy as np
import pytest

from gluon_bof.backend import mx
from gluon_bof.models.faster_rcnn.anchors import AnchorGrid
from gluon_bof.models.faster_rcnn.targets import RegionSampler, RegionTargets, anchor_targets

from gluoncv.model_zoo.rcnn.faster_rcnn.rcnn_target import RCNNTargetGenerator, RCNNTargetSampler
from gluoncv.model_zoo.rcnn.rpn.anchor import RPNAnchorGenerator
from gluoncv.model_zoo.rcnn.rpn.rpn_target import RPNTargetGenerator

RATIOS = (0.5, 1, 2)
LEVELS = {"single level": ((16,), (2, 4, 8, 16, 32)), "pyramid": ((4, 8, 16, 32, 64), (2, 4, 8, 16, 32))}


def official_anchors(strides, scales, height, width):
    """(N, 4) as MXNet's array."""
    scales = [scales] if len(strides) == 1 else scales
    found = []
    for stride, scale in zip(strides, scales):
        cells = (-(-height // stride), -(-width // stride))
        generator = RPNAnchorGenerator(stride, 16, RATIOS, scale, cells)
        generator.initialize()
        found.append(generator(mx.nd.zeros((1, 1) + cells)).reshape((-1, 4)))
    return mx.nd.concat(*found, dim=0)


def random_truth(rng, height, width, count):
    corner = rng.uniform(0, 0.9, (count, 2)) * (width, height)
    sides = np.exp(rng.uniform(2, 6, (count, 2)))
    truth = np.ones((count, 6), np.float32)
    truth[:, :4] = np.hstack([corner, np.minimum(corner + sides, (width, height))])
    if count % 2:
        truth = np.round(truth)
    truth[:, 5] = rng.uniform(0.1, 1, count)
    return truth


@pytest.mark.parametrize("levels", LEVELS)
@pytest.mark.parametrize("seed", range(12))
def test_anchor_targets_are_gluoncvs(levels, seed):
    strides, scales = LEVELS[levels]
    rng = np.random.default_rng(seed)
    height, width = int(rng.integers(300, 620)), int(rng.integers(500, 1001))
    truth = random_truth(rng, height, width, seed + 1)
    anchors = official_anchors(strides, scales, height, width)
    np.random.seed(seed)
    expected, expected_box, _ = RPNTargetGenerator()(mx.nd.array(truth[:, :4]), anchors, width, height)

    grid = AnchorGrid(strides, 16, scales, RATIOS)
    rows = anchor_targets(grid, truth, (height, width), (height, width), np.random.RandomState(seed))
    rows = rows[rows[:, 0] >= 0]
    chosen = rows[:, 0].astype(int)
    label, box = np.full(len(expected), -1.0), np.zeros_like(expected_box)
    label[chosen], box[chosen] = rows[:, 1], rows[:, 3:]
    np.testing.assert_array_equal(label, expected)
    np.testing.assert_array_equal(box, expected_box)
    assert (rows[rows[:, 1] == 0, 2] == 1).all()  # background weighs 1
    assert set(rows[rows[:, 1] == 1, 2]) <= set(truth[:, 5])  # and an object's anchor what its box weighs


def test_an_anchor_weighs_what_the_box_that_it_matched_weighs():
    grid = AnchorGrid((16,), 16, (4,), (1,))
    truth = np.array([[8 + 16 * 2 - 32, 40, 8 + 16 * 2 + 32, 104, 0, 0.3], [104, 40, 168, 104, 1, 0.7]], np.float32)
    rows = anchor_targets(grid, truth, (160, 200), (160, 200), np.random.RandomState(0), background_weight=0.5)
    rows = rows[rows[:, 0] >= 0]
    columns = rows[rows[:, 1] == 1, 0] % 13
    weights = rows[rows[:, 1] == 1, 2]
    assert len(weights) == 2
    np.testing.assert_array_equal(weights, np.where(columns < 5, np.float32(0.3), np.float32(0.7)))
    assert (rows[rows[:, 1] == 0, 2] == 0.5).all()


@pytest.mark.parametrize("levels", LEVELS)
def test_a_padded_canvas_numbers_the_same_anchors(levels):
    strides, scales = LEVELS[levels]
    grid = AnchorGrid(strides, 16, scales, RATIOS)
    truth = random_truth(np.random.default_rng(4), 300, 400, 6)
    size, canvas = (300, 400), (352, 470)
    tight = anchor_targets(grid, truth, size, size, np.random.RandomState(9))
    padded = anchor_targets(grid, truth, size, canvas, np.random.RandomState(9))
    np.testing.assert_array_equal(tight[:, 1:], padded[:, 1:])
    used = tight[:, 0] >= 0
    np.testing.assert_array_equal(*(official_anchors(strides, scales, *where).asnumpy()[rows[used, 0].astype(int)]
                                    for where, rows in ((size, tight), (canvas, padded))))


def test_an_image_without_boxes_gives_background_only():
    grid = AnchorGrid((16,), 16, (2, 4), RATIOS)
    rows = anchor_targets(grid, np.zeros((0, 6), np.float32), (300, 300), (300, 300), np.random.RandomState(0))
    assert (rows[:, 0] >= 0).all() and (rows[:, 1] == 0).all() and (rows[:, 2] == 1).all()


def test_an_image_that_holds_no_anchor_gives_none():
    grid = AnchorGrid((16,), 16, (32,), RATIOS)
    truth = random_truth(np.random.default_rng(0), 60, 60, 2)
    assert (anchor_targets(grid, truth, (60, 60), (60, 60), np.random.RandomState(0)) == -1).all()


PROPOSALS, SAMPLES, SHARE, MAX_BOXES = 200, 64, 0.25, 8


def proposals_near(rng, truth, batch):
    """(B, P, 4) proposals, many of them near boxes, and (B, P, 1) scores with some unusable."""
    boxes = np.stack([rows[rng.integers((rows[:, 4] >= 0).sum(), size=PROPOSALS), :4] for rows in truth])
    moved = boxes + rng.normal(0, 12, boxes.shape)
    moved = np.concatenate([np.minimum(moved[..., :2], moved[..., 2:]), np.maximum(moved[..., :2], moved[..., 2:])], 2)
    scores = rng.uniform(0, 1, (batch, PROPOSALS, 1))
    gone = rng.random(scores.shape) < 0.1
    return np.where(gone, -1, np.clip(moved, 0, 400)).astype(np.float32), np.where(gone, -1, scores).astype(np.float32)


@pytest.mark.parametrize("hybrid", (False, True))
@pytest.mark.parametrize("batch, spread", ((1, 1.0), (1, 8.0), (2, 1.0), (3, 5.0)))
def test_regions_and_their_targets_are_gluoncvs(batch, spread, hybrid):
    rng = np.random.default_rng(batch)
    truth = np.full((batch, MAX_BOXES, 6), -1, np.float32)
    for number, rows in enumerate(truth):
        rows[:number + 3] = random_truth(rng, 300, 400, number + 3)
        rows[:number + 3, 4] = rng.integers(5, size=number + 3)
    proposals, scores = proposals_near(rng, truth, batch)
    if spread > 1:  # fewer objects than may be sampled
        proposals[:, ::2] = np.clip(proposals[:, ::2] * spread, 0, 400)
    arrays = [mx.nd.array(array) for array in (proposals, scores, truth[..., :4])]

    mx.nd.waitall()
    mx.random.seed(batch)
    official = RCNNTargetSampler(batch, PROPOSALS, SAMPLES, 0.5, SHARE, MAX_BOXES)
    expected = official(*arrays)
    generator = RCNNTargetGenerator(5, int(SAMPLES * SHARE), batch)
    generator.initialize()
    label, box, mask, index = generator(*expected, mx.nd.array(truth[..., 4:5]), arrays[2])

    mx.nd.waitall()
    mx.random.seed(batch)
    keys = mx.nd.stack(*[mx.nd.random.uniform(0, 1, shape=(PROPOSALS + MAX_BOXES,)) for _ in range(batch)])
    sampler, targets = RegionSampler(SAMPLES, 0.5, SHARE), RegionTargets(int(SAMPLES * SHARE))
    if hybrid:
        sampler.hybridize()
        targets.hybridize()
    found = sampler(*arrays, keys)
    for ours, theirs in zip(found, expected):
        np.testing.assert_array_equal(ours.asnumpy(), theirs.asnumpy())
    our_label, weight, our_index, class_id, our_box, box_weight = (
        array.asnumpy() for array in targets(*found, mx.nd.array(truth), mx.nd.array([[0.5]] * batch)))
    np.testing.assert_array_equal(our_label, label.asnumpy())
    np.testing.assert_array_equal(our_index, index.asnumpy())
    mask, box = mask.asnumpy(), box.asnumpy()
    assert mask.any()
    for b, q in np.ndindex(*our_index.shape):
        held = mask[b, q, :, 0].argmax()
        assert mask[b, q].any() == (box_weight[b, q] > 0)
        if mask[b, q].any():
            assert class_id[b, q] == held
            np.testing.assert_allclose(our_box[b, q], box[b, q, held], rtol=1e-5, atol=1e-5)
    matches = found[2].asnumpy().astype(int)
    for b, s in np.ndindex(*our_label.shape):
        if our_label[b, s] > 0:
            expected_weight = truth[b, matches[b, s], 5]
        else:
            expected_weight = 0.5 if our_label[b, s] == 0 else 0
        assert weight[b, s] == np.float32(expected_weight)

"""Our ROIAlign and suppression of proposals against MXNet's own operators, to the last bit, alone and within networks."""
import itertools
import json
import tracemalloc

import numpy as np
import pytest

from gluon_bof.backend import autograd, gluon, mx
from gluon_bof.freebies.label_smoothing import UNSMOOTHED
from gluon_bof.models.build import portable
from gluon_bof.models.faster_rcnn import on_cpu
from gluon_bof.models.faster_rcnn.anchors import anchor_grid
from gluon_bof.models.faster_rcnn.network import build_faster_rcnn
from gluon_bof.models.preprocess import InferenceGraph
from tests.marks import slow_but
from tests.models.faster_rcnn import oracle

STRIDE = 4
# corners in pixels: a point, outside on every side, turned round, smaller than a cell, the image's own, half outside
ODD = ((0, 0, 0, 0), (-1e5,) * 4, (500, 500, 600, 600), (-90, -80, -40, -30), (9, 9, 4, 3), (5, 5, 6, 6.5), (0, 0, 39, 27),
       (-30, 10, 20, 60), (35, 25, 90, 70), (-4.5, -4.5, 41, 33))


def regions(rng, count, images, height, width):
    """(count, 5) of which the first ones are ODD."""
    x, y = rng.uniform(-30, width * STRIDE + 20, (2, count)), rng.uniform(-30, height * STRIDE + 20, (2, count))
    found = np.stack([rng.integers(images, size=count), x.min(0), y.min(0), x.max(0), y.max(0)], axis=1).astype(np.float32)
    found[:len(ODD), 1:] = ODD
    return mx.nd.array(found)


def with_gradient(features, pool, weight):
    features.attach_grad()
    with autograd.record():
        pooled = pool()
    pooled.backward(weight)
    return pooled.asnumpy(), features.grad.asnumpy()


@pytest.mark.parametrize("shape, size", (((2, 3, 7, 10), (3, 5)), ((1, 300, 9, 6), (7, 7)), ((3, 5, 1, 1), (2, 2)),
                                         ((2, 16, 20, 30), (14, 14))))
def test_pooling_and_its_gradient_are_mxnets_to_the_last_bit(shape, size):
    rng = np.random.default_rng(0)
    rois = regions(rng, 60, shape[0], *shape[2:])
    features = mx.nd.array(rng.normal(size=shape))
    weight = mx.nd.array(rng.normal(size=(60, shape[1], *size)))
    expected = with_gradient(features, lambda: mx.nd.contrib.ROIAlign(features, rois, size, 1 / STRIDE, sample_ratio=2), weight)
    level = mx.nd.full((60, 1), 2)
    found = with_gradient(features, lambda: on_cpu.roi_align(mx.nd, rois, level, [features], size, [STRIDE], 2), weight)
    assert np.abs(expected[1]).max() > 0
    np.testing.assert_array_equal(found[0], expected[0])
    np.testing.assert_array_equal(found[1], expected[1])


@pytest.mark.parametrize("wrong", (np.nan, np.inf, -np.inf))
@pytest.mark.parametrize("shape", ((2, 3, 7, 10), (1, 3, 1, 1)))
def test_a_region_that_is_nowhere_becomes_nan_and_does_not_end_the_process(shape, wrong):
    """As MXNet's does. A training that diverges has such ones, and is to end by the name of the loss that is not finite."""
    corners = np.tile(np.float32([0, 1, 2, 30, 20]), (5, 1))
    corners[range(4), range(1, 5)] = wrong
    features, level = mx.nd.random.normal(0, 1, shape), mx.nd.zeros((5, 1))
    pooled, gradient = with_gradient(features, lambda: on_cpu.roi_align(mx.nd, mx.nd.array(corners), level, [features], (3, 3),
                                                                        [STRIDE], 0), mx.nd.ones((5, 3, 3, 3)))
    expected = mx.nd.contrib.ROIAlign(features, mx.nd.array(corners[4:]), (3, 3), 1 / STRIDE, sample_ratio=2).asnumpy()
    np.testing.assert_array_equal(pooled[4:], expected)
    is_nan = np.isnan(pooled[:4])
    assert is_nan.any() and (is_nan.all() or np.isinf(wrong))  # beyond one side of the image it is 0
    assert np.isnan(gradient).any()


@pytest.mark.parametrize("order", list(itertools.permutations(("align", "suppress", "convolve"))))
def test_operators_of_one_step_go_back_whichever_of_them_was_made_last(order):
    """MXNet remembers for all of them together which arrays the last one wanted."""
    rng = np.random.default_rng(5)
    rois, level = regions(rng, 20, 1, 8, 8), mx.nd.full((20, 1), 2)
    features, x = (mx.nd.array(rng.normal(size=(1, 4, 8, 8))) for _ in range(2))
    rows = mx.nd.array(proposals(rng, 1, 50, False))
    convolution = gluon.nn.Conv2D(6, 3, padding=1, in_channels=4)
    convolution.initialize()
    make = {"align": lambda: on_cpu.roi_align(mx.nd, rois, level, [features], (3, 3), [STRIDE], 2).sum(),
            "suppress": lambda: on_cpu.suppressed(mx.nd, rows, 0.5, 40, 10).sum(),
            "convolve": lambda: on_cpu.convolved(mx.nd, x, convolution).sum()}
    for array in (features, x):
        array.attach_grad()
    for _ in range(2):
        with autograd.record():
            total = mx.nd.add_n(*[make[name]() for name in order])
        total.backward()
        weight = convolution.weight.data().asnumpy().sum(axis=0)
        np.testing.assert_allclose(x.grad.asnumpy()[0, :, 4, 4], weight.sum(axis=(1, 2)), rtol=1e-4, atol=1e-5)
        assert np.abs(features.grad.asnumpy()).max() > 0


def test_a_region_of_no_level_is_zero_and_each_region_is_cut_from_its_own():
    rng = np.random.default_rng(1)
    rois = regions(rng, 40, 2, 16, 24)
    level = rng.integers(1, 5, (40, 1))
    levels = [mx.nd.array(rng.normal(size=(2, 4, 16 >> fine, 24 >> fine))) for fine in (0, 1)]
    found = on_cpu.roi_align(mx.nd, rois, mx.nd.array(level), levels, (3, 3), (STRIDE, 2 * STRIDE, 64), 2).asnumpy()
    expected = np.zeros_like(found)
    for number, stride, features in ((2, STRIDE, levels[0]), (3, 2 * STRIDE, levels[1])):
        here = level[:, 0] == number
        pooled = mx.nd.contrib.ROIAlign(features, rois, (3, 3), 1 / stride, sample_ratio=2).asnumpy()
        expected[here] = pooled[here]
    assert (level == 1).any() and (level == 4).any()
    np.testing.assert_array_equal(found, expected)


def proposals(rng, images, count, ties):
    """(images, count, 5) rows, some of which are the same box, of no area, turned round, or -1."""
    corner, side = rng.uniform(0, 100, (images, count, 2)), rng.uniform(3, 60, (images, count, 2))
    score = rng.uniform(0, 1, (images, count, 1))
    rows = np.concatenate([np.round(score, 2) if ties else score, corner, corner + side], axis=2)
    rows[:, 1::9, 1:] = rows[:, 0:1, 1:]
    rows[:, 2::9, 3:] = rows[:, 2::9, 1:3]
    rows[:, 3::9, 3] = rows[:, 3::9, 1] - 5
    rows[:, 4::9] = -1
    return mx.nd.array(rows)


@pytest.mark.parametrize("count, compared, kept, ties, overlap", (
    (900, 700, 150, False, 0.7), (900, 700, 150, True, 0.7), (900, 2000, 900, True, 0.5), (300, 1, 1, False, 0.7),
    (260, 128, 128, True, 0.3), (40, 600, 60, False, 0.7)))
def test_suppression_keeps_the_rows_that_mxnet_keeps(count, compared, kept, ties, overlap):
    rows = proposals(np.random.default_rng(2), 3, count, ties)
    rows[1] = -1  # an image without any
    expected = mx.nd.contrib.box_nms(rows, overlap_thresh=overlap, topk=compared, coord_start=1, score_index=0, id_index=-1,
                                     force_suppress=True).asnumpy()[:, :kept]
    found = on_cpu.suppressed(mx.nd, rows, overlap, compared, kept).asnumpy()
    assert found.shape == (3, kept, 5) and (found[:, expected.shape[1]:] == -1).all()
    np.testing.assert_array_equal(found[:, :expected.shape[1]], expected)
    assert (found[0] >= 0).any() and (found[1] == -1).all()


WAYS = pytest.mark.parametrize("how", (pytest.param(None, marks=pytest.mark.slow), pytest.param(dict(), marks=pytest.mark.slow),
                                       dict(static_alloc=True)))  # the last one is how training runs it


class Between(gluon.HybridBlock):
    """Pooling between convolutions, whose numbers lie in memory in oneDNN's order; the features have another reader."""

    def __init__(self, pool, tail, **kwargs):
        super().__init__(**kwargs)
        self.pool = pool
        self.before, self.beside = gluon.nn.Conv2D(16, 3, padding=1), gluon.nn.Conv2D(16, 3, padding=1)
        self.tail = tail

    def hybrid_forward(self, F, x, rois):
        features = self.before(x)
        return F.sum(F.square(self.tail(self.pool(F, features, rois)))) + F.sum(F.relu(self.beside(features)))


def ours(F, features, rois):
    return on_cpu.roi_align(F, rois, F.zeros_like(F.slice_axis(rois, axis=1, begin=0, end=1)), [features], (7, 7), [STRIDE], 0)


def mxnets(F, features, rois):
    return F.contrib.ROIAlign(features, rois, (7, 7), 1 / STRIDE, sample_ratio=2)


@WAYS
@pytest.mark.parametrize("tail", (lambda: gluon.nn.Conv2D(8, 3, 2, 1), lambda: gluon.nn.AvgPool2D(3, 2, 1)))
def test_between_convolutions_it_reads_what_they_wrote_each_time(how, tail):
    rng = np.random.default_rng(3)
    x, rois = mx.nd.array(rng.normal(size=(2, 8, 24, 32))), regions(rng, 100, 2, 24, 32)
    x.attach_grad()
    results = []
    for pool, rounds in ((mxnets, 2), (ours, 40)):
        mx.random.seed(4)
        network = Between(pool, tail())
        network.initialize(mx.init.Xavier())
        if how is not None:
            network.hybridize(**how)
        for _ in range(rounds):
            with autograd.record():
                loss = network(x, rois)
            loss.backward()
            results.append((loss.asscalar(), x.grad.asnumpy(), network.before.weight.grad().asnumpy()))
    for result in results[2:]:
        for found, expected in zip(result, results[1]):
            np.testing.assert_array_equal(found, expected)


class Twice(gluon.HybridBlock):
    """One convolution at two sizes of features, which another one makes."""

    def __init__(self, layer, **kwargs):
        super().__init__(**kwargs)
        self.layer = layer
        self.before = gluon.nn.Conv2D(16, 1, in_channels=8)
        self.convolution = gluon.nn.Conv2D(24, 3, padding=1, in_channels=16)

    def hybrid_forward(self, F, x, few):
        fine = self.before(x)
        coarse = F.Pooling(fine, kernel=(2, 2), stride=(2, 2), pool_type="avg")
        found = [F.relu(self.layer(F, features, self.convolution)) for features in (fine, coarse)]
        return F.sum(F.broadcast_mul(found[0], few)) + F.sum(F.slice_axis(F.square(found[1]), axis=3, begin=0, end=1))


@WAYS
@pytest.mark.parametrize("share", (0, 0.02))
def test_a_convolution_has_its_gradient_where_few_cells_have_one(how, share):
    rng = np.random.default_rng(7)
    x, few = mx.nd.array(rng.normal(size=(2, 8, 22, 30))), rng.random((2, 1, 22, 30)) < share
    few[:, :, [0, -1], 3] = few[:, :, 4, [0, -1]] = share > 0  # also at the borders
    few = mx.nd.array(few)
    results = []
    for layer, rounds in ((lambda F, features, convolution: convolution(features), 2), (on_cpu.convolved, 20)):
        mx.random.seed(8)
        network = Twice(layer)
        network.initialize(mx.init.Xavier())
        if how is not None:
            network.hybridize(**how)
        for _ in range(rounds):
            with autograd.record():
                loss = network(x, few)
            loss.backward()
            results.append([loss.asnumpy(), *(parameter.grad().asnumpy() for parameter in network.collect_params().values())])
    assert all(np.abs(part).max() > 0 for part in results[1])
    for result in results[2:]:
        np.testing.assert_array_equal(result[0], results[1][0])
        for found, again, expected in zip(result, results[2], results[1]):
            np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-5 * np.abs(expected).max())
            np.testing.assert_array_equal(found, again)


def test_where_every_cell_has_a_gradient_it_is_the_convolutions_and_takes_little_memory(monkeypatch):
    """As every cell has where a loss is NaN."""
    monkeypatch.setattr(on_cpu, "CELLS_AT_ONCE", 70)
    rng = np.random.default_rng(9)
    x, weight, bias, above = (mx.nd.array(rng.normal(size=shape)) for shape in
                              ((2, 16, 20, 30), (8, 16, 3, 3), (8,), (2, 8, 20, 30)))
    for array in (x, weight, bias):
        array.attach_grad()
    with autograd.record():
        found = mx.nd.Convolution(x, weight, bias, num_filter=8, kernel=(3, 3), pad=(1, 1))
    found.backward(above)
    given = [array.transpose((0, 2, 3, 1)).asnumpy() for array in (x, weight, above)]
    of_x, of_weight, of_bias = (np.empty(shape, np.float32) for shape in (given[0].shape, given[1].shape, (8, 1)))
    tracemalloc.start()
    on_cpu.gradient_of_few(*given, of_x, of_weight, of_bias)
    most = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    for mine, array in ((of_x.transpose(0, 3, 1, 2), x), (of_weight.transpose(0, 3, 1, 2), weight), (of_bias[:, 0], bias)):
        np.testing.assert_allclose(mine, array.grad.asnumpy(), rtol=1e-4, atol=1e-4)
    assert most < 4 * of_x.nbytes  # at once it were 9 times twice


@pytest.mark.parametrize("kind, channels", slow_but(itertools.product(oracle.KINDS, (32, 256)), ("single level", 32),
                                                    ("learning pyramid", 256)))
def test_a_network_trains_as_it_does_with_mxnets_operators_alone(kind, channels):
    rng = np.random.default_rng(5)
    options = oracle.small_options(kind, "--rpn-train-pre-nms", "600", "--rpn-channel", str(channels))
    network = oracle.filled(build_faster_rcnn(options, oracle.CLASSES, [mx.cpu()]))
    network.freeze_the_rest()
    sizes = [(96, 128), (80, 120)]
    x, truth = oracle.draw_batch(rng, sizes, (96, 128), (3, 2))
    rows = oracle.our_anchor_rows(anchor_grid(options), truth, sizes, (96, 128), 0)
    keys = mx.nd.array(rng.random((2, 100 + oracle.MAX_BOXES)))

    def step():
        return oracle.our_step(network, x, truth, rows, keys, [1.0, 1.0], UNSMOOTHED, 1 / 9, 1.0)

    losses, gradients = step()
    with portable():
        expected_losses, expected = step()
    # oneDNN may convolve in another way what it does not get in an order of its own
    differs = channels >= on_cpu.WIDE
    np.testing.assert_allclose(losses, expected_losses, rtol=1e-6 if differs else 0)
    for name, gradient in gradients.items():
        least = (1e-5 if differs else 1e-6) * np.abs(expected[name]).max()
        np.testing.assert_allclose(gradient, expected[name], rtol=1e-5, atol=least, err_msg=name)


@pytest.mark.parametrize("kind", slow_but(oracle.KINDS, "pyramid"))
def test_a_network_finds_what_it_finds_with_mxnets_operators_alone(kind):
    options = oracle.small_options(kind, "--rpn-test-pre-nms", "600")
    network = oracle.filled(build_faster_rcnn(options, oracle.CLASSES, [mx.cpu()]))
    x = mx.nd.random.normal(0, 1, (1, 3, 96, 128))
    found = [output.asnumpy() for output in network(x)]
    with portable():
        expected = [output.asnumpy() for output in network(x)]
    assert (expected[0] >= 0).any()
    for mine, theirs in zip(found, expected):
        np.testing.assert_array_equal(mine, theirs)


def test_a_graph_for_other_programs_has_mxnets_operators_alone():
    network = oracle.filled(build_faster_rcnn(oracle.small_options("pyramid"), oracle.CLASSES, [mx.cpu()]))

    def operators():
        graph = mx.sym.Group(list(InferenceGraph(network)(mx.sym.var("data"))))
        return {node["op"] for node in json.loads(graph.tojson())["nodes"]}

    assert "Custom" in operators()
    with portable():
        found = operators()
    assert "Custom" not in found and {"_contrib_ROIAlign", "_contrib_box_nms"} <= found

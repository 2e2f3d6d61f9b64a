"""Our pairing of anchors and boxes against MXNet's own operator, to the last bit, alone and in a training graph."""
import numpy as np
import pytest

from gluon_bof.backend import autograd, mx
from gluon_bof.models.build import portable
from gluon_bof.models.ssd import on_cpu
from gluon_bof.models.ssd.loss import MultiBoxLoss, TrainingGraph
from gluon_bof.models.ssd.targets import LEAST_IOU, MultiBoxTargets
from tests.models.ssd.test_ssd import CLASSES, SIDE, draw_truth, initialised_mini


def ious(rng, boxes, padding=0):
    """(3, 400, boxes + padding) of random boxes and 400 anchors of three sizes; those of padding are 0."""
    def corners(*shape):
        middle, half = rng.uniform(0, SIDE, (*shape, 2)), rng.choice((4, 12, 30), (*shape, 2))
        return np.concatenate([middle - half, middle + half], axis=-1)

    truth = np.full((3, boxes + padding, 4), -1.0)
    truth[:, :boxes] = corners(3, boxes)
    return mx.nd.contrib.box_iou(mx.nd.array(truth), mx.nd.array(corners(400))).transpose((0, 2, 1)).asnumpy()


def ties(rng):
    return np.round(rng.random((4, 300, 20)) * rng.integers(0, 2, (4, 300, 20)), 1)


CASES = {
    "boxes": lambda rng: ious(rng, 7), "padded boxes": lambda rng: ious(rng, 5, padding=3), "one box": lambda rng: ious(rng, 1),
    "no boxes": lambda rng: ious(rng, 0, padding=8), "random": lambda rng: rng.random((2, 90, 12)), "ties": ties,
    "identical boxes": lambda rng: np.repeat(ious(rng, 3), 4, axis=2), "all equal": lambda rng: np.full((2, 9, 5), 0.5),
    "identical anchors": lambda rng: np.repeat(ious(rng, 6), 3, axis=1), "one anchor": lambda rng: ious(rng, 6)[:, :1],
    "more boxes than anchors": lambda rng: ties(rng)[:, :6],
    "about the least": lambda rng: 10.0 ** rng.integers(-14, -10, (2, 50, 9)),
}


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("least", (LEAST_IOU, 0.3))
def test_pairs_are_mxnets_to_the_last_bit(case, least):
    iou = CASES[case](np.random.default_rng(0)).astype(np.float32)
    for given in (mx.nd.array(iou), mx.nd.array(iou.transpose(1, 0, 2)).transpose((1, 0, 2))):
        before = given.copy()
        found = on_cpu.paired(mx.nd, given, least)
        expected = mx.nd.contrib.bipartite_matching(given, threshold=least, is_ascend=False)[0]
        assert found.shape == expected.shape and found.dtype == expected.dtype
        np.testing.assert_array_equal(found.asnumpy(), expected.asnumpy())
        np.testing.assert_array_equal(given.asnumpy(), before.asnumpy())


def test_a_training_graph_learns_the_same_with_mxnets_operators_alone_at_every_size():
    rng = np.random.default_rng(1)
    batches = [(mx.nd.array(rng.integers(0, 256, (3, side, side, 3)), dtype=np.uint8), mx.nd.array(draw_truth(rng, side=side)))
               for side in (64, 96)]

    def results():
        network = initialised_mini()
        graph = TrainingGraph(network, MultiBoxLoss(CLASSES, is_on_cpus=True))
        graph.hybridize(static_alloc=True)
        for batch in batches * 2:
            with autograd.record():
                *losses, matched = graph(*batch)
            autograd.backward(losses)
            gradients = [parameter.grad() for parameter in network.collect_params().values() if parameter.grad_req != "null"]
            yield [array.asnumpy() for array in (*losses, matched, *gradients)]

    found = list(results())
    with portable():
        expected = list(results())
    assert all(np.abs(array).max() > 0 for array in expected[0][:3])
    for mine, theirs in zip(found, expected):
        for one, other in zip(mine, theirs):
            np.testing.assert_array_equal(one, other)


def operators(targets):
    return mx.sym.Group(list(targets(mx.sym.var("truth"), mx.sym.var("anchors")))).tojson()


def test_only_graphs_for_cpus_that_nobody_exports_have_an_operator_of_pythons():
    assert "Custom" in operators(MultiBoxTargets(is_on_cpus=True))
    with portable():
        exported = operators(MultiBoxTargets(is_on_cpus=True))
    for graph in (exported, operators(MultiBoxTargets())):
        assert "Custom" not in graph and "_contrib_bipartite_matching" in graph

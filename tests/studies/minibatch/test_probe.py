"""Probes against closed forms, against each other, and what they leave behind: nothing."""
import json
import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from scipy.stats import spearmanr

from gluon_bof.backend import autograd, gluon, mx
from gluon_bof.errors import UserError
from gluon_bof.models.classifier import TrainingGraph
from gluon_bof.models.yolo3 import TrainingGraph as DetectionGraph
from gluon_bof.models.yolo3 import YOLOv3Loss, build_yolo3, grid_on
from gluon_bof.options.minibatch import MinibatchOptions
from gluon_bof.studies.minibatch.gradients import Gradients
from gluon_bof.studies.minibatch.measure import described, null_of, probe_task, table_rows
from gluon_bof.studies.minibatch.partition import random_partition
from gluon_bof.studies.minibatch.probe import NotFinite, Probe, Stopped
from gluon_bof.studies.minibatch.sketch import Sketch
from gluon_bof.studies.minibatch.tasks import build_classifier
from gluon_bof.weights.load import weights_of

ROOT = Path(__file__).resolve().parents[3]
COUNT, SIZE, SIDE, CLASSES = 8, 6, 16, 4


class Regression(gluon.HybridBlock):
    """Half the squared error of a linear function, (B,)."""

    def __init__(self, features, *hidden):
        super().__init__()
        self.network = gluon.nn.HybridSequential()
        for units in (*hidden, 1):
            self.network.add(gluon.nn.Dense(units, in_units=features))

    def hybrid_forward(self, F, x, y):
        return [0.5 * F.square(F.reshape(self.network(x), (-1,)) - y)]


def sorted_images(count=COUNT, size=SIZE):
    """Batches (images, labels) of rising brightness, whose classes go with it a little."""
    rng = np.random.default_rng(1)
    level = np.sort(rng.uniform(20, 220, count * size))
    images = np.clip(level[:, None, None, None] + rng.normal(0, 30, (count * size, SIDE, SIDE, 3)), 0, 255).astype(np.uint8)
    ids = np.clip((level / 240 * CLASSES + rng.normal(0, 0.7, len(level))).astype(int), 0, CLASSES - 1)
    labels = np.stack([ids, ids, np.ones_like(ids)], axis=1).astype(np.float32)
    return [(mx.nd.array(images[at:at + size], dtype=np.uint8), mx.nd.array(labels[at:at + size]))
            for at in range(0, len(images), size)]


def classifier(name="cifar_resnet20_v1"):
    """(graph, network) whose running statistics are those of some images, with batches of them."""
    mx.random.seed(3)
    np.random.seed(3)
    network = build_classifier(name, CLASSES, SIDE, mx.cpu())
    graph = TrainingGraph(network, CLASSES, 0)
    graph.hybridize(static_alloc=True)
    batches = sorted_images()
    for arrays in batches * 2:
        with autograd.record():
            graph(*arrays)[0].wait_to_read()
    mx.nd.waitall()
    return graph, network, batches


@pytest.fixture(scope="module")
def resnet():
    return classifier()


def measured(resnet, method="two-pass", frozen=True, **how):
    graph, network, batches = resnet
    return Probe(Gradients(graph, network, frozen=frozen, **how), method).measure(lambda: batches)


def regression(count=6, size=10, features=7, seed=0):
    rng = np.random.default_rng(seed)
    x, y = rng.normal(size=(count, size, features)).astype(np.float32), rng.normal(size=(count, size)).astype(np.float32)
    graph = Regression(features)
    graph.initialize(mx.init.Normal(0.5))
    graph.hybridize(static_alloc=True)
    return graph, x, y, [(mx.nd.array(part), mx.nd.array(wanted)) for part, wanted in zip(x, y)]


@pytest.mark.parametrize("method", ["two-pass", "cache"])
def test_distances_of_a_linear_regression_are_the_closed_form(method):
    graph, x, y, batches = regression()
    layer = graph.network[0]
    weight, bias = (parameter.data().asnumpy().astype(np.float64) for parameter in (layer.weight, layer.bias))
    with_one = np.concatenate([x.astype(np.float64), np.ones(x.shape[:2] + (1,))], axis=2)
    gradients = np.einsum("kbf,kb->kf", with_one, with_one @ np.append(weight, bias) - y) / x.shape[1]
    full = gradients.mean(axis=0)
    found = described(Probe(Gradients(graph, graph), method).measure(lambda: batches), ("all",), x.shape[1])
    assert found["distance"] == pytest.approx(np.linalg.norm(gradients - full, axis=1), rel=1e-5)
    assert found["norm"] == pytest.approx(np.linalg.norm(gradients, axis=1), rel=1e-5)
    assert found["cosine"] == pytest.approx(gradients @ full / np.linalg.norm(gradients, axis=1) / np.linalg.norm(full), abs=1e-5)
    assert found["full_norm"] == pytest.approx(np.linalg.norm(full), rel=1e-5)
    assert found["diversity"] == pytest.approx((gradients ** 2).sum() / (gradients.sum(axis=0) ** 2).sum(), rel=1e-5)
    spread = ((gradients - full) ** 2).sum() / (len(x) - 1)
    assert found["noise_scale"] == pytest.approx(x.shape[1] * spread / (full ** 2).sum(), rel=1e-4)


def gradients_of_single_images(graph, x, y):
    """(N, features + 1) of a regression's images."""
    singles = np.concatenate([x.reshape(-1, x.shape[2]), np.ones((y.size, 1))], axis=1)
    weights = np.append(graph.network[0].weight.data().asnumpy(), graph.network[0].bias.data().asnumpy())
    return singles * (singles @ weights - y.ravel())[:, None]


def test_the_band_of_random_partitions_is_of_their_own_distances():
    graph, x, y, batches = regression(6, 4, 3)
    partition, of_image = np.arange(24).reshape(6, 4), gradients_of_single_images(graph, x, y)
    images, wanted = x.reshape(-1, 3), y.ravel()
    task = SimpleNamespace(batches_of=lambda parts: lambda: [(mx.nd.array(images[part]), mx.nd.array(wanted[part]))
                                                            for part in parts])
    probe = Probe(Gradients(graph, graph))
    probe.measure(lambda: batches)
    found = null_of(task, probe, partition, MinibatchOptions(null_partitions=5, null_batches=0, seed=3))
    drawn = np.concatenate([random_partition(partition, 4, 3, number) for number in range(5)])
    distances = np.linalg.norm(of_image[drawn].mean(axis=1) - of_image.mean(axis=0), axis=1)
    assert found["distances"] == pytest.approx(distances, rel=1e-4)
    assert [found[end] for end in ("low", "median", "high")] == pytest.approx(np.percentile(distances, (5, 50, 95)), rel=1e-4)


def test_a_row_has_the_mean_of_its_images_first_scores():
    scores, partition = np.random.default_rng(0).normal(size=(6, 2)), np.array([[5, 0], [1, 4]])
    found = {key: [0.0, 1.0] for key in ("class_entropy", "distance", "norm", "cosine")}
    for given in (scores, scores[:, 0]):
        assert [row["score"] for row in table_rows(found, given, partition)] == pytest.approx(scores[partition, 0].mean(axis=1))


def test_a_row_has_the_numbers_of_each_block_and_loss_under_its_name():
    def part(first):
        return {name: [first + place, first + place + 10] for place, name in enumerate(("distance", "norm", "cosine"))}

    found = {**part(0), "class_entropy": [0, 0], "blocks": {"neck": part(100)}, "losses": {"scale": part(200)}}
    row = table_rows(found, np.zeros(4), np.arange(4).reshape(2, 2))[1]
    assert [row[name] for name in ("norm", "neck_norm", "scale_norm", "neck_cosine")] == [11, 111, 211, 112]


def test_the_noise_scale_of_random_mini_batches_is_that_of_single_images():
    graph, x, y, batches = regression(400, 8, 3)
    gradients = gradients_of_single_images(graph, x, y)
    wanted = gradients.var(axis=0, ddof=1).sum() / (gradients.mean(axis=0) ** 2).sum()
    found = described(Probe(Gradients(graph, graph)).measure(lambda: batches), ("all",), 8)
    assert found["noise_scale"] == pytest.approx(wanted, rel=0.1)


def test_identical_mini_batches_are_at_distance_0(resnet):
    graph, network, batches = resnet
    for method in ("two-pass", "cache"):
        found = Probe(Gradients(graph, network), method).measure(lambda: [batches[0]] * 7)
        assert np.all(found.distance == 0) and np.all(found.norm > 0)
    assert described(found, ("all",), SIZE)["diversity"] == pytest.approx(1 / 7)


@pytest.mark.parametrize("frozen", [True, False])
def test_two_passes_and_the_papers_cache_agree(resnet, frozen, tmp_path):
    graph, network, batches = resnet
    ours = measured(resnet, frozen=frozen)
    cached = Probe(Gradients(graph, network, frozen=frozen), "cache", str(tmp_path)).measure(lambda: batches)
    assert np.sqrt(ours.distance) == pytest.approx(np.sqrt(cached.distance), rel=1e-7)
    assert np.argsort(ours.distance[:, 0]).tolist() == np.argsort(cached.distance[:, 0]).tolist()
    assert os.listdir(tmp_path) == []  # the cache goes with its probe


def test_a_cache_without_room_is_refused_before_the_disk_is_full(resnet, tmp_path, monkeypatch):
    from gluon_bof.studies.minibatch import probe
    monkeypatch.setattr(probe, "ROOM_LEFT", 1 << 62)
    with pytest.raises(UserError, match="no room for another gradient of 1 MB"):
        Probe(Gradients(*resnet[:2]), "cache", str(tmp_path)).measure(lambda: resnet[2])
    assert os.listdir(tmp_path) == []


def test_the_sketch_is_within_two_percent_and_ranks_alike(resnet):
    exact, sketched = (np.sqrt(measured(resnet, method).distance[:, 0]) for method in ("two-pass", "sketch"))
    assert np.mean(np.abs(sketched / exact - 1)) <= 0.02
    assert spearmanr(exact, sketched)[0] >= 0.99


def test_what_a_sketch_knows_exactly_makes_it_better_than_the_plain_one():
    rng = np.random.default_rng(0)
    centre = rng.normal(size=20000)
    gradients = centre + rng.normal(size=(40, 20000)) * np.geomspace(0.2, 5, 40)[:, None]
    mean = gradients.mean(axis=0)
    sketch = Sketch([(0, 0, 20000)], 1, 256)
    drawn = [sketch.empty() for _ in gradients]
    for one, gradient in zip(drawn, gradients):
        sketch.add(one, 0, slice(0, 20000), gradient)
    exact = ((gradients - mean) ** 2).sum(axis=1)
    drawn = np.array(drawn)[:, 0]
    plain = ((drawn - drawn.mean(axis=0)) ** 2).sum(axis=1)
    ours = sketch.compare([drawn], (gradients ** 2).sum(axis=1)[:, None], np.array([mean @ mean]))
    assert np.abs(ours[:, 0] / exact - 1).mean() < 0.7 * np.abs(plain / exact - 1).mean()


def test_blocks_that_are_smaller_than_a_sketch_are_exact(resnet):
    graph, network, batches = resnet
    exact, sketched = (measured(resnet, method, block=lambda name: name) for method in ("two-pass", "sketch"))
    sizes = [end - first for _, first, end in Gradients(graph, network).places]
    small = [number for number, size in enumerate(sizes) if size <= 16384]
    assert len(sizes) - 20 < len(small) < len(sizes)
    assert sketched.distance[:, small] == pytest.approx(exact.distance[:, small], rel=1e-4, abs=1e-12)


def full_gradient(resnet, frozen):
    """The gradient of the mean loss over all images at once."""
    graph, network, batches = resnet
    gradients = Gradients(graph, network, frozen=frozen)
    with gradients.standing_still():
        count = gradients.compute([mx.nd.concat(*parts, dim=0) for parts in zip(*batches)])
        return np.concatenate([values for _, _, values in gradients.pieces()]) / count


def test_the_mean_is_the_full_gradient_with_frozen_statistics_and_is_not_with_the_mini_batches_own(resnet):
    graph, network, batches = resnet
    apart = {}
    for frozen in (True, False):
        probe = Probe(Gradients(graph, network, frozen=frozen))
        probe.measure(lambda: batches)
        full = full_gradient(resnet, frozen)
        apart[frozen] = np.linalg.norm(probe.mean / SIZE - full) / np.linalg.norm(full)
    assert apart[True] < 1e-4
    assert apart[False] > 0.05


@pytest.mark.parametrize("method, frozen", [("two-pass", True), ("two-pass", False), ("cache", True), ("sketch", False)])
def test_a_probe_leaves_parameters_statistics_and_random_numbers_to_the_bit(resnet, method, frozen):
    graph, network, batches = resnet
    before, state = weights_of(network), np.random.get_state()
    mx.random.seed(7)
    wanted = mx.nd.random.uniform(shape=4).asnumpy()
    mx.random.seed(7)
    measured(resnet, method, frozen)
    assert np.array_equal(mx.nd.random.uniform(shape=4).asnumpy(), wanted)
    assert all(np.array_equal(one, other) for one, other in zip(state, np.random.get_state()))
    after = weights_of(network)
    assert all(np.array_equal(before[name], after[name]) for name in before)


def test_training_after_a_probe_gives_the_bits_of_training_without(tmp_path):
    def trained(probes):
        graph, network, batches = classifier("dpn-mini")
        trainer = gluon.Trainer(network.collect_params(), "sgd", {"learning_rate": 0.1, "momentum": 0.9})
        for arrays in batches[:3]:
            if probes:
                measured((graph, network, batches[:2]))
            with autograd.record():
                losses = graph(*arrays)[0]
            losses.backward()
            trainer.step(SIZE)
        return weights_of(network)
    plain, probed = trained(False), trained(True)
    assert all(np.array_equal(plain[name], probed[name]) for name in plain)


def test_gradients_that_training_sums_up_do_not_count_twice(resnet):
    graph, network, batches = resnet
    wanted = measured(resnet)
    learned = [parameter for parameter in network.collect_params().values() if parameter.grad_req == "write"]
    try:
        for parameter in learned:
            parameter.grad_req = "add"
        graph.hybridize(static_alloc=True)
        found = measured(resnet)
        assert found.distance == pytest.approx(wanted.distance, rel=1e-6)
        assert all(np.all(parameter.grad().asnumpy() == 0) for parameter in learned)
    finally:
        for parameter in learned:
            parameter.grad_req = "write"
        graph.hybridize(static_alloc=True)


def test_blocks_add_up_to_the_whole(resnet):
    graph, network, batches = resnet
    whole = measured(resnet)
    gradients = Gradients(graph, network, block=lambda name: name.split(".")[0])
    parts = Probe(gradients).measure(lambda: batches)
    assert gradients.blocks == ("features", "output")
    for one, other in zip(whole, parts):
        assert one.sum(axis=-1) == pytest.approx(other.sum(axis=-1), rel=1e-12)
    pieces = np.concatenate([values for _, _, values in gradients.pieces()])
    assert np.array_equal(pieces, np.concatenate([parameter.grad().asnumpy().ravel()
                                                  for parameter in gradients.parameters.values()]))


def test_other_mini_batches_are_measured_against_the_same_full_gradient(resnet):
    graph, network, batches = resnet
    probe = Probe(Gradients(graph, network))
    wanted = probe.measure(lambda: batches)
    assert np.array_equal(probe.against_mean(lambda: batches[3:5]).distance, wanted.distance[3:5])


def test_a_probe_that_is_stopped_says_so_and_leaves_the_network(resnet):
    graph, network, batches = resnet
    before, asked = weights_of(network), []
    probe = Probe(Gradients(graph, network, frozen=False), should_stop=lambda: asked.append(1) or len(asked) > 5)
    with pytest.raises(Stopped):
        probe.measure(lambda: batches)
    after = weights_of(network)
    assert all(np.array_equal(before[name], after[name]) for name in before)


def test_a_detectors_four_losses_are_probed_one_by_one_and_add_up():
    mx.random.seed(0)
    network = build_yolo3("darknet-mini", ("a", "b"))
    network.initialize()
    network(mx.nd.zeros((1, 3, 64, 64)))
    graph = DetectionGraph(network, YOLOv3Loss(2))
    graph.hybridize(static_alloc=True)
    rng = np.random.default_rng(0)
    truth = np.full((2, 8, 6), -1, np.float32)
    truth[:, 0] = (10, 12, 40, 44, 1, 1)
    arrays = mx.nd.array(rng.integers(0, 255, (2, 64, 64, 3)), dtype=np.uint8), mx.nd.array(truth)

    def of(loss):
        gradients = Gradients(graph, network, lambda images, truth: (images, truth, *grid_on(mx.cpu(), 64)), False, loss=loss)
        with gradients.standing_still():
            gradients.compute(arrays)
            return np.concatenate([values for _, _, values in gradients.pieces()])
    whole, parts = of(None), [of(loss) for loss in range(4)]
    assert np.abs(sum(parts) - whole).max() < 1e-4 * np.abs(whole).max()
    assert all(np.linalg.norm(part) > 0 for part in parts)


MEMORY = """
import json
from benchmarks.minibatch import peak_mb
from gluon_bof.backend import autograd, gluon, mx
from gluon_bof.devices import return_large_arrays
from gluon_bof.studies.minibatch.gradients import Gradients
from gluon_bof.studies.minibatch.probe import Probe
from tests.studies.minibatch.test_probe import Regression

return_large_arrays()
graph = Regression(1024, 1024, 1024, 1024)
graph.initialize(mx.init.Normal(0.02))
graph.hybridize(static_alloc=True)
trainer = gluon.Trainer(graph.collect_params(), "sgd", {"learning_rate": 1e-3, "momentum": 0.9}, kvstore=None)
batch = mx.nd.random.normal(shape=(4, 1024)), mx.nd.zeros(4)
for _ in range(3):
    with autograd.record():
        loss = graph(*batch)[0]
    loss.backward()
    trainer.step(4)
mx.nd.waitall()
training, found = peak_mb(), []
for count in (3, 12):
    peak_mb(forget=True)
    gradients = Gradients(graph, graph)
    Probe(gradients).measure(lambda: [batch] * count)
    found.append((peak_mb() - training) / (4 * gradients.size / 2 ** 20))
print(json.dumps(found))
"""


@pytest.mark.slow
def test_a_probe_takes_at_most_three_times_the_parameters_whatever_the_number_of_mini_batches():
    if not os.access("/proc/self/clear_refs", os.W_OK):
        pytest.skip("the system does not tell peaks")
    said = subprocess.run([sys.executable, "-c", MEMORY], cwd=ROOT, capture_output=True, text=True, check=True)
    few, many = json.loads(said.stdout.splitlines()[-1])
    assert 1 < few <= 3 and 1 < many <= 3
    assert abs(few - many) < 0.2


class TwoHeads(gluon.HybridBlock):
    """Half the squares of two linear functions, (B,) each."""

    def __init__(self):
        super().__init__()
        self.one, self.other = (gluon.nn.Dense(1, in_units=3) for _ in range(2))

    def hybrid_forward(self, F, x):
        return [0.5 * F.square(F.reshape(head(x), (-1,))) for head in (self.one, self.other)]


def two_heads(sizes=(4, 4, 4)):
    graph = TwoHeads()
    graph.initialize(mx.init.Normal(1))
    rng = np.random.default_rng(0)
    return graph, [(mx.nd.array(rng.normal(size=(size, 3))),) for size in sizes]


def test_a_head_that_a_loss_does_not_reach_has_no_gradient_left_of_training():
    graph, batches = two_heads()
    with autograd.record():
        total = mx.nd.add_n(*graph(*batches[0]))
    total.backward()
    gradients = Gradients(graph, graph, block=lambda name: name.split(".")[0], loss=0)
    found = Probe(gradients).measure(lambda: batches)
    assert gradients.blocks == ("one", "other")
    assert np.all(found.norm[:, 0] > 0) and np.all(found.norm[:, 1] == 0) and found.full[1] == 0


def task_of(graph, batches, *losses):
    """A task whose mini-batches are these, whatever images are asked for."""
    return SimpleNamespace(graph=graph, network=graph, arguments=lambda *arrays: arrays, loss_names=losses, labels=[(0,)] * 12,
                           block=lambda name: name.split(".")[0], batches_of=lambda partition: lambda: batches)


def probed(task, **options):
    return probe_task(task, np.arange(12).reshape(3, 4), MinibatchOptions(null_partitions=0, **options))


def test_each_loss_is_probed_by_itself():
    found = probed(task_of(*two_heads(), "one", "other"), by_loss=True)
    for name in ("one", "other"):  # the loss and the head that it alone reaches
        assert found["losses"][name]["distance"] == pytest.approx(found["blocks"][name]["distance"], rel=1e-6)


class Normed(gluon.HybridBlock):
    """The square of a linear function of what batch normalisation leaves, (B,)."""

    def __init__(self):
        super().__init__()
        self.norm, self.line = gluon.nn.BatchNorm(in_channels=3), gluon.nn.Dense(1, in_units=3)

    def hybrid_forward(self, F, x):
        return [F.square(F.reshape(self.line(self.norm(x)), (-1,)))]


@pytest.fixture
def normed():
    """(graph, images (12, 3))."""
    graph = Normed()
    graph.initialize(mx.init.Normal(1))
    return graph, np.random.default_rng(0).normal(size=(12, 3)).astype(np.float32)


def test_the_mean_is_told_not_to_be_the_full_gradient_where_mini_batches_are_normalised_by_themselves(normed):
    graph, images = normed
    task = task_of(graph, [(mx.nd.array(part),) for part in np.split(images, 3)])
    frozen, batch = (probed(task, statistics=statistics) for statistics in ("frozen", "batch"))
    assert frozen["mean_is_full_gradient"] and not batch["mean_is_full_gradient"]
    assert frozen["distance"] != pytest.approx(batch["distance"], rel=0.01)
    assert probed(task_of(*two_heads()), statistics="batch")["mean_is_full_gradient"]  # nothing normalises


def test_random_partitions_that_are_normalised_by_themselves_each_have_a_full_gradient_of_their_own(normed):
    graph, images = normed
    partition = np.arange(12).reshape(3, 4)

    def batches_of(parts):
        return lambda: [(mx.nd.array(images[part]),) for part in parts]

    def gradient(batch):
        with autograd.record():
            loss, = graph(*batch)
        loss.backward()
        return np.concatenate([parameter.grad().asnumpy().ravel() for parameter in graph.collect_params().values()
                               if parameter.grad_req != "null"]) / len(batch[0])

    probe = Probe(Gradients(graph, graph, frozen=False))
    probe.measure(batches_of(partition))
    found = null_of(SimpleNamespace(batches_of=batches_of), probe, partition,
                    MinibatchOptions(null_partitions=3, statistics="batch"), epoch=2)["distances"]
    wanted = []
    for number in range(3):
        gradients = np.array([gradient(batch) for batch in batches_of(random_partition(partition, 4, 0, 2000 + number))()])
        wanted += list(np.linalg.norm(gradients - gradients.mean(axis=0), axis=1))
    assert found == pytest.approx(wanted, rel=1e-3)


def test_mini_batches_that_cannot_be_compared_are_refused():
    graph, batches = two_heads((4, 4, 2))
    with pytest.raises(ValueError, match="mini-batch 2 has 2 images and the others have 4"):
        Probe(Gradients(graph, graph)).measure(lambda: batches)
    once = iter(batches[:2])
    for made in (lambda: once, lambda: []):
        with pytest.raises(ValueError, match="there are no mini-batches"):
            Probe(Gradients(graph, graph)).measure(made)
    probe = Probe(Gradients(graph, graph))
    probe.measure(lambda: batches[:2])
    with pytest.raises(ValueError, match="mini-batch 0 has 2 images and the others have 4"):
        probe.against_mean(lambda: batches[2:])
    calls = iter((batches[:2], batches[:1]))
    with pytest.raises(ValueError, match="saw 2 mini-batches and the second 1"):
        Probe(Gradients(graph, graph)).measure(lambda: next(calls))


def test_a_mean_loss_is_no_loss_of_each_image():
    graph, batches = two_heads()
    mean = gluon.nn.HybridLambda(lambda F, loss: F.mean(loss))
    with pytest.raises(ValueError, match="is not one number for each of 4 images"):
        Probe(Gradients(lambda x: [mean(loss) for loss in graph(x)], graph)).gradients.compute(batches[0])


@pytest.mark.parametrize("method", ["two-pass", "cache", "sketch"])
def test_a_gradient_that_is_not_finite_is_no_distance(method):
    graph, batches = two_heads()
    batches[1][0][0, 0], batches[2][0][0, 0] = np.inf, -np.inf
    with pytest.raises(NotFinite, match="is not finite"):
        Probe(Gradients(graph, graph), method).measure(lambda: batches)
    probe = Probe(Gradients(graph, graph))
    probe.measure(lambda: batches[:1] * 2)
    with pytest.raises(NotFinite):
        probe.against_mean(lambda: batches[1:2])

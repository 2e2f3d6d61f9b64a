"""Steps over one and several devices, and the losses of an epoch."""
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from gluon_bof.backend import amp, gluon, mx
from gluon_bof.distributed import comm
from gluon_bof.errors import UserError
from gluon_bof.training.loop import EpochLosses, SharedStatistics, Step, train_epoch
from gluon_bof.training.optimizer import build_trainer, start_amp

ROOT = Path(__file__).resolve().parents[2]


class TwoLosses(gluon.HybridBlock):
    """A linear model with two losses an image."""

    def __init__(self):
        super().__init__()
        self.dense = gluon.nn.Dense(2, in_units=12)

    def hybrid_forward(self, F, images, truth):
        error = self.dense(F.reshape(images.astype("float32"), (0, -1)) / 255) - truth
        first, second = F.split(error ** 2, axis=1, num_outputs=2, squeeze_axis=True)
        return first, second


def steps_on(devices, count=5, scaled=False):
    mx.random.seed(1)
    graph = TwoLosses()
    graph.initialize(ctx=devices)
    trainer = build_trainer(graph.collect_params(), mx.optimizer.SGD(learning_rate=0.1, momentum=0.9), devices,
                            scaled, "local")
    step = Step(graph, lambda images, truth: (images, truth), trainer, devices, 6, scaled)
    rng = np.random.default_rng(0)
    losses = [step(mx.nd.array(rng.integers(0, 255, (6, 2, 2, 3)), dtype="uint8"), mx.nd.array(rng.normal(size=(6, 2))))
              for _ in range(count)]
    return [loss.asnumpy() for loss in losses], graph.dense.weight.data(devices[0]).asnumpy()


def test_two_devices_do_what_one_does():
    one, two = steps_on([mx.cpu(0)]), steps_on([mx.cpu(0), mx.cpu(1)])
    np.testing.assert_allclose(one[0], two[0], rtol=1e-5)
    np.testing.assert_allclose(one[1], two[1], rtol=1e-5)


class Two(comm.Alone):
    """This process and another, whose numbers are three times ours."""

    size = 2

    def sum(self, name, array):
        return 4 * array


def test_running_statistics_move_by_the_mean_of_all_workers_moves(monkeypatch):
    monkeypatch.setattr(comm, "_group", Two())
    norms = gluon.nn.HybridSequential()
    norms.add(gluon.nn.BatchNorm(in_channels=2), gluon.nn.BatchNorm(in_channels=3))
    norms.initialize()
    statistics, wanted, rng = SharedStatistics(norms), {}, np.random.default_rng(0)
    running = norms.collect_params(".*running_.*")
    for name, parameter in running.items():
        move = rng.normal(size=parameter.shape)
        wanted[name] = parameter.data().asnumpy() + 2 * move
        parameter.set_data(parameter.data() + mx.nd.array(move))
    statistics.update()
    for name, parameter in running.items():
        np.testing.assert_allclose(parameter.data().asnumpy(), wanted[name], rtol=1e-5, err_msg=name)


def test_mixed_precision_scales_losses_and_no_update(monkeypatch):
    """Without fp16, which no CPU computes: MXNet, which would be changed for the whole process, is told that it is already."""
    for told in ("_amp_initialized", "_amp_loss_scale_initialized"):
        monkeypatch.setattr(amp.amp, told, True)
    start_amp([mx.gpu(0)])
    for found, wanted in zip(steps_on([mx.cpu(0)], scaled=True), steps_on([mx.cpu(0)])):
        np.testing.assert_array_equal(found, wanted)  # a power of two costs no bit


class PlainStep:
    """What an epoch asks of a step, of losses that compute(*arrays) gives."""

    accumulate, batch_size = 1, 6

    def __init__(self, compute, rate=0.1):
        self.compute = compute
        self.trainer = SimpleNamespace(learning_rate=rate)

    def __call__(self, *arrays):
        return self.compute(*arrays)


def batches_of(values):
    return [(np.zeros((2, 1)), value, []) for value in values]


def test_an_epochs_losses_are_means_and_survive_being_saved():
    losses = EpochLosses(("a", "b"))
    step = PlainStep(lambda images, value: mx.nd.array(value))
    seen = []
    reached = train_epoch(batches_of([(1, 2), (3, 4), (5, 9)]), step, losses, 0, 4, seen.append, None)
    assert reached == 7 and seen == [4, 5, 6]
    assert losses.means() == pytest.approx({"a": 3, "b": 5, "total": 8})
    assert losses.images == 6 and losses.learning_rate == 0.1
    assert EpochLosses(("a", "b"), losses.saved()).means() == losses.means()


def test_an_epochs_images_are_those_of_all_processes(monkeypatch):
    """Each has a part of a batch."""
    monkeypatch.setattr("gluon_bof.training.loop.comm.size", lambda: 3)
    losses = EpochLosses(("a", "b"))
    train_epoch(batches_of([(1, 2), (3, 4)]), PlainStep(lambda images, value: mx.nd.array(value)), losses, 0, 0,
                lambda batch: False, None)
    assert losses.images == 12


def test_an_epochs_seconds_are_those_that_passed(monkeypatch):
    clock, losses = [0.0], EpochLosses(("a",))
    monkeypatch.setattr("gluon_bof.training.loop.time", SimpleNamespace(perf_counter=lambda: clock[0]))

    def after(seconds, value):
        clock[0] += seconds
        return value

    loader = (after(0.5, (np.zeros((2, 1)), [])) for _ in range(4))
    train_epoch(loader, PlainStep(lambda images: after(1.0, mx.nd.ones(1))), losses, 0, 0, lambda batch: False, None)
    assert losses.waiting == 2 and losses.seconds == 6


@pytest.mark.parametrize("bad", (float("nan"), float("inf")))
def test_a_loss_that_is_not_finite_names_its_place(bad):
    step = PlainStep(lambda images, value: mx.nd.array(value), 2.1e-3)
    with pytest.raises(UserError) as refusal:
        train_epoch(batches_of([(1, 2), (3, bad), (5, 6)]), step, EpochLosses(("a", "b")), 3, 40, lambda batch: False, None)
    assert f"b loss became {bad} at epoch 3, batch 41, learning rate 0.0021" in str(refusal.value)
    # --warmup-epochs is not every family's
    assert "lengthen the warm-up" in str(refusal.value) and "--warmup-epochs" not in str(refusal.value)


def test_stopping_drains_what_is_in_flight():
    done = []
    step = PlainStep(lambda images, value: done.append(value) or mx.nd.array(value))
    losses = EpochLosses(("a", "b"))
    reached = train_epoch(batches_of([(i, i) for i in range(10)]), step, losses, 0, 0, lambda batch: batch == 2, None)
    assert reached == len(done) == losses.batches == 5

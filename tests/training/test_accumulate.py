"""--accumulate: an update's gradient against numpy and against the larger batch's, its batches, its counts, stops and losses."""
import os
import signal

import numpy as np
import pytest

from gluon_bof.backend import gluon, mx
from gluon_bof.data.sampler import BatchSampler
from gluon_bof.data.workers import WorkerLost
from gluon_bof.errors import UserError
from gluon_bof.freebies.mixup import MixRatio
from gluon_bof.options.yolo3 import Yolo3Options
from gluon_bof.runs.folder import Run
from gluon_bof.training.engine import Stopped
from gluon_bof.training.loop import Step
from gluon_bof.training.optimizer import build_trainer
from gluon_bof.weights.formats.checkpoint import read_checkpoint
from gluon_bof.weights.load import read_weights, weights_of
from tests.training.tiny_engine import BATCHES, OPTIONS, RATES, Scores, TwoLosses, engine_of, table


def options_of(accumulate, **changes):
    return Yolo3Options(**{**vars(OPTIONS), "val_interval": 1, "accumulate": accumulate, **changes})


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A run of two batches an update, a row each, that was never stopped."""
    run = Run(str(tmp_path_factory.mktemp("whole")))
    engine_of(run, Scores(), options_of(2, log_interval=1)).run_epochs()
    run.close()
    return run


def step_of(accumulate, images, devices=None, lr=0.1):
    """A step of a linear model of its own."""
    devices = devices or [mx.cpu(0)]
    mx.random.seed(3)
    network = gluon.nn.Dense(2, in_units=4, prefix="line_")
    network.initialize(mx.init.Normal(0.5), ctx=devices)
    trainer = build_trainer(network.collect_params(), mx.optimizer.SGD(learning_rate=lr, momentum=0.9), devices, kvstore="local")
    graph = TwoLosses(network)
    graph.hybridize(static_alloc=True)
    return network, Step(graph, lambda *arrays: arrays, trainer, devices, images, accumulate=accumulate)


def numbers(images, seed):
    rows = np.random.default_rng(seed).normal(size=(images, 6)).astype(np.float32)
    return rows[:, :4], rows[:, 4:]


@pytest.mark.parametrize("devices", ([mx.cpu(0)], [mx.cpu(0), mx.cpu(1)]), ids=len)
def test_an_update_is_numpys_with_the_mean_gradient_of_all_its_batches(devices):
    network, step = step_of(3, 2, devices)
    weight, bias = (array.astype(np.float64) for array in weights_of(network).values())
    velocity = [np.zeros_like(weight), np.zeros_like(bias)]
    for update in range(4):
        images, truth = numbers(6, update)
        for part in range(3):
            before = weights_of(network)
            step(mx.nd.array(images[2 * part:2 * part + 2]), mx.nd.array(truth[2 * part:2 * part + 2]))
            if part < 2:
                assert all((before[name] == array).all() for name, array in weights_of(network).items())
        error = images @ weight.T + bias - truth
        slope = (2 * error + np.sign(error)) / 6
        velocity = [0.9 * old + 0.1 * gradient for old, gradient in zip(velocity, (slope.T @ images, slope.sum(axis=0)))]
        weight, bias = weight - velocity[0], bias - velocity[1]
        for found, wanted in zip(weights_of(network).values(), (weight, bias)):
            np.testing.assert_allclose(found, wanted, rtol=1e-6, atol=1e-6)


def test_a_step_knows_the_batch_that_is_to_come():
    """Dropout draws by it: what takes the memory counts for nothing, and a run that goes on counts from where it stopped."""
    (_, step), (_, later) = step_of(3, 2), step_of(3, 2)
    step.warm_up(*map(mx.nd.array, numbers(2, 99)))
    for batch in range(7):
        assert step.batch == batch
        step(*map(mx.nd.array, numbers(2, batch)))
    later.trainer.optimizer.num_update = 2
    assert later.batch == 6


def test_warming_up_leaves_no_gradient_behind():
    (network, step), (plain, untouched) = step_of(2, 2), step_of(2, 2)
    step.warm_up(*map(mx.nd.array, numbers(2, 99)))
    for part in range(2):
        for one in (step, untouched):
            one(*map(mx.nd.array, numbers(2, part)))
    assert all((weights_of(plain)[name] == array).all() for name, array in weights_of(network).items())


@pytest.mark.parametrize("aspects", (False, True), ids=("stream", "aspects"))
@pytest.mark.parametrize("images", (7, 16, 35))
def test_its_batches_are_the_parts_of_the_larger_one(images, aspects):
    how = dict(seed=4, sizes=(8, 16, 24), size_interval=2, mix=MixRatio(1.5, 1.5), mix_until=2,
               aspects=np.random.default_rng(0).uniform(0.5, 2, images) if aspects else None)
    larger, parts = BatchSampler(images, 8, **how), BatchSampler(images, 2, **how, accumulate=4)
    assert parts.batches == 4 * larger.batches and parts.updates == larger.batches == larger.updates == max(1, images // 8)
    for epoch in range(4):
        wanted = [spec for batch in larger.start(epoch) for spec in batch]
        found = list(parts.start(epoch))
        assert [spec for batch in found for spec in batch] == wanted and {len(batch) for batch in found} == {2}
        assert list(parts.start(epoch, 4 * larger.batches - 2)) == found[-2:]


def test_a_run_is_that_of_the_larger_batch(opened, whole):
    larger = opened("larger")
    engine = engine_of(larger, Scores(), options_of(1))
    engine.run_epochs()
    assert engine.iteration == 4 * BATCHES
    assert [os.path.basename(path) for path in whole.checkpoint_paths()] == [
        os.path.basename(path) for path in larger.checkpoint_paths()]
    wanted = read_weights(larger.last_weights)
    for name, found in read_weights(whole.last_weights).items():
        np.testing.assert_allclose(found, wanted[name], rtol=1e-6, atol=1e-6)
    for found, other in zip(table(whole, "metrics"), table(larger, "metrics")):
        assert [found[key] for key in ("epoch", "iteration", "learning_rate")] == [
            other[key] for key in ("epoch", "iteration", "learning_rate")]
        assert float(found["first_loss"]) == pytest.approx(float(other["first_loss"]), rel=1e-5)
    rows = table(whole, "intervals")
    assert [int(row["iteration"]) for row in rows] == [number // 2 + 1 for number in range(8 * BATCHES)]
    assert [float(row["learning_rate"]) for row in rows[1::2]] == RATES


@pytest.mark.parametrize("asked", range(2 * BATCHES - 3))
def test_asked_to_stop_it_stops_between_updates_and_goes_on_to_the_bit(opened, whole, asked):
    run, options = opened("stopped"), options_of(2, log_interval=1)
    engine = engine_of(run, Scores(), options)
    after_batch = engine._after_batch

    def ask(batch):
        if engine.epoch == 2 and batch == asked:
            os.kill(os.getpid(), signal.SIGTERM)
        return after_batch(batch)

    engine._after_batch = ask
    with pytest.raises(Stopped):
        engine.run_epochs()
    meta, _ = read_checkpoint(run.checkpoint_paths()[-1])
    assert meta["batch"] % 2 == 0 and meta["losses"]["batches"] in (0, meta["batch"])
    resumed = engine_of(run, Scores((0.4, 0.3)), options, resume=True)
    resumed.run_epochs()
    assert open(run.last_weights, "rb").read() == open(whole.last_weights, "rb").read()
    for name in ("metrics", "intervals"):
        columns = ("epoch", "iteration", "first_loss", "second_loss", "learning_rate")
        rows, wanted = ([[row[column] for column in columns] for row in table(place, name)] for place in (run, whole))
        assert rows == wanted


def test_data_that_is_lost_within_an_update_costs_that_update_alone(opened, whole):
    run = opened("lost")
    engine = engine_of(run, Scores(), options_of(2))
    loader = engine.loader

    def losing():
        for number, batch in enumerate(loader):
            if number == 3:
                raise WorkerLost("a data worker died")
            yield batch

    engine.loader = losing()
    with pytest.raises(WorkerLost):
        engine.run_epochs()
    meta, _ = read_checkpoint(run.checkpoint_paths()[-1])
    assert (meta["epoch"], meta["batch"], meta["losses"]["batches"]) == (0, 2, 2)
    engine_of(run, Scores(), options_of(2), resume=True).run_epochs()
    assert open(run.last_weights, "rb").read() == open(whole.last_weights, "rb").read()


def test_a_start_in_mid_schedule_counts_updates(opened):
    run = opened("late")
    engine = engine_of(run, Scores(), options_of(2, start_epoch=3))
    assert engine.iteration == 3 * BATCHES
    engine.run_epochs()
    assert float(table(run, "metrics")[0]["learning_rate"]) == RATES[-1]


def test_less_than_one_batch_is_refused_by_name():
    with pytest.raises(UserError, match="--accumulate 0 is below 1"):
        Yolo3Options(accumulate=0).check()

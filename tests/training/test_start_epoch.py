"""Trainings that begin in the middle of their schedule, and runs that go on elsewhere."""
import contextlib
import json
import logging

import numpy as np
import pytest

import train_yolo3
from gluon_bof.backend import gluon, mx
from gluon_bof.data.sampler import BatchSampler
from gluon_bof.errors import LOGGER
from gluon_bof.freebies.schedule import CountedFromOne, build_schedule
from gluon_bof.options.yolo3 import Yolo3Options
from gluon_bof.runs.folder import Run
from gluon_bof.runs.opening import create_run, reopen_run
from gluon_bof.training.engine import Engine
from gluon_bof.training.loop import Step
from gluon_bof.training.optimizer import build_trainer
from gluon_bof.weights.formats.checkpoint import read_checkpoint
from tests.pages import without_pages
from tests.tiny_networks import write_run
from tests.tiny_sets import write_voc_set

# 8 epochs of 2 batches: warm-up over 4 iterations, a tenth of the rate from 8 and from 12 on
SCHEDULE = dict(mode="step", base_lr=1e-3, iterations=16, warmup=4, warmup_lr=0.0, steps=[8, 12], factor=0.1)
RATES = [0, 1e-3 / 3, 2e-3 / 3, 1e-3, 1e-3, 1e-3, 1e-3, 1e-3, 1e-4, 1e-4, 1e-4, 1e-4, 1e-5, 1e-5, 1e-5, 1e-5]


class Slope(gluon.HybridBlock):
    """A weight whose gradient is -1 an image: plain descent moves it by the rate."""

    def __init__(self):
        super().__init__()
        self.weight = self.params.get("weight", shape=(1,), init="zeros")

    def hybrid_forward(self, F, images, weight):
        return (F.broadcast_add(F.reshape(images * 0, (-1,)), -weight),)


def trained(run, options, position, devices=None, optimizer=None):
    """(engine after its epochs, the weight after each update)."""
    devices = devices or [mx.cpu(0)]
    graph = Slope()
    graph.initialize(ctx=devices)
    trainer = build_trainer(graph.collect_params(), (optimizer or mx.optimizer.SGD)(
        learning_rate=1e-3, lr_scheduler=CountedFromOne(build_schedule(**SCHEDULE))), devices, kvstore="local")
    weights = []

    def step(*arrays):
        loss = Step(graph, lambda *given: given, trainer, devices, 2)(*arrays)
        weights.append(float(graph.weight.data(devices[0]).asscalar()))
        return loss

    step.trainer, step.devices, step.accumulate = trainer, devices, 1
    batches = [(mx.nd.zeros((2, 1)), [])] * 2
    engine = Engine(run, options, graph, step, BatchSampler(4, 2, 0, (32,)), batches, ("slope",),
                    lambda should_stop: {"map": 0.5}, position)
    engine.run_epochs()
    return engine, weights


def options_of(tmp_path, **changes):
    return Yolo3Options(runs=str(tmp_path), name="run", epochs=8, log_interval=1, save_interval=0, network="mobilenet0.25",
                        **changes)


def logged(run):
    return [float(row["learning_rate"]) for row in run.rows("intervals")]


@pytest.mark.parametrize("start", (0, 3, 6))
def test_a_training_that_starts_later_uses_and_logs_the_rates_of_there(start, tmp_path):
    run = create_run(options_of(tmp_path, start_epoch=start))
    _, weights = trained(run, options_of(tmp_path, start_epoch=start), {})
    np.testing.assert_allclose(np.diff([0, *weights]), RATES[2 * start:], rtol=2e-3, atol=1e-9)  # differences of float32
    np.testing.assert_allclose(logged(run), RATES[2 * start:], rtol=1e-12)
    np.testing.assert_allclose([float(row["learning_rate"]) for row in run.rows("metrics")], RATES[2 * start + 1::2], rtol=1e-12)


def test_adam_still_corrects_the_bias_of_its_first_updates(tmp_path):
    """Its first update moves by the rate, whatever the gradient; without the correction by about a third of it."""
    run = create_run(options_of(tmp_path, start_epoch=6))
    _, weights = trained(run, options_of(tmp_path, start_epoch=6), {}, optimizer=mx.optimizer.Adam)
    assert weights[0] == pytest.approx(1e-5, rel=1e-3)


def test_the_script_logs_what_it_uses(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    without_pages(monkeypatch)
    data, source = write_voc_set(tmp_path / "set", images=4, validation=2), write_run(tmp_path / "other")
    train_yolo3.main(["--dataset", str(data), "--network", "mobilenet0.25-slim", "--data-shape", "64", "--no-random-shape",
                      "--pretrained-base", "no", "--batch-size", "2", "--epochs", "8", "--warmup-epochs", "2", "--lr-decay-epoch",
                      "4,6", "--lr", "0.001", "--log-interval", "1", "-j", "0", "--name", "late", "--resume",
                      f"{source}/best.params", "--start-epoch", "6", "--val-interval", "9"])
    run = Run("runs/late")
    np.testing.assert_allclose(logged(run), [1e-5] * 4, rtol=1e-9)
    assert [row["epoch"] for row in run.rows("metrics")] == ["6", "7"]


@contextlib.contextmanager
def warnings():
    """What is warned of meanwhile."""
    told = []
    handler = logging.Handler(logging.WARNING)
    handler.emit = lambda record: told.append(record.getMessage())
    LOGGER.addHandler(handler)
    try:
        yield told
    finally:
        LOGGER.removeHandler(handler)


def test_another_number_of_devices_is_warned_of_once(tmp_path):
    run = create_run(options_of(tmp_path))
    position = {"epoch": 7, "devices": 1}
    with warnings() as told:
        trained(run, options_of(tmp_path), {})
        trained(run, options_of(tmp_path), position)
        assert not any("goes on with" in line for line in told)
        trained(run, options_of(tmp_path), position, [mx.cpu(0), mx.cpu(1)])
    of_devices, = (line for line in told if "goes on with" in line)  # the others are of what is dropped
    assert "trained on 1 device and goes on with 2" in of_devices


def test_a_checkpoint_tells_on_how_many_devices_it_was_trained(tmp_path):
    run = create_run(options_of(tmp_path))
    trained(run, options_of(tmp_path), {"epoch": 7}, [mx.cpu(0), mx.cpu(1)])
    meta, _ = read_checkpoint(run.checkpoint_paths()[-1])
    assert meta["devices"] == 2


@pytest.mark.parametrize("before, after, count",
                         ((None, "0,1", 0), ("0", "0,1", 1), ("0,1", "", 1), ("0,1", "2,3", 0), ("", "0", 0)))
def test_flags_that_state_another_number_are_warned_of_once(before, after, count, tmp_path):
    run = create_run(options_of(tmp_path, gpus=before))
    run.close()
    with warnings() as told:
        again, resumed, _ = reopen_run(run.folder, None, options_of(tmp_path, gpus=after), {"gpus", "resume"})
        assert resumed.gpus == after and len(told) == count
        if before is not None:  # the flags have told it: what the checkpoint says is no news
            trained(again, resumed, {"epoch": 7, "devices": 9})
            assert len(told) == count
    assert json.loads(open(run.config).read())["options"]["gpus"] == before

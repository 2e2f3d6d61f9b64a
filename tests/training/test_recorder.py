"""What a run tells: the numbers of its tables' rows."""
import logging

import numpy as np
import pytest

from gluon_bof.options.yolo3 import Yolo3Options
from gluon_bof.training.loop import EpochLosses
from gluon_bof.training.recorder import DETECTION, Recorder, Scoring
from tests.training.tiny_engine import BATCHES, LOSSES, OPTIONS, RATES, Scores, engine_of, table


def test_the_score_is_the_one_that_a_training_names_whatever_else_is_told(opened, caplog):
    run = opened("named")
    told = iter(({"miou": 0.3, "map": 0.1, "pixel_accuracy": 0.5}, {"miou": 0.2, "map": 0.9, "pixel_accuracy": None}))
    engine = engine_of(run, lambda should_stop: next(told), Yolo3Options(**{**vars(OPTIONS), "epochs": 2, "val_interval": 1}),
                       scoring=Scoring(("pixel_accuracy", "miou"), "miou", "mean IoU"))
    with caplog.at_level(logging.INFO, "gluon_bof"):
        engine.run_epochs()
    assert engine.best == {"score": 0.3, "epoch": 0} and engine.waited == 1 and "mean IoU 0.2000" in caplog.text
    assert [list(row.items())[-2:] for row in table(run, "metrics")] == [
        [("pixel_accuracy", "0.5"), ("miou", "0.3")], [("pixel_accuracy", ""), ("miou", "0.2")]]


def test_rows_hold_the_means_of_the_losses_and_the_rates(opened):
    run = opened("whole")
    engine = engine_of(run, Scores())
    values, step = [], engine.step

    class Heard:
        trainer, devices, accumulate = step.trainer, step.devices, step.accumulate

        def __call__(self, *arrays):
            values.append(step(*arrays))
            return values[-1]

    engine.step = Heard()
    engine.run_epochs()
    losses = np.array([value.asnumpy() for value in values]).reshape(4, BATCHES, 2)
    for epoch, row in enumerate(table(run, "metrics")):
        means = [float(row[f"{name}_loss"]) for name in (*LOSSES, "total")]
        np.testing.assert_allclose(means, [*losses[epoch].mean(axis=0), losses[epoch].mean(axis=0).sum()], rtol=1e-6)
        assert int(row["iteration"]) == (epoch + 1) * BATCHES
        assert float(row["learning_rate"]) == RATES[(epoch + 1) * BATCHES - 1]
        assert float(row["images_per_second"]) * float(row["seconds"]) == pytest.approx(2 * BATCHES)
        assert 0 < float(row["data_wait_seconds"]) < float(row["seconds"])
    rows = table(run, "intervals")
    assert [(int(row["epoch"]), int(row["iteration"])) for row in rows] == [(epoch, epoch * BATCHES + 2) for epoch in range(4)]
    for epoch, row in enumerate(rows):
        np.testing.assert_allclose([float(row[f"{name}_loss"]) for name in LOSSES], losses[epoch, :2].mean(axis=0), rtol=1e-6)
        assert float(row["learning_rate"]) == RATES[epoch * BATCHES + 1]


def test_an_interval_counts_from_the_one_before(opened):
    run = opened("rows")
    recorder = Recorder(run, BATCHES, DETECTION)
    losses = EpochLosses(LOSSES)
    losses.learning_rate = 0.1
    recorder.begin(losses)
    for batch, value in enumerate((1, 3, 10, 20)):
        losses.add((value, 2 * value))
        losses.images += 2
        losses.waiting += 0.5
        losses.seconds += 1 + batch // 2  # a batch of the second interval takes twice as long
        if batch % 2:
            recorder.interval(0, batch, losses)
    for column, wanted in (("first_loss", [2, 15]), ("total_loss", [6, 45]), ("images_per_second", [2, 1]),
                           ("data_wait_share", [0.5, 0.25])):
        assert [float(row[column]) for row in table(run, "intervals")] == wanted

"""--early-stop with a tiny network: where it stops by a recorded curve, what it says, and that a continuation counts on."""
import logging
import os
import signal

import pytest

from gluon_bof.errors import UserError
from gluon_bof.options.yolo3 import Yolo3Options
from gluon_bof.training.engine import Stopped
from gluon_bof.weights.formats.checkpoint import read_checkpoint
from tests.training.tiny_engine import OPTIONS, Scores, engine_of, table

CURVE = (0.1, 0.3, 0.2, 0.3, 0.35, 0.1, 0.2, 0.34, 0.9)


def options_of(patience, epochs=9, **changes):
    return Yolo3Options(**{**vars(OPTIONS), "epochs": epochs, "val_interval": 1, "early_stop": patience, **changes})


def last_epoch(patience, curve):
    """The epoch that a run stops after, from the whole curve: the first whose best is `patience` epochs old."""
    for epoch in range(len(curve)):
        best = max(range(epoch + 1), key=lambda number: (curve[number], -number))
        if epoch - best >= patience > 0:
            return epoch
    return len(curve) - 1


@pytest.mark.parametrize("patience, wanted", ((1, 2), (2, 3), (3, 7), (4, 8), (0, 8)))
def test_it_stops_where_a_recorded_curve_says(opened, patience, wanted, caplog):
    assert last_epoch(patience, CURVE) == wanted
    run = opened("run")
    engine = engine_of(run, Scores(CURVE), options_of(patience))
    with caplog.at_level(logging.INFO, "gluon_bof"):
        assert engine.run_epochs()["map"] == CURVE[wanted]
    assert [int(row["epoch"]) for row in table(run, "metrics")] == list(range(wanted + 1))
    best = max(CURVE[:wanted + 1])
    assert engine.best == {"score": best, "epoch": CURVE.index(best)} and engine.epoch == wanted + 1
    early = wanted < len(CURVE) - 1
    assert engine.is_finished and engine.stopped_early == early
    assert (f"stopped early after epoch {wanted}: {patience} validations without a better one than that of epoch "
            f"{CURVE.index(best)}" in caplog.text) == early


def test_epochs_without_a_validation_do_not_count(opened):
    run = opened("run")
    engine = engine_of(run, Scores((0.3, 0.2, 0.1, 0.9)), options_of(2, 12, val_interval=3))
    engine.run_epochs()
    assert engine.stopped_early and engine.epoch == 9


def test_patience_that_ends_with_the_last_epoch_is_no_early_stop(opened):
    engine = engine_of(opened("run"), Scores((0.3, 0.2, 0.1)), options_of(2, 3))
    engine.run_epochs()
    assert engine.is_finished and not engine.stopped_early


def test_a_set_without_anything_to_be_found_is_never_too_late(opened):
    engine = engine_of(opened("run"), Scores((None,) * 4), options_of(1, 4))
    engine.run_epochs()
    assert not engine.stopped_early and engine.epoch == 4 and engine.best_score is None


def test_a_run_that_stopped_early_stays_finished(opened):
    run = opened("run")
    engine_of(run, Scores(CURVE), options_of(1)).run_epochs()
    before = open(run.last_weights, "rb").read()
    validate = Scores(CURVE)
    again = engine_of(run, validate, options_of(1), resume=True)
    assert again.is_finished and again.stopped_early
    assert again.run_epochs() == {"map": 0.2, "metric": "voc07"}
    assert validate.calls == 0 and len(table(run, "metrics")) == 3 and open(run.last_weights, "rb").read() == before


def test_a_continuation_counts_on(opened):
    run = opened("run")
    engine = engine_of(run, Scores(CURVE, lambda call: call == 7 and os.kill(os.getpid(), signal.SIGTERM)), options_of(3))
    with pytest.raises(Stopped):
        engine.run_epochs()
    meta, _ = read_checkpoint(run.checkpoint_paths()[-1])
    assert (meta["epoch"], meta["waited"], meta["stopped_early"]) == (6, 1, False)
    resumed = engine_of(run, Scores(CURVE[6:]), options_of(3), resume=True)
    resumed.run_epochs()
    assert resumed.stopped_early and resumed.epoch == 8


def test_a_patience_below_zero_is_refused_by_name():
    with pytest.raises(UserError, match="--early-stop -1 is below 0"):
        Yolo3Options(early_stop=-1).check()

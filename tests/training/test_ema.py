"""--ema with a tiny network: the average against numpy, what is validated and saved, and that weights keep their bits."""
import logging
import os
import signal

import numpy as np
import pytest

from gluon_bof.backend import gluon, mx
from gluon_bof.errors import UserError
from gluon_bof.options.yolo3 import Yolo3Options
from gluon_bof.training.ema import Averages
from gluon_bof.training.engine import Stopped
from gluon_bof.weights.formats.checkpoint import AVERAGE_PREFIX, read_checkpoint, weights_in
from gluon_bof.weights.load import read_weights, weights_of
from tests.training.tiny_engine import OPTIONS, Scores, engine_of

DECAY = 0.8


def layers():
    """A layer that moves running statistics, and one that is frozen."""
    frozen = gluon.nn.Dense(4, in_units=4)
    frozen.collect_params().setattr("grad_req", "null")
    return [frozen, gluon.nn.Dense(4, in_units=4), gluon.nn.BatchNorm(in_channels=4)]


def options_of(**changes):
    return Yolo3Options(**{**vars(OPTIONS), "val_interval": 1, "ema": DECAY, **changes})


def remembering(engine):
    """What the weights are at the start and after each update, as the engine goes."""
    seen, after_update = [weights_of(engine.saver.network)], engine.step.after_update

    def remember():
        after_update()
        seen.append(weights_of(engine.saver.network))

    engine.step.after_update = remember
    return seen


def average_of(seen, decay=DECAY):
    average = {name: array.astype(np.float64) for name, array in seen[0].items()}
    for weights in seen[1:]:
        average = {name: decay * array + (1 - decay) * weights[name] for name, array in average.items()}
    return average


def assert_near(found, wanted):
    assert found.keys() == wanted.keys()
    for name in wanted:
        np.testing.assert_allclose(found[name], wanted[name], rtol=1e-6, atol=1e-6, err_msg=name)


def bits(weights):
    return {name: array.tobytes() for name, array in weights.items()}


def test_files_and_validation_have_numpys_average_and_training_goes_on_without_it(opened):
    run = opened("run")
    validated = []
    engine = engine_of(run, Scores(meanwhile=lambda call: validated.append(weights_of(engine.saver.network))), options_of(),
                       layers=layers)
    seen = remembering(engine)
    engine.run_epochs()
    batches = engine.sampler.batches
    assert len(seen) == 1 + 4 * batches
    moving = ("1.weight", "2.running_mean", "2.running_var", "3.weight")
    assert all(np.abs(seen[-1][name] - seen[0][name]).max() > 1e-3 for name in moving)
    for epoch, weights in enumerate(validated):
        assert_near(weights, average_of(seen[:1 + (epoch + 1) * batches]))
    assert_near(read_weights(run.last_weights), average_of(seen))
    assert_near(read_weights(run.best_weights), average_of(seen[:1 + 3 * batches]))
    assert_near(read_weights(run.epoch_weights(1)), average_of(seen[:1 + 2 * batches]))
    frozen = [name for name in seen[0] if name.startswith("0.")]
    assert len(frozen) == 2 and all(bits(read_weights(run.last_weights))[name] == bits(seen[0])[name] for name in frozen)

    plain = opened("plain")
    engine_of(plain, Scores(), options_of(ema=0.0), layers=layers).run_epochs()
    _, arrays = read_checkpoint(run.checkpoint_paths()[-1])
    _, without = read_checkpoint(plain.checkpoint_paths()[-1])
    assert bits(weights_in(arrays)) == bits(weights_in(without)) == bits(read_weights(plain.last_weights))
    assert not any(name.startswith(AVERAGE_PREFIX) for name in without)
    assert bits(weights_in(arrays, AVERAGE_PREFIX)) == bits(read_weights(run.last_weights))


def test_an_average_that_is_not_finite_is_noticed_beside_weights_that_are(opened):
    saver = engine_of(opened("run"), Scores(), options_of(), layers=layers).saver
    mark = saver.mark()
    assert saver.is_finite()
    saver.averages.arrays["1.weight"][0, 0] = np.nan
    assert not saver.is_finite() and saver.mark() != mark


def test_stopped_within_an_epoch_it_goes_on_to_the_bit(opened):
    whole, run = opened("whole"), opened("stopped")
    engine_of(whole, Scores(), options_of(), layers=layers).run_epochs()
    engine = engine_of(run, Scores(), options_of(), layers=layers)
    after_batch = engine._after_batch

    def ask(batch):
        if engine.epoch == 2 and batch == 0:
            os.kill(os.getpid(), signal.SIGTERM)
        return after_batch(batch)

    engine._after_batch = ask
    with pytest.raises(Stopped):
        engine.run_epochs()
    resumed = engine_of(run, Scores((0.4, 0.3)), options_of(), resume=True, layers=layers)
    resumed.run_epochs()
    for path, other in ((run.last_weights, whole.last_weights), (run.best_weights, whole.best_weights),
                        (run.checkpoint_paths()[-1], whole.checkpoint_paths()[-1])):
        same = [bits(read_weights(place)) if place.endswith(".params") else bits(read_checkpoint(place)[1])
                for place in (path, other)]
        assert same[0] == same[1]


def test_what_goes_wrong_meanwhile_leaves_the_weights_as_they_were():
    network = gluon.nn.Dense(2, in_units=3)
    network.initialize()
    averages = Averages(network, DECAY)
    network.weight.set_data(mx.nd.ones((2, 3)))
    with pytest.raises(KeyError), averages.in_place():
        assert (network.weight.data().asnumpy() != 1).all()
        raise KeyError
    assert (network.weight.data().asnumpy() == 1).all()


def test_an_average_that_never_forgets_the_start_is_warned_of(opened, caplog):
    with caplog.at_level(logging.WARNING, "gluon_bof"):
        engine_of(opened("fast"), Scores(), options_of(ema=0.6))
        assert not caplog.text
        engine_of(opened("slow"), Scores(), options_of(ema=0.99))
    share, better = 100 * 0.99 ** 12, 0.01 ** (1 / 12)
    assert f"the start will still be {share:.0f}% of the averages; {better:.3g} would leave 1%" in caplog.text


@pytest.mark.parametrize("decay", (-0.1, 1.0, float("nan")))
def test_a_decay_that_averages_nothing_is_refused_by_name(decay):
    with pytest.raises(UserError, match=f"--ema {decay} is outside"):
        Yolo3Options(ema=decay).check()

"""Learning rates against gluoncv.utils.LRScheduler, iteration by iteration."""
import logging
import pickle
import random

import numpy as np
import pytest

from gluon_bof.backend import autograd, gluon, mx
from gluon_bof.errors import UserError
from gluon_bof.freebies.schedule import CountedFromOne, build_schedule, cosine_with_warmup, rates_of, step_epochs

from gluoncv.utils import LRScheduler, LRSequential


def official(mode, lr, epochs, warmup_epochs, batches, decay_epochs, decay):
    """The schedule as GluonCV's scripts compose it."""
    return LRSequential([
        LRScheduler("linear", base_lr=0, target_lr=lr, nepochs=warmup_epochs, iters_per_epoch=batches),
        LRScheduler(mode, base_lr=lr, nepochs=epochs - warmup_epochs, iters_per_epoch=batches,
                    step_epoch=[epoch - warmup_epochs for epoch in decay_epochs], step_factor=decay, power=2)])


@pytest.mark.parametrize("mode", ("step", "poly", "cosine"))
def test_rates_equal_the_official_ones(mode):
    rng = random.Random(mode)
    for _ in range(25):
        epochs, batches = rng.randint(4, 30), rng.randint(2, 40)
        warmup = rng.randint(0, 3)
        decay_epochs = sorted(rng.sample(range(warmup, epochs), 2))
        lr = rng.uniform(1e-4, 1)
        expected = official(mode, lr, epochs, warmup, batches, decay_epochs, 0.1)
        rates = rates_of(mode=mode, base_lr=lr, iterations=epochs * batches, warmup=warmup * batches,
                         steps=[epoch * batches for epoch in decay_epochs], factor=0.1)
        assert rates == pytest.approx([expected(i) for i in range(epochs * batches)], rel=1e-6, abs=1e-12)


@pytest.mark.parametrize("factor", (0.1, 0.3, 0.97))
def test_steps_are_mxnets_to_the_last_bit_and_set_up_no_logging(factor, monkeypatch):
    monkeypatch.setattr(logging.root, "handlers", [])
    rates = rates_of(mode="step", base_lr=0.37, iterations=40, warmup=3, steps=(1, 7, 11, 30, 31), factor=factor)
    assert not logging.root.handlers  # which a program's own logging.basicConfig would find and leave
    expected = mx.lr_scheduler.MultiFactorScheduler([4, 8, 27, 28], factor, 0.37 * factor)
    assert rates[3:] == [expected(iteration + 1) for iteration in range(37)]


@pytest.mark.parametrize("mode, iterations", (("step", 10), ("poly", 10), ("cosine", 10), ("cosine", 1)))
def test_a_trainer_with_a_schedule_can_be_saved(mode, iterations, tmp_path):
    """Gluon pickles its optimizer, and a schedule of lambdas cannot be."""
    schedule = CountedFromOne(build_schedule(mode, 0.5, iterations))
    parameter = gluon.Parameter("w", shape=(1,))
    parameter.initialize()
    trainer = gluon.Trainer([parameter], mx.optimizer.SGD(learning_rate=0.5, lr_scheduler=schedule), kvstore=None)
    trainer.save_states(str(tmp_path / "trainer.states"))
    assert pickle.loads(pickle.dumps(schedule))(1) == schedule(1)


def test_a_cosine_with_warm_up_has_the_official_rates_at_the_updates_that_an_optimizer_counts_from_1():
    expected = official("cosine", 0.1, 5, 1, 4, [], 0.1)
    schedule = cosine_with_warmup(0.1, 20, 4)
    assert [schedule(update) for update in range(1, 21)] == pytest.approx([expected(i) for i in range(20)], abs=1e-12)


def test_the_papers_published_voc_schedule():
    batches = 16551 // 64
    rates = rates_of(mode="step", base_lr=1e-3, iterations=200 * batches, warmup=4 * batches,
                     steps=[160 * batches, 180 * batches])
    assert len(rates) == 51600
    assert rates[0] == 0
    assert rates[4 * batches - 1] == rates[160 * batches - 1] == pytest.approx(1e-3)
    assert rates[160 * batches] == pytest.approx(1e-4)
    assert rates[-1] == pytest.approx(1e-5)


def test_the_optimizer_uses_the_first_value_first():
    rates = []
    schedule = build_schedule("cosine", 0.5, 4)
    parameter = gluon.Parameter("w", shape=(1,))
    parameter.initialize(mx.init.Zero())
    trainer = gluon.Trainer([parameter], mx.optimizer.SGD(learning_rate=0.5, lr_scheduler=CountedFromOne(schedule)),
                            kvstore=None)
    weight = 0.0
    for _ in range(4):
        with autograd.record():
            loss = -parameter.data()
        loss.backward()
        trainer.step(1)
        rates.append(parameter.data().asscalar() - weight)
        weight = parameter.data().asscalar()
    assert rates == pytest.approx(rates_of(mode="cosine", base_lr=0.5, iterations=4), abs=1e-6)
    assert rates[0] == pytest.approx(0.5) and rates[-1] == pytest.approx(0)


@pytest.mark.parametrize("mode", ("step", "poly", "cosine"))
def test_runs_of_few_iterations_do_not_divide_by_zero(mode):
    assert rates_of(mode=mode, base_lr=1, iterations=1) == [1]
    assert rates_of(mode=mode, base_lr=1, iterations=2, warmup=1)[1] == 1


def test_warm_up_starts_at_the_rate_given():
    rates = rates_of(mode="cosine", base_lr=1, iterations=10, warmup=5, warmup_lr=0.2)
    assert rates[:5] == pytest.approx([0.2, 0.4, 0.6, 0.8, 1.0])


def test_periodic_decay_is_gluoncvs():
    assert step_epochs([1], 30, 100) == [30, 60, 90]
    assert step_epochs([160, 180], 0, 200) == [160, 180]


def test_schedules_that_cannot_be_are_refused():
    with pytest.raises(UserError, match="lr-mode"):
        build_schedule("linear", 1, 10)
    with pytest.raises(UserError, match="by 10 raises it"):
        rates_of(mode="step", base_lr=1, iterations=10, factor=10)
    with pytest.raises(UserError, match="warm-up"):
        build_schedule("step", 1, 10, warmup=10)


@pytest.mark.parametrize("iterations, warmup, told", (
    (10.5, 0, "a run of 10.5 iterations"), (-5, 0, "a run of -5 iterations"), (10, 2.5, "a warm-up of 2.5 iterations"),
    (10, -2, "a warm-up of -2 iterations"), ("10", 0, "a run of '10' iterations"), (True, 0, "a run of True"),
    (float("nan"), 0, "a run of nan")))
def test_numbers_of_iterations_that_are_none_are_told_and_give_no_constant_rate(iterations, warmup, told):
    with pytest.raises(UserError, match=f"^{told}.* cannot be; give a whole number, 0 or more"):
        cosine_with_warmup(0.1, iterations, warmup)


def test_numbers_of_iterations_may_be_numpys():
    ours, numpys = cosine_with_warmup(0.1, 10, 3), cosine_with_warmup(0.1, np.int64(10), np.int32(3))
    assert [ours(update) for update in range(12)] == [numpys(update) for update in range(12)]

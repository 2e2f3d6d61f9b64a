"""The simulation of several processes against closed forms; what it is fed with against real ones."""
import dataclasses
import json
import os
import subprocess
import sys

import numpy as np
import pytest

from benchmarks.scaling import job, likeness, merged, two_bits
from benchmarks.scaling_worker import NUMBERS, gradient
from benchmarks.simulation import Costs, Plan, Simulation, Training
from tests.scripts import ROOT

COSTS = Costs(send=1e-9, receive=2e-9, take=3e-9, give=4e-9, send_key=1e-4, receive_key=2e-4, take_key=3e-4, give_key=4e-4,
              update=5e-3)
PLAN = Plan(workers=1, hosts=1, servers=1, compute=(0.1,), sizes=(1e6,), costs=COSTS, cores=8)


def seconds(plan):
    return Training(plan, 10).seconds_a_step()


def test_tasks_of_a_pool_share_its_width():
    simulation, ended = Simulation(), {}
    simulation.pool("cores", 2)
    for lane, amount in (("a", 1.0), ("b", 1.0), ("c", 2.0)):
        simulation.add(lane, "cores", amount, lambda lane=lane: ended.setdefault(lane, simulation.now))
    assert simulation.run() == pytest.approx(2.5)  # two thirds of the speed until 1.5, then c alone
    assert ended == pytest.approx({"a": 1.5, "b": 1.5, "c": 2.5})


def test_other_programs_take_their_part():
    plan = dataclasses.replace(PLAN, costs=Costs(), cores=2, background=3)
    assert seconds(plan) == pytest.approx(0.2)  # two cores for four
    assert seconds(dataclasses.replace(plan, background=0.5)) == pytest.approx(0.1)


def test_one_key_goes_through_every_part_once():
    assert seconds(PLAN) == pytest.approx(0.1 + 1e-3 + 1e-4 + 3e-3 + 3e-4 + 4e-3 + 4e-4 + 2e-3 + 2e-4 + 5e-3)


def test_a_server_sums_one_worker_after_the_other_and_two_servers_halve_it():
    costs = Costs(take=1e-9)
    plan = dataclasses.replace(PLAN, workers=4, costs=costs, compute=(0.01,), sizes=(8e6,))
    assert seconds(plan) == pytest.approx(0.01 + 4 * 8e-3)
    assert seconds(dataclasses.replace(plan, servers=2)) == pytest.approx(0.01 + 4 * 4e-3)


def test_too_few_cores_slow_the_compute():
    plan = dataclasses.replace(PLAN, workers=4, costs=Costs(), cores=2)
    assert seconds(plan) == pytest.approx(0.2)
    assert seconds(dataclasses.replace(plan, on_device=True)) == pytest.approx(0.1)


def test_cards_carry_what_goes_to_other_hosts():
    plan = dataclasses.replace(PLAN, workers=4, hosts=4, servers=4, costs=Costs(), compute=(0.01,), sizes=(8e6,), network=1e9)
    # three quarters of the gradient leave each card and come in, and again on the way back
    assert seconds(plan) == pytest.approx(0.01 + 2 * 0.75 * 8e-3, rel=0.35)
    one = dataclasses.replace(plan, servers=1)
    # all goes through the card of the one server; the last to be answered pushes when the others have
    assert seconds(one) == pytest.approx(0.01 + 8e-3 + 3 * 8e-3, rel=0.01)


def test_a_loader_that_is_too_slow_sets_the_pace():
    plan = dataclasses.replace(PLAN, costs=Costs(image=0.05), images=8, loaders=2, cores=8)
    assert Training(plan, 60).seconds_a_step() == pytest.approx(8 * 0.05 / 2, rel=0.05)
    assert seconds(dataclasses.replace(plan, loaders=8)) == pytest.approx(0.1, rel=0.02)


def test_stragglers_make_all_wait_for_the_slowest():
    plan = dataclasses.replace(PLAN, workers=64, costs=Costs(), cores=1e9, spread=0.1)
    expected = 1 + 0.1 * np.random.default_rng(0).standard_normal((2000, 64)).max(1).mean()
    assert Training(plan, 60).seconds_a_step() == pytest.approx(0.1 * expected, rel=0.02)


def test_few_hosts_stand_for_many():
    plan = dataclasses.replace(PLAN, workers=16, hosts=16, servers=16, on_device=True, spread=0.1, network=1e9, sizes=(8e6, 8e6),
                               compute=(0.05, 0.05))
    few = dataclasses.replace(plan, workers=8, hosts=8, servers=8, crowd=2)
    assert Training(few, 10).seconds_a_step() == pytest.approx(Training(plan, 10).seconds_a_step(), rel=0.06)


def test_parts_keep_all_bytes():
    sizes = [1, 2, 3, 4, 5] * 20
    assert sum(merged(sizes, 7)) == sum(sizes) and 5 <= len(merged(sizes, 7)) <= 9


def test_a_residual_gives_back_what_two_bits_left_out():
    residual, sent = np.zeros(1000, np.float32), np.zeros(1000)
    whole = np.random.default_rng(0).uniform(-0.4, 0.4, 1000).astype(np.float32)
    for _ in range(100):
        sent += two_bits(whole, residual, 0.5)
    assert likeness(sent, 100 * whole)[0] > 0.999 and np.abs(sent + residual - 100 * whole).max() < 1e-3


@pytest.mark.slow
def test_two_bits_are_sent_as_mxnet_sends_them():
    found = np.array(job("compress", 5, 2)["sums"])
    residuals = np.zeros((2, NUMBERS), np.float32)
    for step, told in enumerate(found):
        assert np.array_equal(told, sum(two_bits(gradient(rank, step), residuals[rank], 0.5) for rank in (0, 1)))


@pytest.mark.slow
@pytest.mark.parametrize("words", [["--parts"], ["--predict", "--rounds", "1", "--steps", "2"],
                                   ["--rounds", "1", "--steps", "3"]])
def test_the_command_tells_all_its_figures(words):
    answer = subprocess.run([sys.executable, str(ROOT / "benchmarks" / "scaling.py"), *words], capture_output=True, text=True,
                            check=False, env=dict(os.environ, PYTHONPATH=str(ROOT)))
    assert answer.returncode == 0, answer.stderr
    result = json.loads(answer.stdout.splitlines()[-1])
    if "--parts" in words:
        assert result["recordio_by_index_images_a_second"] > 100 and result["loader_seconds"] > 0
    elif "--predict" in words:
        assert [row["gpus"] for row in result["rows"]] == [8] + 4 * [64] + 4 * [512]
        assert all(0 < row["efficiency"] <= 1 for row in result["rows"])
    else:
        assert all(result["ratios"][count] > 0 for count in "124")

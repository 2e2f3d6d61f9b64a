"""Workers against one process that has the joint batch: weights, losses, statistics; through ps-lite and through Horovod."""
import importlib.util
import json
import os
import subprocess
import sys

import numpy as np
import pytest

from gluon_bof.distributed import comm
from tests.distributed import steps
from tests.distributed.group import ROOT, Group, environment

STEPS = ROOT / "tests" / "distributed" / "steps.py"
STATISTICS = ("running_mean", "running_var")


def of_workers(folder, workers, batch, frozen=True, **how):
    """[{name: array}] of the workers."""
    ended = Group(workers, [STEPS, folder, json.dumps({"batch": batch, "frozen": frozen})], folder, **how).wait()
    assert all(worker.status == 0 for worker in ended), ended[0].err + ended[-1].err
    return [dict(np.load(folder / f"rank-{rank}.npz")) for rank in range(workers)]


def require_equal(found, wanted, tolerance=1e-5):
    weights, losses = wanted
    np.testing.assert_allclose(found[0].pop("losses"), losses, rtol=tolerance, atol=tolerance)
    for other in found[1:]:
        other.pop("losses")
    for name, array in found[0].items():
        for other in found[1:]:
            assert (other[name] == array).all(), f"{name} differs between workers"
        np.testing.assert_allclose(array, weights[name], rtol=tolerance, atol=tolerance, err_msg=name)


@pytest.mark.parametrize("workers, servers, batch", (
    (2, 1, 5), pytest.param(3, 1, 7, marks=pytest.mark.slow), pytest.param(3, 2, 6, marks=pytest.mark.slow)))
def test_workers_train_as_one_process_does_on_the_joint_batch(workers, servers, batch, tmp_path):
    """20 updates of 2 batches, the learning rate falls within, the batch does not divide."""
    require_equal(of_workers(tmp_path, workers, batch, servers=servers), steps.train(batch))


@pytest.mark.parametrize("batch", (6, 5))
def test_devices_of_one_process_train_as_one_device_does(batch):
    wanted = steps.train(batch)
    weights, losses = steps.train(batch, devices=2)
    require_equal([{**weights, "losses": np.array(losses)}], wanted)


@pytest.mark.slow
def test_learning_normalisation_has_the_same_statistics_in_all_workers(tmp_path):
    found = of_workers(tmp_path, 2, 6, frozen=False)
    weights, _ = steps.train(6, frozen=False)
    moved = [name for name in weights if name.endswith(STATISTICS)]
    assert len(moved) == 4
    for name in moved:
        assert (found[0][name] == found[1][name]).all()
    first = moved[0]  # of the images themselves: the mean of the parts' means is the joint one
    assert first.endswith("running_mean") and np.abs(found[0][first] - weights[first]).max() < 0.05


def python_with_horovod():
    """A Python that has Horovod for MXNet: this one, or the one that GLUON_BOF_HOROVOD_PYTHON names."""
    python = os.environ.get("GLUON_BOF_HOROVOD_PYTHON", "")
    if not python and importlib.util.find_spec("horovod") is None:
        pytest.skip("Horovod is not installed, and GLUON_BOF_HOROVOD_PYTHON names no Python that has it")
    return python or sys.executable


@pytest.mark.slow
@pytest.mark.parametrize("workers, batch", ((2, 5), (3, 7)))
def test_horovods_workers_train_as_one_process_does(workers, batch, tmp_path):
    words = json.dumps({"batch": batch, "frozen": True, "horovod": True})
    said = subprocess.run([python_with_horovod(), "-m", "horovod.runner.launch", "--gloo", "-np", str(workers), "-H",
                           f"localhost:{workers}", python_with_horovod(), str(STEPS), str(tmp_path), words],
                          env=environment(), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=200)
    assert said.returncode == 0, said.stdout
    require_equal([dict(np.load(tmp_path / f"rank-{rank}.npz")) for rank in range(workers)], steps.train(batch))


def test_a_process_by_itself_is_alone():
    assert (comm.rank(), comm.size(), comm.is_main()) == (0, 1, True)
    assert comm.group().broadcast("x") == comm.from_main(lambda: "x") == comm.main_first(lambda: "x") == "x"
    assert comm.gather(3) == [3] and comm.barrier() is None and comm.close() is None
    comm.require_same("anything", "mark")

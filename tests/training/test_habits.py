"""--early-stop, --ema and --accumulate through the real scripts, for every family."""
import csv
import os
import signal
import sys
from pathlib import Path

import numpy as np
import pytest

from gluon_bof.backend import mx
from gluon_bof.runs.folder import RunFolder
from gluon_bof.training.loop import Step
from gluon_bof.weights.formats.checkpoint import read_checkpoint, weights_in
from gluon_bof.weights.load import read_weights, weights_of
from tests.contracts import ENVIRONMENT, Folder, trained
from tests.marks import slow_but
from tests.pages import without_pages
from tests.scripts import started, wait_for
from tests.test_contracts import CASES
from tests.tiny_sets import write_voc_set

HABITS = ("--epochs", "5", "--early-stop", "2", "--ema", "0.7", "--accumulate", "2")


@pytest.fixture(scope="module", params=sorted(CASES))
def case(request):
    """A Case of each family."""
    return CASES[request.param]


@pytest.fixture(scope="module")
def place(case, tmp_path_factory):
    """A folder with a set of two updates of two batches of two images."""
    path = tmp_path_factory.mktemp(case.family.name)
    write_voc_set(path / "set", images=9, validation=2)
    return Folder(path, {})


def run_of(place, name):
    return RunFolder(str(place.path / "runs" / name))


def rows_of(run):
    with open(run.table("metrics"), newline="") as file:
        return list(csv.DictReader(file))


def stopped_in_the_midst(words, place, run):
    """Ask a training, as a process, to stop after its first epoch."""
    with started(words, cwd=place.path, env=ENVIRONMENT) as process:
        wait_for(process, lambda: os.path.exists(run.table("metrics")), 120)
        process.send_signal(signal.SIGTERM)
        _, said = process.communicate(timeout=120)
    assert process.returncode == 143, said


# the engine does it, and is the same; the contracts hold what is killed, without the habits
@pytest.mark.slow
@pytest.mark.parametrize("case", ("yolo3", "faster_rcnn", "ssd"), indirect=True)
def test_with_all_of_them_a_continuation_has_the_bits_of_a_run_never_stopped(case, place, monkeypatch):
    outcome = trained(case, place.words(case, "habits", *HABITS))
    whole, run = run_of(place, "habits"), run_of(place, "stopped")
    words = [sys.executable, "-W", "ignore", "-m", case.family.script, *place.words(case, "stopped", *HABITS)]
    stopped_in_the_midst(words, place, run)
    without_pages(monkeypatch)
    trained(case, ["--resume", run.folder])
    for found, wanted in ((run.last_weights, whole.last_weights), (run.best_weights, whole.best_weights)):
        assert Path(found).read_bytes() == Path(wanted).read_bytes()
    (meta, arrays), (other, wanted) = (read_checkpoint(one.checkpoint_paths()[-1]) for one in (run, whole))
    assert {name: array.tobytes() for name, array in arrays.items()} == {name: array.tobytes() for name, array in wanted.items()}
    assert (meta["epoch"], meta["waited"], meta["stopped_early"]) == (other["epoch"], other["waited"], other["stopped_early"])
    epochs = [(row["epoch"], row["iteration"], row["map"]) for row in rows_of(run)]
    assert epochs == [(row["epoch"], row["iteration"], row["map"]) for row in rows_of(whole)]
    assert outcome["iterations"] == 2 * outcome["epochs"] == 2 * len(epochs)
    assert outcome["stopped_early"] == (outcome["epochs"] < 5)


@pytest.mark.slow
@pytest.mark.parametrize("case", ("yolo3", "faster_rcnn"), indirect=True)
def test_an_average_changes_no_bit_of_the_weights_that_learn(case, place, monkeypatch):
    without_pages(monkeypatch)
    runs = []
    for name, more in (("plain", ()), ("averaged", ("--ema", "0.7"))):
        trained(case, place.words(case, name, *more))
        runs.append(weights_in(read_checkpoint(run_of(place, name).checkpoint_paths()[-1])[1]))
    plain, averaged = runs
    assert {name: array.tobytes() for name, array in plain.items()} == {
        name: array.tobytes() for name, array in averaged.items()}
    last = read_weights(run_of(place, "averaged").last_weights)
    assert any((last[name] != plain[name]).any() for name in plain)


@pytest.mark.slow
# SSD divides each batch by the anchors that are matched in it
@pytest.mark.parametrize("case", ("yolo3", "faster_rcnn"), indirect=True)
def test_two_batches_make_the_update_of_one_twice_as_large(case, place, monkeypatch):
    without_pages(monkeypatch)
    # nothing normalises by its batch: a pretrained Faster R-CNN's normalisation is frozen anyway
    words = ("--freeze", "all-but-head") if case.family.name == "yolo3" else ()
    for name, more in (("larger", ("--batch-size", "4")), ("parts", ("--batch-size", "2", "--accumulate", "2"))):
        assert trained(case, place.words(case, name, "--mixup", "--no-mixup-epochs", "1", *words, *more))["iterations"] == 4
    wanted = read_weights(run_of(place, "larger").last_weights)
    start = weights_of(case.network())
    assert max(np.abs(wanted[name] - array).max() for name, array in start.items()) > 1e-3
    for name, found in read_weights(run_of(place, "parts").last_weights).items():
        np.testing.assert_allclose(found, wanted[name], rtol=1e-6, atol=1e-6, err_msg=name)


def step_within(monkeypatch, case, words):
    """The Step and first arrays of the script's training, which then ends."""
    found = []

    def call(self, *arrays):
        found.append((self, arrays))
        raise KeyboardInterrupt

    with monkeypatch.context() as meanwhile, pytest.raises(SystemExit):
        meanwhile.setattr(Step, "__call__", call)
        trained(case, words)
    return found[0]


def gradients(step):
    mx.nd.waitall()
    return {number: parameter.list_grad()[0].asnumpy() for number, parameter in enumerate(step.trainer._params)
            if parameter.grad_req != "null"}


@pytest.mark.parametrize("case", slow_but(sorted(CASES), "yolo3", "faster_rcnn"), indirect=True)
def test_every_layer_adds_its_gradients_up(case, place, monkeypatch):
    """Some operators might overwrite what they should add to: all of a network's, with normalisation by batch too."""
    more = ("--norm-layer", "syncbn") if case.family.name == "faster_rcnn" else ()
    step, arrays = step_within(monkeypatch, case, place.words(case, "gradients", *more))
    step._forward_backward(arrays)
    once = gradients(step)
    adding = Step(step.graph, step.arguments, step.trainer, step.devices, 2, accumulate=4)
    for _ in range(3):
        adding._forward_backward(arrays)
    thrice = gradients(step)
    assert once.keys() == thrice.keys() and len(once) > 20
    for number, gradient in once.items():
        scale = np.abs(gradient).max()
        np.testing.assert_allclose(thrice[number], 3 * gradient, rtol=1e-4, atol=1e-5 * scale + 1e-9,
                                   err_msg=step.trainer._params[number].name)

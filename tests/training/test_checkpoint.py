"""Checkpoints: everything comes back, damage is named, nothing saved is lost."""
import dataclasses
import os
import tracemalloc
from pathlib import Path

import numpy as np
import pytest

from gluon_bof.backend import amp, autograd, gluon, mx
from gluon_bof.errors import UserError
from gluon_bof.freebies.schedule import build_schedule
from gluon_bof.models.build import build_network
from gluon_bof.options.training import OPTIMIZERS
from gluon_bof.options.yolo3 import Yolo3Options
from gluon_bof.runs.config import write_classes, write_config
from gluon_bof.runs.folder import Run
from gluon_bof.training.checkpoint import load_checkpoint, save_checkpoint
from gluon_bof.training.optimizer import build_optimizer, build_trainer
from gluon_bof.training.pipeline import restore
from gluon_bof.weights.formats.checkpoint import read_checkpoint, write_checkpoint
from gluon_bof.weights.load import save_weights
from tests.models.faster_rcnn import oracle


def small_network(seed, devices=None):
    mx.random.seed(seed)
    network = gluon.nn.HybridSequential()
    with network.name_scope():  # a trainer sorts by name, and a process's tenth layer comes before its ninth
        network.add(gluon.nn.Dense(6, in_units=4), gluon.nn.BatchNorm(in_channels=6), gluon.nn.Dense(3, in_units=6))
    network.initialize(mx.init.Normal(0.5), ctx=devices)
    return network


def trainer_of(network, optimizer):
    options, parameters = Yolo3Options(optimizer=optimizer, lr=0.05), network.collect_params()
    devices = next(iter(parameters.values())).list_ctx()
    return build_trainer(parameters, build_optimizer(options, build_schedule("cosine", 0.05, 20)), devices, kvstore="local")


def train(network, trainer, first, last):
    for iteration in range(first, last):
        x = mx.nd.array(np.random.default_rng(iteration).normal(size=(8, 4)))
        with autograd.record():
            losses = [(network(part) ** 2).sum() for part in gluon.utils.split_and_load(x, network[0].weight.list_ctx())]
        autograd.backward(losses)
        trainer.step(8)


def bits(network):
    return [parameter.data().asnumpy().tobytes() for parameter in network.collect_params().values()]


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_a_resumed_run_has_the_bits_of_one_never_interrupted(optimizer, run):
    whole = small_network(1)
    train(whole, trainer_of(whole, optimizer), 0, 12)

    cut = small_network(1)
    trainer = trainer_of(cut, optimizer)
    train(cut, trainer, 0, 7)
    path = run.checkpoint(7)
    save_checkpoint(path, cut, trainer, {"epoch": 7})
    resumed = small_network(99)
    trainer = trainer_of(resumed, optimizer)
    assert load_checkpoint(path, resumed, trainer)["epoch"] == 7
    assert bits(resumed) == bits(cut) != bits(whole)
    train(resumed, trainer, 7, 12)
    assert bits(resumed) == bits(whole)


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_without_the_optimizers_state_the_bits_differ(optimizer):
    """The control: were states not restored, the test above would notice."""
    whole = small_network(1)
    train(whole, trainer_of(whole, optimizer), 0, 12)
    cut = small_network(1)
    trainer = trainer_of(cut, optimizer)
    train(cut, trainer, 0, 7)
    trainer._updaters[0].states.clear()  # the schedule goes on
    train(cut, trainer, 7, 12)
    assert trainer.optimizer.num_update == 12 and bits(cut) != bits(whole)


def test_a_run_on_two_devices_goes_on_to_the_bit_on_both(run):
    def start(seed):
        network = small_network(seed, [mx.cpu(0), mx.cpu(1)])
        return network, trainer_of(network, "sgd")

    path, whole, cut, resumed = run.checkpoint(7), start(1), start(1), start(99)
    train(*whole, 0, 12)
    train(*cut, 0, 7)
    save_checkpoint(path, *cut, {})
    load_checkpoint(path, *resumed)
    train(*resumed, 7, 12)
    assert resumed[1].optimizer.num_update == 12
    found, wanted = ([[array.asnumpy().tobytes() for array in parameter.list_data()]
                      for parameter in network.collect_params(".*weight|.*bias|.*gamma|.*beta").values()]
                     for network, _ in (resumed, whole))
    assert found == wanted  # running statistics are each device's own, and the first one's are saved


def test_the_loss_scale_of_mixed_precision_goes_on_where_it_stood(tmp_path):
    path, network = str(tmp_path / "iteration-000000001.ckpt"), small_network(1)
    trainer, resumed = trainer_of(network, "sgd"), trainer_of(network, "sgd")
    train(network, trainer, 0, 1)
    trainer._amp_loss_scaler, resumed._amp_loss_scaler = (amp.loss_scaler.LossScaler() for _ in range(2))
    vars(trainer._amp_loss_scaler).update(_loss_scale=4096.0, _next_loss_scale=2048.0, _unskipped=17)
    save_checkpoint(path, network, trainer, {})
    load_checkpoint(path, network, resumed)
    assert vars(resumed._amp_loss_scaler) == vars(trainer._amp_loss_scaler)
    meta, arrays = read_checkpoint(path)
    del meta["optimizer"]["amp"]["next_loss_scale"]  # a checkpoint of version 0.1
    write_checkpoint(path, arrays, meta)
    load_checkpoint(path, network, resumed)
    assert vars(resumed._amp_loss_scaler) == {**vars(trainer._amp_loss_scaler), "_next_loss_scale": 4096.0}


@pytest.fixture
def run(tmp_path):
    opened = Run(str(tmp_path))
    yield opened
    opened.close()


@pytest.fixture
def two_checkpoints(run):
    network = small_network(1)
    trainer = trainer_of(network, "sgd")
    for iteration in (1, 2):
        train(network, trainer, iteration, iteration + 1)
        save_checkpoint(run.checkpoint(iteration), network, trainer, {"epoch": iteration})
    return run.checkpoint_paths()


@pytest.mark.parametrize("damage", ("cut", "bit", "header", "empty", "foreign"))
def test_a_torn_checkpoint_is_named_and_the_one_before_it_offered(two_checkpoints, damage):
    older, newest = two_checkpoints
    data = bytearray(open(newest, "rb").read())
    data = {"cut": data[:-7], "bit": data[:-40] + bytes([data[-40] ^ 1]) + data[-39:], "header": data[20:],
            "empty": b"", "foreign": b'{"a": 1}\n' + bytes(data)}[damage]
    open(newest, "wb").write(bytes(data))
    with pytest.raises(UserError) as refusal:
        read_checkpoint(newest)
    message = str(refusal.value)
    assert newest in message and f"--resume {older}" in message and "\n" not in message


def test_every_single_flipped_byte_is_noticed(two_checkpoints):
    path = two_checkpoints[1]
    data = open(path, "rb").read()
    rng = np.random.default_rng(0)
    for place in rng.integers(0, len(data), 60):
        flipped = bytearray(data)
        flipped[place] ^= 1 << int(rng.integers(8))
        open(path, "wb").write(bytes(flipped))
        with pytest.raises(UserError):
            read_checkpoint(path)


def test_the_newest_are_kept_and_unfinished_writes_removed(two_checkpoints, run):
    Path(run.checkpoint(3) + ".77.part").write_bytes(b"half")
    run.keep_newest(1)
    assert os.listdir(run.checkpoints) == [os.path.basename(two_checkpoints[1])]


def test_a_full_disk_is_one_error_and_the_checkpoint_before_stays(two_checkpoints):
    network = small_network(1)
    trainer = trainer_of(network, "sgd")
    with pytest.raises(UserError, match="cannot be written"):
        save_checkpoint("/dev/full/iteration-000000009.ckpt", network, trainer, {})
    for path in two_checkpoints:
        read_checkpoint(path)


def test_a_checkpoint_costs_the_memory_of_one_array(tmp_path):
    network = gluon.nn.HybridSequential()
    for _ in range(10):
        network.add(gluon.nn.Dense(500, in_units=500, use_bias=False))
    network.initialize()
    trainer = trainer_of(network, "sgd")
    with autograd.record():
        loss = network(mx.nd.ones((1, 500))).sum()
    loss.backward()
    trainer.step(1)
    mx.nd.waitall()
    path = str(tmp_path / "iteration-000000001.ckpt")
    tracemalloc.start()
    save_checkpoint(path, network, trainer, {})
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    # ten weights and ten momenta of 1 MB
    assert os.path.getsize(path) > 20e6 and most < 3e6


def test_weights_of_a_run_with_other_classes_are_not_taken_for_those_of_these(tmp_path):
    """Of as many classes they fit, and each is called by another's name."""
    network = small_network(1)
    path = str(tmp_path / "last.params")
    save_weights(network, path)
    def start(*classes, **changes):
        network.classes = classes
        return restore(Yolo3Options(resume=path, **changes), None, network, trainer_of(network, "sgd"))

    write_classes(str(tmp_path), ("cat", "dog"))
    assert start("dog", "cat") == {}  # it lies in no run, as GluonCV's files do
    write_config(str(tmp_path), Yolo3Options())
    assert start("cat", "dog") == {}
    for changes in ({}, {"allow_partial": True}):
        with pytest.raises(UserError, match="from class 0 on .* dog, cat, .* on cat, dog; --transfer .* keeps") as error:
            start("dog", "cat", **changes)
        assert error.value.path == path
    with pytest.raises(UserError, match="from class 2 on the set's are owl, and those that this was trained on none"):
        start("cat", "dog", "owl")


def test_anchors_that_boxes_are_matched_to_are_those_that_the_weights_are_decoded_with(tmp_path, caplog):
    """Those of --resume FILE.params took the place of the network's, while targets are made of the options'."""
    path = str(tmp_path / "last.params")
    before = oracle.small_options("single level")
    save_weights(build_network(before, oracle.CLASSES, [mx.cpu()]), path)
    for scales in ("1,2,4", "1,2,5"):
        options = oracle.small_options("single level", f"--anchor-scales {scales} --resume {path}")
        network = build_network(options, oracle.CLASSES, [mx.cpu()])
        trainer = trainer_of(network, "sgd")
        if options.anchor_scales == before.anchor_scales:
            assert restore(options, None, network, trainer) == {}
        else:
            with pytest.raises(UserError, match="trained with other anchors .* --transfer .*last.params"):
                restore(options, None, network, trainer)
            assert restore(dataclasses.replace(options, allow_partial=True), None, network, trainer) == {}
            assert f"{path}: " in caplog.text and "arrays loaded" in caplog.text

"""Optimizers by their flags, what weight decay spares, and what mixed precision needs."""
import numpy as np
import pytest

from gluon_bof.backend import autograd, gluon, mx
from gluon_bof.errors import UserError
from gluon_bof.freebies.schedule import build_schedule, rates_of
from gluon_bof.models.yolo3.network import build_yolo3
from gluon_bof.options.faster_rcnn import FasterRcnnOptions
from gluon_bof.options.training import OPTIMIZERS
from gluon_bof.options.yolo3 import Yolo3Options
from gluon_bof.training.optimizer import (
    build_optimizer,
    build_trainer,
    epoch_schedule,
    exempt_from_decay,
    start_amp,
    update_schedule,
)
from gluon_bof.weights.load import structured_parameters, weights_of

from gluoncv.utils import LRScheduler, LRSequential

RATE, DECAY = 0.1, 0.5


def network_of_two_layers():
    """Every kind of parameter that learns, all 2."""
    network = gluon.nn.HybridSequential()
    network.add(gluon.nn.Conv2D(3, 1, in_channels=2), gluon.nn.BatchNorm(in_channels=3), gluon.nn.Dense(4, in_units=3))
    network.initialize()
    for parameter in network.collect_params(".*weight|.*bias|.*gamma|.*beta").values():
        parameter.set_data(mx.nd.full(parameter.shape, 2))
    return network


def updated_without_a_gradient(network):
    """What an update makes of the parameters when the loss asks for nothing."""
    options = Yolo3Options(lr=RATE, wd=DECAY, momentum=0.0)
    trainer = build_trainer(network.collect_params(), build_optimizer(options, build_schedule("step", RATE, 10)), [mx.cpu()])
    with autograd.record():
        loss = (network(mx.nd.ones((2, 2, 1, 1))) * 0).sum()
    loss.backward()
    trainer.step(1)
    return weights_of(network)


def test_without_a_gradient_decay_touches_weights_only():
    network = network_of_two_layers()
    exempt_from_decay(network)
    found = {name: values for name, values in updated_without_a_gradient(network).items() if "running" not in name}
    assert {name.split(".")[1] for name in found} == {"weight", "bias", "gamma", "beta"}
    for name, values in found.items():
        np.testing.assert_allclose(values, 2 * (1 - RATE * DECAY) if name.endswith("weight") else 2, rtol=1e-6, err_msg=name)


def test_without_the_exemption_everything_decays():
    for name, values in updated_without_a_gradient(network_of_two_layers()).items():
        if "running" not in name:
            np.testing.assert_allclose(values, 2 * (1 - RATE * DECAY), rtol=1e-6, err_msg=name)


def test_exempt_parameters_of_yolo3_are_all_but_the_weights_of_convolutions():
    network = build_yolo3("mobilenet0.25", ("a", "b"))
    exempt_from_decay(network)
    spared = {name for name, parameter in structured_parameters(network).items() if parameter.wd_mult == 0}
    assert spared and spared == {name for name in structured_parameters(network) if name.endswith(("beta", "gamma", "bias"))}


@pytest.mark.parametrize("mode", ("step", "cosine"))
def test_each_update_has_the_rate_of_its_iteration(mode):
    schedule = dict(mode=mode, base_lr=0.1, iterations=8, warmup=3, warmup_lr=0.02, steps=[5], factor=0.1)
    parameter = gluon.Parameter("w", shape=(1,))
    parameter.initialize(mx.init.Zero())
    options = Yolo3Options(lr=0.1, wd=0.0, momentum=0.0)
    trainer = build_trainer({"w": parameter}, build_optimizer(options, build_schedule(**schedule)), [mx.cpu()])
    places = [0.0]
    for _ in range(8):
        with autograd.record():
            loss = parameter.data().sum()
        loss.backward()
        trainer.step(1)
        places.append(parameter.data().asscalar())
    np.testing.assert_allclose(-np.diff(places), rates_of(**schedule), rtol=1e-4)


@pytest.mark.parametrize("warmup", (10, -1))
def test_a_warm_up_that_is_counted_in_updates_is_gluoncvs(warmup):
    options = FasterRcnnOptions(lr=0.02, lr_warmup=warmup, lr_warmup_factor=0.25, epochs=4, lr_decay_epoch=(2, 3), lr_decay=0.1,
                                lr_mode="step")
    update = np.arange(80)
    alpha = np.minimum(update / warmup, 1) if warmup > 0 else 1  # get_lr_at_iter of GluonCV's train_faster_rcnn.py
    wanted = 0.02 * (0.25 * (1 - alpha) + alpha) * 0.1 ** (update // 20 - 1).clip(0)
    np.testing.assert_allclose(rates_of(**update_schedule(options, 20)), wanted, rtol=1e-6)


def test_a_schedule_that_is_counted_in_epochs_is_gluoncvs():
    options = Yolo3Options(lr=0.01, warmup_epochs=2, warmup_lr=0.002, lr_decay_epoch=(3, 5), lr_decay=0.5, epochs=6)
    # each part counts its own epochs
    wanted = LRSequential([LRScheduler("linear", base_lr=0.002, target_lr=0.01, nepochs=2, iters_per_epoch=4),
                           LRScheduler("step", base_lr=0.01, nepochs=4, iters_per_epoch=4, step_epoch=[1, 3], step_factor=0.5)])
    np.testing.assert_allclose(rates_of(**epoch_schedule(options, 4)), [wanted(update) for update in range(24)], rtol=1e-6)


def test_every_optimizer_gets_its_own_flags():
    options = {name: Yolo3Options(optimizer=name, momentum=0.3, beta1=0.4, beta2=0.5, rho=0.6, epsilon=0.7, wd=0.8)
               for name in OPTIMIZERS}
    made = {name: build_optimizer(options[name], build_schedule("step", 0.1, 5)) for name in OPTIMIZERS}
    assert [type(optimizer).__name__.lower() for optimizer in made.values()] == list(OPTIMIZERS)
    assert all(optimizer.wd == 0.8 for optimizer in made.values())
    assert made["sgd"].momentum == made["nag"].momentum == 0.3
    assert (made["adam"].beta1, made["adam"].beta2, made["adam"].epsilon) == (0.4, 0.5, 0.7)
    assert (made["rmsprop"].gamma1, made["rmsprop"].epsilon) == (0.6, 0.7)
    assert made["adagrad"].float_stable_eps == 0.7


def test_one_device_sums_nothing_and_the_cpu_needs_no_nccl():
    def store(devices, kvstore):
        network = network_of_two_layers()
        network.collect_params().reset_ctx(devices)
        return build_trainer(network.collect_params(), mx.optimizer.SGD(), devices, kvstore=kvstore)._kvstore_params["kvstore"]

    assert store([mx.cpu(0)], "nccl") is None
    assert store([mx.cpu(0), mx.cpu(1)], "nccl") == "device"
    assert store([mx.cpu(0), mx.cpu(1)], "local") == "local"


def test_mixed_precision_on_a_cpu_is_refused_before_mxnet_is_changed():
    dense, other = mx.nd.FullyConnected, mx.nd.Convolution
    with pytest.raises(UserError, match="--amp needs a GPU.*leave --amp out"):
        start_amp([mx.cpu()])
    assert mx.nd.FullyConnected is dense and mx.nd.Convolution is other

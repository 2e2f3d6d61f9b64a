"""MXNet's optimizers by their flags; which parameters weight decay spares (paper's --no-wd)."""
from __future__ import annotations

from gluon_bof.backend import mx
from gluon_bof.training.schedule import CountedFromOne


def build_optimizer(options, schedule):
    """mx.optimizer of options.optimizer that follows the schedule from its first value on."""
    own = {
        "sgd": {"momentum": options.momentum},
        "nag": {"momentum": options.momentum},
        "adam": {"beta1": options.beta1, "beta2": options.beta2, "epsilon": options.epsilon},
        "rmsprop": {"gamma1": options.rho, "epsilon": options.epsilon},
        "adagrad": {"eps": options.epsilon},
    }[options.optimizer]
    return mx.optimizer.create(options.optimizer, learning_rate=schedule.base_lr, wd=options.wd,
                               lr_scheduler=CountedFromOne(schedule), **own)


def exempt_from_decay(network):
    """No weight decay on biases and on batch normalisation's beta and gamma."""
    for parameter in network.collect_params(".*beta|.*gamma|.*bias").values():
        parameter.wd_mult = 0.0

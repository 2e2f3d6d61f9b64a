"""MXNet's optimizers by their flags, the trainer that joins devices, mixed precision; which parameters weight decay spares."""
from __future__ import annotations

from typing import Any, Sequence

from gluon_bof.backend import amp as mixed_precision
from gluon_bof.backend import gluon, mx
from gluon_bof.distributed import comm
from gluon_bof.errors import UserError
from gluon_bof.freebies.schedule import CountedFromOne
from gluon_bof.options.training import OPTIMIZERS


def epoch_schedule(options: Any, updates: int) -> dict[str, Any]:
    """What `freebies.schedule.build_schedule` takes, of options that count in epochs of so many updates."""
    return dict(mode=options.lr_mode, base_lr=options.scaled_lr(), iterations=options.epochs * updates,
                warmup=options.warmup_epochs * updates, warmup_lr=options.warmup_lr,
                steps=[epoch * updates for epoch in options.lr_decay_epoch], factor=options.lr_decay)


def update_schedule(options: Any, updates: int) -> dict[str, Any]:
    """The same of options whose warm-up is counted in updates, --lr-warmup, from --lr-warmup-factor on."""
    # GluonCV's ramp reaches the full rate at iteration number --lr-warmup, the schedule's at the last of its warm-up
    return dict(mode=options.lr_mode, base_lr=options.scaled_lr(), iterations=options.epochs * updates,
                warmup=options.lr_warmup + 1 if options.lr_warmup > 0 else 0,
                warmup_lr=options.scaled_lr() * options.lr_warmup_factor,
                steps=[epoch * updates for epoch in options.lr_decay_epoch], factor=options.lr_decay)


def build_optimizer(options: Any, schedule: Any) -> Any:
    """mx.optimizer of options.optimizer that follows the schedule from its first value on."""
    own = {keyword: getattr(options, name) for name, keyword in OPTIMIZERS[options.optimizer].items()}
    return mx.optimizer.create(options.optimizer, learning_rate=schedule.base_lr, wd=options.wd,
                               lr_scheduler=CountedFromOne(schedule), **own)


def exempt_from_decay(network: Any, names: str = ".*beta|.*gamma|.*bias") -> None:
    """No weight decay on the parameters whose names match: of --no-wd biases and batch normalisation's beta and gamma."""
    for parameter in network.collect_params(names).values():
        parameter.wd_mult = 0.0


def build_trainer(parameters: Any, optimizer: Any, devices: Sequence[Any], amp: bool = False, kvstore: str = "device") -> Any:
    """gluon.Trainer that sums the gradients of all devices and processes, and whose optimizer states stay in this process, so
    that a checkpoint can hold them."""
    if comm.group().store is not None:
        trainer = gluon.Trainer(parameters, optimizer, kvstore=comm.group().store, update_on_kvstore=False)
    elif comm.size() > 1:
        trainer = _SummingTrainer(parameters, optimizer, kvstore=None, update_on_kvstore=False)
    else:
        trainer = _trainer_alone(parameters, optimizer, devices, kvstore)
    if amp:
        mixed_precision.init_trainer(trainer)
    return trainer


def introduce(trainer: Any) -> None:
    """Tell the servers of a trainer which gradients will come. By itself it does in its first step, and gives everybody the first
    process's parameters besides, when the forward has moved normalisation's running statistics: those of the others' images would
    be lost, at every resume anew. Worse, no order holds between its pull of the parameters and its first push of gradients, which
    are other arrays: on a busy machine a worker was given sums of gradients as its weights. Here all have the same parameters
    already, and nothing is pulled."""
    if comm.group().store is not None:
        trainer._init_kvstore()
        for number, parameter in enumerate(trainer._params):
            comm.group().store.init(number, mx.nd.zeros(parameter.shape, ctx=parameter.list_ctx()[0], dtype=parameter.dtype))
        trainer._params_to_init = []


class _SummingTrainer(gluon.Trainer):
    """One whose gradients the group sums, where it has no kvstore."""

    def _allreduce_grads(self):
        comm.group().sum_gradients([parameter.list_grad()[0] for parameter in self._params if parameter.grad_req != "null"])


def _trainer_alone(parameters, optimizer, devices, kvstore):
    if kvstore == "nccl" and devices[0].device_type == "cpu":
        kvstore = "device"
    # one device has nothing to sum
    return gluon.Trainer(parameters, optimizer, kvstore=kvstore if len(devices) > 1 else None, update_on_kvstore=False)


def start_amp(devices: Sequence[Any]) -> None:
    """Switch MXNet to fp16 where it may; before the network is built. Raises UserError on the CPU."""
    if devices[0].device_type == "cpu":
        raise UserError("--amp needs a GPU: MXNet 1.9.1 has no fp16 matrix products on the CPU",
                        remedy="leave --amp out")
    mixed_precision.init()

"""Saving and restoring the whole state of a run: network, optimizer, position; exact resume."""
from __future__ import annotations

from typing import Any, Mapping

from gluon_bof.backend import mx
from gluon_bof.weights.formats.checkpoint import AVERAGE_PREFIX, WEIGHT_PREFIX, read_checkpoint, weights_in, write_checkpoint
from gluon_bof.weights.load import on_device, set_weights

# {key in a checkpoint: attribute of MXNet's LossScaler}; its loss_scale is a property that cannot be set
AMP = {"loss_scale": "_loss_scale", "next_loss_scale": "_next_loss_scale", "unskipped": "_unskipped"}


def save_checkpoint(path: str, network: Any, trainer: Any, meta: Mapping[str, Any],
                    averages: Mapping[str, Any] | None = None, further: Mapping[str, Any] | None = None) -> None:
    """Write network, optimizer, `meta` (JSON values), averages of the weights and further arrays, {name: array}, where there are
    any. Raises UserError; checkpoints already there are kept."""
    arrays = {f"{WEIGHT_PREFIX}{name}": array for name, array in on_device(network).items()}
    states, counters = _optimizer_state(trainer)
    arrays.update({f"{AVERAGE_PREFIX}{name}": array for name, array in (averages or {}).items()})
    write_checkpoint(path, {**arrays, **states, **(further or {})}, dict(meta, optimizer=counters))


def load_checkpoint(path: str, network: Any, trainer: Any) -> dict[str, Any]:
    """Put a checkpoint's weights and optimizer states back. Returns its meta, with "averages", {name: array}, if it has any."""
    meta, arrays = read_checkpoint(path)
    set_weights(network, weights_in(arrays), path)
    _restore_optimizer(trainer, arrays, meta["optimizer"])
    averages = weights_in(arrays, AVERAGE_PREFIX)
    return {**meta, "averages": averages} if averages else meta


# Gluon's own way to save a trainer is a pickle of it, so these three reach for its updaters; they are local to this
# process because build_trainer says update_on_kvstore=False.

def _flat(state):
    """The arrays of an optimizer's state, which is None, an array, or nested tuples of them."""
    if state is None:
        return []
    if isinstance(state, mx.nd.NDArray):
        return [state]
    return [array for part in state for array in _flat(part)]


def _optimizer_state(trainer):
    updater, optimizer = trainer._updaters[0], trainer.optimizer
    arrays = {f"state/{number}/{place}": array
              for number, state in updater.states.items() for place, array in enumerate(_flat(state))}
    counts = optimizer._index_update_count
    counters = {"num_update": optimizer.num_update, "counts": {str(number): count for number, count in counts.items()}}
    scaler = getattr(trainer, "_amp_loss_scaler", None)
    if scaler is not None:
        counters["amp"] = {key: getattr(scaler, name) for key, name in AMP.items()}
    return arrays, counters


def _restore_optimizer(trainer, arrays, counters):
    optimizer = trainer.optimizer
    for device, updater in enumerate(trainer._updaters):
        for number, parameter in enumerate(trainer._params):
            if str(number) not in counters["counts"]:
                continue
            state = optimizer.create_state_multi_precision(number, parameter.list_data()[device])
            for place, array in enumerate(_flat(state)):
                array[:] = mx.nd.array(arrays[f"state/{number}/{place}"], ctx=array.context, dtype=array.dtype)
            updater.states[number] = state
            updater.states_synced[number] = True
    counts = {int(number): count for number, count in counters["counts"].items()}
    optimizer._all_index_update_counts = {context.device_id: dict(counts) for context in trainer._contexts}
    optimizer._index_update_count = optimizer._all_index_update_counts[trainer._contexts[0].device_id]
    optimizer.num_update = counters["num_update"]
    scaler = getattr(trainer, "_amp_loss_scaler", None)
    if scaler is not None and "amp" in counters:
        kept = {"next_loss_scale": counters["amp"]["loss_scale"], **counters["amp"]}  # version 0.1 did not keep the next
        vars(scaler).update({name: kept[key] for key, name in AMP.items()})

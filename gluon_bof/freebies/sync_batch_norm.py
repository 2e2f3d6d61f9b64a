"""Batch normalisation over one device or synchronised over many (paper, section 3.5).

Helps where a device's own batch is small; on one device it is batch normalisation. Flags: --syncbn, --norm-layer syncbn."""
from __future__ import annotations

from typing import Any, Sequence

from gluon_bof.backend import ENVIRONMENT, gluon, mx
from gluon_bof.compat import for_cpu_contexts
from gluon_bof.errors import UserError


def norm_layer(synchronised: bool, contexts: Sequence[mx.Context]) -> tuple[type, dict[str, Any]]:
    """(layer class, its arguments) for the networks' builders. SyncBatchNorm only makes sense on several devices; on one it is
    BatchNorm. Raises UserError as `refuse_waiting` does."""
    if not synchronised or len(contexts) < 2:
        return gluon.nn.BatchNorm, {}
    refuse_waiting(contexts)
    return SyncBatchNorm, {"num_devices": len(contexts)}


def refuse_waiting(contexts: Sequence[mx.Context]) -> None:
    """Raise UserError where MXNet began with less than SyncBatchNorm needs over so many CPU contexts: it would wait for ever."""
    if len(contexts) < 2 or contexts[0].device_type != "cpu":
        return
    for name, value in for_cpu_contexts(len(contexts)).items():
        if int(ENVIRONMENT.get(name, "1")) < value:
            raise UserError(f"normalisation that is synchronised over {len(contexts)} CPU contexts would wait for ever",
                            remedy=f"set {name} to {value} or more before MXNet is imported, in a notebook after a restart")


def barrier_key(name: str, device_count: int) -> str:
    """A normalisation's key for MXNet, which keeps what devices wait at under it as long as the process lives, made for its
    first number of devices: with another number under the same key, of a second training, the process would crash."""
    return f"{name}_over_{device_count}"


class SyncBatchNorm(gluon.contrib.nn.SyncBatchNorm):
    """MXNet's, of which several networks of one process may stand over different numbers of devices."""

    def __init__(self, *arguments: Any, **keywords: Any) -> None:
        super().__init__(*arguments, **keywords)
        self._kwargs["key"] = barrier_key(self.prefix, self._kwargs["ndev"])


class AliasedBatchNorm(gluon.nn.BatchNorm):
    """BatchNorm on one device under the names that SyncBatchNorm has on many, so that weights fit both."""

    def _alias(self):
        return "syncbatchnorm"

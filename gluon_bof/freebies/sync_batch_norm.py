"""Batch normalisation over one device or synchronised over many (paper, section 3.5).

Helps where a device's own batch is small; on one device it is batch normalisation. Flags: --syncbn, --norm-layer syncbn."""
from __future__ import annotations

from typing import Any, Sequence

from gluon_bof.backend import ENVIRONMENT, gluon, mx
from gluon_bof.errors import UserError

LEAST_THREADS = 4  # of MXNet, on CPU contexts


def norm_layer(synchronised: bool, contexts: Sequence[mx.Context], abreast: int = 2) -> tuple[type, dict[str, Any]]:
    """(layer class, its arguments) for the networks' builders.

    abreast: how many of a network's normalisations a device may have ready at once. SyncBatchNorm only makes sense on several
    devices; on one it is BatchNorm. On CPU contexts each waits in a thread of MXNet's until the other contexts have come to it,
    so that too few threads (MXNET_CPU_WORKER_NTHREADS) wait for ever. Raises UserError then."""
    if not synchronised or len(contexts) < 2:
        return gluon.nn.BatchNorm, {}
    needed = max(LEAST_THREADS, abreast * (len(contexts) - 1) + 2)
    if contexts[0].device_type == "cpu" and int(ENVIRONMENT.get("MXNET_CPU_WORKER_NTHREADS", "1")) < needed:
        raise UserError("synchronised normalisation over several CPU contexts would wait for ever with so few threads",
                        remedy=f"set MXNET_CPU_WORKER_NTHREADS to {needed} or more and start anew: MXNet reads it once")
    return SyncBatchNorm, {"num_devices": len(contexts)}


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

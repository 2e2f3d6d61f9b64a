"""Batch normalisation over one device or synchronised over many (paper, section 3.5).

Helps where a device's own batch is small; on one device it is batch normalisation. Flags: --syncbn, --norm-layer syncbn."""
from __future__ import annotations

import os
from typing import Any, Sequence

from gluon_bof.backend import gluon, mx
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
    if contexts[0].device_type == "cpu" and int(os.environ.get("MXNET_CPU_WORKER_NTHREADS", "1")) < needed:
        raise UserError("synchronised normalisation over several CPU contexts would wait for ever with so few threads",
                        remedy=f"set MXNET_CPU_WORKER_NTHREADS to {needed} or more before starting")
    return mx.gluon.contrib.nn.SyncBatchNorm, {"num_devices": len(contexts)}


class AliasedBatchNorm(gluon.nn.BatchNorm):
    """BatchNorm on one device under the names that SyncBatchNorm has on many, so that weights fit both."""

    def _alias(self):
        return "syncbatchnorm"

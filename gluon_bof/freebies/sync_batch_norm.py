"""Batch normalisation over one device or synchronised over many (paper, section 3.5).

Helps where a device's own batch is small; on one device it is batch normalisation. Flags: --syncbn, --norm-layer syncbn."""
from __future__ import annotations

import os
from typing import Any, Sequence

from gluon_bof.backend import gluon, mx
from gluon_bof.errors import UserError


def norm_layer(synchronised: bool, contexts: Sequence[mx.Context]) -> tuple[type, dict[str, Any]]:
    """(layer class, its arguments) for the networks' builders.

    SyncBatchNorm only makes sense on several devices; on one it is BatchNorm. On several CPU contexts it needs
    MXNET_CPU_WORKER_NTHREADS of at least 2, below which MXNet deadlocks. Raises UserError then."""
    if not synchronised or len(contexts) < 2:
        return gluon.nn.BatchNorm, {}
    if contexts[0].device_type == "cpu" and int(os.environ.get("MXNET_CPU_WORKER_NTHREADS", "1")) < 2:
        raise UserError("--syncbn over several CPU contexts would wait for ever",
                        remedy="set MXNET_CPU_WORKER_NTHREADS to the number of contexts before starting")
    return mx.gluon.contrib.nn.SyncBatchNorm, {"num_devices": len(contexts)}


class AliasedBatchNorm(gluon.nn.BatchNorm):
    """BatchNorm on one device under the names that SyncBatchNorm has on many, so that weights fit both."""

    def _alias(self):
        return "syncbatchnorm"

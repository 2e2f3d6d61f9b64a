"""Synchronised batch normalisation against that of the whole batch."""
import os
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from gluon_bof.backend import gluon, mx
from gluon_bof.errors import UserError
from gluon_bof.freebies.sync_batch_norm import norm_layer

ROOT = Path(__file__).resolve().parents[2]


def test_synchronised_normalisation_over_two_devices_is_that_of_the_whole_batch():
    """In a process of its own, because MXNet reads its number of threads when it starts."""
    code = textwrap.dedent("""
        import numpy as np
        from gluon_bof.backend import autograd, gluon, mx
        from gluon_bof.freebies.sync_batch_norm import norm_layer
        devices = [mx.cpu(0), mx.cpu(1)]
        layer, arguments = norm_layer(True, devices)
        assert layer is gluon.contrib.nn.SyncBatchNorm
        synchronised, whole = layer(in_channels=3, **arguments), gluon.nn.BatchNorm(in_channels=3)
        synchronised.initialize(ctx=devices)
        whole.initialize()
        x = mx.nd.array(np.random.default_rng(0).normal(2, 3, (8, 3, 4, 4)))
        with autograd.record():
            expected = whole(x).asnumpy()
            parts = [synchronised(part) for part in gluon.utils.split_and_load(x, devices)]
            found = np.concatenate([part.asnumpy() for part in parts])
        np.testing.assert_allclose(found, expected, atol=1e-5)
    """)
    environment = dict(os.environ, MXNET_CPU_WORKER_NTHREADS="4", PYTHONPATH=str(ROOT))
    subprocess.run([sys.executable, "-W", "ignore", "-c", code], check=True, timeout=60, env=environment)


def test_synchronised_normalisation_that_would_hang_is_refused(monkeypatch):
    monkeypatch.delenv("MXNET_CPU_WORKER_NTHREADS", raising=False)
    with pytest.raises(UserError, match="MXNET_CPU_WORKER_NTHREADS"):
        norm_layer(True, [mx.cpu(0), mx.cpu(1)])
    assert norm_layer(True, [mx.cpu(0)])[0] is norm_layer(False, [mx.cpu(0)])[0] is gluon.nn.BatchNorm

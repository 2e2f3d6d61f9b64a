"""Synchronised batch normalisation against that of the whole batch."""
import os
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from gluon_bof.backend import ENVIRONMENT, gluon, mx
from gluon_bof.compat import for_cpu_contexts
from gluon_bof.errors import UserError
from gluon_bof.freebies.sync_batch_norm import norm_layer

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.slow  # the gradients below depend on the same outputs
def test_synchronised_normalisation_over_two_devices_is_that_of_the_whole_batch():
    """In a process of its own, because MXNet reads its number of threads when it starts."""
    code = textwrap.dedent("""
        import numpy as np
        from gluon_bof.backend import autograd, gluon, mx
        from gluon_bof.freebies.sync_batch_norm import norm_layer
        devices = [mx.cpu(0), mx.cpu(1)]
        layer, arguments = norm_layer(True, devices)
        assert issubclass(layer, gluon.contrib.nn.SyncBatchNorm)
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
    environment = dict(os.environ, PYTHONPATH=str(ROOT), **{name: str(value) for name, value in for_cpu_contexts(2).items()})
    subprocess.run([sys.executable, "-W", "ignore", "-c", code], check=True, timeout=60, env=environment)


@pytest.mark.parametrize("lacking", ("MXNET_CPU_WORKER_NTHREADS", "MXNET_CPU_TEMP_COPY"))
def test_synchronised_normalisation_that_would_hang_is_refused(lacking, monkeypatch):
    devices = [mx.cpu(number) for number in range(3)]
    for name, value in for_cpu_contexts(3).items():
        monkeypatch.setitem(ENVIRONMENT, name, str(value))
    assert norm_layer(True, devices)[1] == {"num_devices": 3}
    monkeypatch.setitem(ENVIRONMENT, lacking, str(for_cpu_contexts(3)[lacking] - 1))
    monkeypatch.setenv(lacking, "99999")  # of a later cell of a notebook: MXNet does not look again
    with pytest.raises(UserError, match=f"set {lacking} to {for_cpu_contexts(3)[lacking]} or more"):
        norm_layer(True, devices)
    assert norm_layer(True, devices[:1])[0] is norm_layer(False, devices)[0] is gluon.nn.BatchNorm


def test_a_second_network_of_the_same_names_over_another_number_of_devices_does_not_crash_the_process():
    """Two trainings of one notebook: MXNet keeps what it made for the first."""
    code = textwrap.dedent("""
        import numpy as np
        from gluon_bof import models
        from gluon_bof.backend import autograd, gluon, mx
        from gluon_bof.options.recipes import RECIPES
        options = RECIPES["faster_rcnn/embedded"].options.resolved()
        x = np.random.default_rng(0).normal(size=(6, 3, 64, 64))
        for count in (2, 3, 2):
            devices = [mx.cpu(number) for number in range(count)]
            network = models.build_network(options, ("a", "b"), devices)
            with autograd.record():
                maps = [network.features(part)[0] for part in gluon.utils.split_and_load(mx.nd.array(x), devices)]
            assert all(np.isfinite(found.asnumpy()).all() for found in maps)
    """)
    environment = dict(os.environ, PYTHONPATH=str(ROOT), **{name: str(value) for name, value in for_cpu_contexts(3).items()})
    subprocess.run([sys.executable, "-W", "ignore", "-c", code], check=True, timeout=100, env=environment)


@pytest.mark.parametrize("count", (2, pytest.param(4, marks=pytest.mark.slow)))
def test_gradients_and_running_statistics_over_many_contexts_are_the_joint_batchs(count):
    code = textwrap.dedent("""
        import sys
        import numpy as np
        from gluon_bof.backend import autograd, gluon, mx
        from gluon_bof.freebies.sync_batch_norm import norm_layer
        devices = [mx.cpu(number) for number in range(int(sys.argv[1]))]
        rng = np.random.default_rng(0)
        images, slope = rng.normal(2, 3, (8, 3, 4, 4)).astype("float32"), rng.normal(size=(8, 5)).astype("float32")

        def trained(layer, arguments, devices):
            network = gluon.nn.HybridSequential()
            network.add(gluon.nn.Conv2D(4, 3, in_channels=3), layer(in_channels=4, **arguments), gluon.nn.Activation("relu"),
                        gluon.nn.Conv2D(5, 2, in_channels=4), layer(in_channels=5, **arguments))
            mx.random.seed(1)
            network.initialize(mx.init.Normal(0.3), ctx=devices)
            parts, slopes = (gluon.utils.split_and_load(mx.nd.array(array), devices) for array in (images, slope))
            for part in parts:
                part.attach_grad()
            with autograd.record():
                losses = [(network(part)[:, :, 0, 0] * weights).sum() for part, weights in zip(parts, slopes)]
            autograd.backward(losses)
            found = [np.concatenate([part.grad.asnumpy() for part in parts])]
            for parameter in network.collect_params().values():
                if parameter.grad_req == "null":
                    every = [array.asnumpy() for array in parameter.list_data()]
                    assert all((array == every[0]).all() for array in every)
                    found.append(every[0])
                else:
                    found.append(sum(array.asnumpy() for array in parameter.list_grad()))
            return found

        joint = trained(gluon.nn.BatchNorm, {}, [mx.cpu(0)])
        shared = trained(*norm_layer(True, devices), devices)
        for wanted, found in zip(joint, shared):
            assert np.abs(wanted - found).max() < 1e-4 * max(1, np.abs(wanted).max()), np.abs(wanted - found).max()
        assert np.abs(joint[0]).max() > 0.01
    """)
    environment = dict(os.environ, PYTHONPATH=str(ROOT),
                       **{name: str(value) for name, value in for_cpu_contexts(count).items()})
    subprocess.run([sys.executable, "-W", "ignore", "-c", code, str(count)], check=True, timeout=100, env=environment)

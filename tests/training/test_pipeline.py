"""What the training scripts share: their sampler, and which devices may synchronise normalisation."""
import dataclasses

import pytest

from gluon_bof.backend import ENVIRONMENT, mx
from gluon_bof.data.sampler import BatchSampler
from gluon_bof.distributed import comm
from gluon_bof.errors import UserError
from gluon_bof.freebies.mixup import MixRatio
from gluon_bof.options.yolo3 import Yolo3Options
from gluon_bof.training.pipeline import build_sampler, refuse_partial_syncbn

OPTIONS = Yolo3Options(mixup="beta", mixup_alpha=0.5, mixup_beta=4.0, no_mixup_epochs=1, epochs=3, batch_size=4, seed=5,
                       no_random_shape=True)
TWO = [mx.cpu(0), mx.cpu(1)]


def test_the_sampler_mixes_as_the_flags_say_and_stops_before_the_last_epochs():
    found, even = (build_sampler(dataclasses.replace(OPTIONS, mixup=mixup), 17) for mixup in ("beta", "even"))
    wanted = BatchSampler(17, 4, 5, (416,), 1, MixRatio(0.5, 4.0), mix_until=2)
    for epoch in range(3):
        assert list(found.start(epoch)) == list(wanted.start(epoch))
    assert {spec.ratio for batch in found for spec in batch} == {1.0}
    assert {spec.ratio for batch in even.start(1) for spec in batch} == {0.5}


@pytest.mark.parametrize("samples, batches", ((0, 4), (-1, 4), (9, 2)))
def test_an_epoch_has_as_many_samples_as_are_asked_for(samples, batches):
    assert build_sampler(dataclasses.replace(OPTIONS, num_samples=samples), 17).batches == batches


@pytest.mark.parametrize("lacking", ("MXNET_CPU_WORKER_NTHREADS", "MXNET_CPU_TEMP_COPY"))
def test_normalisation_that_would_wait_for_ever_is_refused_by_its_variable(lacking, monkeypatch):
    options = Yolo3Options(syncbn=True, batch_size=4)
    monkeypatch.setitem(ENVIRONMENT, "MXNET_CPU_WORKER_NTHREADS", "16")
    monkeypatch.setitem(ENVIRONMENT, "MXNET_CPU_TEMP_COPY", "2048")
    refuse_partial_syncbn(options, TWO)
    monkeypatch.delitem(ENVIRONMENT, lacking)
    with pytest.raises(UserError, match=f"over 2 CPU contexts would wait for ever; set {lacking} to "):
        refuse_partial_syncbn(options, TWO)
    refuse_partial_syncbn(options, TWO[:1])
    refuse_partial_syncbn(dataclasses.replace(options, syncbn=""), TWO)


class Workers(comm.Alone):
    """The first of some workers."""

    def __init__(self, size):
        self.size = size


@pytest.mark.parametrize("batch, workers, devices, told", ((8, 1, 2, False), (7, 1, 2, True), (6, 2, 2, True), (9, 2, 2, True),
                                                           (8, 2, 2, False), (7, 1, 1, False), (7, 2, 1, False)))
def test_devices_with_unlike_parts_of_a_batch_are_warned_of(batch, workers, devices, told, monkeypatch, caplog):
    monkeypatch.setattr(comm, "_group", Workers(workers))
    refuse_partial_syncbn(Yolo3Options(syncbn="per-process", batch_size=batch), [mx.gpu(0), mx.gpu(1)][:devices])
    assert (f"a batch of {batch} does not divide over {workers} x {devices} devices" in caplog.text) is told

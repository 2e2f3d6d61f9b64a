"""Kept images: the pixels and batches of decoding anew, decoded once by whichever process, in room that is really there."""
import os
import subprocess
import sys
import textwrap
from pathlib import Path

import numpy as np
import pytest

from gluon_bof.data.cache import bytes_of, free_memory, image_reader
from gluon_bof.data.images import read_image
from gluon_bof.data.loader import TrainingImages, training_loader
from gluon_bof.data.sampler import BatchSampler
from gluon_bof.data.voc import load_voc
from gluon_bof.distributed import comm
from gluon_bof.errors import UserError
from gluon_bof.freebies.mixup import MixRatio
from tests.tiny_sets import write_voc_set


@pytest.fixture
def records(tmp_path):
    return load_voc(str(write_voc_set(tmp_path / "set", images=9)), "train").records


def bits(records, workers, read, epochs=2):
    sampler = BatchSampler(len(records), 4, 7, (64, 96), 2, MixRatio(), mix_until=2)
    loader = training_loader(TrainingImages(records, read=read), sampler, workers)
    found = []
    for epoch in range(epochs):
        sampler.start(epoch, 0)
        found += [images.asnumpy().tobytes() + truths.asnumpy().tobytes() for images, truths, _ in loader]
    return found


@pytest.mark.parametrize("where", ("ram", "disk"))
def test_batches_are_the_bits_of_decoding_anew_for_any_number_of_workers(records, where, tmp_path):
    wanted = bits(records, 0, None)
    for workers in (0, 1, 3):
        assert bits(records, workers, image_reader(records, where, str(tmp_path))) == wanted, workers


@pytest.mark.parametrize("where", ("ram", "disk"))
def test_what_a_worker_has_decoded_nobody_decodes_again(records, where, tmp_path):
    read = image_reader(records, where, str(tmp_path))
    before = bits(records, 2, read)
    for record in records:
        os.unlink(record.path)
    assert bits(records, 0, read) == before  # this process has decoded none of them
    with pytest.raises(UserError, match="does not exist"):
        read_image(records[0].path)


def test_nobody_can_write_into_what_is_kept(records):
    read = image_reader(records, "ram")
    for _ in range(2):
        with pytest.raises(ValueError, match="read-only"):
            read(0)[...] = 0
    np.testing.assert_array_equal(read(0), read_image(records[0].path))


def test_an_image_of_another_size_than_the_record_says_is_not_kept(records):
    read = image_reader(records, "ram")
    small, large = read_image(records[0].path), records[1]
    import cv2
    cv2.imwrite(large.path, np.zeros((5, 7, 3), np.uint8))
    assert read(1).shape == (5, 7, 3)
    assert read(0).shape == small.shape and read(2).shape == small.shape


def test_a_broken_image_is_told_each_time_and_spoils_no_other(records):
    read = image_reader(records, "ram")
    Path(records[3].path).write_bytes(b"no image")
    for _ in range(2):
        with pytest.raises(UserError, match="not an image"):
            read(3)
    np.testing.assert_array_equal(read(4), read_image(records[4].path))


def test_more_than_the_memory_that_is_free_is_refused_with_the_remedy(records, monkeypatch):
    monkeypatch.setattr("gluon_bof.data.cache.free_memory", lambda: bytes_of(records) / 0.81)
    with pytest.raises(UserError, match="--cache disk"):
        image_reader(records, "ram")


class TwoOnThisMachine(comm.Alone):
    """What a group of two tells of its other member."""

    size = 2

    def gather(self, value):
        """Both say the same."""
        return [value, value]


def test_workers_on_one_machine_may_not_each_take_what_is_free_once(records, monkeypatch):
    monkeypatch.setattr("gluon_bof.data.cache.free_memory", lambda: 2 * bytes_of(records))
    image_reader(records, "ram")
    monkeypatch.setattr(comm, "_group", TwoOnThisMachine())
    with pytest.raises(UserError, match="for each of 2 workers"):
        image_reader(records, "ram")


def test_free_memory_is_the_less_of_machine_and_container(tmp_path):
    machine = tmp_path / "meminfo"
    machine.write_text("MemTotal: 9 kB\nMemAvailable:  1000 kB\n")
    assert free_memory(str(machine), str(tmp_path)) == 1024000
    (tmp_path / "memory.max").write_text("500000\n")
    (tmp_path / "memory.current").write_text("200000\n")
    assert free_memory(str(machine), str(tmp_path)) == 300000
    (tmp_path / "memory.max").write_text("max\n")
    assert free_memory(str(machine), str(tmp_path)) == 1024000
    assert free_memory(str(tmp_path / "none"), str(tmp_path / "none")) == float("inf")


def test_a_disk_without_room_is_refused_and_nothing_is_left(records, tmp_path):
    program = textwrap.dedent(f"""
        import resource, signal, sys
        from gluon_bof.data.cache import image_reader
        from gluon_bof.data.voc import load_voc
        records = load_voc({str(tmp_path / 'set')!r}, "train").records
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (50000, 50000))
        from gluon_bof.errors import UserError
        try:
            image_reader(records, "disk", {str(tmp_path / 'run')!r})
        except UserError as error:
            print(error)
        """)
    said = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout
    assert "--cache disk cannot keep" in said and "--runs" in said and str(tmp_path / "run") in said
    assert not os.listdir(tmp_path / "run")


def test_what_is_on_disk_goes_with_its_process_however_that_ends(records, tmp_path):
    program = textwrap.dedent(f"""
        import os, signal
        from gluon_bof.data.cache import image_reader
        from gluon_bof.data.voc import load_voc
        read = image_reader(load_voc({str(tmp_path / 'set')!r}, "train").records, "disk", {str(tmp_path / 'run')!r})
        read(0)
        os.kill(os.getpid(), signal.SIGKILL)
        """)
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == -9
    assert not os.listdir(tmp_path / "run")

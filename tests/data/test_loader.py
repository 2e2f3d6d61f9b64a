"""Batches on the wire: the same bits for any number of workers, mixup present with workers, faults told."""
import contextlib
import pickle
import subprocess
import sys
import textwrap
import threading
import time

import cv2
import numpy as np
import pytest

from gluon_bof.data import workers as data_workers
from gluon_bof.data.loader import TrainingImages, ValidationImages, pad_truths, training_loader, validation_loader
from gluon_bof.data.sampler import BatchSampler, SampleSpec
from gluon_bof.data.transforms import EvalTransform, square
from gluon_bof.data.voc import load_voc
from gluon_bof.data.workers import FORK, Workers, opencv_on_one_thread
from gluon_bof.errors import UserError
from gluon_bof.freebies.augmentation import Augmentation
from gluon_bof.freebies.mixup import MixRatio
from tests.tiny_sets import write_voc_set
from tests.training.test_stops import is_running


@pytest.fixture(scope="module")
def records(tmp_path_factory):
    return load_voc(str(write_voc_set(tmp_path_factory.mktemp("set"), images=20)), "train").records


def test_no_worker_is_started_to_whom_no_batch_would_come(records, monkeypatch):
    asked = []
    monkeypatch.setattr("gluon_bof.data.loader.Workers", lambda count, *_: asked.append(count))
    images = ValidationImages(records[:3], EvalTransform(square, 64))
    for shard in ((0, 1), (1, 2), (3, 4)):
        validation_loader(images, 1, 16, shard)
    assert asked == [3, 1]


def batches(records, workers, epochs=(0, 1, 2), batch=0, **options):
    sampler = BatchSampler(len(records), 4, 7, (64, 96), 2, MixRatio(), mix_until=2)
    loader = training_loader(TrainingImages(records, **options), sampler, workers)
    found = []
    for epoch in epochs:
        sampler.start(epoch, batch)
        found.append([(images.asnumpy(), truths.asnumpy(), broken) for images, truths, broken in loader])
    return found


def bits(epochs):
    return [[images.tobytes() + truths.tobytes() for images, truths, _ in epoch] for epoch in epochs]


def test_batches_are_the_same_bits_with_0_1_and_3_workers(records):
    alone = bits(batches(records, 0))
    assert alone == bits(batches(records, 1)) == bits(batches(records, 3))
    assert len({bit for epoch in alone for bit in epoch}) == 15  # and no two batches are alike


def test_a_set_can_be_pickled_as_a_loader_that_forks_nothing_does(records):
    images = TrainingImages(records)
    for ours, theirs in zip(pickle.loads(pickle.dumps(images))[SampleSpec(0, -1, 1.0, 64, (0, 0, 0, 0))],
                            images[SampleSpec(0, -1, 1.0, 64, (0, 0, 0, 0))]):
        np.testing.assert_array_equal(ours, theirs)


@pytest.mark.parametrize("workers", (0, 1))
def test_a_programs_opencv_keeps_its_threads(records, workers):
    before = cv2.getNumThreads()
    cv2.setNumThreads(2)
    try:
        next(iter(validation_loader(ValidationImages(records, EvalTransform(square, 96)), 4, workers)))
        ValidationImages(records, EvalTransform(square, 96))[0]
        assert cv2.getNumThreads() == 2
        assert list(Workers(1, lambda task: cv2.getNumThreads()).results([1])) == [1]
    finally:
        cv2.setNumThreads(before)


def test_opencv_has_its_threads_again_when_the_last_who_needs_one_alone_is_done():
    before = cv2.getNumThreads()
    cv2.setNumThreads(2)
    try:
        with contextlib.ExitStack() as first:
            first.enter_context(opencv_on_one_thread())
            with opencv_on_one_thread():
                assert cv2.getNumThreads() == 1
            assert cv2.getNumThreads() == 1
        assert cv2.getNumThreads() == 2
    finally:
        cv2.setNumThreads(before)


def test_a_process_forked_while_a_thread_counts_who_needs_one_alone_can_do_so_too():
    """Nor does it wait for OpenCV's threads, which a fork does not have."""
    held = threading.Event()

    def use():
        with opencv_on_one_thread():
            pass

    def hold():
        with data_workers._opencv:
            held.set()
            time.sleep(0.2)

    before = cv2.getNumThreads()
    cv2.setNumThreads(2)
    try:
        cv2.GaussianBlur(np.zeros((2000, 2000, 3), np.uint8), (31, 31), 5)  # begins them
        thread = threading.Thread(target=hold)
        thread.start()
        held.wait()
        process = FORK.Process(target=use, daemon=True)
        process.start()
        process.join(30)
        assert process.exitcode == 0
        thread.join()
    finally:
        cv2.setNumThreads(before)


def test_a_sample_does_not_tie_a_programs_worker_to_the_thread_that_made_it(records):
    """A worker of Gluon's loader was killed when that thread ended."""
    ours, theirs = FORK.Pipe()

    def read():
        ValidationImages(records, EvalTransform(square, 96))[0]
        theirs.send(cv2.getNumThreads())
        theirs.recv()

    process = FORK.Process(target=read, daemon=True)
    thread = threading.Thread(target=process.start)
    thread.start()
    assert ours.poll(60) and ours.recv() == 1
    thread.join()
    process.join(0.1)
    assert process.is_alive()
    ours.send("end")
    process.join(60)
    assert process.exitcode == 0


def test_an_epoch_can_be_taken_up_at_any_batch(records):
    assert bits(batches(records, 1, (1,)))[0][3:] == bits(batches(records, 1, (1,), batch=3))[0]


def test_mixup_is_present_with_workers_and_absent_in_the_last_epochs(records):
    for epoch, found in enumerate(batches(records, 2)):
        weights = np.concatenate([truths[truths[..., 4] >= 0][:, 5] for _, truths, _ in found])
        if epoch < 2:
            assert ((weights > 0) & (weights < 1)).mean() > 0.9
        else:
            assert (weights == 1).all()


def test_workers_do_not_repeat_each_others_draws(records):
    """One image in every place of the batch: only the augmentation can tell the samples apart."""
    found = batches([records[0]] * 20, 3, epochs=(2,))[0]
    samples = [image.tobytes() for images, _, _ in found for image in images]
    assert len(set(samples)) == len(samples) == 20


def test_what_crosses_the_wire_is_small_and_well_formed(records):
    for images, truths, broken in batches(records, 1, (0,))[0]:
        assert images.dtype == np.uint8 and images.shape[1:] in ((64, 64, 3), (96, 96, 3))
        assert truths.dtype == np.float32 and truths.shape[2] == 6 and broken == []
        size = images.shape[1]
        real = truths[truths[..., 4] >= 0]
        assert (real[:, :2] < real[:, 2:4]).all() and real[:, :4].min() >= 0 and real[:, :4].max() <= size
        assert (truths[truths[..., 4] < 0] == -1).all()


def test_padding_has_few_shapes():
    shapes = {pad_truths([np.ones((count, 6), np.float32)]).shape for count in range(130)}
    assert shapes == {(1, rows, 6) for rows in (8, 16, 32, 64, 128, 256)}


@pytest.fixture
def with_a_broken_image(tmp_path):
    root = write_voc_set(tmp_path, images=8)
    records = load_voc(str(root), "train").records
    path = records[3].path
    data = open(path, "rb").read()
    open(path, "wb").write(data[:len(data) // 2])
    return records, path


@pytest.mark.parametrize("workers", (0, 2))
def test_a_broken_image_stops_training_by_name(with_a_broken_image, workers):
    records, path = with_a_broken_image
    with pytest.raises(UserError) as refusal:
        batches(records, workers)
    assert path in str(refusal.value) and "--on-bad-sample skip" in str(refusal.value)


@pytest.mark.parametrize("workers", (0, 2))
def test_a_broken_image_that_may_be_skipped_is_left_out_and_named(with_a_broken_image, workers):
    records, path = with_a_broken_image
    found = batches(records, workers, on_bad_sample="skip")
    assert bits(found) == bits(batches(records, 0, on_bad_sample="skip"))
    assert any(path in name for epoch in found for _, _, broken in epoch for name in broken)


def test_an_image_that_stands_in_for_its_partner_is_not_mixed_with_itself(with_a_broken_image):
    records, path = with_a_broken_image
    dataset = TrainingImages(records, Augmentation.none(), on_bad_sample="skip")
    stand_in = SampleSpec(4, 3, 0.3, 64, (0, 0, 0, 0))
    image, truth, broken = dataset[stand_in]
    alone, own, _ = dataset[stand_in._replace(partner=-1)]
    np.testing.assert_array_equal(image, alone)
    np.testing.assert_array_equal(truth, own)
    assert len(broken) == 1 and path in broken[0]


def test_images_without_boxes_are_negatives(tmp_path):
    root = write_voc_set(tmp_path, images=4)
    for path in (root / "VOC2007" / "Annotations").iterdir():
        text = path.read_text()
        path.write_text(text[:text.index("<object>")] + "</annotation>")
    records = load_voc(str(root), "train", classes=("red",)).records
    for _, truths, _ in batches(records, 0, (0, 2))[0]:
        assert (truths == -1).all()


@pytest.mark.parametrize("workers", (0, 2))
def test_validation_sees_every_image_once_in_order(records, workers):
    loader = validation_loader(ValidationImages(records, EvalTransform(square, 64)), 8, workers)
    shapes, indices = zip(*[(images.shape, index) for images, index in loader])
    assert sum(indices, []) == list(range(20))
    assert shapes == ((8, 64, 64, 3), (8, 64, 64, 3), (4, 64, 64, 3))


def test_without_augmentation_boxes_are_only_scaled(records):
    dataset = TrainingImages(records, Augmentation.none())
    spec = BatchSampler(len(records), 1, 0, (96,)).draw_batch(0, 0)[0]
    record = records[spec.index]
    np.testing.assert_allclose(dataset[spec][1][:, :4],
                               record.boxes * np.tile((96 / record.width, 96 / record.height), 2), rtol=1e-5)


def test_workers_die_with_a_killed_trainer(tmp_path):
    write_voc_set(tmp_path, images=8)
    code = textwrap.dedent(f"""
        import multiprocessing, os, signal
        from gluon_bof.data.sampler import BatchSampler
        from gluon_bof.data.loader import TrainingImages, training_loader
        from gluon_bof.data.voc import load_voc
        records = load_voc({str(tmp_path)!r}, "train").records
        loader = training_loader(TrainingImages(records), BatchSampler(8, 1, 0, (64,)), 2)
        list(loader)
        print(*[child.pid for child in multiprocessing.active_children()], flush=True)
        os.kill(os.getpid(), signal.SIGKILL)
    """)
    told = subprocess.run([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    workers = [int(word) for word in told.stdout.split()]
    assert len(workers) == 2
    deadline = time.time() + 10
    while any(map(is_running, workers)):
        assert time.time() < deadline, "a worker outlived its trainer"
        time.sleep(0.05)

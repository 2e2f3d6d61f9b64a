"""Data workers as real processes that real signals reach: what they compute, and how they end."""
import multiprocessing
import os
import pickle
import signal
import threading
import time
from multiprocessing.connection import Connection

import numpy as np
import pytest

from gluon_bof.data.loader import ValidationImages, validation_loader
from gluon_bof.data.transforms import EvalTransform, square
from gluon_bof.data.voc import load_voc
from gluon_bof.data.workers import WorkerLost, Workers, ending_workers
from gluon_bof.errors import UserError, warn
from tests.tiny_sets import write_voc_set

PROMPT = 10  # seconds within which a lost worker is told


def described(task):
    """What a task asks of a worker: (what, number)."""
    what, number = task
    if what == "square":
        return number ** 2
    if what == "process":
        return os.getpid()
    if what == "sleep":
        time.sleep(number)
    if what == "signal":
        os.kill(os.getpid(), number)
    if what == "exit":
        os._exit(number)
    if what == "refuse":
        raise UserError("no such thing", "a file", "a remedy")
    if what == "fail":
        raise KeyError("a bug")
    if what == "remember":
        warn("it was warned of before")
        return lambda: None  # which cannot be pickled
    if what == "fill":
        return np.zeros(number, np.uint8)
    return what


def pids(workers, count):
    """The processes, all of which have answered."""
    return set(workers.results([("process", 0)] * 40 * count))


@pytest.mark.parametrize("count", (1, 2, 5))
def test_results_come_in_the_order_of_the_tasks(count):
    workers = Workers(count, described)
    tasks = [("square", number) for number in range(50)]
    for _ in range(2):
        assert list(workers.results(tasks)) == [number ** 2 for number in range(50)]


def test_slow_and_large_results_do_not_change_the_order():
    workers = Workers(3, described)
    tasks = [("sleep", 0.2), ("square", 3), ("fill", 3_000_000), ("square", 4), ("sleep", 0.05), ("square", 5)]
    found = list(workers.results(tasks))
    assert (found[0], found[1], len(found[2]), *found[3:]) == ("sleep", 9, 3_000_000, 16, "sleep", 25)


def test_a_pass_that_was_left_leaves_nothing_to_the_next():
    workers = Workers(2, described)
    left = workers.results([("square", number) for number in range(10)])
    assert next(left) == 0
    assert list(workers.results([("square", number) for number in range(20, 25)])) == [400, 441, 484, 529, 576]
    with pytest.raises(RuntimeError, match="another pass"):
        next(left)


@pytest.mark.parametrize("method", ("send_bytes", "recv"))
def test_a_pass_that_is_interrupted_gives_the_next_no_answer_of_its_own(monkeypatch, method):
    """Ctrl-C between a task's sending and its ticket's counting had two tasks under one ticket: the next pass had the answer to
    the other, without a word."""
    workers = Workers(1, described)
    whole = getattr(Connection, method)

    def interrupted(pipe, *message):
        whole(pipe, *message)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(Connection, method, interrupted)
        with pytest.raises(KeyboardInterrupt):
            next(workers.results([("square", 1)]))
    for _ in range(2):
        with pytest.raises(WorkerLost, match="was interrupted"):
            next(workers.results([("square", 2)]))


def test_a_task_that_cannot_be_sent_and_an_interrupted_wait_leave_the_workers_to_the_next_pass():
    workers = Workers(1, described)
    with pytest.raises((AttributeError, TypeError, pickle.PicklingError)):
        next(workers.results([("square", lambda: None)]))
    assert list(workers.results([("square", 3)])) == [9]
    before = signal.signal(signal.SIGALRM, signal.default_int_handler)
    signal.setitimer(signal.ITIMER_REAL, 0.2)
    try:
        with pytest.raises(KeyboardInterrupt):
            next(workers.results([("sleep", 0.5)]))
    finally:
        signal.signal(signal.SIGALRM, before)
    assert list(workers.results([("square", 4)])) == [16]


def test_no_more_is_computed_ahead_than_is_allowed():
    asked = []
    workers = Workers(2, described)
    results = workers.results(asked.append(number) or ("square", number) for number in range(100))
    next(results)
    assert len(asked) <= 4


def test_what_a_worker_raises_comes_back_in_its_turn(caplog):
    workers = Workers(2, described)
    results = workers.results([("square", 2), ("refuse", 0), ("square", 3)])
    assert next(results) == 4
    with pytest.raises(UserError, match="a file: no such thing; a remedy"):
        next(results)
    with pytest.raises(KeyError) as failure:
        list(workers.results([("fail", 0)]))
    assert 'raise KeyError("a bug")' in str(failure.value.__cause__)  # where it was raised
    with pytest.raises(RuntimeError, match="cannot be sent"):
        list(workers.results([("remember", 0)]))
    assert caplog.messages == ["it was warned of before"]


@pytest.mark.parametrize("task, words", [
    (("signal", signal.SIGKILL), "killed.*memory runs out; give a smaller -j"), (("signal", signal.SIGSEGV), "by SIGSEGV"),
    (("signal", signal.SIGBUS), "/dev/shm: .*full.*MB free of.*; make it larger"), (("exit", 3), "with status 3")])
def test_a_worker_that_dies_at_work_is_told_by_its_cause(task, words):
    workers = Workers(2, described)
    began = time.monotonic()
    with pytest.raises(WorkerLost, match=words) as refusal:
        list(workers.results([("square", 1)] * 5 + [task] + [("square", 1)] * 5))
    assert time.monotonic() - began < PROMPT and "\n" not in str(refusal.value)


@pytest.mark.parametrize("which", ("own", "of another"))
def test_a_worker_that_dies_idle_is_told_by_whoever_waits_next(which):
    workers, others = Workers(2, described), Workers(2, described)
    victim = pids(workers if which == "own" else others, 2).pop()
    results = workers.results([("sleep", 0.05)] * 2000)  # a hundred seconds of one that is left alone
    next(results)
    os.kill(victim, signal.SIGKILL)
    began = time.monotonic()
    with pytest.raises(WorkerLost, match="killed"):
        list(results)
    assert time.monotonic() - began < PROMPT


def test_workers_that_end_with_another_thread_are_no_loss_of_this_ones():
    kept, told = [], []  # workers, as an error that somebody keeps keeps them

    def training():
        kept.append(Workers(1, described))
        told.append(list(kept[-1].results([("square", 3)])))

    for _ in range(3):  # a thread may have the number of one that ended
        thread = threading.Thread(target=training)
        thread.start()
        thread.join()  # the kernel ends its workers with it
        kept[-1]._crew[0].process.join(PROMPT)
    training()
    assert told == [[9]] * 4


def test_workers_are_forked_whatever_the_program_has_chosen_for_its_own():
    multiprocessing.set_start_method("spawn", force=True)
    try:
        assert list(Workers(1, lambda task: task + 1).results([1])) == [2]  # nobody could pickle that
    finally:
        multiprocessing.set_start_method(None, force=True)


def test_workers_ignore_what_stops_their_parent_and_end_with_their_owner():
    workers = Workers(2, described)
    crew = pids(workers, 2)
    assert len(crew) == 2
    for process in crew:
        for asked in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            os.kill(process, asked)
    assert list(workers.results([("square", 7)] * 8)) == [49] * 8
    busy = workers.results([("square", 1)] + [("sleep", 30)] * 4)
    next(busy)
    began = time.monotonic()
    del busy, workers
    assert not crew & {child.pid for child in multiprocessing.active_children()}
    assert time.monotonic() - began < 2


def test_workers_end_with_what_began_them_though_they_are_kept():
    earlier = Workers(1, described)
    with ending_workers():
        kept = Workers(1, described)
        child, = pids(kept, 1)
        results = kept.results([("square", 1)] * 9)
        next(results)
    assert child not in {process.pid for process in multiprocessing.active_children()}
    with pytest.raises(RuntimeError, match="were ended"):
        next(results)
    assert list(earlier.results([("square", 3)])) == [9]


def waits_for_a_worker(pipe):
    """Send the worker's process, and then its result."""
    workers = Workers(1, described)
    results = workers.results([("process", 0), ("sleep", 1)])
    pipe.send(next(results))
    pipe.send(next(results))


@pytest.mark.slow  # seconds are what it counts
def test_time_that_a_training_is_stopped_is_none_that_it_waits(monkeypatch):
    """After Ctrl-Z and two minutes, fg ended a training: its workers were said to be stuck."""
    monkeypatch.setattr("gluon_bof.data.workers.PATIENCE", 2)
    ours, theirs = multiprocessing.Pipe()
    process = multiprocessing.Process(target=waits_for_a_worker, args=(theirs,))
    process.start()
    crew = process.pid, ours.recv()
    time.sleep(0.2)
    for one in crew:
        os.kill(one, signal.SIGSTOP)
    time.sleep(2.5)
    for one in crew:
        os.kill(one, signal.SIGCONT)
        time.sleep(0.3)
    try:
        assert ours.poll(PROMPT) and ours.recv() == "sleep"
    finally:
        process.join(PROMPT)


@pytest.mark.parametrize("count", (0, 2))
def test_what_workers_warn_of_is_told_once_by_the_process_that_began_them(count, tmp_path, caplog):
    pytest.importorskip("simplejpeg")
    records = load_voc(str(write_voc_set(tmp_path, images=5)), "train").records
    for record in records[:4]:
        with open(record.path, "r+b") as file:
            file.seek(os.path.getsize(record.path) // 2)
            file.write(b"\xff\xd9")
    loader = validation_loader(ValidationImages(records, EvalTransform(square, 64)), 1, count)
    for _ in range(5):
        list(loader)
    assert {message.partition(":")[0] for message in caplog.messages} == {record.path for record in records[:4]}
    assert len(caplog.messages) == 4


def test_a_loader_whose_worker_is_killed_says_so(tmp_path):
    records = load_voc(str(write_voc_set(tmp_path, images=12)), "train").records
    before = {child.pid for child in multiprocessing.active_children()}
    loader = validation_loader(ValidationImages(records, EvalTransform(square, 64)), 1, 2)
    batches = iter(loader)
    next(batches)
    os.kill(({child.pid for child in multiprocessing.active_children()} - before).pop(), signal.SIGKILL)
    with pytest.raises(UserError, match="a data worker was killed"):
        list(batches)

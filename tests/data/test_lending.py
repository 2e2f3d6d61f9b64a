"""Shared buffers that workers use again, with real processes: no array changes under whoever has it, however slow he is."""
import time
from typing import NamedTuple

import numpy as np
import pytest

from gluon_bof.backend import mx
from gluon_bof.data import shared_memory
from gluon_bof.data.shared_memory import SMALL, Buffers, Lending, shared_buffer, to_shared
from gluon_bof.data.workers import Workers
from gluon_bof.devices import numpy_view
from gluon_bof.errors import UserError

SIDE = 200  # of arrays above SMALL, as all sides here


def batch(task):
    """(an array full of the task's number, another of another size, a small one, the number); a negative task fails in its
    middle."""
    number, side = task
    large, memory = shared_buffer((side, side), np.int32, True)
    memory[...] = number
    if number < 0:
        raise UserError("a broken image", "a file", "a remedy")
    return large, to_shared(np.full((side, 2 * side), number % 251, np.uint8), True), to_shared(np.full(3, number), True), number


def assert_is(found, task):
    number, side = task
    assert all(isinstance(part, mx.nd.NDArray) and part.context == mx.cpu() for part in found[:3]) and found[3] == number
    for part, shape in zip(found, ((side, side), (side, 2 * side), (3,))):
        assert part.shape == shape
        np.testing.assert_array_equal(part.asnumpy(), number % 251 if part.dtype == np.uint8 else number)


class Slow(Lending):
    """Copies the first half of an array, waits for whatever the workers may do meanwhile, and copies the rest. seen: {worker
    and buffer: how often it came}."""

    def __init__(self):
        super().__init__()
        self.seen = {}

    def _own(self, worker, part):
        self.seen[worker, part.number] = self.seen.get((worker, part.number), 0) + 1
        return super()._own(worker, part)

    def copied(self, memory, part):
        whole = memory[:part.size * part.dtype.itemsize]
        first = whole[:len(whole) // 2].copy()
        time.sleep(0.02)
        rest = whole[len(whole) // 2:].copy()
        return super().copied(np.concatenate([first, rest]), part)


class TooEarly(Slow):
    """Gives buffers back before it copies them: the fault that generations are there to keep away, by a worker who is told so
    outside them."""

    def take(self, worker, result):
        returned = [(part.number, part.generation) for part in result if isinstance(part, shared_memory.Lent)]
        return result, returned


def tasks_of(count, sides=(SIDE,)):
    return [(number, sides[number % len(sides)]) for number in range(count)]


@pytest.mark.parametrize("count", (pytest.param(1, marks=pytest.mark.slow), 3))
@pytest.mark.parametrize("sides", (pytest.param((SIDE,), marks=pytest.mark.slow), (SIDE, SIDE + 50, SIDE - 60),
                                   pytest.param((130, 140, 150, 190, 260, 300), marks=pytest.mark.slow)))
def test_batches_stay_what_they_were_while_buffers_are_used_again_and_copied_slowly(count, sides):
    lending = Slow()
    workers = Workers(count, batch, lending)
    tasks = tasks_of(30, sides)
    kept = list(workers.results(tasks))  # all of them are held, and looked at in the end
    for found, task in zip(kept, tasks):
        assert_is(found, task)
    assert sum(lending.seen.values()) == 2 * len(tasks)
    if len(sides) == 1:
        assert len(lending.seen) <= 4 * count, "two batches ahead, two buffers each"
    assert len(lending._known) <= 4 * count


def test_workers_have_none_of_the_buffers_of_the_process_that_they_are_forked_from():
    shared_memory._buffers.sent(batch((5, SIDE))[:2])
    workers = Workers(1, batch, Lending())
    for found, task in zip(workers.results(tasks_of(5)), tasks_of(5)):
        assert_is(found, task)


def test_a_buffer_that_is_given_back_too_early_is_seen_to_be_overwritten():
    """The check above can fail: without the copy, later batches show in earlier ones."""
    workers = Workers(1, batch, TooEarly())
    results, tasks = workers.results(tasks_of(8)), tasks_of(8)
    kept = [next(results)]
    mine = numpy_view(kept[0][0].buffer)
    assert (mine.view(np.int32) == 0).all()
    kept += list(results)
    assert (mine.view(np.int32) != 0).all() and len(kept) == len(tasks)


def test_passes_that_are_left_and_tasks_that_fail_give_their_buffers_back():
    lending = Slow()
    workers = Workers(2, batch, lending)
    for _ in range(6):
        left = workers.results(tasks_of(20))
        next(left)
        failing = workers.results([(-1, SIDE)] * 3)
        with pytest.raises(UserError, match="broken image"):
            next(failing)
    for found, task in zip(workers.results(tasks_of(12)), tasks_of(12)):
        assert_is(found, task)
    # how many are out at once depends on how fast this process is; that they come back shows in how often each was lent
    assert len(lending.seen) <= sum(lending.seen.values()) / 3


def test_a_generation_that_is_not_lent_does_not_come_back_and_an_old_one_is_not_taken():
    buffers = Buffers()
    lent, memory = buffers.lend((SMALL,), np.uint8)
    memory[...] = 1
    buffers.sent([lent])
    for wrong in ((lent.number, lent.generation + 1), (lent.number + 1, lent.generation), (lent.number, 0)):
        with pytest.raises(RuntimeError, match="not lent"):
            buffers.take_back([wrong])
    buffers.take_back([(lent.number, lent.generation)])
    with pytest.raises(RuntimeError, match="not lent"):
        buffers.take_back([(lent.number, lent.generation)])
    again, _ = buffers.lend((SMALL,), np.uint8)
    assert (again.number, again.generation, again.buffer) == (lent.number, 2, None)
    lending = Lending()
    lending.take("worker", (lent,))
    lending.take("worker", (again,))
    for old in (lent._replace(buffer=None), again):
        with pytest.raises(RuntimeError, match="came as generation"):
            lending.take("worker", (old,))


def test_small_buffers_give_way_to_larger_ones_and_the_trainer_forgets_them():
    buffers, lending = Buffers(), Lending()
    for step, size in enumerate((SMALL, 4 * SMALL, 2 * SMALL, 4 * SMALL)):
        lent, memory = buffers.lend((size,), np.uint8)
        memory[...] = step
        (found,), returned = lending.take(0, (lent,))
        buffers.sent([lent])
        buffers.take_back(returned)
        assert found.shape == (size,) and (found.asnumpy() == step).all()
    assert len(buffers._all) == len(lending._known) == 1 and lent.number == 2


def wasteful(task):
    """As a family's own batchify that asks for a whole batch and has other arrays in place of some: an array (sides of all
    sizes) that is lent and not handed out."""
    large, _, _, number = batch(task)
    return large, to_shared(np.full((2 * SIDE, SIDE), number), True)


def test_an_array_that_a_batch_leaves_out_is_free_again_and_does_not_pile_up():
    """Each was a buffer more, with its file descriptors, until there was no room."""
    lending = Slow()
    workers = Workers(1, wasteful, lending)
    sides = (SIDE, SIDE + 40, SIDE + 90, SIDE - 30)
    for (large, other), (number, _) in zip(workers.results(tasks_of(40, sides)), tasks_of(40, sides)):
        assert (large.asnumpy() == number).all() and (other.asnumpy() == number).all()
    assert len({number for _, number in lending.seen}) <= 3 * len(sides) and len(lending._known) <= 5


def test_what_the_trainer_shall_forget_is_told_again_where_its_array_was_left_out():
    buffers = Buffers()
    first, _ = buffers.lend((SMALL,), np.uint8)
    buffers.sent([first])
    buffers.take_back([first[:2]])
    left_out, _ = buffers.lend((2 * SMALL,), np.uint8)
    assert left_out.gone == (first.number,)
    buffers.sent([])
    again, _ = buffers.lend((2 * SMALL,), np.uint8)
    assert (again.number, again.gone) == (left_out.number, (first.number,)) and again.buffer is not None
    buffers.sent([again])
    assert buffers.lend((SMALL,), np.uint8)[0].gone == ()


class Pair(NamedTuple):
    first: object
    second: object


def answer(form):
    """The same large and small array in one of several forms; with what is numpy's alone."""
    large, small = to_shared(np.full((SIDE, SIDE), 7), True), to_shared(np.full(3, 7), True)
    return {"alone": large, "small": small, "list": [large, small], "nested": (1, [large, (small,)]), "pair": Pair(large, small),
            "twice": (large, large), "numpy": (large, np.array(["a", "b"]), np.zeros(2))}[form]


def test_arrays_are_the_trainers_wherever_an_answer_has_them_and_numpys_stay_numpys():
    workers = Workers(1, answer, Lending())
    for _ in range(3):
        alone, small, both, (_, (nested, (within,))), pair, twice, (_, names, numbers) = workers.results(
            ["alone", "small", "list", "nested", "pair", "twice", "numpy"])
        assert isinstance(pair, Pair) and isinstance(both, list)
        for found in (alone, *both, small, nested, within, *pair, *twice):
            assert isinstance(found, mx.nd.NDArray) and (found.asnumpy() == 7).all()
        assert names.tolist() == ["a", "b"] and type(numbers) is np.ndarray


@pytest.mark.parametrize("shared", (False, True))
@pytest.mark.parametrize("count", (3, SMALL))
def test_numbers_of_another_byte_order_stay_the_numbers_that_they_are(shared, count):
    """They were taken as the machine's: 1 was 4.6e-41."""
    lent = to_shared(np.arange(count).astype(">f4"), shared)
    (found,), _ = Lending().take(0, (lent,))
    np.testing.assert_array_equal(found.asnumpy(), np.arange(count))

"""Threads that work ahead: in order, not too far, and each error in its place."""
import itertools
import threading
import time

import pytest

from gluon_bof.inference import ahead
from gluon_bof.inference.ahead import in_order


def test_results_come_in_order_whoever_ends_first():
    def slow_first(number):
        time.sleep(0.02 * (number == 0))
        return number

    assert list(in_order(slow_first, range(20), 3, lambda result: 1)) == list(range(20))
    assert list(in_order(slow_first, [], 3, lambda result: 1)) == []


def test_no_more_is_computed_ahead_than_fits(monkeypatch):
    monkeypatch.setattr(ahead, "BUDGET", 300)
    begun = []
    results = in_order(lambda number: begun.append(number) or number, itertools.count(), 2, lambda result: 100)
    for wanted in range(10):
        assert next(results) == wanted
        assert len(begun) <= wanted + 6 if wanted == 0 else len(begun) <= wanted + 3
    results.close()
    heavy = in_order(lambda number: begun.append(number) or number, iter(range(5)), 2, lambda result: 10 ** 6)
    begun.clear()
    assert next(heavy) == 0 and next(heavy) == 1 and len(begun) <= 6
    assert list(heavy) == [2, 3, 4]


def test_an_error_comes_after_the_results_before_it():
    def broken(number):
        if number == 3:
            raise ValueError("three")
        return number

    def items():
        yield from range(3)
        raise KeyError("no more")

    found = []
    with pytest.raises(ValueError, match="three"):
        for result in in_order(broken, range(9), 2, lambda result: 1):
            found.append(result)
    with pytest.raises(KeyError, match="no more"):
        for result in in_order(broken, items(), 2, lambda result: 1):
            found.append(result)
    assert found == [0, 1, 2, 0, 1, 2]


def test_one_thread_takes_what_it_is_given_one_by_one():
    now, most = [], []

    def alone(number):
        now.append(number)
        most.append(len(now))
        time.sleep(0.001)
        now.remove(number)
        return number

    assert list(in_order(alone, range(20), 1, lambda result: 1)) == list(range(20)) and max(most) == 1


def test_nobody_works_on_once_it_is_closed():
    before = threading.active_count()
    results = in_order(lambda number: time.sleep(0.01) or number, itertools.count(), 2, lambda result: 1)
    assert next(results) == 0
    results.close()
    assert threading.active_count() == before

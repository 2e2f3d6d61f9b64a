"""Marks of cases: most of a test's are slow where one shows what the others do."""
import pytest


def slow_but(values, *quick):
    """The values, tuples where they are of several names, as a test's parameters, of which all but the quick ones are slow."""
    values = list(values)
    assert set(quick) <= set(values)
    return [value if value in quick else pytest.param(*(value if isinstance(value, tuple) else [value]), marks=pytest.mark.slow)
            for value in values]

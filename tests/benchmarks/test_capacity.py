"""The capacity benchmark runs, and its two sides make one table."""
import contextlib
import io
import json

import pytest

from benchmarks import capacity


@pytest.mark.parametrize("words", [[], pytest.param(["--slices"], marks=pytest.mark.slow)])
def test_both_sides_run_and_agree(capsys, words):
    with contextlib.redirect_stderr(io.StringIO()):
        pytest.importorskip("weightwatcher")
    capacity.main(["--shrink", "16", "--rounds", "1", *words])
    answer = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert answer["ratio"] > 0
    assert max(answer["apart"].values()) < 1e-9

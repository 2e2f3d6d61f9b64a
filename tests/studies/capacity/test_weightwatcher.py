"""The conventions ww and ww-slices against WeightWatcher 0.7.7 itself, row by row."""
import contextlib
import io

import numpy as np
import pytest

from benchmarks.capacity import darknet53, furthest, weightwatcher, write_flat_files
from gluon_bof.studies.capacity import analyze

CLOSE = {"D": 1e-9}  # everything else: relative 1e-10


@pytest.fixture(scope="module", autouse=True)
def it_is_installed():
    """Not asked when the tests are collected: its import is half a second, in every process."""
    with contextlib.redirect_stderr(io.StringIO()):
        pytest.importorskip("weightwatcher")


def compare(arrays, folder, pool):
    write_flat_files(arrays, folder)
    apart = furthest(analyze(arrays, "ww" if pool else "ww-slices"), weightwatcher(folder, pool))
    far = {name: value for name, value in apart.items() if value > CLOSE.get(name, 1e-10)}
    assert not far


@pytest.mark.parametrize("pool", [True, pytest.param(False, marks=pytest.mark.slow)])  # small layers have both
def test_darknet_53_has_weightwatchers_table(tmp_path, pool):
    compare(darknet53(shrink=8), tmp_path, pool)


@pytest.mark.slow
@pytest.mark.parametrize("pool", [True, False])
def test_darknet_53_of_full_width_has_weightwatchers_table(tmp_path, pool):
    compare(darknet53(), tmp_path, pool)


@pytest.mark.parametrize("pool", [True, False])
@pytest.mark.parametrize("kind", [np.float32, np.float64])
def test_small_layers_have_weightwatchers_rows(tmp_path, pool, kind):
    rng = np.random.default_rng(1)
    shapes = [(8, 8, 3, 3), (16, 8, 3, 3), (8, 16, 3, 3), (16, 3, 3, 3), (12, 10, 1, 1), (16, 16, 1, 1), (19, 30), (20, 8),
              (9, 21), (16, 16, 5, 5), (8, 1, 3, 3)]
    compare({f"layer{place}.weight": rng.standard_t(4, shape).astype(kind) * 0.2 for place, shape in enumerate(shapes)},
            tmp_path, pool)


def test_eigenvalues_below_the_floor_are_left_out_as_there(tmp_path):
    rng = np.random.default_rng(2)
    low_rank = rng.normal(size=(60, 12)) @ rng.normal(size=(12, 40)) * 0.05
    compare({"low.weight": low_rank, "tiny.weight": rng.normal(size=(50, 30)) * 2e-3}, tmp_path, True)

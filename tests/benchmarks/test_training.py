"""The training benchmark as a process, at a size at which its figures mean nothing: its last line can be read."""
import json
import math
import subprocess
import sys

import pytest

from tests.scripts import ROOT


def last_line(name, *words):
    finished = subprocess.run([sys.executable, "-W", "ignore", str(ROOT / "benchmarks" / name), "--rounds", "1", "--count", "4",
                               *words], capture_output=True, text=True)
    assert finished.returncode == 0, finished.stderr
    result = json.loads(finished.stdout.splitlines()[-1])
    for value in result.values():
        if isinstance(value, float):
            assert math.isfinite(value) and value > 0
    return result


@pytest.mark.slow
@pytest.mark.parametrize("words", (["--sizes", "64"], ["--detector", "faster_rcnn", "--sizes", "96"]))
def test_training(words):
    result = last_line("training.py", "--batch", "2", "--warm", "1", "--steps", "1", *words)
    assert {"ratio", "images_per_second", "images_per_second_official", "matrix_peak_gflops"} <= set(result)

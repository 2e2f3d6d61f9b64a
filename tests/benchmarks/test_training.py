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
@pytest.mark.parametrize("detector", ("yolo3", "ssd"))
def test_the_profile_names_the_convolutions_and_the_bound(detector):
    finished = subprocess.run([sys.executable, "-W", "ignore", str(ROOT / "benchmarks" / "training_profile.py"), "--size", "64",
                               "--batch", "2", "--steps", "2", "--detector", detector], capture_output=True, text=True)
    assert finished.returncode == 0, finished.stderr
    result = json.loads(finished.stdout.splitlines()[-1])
    times = result["milliseconds"]
    share = (times["Convolution"] + times["_backward_Convolution"]) / sum(times.values())
    assert result["convolutions"] == pytest.approx(share) and result["bound"] == pytest.approx(1 / share)
    assert result["matrix_peak_gflops"] > 0 and result["copy_gigabytes_per_second"] > 0
    assert detector == "yolo3" or result["processor_ratio"] > 0 and result["same_as_mxnets_operators"]


@pytest.mark.slow
@pytest.mark.parametrize("words", (["--sizes", "64"], ["--detector", "faster_rcnn", "--sizes", "96"]))
def test_training(words):
    result = last_line("training.py", "--batch", "2", "--warm", "1", "--steps", "1", *words)
    assert {"ratio", "images_per_second", "images_per_second_official", "matrix_peak_gflops",
            "copy_gigabytes_per_second"} <= set(result)

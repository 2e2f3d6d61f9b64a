"""Processes that fork while operators of Python's are under way."""
import os
import subprocess
import sys

import pytest

from gluon_bof.backend import mx
from gluon_bof.models import python_operators  # noqa: F401, which hears of forks

FORKING = """
import os, subprocess
from gluon_bof.backend import mx
from gluon_bof.models import python_operators
from gluon_bof.models.faster_rcnn.on_cpu import roi_align
from gluon_bof.models.ssd.on_cpu import paired

def fork():
    child = os.fork()
    if child == 0:
        os._exit(0)
    assert os.waitpid(child, 0)[1] == 0

def run():
    subprocess.run(["true"], check=True)

def cut():
    return roi_align(mx.nd, rois, mx.nd.zeros((30, 1)), [features], (3, 3), [4], 0)

def pair():
    return paired(mx.nd, iou, 0.5)

subprocess._USE_VFORK = False  # as before Python 3.10
features, rois = mx.nd.random.normal(0, 1, (1, 4, 20, 20)), mx.nd.array([[0, 1, 2, 30, 30]] * 30)
iou = mx.nd.random.uniform(0, 1, (2, 300, 8))
python_operators.FORGOTTEN = 0  # only what is certain
for compute in (cut, pair):
    expected = compute().asnumpy()
    for make_process in (fork, run) * 5:
        kept, *_ = [compute() for _ in range(4)]
        del _  # what nobody holds, MXNet's threads forget
        make_process()
        assert (kept.asnumpy() == expected).all()
"""


def test_a_process_that_forks_while_operators_are_under_way_does_not_hang_however_slow_their_threads_are():
    run = subprocess.run([sys.executable, "-c", FORKING], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=60)
    assert run.returncode == 0, run.stdout


def test_a_fork_does_not_hide_that_an_operator_has_failed():
    unreadable = mx.nd.random.normal(0, -1, (2, 2))  # which is found when it is computed
    with pytest.raises(mx.base.MXNetError, match="scale parameter"):
        if os.fork() == 0:
            os._exit(0)
    del unreadable

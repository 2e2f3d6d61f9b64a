"""The number of threads: the machine's for a new run, its own for one that goes on, the user's before both."""
import os
import subprocess
import sys

import pytest

from gluon_bof import threads
from gluon_bof.runs.config import threads_of, write_config
from tests.command_lines import yolo3_options
from tests.scripts import ROOT

SAY = "import os; from gluon_bof import threads; {}; import gluon_bof.backend; print(os.environ.get('OMP_NUM_THREADS', 'unset'))"


def said(choice, **environment):
    """The number with which MXNet is imported after a choice, in a process of its own."""
    rest = {name: value for name, value in os.environ.items() if name != threads.VARIABLE}
    answer = subprocess.run([sys.executable, "-W", "ignore", "-c", SAY.format(choice)], cwd=ROOT, env={**rest, **environment},
                            stdout=subprocess.PIPE, text=True, check=True)
    return answer.stdout.strip()


@pytest.mark.parametrize("choice, environment, expected", (
    ("pass", {}, str(max(1, threads.cores() // 2))),
    pytest.param("threads.choose('7')", {}, "7", marks=pytest.mark.slow),
    pytest.param("threads.choose('')", {}, "unset", marks=pytest.mark.slow),
    ("threads.choose('7')", {"OMP_NUM_THREADS": "3"}, "3")))
def test_mxnet_starts_with_the_number_that_was_chosen(choice, environment, expected):
    assert said(choice, **environment) == expected


def test_what_mxnet_takes_for_no_number_ended_the_process_with_an_abort():
    answer = subprocess.run([sys.executable, "-m", "gluon_bof", "evaluate", "shapes"], cwd=ROOT, capture_output=True, text=True,
                            env={**os.environ, threads.VARIABLE: "2,1"})
    assert answer.returncode == 2 and answer.stderr.splitlines()[-1].startswith(
        "error: OMP_NUM_THREADS is '2,1', and MXNet takes one whole number; ")


@pytest.mark.parametrize("content, expected", (
    (("max 100000\n",), []), (("150000 100000\n",), [2]), (("50000 100000",), [1]), (("200000\n", "100000\n"), [2]),
    (("-1\n", "100000\n"), []), (("nonsense",), []), (("100000 0",), [])))
def test_a_containers_quota_counts(content, expected, tmp_path):
    paths = []
    for number, text in enumerate(content):
        paths.append(tmp_path / str(number))
        paths[-1].write_text(text)
    assert threads.quotas([tuple(map(str, paths))]) == expected
    assert threads.quotas([(str(tmp_path / "missing"),)]) == []


def test_another_number_than_the_runs_is_warned_of(caplog, monkeypatch, tmp_path):
    monkeypatch.setenv(threads.VARIABLE, "5")
    write_config(str(tmp_path), yolo3_options("--dataset", "voc"))
    assert threads_of(str(tmp_path)) == "5"
    assert threads.choose("5") == "5" and not caplog.records
    assert threads.choose("2") == "5"
    assert "the run began with 2" in caplog.text


def test_a_number_that_is_none_is_no_number_of_threads(monkeypatch):
    monkeypatch.setenv(threads.VARIABLE, "²")
    assert threads.beside_mxnet() == threads.cores()


@pytest.mark.slow
def test_what_computes_beside_mxnet_has_all_cores_unless_the_user_says_fewer():
    ask = "import gluon_bof.backend; from gluon_bof import threads; print(threads.beside_mxnet(), threads.cores())"
    for told, expected in (({}, threads.cores()), ({threads.VARIABLE: "1"}, 1), ({threads.VARIABLE: "999"}, threads.cores())):
        rest = {name: value for name, value in os.environ.items() if name != threads.VARIABLE}
        answer = subprocess.run([sys.executable, "-W", "ignore", "-c", ask], cwd=ROOT, env={**rest, **told},
                                stdout=subprocess.PIPE, text=True, check=True)
        assert answer.stdout.split()[0] == str(expected)

"""gluon-bof evaluate WEIGHTS. (Its numbers: see tests/inference/test_model.py and tests/evaluation.)"""
import os

import pytest

from gluon_bof.evaluation.validation import evaluate
from gluon_bof.weights.resolve import resolve
from tests.data.layout_files import ultralytics
from tests.tiny_networks import write_run

HERE = {"num_workers": 0}


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return write_run(tmp_path_factory.mktemp("runs") / "run")


def test_a_set_that_names_no_classes_is_not_given_the_networks_without_a_word(run, tmp_path, caplog):
    ultralytics(tmp_path)
    os.unlink(tmp_path / "data.yaml")
    assert evaluate(resolve(run, dict(HERE, dataset=str(tmp_path))))["images"] == 2
    assert f"{tmp_path} names no classes: the numbers of its labels are taken for blue, green, red, in this order" in caplog.text
    caplog.clear()
    (tmp_path / "classes.txt").write_text("green\nblue\nred\n")
    evaluate(resolve(run, dict(HERE, dataset=str(tmp_path))))
    assert "names no classes" not in caplog.text

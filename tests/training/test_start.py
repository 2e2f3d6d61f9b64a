"""What trainings start from: anchors, transferred weights, frozen layers, through real scripts."""
import dataclasses
import json

import numpy as np
import pytest

from gluon_bof.errors import UserError
from gluon_bof.options import Yolo3Options
from gluon_bof.training.anchors import settle_anchors

PAIRS = [[8, 9], [10, 20], [20, 14], [30, 31], [35, 60], [60, 40], [70, 71], [90, 150], [150.5, 120]]
NUMBERS = "8,9,10,20,20,14,30,31,35,60,60,40,70,71,90,150,150.5,120"


def test_anchors_of_a_file_become_the_numbers_that_a_run_keeps(tmp_path):
    path = tmp_path / "anchors.json"
    path.write_text(json.dumps(PAIRS))
    settled = settle_anchors(Yolo3Options(anchors=str(path)))
    assert settled.anchors == NUMBERS
    assert settle_anchors(settled) == settled
    assert np.reshape(settled.anchor_rows(), (9, 2)).tolist() == PAIRS


def test_anchors_come_with_the_run_that_is_transferred(tmp_path):
    (tmp_path / "config.json").write_text(json.dumps({"options": dataclasses.asdict(Yolo3Options(anchors=NUMBERS))}))
    assert settle_anchors(Yolo3Options(transfer=str(tmp_path))).anchors == NUMBERS
    (tmp_path / "best.params").touch()
    assert settle_anchors(Yolo3Options(transfer=str(tmp_path / "best.params"))).anchors == NUMBERS
    own = NUMBERS.replace("8,9", "7,9", 1)
    assert settle_anchors(Yolo3Options(transfer=str(tmp_path), anchors=own)).anchors == own


@pytest.mark.parametrize("text", ["1,2,3", NUMBERS.replace("8,9", "-8,9"), NUMBERS.replace("8,9", "nan,9"), "no-such-file.json"])
def test_other_anchors_are_refused(text):
    with pytest.raises(UserError, match="anchors"):
        settle_anchors(Yolo3Options(anchors=text))

"""What --anchors means: a file, numbers, or those of the weights that training starts from."""
import json
from pathlib import Path

import numpy as np
import pytest

from gluon_bof.data.anchors import DEFAULT, write_anchors
from gluon_bof.errors import UserError
from gluon_bof.options.flags import as_dict
from gluon_bof.options.yolo3 import Yolo3Options
from gluon_bof.weights.anchors import resolve_anchors
from gluon_bof.weights.formats.params import dumps
from tests.command_lines import yolo3_options

PAIRS = [[8, 9], [10, 20], [20, 14], [30, 31], [35, 60], [60, 40], [70, 71], [90, 150], [150.5, 120]]
NUMBERS = tuple(side for pair in PAIRS for side in pair)
TEXT = "8,9,10,20,20,14,30,31,35,60,60,40,70,71,90,150,150.5,120"
OTHER = (7, *NUMBERS[1:])


def test_anchors_of_a_file_become_the_numbers_that_a_run_keeps(tmp_path):
    path = tmp_path / "anchors.json"
    path.write_text(json.dumps(PAIRS))
    settled = resolve_anchors(Yolo3Options(anchors=str(path)))
    assert settled.anchors == NUMBERS
    assert resolve_anchors(settled) == settled
    assert np.reshape(settled.anchor_rows(), (9, 2)).tolist() == PAIRS


def test_anchors_that_were_fitted_at_another_size_are_warned_of(tmp_path, caplog):
    path = str(tmp_path / "anchors.json")
    write_anchors(path, PAIRS, 288)
    assert resolve_anchors(Yolo3Options(anchors=path, data_shape=288)).anchors == NUMBERS and not caplog.records
    assert resolve_anchors(Yolo3Options(anchors=path)).anchors == NUMBERS
    (record,) = caplog.records
    assert all(told in record.getMessage() for told in (path, "288 pixels", "anchors DATASET --data-shape 416"))


def test_anchors_come_with_the_run_that_is_transferred(tmp_path):
    (tmp_path / "config.json").write_text(json.dumps({"options": as_dict(Yolo3Options(anchors=NUMBERS))}))
    assert resolve_anchors(Yolo3Options(transfer=str(tmp_path))).anchors == NUMBERS
    assert resolve_anchors(Yolo3Options(transfer=str(tmp_path), anchors=OTHER)).anchors == OTHER


def test_anchors_of_a_file_that_lies_outside_a_run_are_read_from_it(tmp_path):
    plain, fitted = str(tmp_path / "plain.params"), str(tmp_path / "fitted.params")
    for path, sides in ((plain, np.ravel(DEFAULT)), (fitted, np.ravel(PAIRS))):
        rows = np.reshape(sides, (3, 1, 1, 3, 2)).astype(np.float32)
        Path(path).write_bytes(dumps({f"yolo_outputs.{output}.anchors": rows[2 - output] for output in range(3)}))
    assert resolve_anchors(Yolo3Options(transfer=fitted)).anchors == NUMBERS
    assert resolve_anchors(Yolo3Options(resume=fitted)).anchors == NUMBERS
    assert resolve_anchors(Yolo3Options(resume=fitted, anchors=NUMBERS)).anchors == NUMBERS
    assert resolve_anchors(Yolo3Options(resume=plain)).anchors == resolve_anchors(Yolo3Options(transfer=plain)).anchors == ()
    for other in (dict(resume=plain, anchors=NUMBERS), dict(resume=fitted, anchors=OTHER)):
        with pytest.raises(UserError, match="other anchors.*--transfer"):
            resolve_anchors(Yolo3Options(**other))
    with pytest.raises(UserError, match="no such run or file"):
        resolve_anchors(Yolo3Options(transfer=str(tmp_path / "none.params")))


@pytest.mark.parametrize("text", ["1,2,3", TEXT.replace("8,9", "-8,9", 1), TEXT.replace("8,9", "nan,9", 1), "no-such-file.json"])
def test_other_anchors_are_refused(text):
    with pytest.raises(UserError, match="anchors"):
        resolve_anchors(yolo3_options(f"--anchors={text}"))


def test_anchors_of_a_command_line_are_those_that_a_configuration_keeps():
    options = yolo3_options("--anchors", TEXT)
    assert options.anchors == NUMBERS and resolve_anchors(options) == options and as_dict(options)["anchors"] == TEXT

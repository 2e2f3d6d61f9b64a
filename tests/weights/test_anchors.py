"""What --anchors means: a file, numbers, or those of the weights that training starts from."""
import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest

from gluon_bof.data.anchors import DEFAULT, write_anchors
from gluon_bof.errors import UserError
from gluon_bof.options.flags import as_dict
from gluon_bof.options.yolo3 import Yolo3Options
from gluon_bof.runs.config import write_config
from gluon_bof.weights.anchors import keep_anchors, resolve_anchors
from gluon_bof.weights.formats.params import dumps
from tests.command_lines import faster_rcnn_options, mask_rcnn_options, yolo3_options

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


@pytest.mark.parametrize("parsed", (faster_rcnn_options, mask_rcnn_options))
def test_an_rcnn_keeps_the_anchors_of_its_start_but_for_those_that_are_given(parsed, tmp_path, caplog):
    before = parsed("--dataset voc --use-fpn --anchor-scales 1,2,3,4,5 --anchor-base-size 12")
    write_config(str(tmp_path), before)
    (tmp_path / "last.params").write_bytes(b"")
    for start in (f"--transfer {tmp_path}", f"--transfer {tmp_path}/last.params", f"--resume {tmp_path}/last.params"):
        kept = keep_anchors(parsed(f"--dataset voc --use-fpn {start}"))
        assert (kept.anchor_scales, kept.anchor_base_size) == ((1, 2, 3, 4, 5), 12)
        given = keep_anchors(parsed(f"--dataset voc --use-fpn --anchor-scales 1,2,3,4,6 {start}"), {"anchor_scales"})
        assert (given.anchor_scales, given.anchor_base_size) == ((1, 2, 3, 4, 6), 12)
    assert not caplog.records
    plain = parsed("--dataset voc --use-fpn")
    assert keep_anchors(plain) == plain


def test_a_name_that_tells_no_set_tells_no_anchors(tmp_path):
    path = tmp_path / "faster_rcnn_fpn_resnet18_v1b_custom_best.params"
    path.write_bytes(b"")
    options = faster_rcnn_options(f"--dataset voc --use-fpn --anchor-scales 1,2,4,6,8 --transfer {path}")
    assert keep_anchors(options) == options


def test_scales_of_a_pyramids_levels_are_not_taken_for_those_of_a_cell(tmp_path):
    for before, after in (("--use-fpn --anchor-scales 1,2,3,4,5", ""), ("--anchor-scales 2,4,8", "--use-fpn")):
        write_config(str(tmp_path), faster_rcnn_options("--dataset voc", before))
        (tmp_path / "last.params").write_bytes(b"")
        options = faster_rcnn_options(f"--dataset voc --resume {tmp_path}/last.params --allow-partial", after)
        assert keep_anchors(options) == options


def test_a_damaged_configuration_beside_a_file_tells_no_anchors_and_refuses_nothing(tmp_path):
    (tmp_path / "lone.params").write_bytes(b"")
    for content in ("[1, 2]", "{", json.dumps({"options": {"use_fpn": 3}}), json.dumps({"family": "other", "options": {}})):
        (tmp_path / "config.json").write_text(content)
        options = faster_rcnn_options(f"--dataset voc --resume {tmp_path}/lone.params")
        assert keep_anchors(options) == options
        with pytest.raises(UserError):
            keep_anchors(faster_rcnn_options(f"--dataset voc --transfer {tmp_path}"))


def test_a_run_that_goes_on_does_not_look_at_its_start(tmp_path, caplog):
    """It warned of anchors that are not the run's, or refused where the start has gone."""
    write_config(str(tmp_path), faster_rcnn_options("--dataset voc --use-fpn --anchor-scales 1,2,3,4,5"))
    words = f"--recipe small-dataset --dataset x --transfer {tmp_path} --resume"
    run = faster_rcnn_options(f"{words} runs/old")
    assert keep_anchors(run) == run and not caplog.records
    assert keep_anchors(faster_rcnn_options(f"{words} auto")).anchor_scales == (1, 2, 3, 4, 5)  # which may find no run
    run = Yolo3Options(transfer=str(tmp_path / "gone.params"), resume="runs/old")
    assert resolve_anchors(run) == run


def test_a_recipes_anchors_stand_back_behind_those_of_the_start_with_a_word(tmp_path, caplog):
    recipe = faster_rcnn_options("--recipe small-dataset --dataset x --transfer faster_rcnn_fpn_resnet50_v1b_coco")
    assert keep_anchors(recipe).anchor_scales == (2, 4, 8, 16, 32)
    assert caplog.records[-1].getMessage() == (
        "the anchors are those of faster_rcnn_fpn_resnet50_v1b_coco, not of the recipe small-dataset: "
        "--anchor-scales 2,4,8,16,32, not 1,2,4,6,8")
    write_config(str(tmp_path), Yolo3Options())
    other = dataclasses.replace(recipe, transfer=str(tmp_path))
    assert keep_anchors(other) == other  # loading will say that these are another family's

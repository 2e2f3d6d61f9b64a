"""Options of a run's folder that other programs, or chance, have written into."""
import dataclasses
import json

import pytest

from gluon_bof.errors import UserError
from gluon_bof.options.yolo3 import Yolo3Options
from gluon_bof.weights.resolve import read_options


def write_run(folder, **changes):
    options = dict(dataclasses.asdict(Yolo3Options(network="mobilenet0.25", data_shape=64)), **changes)
    (folder / "config.json").write_text(json.dumps({"options": options}))
    return str(folder)


def test_a_runs_options_come_back(tmp_path):
    options, path, run = read_options(write_run(tmp_path), {"metric": "voc"})
    assert (options.network, options.data_shape, options.metric) == ("mobilenet0.25", 64, "voc")
    assert (path, run) == (str(tmp_path / "best.params"), str(tmp_path))
    assert read_options(str(tmp_path), {}, last=True)[1] == str(tmp_path / "last.params")


@pytest.mark.parametrize("changes", [{"network": ["x"]}, {"data_shape": "x"}, {"data_shape": 64.5}, {"anchors": [1]},
                                     {"lr": None},
                                     {"no_wd": 3}])
def test_values_of_another_kind_are_refused_by_name(tmp_path, changes):
    with pytest.raises(UserError, match=f"config.json: {next(iter(changes))} cannot be"):
        read_options(write_run(tmp_path, **changes), {})


@pytest.mark.parametrize("text", ["[" * 200_000, "{", "[]", '{"options": 3}'])
def test_a_damaged_configuration_is_refused(tmp_path, text):
    (tmp_path / "config.json").write_text(text)
    with pytest.raises(UserError, match="configuration cannot be read"):
        read_options(str(tmp_path), {})


def test_another_programs_configuration_does_not_stand_in_the_way(tmp_path):
    (tmp_path / "config.json").write_text('{"architectures": ["ResNet"]}')
    weights = str(tmp_path / "a.params")
    options, path, run = read_options(weights, {"network": "mobilenet1.0", "classes": "a,b"})
    assert (options.network, path, run) == ("mobilenet1.0", weights, None)
    with pytest.raises(UserError, match="not a run's folder"):
        read_options(str(tmp_path), {})


def test_options_of_the_other_detector_are_refused_by_name(tmp_path):
    for given in ({"use_fpn": True}, {"colour": "red"}):
        with pytest.raises(UserError, match=f"YOLOv3 has no --{next(iter(given)).replace('_', '-')}"):
            read_options(write_run(tmp_path), given)

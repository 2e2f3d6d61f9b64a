"""Options of a run's folder that other programs, or chance, have written into."""
import hashlib
import json
import os
from pathlib import Path

import pytest

from gluon_bof.data.sets import class_names
from gluon_bof.errors import UserError
from gluon_bof.options.flags import as_dict
from gluon_bof.options.yolo3 import Yolo3Options
from gluon_bof.weights import zoo
from gluon_bof.weights.resolve import backbone_weights, resolve
from tests.weights.zoo_server import NAME, archive, stem, zipped


def write_run(folder, **changes):
    options = dict(as_dict(Yolo3Options(network="mobilenet0.25", data_shape=64)), **changes)
    (folder / "config.json").write_text(json.dumps({"options": options}))
    return str(folder)


def test_a_runs_options_come_back(tmp_path):
    options, path, run = resolve(write_run(tmp_path), {"metric": "voc"})
    assert (options.network, options.data_shape, options.metric) == ("mobilenet0.25", 64, "voc")
    assert (path, run) == (str(tmp_path / "best.params"), str(tmp_path))
    with pytest.raises(UserError, match="--batch-size 0"):
        resolve(str(tmp_path), {"batch_size": 0})
    assert resolve(str(tmp_path), {}, last=True).path == str(tmp_path / "last.params")


@pytest.mark.parametrize("changes", [{"network": ["x"]}, {"data_shape": "x"}, {"data_shape": 64.5}, {"anchors": [1]},
                                     {"lr": None}, {"no_wd": 3}])
def test_values_of_another_kind_are_refused_by_name(tmp_path, changes):
    with pytest.raises(UserError, match=f"config.json: {next(iter(changes))} cannot be"):
        resolve(write_run(tmp_path, **changes), {})


@pytest.mark.parametrize("text", ["[" * 200_000, "{", "[]", '{"options": 3}'])
def test_a_damaged_configuration_is_refused(tmp_path, text):
    (tmp_path / "config.json").write_text(text)
    with pytest.raises(UserError, match="configuration cannot be read"):
        resolve(str(tmp_path), {})


def test_another_programs_configuration_does_not_stand_in_the_way(tmp_path):
    (tmp_path / "config.json").write_text('{"architectures": ["ResNet"]}')
    weights = str(tmp_path / "a.params")
    options, path, run = resolve(weights, {"network": "mobilenet1.0", "classes": "a,b"})
    assert (options.network, path, run) == ("mobilenet1.0", weights, None)
    with pytest.raises(UserError, match="not a run's folder"):
        resolve(str(tmp_path), {})


def test_options_of_the_other_detector_are_refused_by_name(tmp_path):
    for given in ({"use_fpn": True}, {"colour": "red"}):
        with pytest.raises(UserError, match=f"YOLOv3 has no --{next(iter(given)).replace('_', '-')}"):
            resolve(write_run(tmp_path), given)


def test_a_pretrained_base_is_a_file_a_backbones_or_a_detectors_name(params, cache, serve, tmp_path, monkeypatch):
    serve(archive(params))
    assert backbone_weights(NAME, "mobilenet0.25") == str(cache / f"{stem(params)}.params")
    assert backbone_weights("my.params", "darknet53") == "my.params"
    backbone = b"a backbone"
    digest = hashlib.sha1(backbone).hexdigest()
    monkeypatch.setitem(zoo.CHECKSUMS, "darknet53", digest)
    serve(zipped({f"darknet53-{digest[:8]}.params": backbone}))
    for word in ("yes", "darknet53"):
        assert Path(backbone_weights(word, "darknet53")).read_bytes() == backbone
    with pytest.raises(UserError, match="'resnet152'.*resnet50_v1b"):
        zoo.download_backbone("resnet152")


@pytest.mark.parametrize("dataset, first, count", (("coco", "background", 21), ("voc", "background", 21),
                                                   ("ade20k", "wall", 150), ("citys", "road", 19)))
def test_a_named_sets_classes_are_a_segmenters_not_a_detectors(dataset, first, count, tmp_path):
    found = resolve(str(tmp_path / "a.params"), {"model": "unet", "dataset": dataset})
    assert (found.classes[0], len(found.classes)) == (first, count)
    if dataset in ("coco", "voc"):
        assert len(resolve(str(tmp_path / "a.params"), {"network": "darknet53", "dataset": dataset}).classes) == {
            "coco": 80, "voc": 20}[dataset]


def test_a_run_or_file_goes_before_a_name(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("yolo3_darknet53_voc").mkdir()
    with pytest.raises(UserError, match="not a run's folder"):
        resolve("yolo3_darknet53_voc")
    Path("yolo3_darknet53_voc/config.json").write_text(json.dumps({"options": {"network": "mobilenet0.25", "dataset": "x"}}))
    for weights in ("yolo3_darknet53_voc", "yolo3_darknet53_voc/yolo3_darknet53_voc_best.params"):
        options, path, run = resolve(weights)
        assert (options.network, options.dataset) == ("mobilenet0.25", "x")
        assert os.path.abspath(run) == os.path.dirname(os.path.abspath(path)) == str(tmp_path / "yolo3_darknet53_voc")
        assert options.classes == os.path.join(run, "classes.txt")
    Path("yolo3_mobilenet1.0_coco_best.params").write_bytes(b"")
    options, path, run = resolve("yolo3_mobilenet1.0_coco_best.params", {"data_shape": 320})
    assert (options.network, options.data_shape, options.dataset, run) == ("mobilenet1.0", 320, "coco", None)
    assert len(class_names(options.classes)) == 80

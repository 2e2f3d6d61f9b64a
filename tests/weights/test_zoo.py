"""GluonCV's models by name against GluonCV, and the package's own."""
import builtins
import json
import os
from pathlib import Path

import numpy as np
import pytest

from gluon_bof.backend import autograd, mx
from gluon_bof.commands.evaluate import main as evaluate
from gluon_bof.data.names import class_names
from gluon_bof.errors import UserError
from gluon_bof.files import sha256_of
from gluon_bof.models.build import build_network, models_of
from gluon_bof.models.yolo3.network import build_yolo3
from gluon_bof.options.faster_rcnn import FasterRcnnOptions
from gluon_bof.weights import zoo
from gluon_bof.weights.formats.params import dumps
from gluon_bof.weights.load import load_weights, set_weights, structured_parameters, weights_of
from gluon_bof.weights.resolve import resolve
from tests.tiny_networks import settled
from tests.tiny_sets import draw_few_shapes
from tests.weights.zoo_server import NAME, archive, fetch, left, stem

from gluoncv.model_zoo import get_model, get_model_list
from gluoncv.model_zoo.model_store import get_model_file

QUICK = ("yolo3_mobilenet0.25_voc", "yolo3_mobilenet0.25_coco", "faster_rcnn_fpn_resnet50_v1b_coco")
ALL = [name for name in get_model_list() if name.startswith(("yolo3_", "faster_rcnn_")) and not name.endswith("_custom")]


@pytest.fixture(scope="module")
def official():
    """GluonCV's network with random weights and the running statistics of noise, so that hardly two scores are the same."""
    mx.random.seed(5)
    network = get_model(NAME, pretrained=False, pretrained_base=False)
    ours = build_yolo3("mobilenet0.25", network.classes)  # whose training mode needs no targets
    ours.initialize(mx.init.Xavier())
    for _ in range(20):  # MXNet moves the statistics in the backward pass
        with autograd.record():
            raw = ours(mx.nd.random.uniform(-2, 2, (2, 3, 64, 64)))
        raw.backward()
    set_weights(settled(network), weights_of(ours), "ours")
    return network


@pytest.fixture(scope="module")
def params(official, tmp_path_factory):
    """The bytes that GluonCV saves of it."""
    path = tmp_path_factory.mktemp("official") / "a.params"
    official.save_parameters(str(path))
    return path.read_bytes()


@pytest.mark.parametrize("name", [name if name in QUICK else pytest.param(name, marks=pytest.mark.slow) for name in ALL])
def test_a_name_builds_exactly_gluoncvs_network(name):
    official = get_model(name, pretrained=False, pretrained_base=False, **({"num_devices": 1} if "syncbn" in name else {}))
    official.infer_shape(mx.nd.zeros((1, 3, 416, 416)))  # on small images GluonCV's Faster R-CNN fails
    options = resolve("a.params", dict(zoo.options_of(name), pretrained_base="no")).options
    ours = build_network(options, class_names(options.classes), [mx.cpu()])
    assert list(ours.classes) == list(official.classes)
    assert ({key: parameter.shape for key, parameter in structured_parameters(ours).items()}
            == {key: parameter.shape for key, parameter in structured_parameters(official).items()})
    for attribute in ("nms_thresh", "nms_topk", "post_nms") + (("max_size", "_rpn_test_post_nms", "_strides", "_roi_size")
                                                               if isinstance(options, FasterRcnnOptions) else ()):
        assert getattr(ours, attribute) == getattr(official, attribute), attribute
    size = np.max(official.short) if isinstance(options, FasterRcnnOptions) else 416
    assert models_of(options).eval_transform(options).size == size


def test_a_model_is_downloaded_once_and_gives_gluoncvs_bits(official, params, cache, serve, capfd):
    server = serve(archive(params))
    path = fetch()
    assert path == cache / f"{stem(params)}.params" and path.read_bytes() == params
    assert server.paths == [f"/mirror/gluon/models/{stem(params)}.zip"] and left(cache) == [path.name]
    server.shutdown()
    assert fetch() == path and get_model_file(NAME) == str(path)  # GluonCV takes it too, without a network
    assert capfd.readouterr().out == ""

    found = resolve(NAME)
    assert (found.path, found.run) == (str(path), None)
    options = resolve(found.path, dict(zoo.options_of(NAME), pretrained_base="no")).options
    ours = build_network(options, found.require(), [mx.cpu()])
    load_weights(ours, found.path)
    x = mx.nd.random.uniform(-2, 2, (2, 3, 96, 96))
    with autograd.train_mode():
        raw = ours(x)
        _, _, _, _, centres, scales, objectness, classes = official(x)
    np.testing.assert_array_equal(raw.asnumpy(), mx.nd.concat(centres, scales, objectness, classes, dim=2).asnumpy())
    scores = official(x)[1].asnumpy()
    assert all(len(np.unique(of_one)) == of_one.size for of_one in scores)  # equal ones have no order
    for mine, theirs in zip(ours(x), official(x)):
        np.testing.assert_array_equal(mine.asnumpy(), theirs.asnumpy())


def test_every_published_detector_of_these_kinds_can_be_had():
    named = ("yolo3_", "faster_rcnn_", "ssd_", "mask_rcnn_", "fcn_resnet")
    assert set(zoo.published()) == {name for name in zoo.CHECKSUMS if name.startswith(named)}
    for name in ALL:
        assert zoo.is_name(name) and zoo.options_of(name)["network"] in name


@pytest.mark.parametrize("name", ("ssd_512_resnet152_v2_voc", "ssd_512_resnet50_v1_voc_int8", "yolo3_darknet53_custom",
                                  "darknet53", "yolo3_darknet_voc", "faster_rcnn_fpn_resnet50_v1b_voc",
                                  "yolo3_darknet53_voc_best"))
def test_other_names_are_refused_with_those_that_there_are(name):
    assert zoo.is_name(name)
    for use in (zoo.download, zoo.options_of):
        with pytest.raises(UserError, match=f"'{name}'.*yolo3_darknet53_voc") as refusal:
            use(name)
        assert "\n" not in str(refusal.value)


@pytest.mark.parametrize("text", ("street", "a.params", "yolo3_darknet53_voc-f5ece5ce.params", "runs/yolo3_darknet53_voc", ""))
def test_paths_are_no_names(text):
    assert not zoo.is_name(text)


def test_names_of_files_tell_of_their_networks():
    told = zoo.parse_name("/a/faster_rcnn_fpn_syncbn_resnest50_coco_best.params")
    assert (told["network"], told["use_fpn"], told["norm_layer"]) == ("resnest50", True, "syncbn")
    assert zoo.parse_name("yolo3_darknet53_voc-f5ece5ce.params") == zoo.options_of("yolo3_darknet53_voc")
    for foreign in ("best.params", "yolo3_mobilenet2_voc.params", "yolo3_fpn_darknet53_voc.params", "faster_rcnn_vgg16_voc"):
        assert zoo.parse_name(foreign) == {}


def test_shipped_weights_are_checked(tmp_path):
    place = tmp_path / "yolo3_shapes"
    with pytest.raises(UserError, match="own weights.*No such file"):
        zoo.shipped(str(place))
    Path(f"{place}.params").write_bytes(dumps({"a": np.ones(3, np.float32)}))
    Path(f"{place}.json").write_text(json.dumps({"sha256": sha256_of(f"{place}.params"), "options": {"network": "darknet53"}}))
    path, about = zoo.shipped(str(place))
    assert path == f"{place}.params" and about["options"] == {"network": "darknet53"}
    Path(path).write_bytes(dumps({"a": np.zeros(3, np.float32)}))
    with pytest.raises(UserError, match="checksum"):
        zoo.shipped(str(place))


def test_the_shipped_model_is_small_and_builds_and_is_not_read_over_and_over(monkeypatch):
    opened, plainly = [], open
    monkeypatch.setattr(builtins, "open", lambda path, *how, **more: opened.append(path) or plainly(path, *how, **more))
    found = resolve("shapes")
    assert os.path.getsize(found.path) <= 8e6 and 0 < zoo.shipped()[1]["map"] <= 1
    load_weights(build_network(found.options, found.require(), [mx.cpu()]), found.path)
    assert opened.count(found.path) == 4  # twice to resolve it, for the map, and for its arrays
    assert resolve(found.path).options == found.options


@pytest.mark.slow  # draws and evaluates the whole set
def test_the_shipped_model_is_as_good_as_it_says(capsys):
    evaluate(["shapes", "--gpus", ""])
    outcome = json.loads(capsys.readouterr().out)
    assert outcome["map"] == pytest.approx(zoo.shipped()[1]["map"], abs=0.005) and outcome["images"] == 250


def test_the_shipped_model_is_about_as_good_on_a_few_images(capsys, tmp_path, monkeypatch):
    draw_few_shapes(monkeypatch, tmp_path, 1, 24)
    evaluate(["shapes", "--gpus", "", "-j", "0"])
    outcome = json.loads(capsys.readouterr().out)
    assert outcome["map"] == pytest.approx(zoo.shipped()[1]["map"], abs=0.08) and outcome["images"] == 24

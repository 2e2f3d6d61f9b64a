"""Which network weights fit."""
import pytest

from gluon_bof.backend import mx
from gluon_bof.models.build import with_inferred_shapes
from gluon_bof.models.faster_rcnn.network import build_faster_rcnn, resnet_parameters
from gluon_bof.models.yolo3.network import build_yolo3
from gluon_bof.options.faster_rcnn import FasterRcnnOptions
from gluon_bof.weights.fitting import fitting_network
from gluon_bof.weights.load import structured_parameters

CLASSES = ("a", "b", "c")


def rcnn_options(network, **more):
    return FasterRcnnOptions(network=network, pretrained_base="no", **more).resolved()


def shapes_of(network):
    return {name: parameter.shape for name, parameter in structured_parameters(network).items()}


@pytest.mark.parametrize("name", ("darknet53", "mobilenet0.25"))
def test_yolo3_s_weights_tell_their_network(name):
    shapes = shapes_of(with_inferred_shapes(build_yolo3(name, CLASSES)))
    assert fitting_network(shapes) == (f"yolo3_{name}", 3, ())
    del shapes["stages.0.0.0.weight" if name == "darknet53" else "stages.0.0.weight"]
    assert fitting_network(shapes) is None


@pytest.mark.parametrize("more", ({}, {"use_fpn": True, "norm_layer": "syncbn"}))
def test_faster_rcnn_s_weights_tell_their_network(more):
    shapes = shapes_of(with_inferred_shapes(build_faster_rcnn(rcnn_options("resnet18_v1b", **more), CLASSES, [mx.cpu()])))
    fit = fitting_network(shapes)
    assert fit == ("faster_rcnn" + "_fpn" * ("use_fpn" in more) + "_syncbn" * ("norm_layer" in more) + "_resnet18_v1b", 3, ())
    shapes["class_predictor.weight"] = (4, 77)
    assert fitting_network(shapes) == (fit.network, 3, ("class_predictor.weight",))


def test_backbones_tell_themselves():
    for name in ("resnet18_v1b", "resnet101_v1d"):
        shapes = {key: parameter.shape for key, parameter in resnet_parameters(name).items()}
        assert fitting_network(shapes) == (name, None, ())
        assert fitting_network({f"arg:{key}": shape for key, shape in shapes.items()}).network == name
    assert fitting_network({"a.weight": (3, 4)}) is None


@pytest.mark.parametrize("name", ("yolo_outputs.0.prediction.bias", "class_predictor.bias", "box_features.0.weight"))
def test_wild_shapes_fit_nothing_and_harm_nothing(name):
    if name == "yolo_outputs.0.prediction.bias":
        shapes = shapes_of(with_inferred_shapes(build_yolo3("mobilenet0.25", CLASSES)))
    else:
        shapes = {f"box_features.{number}.weight": (1, 1, 1, 1) for number in range(10_000)}
        shapes["class_predictor.bias"] = (4,)
    for shape in ((), (0,), (1,), (7,), (1 << 60,), (3 << 60, 2), (3, 3)):
        fit = fitting_network({**shapes, name: shape})
        assert fit is None or fit.differing

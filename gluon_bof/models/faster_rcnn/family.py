"""What the package asks of Faster R-CNN as a family; see models.build."""
from __future__ import annotations

import json
from typing import Callable, Iterator, Mapping

import cv2

from gluon_bof.backend import mx
from gluon_bof.data.transforms import EvalTransform, ShortSide
from gluon_bof.models.build import ExportForm, parameters_beside
from gluon_bof.models.faster_rcnn.network import CLASSIFIER, FasterRCNN, resnet_parameters
from gluon_bof.models.faster_rcnn.network import build_faster_rcnn as build
from gluon_bof.models.heads import classes_by_rows
from gluon_bof.models.preprocess import InferenceGraph
from gluon_bof.options.faster_rcnn import NETWORKS, FasterRcnnOptions

MAX_CONVOLUTIONS = 16  # in a box head


def eval_transform(options: FasterRcnnOptions) -> EvalTransform:
    """Validation's images have the largest short side of training, and keep their aspect ratio."""
    return EvalTransform(ShortSide(options.image_max_size), options.shorts()[1], cv2.INTER_LINEAR)


def inference_batch(options: FasterRcnnOptions) -> int:
    """One image a batch in inference: they have many shapes, and the graph takes one."""
    return 1


def _candidates(network, data):
    """What goes into the last `box_nms`."""
    symbol = mx.sym.Group(list(InferenceGraph(network)(data)))
    nodes = json.loads(symbol.tojson())["nodes"]
    last = [node for node in nodes if node["op"] == "_contrib_box_nms"][-1]
    return [symbol.get_internals()[nodes[last["inputs"][0][0]]["name"] + "_output"]], ["rows"]


def export_form(options: FasterRcnnOptions) -> ExportForm:
    """Any sides up to --image-max-size, one image."""
    return ExportForm(options.image_max_size, 1, False, _candidates,
                      {"rows": "for each class: class (-1 for none), score, xmin, ymin, xmax, ymax in pixels of the input"})


def matches(shapes: Mapping[str, tuple]) -> Iterator[tuple[str, int, dict]]:
    """(name, number of classes, {name: Parameter}) of the networks that have weights of these shapes, perhaps."""
    return matching(shapes, _candidate_options, build)


def matching(shapes: Mapping[str, tuple], candidates: Callable, build: Callable) -> Iterator[tuple[str, int, dict]]:
    """The same of the networks that build(options, classes, devices) makes of the options that candidates(shapes) yields."""
    if "class_predictor.bias" not in shapes:
        return
    classes = classes_by_rows({"class_predictor.bias": shapes["class_predictor.bias"]}, FasterRCNN.HEAD_ROWS)
    for options in candidates(shapes) if classes else ():
        network = build(options, [str(index) for index in range(classes)], [mx.cpu()])
        yield options.gluoncv_name()[:-len(options.dataset_name) - 1], classes, parameters_beside(network, shapes)


def _candidate_options(shapes):
    """Options of the networks that have so many convolutions in the box head."""
    pyramid = "rpn.rpn_head.score.bias" in shapes
    learns = any("syncbatchnorm" in name for name in shapes)
    convolutions = sum(name.startswith("box_features.") and len(shape) == 4 for name, shape in shapes.items())
    custom = pyramid and "box_features.0.weight" not in shapes  # GluonCV's custom model pools there
    for name in NETWORKS if convolutions <= MAX_CONVOLUTIONS else ():
        yield FasterRcnnOptions(network=name, use_fpn=pyramid, norm_layer="syncbn" if learns else None,
                                pretrained_base="no", custom_model=custom, num_box_head_conv=convolutions).resolved()


def backbones() -> list[tuple[str, dict]]:
    """[(name, {name in a classifier's file: Parameter})]."""
    return [(name, {key: parameter for key, parameter in resnet_parameters(name).items() if not key.startswith(CLASSIFIER)})
            for name in NETWORKS]

"""An initialised network of a family's options, and how it sees images."""
from __future__ import annotations

import warnings

import cv2

from gluon_bof.backend import mx
from gluon_bof.data.transforms import EvalTransform, ShortSide, square
from gluon_bof.freebies.sync_batch_norm import norm_layer
from gluon_bof.options.faster_rcnn import FasterRcnnOptions

DUMMY_INPUT_SHAPE = (1, 3, 64, 64)  # an image that is large enough to settle every shape


def build_network(options, classes, devices):
    """The initialised network of the options, every shape settled, on its devices."""
    if isinstance(options, FasterRcnnOptions):
        from gluon_bof.models.faster_rcnn.network import build_faster_rcnn
        network = build_faster_rcnn(options, classes, devices)
    else:
        from gluon_bof.models.yolo3.network import ANCHORS, build_yolo3
        network = build_yolo3(options.network, classes, norm_layer(options.syncbn, devices), options.anchor_rows() or ANCHORS)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # GluonCV's RPN has initialised itself, on the CPU
        network.initialize(ctx=devices)
    network.collect_params().reset_ctx(devices)
    for device in devices:
        network(mx.nd.zeros(DUMMY_INPUT_SHAPE, ctx=device))
    mx.nd.waitall()  # oneDNN rearranges weights behind the scenes; whoever fills them next must not meet it
    # MXNet begins what a symbol declares, as GluonCV's pyramids do, with random numbers: variances below 0 as well
    for name, parameter in network.collect_params(".*moving_(mean|var)").items():
        parameter.set_data((mx.nd.ones if name.endswith("var") else mx.nd.zeros)(parameter.shape))
    return network


def eval_transform(options):
    """How validation and prediction see an image."""
    if isinstance(options, FasterRcnnOptions):
        return EvalTransform(ShortSide(options.image_max_size), options.shorts()[1], cv2.INTER_LINEAR)
    return EvalTransform(square, options.data_shape)


def inference_batch(options):
    """Images a batch in inference. Faster R-CNN's have many shapes, and its graph takes one."""
    return 1 if isinstance(options, FasterRcnnOptions) else options.batch_size


def export_name(options):
    """GluonCV's name of the network, as it begins the names of its files."""
    if not isinstance(options, FasterRcnnOptions):
        return f"yolo3_{options.network}_{options.dataset}"
    if options.custom_model:
        return f"custom_faster_rcnn_fpn_{options.network}_{options.dataset}"
    parts = ["faster_rcnn"] + ["fpn"] * options.use_fpn + ["syncbn"] * bool(options.norm_layer)
    return "_".join(parts + [options.network, options.dataset])

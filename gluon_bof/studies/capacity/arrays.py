"""Weights of any kind as {name: numpy array}: the one place where this study opens files. MXNet is needed for Gluon blocks
only, and to find a published model by its name."""
from __future__ import annotations

import os
from typing import Any

import numpy as np

from gluon_bof.errors import UserError
from gluon_bof.options import families
from gluon_bof.runs.config import require_run
from gluon_bof.runs.folder import RunFolder
from gluon_bof.studies.capacity.onnx_weights import operator_weights
from gluon_bof.weights.checksums import require_stated_sha1
from gluon_bof.weights.formats import checkpoint as checkpoint_format
from gluon_bof.weights.formats import darknet as darknet_format
from gluon_bof.weights.formats import params as params_format
from gluon_bof.weights.formats import safetensors as safetensors_format
from gluon_bof.weights.formats.darknet import DARKNET, YOLO3, Convolution
from gluon_bof.weights.formats.safetensors import REDOWNLOAD_REMEDY, beginning
from gluon_bof.weights.learned import require_learned

ENDINGS = (".params", ".safetensors", ".weights", ".onnx", ".ckpt")
STAGES = ((64, 1), (128, 2), (256, 8), (512, 8), (1024, 4))  # of Darknet-53: channels and residual blocks
LEVELS = (512, 256, 128)  # channels of YOLOv3's three heads


class OfOperators(dict):
    """{name: array} of what a graph's operators weigh with: weights of layers, whatever they are called."""


def read_arrays(source: Any, last: bool = False) -> dict[str, np.ndarray]:
    """{name: array} of a run's folder (its best weights, or the last), a .params, .safetensors, .weights (Darknet-53 and
    YOLOv3), .onnx or .ckpt file, "shapes" or GluonCV's name of a published model or backbone, a Gluon block, or a dictionary of
    arrays.

    Raises UserError for what cannot be read, and for a file of values that no network has learned."""
    if hasattr(source, "_collect_params_with_prefix"):
        return _of_block(source)
    if isinstance(source, dict):
        return {str(name): np.asarray(array) for name, array in source.items()}
    path = file_of(os.fspath(source), last)
    try:
        arrays = _reader_of(path)(path)
    except ValueError as error:
        raise UserError(f"no whole file of weights: {error}", path, REDOWNLOAD_REMEDY) from None
    require_learned({name: array for name, array in arrays.items() if array.dtype.kind == "f"}, path)  # no others are layers
    return arrays


def file_of(weights: str, last: bool = False) -> str:
    """The path of the file that a run's folder, a file's path or a model's name stands for."""
    if os.path.isdir(weights):
        require_run(weights, "give a folder under runs/ or a file of weights")
        return RunFolder(weights).weights(last)
    if not os.path.exists(weights) and not weights.lower().endswith(ENDINGS):
        from gluon_bof.weights.zoo import download, download_backbone, is_name
        if is_name(weights):
            return download_backbone(weights) if weights in families.networks() else download(weights)
    return weights


def _reader_of(path):
    start = beginning(path, len(checkpoint_format.MAGIC))
    if os.path.splitext(path)[1].lower() == ".onnx":
        return _read_onnx
    if start == checkpoint_format.MAGIC:
        return _read_checkpoint
    if params_format.is_params(path, start):
        return _read_params
    return _read_safetensors if safetensors_format.is_safetensors(path) else _read_darknet


def _of_block(block):
    from gluon_bof.weights.load import weights_of
    turned = set(_inputs_first(block))
    try:
        return {name: array.swapaxes(0, 1) if name in turned else array for name, array in weights_of(block).items()}
    except RuntimeError as error:
        raise UserError(f"the network has no weights yet ({str(error).splitlines()[0]})",
                        remedy="initialise it and pass one batch through it") from None


def _inputs_first(block, prefix=""):
    """Names of the weights below a block that are (I, O, H, W)."""
    from gluon_bof.backend import gluon
    if isinstance(block, gluon.nn.Conv2DTranspose):
        yield f"{prefix}weight"
    for name, child in block._children.items():
        yield from _inputs_first(child, f"{prefix}{name}.")


def _read_params(path):
    with open(path, "rb") as file:
        data = file.read()
    require_stated_sha1(path, data)
    arrays = params_format.loads(data)
    # files of `mx.model.save_checkpoint` and of `export` say what each array is
    return {name.split(":", 1)[1] if name.startswith(("arg:", "aux:")) else name: array for name, array in arrays.items()}


def _read_checkpoint(path):
    return checkpoint_format.weights_in(checkpoint_format.read_checkpoint(path)[1])


def _read_safetensors(path):
    entries = safetensors_format.read_header(path)
    return safetensors_format.read_arrays(path, [name for name, entry in entries.items()
                                                 if entry.kind in safetensors_format.FLOAT_TYPES])


def _read_onnx(path):
    try:
        import onnx
    except ImportError:
        raise UserError("reading .onnx needs the package onnx", path, "pip install 'gluon_bof[export]'") from None
    try:
        model = onnx.load(path)
    except Exception as error:  # protobuf's own class, which differs between its versions
        raise UserError(f"no whole ONNX file ({type(error).__name__})", path, REDOWNLOAD_REMEDY) from None
    return OfOperators(operator_weights(model, path))


# Darknet: a file has neither names nor shapes, so they are known from the network that its size tells

def _read_darknet(path):
    with open(path, "rb") as file:
        header = darknet_format.read_header(file)
        values = darknet_format.read_values(file, header)
    if header.network not in (DARKNET, YOLO3):
        raise UserError(f"the layers of {header.network} are not known here", path,
                        "give darknet53 or yolov3, or weights in another format")
    if header.network == YOLO3:
        return darknet_format.unpack(values, darknet_layers(header.classes))
    return darknet_format.unpack(values, darknet_layers() + darknet_format.output_layer(header.classes))


def darknet_layers(classes: int | None = None) -> list[Convolution]:
    """The convolutions of Darknet-53 or, with a number of classes, of YOLOv3, in the order of a .weights file and under
    the names that GluonCV's YOLOv3 gives them."""
    layers, inputs = [_convolution("stages.0.0", (32, 3, 3))], 32
    places = [("stages.0", 1), ("stages.0", 2 + 1), ("stages.0", 2 + 1 + 3), ("stages.1", 0), ("stages.2", 0)]
    for (channels, blocks), (stage, first) in zip(STAGES, places):
        layers.append(_convolution(f"{stage}.{first}", (channels, inputs, 3)))
        for block in range(first + 1, first + 1 + blocks):
            layers.append(_convolution(f"{stage}.{block}.body.0", (channels // 2, channels, 1)))
            layers.append(_convolution(f"{stage}.{block}.body.1", (channels, channels // 2, 3)))
        inputs = channels
    return layers if classes is None else layers + _heads(classes)


def _heads(classes):
    layers, inputs = [], STAGES[-1][0]
    for level, channels in enumerate(LEVELS):
        for place, (outputs, side) in enumerate(((channels, 1), (2 * channels, 3)) * 2 + ((channels, 1),)):
            layers.append(_convolution(f"yolo_blocks.{level}.body.{place}", (outputs, inputs, side)))
            inputs = outputs
        layers.append(_convolution(f"yolo_blocks.{level}.tip", (2 * channels, channels, 3)))
        name = f"yolo_outputs.{level}.prediction"
        layers.append(Convolution(f"{name}.weight", (3 * (5 + classes), 2 * channels, 1, 1), None, f"{name}.bias"))
        if level + 1 < len(LEVELS):
            layers.append(_convolution(f"transitions.{level}", (channels // 2, channels, 1)))
            inputs = channels // 2 + channels
    return layers


def _convolution(name, sizes):
    outputs, inputs, side = sizes
    return Convolution(f"{name}.0.weight", (outputs, inputs, side, side), f"{name}.1", None)

"""An initialised network of a family's options; and what a family's package of models has to offer.

A package such as gluon_bof.models.yolo3, named in options/families.py, exports

    build(options, classes, devices)  the network, a HybridBlock that is not initialised yet
    eval_transform(options)           EvalTransform: how validation and prediction see an image
    inference_batch(options)          images a batch in inference
    export_form(options)              ExportForm: how the network is exported
    matches(shapes)                   yields (name, number of classes, {name: Parameter}) of networks that weights of these
                                      {name: shape} may belong to, see `parameters_beside`
    backbones()                       [(name, {name in a classifier's file: Parameter})] that it is built on

and its network, beside detections in inference (class ids, scores, boxes, and of a family with masks (B, D, S, S) probabilities
over each box), has

    HEAD_ROWS                         see models.heads
    backbone_parameters()             {name in the file of a classifier on this backbone: Parameter}
    stem_parameters()                 [Parameter] of the first layers, up to a quarter of the image's sides
    image_parameters()                [Parameter] of the backbone's layers that see the whole image
    trained_parameters()              ParameterDict of what learns
    takes_anchors({name: array})      only where boxes are matched to the network's anchors, not the options': whether those of a
                                      file may take their place
    classes, set_nms(nms_thresh, nms_topk, post_nms) and those three as attributes, as GluonCV's networks have them
"""
from __future__ import annotations

import importlib
import threading
from contextlib import contextmanager
from types import ModuleType
from typing import Any, Callable, Iterator, Mapping, NamedTuple, Sequence

from gluon_bof.backend import mx
from gluon_bof.devices import refuse_numpy_arrays
from gluon_bof.errors import without_warnings
from gluon_bof.options.families import family_of

DUMMY_INPUT_SHAPE = (1, 3, 64, 64)  # an image that is large enough to infer every parameter's shape; a network may have its own

# layouts of what is found before the last suppression: boxes (B, N, 4) and scores (B, N, K); or rows (…, 6) of id, score, box
CANDIDATES, ROWS = ("boxes", "scores"), ("rows",)
_building = threading.local()


class ExportForm(NamedTuple):
    """How a network is exported. max_side, min_side, multiple: of the input's sides, in pixels; any_batch: whether it takes one
    image or more, else one; candidates(network, data) -> (symbols before the last suppression, their names), of an input
    symbol; texts: {name: what it holds} of those. Their names are CANDIDATES, in an order that is always the same, or ROWS, a
    set."""

    max_side: int
    multiple: int
    any_batch: bool
    candidates: Callable[[Any, Any], tuple]
    texts: dict
    min_side: int = 32  # backbones halve an image five times


@contextmanager
def portable() -> Iterator[None]:
    """A context in which graphs are built of MXNet's own operators alone, so that other programs can run them."""
    before, _building.portable = is_portable(), True
    try:
        yield
    finally:
        _building.portable = before


def is_portable() -> bool:
    """Whether the graph that is being built is for other programs."""
    return getattr(_building, "portable", False)


def models_of(options: Any) -> ModuleType:
    """The package that builds the networks of these options, imported on first use."""
    return importlib.import_module(family_of(options).model)


def build_network(options: Any, classes: Sequence[str], devices: Sequence[Any]) -> Any:
    """The initialised network of the options, every parameter's shape known, on its devices. Raises UserError as
    `refuse_numpy_arrays` does."""
    network = _begun(options, classes, devices)
    for device in devices:
        network(mx.nd.zeros(_dummy_shape(network), ctx=device))
    mx.nd.waitall()  # oneDNN rearranges weights behind the scenes; whoever fills them next must not meet it
    # MXNet begins what a symbol declares, as GluonCV's pyramids do, with random numbers: variances below 0 as well
    for name, parameter in network.collect_params(".*moving_(mean|var)").items():
        parameter.set_data((mx.nd.ones if name.endswith("var") else mx.nd.zeros)(parameter.shape))
    return network


def network_to_fill(options: Any, classes: Sequence[str], devices: Sequence[Any]) -> Any:
    """The network of the options, every parameter's shape known, whose values come of a file, all of them, by `load_weights`.
    None are drawn for it and it sees no image, which takes most of the time of `build_network`. Raises UserError as
    `refuse_numpy_arrays` does."""
    return with_inferred_shapes(_begun(options, classes, devices))


def _begun(options, classes, devices):
    """The network on its devices, its parameters initialised or, where a shape is still to be inferred, about to be."""
    refuse_numpy_arrays()
    network = models_of(options).build(options, classes, devices)
    with without_warnings():  # GluonCV's RPN has initialised itself, on the CPU
        network.initialize(ctx=devices)
    network.collect_params().reset_ctx(devices)
    return network


def with_inferred_shapes(network: Any) -> Any:
    """The network, every parameter's shape known; none is initialised for it."""
    with without_warnings():  # MXNet cannot tell the types of some
        network.infer_shape(mx.nd.zeros(_dummy_shape(network)))
    return network


def parameters_beside(network: Any, shapes: Mapping[str, tuple]) -> dict[str, Any]:
    """{structured name: Parameter} of a network that is not initialised, to be compared with {name: shape}: every shape is known
    where the names are the same, and only there, for to infer them takes longer than all the rest."""
    parameters = network._collect_params_with_prefix()
    if parameters.keys() == shapes.keys():
        with_inferred_shapes(network)
    return parameters


def _dummy_shape(network):
    return getattr(network, "dummy_input_shape", DUMMY_INPUT_SHAPE)

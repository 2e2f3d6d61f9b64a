"""How much of a trained detector learns on: freezing by depth, for fine-tuning.

The less data there is, and the more it is like what the weights were trained on, the more stays (Stanford's table of transfer
learning: little data and similar: the top layer; more data, or data of another kind: more layers)."""
from __future__ import annotations

from typing import Any

from gluon_bof.backend import gluon
from gluon_bof.errors import UserError
from gluon_bof.models.blocks import blocks_of
from gluon_bof.models.heads import rows_of
from gluon_bof.options.training import FREEZE
from gluon_bof.weights.load import structured_parameters


def freeze(network: Any, how: str) -> list[str]:
    """Let a part of an initialised detector stay as it is, on top of what does not learn already; before a graph is made
    of it and after Faster R-CNN's `freeze_the_rest`. Returns the structured names of what stays, sorted.

    how: "stem": the first layers, up to a quarter of the image's sides; "backbone": all layers that were trained on
    ImageNet and see the whole image (of a Faster R-CNN without a pyramid not layer4, which sees regions); "all-but-head":
    everything but the layers that predict classes and final boxes; "none". Frozen normalisation uses its running statistics
    and does not move them. Raises UserError for another word."""
    if how not in FREEZE:
        raise UserError(f"--freeze {how} is no way to freeze", remedy=f"choose one of {', '.join(FREEZE)}")
    parameters = structured_parameters(network)
    staying = {id(parameter) for parameter in _staying(network, parameters, how)}
    names = sorted(name for name, parameter in parameters.items()
                   if id(parameter) in staying and not isinstance(parameter, gluon.Constant))
    for name in names:
        parameters[name].grad_req = "null"
    _use_running_statistics(network, {parameters[name].name for name in names})
    return names


def _staying(network, parameters, how):
    if how == "stem":
        return network.stem_parameters()
    if how == "backbone":
        return network.image_parameters()
    if how == "all-but-head":
        return [parameter for name, parameter in parameters.items() if rows_of(network.HEAD_ROWS, name) is None]
    return []


def _use_running_statistics(network, names):
    """Switch every normalisation whose parameters have these names; those in a pyramid are nodes of its symbol."""
    for block in blocks_of(network):
        if isinstance(block, gluon.nn.BatchNorm) and block.running_mean.name in names:
            block._kwargs["use_global_stats"] = True
        elif isinstance(block, gluon.SymbolBlock):
            _switch_nodes(block._cached_graph[1], names)
        if isinstance(block, gluon.HybridBlock):
            block._clear_cached_op()


def _switch_nodes(symbol, names):
    internals = symbol.get_internals()
    for node in internals:
        inputs = node.get_children()
        if inputs is not None and len(inputs) == 5 and inputs[3].name in names:  # data, gamma, beta, mean, variance
            node._set_attr(use_global_stats="True")

"""How much of a trained detector learns on: freezing by depth, for fine-tuning.

The less data there is, and the more it is like what the weights were trained on, the more stays (Stanford's table of transfer
learning: little data and similar: the top layer; more data, or data of another kind: more layers)."""
from __future__ import annotations

from gluon_bof.backend import gluon
from gluon_bof.errors import UserError
from gluon_bof.weights.load import HEADS, structured_parameters

WAYS = ("none", "stem", "backbone", "all-but-head")
STEM_OF_RESNETS = ("conv1.", "bn1.", "layer1.")
HALVINGS_OF_THE_STEM = 2  # it ends where features have a quarter of the image's sides, as ResNets' first stage does


def freeze(network, how):
    """Let a part of an initialised detector stay as it is, on top of what does not learn already; before a graph is made
    of it and after Faster R-CNN's `freeze_the_rest`. Returns the structured names of what stays, sorted.

    how: "stem": the first layers, up to a quarter of the image's sides; "backbone": all layers that were trained on
    ImageNet and see the whole image (of a Faster R-CNN without a pyramid not layer4, which sees regions); "all-but-head":
    everything but the layers that predict classes and final boxes; "none". Frozen normalisation uses its running statistics
    and does not move them. Raises UserError for another word."""
    if how not in WAYS:
        raise UserError(f"--freeze {how} is no way to freeze", remedy=f"choose one of {', '.join(WAYS)}")
    parameters = structured_parameters(network)
    staying = {id(parameter) for parameter in _staying(network, parameters, how)}
    names = sorted(name for name, parameter in parameters.items()
                   if id(parameter) in staying and not isinstance(parameter, gluon.Constant))
    for name in names:
        parameters[name].grad_req = "null"
    _use_running_statistics(network, {parameters[name].name for name in names})
    return names


def _staying(network, parameters, how):
    of_backbone = network.backbone_parameters()
    if how == "stem":
        begins = STEM_OF_RESNETS
        if hasattr(network, "stages"):
            begins = tuple(f"features.{place}." for place in range(_stem_length(network.stages[0])))
        return [parameter for name, parameter in of_backbone.items() if name.startswith(begins)]
    if how == "backbone":
        of_regions = getattr(network, "top_features", None)
        learning = {id(parameter) for parameter in of_regions.collect_params().values()} if of_regions else set()
        return [parameter for parameter in of_backbone.values() if id(parameter) not in learning]
    if how == "all-but-head":
        return [parameter for name, parameter in parameters.items()
                if not any(pattern.fullmatch(name) for pattern, _ in HEADS)]
    return []


def _stem_length(stage):
    """Layers of a network's first stage before the one that makes its features smaller than a quarter."""
    halvings = 0
    for place, layer in enumerate(stage):
        halvings += sum(block._kwargs["stride"] == (2, 2) for block in _blocks(layer)
                        if isinstance(block, gluon.nn.Conv2D))
        if halvings > HALVINGS_OF_THE_STEM:
            return place
    return len(stage)


def _use_running_statistics(network, names):
    """Switch every normalisation whose parameters have these names; those in a pyramid are nodes of its symbol."""
    for block in _blocks(network):
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


def _blocks(block):
    yield block
    for child in block._children.values():
        yield from _blocks(child)

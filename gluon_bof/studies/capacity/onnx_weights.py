"""The weights of an ONNX graph's convolutions and products, wherever in the graph they come from. Needs the package onnx."""
from __future__ import annotations

import re
from typing import Any

import numpy as np

from gluon_bof.errors import abbreviate, warn

# operators with weights, and which of their inputs these are
WITH_WEIGHTS = {"Conv": (1,), "ConvTranspose": (1,), "Gemm": (1,), "MatMul": (0, 1)}
UNREAD = re.compile("Conv|Gemm|MatMul")  # their relatives, such as QLinearConv, whose weights are not read here


def operator_weights(model: Any, path: str) -> dict[str, np.ndarray]:
    """{name: (O, I, ...) array} of an onnx.ModelProto's convolutions and products, by the names under which they are stored.

    Warns, with the path, of operators whose weights cannot be told."""
    constants, moving = _Constants(model), _moving(model.graph)
    found, unread = {}, []
    for node in model.graph.node:
        fixed = [place for place, name in enumerate(node.input) if name and name not in moving]
        places = [place for place in fixed if place in WITH_WEIGHTS.get(node.op_type, ())]
        if node.op_type not in WITH_WEIGHTS and fixed and UNREAD.search(node.op_type):
            unread.append(node)
        for place in places:
            try:
                stored, array = constants.follow(node.input[place])
                array = _outputs_first(array, node, place)
            except Exception:  # whatever onnx's evaluator raises for what it does not know
                unread.append(node)
                continue
            # one array may serve several operators, whole or a different part of it each
            alike = stored not in found or np.array_equal(found[stored], array)
            found[stored if alike else node.input[place]] = array
    if unread:
        warn(f"{path}: weights of {len(unread)} operators cannot be told, and are left out: "
             f"{abbreviate([f'{node.op_type} {node.name or node.output[0]}' for node in unread])}")
    return found


def _outputs_first(array, node, place):
    """(O, I, ...) of the weights of an operator."""
    turned = {"ConvTranspose": True, "MatMul": place == 1 and array.ndim == 2,
              "Gemm": not any(one.name == "transB" and one.i for one in node.attribute)}
    return array.swapaxes(0, 1) if turned.get(node.op_type) else array


class _Constants:
    """Values that no input of a graph reaches."""

    def __init__(self, model):
        self._opsets = {one.domain: one.version for one in model.opset_import}
        self._stored = {entry.name: entry for entry in model.graph.initializer}
        self._maker = {name: node for node in model.graph.node for name in node.output}

    def follow(self, name):
        """(the name under which a value is stored, its array), through Constant, Cast, Transpose and whatever else is made of
        constants."""
        from onnx import helper, numpy_helper
        from onnx.reference import ReferenceEvaluator
        if name in self._stored:
            return name, numpy_helper.to_array(self._stored[name])
        node = self._maker[name]
        given = {entry: self.follow(entry) for entry in node.input if entry}
        alone = helper.make_graph([node], "constant", [*map(helper.make_empty_tensor_value_info, given)],
                                  [helper.make_empty_tensor_value_info(name)])
        array, = ReferenceEvaluator(alone, self._opsets).run([name], {entry: array for entry, (_, array) in given.items()})
        return next((stored for stored, _ in given.values()), name), array


def _moving(graph):
    """Names of the values that depend on an image. An operator with a graph of its own may see any."""
    moving = {entry.name for entry in graph.input} - {entry.name for entry in graph.initializer}
    for node in graph.node:  # in the order of their execution
        if not moving.isdisjoint(node.input) or any(one.HasField("g") for one in node.attribute):
            moving.update(node.output)
    return moving - {""}

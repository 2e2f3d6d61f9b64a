"""ONNX for the operators of our graphs that MXNet 1.9.1's exporter lacks or translates wrongly.

Every shape is known when a network is exported, but for the number of images (-1), and the translations use that. What is
put right: `Reshape`'s codes -2, -3 and -4 (refused), `box_nms` (classes suppressed each other, and `topk` limited what is kept
instead of what competes), `ROIAlign` (its cells would be half a pixel off from opset 16 on), `BilinearResize2D` (its corners were
always in line), `BatchNorm` (a fixed gamma counts as 1, whatever is stored), `topk` (whose places were said to be float32), and
preprocessing's two operators (missing). Weights are written as their bytes: MXNet makes a Python number of each on the way."""
from __future__ import annotations

import ast
from contextlib import contextmanager
from typing import Any, Callable, Iterator, Mapping, Sequence

import numpy as np

from gluon_bof.locks import fork_safe_lock

OPSET = 16  # the first whose RoiAlign can say where its cells lie
OF_INPUTS = 12  # the opset of MXNet's own translation of inputs
_exporter = fork_safe_lock()  # MXNet's, whose translations are the whole process's


def onnx_type(kind: Any) -> int:
    """ONNX's number of a NumPy type."""
    from onnx import helper

    return helper.np_dtype_to_tensor_dtype(np.dtype(kind))


class Builder:
    """Nodes and constants of one MXNet operator's translation; what it makes is named after the operator."""

    def __init__(self, name, initializers):
        self.name = name
        self.initializers = initializers
        self.nodes = []
        self.made = 0

    def constant(self, values: Any, kind: Any) -> str:
        """The name of a constant array."""
        from onnx import numpy_helper

        name = self._new_name()
        self.initializers.append(numpy_helper.from_array(np.asarray(values, kind), name))
        return name

    def __call__(self, operator, *inputs, outputs=1, **attributes):
        """The name of a new node's output, or a list of them."""
        from onnx import helper

        names = [self._new_name() for _ in range(outputs)]
        self.nodes.append(helper.make_node(operator, list(inputs), names, name=names[0], **attributes))
        return names[0] if outputs == 1 else names

    def result(self, operator: str, *inputs: str, output: int | str = "", **attributes: Any) -> None:
        """The node whose output is the MXNet operator's; output: the number of one of several."""
        from onnx import helper

        name = f"{self.name}{output}"
        self.nodes.append(helper.make_node(operator, list(inputs), [name], name=name, **attributes))

    def columns(self, array: str, begin: int, end: int) -> str:
        """Part of the last axis."""
        return self("Slice", array, self.constant([begin], np.int64), self.constant([end], np.int64),
                    self.constant([-1], np.int64))

    def reshaped(self, array: str, shape: Sequence[int]) -> str:
        return self("Reshape", array, self.constant(shape, np.int64))

    def _new_name(self):
        self.made += 1
        return f"{self.name}_{self.made}_"


def _to_tensor(build, attributes, inputs, shapes, out_shape):
    planes = build("Transpose", build("Cast", inputs[0], to=onnx_type(np.float32)), perm=[0, 3, 1, 2])
    build.result("Div", planes, build.constant(255, np.float32))
    return np.float32


def _normalize(build, attributes, inputs, shapes, out_shape):
    mean, std = (build.constant(np.reshape(ast.literal_eval(attributes[name]), (1, 3, 1, 1)), np.float32)
                 for name in ("mean", "std"))
    build.result("Div", build("Sub", inputs[0], mean), std)


def _batch_norm(build, attributes, inputs, shapes, out_shape):
    if attributes.get("axis", "1") != "1":
        raise NotImplementedError("BatchNorm is translated over the second axis only")
    data, gamma, *others = inputs
    if attributes.get("fix_gamma", "True") == "True":
        gamma = build.constant(np.ones(shapes[1]), np.float32)
    build.result("BatchNormalization", data, gamma, *others, epsilon=float(attributes.get("eps", 1e-3)))


def _reshape(build, attributes, inputs, shapes, out_shape):
    build.result("Reshape", inputs[0], build.constant(out_shape, np.int64))


def _topk(build, attributes, inputs, shapes, out_shape):
    if attributes.get("ret_typ") != "both":
        raise NotImplementedError("topk is translated where it returns both values and places")
    kind = np.dtype(attributes.get("dtype", "float32"))
    axis = int(attributes.get("axis", -1))
    count = max(0, int(attributes["k"])) or shapes[0][axis]  # MXNet's 0 are all, ONNX's none
    values, places = build("TopK", inputs[0], build.constant([count], np.int64), outputs=2, axis=axis,
                           largest=int(attributes.get("is_ascend") != "True"))
    build.result("Identity", values, output=0)
    build.result("Cast", places, output=1, to=onnx_type(kind))
    return np.float32, kind


def _roi_align(build, attributes, inputs, shapes, out_shape):
    if attributes.get("aligned") == "True" or attributes.get("position_sensitive") == "True":
        raise NotImplementedError("ROIAlign is translated neither aligned nor position-sensitive")
    pooled = ast.literal_eval(attributes["pooled_size"])
    image = build("Cast", build.reshaped(build.columns(inputs[1], 0, 1), [-1]), to=onnx_type(np.int64))
    build.result("RoiAlign", inputs[0], build.columns(inputs[1], 1, 5), image, mode="avg",
                 coordinate_transformation_mode="output_half_pixel", output_height=pooled[0], output_width=pooled[1],
                 sampling_ratio=max(0, int(attributes.get("sample_ratio", -1))),
                 spatial_scale=float(attributes["spatial_scale"]))


def _box_nms(build, attributes, inputs, shapes, out_shape, classes):
    """Rows (B, N, W) with the best that survive first and -1 for the rest, as MXNet has them."""
    _, rows, width = shapes[0]
    least = float(attributes.get("valid_thresh", 0))
    overlap = float(attributes.get("overlap_thresh", 0.5))
    topk = int(attributes.get("topk", -1))
    id_index, score_index, first = (int(attributes.get(name, default)) for name, default in
                                    (("id_index", -1), ("score_index", 1), ("coord_start", 2)))
    if "center" in (attributes.get("in_format"), attributes.get("out_format")) or attributes.get("background_id", "-1") != "-1":
        raise NotImplementedError("box_nms is translated for corners without a background class only")
    count = min(topk, rows) if topk > 0 else rows

    def best_rows(array, keys):
        """Rows (B, count, width) of the greatest keys (B, N), greatest first."""
        index = build("TopK", keys, build.constant([count], np.int64), outputs=2, axis=1)[1]
        index = build("Unsqueeze", index, build.constant([2], np.int64))
        index = build("Expand", index, build.constant([1, count, width], np.int64))
        return build("GatherElements", array, index, axis=1)

    everything = build.reshaped(build.columns(inputs[0], score_index, score_index + 1), [-1, rows])
    candidates = best_rows(inputs[0], everything)
    column = build.columns(candidates, score_index, score_index + 1)
    scores = build.reshaped(column, [-1, 1, count])
    if overlap > 1:  # nothing overlaps as much: this only sorts
        kept = build("Greater", column, build.constant(least, np.float32))
    else:
        if id_index >= 0 and attributes.get("force_suppress") != "True":
            # each class competes in a row of its own, where the others' boxes score too little
            ids = build.reshaped(build.columns(candidates, id_index, id_index + 1), [-1, 1, count])
            own = build("Equal", ids, build.constant(np.arange(classes).reshape(1, classes, 1), np.float32))
            scores = build("Where", own, scores, build.constant(least, np.float32))
        chosen = build("NonMaxSuppression", build.columns(candidates, first, first + 4), scores,
                       build.constant([count], np.int64), build.constant([overlap], np.float32),
                       build.constant([least], np.float32))
        place = build("Mul", build("Gather", chosen, build.constant([0, 2, 1], np.int64), axis=1),
                      build.constant([1, 1, 0], np.int64))  # image, row, and the one column, whatever the class
        number = build("Shape", place, end=1)
        marks = build("ScatterND", build("ConstantOfShape", build("Shape", column)), place,
                      build("Expand", build.constant(1, np.float32), number))
        kept = build("Greater", marks, build.constant(0, np.float32))
    found = build("Where", kept, candidates, build.constant(-1, np.float32))
    # those that are kept move up, in their order
    order = build.constant(np.arange(count, 0, -1).reshape(1, count, 1), np.float32)
    keys = build("Where", kept, order, build("Neg", order))
    found = best_rows(found, build.reshaped(keys, [-1, count]))
    build.result("Pad", found, build.constant([0, 0, 0, 0, rows - count, 0], np.int64), build.constant(-1, np.float32))


def _bilinear_resize(build, attributes, inputs, shapes, out_shape):
    """MXNet's exporter does not look whether the corner pixels' middles are to stay where they are, or the corners."""
    if attributes.get("mode", "size") not in ("size", "scale"):
        raise NotImplementedError("BilinearResize2D is translated where it is told a size or a scale")
    how = "align_corners" if attributes.get("align_corners", "True") in ("True", "1") else "half_pixel"
    scales = [1, 1, *(new / old for new, old in zip(out_shape[2:], shapes[0][2:]))]
    build.result("Resize", inputs[0], "", build.constant(scales, np.float32), mode="linear", coordinate_transformation_mode=how)


TRANSLATIONS = {"_contrib_BilinearResize2D": _bilinear_resize, "_image_to_tensor": _to_tensor, "_image_normalize": _normalize,
                "BatchNorm": _batch_norm, "Reshape": _reshape,
                "topk": _topk, "_contrib_ROIAlign": _roi_align}


def _weight(name, weights, initializer, **_):
    """What MXNet's exporter makes of a parameter: an entry of the graph's inputs, and its type."""
    from onnx import helper, numpy_helper

    array = weights[name]
    initializer.append(numpy_helper.from_array(array, name))
    return [helper.make_tensor_value_info(name, onnx_type(array.dtype), array.shape)], (array.dtype,)


@contextmanager
def translations(registry: dict[int, dict[str, Callable]], shapes: Mapping[tuple[str, int], Sequence[int]],
                 classes: int) -> Iterator[None]:
    """Let MXNet's exporter use ours. registry: its {opset: {operator: function}}; shapes: {(node, output): shape};
    classes: how many the network tells apart. One thread at a time."""

    def adapted(translate):
        def convert(node, **given):
            inputs = [given["outputs_lookup"][number][output] for number, output, *_ in node["inputs"]]
            names = given["mx_graph"]
            build = Builder(node["name"], given["initializer"])
            kind = translate(build, node.get("attrs", {}), [tensor.name for tensor in inputs],
                             [shapes[names[number]["name"], output] for number, output, *_ in node["inputs"]],
                             shapes[node["name"], 0])
            kinds = kind if isinstance(kind, tuple) else (kind or inputs[0].dtype,)
            return build.nodes, tuple(map(np.dtype, kinds))
        return convert

    def box_nms(*arguments):
        return _box_nms(*arguments, classes)

    def null(node, **given):
        return registry[OF_INPUTS]["null"](node, **given) if given["is_input"] else _weight(node["name"], **given)

    ours = {name: adapted(translate) for name, translate in dict(TRANSLATIONS, _contrib_box_nms=box_nms).items()}
    with _exporter:
        registry[OPSET] = dict(ours, null=null)  # MXNet's own are of opsets 12 and 13, and hold where we have none
        try:
            yield
        finally:
            del registry[OPSET]

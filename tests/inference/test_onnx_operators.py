"""Each operator that we translate gives in onnxruntime what MXNet gives."""
import warnings

import numpy as np
import pytest

from gluon_bof.backend import mx
from gluon_bof.inference.export import AS_MANY
from gluon_bof.inference.onnx_operators import OPSET, translations

onnx = pytest.importorskip("onnx")
onnxruntime = pytest.importorskip("onnxruntime")
CLASSES = 3


def both(operator, *arrays, many=False):
    """(MXNet's outputs, onnxruntime's) of operator(F, *arrays). many: nothing of the first side's length is in the graph."""
    wanted = operator(mx.nd, *(mx.nd.array(array, dtype=array.dtype) for array in arrays))
    wanted = [array.asnumpy() for array in (wanted if isinstance(wanted, (list, tuple)) else [wanted])]
    names = [f"input{number}" for number in range(len(arrays))]
    outputs = operator(mx.sym, *map(mx.sym.Variable, names))
    outputs = mx.sym.Group([mx.sym.identity(output, name=f"answer{letter}") for output, letter in zip(outputs, "abc")])
    converter = mx.onnx.mx2onnx._export_onnx.MXNetGraph
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        shapes = shapes_of(outputs, dict(zip(names, (array.shape for array in arrays))))
        if many:
            shapes = {place: (AS_MANY,) + shape[1:] for place, shape in shapes.items()}
        kinds = [onnx.helper.np_dtype_to_tensor_dtype(array.dtype) for array in arrays]
        with translations(converter.registry_, shapes, CLASSES):
            graph = converter().create_onnx_graph_proto(outputs, {}, [array.shape for array in arrays], kinds,
                                                        opset_version=OPSET, dynamic=False)
    if many:
        for entry in (*graph.input, *graph.output):
            entry.type.tensor_type.shape.dim[0].dim_param = "many"
    for number, node in enumerate(graph.node):
        node.name = str(number)
    model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", OPSET)], ir_version=8)
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    return wanted, session.run([f"answer{letter}" for letter, _ in zip("abc", wanted)], dict(zip(names, arrays)))


def shapes_of(symbol, given):
    internals = symbol.get_internals()
    _, shapes, _ = internals.infer_shape(**given)
    names = (name.rsplit("_output", 1) for name in internals.list_outputs())
    return {(name, int(number[0]) if number and number[0] else 0): shape for (name, *number), shape in zip(names, shapes)}


def crowd(rng, images, rows):
    """(images, rows, 6) of id, score, box: heaps of boxes on each other, no score twice."""
    middle = rng.uniform(20, 80, (images, 8, 2))[:, rng.integers(0, 8, rows)] + rng.normal(0, 3, (images, rows, 2))
    half = rng.uniform(8, 20, (images, rows, 2))
    ids = rng.integers(0, CLASSES, (images, rows, 1))
    scores = np.stack([rng.permutation(rows) / rows for _ in range(images)])[..., None]
    return np.concatenate([ids, scores, middle - half, middle + half], axis=2).astype(np.float32)


@pytest.mark.parametrize("many", (False, True))
@pytest.mark.parametrize("settings", (
    dict(overlap_thresh=0.45, valid_thresh=0.01, topk=60, id_index=0, force_suppress=False),
    dict(overlap_thresh=0.3, valid_thresh=0.2, topk=-1, id_index=0, force_suppress=False),
    dict(overlap_thresh=0.5, valid_thresh=0.01, topk=500, id_index=0, force_suppress=True),
    dict(overlap_thresh=0.7, valid_thresh=-1, topk=40, id_index=-1),
    dict(overlap_thresh=1.1, valid_thresh=0.5, topk=30, id_index=0)))
def test_suppression(settings, many):
    rows = crowd(np.random.default_rng(4), 3, 100)
    settings = dict(settings, score_index=1, coord_start=2)
    (wanted,), (found,) = both(lambda F, x: [F.contrib.box_nms(x, **settings)], rows, many=many)
    kept = (wanted[..., 1] >= 0).sum(axis=1)
    assert (kept > 5).all() and (kept < 100).all()
    np.testing.assert_array_equal(found, wanted)


def test_nothing_survives_where_no_score_is_valid():
    rows = crowd(np.random.default_rng(4), 2, 20)
    rows[1, :, 1] = 0
    (wanted,), (found,) = both(lambda F, x: [F.contrib.box_nms(x, overlap_thresh=0.5, valid_thresh=0.01, id_index=0)], rows)
    assert (wanted[0] > 0).any() and (wanted[1] == -1).all()
    np.testing.assert_array_equal(found, wanted)


@pytest.mark.parametrize("codes", ((0, -1), (0, -3), (0, 0, -4, 2, -1), (-3, -2), (-2, 1)))
def test_reshape(codes):
    x = np.random.default_rng(0).normal(size=(2, 3, 4)).astype(np.float32)
    (wanted,), (found,) = both(lambda F, x: [F.reshape(x, codes)], x)
    np.testing.assert_array_equal(found, wanted)


@pytest.mark.parametrize("ascending, count", ((False, 7), (True, 7), (False, 0)))
def test_topk(ascending, count):
    x = np.random.default_rng(0).permutation(60).reshape(3, 20).astype(np.float32)
    wanted, found = both(lambda F, x: F.topk(x, axis=1, k=count, ret_typ="both", is_ascend=ascending, dtype="float64"), x)
    assert wanted[1].dtype == found[1].dtype == np.float64 and wanted[1].shape == (3, count or 20)
    for ours, theirs in zip(found, wanted):
        np.testing.assert_array_equal(ours, theirs)


def test_roi_align():
    rng = np.random.default_rng(0)
    features = rng.normal(size=(2, 5, 12, 16)).astype(np.float32)
    corner = rng.uniform(0, 60, (9, 2))
    rois = np.hstack([rng.integers(0, 2, (9, 1)), corner, corner + rng.uniform(1, 60, (9, 2))]).astype(np.float32)
    rois[4, 1:] = -1e5  # out of sight
    (wanted,), (found,) = both(lambda F, x, y: [F.contrib.ROIAlign(x, y, (3, 4), 1 / 8, sample_ratio=2)], features, rois)
    assert not wanted[4].any() and all(wanted[number].any() for number in (0, 1, 2, 3, 5, 6, 7, 8))
    np.testing.assert_allclose(found, wanted, atol=1e-5)


def test_an_image_is_normalised():
    image = np.random.default_rng(0).integers(0, 256, (2, 5, 7, 3)).astype(np.uint8)
    (wanted,), (found,) = both(lambda F, x: [F.image.normalize(F.image.to_tensor(x), mean=(0.5, 0.4, 0.3), std=(0.1, 0.2, 0.3))],
                               image)
    assert wanted.shape == (2, 3, 5, 7) and np.abs(wanted).max() > 2
    np.testing.assert_allclose(found, wanted, atol=1e-6)


@pytest.mark.parametrize("operator", (
    lambda F, x: [F.topk(x, k=2, ret_typ="value")],
    lambda F, x: [F.contrib.box_nms(F.reshape(x, (1, 5, 6)), in_format="center")]))
def test_operators_that_are_not_translated_are_refused(operator):
    with pytest.raises(NotImplementedError, match="is translated"):
        both(operator, np.ones((5, 6), np.float32))

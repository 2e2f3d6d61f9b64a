"""The same layers, whatever kind of file or network they come from."""
import json
import struct
import subprocess
import sys

import numpy as np
import pytest

from gluon_bof.errors import UserError
from gluon_bof.studies.capacity import analyze
from gluon_bof.studies.capacity.arrays import darknet_layers, file_of, read_arrays
from gluon_bof.weights.formats import params as params_format
from gluon_bof.weights.formats.checkpoint import write_checkpoint
from tests.tiny_networks import write_run
from tests.weights.darknet_files import write_zeros, yolov3

RNG = np.random.default_rng(0)
ARRAYS = {"a.weight": RNG.normal(size=(20, 12, 3, 3)).astype(np.float32), "a.bias": np.zeros(20, np.float32),
          "b.weight": RNG.normal(size=(15, 20)).astype(np.float32)}


def alphas(source):
    return analyze(source).column("alpha")


def test_params_and_safetensors_give_what_the_dictionary_gives(tmp_path):
    from safetensors.numpy import save_file
    (tmp_path / "net.params").write_bytes(params_format.dumps(ARRAYS))
    (tmp_path / "exported.params").write_bytes(params_format.dumps({f"arg:{name}": array for name, array in ARRAYS.items()}))
    save_file(ARRAYS, str(tmp_path / "net.safetensors"))
    for name in ("net.params", "exported.params", "net.safetensors"):
        assert np.array_equal(np.sort(alphas(str(tmp_path / name))), np.sort(alphas(ARRAYS))), name


def write_onnx(path, nodes, arrays):
    """The path of a graph from x to out."""
    onnx = pytest.importorskip("onnx")
    from onnx import helper, numpy_helper
    ends = [helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, None) for name in ("x", "out")]
    onnx.save(helper.make_model(helper.make_graph(
        [helper.make_node(kind, inputs, outputs, name=outputs[0], **attributes) for kind, inputs, outputs, attributes in nodes],
        "net", ends[:1], ends[1:], [numpy_helper.from_array(array, name) for name, array in arrays.items()])), str(path))
    return str(path)


def test_onnx_gives_the_weights_of_its_operators_and_no_other_initialiser(tmp_path):
    table = RNG.normal(size=(30, 30)).astype(np.float32)
    path = write_onnx(tmp_path / "net.onnx", [
        ("Identity", ["a.weight"], ["copy"], {}), ("Conv", ["x", "copy", "a.bias"], ["y"], {}),
        ("Gemm", ["y", "b.weight"], ["z"], {"transB": 1}), ("Add", ["z", "table"], ["out"], {})], {**ARRAYS, "table": table})
    assert sorted(read_arrays(path)) == ["a.weight", "b.weight"]
    assert np.array_equal(alphas(path), alphas(ARRAYS))


def test_onnx_keeps_a_weight_whose_name_says_nothing_beside_one_that_is_called_weight(tmp_path):
    weights = {"onnx::Conv_497": (20, 12, 3, 3), "onnx::Conv_500": (16, 20, 3, 3), "fc.weight": (10, 16)}
    path = write_onnx(tmp_path / "net.onnx", [
        ("Conv", ["x", "onnx::Conv_497"], ["y"], {}), ("Conv", ["y", "onnx::Conv_500"], ["z"], {}),
        ("Gemm", ["z", "fc.weight"], ["out"], {"transB": 1})],
        {name: RNG.normal(size=shape).astype(np.float32) for name, shape in weights.items()})
    report = analyze(path)
    assert [row["name"] for row in report.details] == ["onnx::Conv_497", "onnx::Conv_500", "fc"]
    assert report.summary["layers"] == 3


def test_onnx_weights_count_that_reach_their_operator_through_others(tmp_path, caplog):
    onnx = pytest.importorskip("onnx")
    whole, scale = RNG.integers(-9, 9, (7, 8)).astype(np.int8), np.array(0.5, np.float32)
    half = RNG.normal(size=(12, 20, 1, 1)).astype(np.float16)
    path = write_onnx(tmp_path / "net.onnx", [
        ("Constant", [], ["kernel"], {"value": onnx.numpy_helper.from_array(ARRAYS["a.weight"])}),
        ("Conv", ["x", "kernel"], ["1"], {}),
        ("Cast", ["half"], ["single"], {"to": onnx.TensorProto.FLOAT}), ("Conv", ["1", "single"], ["2"], {}),
        ("Transpose", ["b.weight"], ["turned"], {"perm": [1, 0]}), ("MatMul", ["2", "turned"], ["3"], {}),
        ("DequantizeLinear", ["whole", "scale"], ["real"], {}), ("Reshape", ["real", "shape"], ["filters"], {}),
        ("Conv", ["3", "filters"], ["4"], {}), ("MatMul", ["3", "4"], ["5"], {}),  # two activations
        ("ConvInteger", ["5", "whole"], ["6"], {}), ("Conv", ["6", "nowhere"], ["out"], {})],
        {"b.weight": ARRAYS["b.weight"], "half": half, "whole": whole, "scale": scale, "shape": np.array([7, 8, 1, 1])})
    arrays = read_arrays(path)
    assert {name: array.shape for name, array in arrays.items()} == {
        "kernel": (20, 12, 3, 3), "half": (12, 20, 1, 1), "b.weight": (15, 20), "whole": (7, 8, 1, 1)}
    assert np.array_equal(arrays["half"], half.astype(np.float32)) and np.array_equal(arrays["whole"][..., 0, 0], whole / 2)
    told, = caplog.messages
    assert "weights of 2 operators cannot be told" in told and "ConvInteger 6, Conv out" in told


@pytest.mark.parametrize("node, turned", [
    (("MatMul", ["x", "w"], ["out"], {}), True), (("MatMul", ["w", "x"], ["out"], {}), False),
    (("Gemm", ["x", "w"], ["out"], {}), True), (("Gemm", ["x", "w"], ["out"], {"transB": 1}), False),
    (("ConvTranspose", ["x", "w"], ["out"], {}), True), (("Conv", ["x", "w"], ["out"], {}), False)])
def test_the_l1_bound_is_over_what_goes_into_one_output_however_onnx_lays_weights_out(tmp_path, node, turned):
    weight = np.ones((3, 10, 2, 2) if "Conv" in node[0] else (3, 10), np.float32)  # into each of 3 outputs, from 10 inputs
    path = write_onnx(tmp_path / "net.onnx", [node], {"w": weight.swapaxes(0, 1).copy() if turned else weight})
    assert 10 ** analyze(path, "hill").details[0]["log_l1_bound"] == pytest.approx(weight[0].size)


def test_the_l1_bound_of_a_gluon_blocks_transposed_convolution_is_over_one_output():
    from gluon_bof.backend import gluon, mx
    block, inner = gluon.nn.HybridSequential(), gluon.nn.HybridSequential()
    inner.add(gluon.nn.Conv2DTranspose(3, 2, in_channels=10))
    block.add(inner, gluon.nn.Conv2D(3, 2, in_channels=10))
    block.initialize(mx.init.One())
    report = analyze(block, "hill")
    assert [row["name"] for row in report.details] == ["0.0", "1"]
    assert 10 ** report.column("log_l1_bound") == pytest.approx(np.full(2, 40))


@pytest.mark.parametrize("classes", [None, 1, 20, 80])
def test_darknet_layers_are_those_of_the_network_itself(classes):
    from gluon_bof.weights import convert
    wanted = convert.darknet_network("darknet53" if classes is None else "yolo3_darknet53_custom", [""] * (classes or 0))[1]
    found = darknet_layers(classes)
    assert [layer.shape for layer in found] == [layer.shape for layer in wanted]
    if classes is not None:
        assert found == wanted


def test_a_darknet_file_is_taken_apart_by_its_size(tmp_path):
    write_zeros(str(tmp_path / "net.weights"), yolov3(2)[1], struct.pack("<iiiQ", 0, 2, 0, 0))
    arrays = read_arrays(str(tmp_path / "net.weights"))
    assert arrays["yolo_outputs.2.prediction.weight"].shape == (21, 256, 1, 1)
    assert len([name for name in arrays if name.endswith(".weight")]) == 75


def test_a_gluon_block_and_its_saved_file_give_the_same(tmp_path):
    from gluon_bof.backend import gluon, mx
    block = gluon.nn.HybridSequential()
    block.add(gluon.nn.Conv2D(16, 3, in_channels=8), gluon.nn.Dense(12, in_units=30))
    with pytest.raises(UserError, match="no weights yet"):
        analyze(block)
    block.initialize(mx.init.Xavier())
    block.save_parameters(str(tmp_path / "net.params"))
    report = analyze(block)
    assert [row["name"] for row in report.details] == ["0", "1"]
    assert np.array_equal(report.column("alpha"), alphas(str(tmp_path / "net.params")))


def test_a_runs_folder_is_its_best_weights_by_block(tmp_path):
    folder = write_run(tmp_path / "run")
    report = analyze(folder)
    assert np.array_equal(report.column("depth"), analyze(f"{folder}/best.params").column("depth"))
    assert set(report.blocks) == {"backbone", "neck", "heads"}
    assert sum(summary["rows"] for summary in report.blocks.values()) == report.summary["rows"]


def test_a_checkpoint_is_the_weights_in_it(tmp_path):
    path = str(tmp_path / "iteration-000000001.ckpt")
    states = {"state/0/0": RNG.normal(size=(40, 40)).astype(np.float32)}
    write_checkpoint(path, {**{f"weight/{name}": array for name, array in ARRAYS.items()}, **states}, {"epoch": 0})
    assert np.array_equal(alphas(path), alphas(ARRAYS))


def test_a_name_is_the_weights_that_are_published_under_it():
    from gluon_bof.weights import zoo
    assert file_of("shapes") == zoo.shipped()[0]
    with pytest.raises(UserError, match="can be had here"):
        file_of("yolo3_darknet54_coco")


@pytest.mark.parametrize("name", ("yolo3_mobilenet1.0_coco", "mobilenet1.0"))
def test_a_published_name_with_a_dot_is_no_missing_file(name, monkeypatch):
    from gluon_bof.weights import zoo
    monkeypatch.setattr(zoo, "fetch_file", lambda name, *how: f"the cache's {name}")
    assert file_of(name) == f"the cache's {name}"


@pytest.mark.parametrize("path", ("yolo3_mine.params", "yolo3_mine.weights", "ssd_mine.onnx", "nowhere/a.safetensors"))
def test_a_file_that_is_missing_is_not_taken_for_a_published_name(path):
    with pytest.raises((UserError, OSError), match=r"no such|No such|not exist") as refusal:
        read_arrays(path)
    assert path in str(refusal.value)


def test_files_are_read_without_mxnet(tmp_path):
    (tmp_path / "net.params").write_bytes(params_format.dumps(ARRAYS))
    program = (f"import sys, json; from gluon_bof.commands.capacity import main; main([{str(tmp_path / 'net.params')!r}]); "
               "assert 'mxnet' not in sys.modules")
    answer = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert answer.returncode == 0, answer.stderr
    assert json.loads(answer.stdout.splitlines()[-1])["layers"] == 2


@pytest.mark.parametrize("name, content, told", [("cut.params", params_format.dumps(ARRAYS)[:300], "no whole file"),
                                                 ("bad.onnx", b"nothing of the kind", "ONNX|no layer"),
                                                 ("bad.safetensors", b"nothing of the kind", "no whole file"),
                                                 ("nan.params", params_format.dumps({**ARRAYS, "c.bias": np.float32([np.nan])}),
                                                  "c.bias holds values that are not finite"),
                                                 ("bad.weights", b"\0" * 99, "no whole file")])
def test_damaged_files_are_refused_in_a_line(tmp_path, name, content, told):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(UserError, match=told):
        analyze(str(tmp_path / name))


def test_weights_that_are_not_those_of_the_checksum_in_their_name_are_refused(tmp_path):
    path = tmp_path / "net-c24ae72f.params"
    path.write_bytes(params_format.dumps(ARRAYS))
    with pytest.raises(UserError, match="its SHA-1 is not c24ae72f, which its name has; copy it again"):
        analyze(str(path))


def test_missing_files_and_foreign_folders_are_refused(tmp_path):
    for path in (tmp_path, tmp_path / "none.params"):
        with pytest.raises(UserError):
            analyze(str(path))

"""torchvision's and timm's ResNets against ResNets in NumPy, and those that are others."""
import numpy as np
import pytest
from safetensors.numpy import save_file

from gluon_bof.backend import mx
from gluon_bof.models.faster_rcnn.network import BACKBONES, build_faster_rcnn
from gluon_bof.options.faster_rcnn import FasterRcnnOptions
from gluon_bof.weights import convert
from gluon_bof.weights.formats.params import dumps
from gluon_bof.weights.load import load_backbone
from tests.marks import slow_but
from tests.weights import torch_resnets
from tests.weights.formats.test_safetensors import raw
from tests.weights.imports import filled, refusal


@pytest.mark.parametrize("target, depth, deep", (("resnet18_v1b", 18, False),
                                                 pytest.param("resnet50_v1b", 50, False, marks=pytest.mark.slow),
                                                 pytest.param("resnet101_v1b", 101, False, marks=pytest.mark.slow),
                                                 pytest.param("resnet101_v1d", 101, True, marks=pytest.mark.slow)))
def test_resnets_compute_what_torch_s_do(tmp_path, target, depth, deep):
    state = torch_resnets.random_state(depth, deep)
    path = tmp_path / "model.safetensors"
    save_file(state, path, {"format": "pt"})
    imported = convert.import_weights(path, target)
    network = filled(BACKBONES[target][0](pretrained=False), imported.arrays)
    x = np.random.default_rng(1).standard_normal((2, 3, 72, 90)).astype(np.float32)
    stages, logits = torch_resnets.forward(state, x, depth, deep)
    found = network.maxpool(network.relu(network.bn1(network.conv1(mx.nd.array(x)))))
    for layer, wanted in zip((network.layer1, network.layer2, network.layer3, network.layer4), stages):
        found = layer(found)
        np.testing.assert_allclose(found.asnumpy(), wanted, rtol=0, atol=1e-4)
    np.testing.assert_allclose(network(mx.nd.array(x)).asnumpy(), logits, rtol=0, atol=1e-4)


@pytest.mark.slow
def test_a_resnet_becomes_a_faster_rcnn_s_backbone(tmp_path):
    state = torch_resnets.random_state(18, classes=10)  # a head of other classes is left out
    save_file({name: array.astype(np.float16) if array.dtype == np.float32 else array for name, array in state.items()},
              tmp_path / "model.safetensors")
    arrays = convert.import_weights(tmp_path / "model.safetensors", "resnet18_v1b").arrays
    assert "fc.weight" not in arrays
    path = tmp_path / "resnet18_v1b.params"
    path.write_bytes(dumps(arrays))
    options = FasterRcnnOptions(network="resnet18_v1b", pretrained_base="no").resolved()
    network = filled(build_faster_rcnn(options, ("a", "b", "c"), [mx.cpu()]))
    load_backbone(network, path)
    found = network.features(mx.nd.ones((1, 3, 64, 64))).asnumpy()
    halves = {name: array.astype(np.float16).astype(np.float32) for name, array in state.items()}
    np.testing.assert_allclose(found, torch_resnets.forward(halves, np.ones((1, 3, 64, 64)), 18)[0][2], rtol=0, atol=1e-4)


def test_resnets_that_are_others_are_refused(tmp_path):
    path = tmp_path / "model.safetensors"
    save_file(torch_resnets.random_state(101), path)  # not deep: torchvision's
    assert "lacking are conv1.0.weight" in refusal(path, "resnet101_v1d")
    state = torch_resnets.random_state(18)
    save_file(state, path)
    assert "give --to resnet18_v1b" in refusal(path, "resnet50_v1b")
    assert "safetensors are imported into" in refusal(path, "darknet53")
    for name, change, problem in (("bn1.bias", None, "lacking are bn1.bias"),
                                  ("more", np.ones(3, np.float32), "foreign are more"),
                                  ("bn1.bias", np.ones(63, np.float32), "of another shape are bn1.bias (63,)"),
                                  ("bn1.bias", np.ones(64, np.int32), "are bn1.bias I32"),
                                  ("bn1.bias", np.full(64, np.inf, np.float32), "bn1.beta holds values that are not finite"),
                                  ("bn1.running_var", np.full(64, -1, np.float32), "negative variances")):
        changed = {key: array for key, array in {**state, name: change}.items() if array is not None}
        save_file(changed, path)
        assert problem in refusal(path, "resnet18_v1b")


def bfloat16_bytes(array):
    return (np.ascontiguousarray(array, np.float32).view(np.uint32) >> 16).astype("<u2").tobytes()


@pytest.mark.parametrize("prefix", slow_but(["", "module.", "model.backbone."], "module."))
def test_resnets_of_wrapped_networks_and_in_bfloat16_are_read(tmp_path, prefix):
    state = torch_resnets.random_state(18)
    save_file(state, tmp_path / "plain.safetensors")
    plain = convert.import_weights(tmp_path / "plain.safetensors", "resnet18_v1b").arrays
    header, data = {}, b""
    for name, array in state.items():
        if array.dtype == np.float32:
            place = [len(data), len(data) + 2 * array.size]
            header[prefix + name] = {"dtype": "BF16", "shape": array.shape, "data_offsets": place}
            data += bfloat16_bytes(array)
    (tmp_path / "wrapped.safetensors").write_bytes(raw(header, data))
    wrapped = convert.import_weights(tmp_path / "wrapped.safetensors", "resnet18_v1b").arrays
    assert wrapped.keys() == plain.keys()
    for name, array in plain.items():
        np.testing.assert_array_equal(wrapped[name].view(np.uint32), array.view(np.uint32) & 0xFFFF0000)

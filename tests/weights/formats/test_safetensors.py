"""Safetensors and telling files apart, against the package that writes them and against damage."""
import json
import random
import struct

import numpy as np
import pytest
from safetensors.numpy import save, save_file

from gluon_bof.errors import UserError
from gluon_bof.weights.formats import safetensors as safetensors_format
from gluon_bof.weights.formats.params import dumps

ARRAYS = {"a.weight": np.arange(24, dtype=np.float32).reshape(2, 3, 4), "half": np.ones((2, 2), np.float16),
          "double": np.full(3, 0.5), "count": np.array(7, np.int64)}


def raw(header, data=b""):
    header = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(header)) + header + data


def test_names_shapes_types_and_values(tmp_path):
    path = tmp_path / "a.safetensors"
    save_file({**ARRAYS, "none": np.zeros((0, 3), np.float32)}, path, {"format": "pt"})
    assert safetensors_format.read_header(path) == {"a.weight": ("F32", (2, 3, 4)), "half": ("F16", (2, 2)),
                                                    "none": ("F32", (0, 3)), "double": ("F64", (3,)), "count": ("I64", ())}
    read = safetensors_format.read_arrays(path, ["half", "a.weight", "double"])
    own = dict(safetensors_format.each_array(path, ["half", "a.weight", "double", "none"]))
    for name, array in read.items():
        assert array.dtype == np.float32 and array.flags.writeable and own[name].dtype == ARRAYS[name].dtype
        np.testing.assert_array_equal(array, ARRAYS[name])
        np.testing.assert_array_equal(own[name], ARRAYS[name])
    assert own["none"].shape == (0, 3)


@pytest.mark.parametrize("data", (
    b"", b"\0" * 7, struct.pack("<Q", 1 << 60) + b"{}", raw(b"[" * 100_000), raw(b"{}", b"x"), raw(b"\xff\xfe"), raw(b"[]"),
    raw({"a": {"dtype": "F32", "shape": [1 << 40, 1 << 40], "data_offsets": [0, 4]}}, b"four"),
    raw({"a": {"dtype": "F32", "shape": [1 << 58], "data_offsets": [0, 1 << 60]}}, b"four"),
    raw({"a": {"dtype": "F32", "shape": [-1], "data_offsets": [0, 4]}}, b"four"),
    raw({"a": {"dtype": "F32", "shape": [1], "data_offsets": [4, 8]}}, b"four"),
    raw({"a": {"dtype": "X32", "shape": [1], "data_offsets": [0, 4]}}, b"four"), raw({"a": 1}), save(ARRAYS)[:-1]))
def test_broken_headers_are_refused(tmp_path, data):
    (tmp_path / "a.safetensors").write_bytes(data)
    with pytest.raises(ValueError):
        safetensors_format.read_header(tmp_path / "a.safetensors")


def test_damage_is_an_error_and_nothing_worse(tmp_path):
    path, data, rng, refused = tmp_path / "a.safetensors", save(ARRAYS), random.Random(0), 0
    for _ in range(300):
        damaged = bytearray(data)
        for _ in range(rng.randint(1, 6)):
            damaged[rng.randrange(len(damaged))] = rng.randrange(256)
        path.write_bytes(damaged[:rng.randrange(len(damaged))] if rng.random() < 0.3 else damaged)
        try:
            safetensors_format.read_header(path)
        except ValueError:
            refused += 1
    assert refused > 150


def test_files_are_told_apart(tmp_path):
    def told(name, data):
        (tmp_path / name).write_bytes(data)
        return safetensors_format.is_safetensors(tmp_path / name)

    assert told("a.safetensors", b"anything") and told("model", save(ARRAYS))
    assert not told("a.weights", save(ARRAYS)) and not told("darknet53.conv.74", struct.pack("<iiii", 0, 1, 0, 9))
    for data, what in ((b"PK\3\4" + bytes(50), "zip archive"), (b"\x80\x04code.", "pickle"), (dumps(ARRAYS), "needs no import")):
        with pytest.raises(UserError, match=what):
            told("model", data)


def test_a_path_that_is_no_file_is_refused(tmp_path):
    with pytest.raises(UserError, match="no file of weights"):
        safetensors_format.beginning(tmp_path, 9)
    with pytest.raises(UserError, match="No such file"):
        safetensors_format.beginning(tmp_path / "none", 9)
    with open(tmp_path / "huge", "wb") as file:
        file.truncate(1 << 40)  # takes no room on the disk
    with pytest.raises(UserError, match="more than any network"):
        safetensors_format.beginning(tmp_path / "huge", 9)


def test_bfloat16_is_read(tmp_path):
    wanted = np.array([[1.0, -2.5], [3.140625, 1e-30]], np.float32)
    bits = wanted.view(np.uint32)
    assert (bits[0] & 0xFFFF == 0).all(), "the first row fits"
    data = (bits >> 16).astype("<u2").tobytes() + np.float32(7).tobytes()
    (tmp_path / "a.safetensors").write_bytes(raw({"half": {"dtype": "BF16", "shape": [2, 2], "data_offsets": [0, 8]},
                                                  "whole": {"dtype": "F32", "shape": [], "data_offsets": [8, 12]}}, data))
    read = safetensors_format.read_arrays(tmp_path / "a.safetensors", ["half", "whole"])
    assert read["half"].dtype == np.float32 and read["half"].shape == (2, 2) and read["whole"] == 7
    np.testing.assert_array_equal(read["half"], (bits & 0xFFFF0000).view(np.float32))
    np.testing.assert_allclose(read["half"], wanted, rtol=2 ** -7)


@pytest.mark.parametrize("prefix", ["", "module.", "backbone.", "model.", "module.model.", "model.backbone."])
def test_prefixes_of_wrapped_networks_are_left_out(prefix):
    names = ["conv1.weight", "layer1.0.bn1.running_var"]
    assert safetensors_format.without_prefix([prefix + name for name in names]) == {name: prefix + name for name in names}
    with_head = [prefix + name for name in names] + ["fc.weight"]
    assert safetensors_format.without_prefix(with_head, ("fc.",))["conv1.weight"] == prefix + "conv1.weight"


def test_a_prefix_that_only_some_names_have_stays():
    names = ["model.conv1.weight", "rpn.weight"]
    assert safetensors_format.without_prefix(names) == {name: name for name in names}

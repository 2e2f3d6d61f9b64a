"""Darknet's .weights format: headers, sizes, order of values, and damage."""
import struct

import numpy as np
import pytest

from gluon_bof.weights.formats import darknet as darknet_format
from gluon_bof.weights.formats.darknet import Convolution
from tests.weights.darknet_files import BACKBONE_LAYERS, HEADERS, write_zeros, yolov3


def header_of(path):
    with open(path, "rb") as file:
        return darknet_format.read_header(file)


@pytest.mark.parametrize("version, seen, size", (("0.1.0", 123, 16), ("0.2.0", 32_013_312, 20), ("0.2.5", 1 << 40, 20),
                                                 ("0.0.0", 7, 20)))
def test_headers_of_each_version(tmp_path, version, seen, size):
    path = write_zeros(tmp_path / "a.weights", yolov3(3)[1], HEADERS[version])
    assert header_of(path) == (version, seen, size, sum(layer.count() for layer in yolov3(3)[1]), "yolov3", 3)


def test_published_files_have_the_sizes_that_are_asked_for(tmp_path):
    # yolov3.weights and darknet53.conv.74 as they lie on Darknet's site
    assert 20 + 4 * sum(layer.count() for layer in yolov3(80)[1]) == 248_007_048
    assert header_of(write_zeros(tmp_path / "a", yolov3(80)[1], HEADERS["0.2.0"]))[4:] == ("yolov3", 80)
    assert 20 + 4 * sum(layer.count() for layer in yolov3(80)[1][:BACKBONE_LAYERS]) == 162_482_580
    assert header_of(write_zeros(tmp_path / "a", yolov3(80)[1][:BACKBONE_LAYERS], HEADERS["0.2.0"]))[4:] == ("darknet53", 0)


@pytest.mark.parametrize("extra", (-5000, -4, -1, 1, 2, 4, 5000))
def test_a_size_that_is_no_network_s_is_refused(tmp_path, extra):
    with pytest.raises(ValueError, match="cut or foreign|too many or too few"):
        header_of(write_zeros(tmp_path / "a", yolov3(3)[1], HEADERS["0.2.0"], extra))


@pytest.mark.parametrize("start", (b"", b"\0" * 11, HEADERS["0.2.0"][:16], b"PK\3\4" * 9, b"a text, not weights",
                                   struct.pack("<iiii", 0, 2000, 0, 0), struct.pack("<iiii", -1, 2, 0, 0)))
def test_foreign_beginnings_are_refused(tmp_path, start):
    (tmp_path / "a").write_bytes(start)
    with pytest.raises(ValueError):
        header_of(tmp_path / "a")


def test_values_go_to_their_layers():
    layers = [Convolution("a.weight", (2, 3, 1, 1), "n", None), Convolution("b.weight", (1, 2, 1, 1), None, "b.bias")]
    arrays = darknet_format.unpack(np.arange(17, dtype=np.float32), layers)
    assert {name: array.ravel().tolist() for name, array in arrays.items()} == {
        "n.beta": [0, 1], "n.gamma": [2, 3], "n.running_mean": [4, 5], "n.running_var": [6, 7],
        "a.weight": [8, 9, 10, 11, 12, 13], "b.bias": [14], "b.weight": [15, 16]}
    with pytest.raises(ValueError, match="18 values, where these layers have 17"):
        darknet_format.unpack(np.zeros(18, np.float32), layers)


def test_a_file_that_shrinks_meanwhile_is_refused(tmp_path):
    path = write_zeros(tmp_path / "a", yolov3(1)[1][:BACKBONE_LAYERS], HEADERS["0.1.0"])
    with open(path, "r+b") as file:
        header = darknet_format.read_header(file)
        file.truncate(1000)
        with pytest.raises(ValueError, match="shorter"):
            darknet_format.read_values(file, header)

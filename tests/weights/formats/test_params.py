"""MXNet's .params format against MXNet, and against damage."""
import random

import numpy as np
import pytest

from gluon_bof.backend import mx
from gluon_bof.weights.formats import params as params_format


def some_arrays():
    rng = np.random.default_rng(0)
    return {"a.weight": rng.normal(size=(4, 3, 2, 2)).astype(np.float32), "b": np.arange(5, dtype=np.int64),
            "half": np.ones((2, 2), np.float16), "bytes": np.arange(7, dtype=np.uint8), "one": np.ones(1, np.float64)}


def test_mxnet_reads_what_we_write(tmp_path):
    path = tmp_path / "ours.params"
    path.write_bytes(params_format.dumps(some_arrays()))
    loaded = mx.nd.load(str(path))
    assert list(loaded) == list(some_arrays())
    for name, array in some_arrays().items():
        assert loaded[name].dtype == array.dtype
        np.testing.assert_array_equal(loaded[name].asnumpy(), array)


def test_we_read_and_write_what_mxnet_writes(tmp_path):
    path = str(tmp_path / "theirs.params")
    mx.nd.save(path, {name: mx.nd.array(array, dtype=array.dtype) for name, array in some_arrays().items()})
    data = open(path, "rb").read()
    loaded = params_format.loads(data)
    for name, array in some_arrays().items():
        np.testing.assert_array_equal(loaded[name], array)
        assert loaded[name].dtype == array.dtype
    assert params_format.dumps(loaded) == data


def test_damage_is_an_error_and_nothing_worse():
    data = params_format.dumps(some_arrays())
    rng = random.Random(0)
    refused = 0
    for _ in range(600):
        damaged = bytearray(data)
        for _ in range(rng.randint(1, 6)):
            damaged[rng.randrange(len(damaged))] = rng.randrange(256)
        if rng.random() < 0.3:
            damaged = damaged[:rng.randrange(len(damaged))]
        try:
            params_format.loads(bytes(damaged))  # bytes of an array's values may change unseen
        except ValueError:
            refused += 1
    assert refused > 300


@pytest.mark.parametrize("data", (b"", b"\x12\x01", b"\x00" * 100, b"PK\x03\x04" + b"\x00" * 50, b"\xff" * 200))
def test_foreign_files_are_refused(data):
    with pytest.raises(ValueError):
        params_format.loads(data)


def test_bytes_after_the_end_are_refused():
    with pytest.raises(ValueError, match="follow"):
        params_format.loads(params_format.dumps(some_arrays()) + b"x")

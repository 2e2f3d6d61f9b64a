"""A file of GluonCV's that can be downloaded from a local server.

The only thing that is put in: the checksum of yolo3_mobilenet0.25_voc, a network that GluonCV has and publishes no weights of.
Its file here is bytes of no network's; tests/weights/test_zoo.py has one that GluonCV saved. Both are zipped as on its server."""
import hashlib

import numpy as np
import pytest

from gluon_bof.weights import zoo
from gluon_bof.weights.fetch import MIN_PROGRESS
from tests.weights.zoo_server import NAME, Server


@pytest.fixture(scope="session")
def params():
    """The bytes of the file: so many that a third of them is progress."""
    return np.random.default_rng(5).bytes(3 * MIN_PROGRESS + 100_000)


@pytest.fixture
def cache(params, tmp_path, monkeypatch):
    """Our empty cache folder, with the checksum of the file in GluonCV's table."""
    monkeypatch.setitem(zoo.CHECKSUMS, NAME, hashlib.sha1(params).hexdigest())
    monkeypatch.setenv("MXNET_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    return tmp_path / "home" / "models"


@pytest.fixture
def serve(monkeypatch):
    """Start a server and make it the mirror."""
    servers = []

    def start(data, *ways):
        servers.append(Server(data, *ways))
        monkeypatch.setenv("MXNET_GLUON_REPO", f"http://127.0.0.1:{servers[-1].server_port}/mirror")
        return servers[-1]

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()

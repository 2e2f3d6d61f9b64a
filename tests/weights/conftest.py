"""A model of GluonCV's that can be downloaded from a local server.

The only thing that is put in: the checksum of yolo3_mobilenet0.25_voc, a network that GluonCV has and publishes no weights of.
Its file here is a random network's that GluonCV saved, zipped as on GluonCV's server."""
import hashlib

import pytest

from gluon_bof.backend import autograd, mx
from gluon_bof.models.yolo3.network import build_yolo3
from gluon_bof.weights import zoo
from gluon_bof.weights.load import set_weights, weights_of
from tests.weights.zoo_server import NAME, Server

from gluoncv.model_zoo import get_model


@pytest.fixture(scope="module")
def official():
    """GluonCV's network with random weights and the running statistics of noise, so that hardly two scores are the same."""
    mx.random.seed(5)
    network = get_model(NAME, pretrained=False, pretrained_base=False)
    ours = build_yolo3("mobilenet0.25", network.classes)  # whose training mode needs no targets
    ours.initialize(mx.init.Xavier())
    for _ in range(20):  # MXNet moves the statistics in the backward pass
        with autograd.record():
            raw = ours(mx.nd.random.uniform(-2, 2, (2, 3, 64, 64)))
        raw.backward()
    network.initialize()
    network(mx.nd.zeros((1, 3, 64, 64)))
    mx.nd.waitall()
    set_weights(network, weights_of(ours), "ours")
    return network


@pytest.fixture(scope="module")
def params(official, tmp_path_factory):
    """The bytes that GluonCV saves of it."""
    path = tmp_path_factory.mktemp("official") / "a.params"
    official.save_parameters(str(path))
    return path.read_bytes()


@pytest.fixture
def cache(params, tmp_path, monkeypatch):
    """Our empty cache folder, with the checksum of the random network's file in GluonCV's table."""
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

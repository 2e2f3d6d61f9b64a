"""GluonCV's models by name against GluonCV; downloads from a real local server with every fault that servers have.

The only thing that is put in: the checksum of yolo3_mobilenet0.25_voc, a network that GluonCV has and publishes no weights of.
Its file here is a random network's that GluonCV saved, zipped as on GluonCV's server."""
import functools
import hashlib
import http.server
import io
import json
import os
import struct
import subprocess
import sys
import threading
import time
import zipfile
from pathlib import Path

import numpy as np
import pytest

from gluon_bof.backend import autograd, mx
from gluon_bof.commands.evaluate import main as evaluate
from gluon_bof.data.sets import class_names
from gluon_bof.errors import UserError
from gluon_bof.models.build import build_network, eval_transform
from gluon_bof.models.yolo3.network import build_yolo3
from gluon_bof.options.faster_rcnn import FasterRcnnOptions
from gluon_bof.weights import resolve, zoo
from gluon_bof.weights.formats.params import dumps
from gluon_bof.weights.load import checksum, load_weights, set_weights, structured_parameters, weights_of
from gluon_bof.weights.resolve import read_options

from gluoncv.model_zoo import get_model, get_model_list
from gluoncv.model_zoo.model_store import get_model_file

NAME = "yolo3_mobilenet0.25_voc"
QUICK = ("yolo3_mobilenet0.25_voc", "yolo3_mobilenet0.25_coco", "faster_rcnn_fpn_resnet50_v1b_coco",
         "faster_rcnn_fpn_syncbn_resnet50_v1b_coco")
ALL = [name for name in get_model_list() if name.startswith(("yolo3_", "faster_rcnn_")) and not name.endswith("_custom")]


# what they are

@pytest.mark.parametrize("name", [name if name in QUICK else pytest.param(name, marks=pytest.mark.slow) for name in ALL])
def test_a_name_builds_exactly_gluoncvs_network(name):
    official = get_model(name, pretrained=False, pretrained_base=False, **({"num_devices": 1} if "syncbn" in name else {}))
    official.infer_shape(mx.nd.zeros((1, 3, 416, 416)))  # on small images GluonCV's Faster R-CNN fails
    options = read_options("a.params", dict(zoo.options_of(name), pretrained_base="no"))[0]
    ours = build_network(options, class_names(options.classes), [mx.cpu()])
    assert list(ours.classes) == list(official.classes)
    assert ({key: parameter.shape for key, parameter in structured_parameters(ours).items()}
            == {key: parameter.shape for key, parameter in structured_parameters(official).items()})
    for attribute in ("nms_thresh", "nms_topk", "post_nms") + (("max_size", "_rpn_test_post_nms", "_strides", "_roi_size")
                                                               if isinstance(options, FasterRcnnOptions) else ()):
        assert getattr(ours, attribute) == getattr(official, attribute), attribute
    assert eval_transform(options).size == (np.max(official.short) if isinstance(options, FasterRcnnOptions) else 416)


def test_every_published_detector_of_these_kinds_can_be_had():
    assert set(zoo.published()) == {name for name in zoo.CHECKSUMS if name.startswith(("yolo3_", "faster_rcnn_"))}
    for name in ALL:
        assert zoo.is_name(name) and zoo.options_of(name)["network"] in name


@pytest.mark.parametrize("name", ("ssd_512_resnet50_v1_voc", "yolo3_darknet53_custom", "darknet53", "yolo3_darknet_voc",
                                  "faster_rcnn_fpn_resnet50_v1b_voc", "yolo3_darknet53_voc_best"))
def test_other_names_are_refused_with_those_that_there_are(name):
    assert zoo.is_name(name)
    for use in (zoo.fetch, zoo.options_of):
        with pytest.raises(UserError, match=f"'{name}'.*yolo3_darknet53_voc") as refusal:
            use(name)
        assert "\n" not in str(refusal.value)


@pytest.mark.parametrize("text", ("street", "a.params", "yolo3_darknet53_voc-f5ece5ce.params", "runs/yolo3_darknet53_voc", ""))
def test_paths_are_no_names(text):
    assert not zoo.is_name(text)


def test_names_of_files_tell_of_their_networks():
    told = zoo.parse_name("/a/faster_rcnn_fpn_syncbn_resnest50_coco_best.params")
    assert (told["network"], told["use_fpn"], told["norm_layer"]) == ("resnest50", True, "syncbn")
    assert zoo.parse_name("yolo3_darknet53_voc-f5ece5ce.params") == zoo.options_of("yolo3_darknet53_voc")
    for foreign in ("best.params", "yolo3_mobilenet2_voc.params", "yolo3_fpn_darknet53_voc.params", "faster_rcnn_vgg16_voc"):
        assert zoo.parse_name(foreign) == {}


# where they come from

class Server(http.server.ThreadingHTTPServer):
    """Serves `data` for any path as the next word of `ways` says, at last as the only one left; `ranges` keeps what was asked."""

    daemon_threads = True

    def __init__(self, data, *ways):
        super().__init__(("127.0.0.1", 0), Handler)
        self.data, self.ways, self.ranges, self.paths = data, list(ways) or ["whole"], [], []
        threading.Thread(target=self.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()

    def next_way(self):
        return self.ways.pop(0) if len(self.ways) > 1 else self.ways[0]

    def handle_error(self, request, client_address):
        """Clients that leave early are meant to."""


class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        server, asked = self.server, self.headers.get("Range")
        server.ranges.append(asked)
        server.paths.append(self.path)
        way, data = server.next_way(), server.data
        word, _, number = way.partition(" ")
        if word in ("404", "503"):
            return self.send_error(int(word))
        if word == "stall":
            return time.sleep(float(number))
        first = int(asked[len("bytes="):-1]) if asked and word != "rangeless" else 0
        if first >= len(data):
            self.send_response(416)
            self.send_header("Content-Range", f"bytes */{len(data)}")
            return self.end_headers()
        self.send_response(206 if first else 200)
        if first:
            start = first + 7 if word == "shifted" else first
            self.send_header("Content-Range", f"bytes {start}-{len(data) - 1}/{len(data)}")
        if word != "lengthless":
            self.send_header("Content-Length", number if word == "claims" else str(len(data) - first))
        self.end_headers()
        if word == "slow":
            for begin in range(first, len(data), 1 << 16):
                self.wfile.write(data[begin:begin + (1 << 16)])
                time.sleep(float(number) * (1 << 16) / len(data))
            return None
        return self.wfile.write(data[first:first + int(number)] if word == "cut" else data[first:])

    def log_message(self, *arguments):
        """Quiet."""


def zipped(members):
    held = io.BytesIO()
    with zipfile.ZipFile(held, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return held.getvalue()


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


def stem(params):
    return f"{NAME}-{hashlib.sha1(params).hexdigest()[:8]}"


@functools.lru_cache(maxsize=1)
def archive(params):
    return zipped({f"{stem(params)}.params": params})


def fetch():
    return Path(zoo.fetch(NAME, timeout=0.5, pause=0.01))


def left(cache):
    """Files in the cache but for the lock, which stays."""
    return sorted(path.name for path in cache.iterdir() if path.suffix != ".lock")


def test_a_model_is_downloaded_once_and_gives_gluoncvs_bits(official, params, cache, serve, capfd):
    server = serve(archive(params))
    path = fetch()
    assert path == cache / f"{stem(params)}.params" and path.read_bytes() == params
    assert server.paths == [f"/mirror/gluon/models/{stem(params)}.zip"] and left(cache) == [path.name]
    server.shutdown()
    assert fetch() == path and get_model_file(NAME) == str(path)  # GluonCV takes it too, without a network
    assert capfd.readouterr().out == ""

    options, found, run = resolve.find(NAME)
    assert (found, run) == (str(path), None)
    ours = build_network(read_options(found, dict(zoo.options_of(NAME), pretrained_base="no"))[0],
                         class_names(options.classes), [mx.cpu()])
    load_weights(ours, found)
    x = mx.nd.random.uniform(-2, 2, (2, 3, 96, 96))
    with autograd.train_mode():
        raw = ours(x)
        _, _, _, _, centres, scales, objectness, classes = official(x)
    np.testing.assert_array_equal(raw.asnumpy(), mx.nd.concat(centres, scales, objectness, classes, dim=2).asnumpy())
    scores = official(x)[1].asnumpy()
    assert all(len(np.unique(of_one)) == of_one.size for of_one in scores)  # equal ones have no order
    for mine, theirs in zip(ours(x), official(x)):
        np.testing.assert_array_equal(mine.asnumpy(), theirs.asnumpy())


def test_what_gluoncv_has_downloaded_is_taken(params, cache, serve):
    server = serve(archive(params))
    path = get_model_file(NAME)
    assert str(fetch()) == path and len(server.paths) == 1


def test_a_download_that_is_cut_goes_on_where_it_stopped(params, cache, serve, capfd):
    data = archive(params)
    third = len(data) // 3
    server = serve(data, f"cut {third}", f"cut {third}", "whole")
    assert fetch().read_bytes() == params
    assert server.ranges == [None, f"bytes={third}-", f"bytes={2 * third}-"]
    assert "it ended after" in capfd.readouterr().err and left(cache) == [f"{stem(params)}.params"]


def test_a_later_process_goes_on_too(params, cache, serve):
    data = archive(params)
    cache.mkdir(parents=True)
    (cache / f"{stem(params)}.zip.part").write_bytes(data[:1000])
    server = serve(data)
    assert fetch().read_bytes() == params and server.ranges == ["bytes=1000-"]


@pytest.mark.parametrize("ways", [("cut 5000", "rangeless"), ("cut 5000", "shifted", "whole"), ("503", "503", "whole"),
                                  ("stall 1", "whole"), ("lengthless",)])
def test_what_servers_do_is_borne(params, cache, serve, ways):
    serve(archive(params), *ways)
    assert fetch().read_bytes() == params and left(cache) == [f"{stem(params)}.params"]


@pytest.mark.parametrize("begun", ("foreign", "whole", "too long"))
def test_a_beginning_of_something_else_is_thrown_away(params, cache, serve, begun):
    data = archive(params)
    cache.mkdir(parents=True)
    (cache / f"{stem(params)}.zip.part").write_bytes({"foreign": b"x" * 4000, "whole": data, "too long": data + b"x"}[begun])
    server = serve(data)
    assert fetch().read_bytes() == params
    assert server.ranges == {"foreign": ["bytes=4000-", None], "whole": [f"bytes={len(data)}-"],
                             "too long": [f"bytes={len(data) + 1}-", None]}[begun]


@pytest.mark.parametrize("ways, reason", [(("404",), "HTTP 404"), (("503",), "HTTP 503"), (("stall 1",), "no answer in time"),
                                          (("cut 4000",), "ended after"), (("claims 3000000000",), "3000000000 bytes")])
def test_a_server_that_does_not_serve_is_one_line(params, cache, serve, ways, reason):
    server = serve(archive(params), *ways)
    begun = time.monotonic()
    with pytest.raises(UserError, match=reason) as refusal:
        fetch()
    assert time.monotonic() - begun < 10 and len(server.paths) <= 4
    message = str(refusal.value)
    assert "\n" not in message and f"{stem(params)}.zip" in message
    assert str(cache) in message and "MXNET_GLUON_REPO" in message
    assert not list(cache.glob("*.params"))


@pytest.mark.parametrize("mirror", ("http://127.0.0.1:9", "http://nowhere.invalid", "no address", "file:///nowhere"))
def test_without_a_network_one_line_says_what_to_do(params, cache, monkeypatch, mirror):
    monkeypatch.setenv("MXNET_GLUON_REPO", mirror)
    with pytest.raises(UserError, match="cannot be downloaded.*MXNET_GLUON_REPO"):
        fetch()
    with pytest.raises(UserError, match="--pretrained-base no"):
        zoo.fetch_backbone("darknet53", timeout=0.5, pause=0.01)


def with_size(data, size):
    """The zip with another size of its last member in its directory."""
    at = data.rindex(b"PK\x01\x02") + 24
    return data[:at] + struct.pack("<I", size) + data[at + 4:]


def hostile(kind, params):
    name = f"{stem(params)}.params"
    changed = params[:-1] + bytes([params[-1] ^ 1])
    return {"no zip": lambda: b"<html>sign in</html>" * 100, "cut zip": lambda: archive(params)[:-3000],
            "other bytes": lambda: zipped({name: changed}), "no member": lambda: zipped({"a.params": b"x"}),
            "elsewhere": lambda: zipped({f"../{name}": b"x", f"/{name}": b"x"}),
            "bomb": lambda: with_size(archive(params), 0xFFFFFFF0)}[kind]()


@pytest.mark.parametrize("kind", ("no zip", "cut zip", "other bytes", "no member", "elsewhere", "bomb"))
def test_wrong_bytes_are_refused_and_leave_nothing(params, cache, serve, kind):
    serve(hostile(kind, params))
    with pytest.raises(UserError, match="is not the file that GluonCV published"):
        fetch()
    assert left(cache) == [] and sorted(path.name for path in cache.parent.rglob("*")) == ["models", f"{stem(params)}.lock"]


def test_only_the_wanted_member_is_taken_out(params, cache, serve):
    serve(zipped({"../evil.params": b"x", f"{stem(params)}.params": params, "/tmp/evil": b"x", "more.txt": b"x"}))
    assert fetch().read_bytes() == params and left(cache) == [f"{stem(params)}.params"]
    assert not (cache.parent / "evil.params").exists()


def test_a_damaged_file_in_the_cache_is_fetched_again(params, cache, serve, capfd):
    cache.mkdir(parents=True)
    (cache / f"{stem(params)}.params").write_bytes(params[:-1])
    serve(archive(params))
    assert fetch().read_bytes() == params
    assert "another checksum" in capfd.readouterr().err


def test_a_folder_is_a_mirror_and_a_zip_may_be_copied_by_hand(params, cache, tmp_path, monkeypatch, capfd):
    monkeypatch.setenv("MXNET_GLUON_REPO", f"file://{tmp_path / 'mirror'}/")
    place = tmp_path / "mirror" / "gluon" / "models"
    place.mkdir(parents=True)
    (place / f"{stem(params)}.zip").write_bytes(archive(params))
    path = fetch()
    assert path.read_bytes() == params
    path.unlink()
    (place / f"{stem(params)}.zip").rename(cache / f"{stem(params)}.zip")
    assert fetch().read_bytes() == params
    path.unlink()
    (cache / f"{stem(params)}.zip").write_bytes(archive(params)[:-1000])
    with pytest.raises(UserError, match="cannot be downloaded"):
        fetch()
    assert ".zip is not the file that GluonCV published" in capfd.readouterr().err


def test_a_cache_that_cannot_be_made_is_the_users_to_mend(params, cache, serve):
    serve(archive(params))
    cache.parent.write_text("a file stands there")
    with pytest.raises(UserError, match="MXNET_HOME"):
        fetch()


def test_processes_that_fetch_at_once_download_once(params, cache, serve, capfd):
    server = serve(archive(params), "slow 2")
    program = (f"from gluon_bof.weights import zoo; zoo.CHECKSUMS[{NAME!r}] = {hashlib.sha1(params).hexdigest()!r}; "
               f"print(zoo.fetch({NAME!r}))")
    other = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True)
    while not server.paths and other.poll() is None:
        time.sleep(0.05)
    path = fetch()
    assert "waiting for another process" in capfd.readouterr().err
    assert other.communicate(timeout=60)[0].strip() == str(path) and path.read_bytes() == params
    assert len(server.paths) == 1 and left(cache) == [path.name]


def test_a_killed_download_leaves_what_the_next_one_needs(params, cache, serve):
    data = archive(params)
    server = serve(data, "slow 60", "whole")
    program = (f"from gluon_bof.weights import zoo; zoo.CHECKSUMS[{NAME!r}] = {hashlib.sha1(params).hexdigest()!r}; "
               f"zoo.fetch({NAME!r})")
    killed = subprocess.Popen([sys.executable, "-c", program], stderr=subprocess.DEVNULL)
    part = cache / f"{stem(params)}.zip.part"
    while killed.poll() is None and not (part.exists() and part.stat().st_size):
        time.sleep(0.05)
    killed.kill()
    killed.wait()
    assert fetch().read_bytes() == params and len(server.ranges) == 2 and server.ranges[1] is not None


def test_what_pretrained_base_may_be(params, cache, serve, tmp_path, monkeypatch):
    serve(archive(params))
    assert resolve.backbone_weights(NAME, "mobilenet0.25") == str(cache / f"{stem(params)}.params")
    assert resolve.backbone_weights("my.params", "darknet53") == "my.params"
    backbone = b"a backbone"
    digest = hashlib.sha1(backbone).hexdigest()
    monkeypatch.setitem(zoo.CHECKSUMS, "darknet53", digest)
    serve(zipped({f"darknet53-{digest[:8]}.params": backbone}))
    for word in ("yes", "darknet53"):
        assert Path(resolve.backbone_weights(word, "darknet53")).read_bytes() == backbone
    with pytest.raises(UserError, match="'resnet152'.*resnet50_v1b"):
        zoo.fetch_backbone("resnet152")


def test_shipped_weights_are_checked(tmp_path):
    place = tmp_path / "yolo3_shapes"
    with pytest.raises(UserError, match="own weights.*No such file"):
        zoo.shipped(str(place))
    Path(f"{place}.params").write_bytes(dumps({"a": np.ones(3, np.float32)}))
    Path(f"{place}.json").write_text(json.dumps({"sha256": checksum(f"{place}.params"), "options": {"network": "darknet53"}}))
    path, about = zoo.shipped(str(place))
    assert path == f"{place}.params" and about["options"] == {"network": "darknet53"}
    Path(path).write_bytes(dumps({"a": np.zeros(3, np.float32)}))
    with pytest.raises(UserError, match="checksum"):
        zoo.shipped(str(place))


def test_the_shipped_model_is_small_and_builds():
    options, path, _ = resolve.find("shapes")
    assert os.path.getsize(path) <= 8e6 and 0 < zoo.shipped()[1]["map"] <= 1
    load_weights(build_network(options, class_names(options.classes), [mx.cpu()]), path)
    assert resolve.find(path)[0] == options


def test_the_shipped_model_is_as_good_as_it_says(capsys):
    evaluate(["shapes", "--gpus", ""])
    outcome = json.loads(capsys.readouterr().out)
    assert outcome["map"] == pytest.approx(zoo.shipped()[1]["map"], abs=0.005) and outcome["images"] == 250


def test_a_run_or_file_goes_before_a_name(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("yolo3_darknet53_voc").mkdir()
    with pytest.raises(UserError, match="not a run's folder"):
        resolve.find("yolo3_darknet53_voc")
    Path("yolo3_darknet53_voc/config.json").write_text(json.dumps({"options": {"network": "mobilenet0.25", "dataset": "x"}}))
    for weights in ("yolo3_darknet53_voc", "yolo3_darknet53_voc/yolo3_darknet53_voc_best.params"):
        options, path, run = resolve.find(weights)
        assert (options.network, options.dataset) == ("mobilenet0.25", "x")
        assert os.path.abspath(run) == os.path.dirname(os.path.abspath(path)) == str(tmp_path / "yolo3_darknet53_voc")
        assert options.classes == os.path.join(run, "classes.txt")
    Path("yolo3_mobilenet1.0_coco_best.params").write_bytes(b"")
    options, path, run = resolve.find("yolo3_mobilenet1.0_coco_best.params", {"data_shape": 320})
    assert (options.network, options.data_shape, options.dataset, run) == ("mobilenet1.0", 320, "coco", None)
    assert len(class_names(options.classes)) == 80

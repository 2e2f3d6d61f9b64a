"""Downloads from a real local server with every fault that servers have."""
import hashlib
import struct
import subprocess
import sys
import time

import pytest

from gluon_bof.errors import UserError
from gluon_bof.weights import zoo
from gluon_bof.weights.fetch import gluoncv_folder
from tests.weights.zoo_server import NAME, archive, fetch, left, stem, zipped

from gluoncv.model_zoo.model_store import get_model_file


def test_a_file_that_gluoncv_has_downloaded_is_taken(params, cache, serve):
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


def test_a_later_process_goes_on_where_a_download_stopped(params, cache, serve):
    data = archive(params)
    cache.mkdir(parents=True)
    (cache / f"{stem(params)}.zip.part").write_bytes(data[:1000])
    server = serve(data)
    assert fetch().read_bytes() == params and server.ranges == ["bytes=1000-"]


@pytest.mark.parametrize("ways", [("cut 5000", "rangeless"), ("cut 5000", "shifted", "whole"), ("503", "503", "whole"),
                                  ("stall 1", "whole"), ("lengthless",)])
def test_servers_that_cut_stall_or_ignore_ranges_are_borne_with(params, cache, serve, ways):
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
        fetch(0.2 if "stall 1" in ways else 0.5)
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
        zoo.download_backbone("darknet53", timeout=0.5, pause=0.01)


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


def test_a_damaged_file_in_the_cache_is_fetched_again(params, cache, serve, caplog):
    cache.mkdir(parents=True)
    (cache / f"{stem(params)}.params").write_bytes(params[:-1])
    serve(archive(params))
    assert fetch().read_bytes() == params
    assert "another checksum" in caplog.text


def test_a_folder_is_a_mirror_and_a_zip_may_be_copied_by_hand(params, cache, tmp_path, monkeypatch, caplog):
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
    assert ".zip is not the file that GluonCV published" in caplog.text


def test_a_home_that_there_is_not_is_the_users_to_mend(monkeypatch):
    monkeypatch.setenv("MXNET_HOME", "~nobody-here/.mxnet")
    with pytest.raises(UserError, match="set HOME or MXNET_HOME"):
        gluoncv_folder()


def test_a_cache_that_cannot_be_made_is_the_users_to_mend(params, cache, serve):
    serve(archive(params))
    cache.parent.write_text("a file stands there")
    with pytest.raises(UserError, match="MXNET_HOME"):
        fetch()


@pytest.mark.slow  # processes and a server of their own
def test_processes_that_fetch_at_once_download_once(params, cache, serve, capfd):
    server = serve(archive(params), "slow 2")
    program = (f"from gluon_bof.weights import zoo; zoo.CHECKSUMS[{NAME!r}] = {hashlib.sha1(params).hexdigest()!r}; "
               f"print(zoo.download({NAME!r}))")
    other = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True)
    while not server.paths and other.poll() is None:
        time.sleep(0.05)
    path = fetch()
    assert "waiting for another process" in capfd.readouterr().err
    assert other.communicate(timeout=60)[0].strip() == str(path) and path.read_bytes() == params
    assert len(server.paths) == 1 and left(cache) == [path.name]


def test_a_killed_download_leaves_what_the_next_one_needs(params, cache, serve):
    data = archive(params)
    server = serve(data, "slow 20", "whole")
    program = (f"from gluon_bof.weights import zoo; zoo.CHECKSUMS[{NAME!r}] = {hashlib.sha1(params).hexdigest()!r}; "
               f"zoo.download({NAME!r})")
    killed = subprocess.Popen([sys.executable, "-c", program], stderr=subprocess.DEVNULL)
    part = cache / f"{stem(params)}.zip.part"
    while killed.poll() is None and not (part.exists() and part.stat().st_size):
        time.sleep(0.05)
    killed.kill()
    killed.wait()
    assert fetch().read_bytes() == params and len(server.ranges) == 2 and server.ranges[1] is not None

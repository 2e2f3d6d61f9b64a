"""A real local server of zipped weights with every fault that servers have, what it serves, zipped, and how tests fetch it."""
import functools
import hashlib
import http.server
import io
import threading
import time
import zipfile
from pathlib import Path

from gluon_bof.weights import zoo

NAME = "yolo3_mobilenet0.25_voc"


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


def stem(params):
    return f"{NAME}-{hashlib.sha1(params).hexdigest()[:8]}"


@functools.lru_cache(maxsize=1)
def archive(params):
    return zipped({f"{stem(params)}.params": params})


def fetch(timeout=0.5):
    return Path(zoo.download(NAME, timeout=timeout, pause=0.01))


def left(cache):
    """Files in the cache but for the lock, which stays."""
    return sorted(path.name for path in cache.iterdir() if path.suffix != ".lock")

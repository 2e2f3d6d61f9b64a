"""onnxruntime in MXNet's place, on our own export of a detector; and an engine that takes the faster of the two.

An export is kept in the cache folder, under the checksum of the weights, the graph with its NMS settings, the size of the
images and the versions of whatever wrote it. At its first use in a process it is compared with MXNet on the images at hand:
scores and masks within 1e-4, boxes within 0.05 pixels, as `inference.agreement` has it."""
from __future__ import annotations

import contextlib
import hashlib
import importlib.util
import json
import math
import os
import statistics
import time
from collections import Counter, OrderedDict
from typing import TYPE_CHECKING, Any, Callable, Sequence

import numpy as np

from gluon_bof._version import __version__
from gluon_bof.backend import mx
from gluon_bof.errors import UserError, remedied_by, warn
from gluon_bof.files import ABANDONED, cache_folder, write_atomically
from gluon_bof.inference.agreement import check_onnx, outputs_of
from gluon_bof.inference.engines import arrays
from gluon_bof.inference.export import EXPORTER, INPUT, graph_of, onnx_bytes, quiet_session, require_onnx
from gluon_bof.locks import fork_safe_lock

if TYPE_CHECKING:
    from gluon_bof.inference.detector import Detector

NAMES = ("auto", "mxnet", "onnx")
FOLDER = "engines"  # of the cache
MOST_SIZES = 8  # sizes whose graphs are kept in memory
MOST_FILES = 20  # in the cache
DIGEST_BYTES = 32  # of SHA-256, behind an export in the cache
COMPARED = 4  # images of the first batch that are compared
IN_ITS_PLACE = "give --engine mxnet"
# What `auto` reckons with. An export takes some seconds and more of a large network; onnxruntime rarely saves more than half
EXPORTING, EXPORTING_MILLION = 5.0, 1.0  # seconds, and seconds a million parameters
OPENING = 1.0  # seconds, of one that is in the cache
SAVED = 0.3  # of the time that is left: what has to be worth the export
RUNS = 3  # of MXNet before it is decided, and of both sides when they are compared
_opening = fork_safe_lock()  # of exports, each of which one thread makes for all


class OnnxEngine:
    """The detector's export for each size of images, in onnxruntime on the CPU. digest: SHA-256 of its weights' file.

    Raises UserError where the packages are missing and for a detector on a GPU; a call also as `export_onnx` does, and where the
    two disagree."""

    name = "onnx"

    def __init__(self, detector: Detector, digest: str):
        if detector.device.device_type != "cpu":
            raise UserError(f"--engine onnx computes on the CPU, not on {detector.device}", remedy="give --device cpu as well")
        require_onnx(IN_ITS_PLACE)
        self.detector = detector
        self.digest = digest
        self.sessions = OrderedDict()
        self.graphs = {}

    def __call__(self, images: Any) -> Sequence[np.ndarray]:
        images = images if isinstance(images, np.ndarray) else images.asnumpy()
        key = images.shape[1:3], self._nms()
        run = self.sessions.get(key) or self._open(key, images)
        with contextlib.suppress(KeyError):  # another thread has just opened the last one that is kept
            self.sessions.move_to_end(key)
        return run(images)

    def expect(self, images: int) -> None:
        """So many images are to come: nothing depends on it."""

    def path(self, size: Sequence[int]) -> str:
        """Where the export for images of this size (H, W) is kept."""
        import onnxruntime

        nms = self._nms()
        if nms not in self.graphs:
            self.graphs[nms] = graph_of(self.detector)
        about = {"weights": self.digest, "graph": self.graphs[nms], "size": list(map(int, size)), "nms": nms,
                 "versions": [EXPORTER, __version__, mx.__version__, onnxruntime.__version__]}
        key = hashlib.sha256(json.dumps(about, sort_keys=True).encode()).hexdigest()
        return os.path.join(cache_folder(), FOLDER, f"{key[:32]}.onnx")

    def _nms(self):
        """The network's settings of suppression, which may be set at any time."""
        network = self.detector.network
        return float(network.nms_thresh), int(network.nms_topk), int(network.post_nms)

    def _open(self, key, images):
        with _opening:
            if key not in self.sessions:
                self.sessions[key] = self._opened(key[0], images)
            if len(self.sessions) > MOST_SIZES:
                self.sessions.popitem(last=False)
            return self.sessions[key]

    def _opened(self, size, images):
        """What runs the export, from the cache or new, once it is compared with MXNet; a new one is kept then."""
        path = self.path(size)
        data = _kept(path)
        drawn = data is None  # an export is also compared on drawn images when it is made
        if drawn:
            with remedied_by(IN_ITS_PLACE):
                data = onnx_bytes(self.detector, size)
        run = _session(data, path, outputs_of(self.detector))
        try:
            check_onnx(self.detector, run, size, images[:COMPARED], path, IN_ITS_PLACE, drawn)
        except UserError:
            _remove(path)
            raise
        if drawn:  # kept once it has been compared: a process may be killed meanwhile
            _keep(path, data)
        return run


def _keep(path, data):
    """Write an export, its SHA-256 behind it, into the cache, or warn: it works without one."""
    try:
        os.makedirs(os.path.dirname(path), exist_ok=True)
        write_atomically(path, [data, hashlib.sha256(data).digest()])
        _keep_few(os.path.dirname(path))
    except (OSError, UserError) as error:
        why = error.problem if isinstance(error, UserError) else error.strerror
        warn(f"{os.path.dirname(path)}: the export is not kept for the next time ({why})")


def _kept(path):
    """The export in the cache, None without one. One that is not as it was written goes, and is named: the next run writes it
    again."""
    try:
        with open(path, "rb") as file:
            content = file.read()
    except OSError:
        return None
    data, digest = content[:-DIGEST_BYTES], content[-DIGEST_BYTES:]
    if hashlib.sha256(data).digest() != digest:
        raise _damaged(path)
    with contextlib.suppress(OSError):  # the cache may be another user's
        os.utime(path)
    return data


def _remove(path):
    with contextlib.suppress(OSError):  # never kept, already gone, or another user's: then the comparison refuses it again
        os.unlink(path)


def _damaged(path):
    _remove(path)
    return UserError("this export in the cache was damaged, and is removed", path, "start again")


def _session(data, path, names) -> Callable[[np.ndarray], list]:
    """A function from images to an export's outputs of these names; onnxruntime's faults are UserErrors that name its file."""
    try:
        session = quiet_session(data)
    except Exception:  # onnxruntime's own kinds, which have no common parent
        raise _damaged(path) from None

    def run(images):
        try:
            return session.run(names, {INPUT: np.ascontiguousarray(images)})
        except Exception as error:
            raise UserError(f"onnxruntime cannot run this export ({error})", path, IN_ITS_PLACE) from None

    return run


def _keep_few(folder):
    """Remove the exports that have not been used for the longest time, and what a killed process had begun."""
    used = {}
    for name in os.listdir(folder):
        with contextlib.suppress(OSError):  # another process has just removed it
            used[os.path.join(folder, name)] = os.path.getmtime(os.path.join(folder, name))
    exports = sorted((path for path in used if path.endswith(".onnx")), key=used.get)
    begun = [path for path in used if path.endswith(".part") and time.time() - used[path] > ABANDONED]
    for path in exports[:-MOST_FILES] + begun:
        _remove(path)


class AutoEngine:
    """MXNet; for images of a size of which many are to come, the faster of it and onnxruntime, measured on some of them.

    Their detections are the same to 1e-4 in scores and masks, and 0.05 pixels in boxes. It stays with MXNet where the packages
    of onnxruntime are missing, the detector is on a GPU, or the export fails or disagrees, of which it warns."""

    def __init__(self, detector: Detector, digest: str):
        self.mxnet = detector.engine
        self.detector = detector
        self.digest = digest
        # the packages themselves are imported when they are worth it
        self.possible = detector.device.device_type == "cpu" and all(map(importlib.util.find_spec, ("onnx", "onnxruntime")))
        self.other = None
        self.chosen = {}  # {size: engine}
        self.times = {}  # {size: [seconds an image]}
        self.seen = Counter()
        self.to_come = 0

    @property
    def name(self) -> str:
        """"onnx" where it has been chosen for some size, else "mxnet"."""
        return "onnx" if self.other is not None and self.other in self.chosen.values() else "mxnet"

    def expect(self, images: int) -> None:
        """So many images are to come; without being told it expects as many as it has seen."""
        self.to_come = images

    def __call__(self, images: Any) -> Sequence[Any]:
        size = tuple(images.shape[1:3])
        self.to_come = max(0, self.to_come - len(images))
        if not self.possible or size in self.chosen:
            return self._by(self.chosen.get(size, self.mxnet), images)
        began = time.perf_counter()
        found = arrays(self.mxnet(images))
        self.times.setdefault(size, []).append((time.perf_counter() - began) / len(images))
        self.seen[size] += len(images)
        if len(self.times[size]) > RUNS:  # the first run is slower
            with _opening:
                if size not in self.chosen and self._pays(size):
                    self.chosen[size] = self._faster(images if isinstance(images, np.ndarray) else images.asnumpy())
        return found

    def _by(self, engine, images):
        try:
            return engine(images)
        except UserError as error:  # of an export, which is made anew when suppression is set otherwise
            warn(f"the network stays with MXNet: {error}")
            self.chosen[tuple(images.shape[1:3])] = self.mxnet
            return self.mxnet(images)

    def _pays(self, size):
        share = self.seen[size] / sum(self.seen.values())
        saved = SAVED * max(self.seen[size], self.to_come * share) * statistics.median(self.times[size][1:])
        return saved > OPENING and saved > self._cost(size)

    def _cost(self, size):
        """Seconds until an image of this size is seen by onnxruntime."""
        try:
            self.other = self.other or OnnxEngine(self.detector, self.digest)
        except UserError:  # a package is there, but not what it needs
            self.possible = False
            return math.inf
        if os.path.exists(self.other.path(size)):
            return OPENING
        parameters = sum(np.prod(parameter.shape) for parameter in self.detector.network.collect_params().values())
        return EXPORTING + EXPORTING_MILLION * parameters / 1e6

    def _faster(self, images):
        sides = {self.mxnet: [], self.other: []}
        try:
            self.other(images)  # exports, compares, and is slower the first time
        except UserError as error:
            warn(f"the network stays with MXNet: {error}")
            return self.mxnet
        for _ in range(RUNS):
            for side, seconds in sides.items():
                began = time.perf_counter()
                arrays(side(images))
                seconds.append(time.perf_counter() - began)
        return min(sides, key=lambda side: statistics.median(sides[side]))


def engine_of(name: str, detector: Detector, digest: str) -> Any:
    """The engine of this name for a detector with these weights. Raises UserError for another name, and as `OnnxEngine` does."""
    if name not in NAMES:
        raise UserError(f"--engine {name!r} is not known", remedy=f"choose {', '.join(NAMES)}")
    if name == "mxnet":
        return detector.engine
    return (OnnxEngine if name == "onnx" else AutoEngine)(detector, digest)

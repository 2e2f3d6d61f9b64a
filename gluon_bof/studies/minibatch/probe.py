"""How far the gradient of each mini-batch is from the full gradient (Algorithm 1), all at the same parameters.

Two passes need the mean gradient in float64 and nothing for each mini-batch; the paper's way keeps every gradient on disk; a
sketch needs one pass. Sums are in float64 throughout: a distance is the root of the sum of squared differences, never the
difference of two large sums, but for the sketch."""
from __future__ import annotations

import os
import shutil
import tempfile
from typing import Callable, Iterable, Iterator, NamedTuple

import numpy as np

from gluon_bof.errors import UserError
from gluon_bof.studies.minibatch.gradients import PIECE, Gradients
from gluon_bof.studies.minibatch.sketch import Sketch

Batches = Callable[[], Iterable[tuple]]
WIDTH = 16384  # of the sketch
ROOM_LEFT = 1 << 28  # bytes that a cache leaves on the disk
CACHE = "gradients-"  # begins the names of a cache's folders


class Stopped(Exception):
    """The probe was asked to stop; it leaves nothing."""


class NotFinite(UserError):
    """A gradient that is no number, or beyond what float32 holds: nothing can be said of distances."""


class Parts(NamedTuple):
    """Of K mini-batches and each of their gradient's blocks, (K, blocks) float64: squared distance to the full gradient, squared
    norm, product with the full gradient; full: (blocks,) the full gradient's squared norm. Of losses' means over images."""

    distance: np.ndarray
    norm: np.ndarray
    product: np.ndarray
    full: np.ndarray


class Probe:
    """Measures one network's gradients by one of the methods. should_stop: asked before every mini-batch.

    cache: folder for --probe cache. `mean` is the full gradient of the last measurement, of the sum over a mini-batch's images,
    (P,) float64."""

    def __init__(self, gradients: Gradients, method: str = "two-pass", cache: str | None = None, width: int = WIDTH,
                 should_stop: Callable[[], bool] = lambda: False):
        self.gradients = gradients
        self.method = method
        self.cache = cache
        self.width = width
        self.should_stop = should_stop
        self.mean = None

    def measure(self, batches: Batches) -> Parts:
        """Parts of the mini-batches that batches() yields, the same ones at each call. Raises Stopped, NotFinite, UserError where
        a cache finds no room, and ValueError for mini-batches of several sizes, none, or others at the second call."""
        with self.gradients.standing_still(), np.errstate(invalid="ignore"):
            return {"two-pass": self._two_passes, "cache": self._cached, "sketch": self._sketched}[self.method](batches)

    def against_mean(self, batches: Batches) -> Parts:
        """The same, of other mini-batches, against the full gradient of the last measurement; one pass."""
        with self.gradients.standing_still(), np.errstate(invalid="ignore"):
            return self._compared(self.gradients.pieces() for _ in self._computed(batches))

    def _computed(self, batches: Batches) -> Iterator[int]:
        """Yields with each mini-batch's gradient in the network's parameters, or about to be there."""
        upcoming = iter(batches())
        arrays, number = next(upcoming, None), 0
        while arrays is not None:
            if self.should_stop():
                raise Stopped
            images = self.gradients.compute(arrays)
            if self.images not in (None, images):
                raise ValueError(f"mini-batch {number} has {images} images and the others have {self.images}")
            self.images = images
            arrays = next(upcoming, None)  # is read while the device computes
            yield number
            number += 1

    def _two_passes(self, batches):
        self._begin_mean()
        for _ in self._computed(batches):
            self._add_to_mean()
        self._end_mean()
        found = self._compared(self.gradients.pieces() for _ in self._computed(batches))
        if len(found.norm) != self.count:
            raise ValueError(f"the first pass saw {self.count} mini-batches and the second {len(found.norm)}")
        return found

    def _begin_mean(self):
        self.mean = self.images = None  # the one before goes first
        self.mean = np.zeros(self.gradients.size)
        self.count = 0

    def _add_to_mean(self):
        for _, place, values in self.gradients.pieces():
            self.mean[place] += values
        self.count += 1

    def _end_mean(self):
        if not self.count:
            raise ValueError("there are no mini-batches")
        self.mean /= self.count
        _require_finite(self.mean)

    def _full(self):
        """(blocks,) squared norm of the mean."""
        full = np.zeros(len(self.gradients.blocks))
        for block, first, end in self.gradients.places:
            full[block] += self.mean[first:end] @ self.mean[first:end]
        return full

    def _compared(self, gradients: Iterable[Iterable[tuple]]) -> Parts:
        """Parts of gradients, given as pieces, against the mean."""
        rows = [self._row(pieces) for pieces in gradients]
        if not rows:
            raise ValueError("there are no mini-batches")
        distance, norm = np.array(rows).transpose(1, 0, 2)
        _require_finite(norm)
        return _parts(distance, norm, self._full(), self.images)

    def _row(self, pieces):
        row = np.zeros((2, len(self.gradients.blocks)))
        for block, place, values in pieces:
            values = values.astype(np.float64)
            row[1, block] += values @ values
            values -= self.mean[place]
            row[0, block] += values @ values
        return row

    # ---- the paper's way ---------------------------------------------------------------------------------------------

    def _cached(self, batches):
        folder = tempfile.mkdtemp(prefix=CACHE, dir=self.cache)
        try:
            self._begin_mean()
            paths = []
            for number in self._computed(batches):
                self._add_to_mean()
                paths.append(os.path.join(folder, f"{number}.float32"))
                self._write(paths[-1])
            self._end_mean()
            return self._compared(self._read(path) for path in paths)
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    def _write(self, path):
        if shutil.disk_usage(os.path.dirname(path)).free < 4 * self.gradients.size + ROOM_LEFT:
            raise UserError(f"there is no room for another gradient of {4 * self.gradients.size / 1e6:.0f} MB",
                            os.path.dirname(path), "choose another place with --cache, or --probe two-pass")
        with open(path, "wb") as file:
            file.writelines(values.data for _, _, values in self.gradients.pieces())

    def _read(self, path):
        with open(path, "rb") as file:
            for block, place, _ in _pieces_of(self.gradients):
                yield block, place, np.fromfile(file, np.float32, place.stop - place.start)

    # ---- one pass ------------------------------------------------------------------------------------------------------

    def _sketched(self, batches):
        self._begin_mean()
        sketch = Sketch(self.gradients.places, len(self.gradients.blocks), self.width)
        norms, sketches = [], []
        for _ in self._computed(batches):
            norm, drawn = np.zeros(len(self.gradients.blocks)), sketch.empty()
            for block, place, values in self.gradients.pieces():
                self.mean[place] += values
                values = values.astype(np.float64)
                norm[block] += values @ values
                sketch.add(drawn, block, place, values)
            self.count += 1
            norms.append(norm)
            sketches.append([cells.astype(np.float32) for cells in drawn])
        self._end_mean()
        norms, full = np.array(norms), self._full()
        return _parts(sketch.compare([np.stack(cells) for cells in zip(*sketches)], norms, full), norms, full, self.images)


def _require_finite(numbers):
    if not np.isfinite(numbers.sum()):  # one number that is not finite makes the sum so
        raise NotFinite("the gradient of a mini-batch is not finite: no distance can be told",
                        remedy="train with a lower --lr, or probe with --statistics batch")


def _parts(distance, norm, full, images):
    """Parts of squared distances, norms and full norms of sums over so many images: 2 <g, mean> = |g|^2 + |mean|^2 - |g - mean|^2
    tells the products."""
    return Parts(*(part / images ** 2 for part in (distance, norm, (norm + full - distance) / 2, full)))


def remove_leftovers(folder: str) -> None:
    """Remove the caches that killed probes have left in a folder that nobody else uses now."""
    for name in os.listdir(folder):
        if name.startswith(CACHE):
            shutil.rmtree(os.path.join(folder, name), ignore_errors=True)


def _pieces_of(gradients):
    for block, first, end in gradients.places:
        for begin in range(first, end, PIECE):
            yield block, slice(begin, min(begin + PIECE, end)), None

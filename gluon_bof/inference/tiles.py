"""Small objects in large images: slices of an image beside the whole, and one list of detections of them all.

A slice shows an object as large as the network was trained on, where the whole image, made as small as the network's input, has a
few pixels of it. Each slice is looked at as an image of its own, and per class the worse of two boxes that overlap goes, by the
network's own threshold, in the image's pixels.

The fault of slicing is the object that a slice's edge cuts: its part is found as if it were the whole. Such a box ends at the
edge of its slice, within the image. It counts half in the order of suppression, so that the box of a slice that shows the whole
object goes before it, and it also goes where a better one covers most of it: a part overlaps its whole by too little for the
usual suppression. It stays where nothing better is found, with its own score: an object that is larger than the overlap may be
shown whole by no slice, and missed in the whole image.
"""
from __future__ import annotations

import math
from typing import Any, Callable, Iterable, Iterator, NamedTuple, Sequence

import numpy as np

from gluon_bof.boxes import Detections, area, intersection
from gluon_bof.errors import UserError
from gluon_bof.options.families import family_of
from gluon_bof.options.flags import fraction, whole_pixels

SMALLEST = 64  # pixels, a tile's side: twice the smallest image that a network takes
OVERLAP = 0.2
LARGEST_OVERLAP = 0.9
AT_EDGE = 0.01  # of a slice's side: a box that ends nearer to its edge is cut by it
CUT_COUNTS = 0.5  # times its score, in the order of suppression
COVERED = 0.5  # of the area of a cut box: a better box that covers more shows the whole of it


def refuse_tiles(options: Any, tiling: Tiling | None) -> None:
    """Raise UserError for tiles where the network finds masks, which no slice shows whole."""
    if tiling is not None and family_of(options).masks:
        raise UserError(f"--tile is for boxes: of {family_of(options).title} the masks of slices are not put together",
                        remedy="leave it out, or give a detector of boxes")


class Window(NamedTuple):
    """A part of an image, in its pixels."""

    left: int
    top: int
    right: int
    bottom: int


class Tiling(NamedTuple):
    """How an image is cut: the tile's side in pixels, and the share of it that neighbours have in common, at least."""

    tile: int
    overlap: float = OVERLAP

    def cuts(self, shape: Sequence[int]) -> bool:
        """Whether an image of this shape (H, W, …) is larger than a tile."""
        return max(shape[:2]) > self.tile

    def windows(self, shape: Sequence[int]) -> Iterator[Window]:
        """The slices of an image of this shape (H, W, …), row by row, evenly spread; none where it is no larger."""
        if self.cuts(shape):
            height, width = shape[:2]
            for top in self._starts(height):
                for left in self._starts(width):
                    yield Window(left, top, min(left + self.tile, width), min(top + self.tile, height))

    def _starts(self, side):
        beyond = side - self.tile
        if beyond <= 0:
            return [0]
        steps = math.ceil(beyond / max(1, int(self.tile * (1 - self.overlap))))
        return [round(beyond * number / steps) for number in range(steps + 1)]


def tiling_of(tile: Any = None, overlap: Any = None) -> Tiling | None:
    """The Tiling of what was given, None without a tile. Raises UserError for values that make none."""
    if tile is None:
        if overlap is not None:
            raise UserError("--overlap is of tiles, and there are none", remedy="give --tile 640 as well")
        return None
    tile = whole_pixels("tile", tile, 640)
    if tile < SMALLEST:
        raise UserError(f"--tile {tile} is smaller than {SMALLEST} pixels", remedy="640 is usual")
    return Tiling(tile, fraction("overlap", OVERLAP if overlap is None else overlap, OVERLAP, LARGEST_OVERLAP))


def add_slices(whole: Detections, image: np.ndarray, tiling: Tiling,
               detect: Callable[[Iterable[np.ndarray]], Iterable[Detections]], threshold: float) -> Detections:
    """What `whole`, found in an image (H, W, 3), and its slices show together; `whole` itself where nothing is cut.

    detect(slices) -> Detections of each, in its own pixels. threshold: IoU above which the worse of two boxes of a class goes. As
    many detections may be left as all views had, each of which has the network's least score and greatest number."""
    if not tiling.cuts(image.shape):
        return whole
    slices = (np.ascontiguousarray(image[window.top:window.bottom, window.left:window.right])
              for window in tiling.windows(image.shape))
    return merge(whole, zip(tiling.windows(image.shape), detect(slices)), image.shape, threshold)


def merge(whole: Detections, slices: Iterable[tuple[Window, Detections]], shape: Sequence[int], threshold: float) -> Detections:
    """Detections of a whole image of this shape (H, W, …) and of its slices, best score first; see the head of this page."""
    views, cut = [whole], [np.zeros(len(whole.scores), bool)]
    for window, found in slices:
        cut.append(is_cut(found.boxes, window, shape))
        views.append(found._replace(boxes=found.boxes + np.array((window.left, window.top) * 2, np.float32)))
    boxes, classes, scores = (np.concatenate(parts) for parts in zip(*(view[:3] for view in views)))
    cut = np.concatenate(cut)
    kept = [of_class[suppress(boxes[of_class], scores[of_class], cut[of_class], threshold)]
            for of_class in (np.flatnonzero(classes == number) for number in np.unique(classes))]
    kept = np.sort(np.concatenate(kept)) if kept else np.zeros(0, np.int64)
    kept = kept[np.argsort(-scores[kept], kind="stable")]
    return Detections(boxes[kept], classes[kept], scores[kept])


def is_cut(boxes: np.ndarray, window: Window, shape: Sequence[int]) -> np.ndarray:
    """(D,) bool: boxes (D, 4), in a slice's pixels, that reach an edge of it which is none of the image's."""
    width, height = window.right - window.left, window.bottom - window.top
    across, down = (max(1.0, AT_EDGE * side) for side in (width, height))
    return (((window.left > 0) & (boxes[:, 0] < across)) | ((window.top > 0) & (boxes[:, 1] < down))
            | ((window.right < shape[1]) & (boxes[:, 2] > width - across))
            | ((window.bottom < shape[0]) & (boxes[:, 3] > height - down)))


def suppress(boxes: np.ndarray, scores: np.ndarray, cut: np.ndarray, threshold: float) -> np.ndarray:
    """Places, best first, of the boxes (D, 4) of one class that stay. cut: (D,) bool; see the head of this page."""
    order = np.argsort(-np.where(cut, CUT_COUNTS * scores, scores), kind="stable")
    areas, kept = np.maximum(area(boxes), 1e-12), []
    while len(order):
        best, order = order[0], order[1:]
        kept.append(best)
        shared = intersection(boxes[best:best + 1], boxes[order])[0]
        alike = shared > threshold * (areas[best] + areas[order] - shared)
        order = order[~(alike | (cut[order] & (shared > COVERED * areas[order])))]
    return np.array(kept, np.int64)

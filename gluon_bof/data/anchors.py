"""YOLOv3's nine anchors fitted to the boxes of a set: k-means on 1 - IoU (Redmon and Farhadi, YOLO9000, section 2)."""
from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING, Any, Iterable, NamedTuple, Sequence

import numpy as np

from gluon_bof.errors import UserError, warn
from gluon_bof.files import utf8, write_atomically

if TYPE_CHECKING:
    from gluon_bof.boxes import Record

# width, height in pixels, in rows of three: for the stride of 8, of 16 and of 32. YOLOv3's own, fitted to COCO at 416
DEFAULT = ((10, 13, 16, 30, 33, 23), (30, 61, 62, 45, 59, 119), (116, 90, 156, 198, 373, 326))
COUNT = 9
STRIDES = (8, 16, 32)
LARGEST = 10_000  # pixels; no image that is trained on is so large
MAX_FILE = 1 << 20  # bytes
MAX_SEARCHED = 20_000  # boxes that k-means looks at: a sample of the largest sets'
MAX_ROUNDS = 300
REMEDY = "write it with gluon-bof anchors DATASET, or nine pairs like [[10, 13], [16, 30], …]"


class Quality(NamedTuple):
    """How well anchors suit boxes. mean_iou: mean over the boxes of the best anchor's IoU; recall: share of the boxes whose
    best IoU is above 0.5; share, mean_iou_of: of each anchor, which boxes have it as their best (nan for none)."""

    mean_iou: float
    recall: float
    share: np.ndarray
    mean_iou_of: np.ndarray


def box_sizes(records: Iterable[Record], data_shape: int) -> np.ndarray:
    """(N, 2) float64 widths and heights of the records' boxes (crowds left out), in pixels of images resized to
    data_shape x data_shape, each side by its own ratio, as training and validation resize them."""
    sizes = [(record.boxes[:, 2:] - record.boxes[:, :2])[~record.crowd] * (data_shape / record.width, data_shape / record.height)
             for record in records]
    return np.concatenate(sizes).astype(np.float64) if sizes else np.zeros((0, 2))


def size_iou(sizes: np.ndarray, anchors: np.ndarray) -> np.ndarray:
    """(N, A) IoU, in (0, 1], of (N, 2) and (A, 2) widths and heights with a common centre."""
    shared = np.minimum(sizes[:, None, 0], anchors[None, :, 0]) * np.minimum(sizes[:, None, 1], anchors[None, :, 1])
    return shared / (sizes.prod(axis=1)[:, None] + anchors.prod(axis=1)[None] - shared)


def mean_best_iou(sizes: np.ndarray, anchors: np.ndarray) -> float:
    """Mean over the boxes of the IoU with the best anchor: what fitting raises."""
    return float(size_iou(sizes, anchors).max(axis=1).mean())


def quality(sizes: np.ndarray, anchors: np.ndarray) -> Quality:
    """Quality of (A, 2) anchors for (N, 2) sizes."""
    overlaps = size_iou(sizes, anchors)
    best, nearest = overlaps.max(axis=1), overlaps.argmax(axis=1)
    counts = np.bincount(nearest, minlength=len(anchors))
    with np.errstate(invalid="ignore"):
        mean_iou_of = np.bincount(nearest, best, minlength=len(anchors)) / counts
    return Quality(float(best.mean()), float((best > 0.5).mean()), counts / len(sizes), mean_iou_of)


def fit_anchors(sizes: np.ndarray | Sequence[Sequence[float]], starts: int = 10, seed: int = 233,
                first: np.ndarray | Sequence[Sequence[float]] | None = None) -> np.ndarray:
    """(9, 2) anchors for (N, 2) sizes, in hundredths of a pixel, sorted by area: the best of several k-means in which a box
    belongs to the anchor of the highest IoU, and anchors move to the mean or to the median of their boxes.

    Starts are drawn as in k-means++, from the seed alone; first: (9, 2) anchors that are a start too, below whose mean
    best IoU the result never is. Raises UserError where there are fewer different boxes than anchors, or one without area."""
    sizes = np.asarray(sizes, np.float64)
    without = np.flatnonzero(~(np.isfinite(sizes) & (sizes > 0)).all(axis=-1))
    if len(without):
        raise UserError(f"box {without[0]} has no area: {sizes[without[0]].tolist()}", remedy="leave it out")
    rng = np.random.Generator(np.random.Philox(seed))
    searched = sizes if len(sizes) <= MAX_SEARCHED else sizes[rng.choice(len(sizes), MAX_SEARCHED, replace=False)]
    different = len(np.unique(searched, axis=0))
    if different < COUNT:
        raise UserError(f"{different} different sizes of boxes are too few for {COUNT} anchors",
                        remedy="keep the default anchors")
    given = [] if first is None else [np.asarray(first, np.float64).reshape(COUNT, 2)]
    begins = given + [_spread_start(searched, rng) for _ in range(starts)]
    found = [_refine(searched, begin, centre) for begin in begins for centre in (np.mean, np.median)]
    best = max(found, key=lambda anchors: mean_best_iou(searched, anchors))
    best = max([np.maximum(np.round(best, 2), 0.01), *given], key=lambda anchors: mean_best_iou(sizes, anchors))
    return best[np.argsort(best.prod(axis=1), kind="stable")]


def _spread_start(sizes, rng):
    """k-means++: each further anchor is a box, drawn in proportion to its squared distance from those before."""
    anchors = sizes[rng.integers(len(sizes))][None]
    distance = 1 - size_iou(sizes, anchors)[:, 0]
    while len(anchors) < COUNT:
        weight = np.maximum(distance, 0) ** 2
        place = int(np.searchsorted(np.cumsum(weight), rng.random() * weight.sum(), side="right"))
        anchors = np.vstack([anchors, sizes[min(place, len(sizes) - 1)]])
        distance = np.minimum(distance, 1 - size_iou(sizes, anchors[-1:])[:, 0])
    return anchors


def _refine(sizes, anchors, centre):
    """The best anchors on the way of k-means from these. 1 - IoU has no simple centre, so a round may make them worse."""
    best, best_iou, owners = anchors, -1.0, None
    for _ in range(MAX_ROUNDS):
        overlaps = size_iou(sizes, anchors)
        mean = overlaps.max(axis=1).mean()
        if mean > best_iou:
            best, best_iou = anchors, mean
        nearest = overlaps.argmax(axis=1)
        if owners is not None and (nearest == owners).all():
            break
        owners = nearest
        # an anchor without boxes stays where it is
        anchors = np.array([centre(sizes[owners == index], axis=0) if (owners == index).any() else anchors[index]
                            for index in range(len(anchors))])
    return best


def default_anchors() -> np.ndarray:
    """(9, 2) YOLOv3's own anchors in pixels."""
    return np.array(DEFAULT, np.float64).reshape(COUNT, 2)


def write_anchors(path: str, anchors: np.ndarray | Sequence[Sequence[float]], data_shape: int, **more: Any) -> None:
    """Write nine (width, height) pairs, in pixels of data_shape x data_shape images, as JSON that `read_anchors` reads."""
    pairs = ",\n".join(f"  {json.dumps(pair)}" for pair in np.asarray(anchors).tolist())
    rest = json.dumps({"data_shape": data_shape, **more}, indent=1, ensure_ascii=False)
    write_atomically(path, utf8(f'{{\n "anchors": [\n{pairs}\n ],{rest[1:]}\n'))


def read_anchors(path: str, data_shape: int | None = None) -> list[list[float]]:
    """[[w, h, w, h, w, h]] * 3 of an anchors file, as networks take them: for the strides of 8, 16 and 32, smallest first.

    data_shape: side in pixels of the images that they are for; a warning tells where the file was fitted at another one.
    The file is what `write_anchors` writes, or a bare JSON list of nine pairs. Raises UserError, naming what is wrong:
    other than nine pairs, sides that are no numbers in (0, 10000] pixels, pairs that are not sorted by area."""
    try:
        if os.path.getsize(path) > MAX_FILE:
            raise ValueError("it is too long")
        with open(path, encoding="utf-8") as file:
            content = json.load(file)
    except OSError as error:
        raise UserError(f"the anchors cannot be read ({error.strerror})", path, REMEDY) from None
    except (ValueError, RecursionError) as error:
        raise UserError(f"not a JSON file of anchors ({error})", path, REMEDY) from None
    pairs = content.get("anchors") if isinstance(content, dict) else content
    if not isinstance(pairs, list) or len(pairs) != COUNT or not all(isinstance(pair, list) and len(pair) == 2 for pair in pairs):
        raise UserError("it does not hold nine pairs of width and height", path, REMEDY)
    for side in (side for pair in pairs for side in pair):
        if type(side) not in (int, float) or not 0 < side <= LARGEST:
            raise UserError(f"{str(side)[:40]} is no side in pixels above 0 and at most {LARGEST}", path, REMEDY)
    areas = [width * height for width, height in pairs]
    if areas != sorted(areas):
        raise UserError("its pairs are not sorted by area, and the smallest belong to the finest features", path, "sort them")
    fitted_at = content.get("data_shape") if isinstance(content, dict) else None
    if data_shape and type(fitted_at) is int and fitted_at != data_shape:
        warn(f"{path} was fitted to images of {fitted_at} pixels, and the network is for {data_shape}: fit anchors with "
             f"gluon-bof anchors DATASET --data-shape {data_shape}, or train with --data-shape {fitted_at}")
    return [[side for pair in pairs[row:row + 3] for side in pair] for row in range(0, COUNT, 3)]

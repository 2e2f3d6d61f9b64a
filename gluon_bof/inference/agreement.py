"""An exported network beside MXNet's: what each finds in the same images, matched, and how far apart the two may be."""
from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, Any, Callable, NamedTuple, Sequence

import numpy as np

from gluon_bof.data.shapes import draw_image
from gluon_bof.errors import UserError
from gluon_bof.freebies.augmentation import render, whole_view
from gluon_bof.inference.engines import MXNetEngine, arrays
from gluon_bof.models.build import CANDIDATES, ROWS, models_of
from gluon_bof.options.families import family_of

if TYPE_CHECKING:
    from gluon_bof.inference.detector import Detector

DETECTIONS = ("ids", "scores", "boxes")  # layouts of outputs; models.build has those of what is found before suppression
INSTANCES = (*DETECTIONS, "masks")
BOX = slice(2, 6)  # columns of a detection's row
SCORE_TOLERANCE = 1e-4  # of a mask's probabilities, too
BOX_TOLERANCE = 0.05  # pixels; MXNet's own two ways to compute on the CPU came 0.01 apart in a Darknet-53
# Where two overlapping boxes score the same but for rounding, chance says which suppresses the other
FEW, MAX_UNMATCHED = 2, 0.01
TRIALS = 4  # drawn images that an export is checked with


class Check(NamedTuple):
    """An exported file beside MXNet: images and detections compared, largest differences of scores (and of masks' probabilities)
    and of boxes in pixels, and how many detections only one of the two has."""

    images: int
    detections: int
    score_difference: float
    box_difference: float
    unmatched: int


def check_onnx(detector: Detector, run: Callable[[np.ndarray], list], size: Sequence[int], seen: np.ndarray, path: str,
               remedy: str, drawn: bool = False) -> Check:
    """Compare run((B, H, W, 3) uint8) -> what `outputs_of` names with MXNet on images as the network sees them, and on drawn
    ones. Raises UserError where they disagree; where nothing is found in any, they agree."""
    images = [*seen, *(_seen(detector, drawn_images(), size) if drawn else ())]
    check = _compare_seen(detector.graph, detector, outputs_of(detector), run, images, batches_of(detector))
    refuse_disagreement(check, path, "onnxruntime", remedy, must_find=False)
    return check


def outputs_of(detector: Detector) -> tuple[str, ...]:
    """What its graph gives, and its export with suppression."""
    return INSTANCES if family_of(detector.options).masks else DETECTIONS


def batches_of(detector: Detector) -> tuple[int, ...]:
    """Sizes of the batches that an ONNX file is compared with."""
    return (1, 2) if models_of(detector.options).export_form(detector.options).any_batch else (1,)


def compare(ours: Any, detector: Detector, names: Sequence[str], run: Callable[[np.ndarray], list], size: Sequence[int],
            images: Sequence[np.ndarray], batches: Sequence[int] = (1,)) -> Check:
    """As `_compare_seen`, on images (H, W, 3) of any size and on drawn ones."""
    return _compare_seen(ours, detector, names, run, _seen(detector, (*images, *drawn_images()), size), batches)


def drawn_images() -> list[np.ndarray]:
    """Those that every export is checked with, (H, W, 3) uint8 RGB."""
    return [draw_image(0, number)[0] for number in range(TRIALS)]


def _seen(detector, images, size):
    """Images as a network for this size (H, W) sees them."""
    return [render(image, whole_view(image.shape, tuple(size)[::-1], detector.transform.interpolation)) for image in images]


def _compare_seen(ours, detector, names, run, seen, batches):
    """Check of run(seen (B, H, W, 3) uint8) -> arrays, B going round `batches`, against our own graph, which sees an image at a
    time."""
    mxnet, checks, reach = MXNetEngine(ours, detector.device), [], max(seen[0].shape[:2])
    for count in itertools.cycle(batches):
        batch, seen = seen[:count], seen[count:]
        if not batch:
            break
        found = run(np.stack(batch))
        for number, image in enumerate(batch):
            wanted = arrays(mxnet(image[None]))
            of_one = [array[number:number + 1] for array in found] if max(batches) > 1 else found
            checks.append(_differences(wanted, of_one, tuple(names), reach))
    numbers, scores, boxes, unmatched = zip(*checks)
    return Check(len(checks), sum(numbers), float(np.max(scores)), float(np.max(boxes)), sum(unmatched))  # NaN where one is


def _differences(wanted, found, names, reach):
    """(rows, largest difference of scores, of boxes, rows without a partner) of two networks' outputs for one image, which have
    one of the layouts above or one that `models.build` names."""
    if names == CANDIDATES:  # in the order of the cells
        (boxes, scores), (other_boxes, other_scores) = wanted, found
        return boxes.shape[1], np.abs(scores - other_scores).max(), _apart(boxes, other_boxes, reach).max(), 0
    if names == ROWS:  # a set for each class
        return match_rows(*(array.reshape(-1, array.shape[-1]) for array in (*wanted, *found)), reach)
    if names in (DETECTIONS, INSTANCES):
        return match_rows(*(np.concatenate([array[0].reshape(array.shape[1], -1) for array in arrays], axis=1)
                            for arrays in (wanted, found)), reach)
    raise ValueError(f"outputs {names} have no known layout")


def _apart(boxes, others, reach):
    """Differences of boxes (…, 4) in pixels. A box that reaches `reach` pixels or further, as the exponentials of untrained
    networks do, counts as shrunk to that: float32 tells its places less well."""
    furthest = np.maximum(np.abs(boxes), np.abs(others)).max(axis=-1, keepdims=True)
    return np.abs(boxes - others) / np.maximum(1, furthest / reach)


def match_rows(wanted: np.ndarray, found: np.ndarray, reach: float) -> tuple[int, float, float, int]:
    """(rows wanted, largest difference of scores, of boxes in pixels, rows without a partner) of (N, 6) rows of id, score,
    box, which a mask's cells may follow: they count as scores do. Rows with id -1 do not count.

    A partner has the same id, the score within SCORE_TOLERANCE and the box within BOX_TOLERANCE pixels, in any place: where two
    scores are equal but for rounding, so is their order. reach: see `_apart`."""
    wanted, found = wanted[wanted[:, 0] >= 0], found[found[:, 0] >= 0]
    free = np.ones(len(found), bool)
    score, box = 0.0, 0.0
    beside_boxes = np.delete(found, BOX, axis=1)
    for row in wanted:
        scores = np.abs(beside_boxes - np.delete(row, BOX)).max(axis=1, initial=0)  # 1 and more where the id differs
        boxes = _apart(row[BOX], found[:, BOX], reach).max(axis=1, initial=0)
        partners = np.flatnonzero(free & (scores <= SCORE_TOLERANCE) & (boxes <= BOX_TOLERANCE))
        if len(partners):
            partner = partners[np.argmin(boxes[partners])]
            free[partner] = False
            score, box = max(score, float(scores[partner])), max(box, float(boxes[partner]))
    matched = len(found) - int(free.sum())
    return len(wanted), score, box, len(wanted) + len(found) - 2 * matched


def refuse_disagreement(check: Check, path: str, other: str, remedy: str, exactly: bool = False, must_find: bool = True) -> None:
    """Raise UserError where the two are further apart than rounding, or at all (exactly); and where nothing was found to compare,
    if that must be. other: what MXNet is compared with, in words."""
    if must_find and not check.detections and not check.unmatched:
        raise UserError("nothing is detected in the images that an export is checked with", path,
                        "give some that show its objects: --verify-on IMAGE")
    scores, boxes = (0, 0) if exactly else (SCORE_TOLERANCE, BOX_TOLERANCE)
    ties = 0 if exactly else min(FEW + MAX_UNMATCHED * check.detections, check.detections / 2)
    if check.unmatched > ties or not (check.score_difference <= scores and check.box_difference <= boxes):
        raise UserError(f"{other} disagrees with MXNet: scores differ by {check.score_difference:.1e} (up to {scores} is "
                        f"accepted), boxes by {check.box_difference:.1e} pixels (up to {boxes}), {check.unmatched} of "
                        f"{check.detections} detections have no partner", path, remedy)

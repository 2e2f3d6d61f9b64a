"""From boxes and scores of all predictions to detections, inside a graph."""
from __future__ import annotations

from typing import Any

from gluon_bof.errors import UserError
from gluon_bof.models.gather import batched_gather

MIN_SCORE = 0.01  # below which nothing counts as detected, as in GluonCV


def overlap_threshold(network: Any) -> float:
    """The network's nms_thresh. Raises UserError for one below 0, for which box_nms leaves a single box of each class."""
    if not network.nms_thresh >= 0:
        raise UserError(f"nms_thresh {network.nms_thresh} must be 0 or more", remedy="above 1 nothing is suppressed")
    return network.nms_thresh


def detections(F: Any, boxes: Any, scores: Any, network: Any) -> tuple[Any, Any, Any]:
    """Class ids (B, D, 1), scores (B, D, 1), boxes (B, D, 4) after suppression within each class, of boxes (B, N, 4) and
    scores (B, N, K) before it. network: has classes, nms_thresh, nms_topk and post_nms; of the last two below 1: all.
    Raises UserError for an nms_thresh below 0.

    GluonCV writes every box once for each class before it keeps the best few; here these are found first."""
    classes, compared = len(network.classes), max(0, network.nms_topk)  # 0: all
    wanted = max(0, compared, network.post_nms)
    # a small image of few classes has fewer candidates than are asked for
    rows = -(-wanted // classes)
    scores = _lengthened(F, scores, rows)
    best, place = F.topk(F.reshape(scores, (0, -1)), axis=1, k=wanted if compared else 0, ret_typ="both", dtype="float64")
    row = F.floor(place / classes)  # float32 would not tell the last of many millions apart
    class_id = F.cast(place - row * classes, "float32")
    boxes = batched_gather(F, _lengthened(F, boxes, rows), F.cast(row, "float32"))
    found = F.concat(F.expand_dims(class_id, axis=2), F.expand_dims(best, axis=2), boxes, dim=2)
    found = F.contrib.box_nms(found, overlap_thresh=overlap_threshold(network), valid_thresh=MIN_SCORE, topk=compared or -1,
                              id_index=0, score_index=1, coord_start=2, force_suppress=False)
    found = F.slice_axis(found, axis=1, begin=0, end=network.post_nms if network.post_nms > 0 else None)
    return tuple(F.slice_axis(found, axis=2, begin=begin, end=end) for begin, end in ((0, 1), (1, 2), (2, 6)))


def _lengthened(F, array, rows):
    """(B, N + rows, C) with -1 in the new rows."""
    if not rows:
        return array
    row = -F.ones_like(F.slice_axis(array, axis=1, begin=0, end=1))
    return F.concat(array, F.tile(row, reps=(1, rows, 1)), dim=1)

"""What the two stages of Faster R-CNN learn from: sampled anchors for the RPN, sampled regions for the head.

Both equal GluonCV's generators number for number. Anchors are matched in numpy where the data is made; only the few that are
sampled cross the wire. Regions are matched on the device, for the whole batch at once.
"""
from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple, Sequence

import numpy as np

from gluon_bof.backend import gluon
from gluon_bof.models.gather import batched_gather

if TYPE_CHECKING:
    from gluon_bof.models.faster_rcnn.anchors import AnchorGrid

EPS = np.spacing(np.float32(1))
# columns of a sampled anchor: its number, 1 for an object or 0, its weight, and the four box targets
ANCHOR_NUMBER, LABEL, WEIGHT, BOX = 0, 1, 2, 3
ANCHOR_COLUMNS = 7
BOX_DEVIATIONS = (0.1, 0.1, 0.2, 0.2)  # by which the head's box targets are divided


class AnchorRules(NamedTuple):
    """How anchors are sampled: at most `positive_share` of `samples` objects; IoU limits of objects and background."""

    samples: int = 256
    positive_iou: float = 0.7
    negative_iou: float = 0.3
    positive_share: float = 0.5


RULES = AnchorRules()


def anchor_targets(grid: AnchorGrid, truth: np.ndarray, image_size: Sequence[int], canvas_size: Sequence[int], rng: Any,
                   background_weight: float = 1.0, rules: AnchorRules = RULES) -> np.ndarray:
    """Sampled anchors of one image, (rules.samples, 7) float32; unused rows are -1.

    grid: AnchorGrid. truth: (M, 6). image_size, canvas_size: (height, width) of the image and of the batch's padded
    canvas, in pixels. rng: anything with numpy's `choice`. An object's anchor weighs what its box weighs (paper, 3.1)."""
    boxes = np.ascontiguousarray(truth[:, :4], np.float32)
    best, match, overlap, corners = _match(grid, boxes, image_size, canvas_size)
    labels = _label(best, overlap, rules)
    _sample(labels, rules, rng)
    chosen = np.flatnonzero(labels)
    rows = np.full((rules.samples, ANCHOR_COLUMNS), -1, np.float32)
    used = rows[:len(chosen)]
    positive = labels[chosen] > 0
    used[:, ANCHOR_NUMBER] = chosen
    used[:, LABEL] = positive
    used[:, WEIGHT] = background_weight
    used[:, BOX:] = 0
    if positive.any():
        matched = match[chosen[positive]]
        used[positive, WEIGHT] = truth[matched, 5]
        used[positive, BOX:] = encode(corners(chosen[positive]), boxes[matched])
    return rows


def _match(grid, boxes, image_size, canvas_size):
    """(largest IoU of each anchor, -1 for those that leave the image; its box; all IoUs (M, N); numbers -> corners)."""
    height, width = image_size
    levels = list(grid.sides(*canvas_size))
    overlaps, valid = [], []
    for left, right, top, bottom in levels:
        areas = ((right[0] - left[0]) * (bottom[0] - top[0]))  # the same in every cell, but for rounding
        inside = ((left >= 0) & (right < width))[None] & ((top >= 0) & (bottom < height))[:, None]
        valid.append(inside.ravel())
        # an IoU's parts depend on the column or on the row alone: the full size is only touched from the product on
        across = _shared(left, right, boxes[:, 0], boxes[:, 2])
        down = _shared(top, bottom, boxes[:, 1], boxes[:, 3])
        shared = down[:, :, None] * across[:, None]
        of_boxes = (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])
        union = areas + of_boxes[:, None, None, None] - shared
        overlaps.append(np.divide(shared, union, out=shared).reshape(len(boxes), inside.size))
    overlap, valid = np.concatenate(overlaps, axis=1), np.concatenate(valid)
    overlap[:, ~valid] = -1
    if len(boxes) == 0:
        best, match = np.where(valid, np.float32(0), np.float32(-1)), np.zeros(len(valid), int)
    else:
        match = overlap.argmax(axis=0)
        best = np.take_along_axis(overlap, match[None], axis=0)[0]
    return best, match, overlap, _corners_of(levels)


def _shared(low, high, box_low, box_high):
    """(M, cells, A): length that anchors and boxes share along one axis."""
    shared = np.minimum(high, box_high[:, None, None]) - np.maximum(low, box_low[:, None, None])
    return np.maximum(shared, 0, out=shared)


def _corners_of(levels):
    """A function from anchor numbers to their (K, 4) corners."""
    counts = [len(top) * left.size for left, _, top, _ in levels]
    starts = np.cumsum([0] + counts)

    def corners(chosen):
        found = np.empty((len(chosen), 4), np.float32)
        for start, end, (left, right, top, bottom) in zip(starts, starts[1:], levels):
            here = (start <= chosen) & (chosen < end)
            cell, shape = np.divmod(chosen[here] - start, left.shape[1])
            row, column = np.divmod(cell, len(left))
            found[here] = np.stack([left[column, shape], top[row, shape], right[column, shape], bottom[row, shape]], 1)
        return found

    return corners


def _label(best, overlap, rules):
    """(N,) int8: 1 object, -1 background, 0 neither."""
    labels = np.zeros(len(best), np.int8)
    if len(overlap) and (best >= 0).any():
        # the best anchors of each box; but as in GluonCV, those below the limit of background are background all the same
        labels[((overlap + EPS) > overlap.max(axis=1, keepdims=True)).any(axis=0)] = 1
    labels[best >= rules.positive_iou] = 1
    labels[(best >= 0) & (best < rules.negative_iou)] = -1
    return labels


def _sample(labels, rules, rng):
    """Let only so many objects and background anchors stand, drawn by `rng.choice` in GluonCV's order."""
    most_positive = int(round(rules.samples * rules.positive_share))
    positive = np.flatnonzero(labels > 0)
    if len(positive) > most_positive:
        labels[rng.choice(positive, size=len(positive) - most_positive, replace=False)] = 0
    negative = np.flatnonzero(labels < 0)
    most_negative = rules.samples - min(len(positive), most_positive)
    if len(negative) > most_negative:
        labels[rng.choice(negative, size=len(negative) - most_negative, replace=False)] = 0


def encode(anchors: np.ndarray, boxes: np.ndarray) -> np.ndarray:
    """(K, 4) box targets: the boxes' centres and log sizes relative to the anchors'. Corners in pixels, float32."""
    sides, box_sides = anchors[:, 2:] - anchors[:, :2], boxes[:, 2:] - boxes[:, :2]
    shift = ((boxes[:, :2] + box_sides * np.float32(0.5)) - (anchors[:, :2] + sides * np.float32(0.5))) / sides
    return np.hstack([shift, np.log(box_sides / sides)])


class RegionSampler(gluon.HybridBlock):
    """Proposals and boxes -> the regions that the head learns from, for a batch, equal to GluonCV's RCNNTargetSampler.

    (proposals (B, P, 4), scores (B, P, 1), boxes (B, M, 4) with rows of -1 as padding, keys (B, at least P + M) random
    in [0, 1)) -> regions (B, S, 4), samples (B, S) 1 object, -1 background, 0 unused, matches (B, S) in [0, M)."""

    def __init__(self, samples, positive_iou, positive_share, **kwargs):
        super().__init__(**kwargs)
        self._samples = samples
        self._positive_iou = positive_iou
        self._most_positive = int(round(samples * positive_share))

    def hybrid_forward(self, F, proposals, scores, boxes, keys):
        scores_of_boxes = F.sign(F.sum(boxes, axis=2, keepdims=True) + 1)
        regions = F.concat(proposals, boxes, dim=1)
        usable = F.squeeze(F.concat(scores, scores_of_boxes, dim=1), axis=2) >= 0
        overlap = box_overlap(F, regions, boxes)
        # 3 object, 2 background, 0 unusable
        kind = F.where(F.max(overlap, axis=2) >= self._positive_iou, F.ones_like(usable) * 3, usable * 2)
        order = F.argsort(F.slice_like(keys, kind), axis=1)
        kind, match = batched_gather(F, kind, order), batched_gather(F, F.argmax(overlap, axis=2), order)

        first = F.slice_axis(F.argsort(kind, axis=1, is_ascend=False), axis=1, begin=0, end=self._most_positive)
        # GluonCV fills up from the shuffled order past this many, not past those it took: a few may come twice
        order_rest, kind_rest, match_rest = (F.slice_axis(array, axis=1, begin=self._most_positive, end=None)
                                             for array in (order, kind, match))
        background_first = F.where(kind_rest == 2, F.ones_like(kind_rest) * 4, kind_rest)
        second = F.slice_axis(F.argsort(background_first, axis=1, is_ascend=False), axis=1, begin=0,
                              end=self._samples - self._most_positive)
        index, kind, match = (F.concat(batched_gather(F, ours, first), batched_gather(F, rest, second), dim=1)
                              for ours, rest in ((order, order_rest), (kind, kind_rest), (match, match_rest)))
        samples = (kind == 3) - (kind == 2)

        regions = batched_gather(F, regions, index)
        by_size = F.argsort(box_area(F, regions), axis=1)
        return tuple(F.stop_gradient(batched_gather(F, array, by_size)) for array in (regions, samples, match))


class RegionTargets(gluon.HybridBlock):
    """(regions, samples, matches of a RegionSampler, truth (B, M, 6), background_weight (B, 1)) -> class (B, S): 0
    background, 1 + class id, -1 unused; weight (B, S), an object's that of its box; and of at most Q objects, first in
    order: index (B, Q), class id (B, Q), box target (B, Q, 4), weight (B, Q), 0 in rows that hold none."""

    def __init__(self, most_positive, **kwargs):
        super().__init__(**kwargs)
        self.most_positive = most_positive

    def hybrid_forward(self, F, regions, samples, matches, truth, background_weight):
        of_region = batched_gather(F, truth, matches)
        is_object, is_background = samples > 0.5, samples < -0.5
        class_id, mix_weight = (F.squeeze(F.slice_axis(of_region, axis=2, begin=i, end=i + 1), axis=2) for i in (4, 5))
        label = is_object * (class_id + 1) - (1 - is_object) * (1 - is_background)
        weight = is_object * mix_weight + F.broadcast_mul(is_background, background_weight)

        index = F.slice_axis(F.argsort(is_object, axis=1, is_ascend=False), axis=1, begin=0, end=self.most_positive)
        holds_one = batched_gather(F, is_object, index)
        target = region_encode(F, batched_gather(F, regions, index),
                               F.slice_axis(batched_gather(F, of_region, index), axis=2, begin=0, end=4))
        target = F.where(F.broadcast_like(F.expand_dims(holds_one, axis=2), target), target, F.zeros_like(target))
        return tuple(F.stop_gradient(array) for array in (
            label, weight, index, batched_gather(F, class_id, index) * holds_one, target,
            batched_gather(F, mix_weight, index) * holds_one))


def box_area(F: Any, boxes: Any) -> Any:
    """(B, N) of corner boxes (B, N, 4)."""
    left, top, right, bottom = F.split(boxes, axis=2, num_outputs=4, squeeze_axis=True)
    return (right - left) * (bottom - top)


def box_overlap(F: Any, regions: Any, boxes: Any) -> Any:
    """(B, N, M) IoU of corner boxes (B, N, 4) and (B, M, 4)."""
    def side(i):
        return (F.slice_axis(regions, axis=2, begin=i, end=i + 1),
                F.transpose(F.slice_axis(boxes, axis=2, begin=i, end=i + 1), axes=(0, 2, 1)))

    width = F.broadcast_minimum(*side(2)) - F.broadcast_maximum(*side(0))
    height = F.broadcast_minimum(*side(3)) - F.broadcast_maximum(*side(1))
    shared = F.relu(width) * F.relu(height)
    union = F.broadcast_add(F.expand_dims(box_area(F, regions), axis=2),
                            F.expand_dims(box_area(F, boxes), axis=1)) - shared
    return F.where(shared > 0, shared / F.maximum(union, 1e-12), F.zeros_like(shared))


def region_encode(F: Any, regions: Any, boxes: Any) -> Any:
    """(B, K, 4) the head's box targets of corner regions and boxes (B, K, 4)."""
    def centres_and_sides(corners):
        low, high = F.slice_axis(corners, axis=2, begin=0, end=2), F.slice_axis(corners, axis=2, begin=2, end=4)
        return low + (high - low) * 0.5, high - low

    (centre, sides), (box_centre, box_sides) = centres_and_sides(regions), centres_and_sides(boxes)
    shift, growth = (box_centre - centre) / sides, F.log(box_sides / sides)
    x, y = F.split(shift, axis=2, num_outputs=2)
    w, h = F.split(growth, axis=2, num_outputs=2)
    return F.concat(*[part / deviation for part, deviation in zip((x, y, w, h), BOX_DEVIATIONS)], dim=2)

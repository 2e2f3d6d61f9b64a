"""A trained two-stage detector taken apart, to detect as R-CNN, as Fast R-CNN and as Faster R-CNN: where does the time go?

All three have the weights of one network with a pyramid: its backbone, its box head, its decoding and suppression. They differ
in where proposals come from, and in what the head is given of a proposal: features of the whole image, or of its own crop alone.
Boxes are in pixels of the image as the network sees it, (H, W, 3) uint8."""
from __future__ import annotations

import time
from contextlib import contextmanager
from typing import Any, Iterator

import cv2
import numpy as np

from gluon_bof.backend import gluon, mx
from gluon_bof.boxes import iou
from gluon_bof.errors import UserError
from gluon_bof.models.preprocess import Normalise

WARPED, CONTEXT = 64, 16  # sides of a region in its crop, and pixels of what is around it (R-CNN has 227 and 16)
TOGETHER = 10  # crops that the backbone sees at once
SMALLEST = 6  # pixels of a proposal's side
ALIKE = 0.8  # IoU of proposals of which one is enough
GRID_SIDES, GRID_STEP = (0.25, 0.4, 0.6), 0.5  # sides of the grid's boxes over the short side; steps over their sides


class Features(gluon.HybridBlock):
    """(images (B, H, W, 3) uint8) -> normalised images, then the pyramid's levels, finest first."""

    def __init__(self, network, **kwargs):
        super().__init__(**kwargs)
        self.normalise = Normalise()
        self.features = network.features

    def hybrid_forward(self, F, images):
        x = self.normalise(images)
        return [x, *self.features(x)]


class Proposals(gluon.HybridBlock):
    """(normalised image, levels…) -> (1, P, 4) proposals of the network's own."""

    def __init__(self, network, **kwargs):
        super().__init__(**kwargs)
        self.rpn = network.rpn

    def hybrid_forward(self, F, x, *levels):
        return self.rpn(F.zeros_like(x), *levels)[1]


class Predictions(gluon.HybridBlock):
    """(rois (P, 5): number of the image and corners in its pixels, levels…) -> class logits (P, K + 1), boxes (P, K · 4)."""

    def __init__(self, network, **kwargs):
        super().__init__(**kwargs)
        self.network = network

    def hybrid_forward(self, F, rois, *levels):
        return self.network.of_regions(F, levels, rois)


class Decoded(gluon.HybridBlock):
    """(logits (P, K + 1), boxes (P, K · 4), proposals (1, P, 4)) -> ids (1, D, 1), scores (1, D, 1), boxes (1, D, 4), as the
    network's own inference has them."""

    def __init__(self, network, **kwargs):
        super().__init__(**kwargs)
        self.network = network

    def hybrid_forward(self, F, logits, boxes, proposals):
        return self.network.decoded(F, logits, boxes, proposals)


class Clock:
    """Processor seconds of this process by part: threads of MXNet's included, what else runs on the machine not."""

    def __init__(self):
        self.seconds = {}

    @contextmanager
    def of(self, part: str) -> Iterator[None]:
        """A context whose time is the part's; it waits for what MXNet has begun."""
        mx.nd.waitall()
        began = time.process_time()
        yield
        mx.nd.waitall()
        self.seconds[part] = self.seconds.get(part, 0.0) + time.process_time() - began


class TwoStage:
    """network: a Faster R-CNN, or what is built on one, with a pyramid. Raises UserError for one without.

    Each method takes an image (H, W, 3) uint8 and a Clock, and returns ids, scores and boxes as an engine does."""

    def __init__(self, network: Any):
        if network.num_stages < 2:
            raise UserError("a two-stage network without a pyramid has no box head to share", remedy="give one with --use-fpn")
        self.features, self.proposals = Features(network), Proposals(network)
        self.predictions, self.decoded = Predictions(network), Decoded(network)
        for graph in (self.features, self.proposals, self.predictions, self.decoded):
            graph.hybridize()
        self.count = network._rpn_test_post_nms

    def faster_rcnn(self, image: np.ndarray, clock: Clock) -> tuple:
        """Proposals of the network, pooled from features of the whole image."""
        with clock.of("backbone"):
            x, *levels = self.features(mx.nd.array(image[None], dtype=np.uint8))
        with clock.of("proposals"):
            regions = self.proposals(x, *levels)
        return self._from_levels(levels, regions, clock)

    def fast_rcnn(self, image: np.ndarray, clock: Clock) -> tuple:
        """Proposals of blobs and a grid, pooled from features of the whole image."""
        with clock.of("proposals"):
            regions = mx.nd.array(blob_proposals(image, self.count)[None])
        with clock.of("backbone"):
            _, *levels = self.features(mx.nd.array(image[None], dtype=np.uint8))
        return self._from_levels(levels, regions, clock)

    def rcnn(self, image: np.ndarray, clock: Clock) -> tuple:
        """The same proposals, each cut out, warped and seen by the backbone alone."""
        with clock.of("proposals"):
            regions = blob_proposals(image, self.count)
        parts = []
        for first in range(0, len(regions), TOGETHER):
            with clock.of("backbone"):
                crops = np.stack([crop_of(image, box) for box in regions[first:first + TOGETHER]])
                _, *levels = self.features(mx.nd.array(crops, dtype=np.uint8))
            with clock.of("head"):
                whole = [(number, CONTEXT, CONTEXT, CONTEXT + WARPED, CONTEXT + WARPED) for number in range(len(crops))]
                parts.append(self.predictions(mx.nd.array(whole), *levels))
        with clock.of("head"):
            return self.decoded(*(mx.nd.concat(*part, dim=0) for part in zip(*parts)), mx.nd.array(regions[None]))

    def _from_levels(self, levels, regions, clock):
        with clock.of("head"):
            rois = mx.nd.concat(mx.nd.zeros((regions.shape[1], 1)), regions[0], dim=1)
            return self.decoded(*self.predictions(rois, *levels), regions)


def crop_of(image: np.ndarray, box: np.ndarray) -> np.ndarray:
    """(S, S, 3) uint8: a box (4,) of an image, warped to WARPED pixels, with CONTEXT around of what surrounds it; what lies
    outside the image is black. S = WARPED + 2 · CONTEXT."""
    left, top, right, bottom = (float(side) for side in box)
    scale = np.array((WARPED / (right - left), WARPED / (bottom - top)))
    matrix = np.array([[scale[0], 0, CONTEXT - scale[0] * left], [0, scale[1], CONTEXT - scale[1] * top]])
    matrix[:, 2] += (scale - 1) / 2  # OpenCV counts from the middle of a pixel
    side = WARPED + 2 * CONTEXT
    return cv2.warpAffine(image, matrix, (side, side), flags=cv2.INTER_LINEAR)


def blob_proposals(image: np.ndarray, count: int) -> np.ndarray:
    """(count, 4) float32 boxes of blobs (maximally stable extremal regions of the grey image and of each colour), those that
    most regions agree on first; a grid of squares fills up.

    It stands for the lecture's selective search, which OpenCV has in its contributed modules alone."""
    height, width = image.shape[:2]
    finder = cv2.MSER_create(min_area=SMALLEST ** 2, max_area=height * width // 2)
    channels = [cv2.cvtColor(image, cv2.COLOR_RGB2GRAY), *cv2.split(image)]
    found = [np.asarray(boxes, np.float32).reshape(-1, 4) for boxes in (finder.detectRegions(one)[1] for one in channels)]
    blobs = np.concatenate(found)
    blobs = blobs[(blobs[:, 2:] >= SMALLEST).all(axis=1)]
    blobs[:, 2:] += blobs[:, :2]  # from a corner and sides to two corners
    votes = (iou(blobs, blobs) > ALIKE).sum(axis=1)
    return _unlike(np.concatenate([blobs[np.argsort(-votes, kind="stable")], _grid(height, width)]), count)


def _unlike(boxes, count):
    """The first `count` boxes of which none is like an earlier one; then, if they do not suffice, the others."""
    kept, left = [], []
    for number, box in enumerate(boxes):
        alike = kept and (iou(box[None], boxes[kept]) > ALIKE).any()
        (left if alike else kept).append(number)
    order = (kept + left)[:count]
    return np.resize(boxes[order], (count, 4)).astype(np.float32)


def _grid(height, width):
    """Squares of three sizes, the largest first."""
    boxes = []
    for share in sorted(GRID_SIDES, reverse=True):
        side = share * min(height, width)
        across, down = (np.linspace(0, length - side, max(2, round((length - side) / (side * GRID_STEP)) + 1))
                        for length in (width, height))
        boxes += [(x, y, x + side, y + side) for y in down for x in across]
    return np.array(boxes, np.float32)


def recall(proposals: np.ndarray, boxes: np.ndarray) -> tuple[int, int]:
    """(how many of the boxes (M, 4) a proposal covers with an IoU of 0.5 or more, M)."""
    if not len(boxes):
        return 0, 0
    return int((iou(boxes, proposals).max(axis=1) >= 0.5).sum()), len(boxes)

"""Faster R-CNN's batches on the wire: padded uint8 pictures, boxes, sampled anchors, and random keys for the regions."""
from __future__ import annotations

import numpy as np

from gluon_bof.data.loader import TrainingPictures, pad_truths
from gluon_bof.data.shared_memory import wire_array, wire_pictures
from gluon_bof.models.faster_rcnn.targets import anchor_targets
from gluon_bof.rng import Purpose, generator


class DrawnPictures(TrainingPictures):
    """As TrainingPictures, and with the draw itself: `dataset[draw]` -> (picture, truth, names of broken ones, draw)."""

    def __getitem__(self, draw):
        return super().__getitem__(draw) + (draw,)


class RegionBatch:
    """Batchify: (pictures (B, H, W, 3) uint8, truths (B, M, 6), sizes (B, 3): height, width and weight of background,
    sampled anchors (B, R, 7), keys (B, proposals + M), names of broken pictures).

    one_ratio: background, too, weighs a mixed picture's ratio, as GluonCV's even mixup has it; else it weighs 1."""

    def __init__(self, shared, grid, proposals, one_ratio=False):
        self.shared = shared
        self.grid = grid
        self.proposals = proposals
        self.one_ratio = one_ratio

    def __call__(self, samples):
        pictures, truths, broken, draws = zip(*samples)
        canvas = wire_pictures(pictures, self.shared)
        padded = pad_truths(truths)
        sizes = np.array([picture.shape[:2] + (draw.ratio if self.one_ratio and draw.partner >= 0 else 1,)
                          for picture, draw in zip(pictures, draws)], np.float32)
        anchors = np.stack([anchor_targets(self.grid, truth, picture.shape[:2], canvas.shape[1:3],
                                           generator(Purpose.ANCHORS, *draw.place), background)
                            for picture, truth, draw, background in zip(pictures, truths, draws, sizes[:, 2])])
        keys = np.stack([generator(Purpose.REGIONS, *draw.place).random(self.proposals + padded.shape[1], np.float32)
                         for draw in draws])
        small = [wire_array(array, self.shared) for array in (padded, sizes, anchors, keys)]
        return (canvas, *small, [name for names in broken for name in names])

"""How well a network says what and where: accuracy, IoU, and the share of images of which it knows both."""
from __future__ import annotations

from typing import Any, Callable, Sequence

import numpy as np

from gluon_bof.data.localisation import whole_boxes
from gluon_bof.distributed import exchange
from gluon_bof.terminal import progress_bar
from gluon_bof.training.recorder import Scoring

IOU = 0.5  # least of a box that is said to be right
LOSSES = ("cross_entropy", "box")
SCORING = Scoring(("accuracy", "mean_iou", "localisation"), "localisation", "validation localisation accuracy")


class Localisation:
    """Called as the engine calls a validation; `predictions` are those of the last one: {index: (class, corners (4,))}.

    samples: of the validation set; loader: what gives its images with their indices."""

    def __init__(self, graph: Any, loader: Any, samples: Sequence[Any], device: Any):
        self.graph = graph
        self.loader = loader
        self.samples = samples
        self.device = device
        self.boxes = whole_boxes(samples)
        self.predictions = {}

    def __call__(self, should_stop: Callable[[], bool] = lambda: False) -> dict[str, float] | None:
        """{"localisation": share of images whose class is right and whose box has an IoU of 0.5 or more, "accuracy", "mean_iou":
        over all images, whatever the class}, or None where should_stop said so."""
        self.predictions = {}
        for images, indices in progress_bar(self.loader, "validating", unit="batch"):
            if should_stop():
                return self._joint(None)
            logits, corners = (part.asnumpy() for part in self.graph(images.as_in_context(self.device)))
            for index, number, box in zip(indices, logits.argmax(axis=1), clipped(corners)):
                self.predictions[int(index)] = int(number), box
        return self._joint(self._sums())

    def _sums(self):
        seen = sorted(self.predictions)
        right = np.array([self.predictions[index][0] == self.samples[index].class_id for index in seen], bool)
        shares = paired_iou(np.array([self.predictions[index][1] for index in seen]).reshape(-1, 4), self.boxes[seen])
        return [int(right.sum()), float(shares.sum()), int((right & (shares >= IOU)).sum())]

    def _joint(self, sums):
        """The metrics of what all processes have summed, or None where one was stopped."""
        count = len(self.samples)

        def judge(found):
            right, iou, both = map(sum, zip(*found))
            return {"localisation": both / count, "accuracy": right / count, "mean_iou": iou / count}

        return exchange.decide_numbers(sums, judge)


def clipped(corners: np.ndarray) -> np.ndarray:
    """Corners (N, 4) within the image; a box whose sides are crossed has no area."""
    corners = np.clip(corners, 0, 1)
    return np.concatenate([corners[:, :2], np.maximum(corners[:, :2], corners[:, 2:])], axis=1)


def paired_iou(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """(N,) IoU of each of (N, 4) corner boxes with the other of its row."""
    sides = np.maximum(np.minimum(a[:, 2:], b[:, 2:]) - np.maximum(a[:, :2], b[:, :2]), 0)
    shared, areas = sides.prod(axis=1), [(box[:, 2:] - box[:, :2]).prod(axis=1) for box in (a, b)]
    return shared / np.maximum(areas[0] + areas[1] - shared, 1e-12)

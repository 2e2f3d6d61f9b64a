"""The metric of every training image of a task, and the mini-batches that it makes."""
from __future__ import annotations

from typing import Any

import numpy as np

from gluon_bof.errors import UserError
from gluon_bof.options.minibatch import MinibatchOptions
from gluon_bof.studies.minibatch.metrics import METRICS, score_all
from gluon_bof.studies.minibatch.partition import cut, ranking


def scores_of(task: Any, options: MinibatchOptions) -> np.ndarray:
    """(N, n) float64: n numbers for each training image. Raises UserError for weights of LPIPS that are none, or not finite."""
    if METRICS[options.metric].perceptual:
        from gluon_bof.studies.minibatch.lpips import distances_to_mean, load_lpips
        scores = distances_to_mean(load_lpips(options.alexnet, options.lpips), task.shown)[:, None]
        if not np.isfinite(scores).all():
            raise UserError("by these weights and AlexNet's the perceptual distance is not finite", options.lpips,
                            "download both again and compare checksums")
        return scores
    return score_all(options.metric, task.shown())


def sorted_batches(task: Any, options: MinibatchOptions) -> tuple[np.ndarray, np.ndarray]:
    """(scores of the training images as `scores_of`, the mini-batches (K, B) that they are cut into by them).

    Raises UserError, also where a probe has nothing to compare: with one mini-batch its gradient is the full one."""
    scores = scores_of(task, options)
    partition = cut(ranking(scores), options.batch_size)
    if len(partition) < 2:
        raise UserError(f"the set makes {len(partition)} mini-batch of {options.batch_size} images, whose gradient is the full "
                        "one", remedy="lower --batch-size")
    return scores, partition

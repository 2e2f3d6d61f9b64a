"""One probe of weights, outside a training."""
from __future__ import annotations

from typing import Any

import numpy as np

from gluon_bof.devices import first_context, return_large_arrays
from gluon_bof.options.minibatch import MinibatchOptions
from gluon_bof.runs.config import is_run
from gluon_bof.runs.folder import RunFolder
from gluon_bof.studies.minibatch.measure import probe_task
from gluon_bof.studies.minibatch.scores import sorted_batches
from gluon_bof.studies.minibatch.tasks import open_task
from gluon_bof.weights.load import load_weights


def probe_weights(options: MinibatchOptions, weights: str = "",
                  gpus_of_run: bool = False) -> tuple[dict[str, Any], np.ndarray, np.ndarray]:
    """(what `measure.probe_task` gives, the images' scores, the mini-batches) of weights on these options' set.

    weights: a run's folder, whose last weights are taken, or a .params file; "": the network as it begins. gpus_of_run: whether
    options.gpus are what the run says, and nobody now. Raises UserError."""
    return_large_arrays()
    device = first_context(options.gpus, gpus_of_run)
    task = open_task(options)
    scores, partition = sorted_batches(task, options)
    task.start(device)
    if weights:
        load_weights(task.network, RunFolder(weights).last_weights if is_run(weights) else weights)
    return probe_task(task, partition, options, options.cache or None), scores, partition

"""One probe of weights, outside a training."""
from __future__ import annotations

from typing import Any

import numpy as np

from gluon_bof.devices import contexts, return_large_arrays
from gluon_bof.options.minibatch import MinibatchOptions
from gluon_bof.runs.config import is_run
from gluon_bof.runs.folder import RunFolder
from gluon_bof.studies.minibatch.measure import probe_task
from gluon_bof.studies.minibatch.partition import cut, ranking
from gluon_bof.studies.minibatch.scores import scores_of
from gluon_bof.studies.minibatch.tasks import open_task, require_batches
from gluon_bof.training import pipeline
from gluon_bof.weights.load import load_weights


def probe_weights(options: MinibatchOptions, weights: str = "") -> tuple[dict[str, Any], np.ndarray, np.ndarray]:
    """(what `measure.probe_task` gives, the images' scores, the mini-batches) of weights on these options' set.

    weights: a run's folder, whose last weights are taken, or a .params file; "": the network as it begins. Raises UserError."""
    return_large_arrays()
    device = contexts(options.gpus)[0]
    task = open_task(options)
    scores = scores_of(task, options)
    partition = cut(ranking(scores), options.batch_size)
    require_batches(len(partition), options.batch_size)
    pipeline.seed(options.seed)
    np.random.seed(options.seed)
    task.build(device)
    task.graph.hybridize(static_alloc=True)
    if weights:
        load_weights(task.network, RunFolder(weights).last_weights if is_run(weights) else weights)
    return probe_task(task, partition, options, options.cache or None), scores, partition

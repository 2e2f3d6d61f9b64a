"""One probe of weights, outside a training."""
from __future__ import annotations

from typing import Any, Collection

import numpy as np

from gluon_bof.devices import first_context, return_large_arrays
from gluon_bof.errors import UserError
from gluon_bof.options.minibatch import MinibatchOptions
from gluon_bof.runs.config import is_run, read_options
from gluon_bof.runs.folder import RunFolder
from gluon_bof.studies.minibatch.measure import probe_task
from gluon_bof.studies.minibatch.scores import sorted_batches
from gluon_bof.studies.minibatch.tasks import open_task
from gluon_bof.weights.load import load_weights

OF_A_TRAINING = ("name", "runs", "resume", "recipe")  # options that a probe has no use for


def of_its_run(weights: str, given: Collection[str]) -> dict[str, Any]:
    """{field: value} that a probe of weights takes over from their run, {} of a file: what is not given, by name; a run that was
    trained without probes is probed in two passes. Raises UserError for a run of another training."""
    if not (weights and is_run(weights)):
        return {}
    kept = read_options(weights)
    if not isinstance(kept, MinibatchOptions):
        raise UserError("this is no run of minibatch train", weights, "give one, or a .params file and --network")
    own = {name: value for name, value in vars(kept).items() if name not in {*given, *OF_A_TRAINING}}
    if own.get("probe") == "none":
        own["probe"] = "two-pass"
    return own


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

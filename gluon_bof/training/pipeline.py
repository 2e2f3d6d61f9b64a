"""What both training scripts do the same way: a run opened or made, the sets, the sampler, the outcome. No MXNet in here:
a run's folder comes before MXNet, so that a run killed while it starts can be resumed."""
from __future__ import annotations

import dataclasses
import json
import os

from gluon_bof.data.sampler import BatchSampler
from gluon_bof.data.sets import class_names, open_set
from gluon_bof.errors import UserError
from gluon_bof.freebies.mixup import MixRatio
from gluon_bof.runs.folder import LOGGER, create_run, find_run, reopen_run

WORDS = ("", "auto", "yes", "no")
PLACES = ("resume", "transfer", "pretrained_base")  # files and folders that a run may need again, from elsewhere


def run_training(options, given, train):
    """Train in a new run, or in the one that --resume names; the outcome is printed as one JSON line and returned.

    train(options, run, checkpoint) -> the outcome."""
    options = dataclasses.replace(options, **{name: os.path.abspath(place) for name, place in vars(options).items()
                                              if name in PLACES and place not in WORDS and os.path.exists(place)})
    run = checkpoint = None
    if options.resume and not options.resume.endswith(".params"):
        folder, checkpoint = find_run(options.resume, options)
        if folder:
            run, options, checkpoint = reopen_run(folder, checkpoint, options, given)
        else:  # auto found none
            options = dataclasses.replace(options, resume="")
    if run is None:
        run = create_run(options)
    run.start_logging(options.tensorboard)
    try:
        outcome = train(options, run, checkpoint)
    except UserError:
        run.discard_if_unused()
        raise
    finally:
        run.close()
    print(json.dumps(outcome), flush=True)
    return outcome


def open_sets(options):
    """(training set, validation set); what was skipped in them is counted and named in the log."""
    classes = class_names(options.classes) if options.classes else None
    sets = []
    for role, split in (("train", options.train_split), ("val", options.val_split)):
        found = open_set(options.dataset, options.dataset_root or None, role, classes, options.on_bad_sample,
                         split or None)
        for fault in found.faults:
            LOGGER.warning("skipped: %s: %s", fault.path, fault.message)
        LOGGER.info("%s: %d images, %d classes (%s), %d faults skipped", role, len(found), len(found.classes),
                    ", ".join(found.classes[:20]), len(found.faults))
        sets.append(found)
        classes = found.classes
    return sets


def build_sampler(options, images, size_interval, horovod, aspects=None):
    """The sampler: order, mixup, sizes of the images."""
    mix = MixRatio(options.mixup_alpha, options.mixup_beta, options.mixup == "even") if options.mixup else None
    shard = (horovod.rank(), horovod.size()) if horovod else (0, 1)
    return BatchSampler(images, options.batch_size, options.seed, options.training_sizes(), size_interval, mix,
                      options.epochs - options.no_mixup_epochs,
                      options.num_samples if options.num_samples > 0 else None, shard, aspects)


def outcome_of(run, options, fit, metrics, sets, images):
    """What a script prints at its end: {"run": folder, "map": of the last validation, …}."""
    return {"run": run.folder, "map": metrics["map"], "metric": metrics["metric"], "best_map": fit.best["map"],
            "epochs": options.epochs, "iterations": fit.iteration, "seed": options.seed,
            "skipped": len(fit.skipped) + sum(len(found.faults) for found in sets),
            "per_class": metrics["per_class"], "weights": run.path("last.params"), "images": images}

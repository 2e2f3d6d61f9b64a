"""What every training script does the same way: devices, sets, sampler, a start or a continuation, the loop, the outcome."""
from __future__ import annotations

import os
from typing import Any, Iterable, Sequence

from gluon_bof import threads
from gluon_bof.backend import mx
from gluon_bof.data.balance import hardly_told_apart, untrained
from gluon_bof.data.faults import UnknownClass, log_faults, require_boxes, warn_of_score, warn_of_shared, warn_of_unlearnt
from gluon_bof.data.sampler import BatchSampler
from gluon_bof.data.sets import open_set, set_mark
from gluon_bof.devices import contexts, return_large_arrays
from gluon_bof.distributed import comm, progress
from gluon_bof.errors import LOGGER, UserError, warn, warn_instead
from gluon_bof.files import sha256_of
from gluon_bof.freebies.mixup import MixRatio
from gluon_bof.freebies.sync_batch_norm import refuse_waiting
from gluon_bof.options.families import family_of
from gluon_bof.runs.config import is_run, read_classes, refuse_other_classes
from gluon_bof.runs.folder import Run
from gluon_bof.training.checkpoint import load_checkpoint
from gluon_bof.training.optimizer import introduce, start_amp
from gluon_bof.visualization.run_pages import draw_run, draw_training_batch, draw_validation_boxes
from gluon_bof.weights.load import has_other_anchors, load_partially, read_structured, set_weights, structured_parameters


def start_devices(options: Any, run: Run) -> list:
    """The contexts to train on. Raises UserError where they are not there, where a batch has too few images for them, or --amp or
    --syncbn cannot be."""
    devices = contexts(options.gpus, options.cpus)
    if comm.group().one_device:
        devices = devices[comm.group().local_rank % len(devices):][:1]
    LOGGER.info("run %s on %s, %s=%s%s", run.folder, ", ".join(map(str, devices)), threads.VARIABLE,
                os.environ.get(threads.VARIABLE, ""), f", worker {comm.rank()} of {comm.size()}" if comm.size() > 1 else "")
    count = comm.size() * len(devices)
    if options.batch_size < count:
        raise UserError(f"--batch-size {options.batch_size} has no image for each of {comm.size()} x {len(devices)} devices",
                        remedy=f"it is the batch of all workers and devices together: give {count} at least, or fewer of them")
    refuse_partial_syncbn(options, devices)
    if options.amp:
        start_amp(devices)
    return devices


def refuse_partial_syncbn(options: Any, devices: Sequence[Any]) -> None:
    """Raise UserError where normalisation is to be synchronised and MXNet cannot: over several processes, or where it would wait
    for ever. Warns where it weighs devices alike that have unlike parts."""
    if not options.synchronises_batchnorm():
        return
    if comm.size() > 1 and options.syncbn != "per-process":
        raise UserError(f"normalisation cannot be synchronised over {comm.size()} workers: MXNet's SyncBatchNorm knows only the "
                        "devices of its own process",
                        remedy="--syncbn per-process lets each worker take those of its own images; or train in one process")
    refuse_waiting(devices)
    share, rest = divmod(options.batch_size, comm.size())
    if len(devices) > 1 and (rest or share % len(devices)):
        warn(f"a batch of {options.batch_size} does not divide over {comm.size()} x {len(devices)} devices, and SyncBatchNorm "
             "weighs their statistics alike: they are not quite the batch's")


def open_sets(options: Any, run: Run) -> list:
    """[training set, validation set]; what was skipped in them is counted and named in the log, the classes kept in the run."""
    sets = comm.main_first(lambda: _open_sets(options, run))
    agree_on_sets(run, *map(set_mark, sets))
    return sets


def agree_on_sets(run: Run, training: str, validation: str) -> None:
    """Raise UserError where the sets of these marks are not the same in all processes, or the run was trained on another one."""
    comm.require_same("the training set", lambda: training)
    comm.require_same("the validation set", lambda: validation)
    comm.from_main(lambda: run.keep_marks({"train": training, "val": validation}))


def _open_sets(options, run):
    classes = options.classes or None
    sets = []
    for role, split in (("train", options.train_split), ("val", options.val_split)):
        try:
            found = open_set(options.dataset, options.dataset_root or None, role, classes, options.on_bad_sample,
                             split or None, options.unannotated, options.skip_empty and role == "train",
                             options.layout, options.val_share, family_of(options).masks)
        except UnknownClass as error:
            if options.classes:
                raise
            raise UserError(f"the class {error.name!r} validates, and what trains does not know it", error.path,
                            "add it there, or validate without its boxes and what else is faulty: --on-bad-sample skip") from None
        log_faults(found, sets)  # which may say why there is no box
        if role == "train":
            require_boxes(found.records, options.dataset_root or options.dataset)
            if found.layout:
                LOGGER.info("%s is %s", options.dataset_root or options.dataset, found.layout)
        LOGGER.info("%s: %d images, %d classes (%s), %d faults skipped", role, len(found), len(found.classes),
                    ", ".join(found.classes[:20]), len(found.faults))
        sets.append(found)
        classes = found.classes
    warn_of_shared(*(found.records for found in sets), "mAP")
    where = options.dataset_root or options.dataset
    warn_of_score(where, sets[1].records, options.most_found)
    if not options.learns_from_empty:
        warn_of_unlearnt(where, sets[0].records)
    for sentence in (*untrained(*sets), *hardly_told_apart(classes)):
        warn(f"{where}: {sentence}")
    run.write_classes(classes)
    return sets


def build_sampler(options: Any, images: int, size_interval: int = 1, aspects: Iterable[float] | None = None,
                  repeats: Iterable[float] | None = None) -> BatchSampler:
    """The sampler of so many images: order, mixup, sizes of the images. aspects, repeats: see BatchSampler."""
    mix = MixRatio(options.mixup_alpha, options.mixup_beta, options.mixup == "even") if options.mixup else None
    return BatchSampler(images, options.batch_size, options.seed, options.training_sizes(), size_interval, mix,
                        options.epochs - options.no_mixup_epochs,
                        options.num_samples if options.num_samples > 0 else None, aspects=aspects, repeats=repeats,
                        shard=(comm.rank(), comm.size()), accumulate=options.accumulate)


def restore(options: Any, checkpoint: str | None, network: Any, trainer: Any) -> dict:
    """Fill network and trainer from the checkpoint, or the network from --resume FILE.params. Returns where the run stands, {} at
    its start. Then all processes have the network of the first one."""
    position = _restored(options, checkpoint, network, trainer)
    if comm.size() > 1:
        comm.require_same("the checkpoint", lambda: sha256_of(checkpoint) if checkpoint else "")
        share_weights(network)
    introduce(trainer)
    progress.report("restored")
    return position


def share_weights(network: Any) -> None:
    """Give the network the parameters and running statistics that rank 0's has. Raises UserError where that is another one."""
    parameters = structured_parameters(network)
    comm.require_same("the network", lambda: repr([(name, parameter.name, parameter.shape, parameter.grad_req)
                                                   for name, parameter in parameters.items()]))
    arrays = [parameter.data(parameter.list_ctx()[0]) for parameter in parameters.values()]
    comm.group().broadcast_arrays(arrays)
    for parameter, array in zip(parameters.values(), arrays):
        for copy in parameter.list_data()[1:]:
            array.copyto(copy)


def _restored(options, checkpoint, network, trainer):
    if checkpoint:
        position = load_checkpoint(checkpoint, network, trainer)
        LOGGER.info("going on from %s", checkpoint)
        return position
    if options.starts_from_file:
        _refuse_other_classes(options, network)
        if options.allow_partial:  # which leaves other anchors out
            warn(f"{options.resume}: {load_partially(network, options.resume)}")
            return {}
        arrays = read_structured(options.resume)
        _refuse_other_anchors(options, network, arrays)
        set_weights(network, arrays, options.resume)
    return {}


def _refuse_other_classes(options, network):
    """Raise UserError where --resume FILE.params is of a run with other classes, whose outputs would be taken for these.
    --allow-partial loads no head of another number of them."""
    folder = os.path.dirname(os.path.abspath(options.resume))
    before = read_classes(folder) if is_run(folder) else None
    if before is not None and not (options.allow_partial and len(before) != len(network.classes)):
        refuse_other_classes(network.classes, before, options.resume, f"--transfer {options.resume} keeps classes by name")


def _refuse_other_anchors(options, network, arrays):
    """Raise UserError where --resume FILE.params has other anchors than those that boxes are matched to: offsets would be learnt
    to the ones and decoded with the others. arrays: the file's."""
    if not hasattr(network, "takes_anchors") and has_other_anchors(network, arrays):
        raise UserError("it was trained with other anchors than this network has", options.resume,
                        "say which with --anchor-scales, --anchor-base-size and --anchor-aspect-ratio, leave them out where the "
                        f"file lies in its run's folder, or start with --transfer {options.resume}")


def take_memory(step: Any, batches: Iterable[tuple], detector: Any) -> None:
    """Take the memory that training and validation will need now, with the largest batches that can come: where it does not
    suffice, that shows at once and not after hours."""
    return_large_arrays()
    for arrays in batches:
        step.warm_up(*arrays)
        progress.report("starting")
    detector.warm_up()


def fit(engine: Any, run: Run, images: Any, sets: Sequence[Any], validation: Any, detector: Any) -> dict:
    """Run the engine's epochs and draw the run's pages. images: the training images, `images[spec]`. Returns the outcome,
    {"run": folder, "map": of the last validation, …}."""
    training_set, validation_set = sets
    if comm.is_main():
        draw_training_batch(run, images, engine.sampler, training_set.classes)
    metrics = engine.run_epochs()
    if validation.detections is None:  # a finished run was resumed: there was nothing left to validate
        with engine.saver.averaged():
            validation(detector)
    if not comm.is_main():
        return {"run": run.folder, "map": metrics["map"]}
    progress.report("drawing")
    draw_validation_boxes(run, validation_set, validation.detections)
    if engine.options.report:
        with warn_instead():
            validation.report(run.folder)
    of_boxes = {"box_map": metrics["box_map"]} if "box_map" in metrics else {}
    return {"run": run.folder, "map": metrics["map"], "metric": metrics["metric"], **of_boxes,
            "best_map": engine.best_score, **engine.outcome(),
            "skipped": len(engine.skipped) + sum(len(found.faults) for found in sets), "per_class": metrics["per_class"],
            "weights": run.last_weights, "images": draw_run(run, words=engine.recorder.scoring.words)}


def seed(value: int) -> None:
    """Seed MXNet's own random numbers, which initial weights are drawn from."""
    mx.random.seed(value)

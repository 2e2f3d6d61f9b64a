"""Training on sorted mini-batches with a probe at every epoch's starting parameters (Algorithm 1), in phases of one rate."""
from __future__ import annotations

import contextlib
import hashlib
import json
import os
from typing import Any, Iterator

import numpy as np

from gluon_bof.data.names import refuse_one_class
from gluon_bof.devices import return_large_arrays
from gluon_bof.distributed import comm
from gluon_bof.errors import LOGGER, UserError, abbreviate, warn
from gluon_bof.files import write_atomically
from gluon_bof.freebies.schedule import build_schedule, rates_of
from gluon_bof.options.minibatch import MinibatchOptions
from gluon_bof.runs.folder import Run
from gluon_bof.studies.minibatch.measure import probe_task
from gluon_bof.studies.minibatch.orders import BY_NAME, Order, OrderSampler
from gluon_bof.studies.minibatch.probe import NotFinite, Stopped, remove_leftovers
from gluon_bof.studies.minibatch.scores import sorted_batches
from gluon_bof.studies.minibatch.tasks import open_task
from gluon_bof.training import pipeline
from gluon_bof.training.classifier import SCORING
from gluon_bof.training.engine import Engine
from gluon_bof.training.loop import Step
from gluon_bof.training.optimizer import build_optimizer, build_trainer, epoch_schedule, exempt_from_decay
from gluon_bof.training.recorder import DETECTION
from gluon_bof.weights.formats.checkpoint import read_checkpoint, weights_in

ORDER_PREFIX = "order/"  # arrays of an order in a checkpoint


def train(options: MinibatchOptions, run: Run, checkpoint: str | None = None) -> dict[str, Any]:
    """The pipeline. Returns {"run": folder, "accuracy" or "map": of the last epoch, "probes": how many, …}."""
    # data and mini-batches
    if comm.size() > 1:
        raise UserError("the study trains in one process, and here are several", remedy="start it without gluon-bof launch")
    return_large_arrays()
    devices = pipeline.start_devices(options, run)
    task = open_task(options)
    if not options.detects:
        refuse_one_class(task.classes, options.dataset, "add images of another one")
    run.write_classes(task.classes)
    pipeline.agree_on_sets(run, *task.marks)
    scores, partition = sorted_batches(task, options)
    write_partition(run, options, scores, partition)
    LOGGER.info("%d images of %d classes (%s) in %d mini-batches of %d by %s", len(task), len(task.classes),
                abbreviate(task.classes), len(partition), options.batch_size, options.metric)
    order = BY_NAME[options.order](partition, options.seed, options.phase_of)
    sampler = OrderSampler(order, len(partition), options.seed, task.spec)

    # network and trainer
    task.start(devices[0], checkpoint)
    updates = len(partition)
    schedule = epoch_schedule(options, updates)
    if options.no_wd:
        exempt_from_decay(task.network)
    trainer = build_trainer(task.network.collect_params(), build_optimizer(options, build_schedule(**schedule)), devices[:1])
    step = Step(task.graph, task.arguments, trainer, devices[:1], options.batch_size)

    # loop
    position = pipeline.restore(options, checkpoint, task.network, trainer)
    loader = ProbingLoader(task, sampler, partition, options, run, rates_of(**schedule)[::updates])
    scoring = DETECTION if options.detects else SCORING
    engine = Engine(run, options, task.network, step, sampler, loader, task.loss_names, task.validate, position, scoring)
    loader.engine = engine
    if order.observes:
        _let_observe(order, engine, step, checkpoint, position)
    last = engine.run_epochs()
    return {"run": run.folder, scoring.score: last[scoring.score], "best": engine.best_score, "epochs": engine.epoch,
            "iterations": engine.iteration, "seed": options.seed, "order": options.order, "batches": updates,
            "probes": len(run.probe_epochs()), "weights": run.last_weights}


def write_partition(run: Run, options: MinibatchOptions, scores: np.ndarray, partition: np.ndarray) -> None:
    """Keep the mini-batches of a run, and the metric of every image. Raises UserError where the run goes on and has others."""
    kept = run.read_result("partition") if run.origin else None
    if kept and not (np.shape(kept["scores"]) == scores.shape and np.allclose(kept["scores"], scores)
                     and kept["batches"] == partition.tolist()):
        raise UserError("the set makes other mini-batches than the run was trained on", run.folder, run.remedy_for_other_data())
    write_atomically(run.partition, json.dumps({"metric": options.metric, "batch_size": options.batch_size,
                                                "scores": scores.tolist(), "batches": partition.tolist()}).encode())


@contextlib.contextmanager
def cache_of(run: Run, options: MinibatchOptions) -> Iterator[str]:
    """The folder of a run's gradients, which no other run uses, without what a killed probe has left in it. Raises UserError."""
    place = run.probes
    if options.probe == "cache" and options.cache:
        own = hashlib.blake2b(os.fsencode(os.path.abspath(run.folder)), digest_size=4).hexdigest()
        place = os.path.join(options.cache, f"{os.path.basename(run.folder)}-{own}")
    try:
        os.makedirs(place, exist_ok=True)
    except OSError as error:
        raise UserError(f"there can be no cache ({error.strerror})", place, "choose another place with --cache") from None
    remove_leftovers(place)
    try:
        yield place
    finally:
        if place != run.probes:
            with contextlib.suppress(OSError):
                os.rmdir(place)


class ProbingLoader:
    """The training batches of each epoch, after a probe where one is due: the epoch has not begun then, so that the parameters
    are its starting parameters. rates: the learning rate at each epoch's start."""

    def __init__(self, task, sampler, partition, options, run, rates):
        self.task = task
        self.sampler = sampler
        self.partition = partition
        self.options = options
        self.run = run
        self.rates = rates
        self.engine = None

    def __iter__(self):
        if self._is_due():
            try:
                self._probe(self.sampler.epoch)
            except Stopped:
                return
            except NotFinite as error:  # with frozen statistics that lag behind it may be, where training is sound
                warn(f"epoch {self.sampler.epoch} is not probed: {error.problem}")
        # the order is asked here, after the last epoch's gradients have been observed
        self.task.loader.batches = list(self.sampler)
        yield from self.task.loader

    def _is_due(self):
        epoch = self.sampler.epoch
        return (self.options.probe != "none" and self.sampler.first == 0 and epoch % self.options.probe_interval == 0
                and not os.path.exists(self.run.probe(epoch)))

    def _probe(self, epoch):
        os.makedirs(self.run.probes, exist_ok=True)
        with cache_of(self.run, self.options) as cache:
            found = probe_task(self.task, self.partition, self.options, cache, epoch, lambda: bool(self.engine.stop),
                               epoch % self.options.null_interval == 0)
        found.update(phase=self.options.phase_of(epoch), learning_rate=float(self.rates[epoch]))
        write_atomically(self.run.probe(epoch), json.dumps(found).encode())
        distances = np.array(found["distance"])
        LOGGER.info("epoch %d: distances %.4g to %.4g, full gradient %.4g, noise scale %.4g images", epoch, distances.min(),
                    distances.max(), found["full_norm"], found["noise_scale"] or np.nan)


def _let_observe(order: Order, engine: Engine, step: Step, checkpoint: str | None, position: dict) -> None:
    """Show an order every gradient, and keep what it knows in the checkpoints."""
    def known():
        state, arrays = order.saved()
        return {"order": state}, {f"{ORDER_PREFIX}{name}": array for name, array in arrays.items()}

    engine.saver.further = known
    learned = [parameter for parameter in step.trainer._params if parameter.grad_req != "null"]
    context = step.devices[0]
    step.after_update = lambda: order.observe(np.concatenate([parameter.grad(context).asnumpy().ravel()
                                                              for parameter in learned]))
    if "order" in position:
        order.restore(position["order"], weights_in(read_checkpoint(checkpoint)[1], ORDER_PREFIX))
    elif position:
        warn("the checkpoint knows nothing of GraB's order: it begins anew")

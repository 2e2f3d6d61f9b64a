"""Pre-training a backbone as a classifier (paper, Tables 5 and 6), with or without localisation: the pipeline, its batches,
accuracy."""
from __future__ import annotations

from functools import partial
from typing import Any, Callable, Sequence

import numpy as np

from gluon_bof.data.class_sets import class_mark, open_classes
from gluon_bof.data.classification import ClassImages
from gluon_bof.data.loader import training_loader, validation_loader
from gluon_bof.data.localisation import ObjectImages, open_objects
from gluon_bof.data.names import refuse_one_class
from gluon_bof.data.shared_memory import to_shared
from gluon_bof.distributed import comm, exchange
from gluon_bof.errors import LOGGER, abbreviate
from gluon_bof.freebies.schedule import build_schedule
from gluon_bof.models import localiser
from gluon_bof.models.classifier import TrainingGraph, build_classifier
from gluon_bof.models.preprocess import InferenceGraph
from gluon_bof.terminal import progress_bar
from gluon_bof.training import localisation, pipeline
from gluon_bof.training.engine import Engine
from gluon_bof.training.loop import Step
from gluon_bof.training.optimizer import build_optimizer, build_trainer, epoch_schedule, exempt_from_decay
from gluon_bof.training.recorder import Scoring
from gluon_bof.visualization.run_pages import draw_localised

TOP_K = 5  # classes among which top-5 accuracy looks for the right one
SCORING = Scoring(("accuracy", "top5"), "accuracy", "validation accuracy")


class ClassBatch:
    """Batchify: (images (B, S, S, 3) uint8, labels (B, 3) float32, names of broken images, of which there are none)."""

    def __init__(self, shared):
        self.shared = shared

    def __call__(self, samples):
        images, labels = zip(*samples)
        return to_shared(np.stack(images), self.shared), to_shared(np.stack(labels), self.shared), []


def accuracy(graph: Any, loader: Any, labels: Sequence[int], device: Any, top_k: int,
             should_stop: Callable[[], bool] = lambda: False) -> dict[str, float] | None:
    """{"accuracy": share of right first guesses, "top5": share of images whose class is among the `top_k` first guesses}, or None
    where should_stop said so."""
    right = among = 0
    for images, indices in progress_bar(loader, "validating", unit="batch"):
        if should_stop():
            return _joint(None, len(labels))
        guesses = np.argsort(-graph(images.as_in_context(device)).asnumpy(), axis=1, kind="stable")[:, :top_k]
        wanted = np.array([labels[index] for index in indices])[:, None]
        right += int((guesses[:, :1] == wanted).sum())
        among += int((guesses == wanted).any(axis=1).sum())
    return _joint((right, among), len(labels))


def _joint(counts, images):
    """The metrics of what all processes have counted, or None where one was stopped."""
    def judge(counted):
        right, among = map(sum, zip(*counted))
        return {"accuracy": right / images, "top5": among / images}

    return exchange.decide_numbers(counts, judge)


def train(options: Any, run: Any, checkpoint: str | None = None) -> dict[str, Any]:
    """The pipeline. Returns {"run": folder, "accuracy": of the last epoch, …}."""
    # data: the workers start before the network exists, so that they carry none of it
    devices = pipeline.start_devices(options, run)
    open_sets, dataset = (open_objects, ObjectImages) if options.localise else (open_classes, ClassImages)
    training_set, validation_set = comm.main_first(lambda: open_sets(options.dataset, options.dataset_root or None))
    classes = training_set.classes
    LOGGER.info("%d and %d images, %d classes (%s)", len(training_set), len(validation_set), len(classes), abbreviate(classes))
    if not options.localise:  # a box is learnt of one class, too
        refuse_one_class(classes, options.dataset, "add images of another one")
    comm.from_main(lambda: run.write_classes(classes))
    pipeline.agree_on_sets(run, class_mark(training_set), class_mark(validation_set))
    sampler = pipeline.build_sampler(options, len(training_set))
    schedule = build_schedule(**epoch_schedule(options, sampler.updates))
    images = dataset(training_set.samples, options.data_shape, options.least_area, not options.no_augment)
    shown = dataset(validation_set.samples, options.data_shape)
    loader = training_loader(images, sampler, options.num_workers, devices[0].device_type == "gpu", ClassBatch)
    validation = validation_loader(shown, options.batch_size, options.num_workers, (comm.rank(), comm.size()))

    # network and loss
    pipeline.seed(options.seed)
    network, graph, inference = (localising_graphs if options.localise else graphs)(options, len(classes), devices)
    for part in (graph, inference):
        part.hybridize(static_alloc=True)

    # trainer
    if options.no_wd:
        exempt_from_decay(network)
    trainer = build_trainer(network.collect_params(), build_optimizer(options, schedule), devices, options.amp,
                            options.kv_store)
    step = Step(graph, lambda *arrays: arrays, trainer, devices, options.batch_size, options.amp, options.accumulate)

    # loop
    losses, scoring = (localisation.LOSSES, localisation.SCORING) if options.localise else (("cross_entropy",), SCORING)
    if options.localise:
        validate = localisation.Localisation(inference, validation, validation_set.samples, devices[0])
    else:
        labels = [sample.class_id for sample in validation_set.samples]
        validate = partial(accuracy, inference, validation, labels, devices[0], TOP_K)
    engine = Engine(run, options, network, step, sampler, loader, losses, validate,
                    pipeline.restore(options, checkpoint, network, trainer), scoring)
    last = engine.run_epochs()
    if options.localise and comm.is_main() and validate.predictions:
        draw_localised(run, shown, validation_set.samples, validate.boxes, validate.predictions, classes)
    return {"run": run.folder, **{name: last[name] for name in scoring.columns}, f"best_{scoring.score}": engine.best_score,
            **engine.outcome(), "mixup": bool(options.mixup), "weights": run.last_weights}


def graphs(options: Any, class_count: int, devices: Sequence[Any]) -> tuple[Any, Any, Any]:
    """(network that is saved, what training computes, what validation does) of a classifier."""
    network = build_classifier(options.network, class_count, devices, options.data_shape, options.last_gamma)
    return network, TrainingGraph(network, class_count, options.label_smooth_eps), InferenceGraph(network)


def localising_graphs(options: Any, class_count: int, devices: Sequence[Any]) -> tuple[Any, Any, Any]:
    """The same of a classifier that says where its object is, too (--localise)."""
    found = localiser.build_localiser(options.network, class_count, devices, options.data_shape, options.last_gamma)
    graph = localiser.TrainingGraph(found, class_count, options.label_smooth_eps, options.box_weight)
    return found.network, graph, InferenceGraph(found)

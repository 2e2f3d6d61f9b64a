"""Pre-training a backbone as a classifier (paper, Tables 5 and 6): the pipeline, its batches, accuracy, its log."""
from __future__ import annotations

import sys

import numpy as np
from tqdm import tqdm

from gluon_bof.backend import gluon
from gluon_bof.data.shared_memory import to_shared
from gluon_bof.data.workers import init_worker
from gluon_bof.options.flags import integers
from gluon_bof.training.engine import LOGGER, Engine


class WorkerDataset(gluon.data.Dataset):
    """A set of images whose worker is settled first: one thread, and it ends with its trainer."""

    def __init__(self, images):
        self.images = images

    def __len__(self):
        return len(self.images)

    def __getitem__(self, spec):
        init_worker()
        return self.images[spec]


class ClassBatch:
    """Batchify: (images (B, S, S, 3) uint8, labels (B, 3) float32, names of broken images, of which there are none)."""

    def __init__(self, shared):
        self.shared = shared

    def __call__(self, samples):
        images, labels = zip(*samples)
        return to_shared(np.stack(images), self.shared), to_shared(np.stack(labels), self.shared), []


def accuracy(graph, loader, labels, device, best_of, should_stop=lambda: False):
    """{"map": share of right first guesses, by the name that Fit knows, "accuracy": the same, "top5": share of images
    whose class is among the `best_of` first guesses}, or None where should_stop said so."""
    right = among = 0
    for images, indices in tqdm(loader, desc="validating", unit="batch", leave=False, file=sys.stderr,
                                  disable=not sys.stderr.isatty()):
        if should_stop():
            return None
        guesses = np.argsort(-graph(images.as_in_context(device)).asnumpy(), axis=1, kind="stable")[:, :best_of]
        wanted = np.array([labels[index] for index in indices])[:, None]
        right += int((guesses[:, :1] == wanted).sum())
        among += int((guesses == wanted).any(axis=1).sum())
    return {"map": right / len(labels), "accuracy": right / len(labels), "top5": among / len(labels)}


class ClassifierEngine(Engine):
    """The epochs of a classifier: what the detectors' log calls mAP is accuracy here."""

    def _log_epoch(self, metrics):
        losses, means = self.losses, self.losses.means()
        row = {"epoch": self.epoch, "iteration": (self.epoch + 1) * self.sampler.batches,
               "learning_rate": self.rates[(self.epoch + 1) * self.sampler.batches - 1],
               **{f"{name}_loss": value for name, value in means.items()},
               "images_per_second": losses.images / max(losses.seconds, 1e-9), "seconds": losses.seconds,
               "accuracy": metrics.get("accuracy", ""), "top5": metrics.get("top5", "")}
        self.run.record("metrics", row)
        validated = f", validation accuracy {metrics['accuracy']:.4f}" if metrics else ""
        LOGGER.info("epoch %d: cross-entropy %.3f, %.1f images/s%s", self.epoch, means["cross_entropy"],
                    row["images_per_second"], validated)


TOP_K = 5  # classes among which top-5 accuracy looks for the right one


def train(options, run, checkpoint):
    """The pipeline. Returns {"run": folder, "accuracy": of the last epoch, …}."""
    from gluon_bof import devices as device_tools
    from gluon_bof.backend import mx
    from gluon_bof.data.classification import ClassImages, open_classes
    from gluon_bof.data.loader import training_loader, validation_loader
    from gluon_bof.freebies.schedule import build_schedule, rates_of
    from gluon_bof.models.classifier import ScoringGraph, TrainingGraph, build_classifier
    from gluon_bof.training.checkpoint import load_checkpoint
    from gluon_bof.training.engine import LOGGER
    from gluon_bof.training.loop import Step
    from gluon_bof.training.optimizer import build_optimizer, exempt_from_decay
    from gluon_bof.training.pipeline import build_sampler

    devices = device_tools.contexts(options.gpus)
    if options.amp:
        device_tools.start_amp(devices)

    # data: the workers start before the network exists, so that they carry none of it
    training_set, validation_set = open_classes(options.dataset, options.dataset_root or None)
    LOGGER.info("run %s on %s: %d and %d images of %d classes", run.folder, ", ".join(map(str, devices)), len(training_set),
                len(validation_set), len(training_set.classes))
    run.write_classes(training_set.classes)
    sampler = build_sampler(options, len(training_set), 1, None)
    images = ClassImages(training_set.samples, options.data_shape, options.least_area, not options.no_augment)
    loader = training_loader(WorkerDataset(images), sampler, options.num_workers, devices[0].device_type == "gpu", ClassBatch)
    validation = validation_loader(WorkerDataset(ClassImages(validation_set.samples, options.data_shape)), options.batch_size,
                                   options.num_workers)

    # network and loss
    mx.random.seed(options.seed)
    network = build_classifier(options.network, len(training_set.classes), devices, options.data_shape, options.last_gamma)
    graph = TrainingGraph(network, len(training_set.classes), options.label_smooth_eps)
    graph.hybridize(static_alloc=True)
    scoring = ScoringGraph(network)
    scoring.hybridize(static_alloc=True)

    # trainer
    arguments = dict(mode=options.lr_mode, base_lr=options.lr, iterations=options.epochs * sampler.batches,
                     warmup=options.warmup_epochs * sampler.batches, warmup_lr=options.warmup_lr,
                     steps=[epoch * sampler.batches for epoch in integers(options.lr_decay_epoch, "--lr-decay-epoch")],
                     factor=options.lr_decay)
    if options.no_wd:
        exempt_from_decay(network)
    trainer = device_tools.build_trainer(network.collect_params(), build_optimizer(options, build_schedule(**arguments)),
                                         devices, options.amp)
    step = Step(graph, lambda *arrays: arrays, trainer, devices, options.batch_size, options.amp)

    # loop
    def validate(should_stop=lambda: False):
        labels = [sample.class_id for sample in validation_set.samples]
        return accuracy(scoring, validation, labels, devices[0], TOP_K, should_stop)

    position = {}
    if checkpoint:
        position = load_checkpoint(checkpoint, network, trainer)
        LOGGER.info("going on from %s", checkpoint)
    fit = ClassifierEngine(run, options, network, step, sampler, loader, rates_of(**arguments), ("cross_entropy",), validate,
                        position, options.network)
    run.forget_after(fit.iteration)
    last = fit.run_epochs()
    return {"run": run.folder, "accuracy": last["accuracy"], "top5": last["top5"], "best_accuracy": fit.best["map"],
            "epochs": options.epochs, "iterations": fit.iteration, "seed": options.seed, "mixup": options.mixup,
            "weights": run.path("last.params")}

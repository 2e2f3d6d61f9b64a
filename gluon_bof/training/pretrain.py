"""python -m gluon_bof pretrain: train a backbone as a classifier, with or without mixup (paper, Tables 5 and 6).

Its last.params is what a detector's --pretrained-base takes. Without --dataset: the objects of the embedded set."""
from __future__ import annotations

import sys

from gluon_bof.errors import user_facing
from gluon_bof.options import integers, parse, to_json
from gluon_bof.training.pretrain_options import PretrainOptions, check_pretrain

BEST_OF = 5  # classes among which top-5 accuracy looks for the right one


@user_facing
def main(argv=None):
    """Train as the flags say; the last line on standard output is one JSON object with the accuracy."""
    options, given, dry_run = parse(PretrainOptions, PretrainOptions(), argv, __doc__)
    check_pretrain(options)
    if dry_run:
        print(to_json(options))
        return
    from gluon_bof.training.script import run_training
    run_training(options, given, train)


def train(options, run, checkpoint):
    """The pipeline. Returns {"run": folder, "accuracy": of the last epoch, …}."""
    from gluon_bof.backend import mx
    from gluon_bof.data.classification import ClassPictures, open_classes
    from gluon_bof.data.loader import training_loader, validation_loader
    from gluon_bof.models import devices as device_tools
    from gluon_bof.models.classifier import ScoringGraph, TrainingGraph, build_classifier
    from gluon_bof.training.checkpoint import load_checkpoint
    from gluon_bof.training.classifying import ClassBatch, ClassifierFit, InWorker, accuracy
    from gluon_bof.training.fit import LOGGER
    from gluon_bof.training.loop import Step
    from gluon_bof.training.optimizer import build_optimizer, exempt_from_decay
    from gluon_bof.training.schedule import build_schedule, rates_of
    from gluon_bof.training.script import batch_draws

    devices = device_tools.contexts(options.gpus)
    if options.amp:
        device_tools.start_amp(devices)

    # data: the workers start before the network exists, so that they carry none of it
    training_set, validation_set = open_classes(options.dataset, options.dataset_root or None)
    LOGGER.info("run %s on %s: %d and %d pictures of %d classes", run.folder, ", ".join(map(str, devices)), len(training_set),
                len(validation_set), len(training_set.classes))
    run.write_classes(training_set.classes)
    draws = batch_draws(options, len(training_set), 1, None)
    pictures = ClassPictures(training_set.samples, options.data_shape, options.least_area, not options.no_augment)
    loader = training_loader(InWorker(pictures), draws, options.num_workers, devices[0].device_type == "gpu", ClassBatch)
    validation = validation_loader(InWorker(ClassPictures(validation_set.samples, options.data_shape)), options.batch_size,
                                   options.num_workers)

    # network and loss
    mx.random.seed(options.seed)
    network = build_classifier(options.network, len(training_set.classes), devices, options.data_shape, options.last_gamma)
    graph = TrainingGraph(network, len(training_set.classes), options.label_smooth_eps)
    graph.hybridize(static_alloc=True)
    scoring = ScoringGraph(network)
    scoring.hybridize(static_alloc=True)

    # trainer
    arguments = dict(mode=options.lr_mode, base_lr=options.lr, iterations=options.epochs * draws.batches,
                     warmup=options.warmup_epochs * draws.batches, warmup_lr=options.warmup_lr,
                     steps=[epoch * draws.batches for epoch in integers(options.lr_decay_epoch, "--lr-decay-epoch")],
                     factor=options.lr_decay)
    if options.no_wd:
        exempt_from_decay(network)
    trainer = device_tools.build_trainer(network.collect_params(), build_optimizer(options, build_schedule(**arguments)),
                                         devices, options.amp)
    step = Step(graph, lambda *arrays: arrays, trainer, devices, options.batch_size, options.amp)

    # loop
    def validate(should_stop=lambda: False):
        labels = [sample.class_id for sample in validation_set.samples]
        return accuracy(scoring, validation, labels, devices[0], BEST_OF, should_stop)

    position = {}
    if checkpoint:
        position = load_checkpoint(checkpoint, network, trainer)
        LOGGER.info("going on from %s", checkpoint)
    fit = ClassifierFit(run, options, network, step, draws, loader, rates_of(**arguments), ("cross_entropy",), validate,
                        position, options.network)
    run.forget_after(fit.iteration)
    last = fit.run_epochs()
    return {"run": run.folder, "accuracy": last["accuracy"], "top5": last["top5"], "best_accuracy": fit.best["map"],
            "epochs": options.epochs, "iterations": fit.iteration, "seed": options.seed, "mixup": options.mixup,
            "weights": run.path("last.params")}


if __name__ == "__main__":
    main(sys.argv[1:])

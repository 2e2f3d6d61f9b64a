"""Train Cells: options, data, network, loss, trainer, loop."""
import sys
from functools import partial

from gluon_bof import data, evaluation, freebies, inference, models, training
from gluon_bof.options import families
from tests.third_family import model

LOSSES = ("box", "class")


def main(argv=None):
    """Train as the flags say; the last line on standard output is one JSON object. Returns what it holds."""
    return training.run_script("cells", argv, __doc__, train)


def train(options, run, checkpoint=None):
    """The pipeline. Returns {"run": folder, "map": of the last validation, …}."""
    # data: the workers start before the network exists, so that they carry none of it
    devices = training.start_devices(options, run)
    sets = training_set, validation_set = training.open_sets(options, run)
    sampler = training.build_sampler(options, len(training_set), repeats=data.repeats_of(options, training_set))
    augmentation = freebies.Augmentation.none() if options.no_augment else freebies.Augmentation()
    images = data.TrainingImages(training_set.records, augmentation, options.mixup_loss == "weighted", options.on_bad_sample,
                                 read=data.image_reader(training_set.records, options.cache, run.folder))
    smoothing = freebies.equation_3(options.label_smooth_eps, len(training_set.classes))
    batchify = partial(model.CellBatch, class_count=len(training_set.classes), smoothing=smoothing)
    loader = data.training_loader(images, sampler, options.num_workers, batchify=batchify)
    validation = evaluation.Validation(options, validation_set)

    # network and losses
    network = initialised_network(options, training_set.classes, devices, checkpoint)
    detector = inference.Detector(network, options, devices[0])
    graph = model.TrainingGraph(network)
    graph.hybridize(static_alloc=True)

    # trainer
    schedule = dict(mode=options.lr_mode, base_lr=options.lr, iterations=options.epochs * sampler.updates,
                    steps=[epoch * sampler.updates for epoch in options.lr_decay_epoch], factor=options.lr_decay)
    optimizer = training.build_optimizer(options, freebies.build_schedule(**schedule))
    trainer = training.build_trainer(network.trained_parameters(), optimizer, devices, options.amp, options.kv_store)
    step = training.Step(graph, lambda *arrays: arrays, trainer, devices, options.batch_size, options.amp, options.accumulate)

    # loop
    engine = training.Engine(run, options, network, step, sampler, loader, LOSSES,
                             partial(validation, detector), training.restore(options, checkpoint, network, trainer))
    return training.fit(engine, run, images, sets, validation, detector)


def initialised_network(options, classes, devices, checkpoint=None):
    """The network with every parameter filled and on its devices."""
    training.seed(options.seed)
    network = models.build_network(options, classes, devices)
    training.initialise_weights(network, options, checkpoint)
    return network


if __name__ == "__main__":
    from tests.third_family import FAMILY
    families.FAMILIES.append(FAMILY)  # which in the package is a row there
    main(sys.argv[1:])

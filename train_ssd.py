"""Train SSD with the paper's bag of freebies: options, data, network, loss, trainer, loop.

Without --dataset it trains on the embedded set with every freebie on. Accepts every flag of GluonCV's script of this
name with its meaning and default; where it differs on purpose, --help says so.

    python train_ssd.py --dataset FOLDER --network mobilenet1.0 --data-shape 512 --mixup --lr-mode cosine"""
import sys
from functools import partial

try:
    from gluon_bof import data, evaluation, freebies, inference, models, training
except ImportError as unsupported:  # a Python or NumPy that MXNet 1.9.1 does not run on; the message says which do
    print(f"error: {unsupported}", file=sys.stderr)
    raise SystemExit(2) from None

LOSSES = ("class", "box")


def main(argv=None):
    """Train as the flags say; the last line on standard output is one JSON object. Returns what it holds."""
    return training.run_script("ssd", argv, __doc__, train)


def train(options, run, checkpoint=None):
    """The pipeline. Returns {"run": folder, "map": of the last validation, …}."""
    # data: the workers start before the network exists, so that they carry none of it
    devices = training.start_devices(options, run)
    sets = training_set, validation_set = training.open_sets(options, run)
    sampler = training.build_sampler(options, len(training_set), options.random_shape_interval,
                                     repeats=data.repeats_of(options, training_set))
    schedule = freebies.build_schedule(**training.epoch_schedule(options, sampler.updates))
    images = data.TrainingImages(training_set.records, freebies.Augmentation.of_flags(options),
                                 options.mixup_loss == "weighted", options.on_bad_sample,
                                 read=data.image_reader(training_set.records, options.cache, run.folder))
    loader = data.training_loader(images, sampler, options.num_workers, pin=devices[0].device_type == "gpu")
    validation = evaluation.Validation(options, validation_set)

    # network
    network = initialised_network(options, training_set.classes, devices, checkpoint)
    detector = inference.Detector(network, options, devices[0])

    # loss
    class_count = len(training_set.classes)
    smoothing = freebies.equation_3(options.label_smooth_eps, class_count + 1)  # background is a class of its own
    loss = models.ssd.MultiBoxLoss(class_count, smoothing, is_on_cpus=devices[0].device_type == "cpu")
    graph = models.ssd.TrainingGraph(network, loss)
    graph.hybridize(static_alloc=True)

    # trainer
    optimizer = training.build_optimizer(options, schedule)
    if options.no_wd:
        training.exempt_from_decay(network)
    trainer = training.build_trainer(network.trained_parameters(), optimizer, devices, options.amp, options.kv_store)
    step = training.Step(graph, lambda batch, truth: (batch, truth), trainer, devices, options.batch_size, options.amp,
                         options.accumulate)

    # loop
    engine = training.Engine(run, options, network, step, sampler, loader, LOSSES,
                             partial(validation, detector), training.restore(options, checkpoint, network, trainer))
    if not engine.is_finished:
        sizes = sorted(options.training_sizes(), reverse=True)
        training.take_memory(step, (data.largest_batch(training_set.records, sampler.largest_share, size, options.mixup)
                                    for size in sizes), detector)
    return training.fit(engine, run, images, sets, validation, detector)


def initialised_network(options, classes, devices, checkpoint=None):
    """The network with every parameter filled and on its devices."""
    training.seed(options.seed)
    network = models.build_network(options, classes, devices)
    training.initialise_weights(network, options, checkpoint)
    return network


if __name__ == "__main__":
    main(sys.argv[1:])

"""Train YOLOv3 with the paper's bag of freebies: options, data, network, loss, trainer, loop.

Without --dataset it trains on the embedded set with every freebie on. Accepts every flag of GluonCV's script of this
name with its meaning and default; where it differs on purpose, --help says so.

    python train_yolo3.py --dataset FOLDER --network mobilenet1.0 --mixup --label-smooth-eps 0.1 --lr-mode cosine"""
import sys
from functools import partial

try:
    from gluon_bof import data, errors, evaluation, freebies, inference, models, training
except ImportError as unsupported:  # a Python or NumPy that MXNet 1.9.1 does not run on; the message says which do
    print(f"error: {unsupported}", file=sys.stderr)
    raise SystemExit(2) from None

LOSSES = ("objectness", "centre", "scale", "class")


def main(argv=None):
    """Train as the flags say; the last line on standard output is one JSON object. Returns what it holds."""
    return training.run_script("yolo3", argv, __doc__, train)


def train(options, run, checkpoint=None):
    """The pipeline. Returns {"run": folder, "map": of the last validation, …}."""
    # data: the workers start before the network exists, so that they carry none of it
    devices = training.start_devices(options, run)
    sets = training_set, validation_set = training.open_sets(options, run)
    sampler = training.build_sampler(options, len(training_set), options.random_shape_interval,
                                     repeats=data.repeats_of(options, training_set))
    schedule = freebies.build_schedule(**learning_rate(options, sampler.updates))
    images = data.TrainingImages(training_set.records, freebies.Augmentation.of_flags(options),
                                 options.mixup_loss == "weighted", options.on_bad_sample,
                                 read=data.image_reader(training_set.records, options.cache, run.folder))
    loader = data.training_loader(images, sampler, options.num_workers, pin=devices[0].device_type == "gpu")
    validation = evaluation.Validation(options, validation_set)

    # network
    network = initialised_network(options, training_set.classes, devices, checkpoint)
    detector = inference.Detector(network, options, devices[0])

    # loss
    loss = models.yolo3.YOLOv3Loss(len(training_set.classes), class_smoothing(options, len(training_set.classes)))
    graph = models.yolo3.TrainingGraph(network, loss)
    graph.hybridize(static_alloc=True)

    # trainer
    optimizer = training.build_optimizer(options, schedule)
    if options.no_wd:
        training.exempt_from_decay(network)
    trainer = training.build_trainer(network.trained_parameters(), optimizer, devices, options.amp, options.kv_store)
    anchors = options.anchor_rows() or models.yolo3.ANCHORS
    step = training.Step(
        graph, lambda batch, truth: (batch, truth, *models.yolo3.grid_on(batch.context, batch.shape[1], anchors)),
        trainer, devices, options.batch_size, options.amp, options.accumulate)

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
    if options.init == "near-identity":
        models.yolo3.initialise_near_identity(network)
    if options.objectness_prior != 0.5:
        models.yolo3.set_objectness_prior(network, options.objectness_prior)
    training.initialise_weights(network, options, checkpoint)
    return network


def class_smoothing(options, class_count):
    """Eq. 3 (paper, section 3.2), GluonCV's variant, or none."""
    if options.label_smooth:
        return freebies.gluoncv_variant(class_count)
    if options.label_smooth_eps and class_count == 1:
        errors.warn(f"--label-smooth-eps {options.label_smooth_eps:g} does nothing with one class, which keeps all of its target "
                    "by Eq. 3; --label-smooth, GluonCV's, smooths it")
    return freebies.equation_3(options.label_smooth_eps, class_count)


def learning_rate(options, updates):
    """The schedule's settings, counted in iterations, which are updates (paper, section 3.4)."""
    epochs = freebies.step_epochs(options.lr_decay_epoch, options.lr_decay_period, options.epochs)
    return dict(training.epoch_schedule(options, updates), steps=[epoch * updates for epoch in epochs])


if __name__ == "__main__":
    main(sys.argv[1:])

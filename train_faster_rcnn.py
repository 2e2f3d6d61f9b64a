"""Train Faster R-CNN with the paper's bag of freebies: options, data, network, losses, trainer, loop.

Without --dataset it trains on the embedded set with every freebie on. Accepts every flag of GluonCV's script of this
name with its meaning and default; where it differs on purpose, --help says so.

    python train_faster_rcnn.py --dataset FOLDER --use-fpn --mixup --no-mixup-epochs 2 --label-smooth-eps 0.1
    python train_faster_rcnn.py --recipe photographs --dataset FOLDER  # a few hundred photographs, on a CPU"""
import sys
from functools import partial

try:
    from gluon_bof import data, errors, evaluation, freebies, inference, models, training
except ImportError as unsupported:  # a Python or NumPy that MXNet 1.9.1 does not run on; the message says which do
    print(f"error: {unsupported}", file=sys.stderr)
    raise SystemExit(2) from None

LOSSES = ("rpn_class", "rpn_box", "head_class", "head_box")


def main(argv=None):
    """Train as the flags say; the last line on standard output is one JSON object. Returns what it holds."""
    return training.run_script("faster_rcnn", argv, __doc__, train)


def train(options, run, checkpoint=None):
    """The pipeline. Returns {"run": folder, "map": of the last validation, …}."""
    # data: the workers start before the network exists, so that they carry none of it; anchors are sampled by them
    devices = training.start_devices(options, run)
    sets = training_set, validation_set = training.open_sets(options, run)
    sampler = training.build_sampler(options, len(training_set),
                                     aspects=[record.width / record.height for record in training_set.records],
                                     repeats=data.repeats_of(options, training_set))
    schedule = freebies.build_schedule(**training.update_schedule(options, sampler.updates))
    images = models.faster_rcnn.KeyedImages(training_set.records, augmentation(options), options.mixup_loss != "unweighted",
                                            options.on_bad_sample, data.ShortSide(options.image_max_size),
                                            data.image_reader(training_set.records, options.cache, run.folder))
    sampler.padding = images.padding
    batchify = partial(models.faster_rcnn.RegionBatch, grid=models.faster_rcnn.anchor_grid(options),
                       proposals=options.rpn_train_post_nms, one_ratio=options.mixup_loss == "global")
    loader = data.training_loader(images, sampler, options.num_workers, devices[0].device_type == "gpu", batchify)
    validation = evaluation.Validation(options, validation_set)

    # network
    network = initialised_network(options, training_set.classes, devices, checkpoint)
    if options.verbose:
        errors.LOGGER.info("trained parameters: %s", ", ".join(network.trained_parameters().keys()))
    detector = inference.Detector(network, options, devices[0])

    # losses
    class_count = len(training_set.classes)
    smoothing = freebies.equation_3(options.label_smooth_eps, class_count + 1)  # background is a class of its own
    loss = models.faster_rcnn.FasterRCNNLoss(class_count, smoothing, options.rpn_smoothl1_rho, options.rcnn_smoothl1_rho)
    graph = models.faster_rcnn.TrainingGraph(network, loss)
    if not options.disable_hybridization:
        graph.hybridize(static_alloc=options.static_alloc)

    # trainer
    optimizer = training.build_optimizer(options, schedule)
    trainer = training.build_trainer(network.trained_parameters(), optimizer, devices, options.amp, options.kv_store)
    step = training.Step(graph, lambda *arrays: arrays, trainer, devices, options.batch_size, options.amp, options.accumulate)

    # loop
    engine = training.Engine(run, options, network, step, sampler, loader, LOSSES,
                             partial(validation, detector), training.restore(options, checkpoint, network, trainer))
    if not engine.is_finished:
        training.take_memory(step, models.faster_rcnn.largest_batches(images, batchify(False), options, sampler.largest_share),
                             detector)
    return training.fit(engine, run, images, sets, validation, detector)


def augmentation(options):
    """Flips, and nothing else, are what Faster R-CNN's training has in the paper; --no-augment takes them too."""
    return freebies.Augmentation.flips_only(not options.no_augment)


def initialised_network(options, classes, devices, checkpoint=None):
    """The network with every parameter filled and on its devices; those that do not learn have no gradient."""
    training.seed(options.seed)
    network = models.build_network(options, classes, devices)
    network.freeze_the_rest()
    training.initialise_weights(network, options, checkpoint)
    return network


if __name__ == "__main__":
    main(sys.argv[1:])

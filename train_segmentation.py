"""Train FCN or U-Net with the paper's bag of freebies: options, data, network, loss, trainer, loop.

Without --dataset it trains a U-Net on the embedded set with every freebie on. Accepts every flag of GluonCV's
scripts/segmentation/train.py with its meaning and default; where it differs on purpose, --help says so.

    python train_segmentation.py --dataset FOLDER --model unet --upsampling transposed --mixup --label-smooth-eps 0.1"""
import sys
from functools import partial

try:
    from gluon_bof import data, evaluation, freebies, inference, models, training
except ImportError as unsupported:  # a Python or NumPy that MXNet 1.9.1 does not run on; the message says which do
    print(f"error: {unsupported}", file=sys.stderr)
    raise SystemExit(2) from None

POLY_POWER = 0.9  # GluonCV's


def main(argv=None):
    """Train as the flags say; the last line on standard output is one JSON object. Returns what it holds."""
    return training.run_script("segmentation", argv, __doc__, train)


def train(options, run, checkpoint=None):
    """The pipeline. Returns {"run": folder, "miou": of the last validation, …}."""
    # data: the workers start before the network exists, so that they carry none of it
    devices = training.start_devices(options, run)
    sets = training_set, validation_set = training.open_label_sets(options, run)
    class_count, mixes = len(training_set.classes), bool(options.mixup) and options.no_mixup_epochs < options.epochs
    maps = 2 if mixes else 1  # label maps of an image
    sampler = training.build_sampler(options, len(training_set))
    schedule = freebies.build_schedule(**learning_rate(options, sampler.updates))
    images = data.MapImages(training_set.samples, class_count, None if options.no_augment else options.base_size, mixes,
                            options.on_bad_sample)
    loader = data.training_loader(images, sampler, options.num_workers, devices[0].device_type == "gpu", training.MapBatch)
    validation = evaluation.MapValidation(options, validation_set)

    # network
    network = initialised_network(options, training_set.classes, devices, checkpoint)
    segmenter = inference.Segmenter(network, options, devices[0])

    # loss
    loss = models.segmentation.SegmentationLoss(maps, freebies.equation_3(options.label_smooth_eps, class_count))
    graph = models.segmentation.TrainingGraph(network, loss, options.aux_weight if options.aux else 0)
    graph.hybridize(static_alloc=True)

    # trainer
    optimizer = training.build_optimizer(options, schedule)
    if options.no_wd:
        training.exempt_from_decay(network)
    trainer = training.build_trainer(network.trained_parameters(), optimizer, devices, options.amp, options.kv_store)
    arguments = training.Reseeded(options.seed)
    step = training.Step(graph, arguments, trainer, devices, options.batch_size, options.amp, options.accumulate)
    arguments.step = step

    # loop
    losses = ("cross_entropy", "auxiliary")[:len(graph.COUNTED)]
    engine = training.Engine(run, options, network, step, sampler, loader, losses, partial(validation, segmenter),
                             training.restore(options, checkpoint, network, trainer), training.SCORING)
    if options.eval:
        return training.only_validated(options, run, validation, segmenter)
    if not engine.is_finished:
        training.take_memory(step, [training.blank_batch(sampler.largest_share, maps, options.crop_size)], segmenter)
    return training.fit_maps(engine, run, images, sets, validation, segmenter)


def initialised_network(options, classes, devices, checkpoint=None):
    """The network with every parameter filled and on its devices."""
    training.seed(options.seed)
    network = models.build_network(options, classes, devices)
    training.initialise_weights(network, options, checkpoint)
    return network


def learning_rate(options, updates):
    """The schedule's settings, counted in iterations, which are updates (paper, section 3.4)."""
    return dict(training.epoch_schedule(options, updates), power=POLY_POWER)


if __name__ == "__main__":
    main(sys.argv[1:])

"""Train Mask R-CNN with the paper's bag of freebies: options, data, network, losses, trainer, loop.

Without --dataset it trains on the embedded set, whose silhouettes are drawn, with every freebie on. Accepts every flag of
GluonCV's script of this name with its meaning and default; where it differs on purpose, --help says so.

    python train_mask_rcnn.py --dataset FOLDER --use-fpn --mixup --no-mixup-epochs 3 --label-smooth-eps 0.1"""
import sys
from functools import partial

try:
    from gluon_bof import data, errors, evaluation, freebies, inference, models, training
    from gluon_bof.options.families import map_in_words
except ImportError as unsupported:  # a Python or NumPy that MXNet 1.9.1 does not run on; the message says which do
    print(f"error: {unsupported}", file=sys.stderr)
    raise SystemExit(2) from None

LOSSES = ("rpn_class", "rpn_box", "head_class", "head_box", "head_mask")


def main(argv=None):
    """Train as the flags say; the last line on standard output is one JSON object. Returns what it holds."""
    return training.run_script("mask_rcnn", argv, __doc__, train)


def train(options, run, checkpoint=None):
    """The pipeline. Returns {"run": folder, "map": of the last validation's masks, …}."""
    # data: the workers start before the network exists, so that they carry none of it; anchors are sampled by them
    devices = training.start_devices(options, run)
    sets = training_set, validation_set = training.open_sets(options, run)
    sampler = training.build_sampler(options, len(training_set),
                                     aspects=[record.width / record.height for record in training_set.records],
                                     repeats=data.repeats_of(options, training_set))
    schedule = freebies.build_schedule(**training.update_schedule(options, sampler.updates))
    images = models.mask_rcnn.MaskedImages(training_set.records, augmentation(options), options.mixup_loss != "unweighted",
                                           options.on_bad_sample, data.ShortSide(options.image_max_size),
                                           data.image_reader(training_set.records, options.cache, run.folder))
    sampler.padding = images.padding
    sampled = dict(grid=models.faster_rcnn.anchor_grid(options), proposals=options.rpn_train_post_nms,
                   one_ratio=options.mixup_loss == "global")
    loader = data.training_loader(images, sampler, options.num_workers, devices[0].device_type == "gpu",
                                  partial(models.mask_rcnn.MaskBatch, **sampled))
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
    graph = models.mask_rcnn.TrainingGraph(network, loss)
    if not options.disable_hybridization:
        graph.hybridize(static_alloc=options.static_alloc)

    # trainer
    optimizer = training.build_optimizer(options, schedule)
    if options.clip_gradient > 0:
        optimizer.clip_gradient = options.clip_gradient
    training.exempt_from_decay(network, ".*bias")  # as GluonCV's script does
    trainer = training.build_trainer(network.trained_parameters(), optimizer, devices, options.amp, options.kv_store)
    step = training.Step(graph, lambda *arrays: arrays, trainer, devices, options.batch_size, options.amp, options.accumulate)

    # loop
    engine = training.Engine(run, options, network, step, sampler, loader, LOSSES,
                             partial(validation, detector), training.restore(options, checkpoint, network, trainer),
                             training.Scoring(("map",), "map", f"validation {map_in_words(of_masks=True)}"))
    if not engine.is_finished:
        largest = models.mask_rcnn.largest_batches(images, models.faster_rcnn.RegionBatch(False, **sampled), options,
                                                   sampler.largest_share)
        training.take_memory(step, largest, detector)
    return training.fit(engine, run, images, sets, validation, detector)


def augmentation(options):
    """Flips, and nothing else, as Faster R-CNN's training has them in the paper; --no-augment takes them too."""
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

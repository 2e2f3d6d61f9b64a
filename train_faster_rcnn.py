"""Train Faster R-CNN with the paper's bag of freebies: options, data, network, losses, trainer, loop.

Without --dataset it trains on the embedded set with every freebie on. Accepts every flag of GluonCV's script of this
name with its meaning and default; where it differs on purpose, --help says so."""
import sys

try:
    from gluon_bof.errors import user_facing
except ImportError as unsupported:  # a Python or NumPy that MXNet 1.9.1 does not run on; the message says which do
    print(f"error: {unsupported}", file=sys.stderr)
    raise SystemExit(2)
from gluon_bof.errors import warn
from gluon_bof.options.faster_rcnn import FasterRcnnOptions, check_faster_rcnn, resolve
from gluon_bof.options.flags import integers, parse, to_json
from gluon_bof.options.recipes import EMBEDDED_FASTER_RCNN

LOSSES = ("rpn_class", "rpn_box", "head_class", "head_box")


@user_facing
def main(argv=None):
    """Train as the flags say; the last line on standard output is one JSON object. Returns what it holds."""
    options, given, dry_run = parse(FasterRcnnOptions, EMBEDDED_FASTER_RCNN, argv, __doc__)
    options = resolve(options)
    check_faster_rcnn(options)
    if dry_run:
        print(to_json(options))
        return None
    from gluon_bof.training.pipeline import run_training
    return run_training(options, given, train)


def train(options, run, checkpoint):
    """The pipeline. Returns {"run": folder, "map": of the last validation, …}."""
    from functools import partial

    from gluon_bof import devices as device_tools
    from gluon_bof.backend import mx
    from gluon_bof.data.loader import ValidationImages, training_loader, validation_loader
    from gluon_bof.data.transforms import ShortSide
    from gluon_bof.evaluation.detect import detect
    from gluon_bof.evaluation.score import score
    from gluon_bof.inference.detector import Detector
    from gluon_bof.models.build import eval_transform, export_name, inference_batch
    from gluon_bof.models.faster_rcnn.anchors import anchor_grid
    from gluon_bof.models.faster_rcnn.batch import KeyedImages, RegionBatch
    from gluon_bof.models.faster_rcnn.loss import FasterRCNNLoss, TrainingGraph
    from gluon_bof.training.checkpoint import load_checkpoint
    from gluon_bof.training.engine import LOGGER, Engine
    from gluon_bof.training.loop import Step
    from gluon_bof.training.pipeline import build_sampler, open_sets, outcome_of
    from gluon_bof.visualization.run_pages import draw_detections, draw_run, draw_training_batch
    from gluon_bof.weights.load import load_weights

    # devices
    horovod = device_tools.start_horovod() if options.horovod else None
    devices = [mx.gpu(horovod.local_rank())] if horovod else device_tools.contexts(options.gpus)
    LOGGER.info("run %s on %s", run.folder, ", ".join(map(str, devices)))
    if options.amp:
        device_tools.start_amp(devices)

    # data: the workers start before the network exists, so that they carry none of it; anchors are sampled by them
    training_set, validation_set = open_sets(options)
    run.write_classes(training_set.classes)
    sampler = build_sampler(options, len(training_set), 1, horovod,
                        [record.width / record.height for record in training_set.records])
    images = KeyedImages(training_set.records, augmentation(options), options.mixup_loss != "unweighted",
                             options.on_bad_sample, ShortSide(options.image_max_size))
    loader = training_loader(images, sampler, options.num_workers, devices[0].device_type == "gpu",
                             partial(RegionBatch, grid=anchor_grid(options), proposals=options.rpn_train_post_nms,
                                     one_ratio=options.mixup_loss == "global"))
    validation = validation_loader(ValidationImages(validation_set.records, eval_transform(options)),
                                   inference_batch(options), options.num_workers)

    # network
    mx.random.seed(options.seed)
    network = initialised_network(options, training_set.classes, devices, checkpoint)
    if options.verbose:
        LOGGER.info("trained parameters: %s", ", ".join(network.collect_train_params().keys()))
    detector = Detector(network, options, devices[0])

    # losses
    graph = TrainingGraph(network, FasterRCNNLoss(len(training_set.classes),
                                                  class_smoothing(options, len(training_set.classes)),
                                                  options.rpn_smoothl1_rho, options.rcnn_smoothl1_rho))
    if not options.disable_hybridization:
        graph.hybridize(static_alloc=options.static_alloc)

    # trainer
    rates, optimizer = schedule_and_optimizer(options, sampler.batches)
    trainer = device_tools.build_trainer(network.collect_train_params(), optimizer, devices, options.amp, horovod,
                                         options.kv_store)
    step = Step(graph, lambda *arrays: arrays, trainer, devices, options.batch_size, options.amp)

    # validation
    latest = {}

    def validate(should_stop=lambda: False):
        found = detect(detector.graph, validation, validation_set.records, devices[0], should_stop, "validating")
        latest["detections"] = found
        return None if found is None else score(found, validation_set, options.metric)

    # loop
    position = {}
    if checkpoint:
        position = load_checkpoint(checkpoint, network, trainer)
        LOGGER.info("going on from %s", checkpoint)
    elif options.resume.endswith(".params"):
        load_weights(network, options.resume, options.allow_partial)
    fit = Engine(run, options, network, step, sampler, loader, rates, LOSSES, validate, position, export_name(options))
    run.forget_after(fit.iteration)
    draw_training_batch(run, images, sampler, training_set.classes)
    last = fit.run_epochs()

    # outcome
    if not latest:  # a finished run was resumed: there was nothing left to validate
        validate()
    draw_detections(run, validation_set, latest["detections"])
    return outcome_of(run, options, fit, last, (training_set, validation_set), draw_run(run))


def augmentation(options):
    """Flips, and nothing else, are what Faster R-CNN's training has in the paper; --no-augment takes them too."""
    import cv2

    from gluon_bof.freebies.augmentation import Augmentation
    return Augmentation(False, False, False, not options.no_augment, False, cv2.INTER_LINEAR)


def initialised_network(options, classes, devices, checkpoint=None):
    """The network with every parameter filled and on its devices; those that do not learn have no gradient."""
    from gluon_bof.models.build import build_network
    from gluon_bof.training.initialise import initialise_weights
    if options.pretrained_base == "no" and not (options.norm_layer or options.resume or options.transfer):
        warn("normalisation is frozen and the backbone is untrained: --norm-layer syncbn lets it learn")
    network = build_network(options, classes, devices)
    network.freeze_the_rest()
    initialise_weights(network, options, checkpoint)
    return network


def class_smoothing(options, class_count):
    """Eq. 3 over the classes and background, or none."""
    from gluon_bof.freebies.label_smoothing import Smoothing, equation_3
    return equation_3(options.label_smooth_eps, class_count + 1) if options.label_smooth_eps else Smoothing()


def schedule_and_optimizer(options, batches):
    """(learning rate of every iteration, optimizer that follows it)."""
    from gluon_bof.freebies.schedule import build_schedule, rates_of
    from gluon_bof.training.optimizer import build_optimizer
    # GluonCV's ramp reaches the full rate at iteration number --lr-warmup, the schedule's at the last of its warm-up
    warmup = options.lr_warmup + 1 if options.lr_warmup > 0 else 0
    steps = integers(options.lr_decay_epoch, "--lr-decay-epoch")
    arguments = dict(mode=options.lr_mode, base_lr=options.lr, iterations=options.epochs * batches, warmup=warmup,
                     warmup_lr=options.lr * options.lr_warmup_factor, steps=[epoch * batches for epoch in steps],
                     factor=options.lr_decay)
    return rates_of(**arguments), build_optimizer(options, build_schedule(**arguments))


if __name__ == "__main__":
    main(sys.argv[1:])

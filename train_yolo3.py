"""Train YOLOv3 with the paper's bag of freebies: options, data, network, loss, trainer, loop.

Without --dataset it trains on the embedded set with every freebie on. Accepts every flag of GluonCV's script of this
name with its meaning and default; where it differs on purpose, --help says so."""
import sys
import warnings

try:
    from gluon_bof.errors import user_facing
except ImportError as unsupported:  # a Python or NumPy that MXNet 1.9.1 does not run on; the message says which do
    print(f"error: {unsupported}", file=sys.stderr)
    raise SystemExit(2)
from gluon_bof.options.flags import integers, parse, to_json
from gluon_bof.options.recipes import EMBEDDED_YOLO3
from gluon_bof.options.yolo3 import Yolo3Options, check_yolo3

LOSSES = ("objectness", "centre", "scale", "class")


@user_facing
def main(argv=None):
    """Train as the flags say; the last line on standard output is one JSON object. Returns what it holds."""
    options, given, dry_run = parse(Yolo3Options, EMBEDDED_YOLO3, argv, __doc__)
    if options.anchors or options.transfer or options.resume.endswith(".params"):
        from gluon_bof.weights.resolve import resolve_anchors
        options = resolve_anchors(options)
    check_yolo3(options)
    if dry_run:
        print(to_json(options))
        return None
    from gluon_bof.training.pipeline import run_training
    return run_training(options, given, train)


def train(options, run, checkpoint):
    """The pipeline. Returns {"run": folder, "map": of the last validation, …}."""
    from gluon_bof import devices as device_tools
    from gluon_bof.backend import mx
    from gluon_bof.data.loader import TrainingImages, ValidationImages, largest_batch, training_loader, validation_loader
    from gluon_bof.evaluation.detect import detect
    from gluon_bof.evaluation.score import score
    from gluon_bof.inference.detector import Detector
    from gluon_bof.models.build import eval_transform, export_name
    from gluon_bof.models.yolo3.loss import TrainingGraph, YOLOv3Loss
    from gluon_bof.models.yolo3.network import ANCHORS
    from gluon_bof.models.yolo3.targets import grid_on
    from gluon_bof.training.checkpoint import load_checkpoint
    from gluon_bof.training.engine import LOGGER, Engine
    from gluon_bof.training.loop import Step
    from gluon_bof.training.pipeline import build_sampler, open_sets, outcome_of
    from gluon_bof.visualization.run_pages import draw_detections, draw_run, draw_training_batch
    from gluon_bof.weights.load import load_weights

    warnings.filterwarnings("ignore", message=".*not used by any computation")  # anchors, while training

    # devices
    horovod = device_tools.start_horovod() if options.horovod else None
    devices = [mx.gpu(horovod.local_rank())] if horovod else device_tools.contexts(options.gpus)
    LOGGER.info("run %s on %s", run.folder, ", ".join(map(str, devices)))
    if options.amp:
        device_tools.start_amp(devices)

    # data: the workers start before the network exists, so that they carry none of it
    training_set, validation_set = open_sets(options)
    run.write_classes(training_set.classes)
    sampler = build_sampler(options, len(training_set), options.random_shape_interval, horovod)
    images = TrainingImages(training_set.records, augmentation(options), options.mixup_loss == "weighted",
                                options.on_bad_sample)
    loader = training_loader(images, sampler, options.num_workers, pin=devices[0].device_type == "gpu")
    validation = validation_loader(ValidationImages(validation_set.records, eval_transform(options)),
                                   options.batch_size, options.num_workers)

    # network
    mx.random.seed(options.seed)
    network = initialised_network(options, training_set.classes, devices, checkpoint)
    detector = Detector(network, options, devices[0])

    # loss
    graph = TrainingGraph(network, YOLOv3Loss(len(training_set.classes),
                                              class_smoothing(options, len(training_set.classes))))
    graph.hybridize(static_alloc=True)

    # trainer
    rates, optimizer = schedule_and_optimizer(options, sampler.batches, network)
    trainer = device_tools.build_trainer(network.collect_params(), optimizer, devices, options.amp, horovod)
    anchors = options.anchor_rows() or ANCHORS
    step = Step(graph, lambda images, truth: (images, truth, *grid_on(images.context, images.shape[1], anchors)),
                trainer, devices, options.batch_size, options.amp)

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
    if fit.iteration < options.epochs * sampler.batches:
        device_tools.return_large_arrays()
        for size in sorted(options.training_sizes(), reverse=True):
            step.warm_up(*largest_batch(training_set.records, options.batch_size // sampler.shard[1], size, sampler.mix))
        detector.warm_up(options.batch_size)
    draw_training_batch(run, images, sampler, training_set.classes)
    last = fit.run_epochs()

    # outcome
    if not latest:  # a finished run was resumed: there was nothing left to validate
        validate()
    draw_detections(run, validation_set, latest["detections"])
    return outcome_of(run, options, fit, last, (training_set, validation_set), draw_run(run))


def augmentation(options):
    """The augmentations that the flags leave on."""
    from gluon_bof.freebies.augmentation import Augmentation
    if options.no_augment:
        return Augmentation.none()
    return Augmentation(not options.no_color, not options.no_expand, not options.no_crop, not options.no_flip,
                        not options.no_random_interp)


def initialised_network(options, classes, devices, checkpoint=None):
    """The network with every parameter filled and on its devices."""
    from gluon_bof.models.build import build_network
    from gluon_bof.models.yolo3.network import initialise_near_identity, set_objectness_prior
    from gluon_bof.training.initialise import initialise_weights
    network = build_network(options, classes, devices)
    if options.init == "near-identity":
        initialise_near_identity(network)
    if options.objectness_prior != 0.5:
        set_objectness_prior(network, options.objectness_prior)
    initialise_weights(network, options, checkpoint)
    return network


def class_smoothing(options, class_count):
    """Eq. 3, GluonCV's variant, or none."""
    from gluon_bof.freebies.label_smoothing import Smoothing, equation_3, gluoncv_variant
    if options.label_smooth:
        return gluoncv_variant(class_count)
    return equation_3(options.label_smooth_eps, class_count) if options.label_smooth_eps else Smoothing()


def schedule_and_optimizer(options, batches, network):
    """(learning rate of every iteration, optimizer that follows it)."""
    from gluon_bof.freebies.schedule import build_schedule, rates_of, step_epochs
    from gluon_bof.training.optimizer import build_optimizer, exempt_from_decay
    steps = step_epochs(integers(options.lr_decay_epoch, "--lr-decay-epoch"), options.lr_decay_period, options.epochs)
    arguments = dict(mode=options.lr_mode, base_lr=options.lr, iterations=options.epochs * batches,
                     warmup=options.warmup_epochs * batches, warmup_lr=options.warmup_lr,
                     steps=[epoch * batches for epoch in steps], factor=options.lr_decay)
    if options.no_wd:
        exempt_from_decay(network)
    return rates_of(**arguments), build_optimizer(options, build_schedule(**arguments))


if __name__ == "__main__":
    main(sys.argv[1:])

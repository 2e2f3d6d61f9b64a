"""Train YOLOv3 with the paper's bag of freebies: options, data, network, loss, trainer, loop.

Without --dataset it trains on the embedded set with every freebie on. Accepts every flag of GluonCV's script of this
name with its meaning and default; where it differs on purpose, --help says so."""
import json
import sys
import warnings

try:
    from gluon_bof.errors import UserError, user_facing
except ImportError as unsupported:  # a Python or NumPy that MXNet 1.9.1 does not run on; the message says which do
    print(f"error: {unsupported}", file=sys.stderr)
    raise SystemExit(2)
from gluon_bof.options import Yolo3Options, check_yolo3, integers, parse, to_json
from gluon_bof.paper.recipes import EMBEDDED_YOLO3

LOSSES = ("objectness", "centre", "scale", "class")


@user_facing
def main(argv=None):
    """Train as the flags say; the last line on standard output is one JSON object. Returns what it holds."""
    options, given, dry_run = parse(Yolo3Options, EMBEDDED_YOLO3, argv, __doc__)
    check_yolo3(options)
    if dry_run:
        print(to_json(options))
        return None

    # the run's folder comes before MXNet, so that a run killed while it starts can be resumed
    from gluon_bof.training.run import create_run, find_run, reopen_run
    run = checkpoint = None
    if options.resume and not options.resume.endswith(".params"):
        folder, checkpoint = find_run(options.resume, options)
        if folder:
            run, options, checkpoint = reopen_run(folder, checkpoint, options, given)
    if run is None:
        run = create_run(options)
    run.start_logging(options.tensorboard)
    try:
        outcome = train(options, run, checkpoint)
    except UserError:
        run.discard_if_unused()
        raise
    finally:
        run.close()
    print(json.dumps(outcome), flush=True)
    return outcome


def train(options, run, checkpoint):
    """The pipeline. Returns {"run": folder, "map": of the last validation, …}."""
    from gluon_bof.backend import mx
    from gluon_bof.data.loader import TrainingPictures, ValidationPictures, training_loader, validation_loader
    from gluon_bof.evaluation.detect import detect
    from gluon_bof.evaluation.score import score
    from gluon_bof.models.weights import load_weights
    from gluon_bof.models.yolo3.loss import InferenceGraph, TrainingGraph, YOLOv3Loss
    from gluon_bof.models.yolo3.targets import grid_on
    from gluon_bof.models import devices as device_tools
    from gluon_bof.training.checkpoint import load_checkpoint
    from gluon_bof.training.fit import LOGGER, Fit
    from gluon_bof.training.loop import Step
    from gluon_bof.training.pictures import draw_detections, draw_run, draw_training_batch

    warnings.filterwarnings("ignore", message=".*not used by any computation")  # anchors, while training

    # devices
    horovod = device_tools.start_horovod() if options.horovod else None
    devices = [mx.gpu(horovod.local_rank())] if horovod else device_tools.contexts(options.gpus)
    LOGGER.info("run %s on %s", run.folder, ", ".join(map(str, devices)))
    if options.amp:
        device_tools.start_amp(devices)

    # data: the workers start before the network exists, so that they carry none of it
    training_set, validation_set = open_sets(options, LOGGER)
    run.write_classes(training_set.classes)
    draws = batch_draws(options, len(training_set), horovod)
    pictures = TrainingPictures(training_set.records, augmentation(options), options.mixup_loss == "weighted",
                                options.on_bad_sample)
    loader = training_loader(pictures, draws, options.num_workers, pin=devices[0].device_type == "gpu")
    validation = validation_loader(ValidationPictures(validation_set.records, options.data_shape),
                                   options.batch_size, options.num_workers)

    # network
    mx.random.seed(options.seed)
    network = initialised_network(options, training_set.classes, devices)
    inference = InferenceGraph(network)
    inference.hybridize(static_alloc=True)

    # loss
    graph = TrainingGraph(network, YOLOv3Loss(len(training_set.classes),
                                              class_smoothing(options, len(training_set.classes))))
    graph.hybridize(static_alloc=True)

    # trainer
    rates, optimizer = schedule_and_optimizer(options, draws.batches, network)
    trainer = device_tools.build_trainer(network.collect_params(), optimizer, devices, options.amp, horovod)
    step = Step(graph, lambda images, truth: (images, truth, *grid_on(images.context, images.shape[1])),
                trainer, devices, options.batch_size, options.amp)

    # validation
    latest = {}

    def validate(should_stop=lambda: False):
        found = detect(inference, validation, validation_set.records, options.data_shape, devices[0], should_stop,
                       "validating")
        latest["detections"] = found
        return None if found is None else score(found, validation_set, options.metric)

    # loop
    position = {}
    if checkpoint:
        position = load_checkpoint(checkpoint, network, trainer)
        LOGGER.info("going on from %s", checkpoint)
    elif options.resume.endswith(".params"):
        load_weights(network, options.resume)
    fit = Fit(run, options, network, step, draws, loader, rates, LOSSES, validate, position)
    run.forget_after(fit.iteration)
    draw_training_batch(run, pictures, draws, training_set.classes)
    last = fit.run_epochs()

    # outcome
    if not latest:  # a finished run was resumed: there was nothing left to validate
        validate()
    draw_detections(run, validation_set, latest["detections"])
    return {"run": run.folder, "map": last["map"], "metric": last["metric"], "best_map": fit.best["map"],
            "epochs": options.epochs, "iterations": fit.iteration, "seed": options.seed,
            "skipped": len(fit.skipped) + len(training_set.faults) + len(validation_set.faults),
            "per_class": last["per_class"], "weights": run.path("last.params"), "pictures": draw_run(run)}


def open_sets(options, logger):
    """(training set, validation set); what was skipped in them is counted and named in the log."""
    from gluon_bof.data.sets import class_names, open_set
    classes = class_names(options.classes) if options.classes else None
    sets = []
    for role, split in (("train", options.train_split), ("val", options.val_split)):
        found = open_set(options.dataset, options.dataset_root or None, role, classes, options.on_bad_sample,
                         split or None)
        for fault in found.faults:
            logger.warning("skipped: %s: %s", fault.path, fault.message)
        logger.info("%s: %d pictures, %d classes (%s), %d faults skipped", role, len(found), len(found.classes),
                    ", ".join(found.classes[:20]), len(found.faults))
        sets.append(found)
        classes = found.classes
    return sets


def augmentation(options):
    """The augmentations that the flags leave on."""
    from gluon_bof.data.augment import Augmentation
    if options.no_augment:
        return Augmentation.none()
    return Augmentation(not options.no_color, not options.no_expand, not options.no_crop, not options.no_flip,
                        not options.no_random_interp)


def batch_draws(options, pictures, horovod):
    """The sampler: order, mixup, random shapes."""
    from gluon_bof.data.draws import BatchDraws, MixRatio
    mix = MixRatio(options.mixup_alpha, options.mixup_beta, options.mixup == "even") if options.mixup else None
    shard = (horovod.rank(), horovod.size()) if horovod else (0, 1)
    return BatchDraws(pictures, options.batch_size, options.seed, options.training_sizes(),
                      options.random_shape_interval, mix, options.epochs - options.no_mixup_epochs,
                      options.num_samples if options.num_samples > 0 else None, shard)


def initialised_network(options, classes, devices):
    """The network with every parameter filled and on its devices."""
    from gluon_bof.backend import mx
    from gluon_bof.models.norm import norm_layer
    from gluon_bof.models.weights import load_backbone
    from gluon_bof.models.yolo3.network import build_yolo3, set_objectness_prior, start_near_identity
    network = build_yolo3(options.network, classes, options.pretrained_base == "yes" and not options.resume,
                          norm_layer(options.syncbn, devices))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a pretrained base is initialised already, which is meant
        network.initialize(ctx=devices)
    network.collect_params().reset_ctx(devices)
    for device in devices:
        network(mx.nd.zeros((1, 3, 64, 64), ctx=device))  # shapes that were left open are settled now
    if options.init == "near-identity":
        start_near_identity(network)
    if options.objectness_prior != 0.5:
        set_objectness_prior(network, options.objectness_prior)
    if options.pretrained_base not in ("yes", "no"):
        load_backbone(network, options.pretrained_base)
    return network


def class_smoothing(options, class_count):
    """Eq. 3, GluonCV's variant, or none."""
    from gluon_bof.models.smoothing import Smoothing, equation_3, gluoncv_variant
    if options.label_smooth:
        return gluoncv_variant(class_count)
    return equation_3(options.label_smooth_eps, class_count) if options.label_smooth_eps else Smoothing()


def schedule_and_optimizer(options, batches, network):
    """(learning rate of every iteration, optimizer that follows it)."""
    from gluon_bof.training.optimizer import build_optimizer, exempt_from_decay
    from gluon_bof.training.schedule import build_schedule, rates_of, step_epochs
    steps = step_epochs(integers(options.lr_decay_epoch, "--lr-decay-epoch"), options.lr_decay_period, options.epochs)
    arguments = dict(mode=options.lr_mode, base_lr=options.lr, iterations=options.epochs * batches,
                     warmup=options.warmup_epochs * batches, warmup_lr=options.warmup_lr,
                     steps=[epoch * batches for epoch in steps], factor=options.lr_decay)
    if options.no_wd:
        exempt_from_decay(network)
    return rates_of(**arguments), build_optimizer(options, build_schedule(**arguments))


if __name__ == "__main__":
    main(sys.argv[1:])

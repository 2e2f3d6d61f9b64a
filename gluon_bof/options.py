"""Flags of the scripts = fields of a recipe, with GluonCV's names, meanings and defaults. No MXNet in here: --help and
--dry-run answer at once."""
from __future__ import annotations

import argparse
import dataclasses
import json
import math
import os
import sys

from gluon_bof.errors import Parser, UserError

LONGEST_SIDE = 1024  # pixels: GluonCV's YOLOv3 holds 128 cells of 8 pixels a side
EMBEDDED = "shapes"
OPTIMIZERS = ("sgd", "nag", "adagrad", "rmsprop", "adam")


def flag(default, text, **how):
    """A field that is a command-line flag. how: argparse's keywords, and `short` for a second name."""
    return dataclasses.field(default=default, metadata=dict(how, help=text))


def _mixup_mode(text):
    if text not in ("beta", "even"):
        raise argparse.ArgumentTypeError(f"{text!r} is neither beta nor even")
    return "even" if text == "even" else True


@dataclasses.dataclass(frozen=True)
class TrainingOptions:
    """What both scripts take."""

    dataset: str = flag(EMBEDDED, "shapes (embedded, drawn on first use), voc, coco, or a folder of your own in VOC's or "
                                  "COCO's layout. GluonCV's default is voc; here the embedded job runs without it")
    dataset_root: str = flag("", "where the data lies; default ~/.mxnet/datasets/<dataset>")
    classes: str = flag("", "class names, comma-separated, or a text file of one a line; default: those found in the "
                            "annotations")
    on_bad_sample: str = flag("error", "what to do about broken pictures and faulty boxes: stop, or leave them out, "
                                       "count and name them", choices=("error", "skip"))
    train_split: str = flag("", "split(s) to train on, comma-separated; default: trainval")
    val_split: str = flag("", "split(s) to validate on, comma-separated; default: test")
    num_workers: int = flag(4, "number of data workers", short="-j")
    gpus: str = flag(None, "train on these GPUs, for example 0,1; '' is the CPU. GluonCV's default is 0; here: the GPUs "
                           "that are there, else the CPU")
    resume: str = flag("", "go on with a run exactly where it stopped: its folder, one of its checkpoints, or auto "
                           "for the newest run; a .params file only loads weights (with --start-epoch)")
    start_epoch: int = flag(0, "epoch to start from when --resume is a .params file")
    allow_partial: bool = flag(False, "with --resume FILE.params: load what fits by name and shape, and say what does not")
    lr_mode: str = flag("step", "learning rate schedule", choices=("step", "poly", "cosine"))
    lr_decay: float = flag(0.1, "decay rate of the learning rate")
    log_interval: int = flag(100, "batches between two log lines")
    save_prefix: str = flag("", "also save parameters as <prefix><network>_<dataset>_best.params and so on, as GluonCV "
                                "does; default: only in the run folder")
    val_interval: int = flag(1, "epochs between two validations")
    seed: int = flag(233, "seed of everything random")
    num_samples: int = flag(-1, "training pictures an epoch; -1: all. (In GluonCV it only changes the schedule.)")
    mixup: object = flag(False, "mix pictures: ratios from a Beta distribution, or always even", nargs="?", const=True,
                         kind=_mixup_mode, metavar="beta|even")
    mixup_alpha: float = flag(1.5, "alpha of the mix ratio's Beta distribution")
    mixup_beta: float = flag(1.5, "beta of the mix ratio's Beta distribution")
    mixup_loss: str = flag("weighted", "weigh each box by its picture's mix ratio, or all by 1; global (Faster R-CNN, with "
                                       "--mixup even): every loss by 0.5, background's too, as GluonCV's --mixup does",
                           choices=("weighted", "unweighted", "global"))
    no_mixup_epochs: int = flag(20, "no mixup in the last so many epochs")
    label_smooth_eps: float = flag(0.0, "smooth class targets by Eq. 3 of the paper with this epsilon; 0 is off")
    no_augment: bool = flag(False, "no augmentation at all, only resizing (first row of Tables 2 and 3)")
    optimizer: str = flag("sgd", "optimizer; the paper's is sgd with momentum", choices=OPTIMIZERS)
    beta1: float = flag(0.9, "adam: decay of the first moment")
    beta2: float = flag(0.999, "adam: decay of the second moment")
    rho: float = flag(0.9, "rmsprop: decay of the squared gradient")
    epsilon: float = flag(1e-8, "adam, adagrad, rmsprop: what keeps the divisor from 0")
    pretrained_base: str = flag("yes", "start from a backbone pre-trained on ImageNet: yes (downloads it), no, a .params "
                                       "file, or a name of GluonCV's (darknet53, yolo3_darknet53_coco)")
    transfer: str = flag("", "start from a trained detector on the same backbone (a run's folder, a .params file, or "
                             "GluonCV's name): keep what both share, classes of the same name too, begin other classes anew")
    freeze: str = flag("none", "what does not learn: the stem (its first layers), the backbone, or all-but-head. With little "
                               "data like the pretrained model's freeze much, with more data freeze less",
                       choices=("none", "stem", "backbone", "all-but-head"))
    metric: str = flag("auto", "voc07 (11-point mAP@0.5), voc (all points), coco (AP@[.5:.95]); auto: coco for COCO, "
                               "else voc07", choices=("auto", "voc07", "voc", "coco"))
    amp: bool = flag(False, "mixed precision (GPU)")
    horovod: bool = flag(False, "distributed training by Horovod; --gpus is then ignored")
    name: str = flag("", "name of the run's folder; default: network, dataset and a number")
    runs: str = flag("runs", "folder that holds the runs")
    keep: int = flag(3, "checkpoints to keep")
    tensorboard: bool = flag(False, "also write TensorBoard events (pip install 'gluon_bof[tensorboard]')")


@dataclasses.dataclass(frozen=True)
class Yolo3Options(TrainingOptions):
    """train_yolo3.py's flags. The defaults are those of GluonCV's script but for --dataset and --gpus."""

    network: str = flag("darknet53", "backbone; slim: with narrower heads than GluonCV's, for small sets on CPUs",
                        choices=("darknet53", "mobilenet1.0", "mobilenet0.25", "mobilenet0.25-slim"))
    data_shape: int = flag(416, "side of validation pictures, and of training pictures with --no-random-shape; a "
                                "multiple of 32")
    batch_size: int = flag(64, "pictures a step, over all devices")
    epochs: int = flag(200, "training epochs")
    lr: float = flag(0.001, "learning rate")
    lr_decay_period: int = flag(0, "epochs between periodic decays; 0: at --lr-decay-epoch")
    lr_decay_epoch: str = flag("160,180", "epochs at which the learning rate decays")
    warmup_lr: float = flag(0.0, "learning rate at which warm-up starts")
    warmup_epochs: int = flag(0, "warm-up epochs")
    momentum: float = flag(0.9, "momentum of sgd and nag")
    wd: float = flag(0.0005, "weight decay")
    save_interval: int = flag(10, "epochs between parameter files that are kept for good; 0: none")
    syncbn: bool = flag(False, "synchronise batch normalisation over the devices")
    no_random_shape: bool = flag(False, "always train at --data-shape")
    random_shapes: str = flag("320,608", "smallest and largest side of random shapes, in steps of 32")
    random_shape_interval: int = flag(10, "batches for which a random shape stays")
    no_wd: bool = flag(False, "no weight decay on biases and on batch normalisation's beta and gamma")
    label_smooth: bool = flag(False, "smooth class targets as GluonCV does, by min(1/classes, 1/40)")
    objectness_prior: float = flag(0.5, "how sure of an object an untrained prediction is; GluonCV starts at 0.5, from "
                                        "which a network without a pretrained base takes long to come down")
    anchors: str = flag("", "YOLOv3's nine anchors: a file of `python -m gluon_bof anchors`, or 18 numbers w,h,w,h,…, smallest "
                            "first; default: those of --transfer, else YOLOv3's own")
    init: str = flag("gluoncv", "start of a network without a pretrained base: as GluonCV's, or near the identity, from "
                                "which short training gets much further", choices=("gluoncv", "near-identity"))
    no_color: bool = flag(False, "no colour jitter")
    no_expand: bool = flag(False, "no expansion")
    no_crop: bool = flag(False, "no random crop")
    no_flip: bool = flag(False, "no flip")
    no_random_interp: bool = flag(False, "resize with the interpolation that fits, not a random one")

    def training_sizes(self):
        """Sides in pixels that training pictures may have."""
        if self.no_random_shape:
            return (self.data_shape,)
        smallest, largest = integers(self.random_shapes, "--random-shapes")
        return tuple(range(smallest, largest + 1, 32))

    def anchor_rows(self):
        """Three rows of w, h, w, h, w, h in pixels, for the finest features first; None: YOLOv3's own.

        Raises UserError where they are not nine pairs."""
        if not self.anchors:
            return None
        try:
            sides = [float(word) for word in self.anchors.split(",")]
        except ValueError:
            sides = []
        if len(sides) != 18 or not all(0 < side < 1e4 for side in sides):
            raise UserError(f"--anchors {self.anchors}: these are not nine widths and heights above 0",
                            remedy="give a file of python -m gluon_bof anchors, or 18 numbers")
        return tuple(tuple(sides[row:row + 6]) for row in range(0, 18, 6))


def parse(options_class, embedded, argv, description):
    """(options, names of the flags that were given, whether --dry-run was).

    Flags that are not given have the class's defaults, or for the embedded set those of `embedded`. Prints help and
    exits for --help; anything it cannot read is a UserError of one line."""
    given = vars(build_parser(options_class, description).parse_args(argv))
    dry_run = given.pop("dry_run", False)
    if given.pop("custom_model", None):
        given["custom_model"] = True
    base = embedded if given.get("dataset", EMBEDDED) == EMBEDDED else options_class()
    return dataclasses.replace(base, **given), set(given), dry_run


def build_parser(options_class, description):
    """An argument parser of the dataclass's fields."""
    parser = Parser(description=description, allow_abbrev=False)
    parser.add_argument("--dry-run", action="store_true", default=argparse.SUPPRESS,
                        help="print the whole resolved configuration as JSON and end")
    fields = dataclasses.fields(options_class)
    after_the_word = None
    if any(field.metadata.get("custom") for field in fields):
        after_the_word = _custom_model_parser(parser)
    for field in fields:
        for place in (parser, after_the_word) if field.metadata.get("custom") else (parser,):
            add_flag(place, field.name, field.metadata, field.default)
    return parser


def add_flag(parser, name, metadata, default):
    """Give an argument parser the flag of a field; where it is not given, nothing is set."""
    how = {key: value for key, value in metadata.items() if key != "custom"}
    if how.pop("hidden", False):
        return
    short = how.pop("short", None)
    if default is not False or "nargs" in how:
        how["help"] += f" [{default}]".replace("%", "%%") if default is not None else ""
        how["type"] = how.pop("kind", type(default) if default is not None else str)
    else:
        how["action"] = "store_true"
    parser.add_argument("--" + name.replace("_", "-"), *[short] if short else [], dest=name, default=argparse.SUPPRESS,
                        **how)


def _custom_model_parser(parser):
    """GluonCV's Faster R-CNN script takes some flags only after the word custom-model, which changes their defaults."""
    word = parser.add_subparsers(dest="custom_model", metavar="custom-model", title="GluonCV's custom model",
                                 description="the word custom-model builds its custom pyramid network; the flags of the "
                                             "network's parts may stand before or after it")
    return word.add_parser("custom-model", allow_abbrev=False, add_help=False)


def integers(text, name):
    """The integers of "160,180". Raises UserError."""
    try:
        return [int(word) for word in text.split(",") if word.strip()]
    except ValueError:
        raise UserError(f"{name} {text!r} is not a list of whole numbers",
                        remedy=f"write for example {name} 160,180") from None


def to_json(options):
    """The whole configuration as JSON text."""
    return json.dumps(dataclasses.asdict(options), indent=2)


# which values a field may have, by its default
KINDS = {bool: (bool, str), int: int, float: (int, float), str: str, type(None): (int, float, str, bool, type(None))}


def from_json(options_class, values, path):
    """Options from a configuration that `to_json` wrote. Raises UserError for fields that are not known, and for values of
    another kind."""
    defaults = {field.name: field.default for field in dataclasses.fields(options_class)}
    foreign = sorted(set(values) - set(defaults))
    if foreign:
        raise UserError(f"the configuration has unknown fields: {', '.join(foreign)}", path,
                        "it was written by another version; start a new run")
    for name, value in values.items():
        if not isinstance(value, KINDS[type(defaults[name])]):
            raise UserError(f"{name} cannot be {str(value)[:60]!r}", path, f"a value such as {defaults[name]!r} is meant")
    return dataclasses.replace(options_class(), **values)


def check_training(options):
    """Refuse, by name, values and combinations that cannot work; warn of those that do nothing. Raises UserError."""
    for name, least in (("batch_size", 1), ("epochs", 1), ("num_workers", 0), ("seed", 0), ("val_interval", 1),
                        ("keep", 1), ("no_mixup_epochs", 0), ("start_epoch", 0), ("log_interval", 0),
                        ("save_interval", 0)):
        at_least(options, name, least)
    for name in ("lr", "lr_decay", "mixup_alpha", "mixup_beta", "epsilon"):
        positive(options, name)
    for name in ("wd", "momentum", "beta1", "beta2", "rho"):
        not_negative(options, name)
    for name in ("momentum", "beta1", "beta2", "rho"):
        if getattr(options, name) >= 1:
            raise UserError(f"{_flag(name)} {getattr(options, name)} must be below 1", remedy="0.9 is usual")
    if options.lr_decay > 1:
        raise UserError(f"--lr-decay {options.lr_decay} would raise the learning rate", remedy="0.1 is usual")
    if not 0 <= options.label_smooth_eps < 1:
        raise UserError(f"--label-smooth-eps {options.label_smooth_eps} is outside [0, 1)", remedy="0.1 is usual")
    if options.start_epoch >= options.epochs:
        raise UserError(f"--start-epoch {options.start_epoch} is not before --epochs {options.epochs}",
                        remedy="start earlier or train longer")
    if os.path.basename(options.name) != options.name or options.name in (".", ".."):
        raise UserError(f"--name {options.name!r} is no plain folder name", remedy="choose the place with --runs")
    if options.mixup and options.no_mixup_epochs >= options.epochs:
        warn(f"--mixup does nothing: --no-mixup-epochs {options.no_mixup_epochs} covers all {options.epochs} epochs")


def check_start(options):
    """The same for what a detector starts from. Raises UserError."""
    if options.transfer and (options.pretrained_base not in ("yes", "no") or options.resume.endswith(".params")):
        other = "--resume" if options.resume else "--pretrained-base"
        raise UserError(f"--transfer and {other} {options.resume or options.pretrained_base} are two starts", remedy="give one")
    if options.freeze != "none" and options.pretrained_base == "no" and not options.transfer and not options.resume:
        warn(f"--freeze {options.freeze} keeps layers that nothing has trained")


def check_yolo3(options):
    """The same for what only YOLOv3 has. Raises UserError."""
    check_training(options)
    check_start(options)
    if options.mixup_loss == "global":
        raise UserError("--mixup-loss global is GluonCV's way for Faster R-CNN only", remedy="weighted is YOLOv3's")
    for name in ("warmup_epochs", "lr_decay_period"):
        at_least(options, name, 0)
    not_negative(options, "warmup_lr")
    if options.warmup_lr > options.lr:
        raise UserError(f"--warmup-lr {options.warmup_lr} is above --lr {options.lr}", remedy="warm-up goes upwards")
    if options.warmup_epochs >= options.epochs:
        raise UserError(f"--warmup-epochs {options.warmup_epochs} leaves nothing of --epochs {options.epochs}",
                        remedy="warm up for less")
    check_data_shape(options.data_shape)
    if options.label_smooth and options.label_smooth_eps:
        raise UserError("--label-smooth and --label-smooth-eps are two ways to do one thing", remedy="give one")
    if not 0 < options.objectness_prior < 1:
        raise UserError(f"--objectness-prior {options.objectness_prior} is outside (0, 1)", remedy="for example 0.01")
    integers(options.lr_decay_epoch, "--lr-decay-epoch")
    at_least(options, "random_shape_interval", 1)
    shapes = integers(options.random_shapes, "--random-shapes")
    if len(shapes) != 2 or shapes[0] < 32 or shapes[0] > shapes[1] or shapes[0] % 32 or shapes[1] % 32:
        raise UserError(f"--random-shapes {options.random_shapes} is not a smallest and a largest multiple of 32",
                        remedy="for example 320,608")


def check_data_shape(side, flag="--data-shape"):
    """Refuse a side of pictures that YOLOv3 cannot detect in. Raises UserError."""
    if side % 32 or not 32 <= side <= LONGEST_SIDE:
        raise UserError(f"{flag} {side} is not a multiple of 32 up to {LONGEST_SIDE}", remedy="for example 416")


def warn(message):
    """A line for people."""
    print(f"warning: {message}", file=sys.stderr)


def _flag(name):
    return "--" + name.replace("_", "-")


def at_least(options, name, least):
    """Raise UserError where the option is below `least`."""
    if getattr(options, name) < least:
        raise UserError(f"{_flag(name)} {getattr(options, name)} is below {least}", remedy=f"give {least} or more")


def positive(options, name):
    """Raise UserError where the option is not a finite number above 0."""
    value = getattr(options, name)
    if not (math.isfinite(value) and value > 0):
        raise UserError(f"{_flag(name)} {value} must be above 0", remedy="give a positive number")


def not_negative(options, name):
    """Raise UserError where the option is not a finite number from 0 on."""
    value = getattr(options, name)
    if not (math.isfinite(value) and value >= 0):
        raise UserError(f"{_flag(name)} {value} must be 0 or more", remedy="give a number of that kind")


CONFIG = "config.json"  # a run's files that other commands read
CLASSES = "classes.txt"


def is_run(folder):
    """Whether a folder holds a run's configuration, be it a damaged one; other programs have files of that name too."""
    try:
        with open(os.path.join(folder, CONFIG), encoding="utf-8") as file:
            content = json.load(file)
    except OSError:
        return False
    except (ValueError, RecursionError):
        return True
    return not isinstance(content, dict) or "options" in content


def read_config(folder):
    """{"options": …, …} of a run's folder. Raises UserError."""
    path = os.path.join(folder, CONFIG)
    try:
        with open(path) as file:
            configuration = json.load(file)
        if not isinstance(configuration["options"], dict):
            raise ValueError("options is no object")
        return configuration
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise UserError(f"the run's configuration cannot be read ({error})", path, "is this a run's folder?") from None

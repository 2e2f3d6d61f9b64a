"""What every training script takes: GluonCV's names, meanings and defaults."""
from __future__ import annotations

import argparse
import dataclasses
import os

from gluon_bof.errors import UserError, warn
from gluon_bof.options.flags import EMBEDDED, _flag, at_least, flag, not_negative, positive

OPTIMIZERS = ("sgd", "nag", "adagrad", "rmsprop", "adam")


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
    on_bad_sample: str = flag("error", "what to do about broken images and faulty boxes: stop, or leave them out, "
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
    num_samples: int = flag(-1, "training images an epoch; -1: all. (In GluonCV it only changes the schedule.)")
    mixup: object = flag(False, "mix images: ratios from a Beta distribution, or always even", nargs="?", const=True,
                         kind=_mixup_mode, metavar="beta|even")
    mixup_alpha: float = flag(1.5, "alpha of the mix ratio's Beta distribution")
    mixup_beta: float = flag(1.5, "beta of the mix ratio's Beta distribution")
    mixup_loss: str = flag("weighted", "weigh each box by its image's mix ratio, or all by 1; global (Faster R-CNN, with "
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
                             "GluonCV's name): keep what both share, classes of the same name too, re-initialise other classes")
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

"""Flags of `python -m gluon_bof pretrain`; no MXNet, so that recipes and --help are instant."""
from __future__ import annotations

import dataclasses

from gluon_bof.errors import UserError
from gluon_bof.options.flags import EMBEDDED, at_least, flag, integers, not_negative
from gluon_bof.options.training import OPTIMIZERS, check_training

NETWORKS = ("darknet53", "resnet101_v1d", "resnet50_v1b", "resnet18_v1b", "mobilenet1.0", "mobilenet0.25")


@dataclasses.dataclass(frozen=True)
class PretrainOptions:
    """A backbone's training as a classifier. The names are those of the detectors' flags; the defaults train on the
    embedded set in a minute or two."""

    dataset: str = flag(EMBEDDED, "shapes (the embedded set's objects), imagenet, or a folder: train.rec and val.rec with "
                                  "their .idx, train/CLASS/ and val/CLASS/ with images, or a detection set, whose "
                                  "objects are cut out")
    dataset_root: str = flag("", "where imagenet lies; default ~/.mxnet/datasets/imagenet")
    network: str = flag("mobilenet0.25", "backbone", choices=NETWORKS)
    data_shape: int = flag(64, "side of the images in pixels; ImageNet's is 224")
    least_area: float = flag(0.5, "smallest share of an image that a random crop keeps; ImageNet's is 0.08")
    batch_size: int = flag(32, "images a step, over all devices")
    epochs: int = flag(10, "training epochs")
    lr: float = flag(0.05, "learning rate")
    lr_mode: str = flag("cosine", "learning rate schedule", choices=("step", "poly", "cosine"))
    lr_decay: float = flag(0.1, "decay rate of the learning rate")
    lr_decay_epoch: str = flag("30,60,90", "epochs at which the learning rate decays")
    warmup_epochs: int = flag(1, "warm-up epochs")
    warmup_lr: float = flag(0.0, "learning rate at which warm-up starts")
    optimizer: str = flag("sgd", "optimizer; MXNet's nag does not give the same bits twice on a CPU", choices=OPTIMIZERS)
    momentum: float = flag(0.9, "momentum of sgd and nag")
    beta1: float = flag(0.9, "adam: decay of the first moment")
    beta2: float = flag(0.999, "adam: decay of the second moment")
    rho: float = flag(0.9, "rmsprop: decay of the squared gradient")
    epsilon: float = flag(1e-8, "adam, adagrad, rmsprop: what keeps the divisor from 0")
    wd: float = flag(0.0001, "weight decay")
    no_wd: bool = flag(False, "no weight decay on biases and on batch normalisation's beta and gamma")
    last_gamma: bool = flag(False, "ResNets: every block starts as the identity (its last gamma at 0)")
    label_smooth_eps: float = flag(0.1, "label smoothing by Eq. 3; 0 is off")
    mixup: bool = flag(False, "mix images and labels")
    mixup_alpha: float = flag(0.2, "alpha of the mix ratio's Beta distribution")
    mixup_beta: float = flag(0.2, "beta of the mix ratio's Beta distribution")
    no_mixup_epochs: int = flag(0, "no mixup in the last so many epochs")
    no_augment: bool = flag(False, "no random crop, flip and colour")
    num_samples: int = flag(-1, "training images an epoch; -1: all")
    num_workers: int = flag(4, "number of data workers", short="-j")
    gpus: str = flag(None, "train on these GPUs, for example 0,1; '' is the CPU; default: the GPUs that are there, else "
                           "the CPU")
    amp: bool = flag(False, "mixed precision (GPU)")
    resume: str = flag("", "go on with a run: its folder, one of its checkpoints, or auto for the newest run")
    start_epoch: int = flag(0, "", hidden=True)
    log_interval: int = flag(100, "batches between two log lines")
    val_interval: int = flag(1, "epochs between two validations")
    save_interval: int = flag(0, "epochs between parameter files that are kept for good; 0: none")
    save_prefix: str = flag("", "", hidden=True)
    keep: int = flag(1, "checkpoints to keep")
    seed: int = flag(0, "seed of everything random")
    name: str = flag("", "name of the run's folder; default: network, dataset and a number")
    runs: str = flag("runs", "folder that holds the runs")
    tensorboard: bool = flag(False, "also write TensorBoard events (pip install 'gluon_bof[tensorboard]')")

    def training_sizes(self):
        """Sides in pixels that training images may have."""
        return (self.data_shape,)


def check_pretrain(options):
    """Refuse, by name, values that cannot work. Raises UserError."""
    check_training(options)
    at_least(options, "data_shape", 32)
    at_least(options, "warmup_epochs", 0)
    not_negative(options, "warmup_lr")
    if not 0 < options.least_area <= 1:
        raise UserError(f"--least-area {options.least_area} is outside (0, 1]", remedy="ImageNet's is 0.08")
    if options.warmup_epochs >= options.epochs:
        raise UserError(f"--warmup-epochs {options.warmup_epochs} leaves nothing of --epochs {options.epochs}",
                        remedy="warm up for less")
    integers(options.lr_decay_epoch, "--lr-decay-epoch")
    if options.resume.endswith(".params"):
        raise UserError(f"--resume {options.resume} is no run", remedy="give a run's folder")

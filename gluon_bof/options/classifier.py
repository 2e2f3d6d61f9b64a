"""Flags of pre-training a backbone as a classifier: the detectors' names, with defaults for the embedded set."""
from __future__ import annotations

import dataclasses
from typing import Iterable

from gluon_bof.errors import UserError
from gluon_bof.options.flags import EMBEDDED, at_least, flag, positive
from gluon_bof.options.training import MIXUP, OPTIMIZERS, Idle, TrainingOptions, decay_epochs

NETWORKS = ("darknet53", "resnet101_v1d", "resnet50_v1b", "resnet18_v1b", "mobilenet1.0", "mobilenet0.25", "darknet-mini")
BOTTLENECKS = ("resnet101_v1d", "resnet50_v1b")  # ResNets of other blocks have no last gamma for GluonCV

BOX_WEIGHT = 10.0  # corners are shares of the image's sides: their squared distance begins a tenth of the cross-entropy


@dataclasses.dataclass(frozen=True)
class ClassifierOptions(TrainingOptions):
    """A backbone's training as a classifier. The defaults train on the embedded set in a minute or two."""

    dataset: str = flag(EMBEDDED, "shapes (the embedded set's objects), shapes-backbone (those of a further draw), "
                                  "vocmini, imagenet, or a folder: train.rec and val.rec with "
                                  "their .idx, train/CLASS/ and val/CLASS/ with images, or a detection set, whose "
                                  "objects are cut out", "first")
    dataset_root: str = flag("", "where imagenet lies; default ~/.mxnet/datasets/imagenet", "data")
    resume: str = flag("", "go on with a run: its folder, one of its checkpoints, or auto for the newest run", "first")
    network: str = flag("mobilenet0.25", "backbone", "first", choices=NETWORKS)
    data_shape: int = flag(64, "side of the images in pixels; ImageNet's is 224", "first")
    least_area: float = flag(0.5, "smallest share of an image that a random crop keeps; ImageNet's is 0.08", "freebies")
    batch_size: int = flag(32, "images a step, over all devices", "first")
    epochs: int = flag(10, "training epochs", "first")
    lr: float = flag(0.05, "learning rate", "first")
    lr_mode: str = flag("cosine", "learning rate schedule", "schedule", choices=("step", "poly", "cosine"))
    lr_decay_epoch: tuple = decay_epochs((30, 60, 90))
    warmup_epochs: int = flag(1, "warm-up epochs", "schedule")
    warmup_lr: float = flag(0.0, "learning rate at which warm-up starts", "schedule")
    optimizer: str = flag("sgd", "optimizer; MXNet's nag does not give the same bits twice on a CPU", "schedule",
                          choices=tuple(OPTIMIZERS))
    wd: float = flag(0.0001, "weight decay", "schedule")
    no_wd: bool = flag(False, "no weight decay on biases and on batch normalisation's beta and gamma", "schedule")
    last_gamma: bool = flag(False, "ResNets of 50 layers and more: every block starts as the identity (its last gamma "
                                   "at 0)", "network")
    label_smooth_eps: float = flag(0.1, "label smoothing by Eq. 3; 0 is off", "freebies")
    mixup: str = flag("", "mix images and labels: ratios from a Beta distribution, or always even", "freebies", nargs="?",
                      const="beta", kind=MIXUP, metavar="beta|even")
    mixup_alpha: float = flag(0.2, "alpha of the mix ratio's Beta distribution", "freebies")
    mixup_beta: float = flag(0.2, "beta of the mix ratio's Beta distribution", "freebies")
    localise: bool = flag(False, "classification with localisation: images of one object each, whose box is learnt too (softmax "
                                 "and L2 together). Of shapes, shapes-backbone and vocmini single objects with room around, of a "
                                 "folder with boxes its images of one object", "first")
    box_weight: float = flag(BOX_WEIGHT,
                             "of --localise: weight of the corners' squared distance beside the cross-entropy", "freebies")
    no_mixup_epochs: int = flag(0, "no mixup in the last so many epochs", "freebies")
    no_augment: bool = flag(False, "no random crop, flip and colour", "freebies")
    save_interval: int = flag(0, "epochs between parameter files that are kept for good; 0: none")
    keep: int = flag(1, "checkpoints to keep")
    seed: int = flag(0, "seed of everything random")

    def training_sizes(self) -> Iterable[int]:
        """Sides in pixels that training images may have."""
        return (self.data_shape,)

    def gluoncv_name(self) -> str:
        """GluonCV's name of the network."""
        return self.network

    def idle(self) -> list[Idle]:
        """What does nothing as the other flags stand, and why."""
        return [*super().idle(),
                Idle(("last_gamma",), self.network not in BOTTLENECKS, f"with --network {self.network}"),
                Idle(("least_area",), self.no_augment, "with --no-augment")]

    def check(self) -> None:
        """Refuse, by name, values that cannot work. Raises UserError."""
        super().check()
        at_least(self, "data_shape", 32)
        self.check_epoch_warmup()
        if not 0 < self.least_area <= 1:
            raise UserError(f"--least-area {self.least_area} is outside (0, 1]", remedy="ImageNet's is 0.08")
        positive(self, "box_weight")
        if self.box_weight != BOX_WEIGHT and not self.localise:
            raise UserError(f"--box-weight {self.box_weight:g} does nothing without --localise", remedy="give both or neither")
        if self.localise and self.dataset == "imagenet":
            raise UserError("--localise needs boxes, and ImageNet as it is read here has none",
                            remedy="give --dataset shapes, or a folder with boxes of one object an image")
        if self.starts_from_file:
            raise UserError(f"--resume {self.resume} is no run", remedy="give a run's folder")

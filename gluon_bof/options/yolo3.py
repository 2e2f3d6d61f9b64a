"""train_yolo3.py's flags, with the names, meanings and defaults of GluonCV's script of this name."""
from __future__ import annotations

import dataclasses

from gluon_bof.errors import UserError
from gluon_bof.options.flags import at_least, flag, integers, not_negative
from gluon_bof.options.training import TrainingOptions, check_start, check_training

MAX_SIDE = 1024  # pixels: GluonCV's YOLOv3 holds 128 cells of 8 pixels a side


@dataclasses.dataclass(frozen=True)
class Yolo3Options(TrainingOptions):
    """train_yolo3.py's flags. The defaults are those of GluonCV's script but for --dataset and --gpus."""

    network: str = flag("darknet53", "backbone; slim: with narrower heads than GluonCV's, for small sets on CPUs",
                        choices=("darknet53", "mobilenet1.0", "mobilenet0.25", "mobilenet0.25-slim"))
    data_shape: int = flag(416, "side of validation images, and of training images with --no-random-shape; a "
                                "multiple of 32")
    batch_size: int = flag(64, "images a step, over all devices")
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
        """Sides in pixels that training images may have."""
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
    """Refuse a side of images that YOLOv3 cannot detect in. Raises UserError."""
    if side % 32 or not 32 <= side <= MAX_SIDE:
        raise UserError(f"{flag} {side} is not a multiple of 32 up to {MAX_SIDE}", remedy="for example 416")

"""The miniature of Table 2 as data: every run of the factorial (docs/miniature.md has the protocol)."""
from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import product
from typing import Any

from gluon_bof.options.classifier import ClassifierOptions
from gluon_bof.options.recipes import EMBEDDED_FASTER_RCNN
from gluon_bof.options.yolo3 import Yolo3Options

SEEDS = (0, 1, 2)
SIZES = (96, 128, 192)  # pixels; evaluations are at each, the number of a row is the one at 128
TRAIN = "train-125"  # the split that is trained on
FITTED = 97.0  # points of mAP@0.5 on its training images that a row must reach
SPLITS = ("test", "test-other", TRAIN)  # the same contexts, other ones, and the images that were trained on
# of TRAIN's boxes at 128 pixels, by `gluon-bof anchors`; the same for all rows
ANCHORS = (9, 12, 15, 23, 23, 29, 41, 45, 39, 73, 59, 84, 77, 64, 75, 118, 97, 93)

# The backbone that all rows start from, and its twin with mixup for Tables 5 and 6
BACKBONE = ClassifierOptions(
    dataset="vocmini", network="darknet-mini", least_area=0.7, epochs=12, no_wd=True, num_workers=1, gpus="", val_interval=4,
    name="miniature-backbone")
BACKBONE_MIXUP = replace(BACKBONE, mixup="beta", name="miniature-backbone-mixup")

# What all rows share. As in the paper's work: a trained backbone, the test size in the middle of the random shapes; as GluonCV's
# 20 of 200 epochs: a clean tail of a tenth
BASELINE = Yolo3Options(
    dataset="vocmini", train_split=TRAIN, val_split="test", network="darknet-mini",
    data_shape=128, no_random_shape=True, random_shapes=(96, 192), no_expand=True, batch_size=8, epochs=640,
    optimizer="adam", lr=0.002, lr_mode="step", lr_decay_epoch=(512, 576), warmup_epochs=2, no_wd=True, no_mixup_epochs=64,
    objectness_prior=0.01, anchors=ANCHORS, num_workers=1, gpus="", val_interval=1000, save_interval=0, log_interval=0, keep=1)
PEAK_OF_COSINE = 0.003  # fixed without a search, as the step schedule's (docs/miniature.md says from what)
FACTORS = {
    "random-shapes": dict(no_random_shape=False),
    "cosine": dict(lr_mode="cosine", lr=PEAK_OF_COSINE),
    "label-smoothing": dict(label_smooth_eps=0.1),
    "mixup": dict(mixup="beta"),
}

# Half as long again, for both ends of the stack: in 640 epochs the whole bag does not fit its images
LONGER = dict(epochs=960, lr_decay_epoch=(768, 864), no_mixup_epochs=96)

# Faster R-CNN the same from the same backbone, without random shapes, which it does not have
FASTER_RCNN_BASELINE = replace(
    EMBEDDED_FASTER_RCNN, dataset="vocmini", train_split=BASELINE.train_split, val_split="test",
    anchor_scales=(1, 2, 4, 6, 9), epochs=320, lr=0.0007, lr_mode="step", lr_decay_epoch=(256, 288), mixup="", no_mixup_epochs=32,
    label_smooth_eps=0.0, gpus="", val_interval=1000, log_interval=0, keep=1)
FASTER_RCNN_FACTORS = {
    "cosine": dict(lr_mode="cosine", lr=0.001),
    "label-smoothing": FACTORS["label-smoothing"],
    "mixup": FACTORS["mixup"],
}
# The stack's two rows that differ in the schedule alone are validated on the way, too, for Figure 6; that changes no weight
SCHEDULES = {"step": "random-shapes", "cosine": "random-shapes+cosine"}
VALIDATED = 64  # epochs between their validations


@dataclass(frozen=True)
class Design:
    """What a factorial is made of. name: begins the names of its runs; factors: {factor: the options that switch it on}; sizes:
    of the test images, pixels; evaluated: further flags of every evaluation."""

    name: str
    baseline: Any
    factors: dict
    sizes: tuple
    evaluated: tuple = ()


YOLO3 = Design("miniature", BASELINE, FACTORS, SIZES)
# 0.3, the training script's own for VOC, takes right boxes of a class away where objects overlap
FASTER_RCNN = Design("miniature-faster-rcnn", FASTER_RCNN_BASELINE, FASTER_RCNN_FACTORS, (BASELINE.data_shape,),
                     ("--nms-thresh", "0.5"))
DESIGNS = {"yolo3": YOLO3, "faster_rcnn": FASTER_RCNN}


@dataclass(frozen=True)
class Cell:
    """One run of the factorial, for each seed. on: which of the factors are on; None: the row without augmentation."""

    on: tuple | None
    options: Any

    @property
    def key(self) -> str:
        """A name for files: no-augmentation, baseline, or the factors that are on."""
        return "no-augmentation" if self.on is None else "+".join(self.on) or "baseline"


def cells(design: Design = YOLO3) -> tuple[Cell, ...]:
    """The runs of a seed: no augmentation, then those of the full factorial, the baseline first, the whole bag last."""
    found = [Cell(None, replace(design.baseline, no_augment=True))]
    for levels in product((False, True), repeat=len(design.factors)):
        on = tuple(name for name, level in zip(design.factors, levels) if level)
        changes = {field: value for name in on for field, value in design.factors[name].items()}
        cell = Cell(on, replace(design.baseline, **changes))
        found.append(Cell(on, replace(cell.options, val_interval=VALIDATED)) if cell.key in SCHEDULES.values() else cell)
    return tuple(found)


def combinations(design: Design = YOLO3) -> tuple[Cell, ...]:
    """The full factorial alone: the runs of a seed but that without augmentation."""
    return tuple(cell for cell in cells(design) if cell.on is not None)


def half(design: Design = YOLO3) -> tuple[Cell, ...]:
    """The rows with an even number of four factors on, which tell main effects unmixed with interactions of two (resolution IV);
    none of three factors, whose half would mix them."""
    if len(design.factors) != 4:
        return ()
    return tuple(cell for cell in combinations(design) if len(cell.on) % 2 == 0)


def stacked(design: Design = YOLO3) -> tuple[str, ...]:
    """Keys of the paper's rows among the cells: no augmentation, the baseline, then one factor more each."""
    names = list(design.factors)
    return ("no-augmentation", "baseline") + tuple("+".join(names[:count]) for count in range(1, len(names) + 1))

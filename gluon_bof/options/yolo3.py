"""train_yolo3.py's flags, with the names, meanings and defaults of GluonCV's script of this name."""
from __future__ import annotations

import dataclasses
import os
import re
from typing import Any, Iterable, Mapping

from gluon_bof.errors import UserError
from gluon_bof.options.flags import INTEGERS, NUMBERS, Kind, NotAValue, at_least, flag
from gluon_bof.options.one_stage import OneStageOptions
from gluon_bof.options.training import NAME_ENDS, NAME_SETS, Idle, decay_epochs

MAX_SIDE = 1024  # pixels: GluonCV's YOLOv3 holds 128 cells of 8 pixels a side
STRIDE = 32  # pixels of the coarsest cell: sides are multiples of it
ANCHOR_SIDES = 18  # of nine anchors
NETWORKS = ("darknet53", "mobilenet1.0", "mobilenet0.25", "mobilenet0.25-slim", "darknet-mini")
NAME = re.compile(r"yolo3_(.+?)_" + NAME_SETS + NAME_ENDS)


def _anchors(text):
    # a file's path is a value too, until `weights.resolve_anchors` reads it
    if not re.fullmatch(r"[\d.,e+ -]*", text):
        return text
    try:
        sides = NUMBERS.parse(text)
    except ValueError:
        sides = (0,)
    if text and (len(sides) != ANCHOR_SIDES or not all(0 < side < 1e4 for side in sides)):
        raise NotAValue(f"{text}: these are not nine widths and heights above 0; give a file of "
                                         "gluon-bof anchors, or 18 numbers")
    return sides


def _read_anchors(value):
    if isinstance(value, (list, tuple)):
        value = NUMBERS.write(value)
    if not isinstance(value, str):
        raise ValueError(value)
    return _anchors(value)


ANCHORS = Kind(_anchors, lambda value: value if isinstance(value, str) else NUMBERS.write(value), _read_anchors)


@dataclasses.dataclass(frozen=True)
class Yolo3Options(OneStageOptions):
    """The defaults are those of GluonCV's script but for --dataset and --gpus."""

    network: str = flag("darknet53", "backbone; for small sets on CPUs, not GluonCV's: slim, with narrower heads, and mini, "
                                    "a residual network of 20 convolutions", "first",
                        choices=NETWORKS)
    data_shape: int = flag(416, "side of validation images, and of training images with --no-random-shape; a "
                                "multiple of 32", "first", evaluates=True)
    batch_size: int = flag(64, "images a step, over all devices", "first", evaluates=True)
    epochs: int = flag(200, "training epochs", "first")
    lr: float = flag(0.001, "learning rate", "first")
    lr_decay_period: int = flag(0, "epochs between periodic decays; 0: at --lr-decay-epoch", "schedule")
    lr_decay_epoch: tuple = decay_epochs((160, 180))
    no_random_shape: bool = flag(False, "always train at --data-shape", "freebies")
    random_shapes: tuple = flag((320, 608), "smallest and largest side of random shapes, in steps of 32", "freebies",
                                kind=INTEGERS)
    label_smooth: bool = flag(False, "smooth class targets as GluonCV does, by min(1/classes, 1/40)", "freebies")
    objectness_prior: float = flag(0.5, "how sure of an object an untrained prediction is; GluonCV starts at 0.5, from "
                                        "which a network without a pretrained base takes long to come down", "network")
    anchors: tuple = flag((), "YOLOv3's nine anchors: a file of `gluon-bof anchors`, or 18 numbers w,h,w,h,…, smallest "
                              "first, in pixels at --data-shape; default: those of --transfer or --resume "
                              "FILE.params, else YOLOv3's own", "network", kind=ANCHORS)
    init: str = flag("gluoncv", "start of a network without a pretrained base: as GluonCV's, or near the identity, from "
                                "which short training gets much further", "network", choices=("gluoncv", "near-identity"))

    @classmethod
    def from_file_name(cls, name: str) -> dict[str, Any]:
        """{field: value} that the name of a file or model of GluonCV's tells; {} if it is none of a YOLOv3."""
        match = NAME.match(os.path.basename(name))
        if not match or match.group(1) not in NETWORKS:
            return {}
        return {"network": match.group(1), **cls.told_dataset(match.group(2))}

    def gluoncv_name(self) -> str:
        """GluonCV's name of the network, as it begins the names of its files."""
        return f"yolo3_{self.network}_{self.dataset_name}"

    def under(self, given: Mapping[str, Any]) -> Yolo3Options:
        """A recipe's options without its way to smooth labels where the other one is given."""
        ways = {"label_smooth": False, "label_smooth_eps": 0.0}
        told = [name for name in ways if given.get(name)]
        changes = {name: off for name, off in ways.items() if told and name not in given}
        return dataclasses.replace(super().under(given), **changes)

    def check_build(self) -> None:
        """Raise UserError for a file of anchors that nobody has read."""
        if isinstance(self.anchors, str):
            is_there = os.path.isfile(self.anchors)
            raise UserError("only training reads a file of anchors" if is_there else "there is no such file of anchors",
                            self.anchors, "give its 18 numbers, or train with a file of gluon-bof anchors")

    def check_test_size(self) -> None:
        """Raise UserError for a test size that the network cannot take."""
        check_data_shape(self.data_shape)

    def at_size(self, short: int) -> Yolo3Options:
        """The options with another test size in pixels. Raises UserError for one that the network cannot take."""
        check_data_shape(short, "--short")
        return dataclasses.replace(self, data_shape=short)

    def training_sizes(self) -> Iterable[int]:
        """Sides in pixels that training images may have."""
        return (self.data_shape,) if self.no_random_shape else super().training_sizes()

    def anchor_rows(self) -> tuple | None:
        """Three rows of w, h, w, h, w, h in pixels, for the finest features first; None: YOLOv3's own."""
        return tuple(self.anchors[row:row + 6] for row in range(0, ANCHOR_SIDES, 6)) if self.anchors else None

    def check(self) -> None:
        """Refuse what cannot work. Raises UserError."""
        super().check()
        at_least(self, "lr_decay_period", 0)
        check_data_shape(self.data_shape)
        if self.label_smooth and self.label_smooth_eps:
            raise UserError("--label-smooth and --label-smooth-eps are two ways to do one thing", remedy="give one")
        if not 0 < self.objectness_prior < 1:
            raise UserError(f"--objectness-prior {self.objectness_prior} is outside (0, 1)", remedy="for example 0.01")
        self.check_build()
        shapes = self.random_shapes
        if len(shapes) != 2 or shapes[0] < STRIDE or shapes[0] > shapes[1] or shapes[0] % STRIDE or shapes[1] % STRIDE:
            raise UserError(f"--random-shapes {INTEGERS.write(shapes)} is not a smallest and a largest multiple of 32",
                            remedy="for example 320,608")

    def idle(self) -> list[Idle]:
        """What does nothing as the other flags stand, and why."""
        fills_all = self.start_flag and not self.allow_partial  # whatever a network was initialised with
        return [*super().idle(),
                Idle(("objectness_prior", "init"), bool(fills_all), f"with {self.start_flag}"),
                Idle(("lr_decay_epoch",), self.lr_mode == "step" and self.lr_decay_period > 0, "with --lr-decay-period"),
                Idle(("random_shapes", "random_shape_interval"), self.no_random_shape, "with --no-random-shape")]


def check_data_shape(side: int, flag: str = "--data-shape") -> None:
    """Refuse a side of images that YOLOv3 cannot detect in. Raises UserError."""
    if side % STRIDE or not STRIDE <= side <= MAX_SIDE:
        raise UserError(f"{flag} {side} is not a multiple of 32 up to {MAX_SIDE}", remedy="for example 416")

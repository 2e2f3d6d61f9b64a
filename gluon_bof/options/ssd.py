"""train_ssd.py's flags, with the names, meanings and defaults of GluonCV's script of this name."""
from __future__ import annotations

import dataclasses
import os
import re
from typing import Any

from gluon_bof.errors import UserError, warn
from gluon_bof.options.flags import INTEGERS, Kind, flag
from gluon_bof.options.one_stage import STEP, OneStageOptions
from gluon_bof.options.training import NAME_ENDS, NAME_SETS, UNANNOTATED, Idle, decay_epochs

# network: sizes in pixels that it is made for; () where its anchors grow with the size
SHAPES = {"vgg16_atrous": (300, 512), "resnet18_v1": (512,), "resnet50_v1": (512,), "resnet101_v2": (512,),
          "resnet34_v1b": (300,), "mobilenet1.0": (512,), "mobilenet0.25": (300,), "darknet-mini": ()}
NETWORKS = tuple(SHAPES)
LEAST_SIDES = {"vgg16_atrous": 257, "resnet34_v1b": 257}  # pixels, of images whose last convolution still sees something
LEAST_SIDE = 32
MAX_SIDE, MAX_SIDE_MINI = 1024, 512  # pixels that anchors are laid out for
WITHOUT_NORM = ("vgg16_atrous",)
VAL_INTERVAL, VAL_INTERVAL_COCO = 1, 10
NAME = re.compile(r"ssd_(\d+)_(.+?)_" + NAME_SETS + NAME_ENDS)
UNDERSCORED = re.compile(r"(mobilenet\d)_(\d+)$")  # as some of GluonCV's published commands have it


def _network(text):
    return UNDERSCORED.sub(r"\1.\2", text)


def _read_network(value):
    if not isinstance(value, str):
        raise ValueError(value)
    return value


NETWORK = Kind(_network, lambda value: value, _read_network)


@dataclasses.dataclass(frozen=True)
class SsdOptions(OneStageOptions):
    """The defaults are those of GluonCV's script but for --dataset and --gpus."""

    network: str = flag("vgg16_atrous", "backbone; darknet-mini, not GluonCV's, is for small sets on CPUs: a residual network of "
                                        "20 convolutions", "first", choices=NETWORKS, kind=NETWORK)
    data_shape: int = flag(300, "side of images in pixels", "first", evaluates=True)
    batch_size: int = flag(32, "images a step, over all devices", "first", evaluates=True)
    epochs: int = flag(240, "training epochs", "first")
    lr: float = flag(0.001, "learning rate", "first")
    lr_decay_epoch: tuple = decay_epochs((160, 200))
    val_interval: int | None = flag(None, "epochs between two validations; default 1, for COCO 10", kind=int)
    base_shape: int = flag(0, "side of images in pixels that layers and anchors are made for, GluonCV's 300 or 512; 0: the "
                              "nearest to --data-shape that the network has", "network", evaluates=True, builds=True)
    unannotated: str = flag("skip", "images without an annotation file (VOC's and LabelMe's layout): leave them out, or count "
                                    "them to those without a box, of which --skip-empty tells", "data", choices=UNANNOTATED,
                            evaluates=True)
    skip_empty: bool = flag(False, "do not train on images without a box, as GluonCV on COCO: SSD learns nothing from them, but "
                                   "where mixup mixes them with others", "data")
    dali: bool = flag(False, "accepted and not needed: the data workers make the batches", "data")

    learns_from_empty = False  # its loss takes three anchors of background for each that a box has, image by image, as GluonCV's

    @classmethod
    def from_file_name(cls, name: str) -> dict[str, Any]:
        """{field: value} that the name of a file or model of GluonCV's tells; {} if it is none of an SSD."""
        match = NAME.match(os.path.basename(name))
        if not match:
            return {}
        side, network, dataset = int(match.group(1)), match.group(2), match.group(3)
        if network not in NETWORKS or (SHAPES[network] and side not in SHAPES[network]):
            return {}
        return {"network": network, **cls.told_dataset(dataset), "data_shape": side, "base_shape": side}

    def gluoncv_name(self) -> str:
        """GluonCV's name of the network, as it begins the names of its files."""
        return f"ssd_{self.made_for()}_{self.network}_{self.dataset_name}"

    def made_for(self) -> int:
        """Side of images in pixels that the network's layers and anchors are made for."""
        if self.base_shape or not SHAPES[self.network]:
            return self.base_shape or self.data_shape
        return min(SHAPES[self.network], key=lambda side: abs(side - self.data_shape))

    def resolved(self) -> SsdOptions:
        """The same options with everything filled in that depends on others."""
        interval = VAL_INTERVAL_COCO if self.dataset == "coco" else VAL_INTERVAL
        return dataclasses.replace(self, val_interval=interval if self.val_interval is None else self.val_interval)

    def fixed(self) -> dict[str, Any]:
        """{field: value} that weights trained with these options stand on, whatever the test size."""
        return {"base_shape": self.made_for()}

    def sides(self) -> tuple[int, int]:
        """(least, largest) side in pixels of an image that the network can take."""
        return LEAST_SIDES.get(self.network, LEAST_SIDE), MAX_SIDE if SHAPES[self.network] else MAX_SIDE_MINI

    def check_test_size(self) -> None:
        """Raise UserError for a test size that the network cannot take, or for a network that there is not."""
        self._check_side(self.data_shape, "--data-shape")
        self._check_side(self.made_for(), "--base-shape")
        shapes = SHAPES[self.network]
        if shapes and self.made_for() not in shapes:
            raise UserError(f"{self.network} has no anchors for images of {self.made_for()} pixels",
                            remedy=f"it is made for {' or '.join(map(str, shapes))}")

    def _check_side(self, side, name):
        least, largest = self.sides()
        if not least <= side <= largest:
            raise UserError(f"{name} {side} is not between {least} and {largest}, which {self.network} takes",
                            remedy=f"for example {(SHAPES[self.network] or (128,))[0]}")

    def at_size(self, short: int) -> SsdOptions:
        """The options with another test size in pixels. Raises UserError for one that the network cannot take."""
        self._check_side(short, "--short")
        return dataclasses.replace(self, data_shape=short, base_shape=self.made_for())

    def synchronises_batchnorm(self) -> bool:
        """Whether batch normalisation is to have the statistics of all devices together."""
        return super().synchronises_batchnorm() and self.network not in WITHOUT_NORM

    def check(self) -> None:
        """Refuse what cannot work. Raises UserError."""
        super().check()
        self.check_test_size()
        self._check_random_shapes()
        if self.made_for() != self.data_shape and not self.base_shape:
            warn(f"layers and anchors of {self.network} are those made for images of {self.made_for()} pixels")

    def idle(self) -> list[Idle]:
        """What does nothing as the other flags stand, and why."""
        return [*super().idle(),
                Idle(("random_shape_interval",), not self.random_shapes, "without --random-shapes"),
                Idle(("syncbn",), self.network in WITHOUT_NORM, f"on {self.network}, which has no batch normalisation"),
                Idle(("dali",), True, "here: the data workers make the batches, with GluonCV's augmentation of the runs without "
                     "DALI")]

    def _check_random_shapes(self):
        shapes = self.random_shapes
        if not shapes:
            return
        if len(shapes) != 2 or shapes[0] > shapes[1]:
            raise UserError(f"--random-shapes {INTEGERS.write(shapes)} is not a smallest and a largest side",
                            remedy="for example 96,160")
        for side in shapes:
            self._check_side(side, "--random-shapes")
        largest = self.training_sizes()[-1]
        if largest != shapes[1]:
            warn(f"the largest of --random-shapes {INTEGERS.write(shapes)} is {largest}: they go in steps of {STEP}")

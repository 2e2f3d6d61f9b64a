"""The flags of Cells."""
from __future__ import annotations

import dataclasses
import os
import re
from typing import Any, Iterable

from gluon_bof.errors import UserError
from gluon_bof.options.flags import flag
from gluon_bof.options.training import DetectionOptions, decay_epochs

NETWORKS = ("conv4",)
STRIDE = 16  # pixels of a cell
MAX_SIDE = 512
NAME = re.compile(r"cells_(.+?)_(voc|coco)(?=$|[-_.])")


@dataclasses.dataclass(frozen=True)
class CellOptions(DetectionOptions):
    """What Cells needs beside the flags that all detectors have."""

    network: str = flag("conv4", "backbone", "first", choices=NETWORKS)
    data_shape: int = flag(64, "side of images, a multiple of 16", "first", evaluates=True)
    batch_size: int = flag(2, "images a step", "first")
    epochs: int = flag(2, "training epochs", "first")
    lr: float = flag(0.01, "learning rate", "first")
    lr_decay_epoch: tuple = decay_epochs((1,))
    wd: float = flag(0.0005, "weight decay", "schedule")
    save_interval: int = flag(0, "epochs between parameter files that are kept for good; 0: none")

    @classmethod
    def from_file_name(cls, name: str) -> dict[str, Any]:
        """{field: value} that a file's name tells; {} if it is none of a Cells."""
        match = NAME.match(os.path.basename(name))
        return {"network": match.group(1), "dataset": match.group(2)} if match and match.group(1) in NETWORKS else {}

    def gluoncv_name(self) -> str:
        """How the network's files are called."""
        return f"cells_{self.network}_{self.dataset}"

    def check(self) -> None:
        """Refuse what cannot work. Raises UserError."""
        super().check()
        self.check_test_size()

    def check_test_size(self) -> None:
        """Raise UserError for a side that is no number of cells."""
        if self.data_shape % STRIDE or not STRIDE <= self.data_shape <= MAX_SIDE:
            raise UserError(f"--data-shape {self.data_shape} is not a multiple of 16 up to 512", remedy="for example 64")

    def at_size(self, short: int) -> CellOptions:
        """The options with another side of test images. Raises UserError for one that cannot be."""
        changed = dataclasses.replace(self, data_shape=short)
        changed.check_test_size()
        return changed

    def training_sizes(self) -> Iterable[int]:
        """Sides in pixels that training images may have."""
        return (self.data_shape,)

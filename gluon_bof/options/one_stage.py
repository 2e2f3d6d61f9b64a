"""What YOLOv3 and SSD take alike: flags of both scripts, with GluonCV's names, meanings and defaults."""
from __future__ import annotations

import dataclasses
from typing import Iterable

from gluon_bof.errors import UserError, warn
from gluon_bof.options.flags import INTEGERS, at_least, flag
from gluon_bof.options.training import MIXUP_LOSSES, SYNCBN, DetectionOptions

STEP = 32  # pixels between two random shapes


@dataclasses.dataclass(frozen=True)
class OneStageOptions(DetectionOptions):
    """What a detector takes whose images are squares: of --data-shape, a flag of each family, or of random shapes."""

    warmup_lr: float = flag(0.0, "learning rate at which warm-up starts", "schedule")
    warmup_epochs: int = flag(0, "warm-up epochs", "schedule")
    wd: float = flag(0.0005, "weight decay", "schedule")
    no_wd: bool = flag(False, "no weight decay on biases and on batch normalisation's beta and gamma", "schedule")
    save_interval: int = flag(10, "epochs between parameter files that are kept for good; 0: none")
    syncbn: bool = flag(False, "synchronise batch normalisation over the devices of a process; per-process: over those of each "
                               "worker, where there are several", "freebies", nargs="?", const=True, kind=SYNCBN,
                        metavar="per-process")
    mixup_loss: str = flag("weighted", "weigh each box by its image's mix ratio, or all by 1", "freebies",
                           choices=MIXUP_LOSSES, metavar="{weighted,unweighted}")
    random_shapes: tuple = flag((), "train at random shapes: the smallest and the largest side, in steps of 32; default: always "
                                    "at --data-shape, as GluonCV", "freebies", kind=INTEGERS)
    random_shape_interval: int = flag(10, "batches for which a random shape stays", "freebies")
    no_color: bool = flag(False, "no colour jitter", "freebies")
    no_expand: bool = flag(False, "no expansion", "freebies")
    no_crop: bool = flag(False, "no random crop", "freebies")
    no_flip: bool = flag(False, "no flip", "freebies")
    no_random_interp: bool = flag(False, "resize with the interpolation that fits, not a random one", "freebies")

    def synchronises_batchnorm(self) -> bool:
        """Whether batch normalisation is to have the statistics of all devices together."""
        return bool(self.syncbn)

    def training_sizes(self) -> Iterable[int]:
        """Sides in pixels that training images may have."""
        if not self.random_shapes:
            return (self.data_shape,)
        smallest, largest = self.random_shapes
        return tuple(range(smallest, largest + 1, STEP))

    def warn_of_idle(self, given: Iterable[str]) -> None:
        """The same, and of a test size that no training image comes near."""
        super().warn_of_idle(given)
        sizes = self.training_sizes()
        if {"data_shape", "random_shapes"} & set(given) and not min(sizes) <= self.data_shape <= max(sizes):
            warn(f"--data-shape {self.data_shape} is outside the random shapes of the training, {min(sizes)} to {max(sizes)}, "
                 "and so the test size alone: give --random-shapes around it")

    def check(self) -> None:
        """Refuse what cannot work. Raises UserError."""
        super().check()
        if self.mixup_loss == "global":
            raise UserError("--mixup-loss global is GluonCV's way for Faster and Mask R-CNN only",
                            remedy="give weighted, the default")
        self.check_epoch_warmup()
        at_least(self, "random_shape_interval", 1)

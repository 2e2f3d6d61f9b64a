"""What every training takes, and what every detector's training takes besides: GluonCV's names, meanings and defaults."""
from __future__ import annotations

import dataclasses
import os
from typing import Any, Iterable, Mapping, NamedTuple

from gluon_bof.errors import UserError, warn
from gluon_bof.options.flags import (
    EMBEDDED,
    INTEGERS,
    Kind,
    NotAValue,
    at_least,
    check_seed,
    flag,
    flag_name,
    not_negative,
    positive,
    written,
)

# {optimizer: {field that it takes: MXNet's name of it}}
OPTIMIZERS = {
    "sgd": {"momentum": "momentum"},
    "nag": {"momentum": "momentum"},
    "adagrad": {"epsilon": "eps"},
    "rmsprop": {"rho": "gamma1", "epsilon": "epsilon"},
    "adam": {"beta1": "beta1", "beta2": "beta2", "epsilon": "epsilon"},
}
METRICS = ("auto", "voc07", "voc", "coco")
KV_STORES = ("nccl", "device", "local", "dist_sync", "dist_device_sync")
LEAST_OF_BETA = 1e-3  # NumPy draws of smaller ones by trials, of 1e-6 in 0.5 ms, of 1e-8 in 85 ms, of 1e-10 and below for ever
MIXUP_LOSSES = ("weighted", "unweighted", "global")
MOST_FOUND = 100  # detections in an image of GluonCV's YOLOv3 and SSD, their post_nms; COCO's AP looks at no more of a class
FREEZE = ("none", "stem", "backbone", "all-but-head")
ON_BAD_SAMPLE = ("error", "skip")
UNANNOTATED = ("skip", "negative")
USUAL_BASES = ("yes", "no", "shipped")  # of --pretrained-base, by default and in recipes; another one was meant
OWN_BASES = (*USUAL_BASES, "shipped-mixup")  # all words of it that are no file
NAME_SETS = "(voc|coco|custom)"  # in GluonCV's names; custom: of classes of one's own, which a name does not tell
# what follows the data set in GluonCV's names: voc_best.params, voc_0010_0.7312.params, voc-1a2b3c4d.params, voc-0000.params, and
# in those of copies: voc_best (1).params; a set of one's own may be called voc_cards
NAME_ENDS = r"(?=$|\.params$| \(\d+\)|_\d{4}_\d|(?:[-_](?:best|last|\d{4})|-[0-9a-f]{8})(?![\w-]))"
START_EPOCH = "epoch that training begins with, from 0: for the weights of --resume FILE.params, but without them, too"


def _mixup_mode(text):
    if text not in ("beta", "even"):
        raise NotAValue(f"{text!r} is neither beta nor even")
    return text


# no mixup, ratios of a Beta distribution, or always one half; JSON has false and true for the first two, as GluonCV's flag
_WRITTEN = {"": False, "beta": True, "even": "even"}
_READ = {**{mode: mode for mode in _WRITTEN}, **{value: mode for mode, value in _WRITTEN.items()}}
MIXUP = Kind(_mixup_mode, _WRITTEN.__getitem__, lambda value: _READ[value])


def _syncbn(text):
    if text != "per-process":
        raise NotAValue(f"{text!r} is not per-process, the only word that may follow")
    return text


def _read_syncbn(value):
    if value not in (True, False, "per-process"):
        raise ValueError(value)
    return value


SYNCBN = Kind(_syncbn, lambda value: value, _read_syncbn)


OF_DECAYS = {"recipe", "epochs", "lr_mode", "lr_decay_epoch", "lr_decay_period"}  # options of whether the rate ever decays


class Idle(NamedTuple):
    """Flags that may do nothing: names of their fields; whether they do nothing; why, as "without --mixup"; whether the fields
    still have the values that were given, and not what they were resolved to."""

    names: tuple[str, ...]
    is_idle: bool
    why: str
    has_value: bool = True


# words of --dataset, of all families, that are no folders
NAMED_SETS = ("shapes", "shapes-backbone", "vocmini", "voc", "coco", "imagenet", "cifar10", "pascal_voc", "pascal_aug", "ade20k",
              "citys")


@dataclasses.dataclass(frozen=True)
class TrainingOptions:
    """What every training takes."""

    dataset: str = flag(EMBEDDED, "shapes (embedded, drawn on first use), vocmini, voc, coco, or a folder of your own in VOC's, "
                                  "COCO's, YOLO's or LabelMe's layout. GluonCV's default is voc; here the embedded job runs "
                                  "without it", "first",
                        evaluates=True)
    dataset_root: str = flag("", "where the data lies; default ~/.mxnet/datasets/<dataset>", "data", evaluates=True)
    recipe: str = flag("", "start from a named recipe; every other flag stands on top of it. --list-recipes names them; "
                           "default: embedded, where the data set is shapes", "first")
    num_workers: int = flag(4, "number of data workers", "data", short="-j", evaluates=True)
    num_samples: int = flag(-1, "training images an epoch; -1: all. (In GluonCV it only changes the schedule.)", "data")
    gpus: str | None = flag(None, "use these GPUs, for example 0,1; '' is the CPU. GluonCV's default is 0; here: the GPUs "
                                  "that are there, else the CPU", "first", evaluates=True)
    cpus: int = flag(0, "train on so many contexts of the CPU, each with a part of the batch, as several GPUs would")
    resume: str = flag("", "go on with a run exactly where it stopped: its folder, one of its checkpoints, or auto "
                           "for the newest run; a .params file only loads weights (with --start-epoch)", "first")
    mixup: str = flag("", "mix images: ratios from a Beta distribution, or always even", "freebies", nargs="?", const="beta",
                      kind=MIXUP, metavar="beta|even")
    mixup_alpha: float = flag(1.5, "alpha of the mix ratio's Beta distribution", "freebies")
    mixup_beta: float = flag(1.5, "beta of the mix ratio's Beta distribution", "freebies")
    no_mixup_epochs: int = flag(20, "no mixup in the last so many epochs", "freebies")
    label_smooth_eps: float = flag(0.0, "smooth class targets by Eq. 3 of the paper with this epsilon; 0 is off", "freebies")
    no_augment: bool = flag(False, "no augmentation at all, only resizing (first row of Tables 2 and 3)", "freebies")
    lr_mode: str = flag("step", "learning rate schedule", "schedule", choices=("step", "poly", "cosine"))
    lr_decay: float = flag(0.1, "decay rate of the learning rate", "schedule")
    scale_lr: bool = flag(False, "--lr is that of the family's default --batch-size, a recipe's that of its own: scale it with "
                                 "--batch-size times --accumulate (linear rule; warm up with it)", "schedule")
    optimizer: str = flag("sgd", "optimizer; the paper's is sgd with momentum", "schedule", choices=tuple(OPTIMIZERS))
    momentum: float = flag(0.9, "momentum of sgd and nag", "schedule")
    beta1: float = flag(0.9, "adam: decay of the first moment", "schedule")
    beta2: float = flag(0.999, "adam: decay of the second moment", "schedule")
    rho: float = flag(0.9, "rmsprop: decay of the squared gradient", "schedule")
    epsilon: float = flag(1e-8, "adam, adagrad, rmsprop: what keeps the divisor from 0", "schedule")
    accumulate: int = flag(1, "sum the gradients of so many batches for one update: that of a batch so many times as large, in "
                              "the memory of one. Schedule, warm-up and iterations count updates", "schedule")
    ema: float = flag(0.0, "average the weights with this decay an update, for example 0.998: the average is validated and "
                           "saved as best and last, the weights themselves learn on; 0: off", "schedule")
    amp: bool = flag(False, "mixed precision (GPU)", "schedule")
    log_interval: int = flag(100, "batches between two log lines")
    val_interval: int = flag(1, "epochs between two validations")
    early_stop: int = flag(0, "stop after so many validations in a row without a better score; 0: train all epochs")
    seed: int = flag(233, "seed of everything random")
    name: str = flag("", "name of the run's folder; default: network, dataset and a number")
    runs: str = flag("runs", "folder that holds the runs")
    keep: int = flag(3, "checkpoints to keep")
    kv_store: str = flag("device", "how gradients are summed: nccl, device or local over the devices of one process; dist_sync "
                                   "or dist_device_sync over workers, which gluon-bof launch starts and which need no flag")
    horovod: bool = flag(False, "workers that Horovod joins, one device each; started by horovodrun or gluon-bof launch")
    tensorboard: bool = flag(False, "also write TensorBoard events (pip install 'gluon_bof[tensorboard]')")

    SAYS = {}  # {flag that is resolved into others: their fields}

    def said_by(self, given: Iterable[str]) -> dict[str, str]:
        """{field that these flags set: the flag}, of one that is resolved into others theirs, unless it has its default."""
        said = [name for name in sorted(given) if name not in self.SAYS or getattr(self, name) != self._default(name)]
        return {field: name for name in said for field in self.SAYS.get(name, (name,))}

    @property
    def starts_from_file(self) -> bool:
        """Whether --resume names a .params file, which only loads weights."""
        return self.resume.endswith(".params")

    @property
    def start_flag(self) -> str:
        """The flag that names the trained network that a new run starts from; "" where none does."""
        return "--resume FILE.params" if self.starts_from_file else "--transfer" if getattr(self, "transfer", "") else ""

    @property
    def continues_run(self) -> bool:
        """Whether --resume names a run, one of its checkpoints, or auto."""
        return bool(self.resume) and not self.starts_from_file

    def under(self, given: Mapping[str, Any]) -> Any:
        """These options, a recipe's, as they are where these flags, {field: value}, are given on top of them."""
        changes = other_devices(given)
        if given.get("scale_lr") and "lr" not in given:  # a recipe's rate is that of its own batch
            changes["lr"] = self.resolved().lr * self.usual_batch() / (self.batch_size * self.accumulate)
        return dataclasses.replace(self, **changes)

    def resolved(self) -> Any:
        """The same options with everything filled in that depends on others."""
        return self

    def fixed(self) -> dict[str, Any]:
        """{field: value} that weights trained with these options stand on, whatever the test size."""
        return {}

    def check(self) -> None:
        """Refuse, by name, values and combinations that cannot work; warn of those that do nothing. Raises UserError."""
        for name, least in (("batch_size", 1), ("epochs", 1), ("num_workers", 0), ("val_interval", 1),
                            ("keep", 1), ("no_mixup_epochs", 0), ("log_interval", 0), ("save_interval", 0),
                            ("early_stop", 0), ("accumulate", 1)):
            at_least(self, name, least)
        check_seed(self)
        for name in ("lr", "lr_decay", "mixup_alpha", "mixup_beta", "epsilon"):
            positive(self, name)
        for name in ("mixup_alpha", "mixup_beta"):
            at_least(self, name, LEAST_OF_BETA)
        for name in ("wd", "momentum", "beta1", "beta2", "rho"):
            not_negative(self, name)
        if self.num_samples < 1 and self.num_samples != -1:
            raise UserError(f"--num-samples {self.num_samples} is no number of images", remedy="give 1 or more, or -1 for all")
        self._check_decays()
        self._check_devices()
        check_decay_epochs(self)
        if self.lr_decay > 1:
            raise UserError(f"--lr-decay {self.lr_decay} would raise the learning rate", remedy="0.1 is usual")
        if not 0 <= self.label_smooth_eps < 1:
            raise UserError(f"--label-smooth-eps {self.label_smooth_eps} is outside [0, 1)", remedy="0.1 is usual")
        if os.path.basename(self.name) != self.name or self.name in (".", ".."):
            raise UserError(f"--name {self.name!r} is no plain folder name", remedy="choose the place with --runs")
        self._warn_of_short_mixup()

    def _warn_of_short_mixup(self):
        start = getattr(self, "start_epoch", 0)
        epochs = self.epochs - start  # that are trained: those before --start-epoch are another run's
        told = f"{epochs} epochs from --start-epoch {start} on" if start else f"{epochs} epochs"
        if not self.mixup or epochs < 1:  # which is refused
            return
        if self.no_mixup_epochs >= epochs:
            warn(f"--mixup does nothing: --no-mixup-epochs {self.no_mixup_epochs} covers all {told}")
        elif self.no_mixup_epochs == self._default("no_mixup_epochs") > epochs / 2:
            warn(f"--mixup ends after {epochs - self.no_mixup_epochs} of {told}: --no-mixup-epochs is "
                 f"{self.no_mixup_epochs} by default, for long trainings; a tenth of the epochs is usual")

    def _warn_of_late_decays(self):
        period = getattr(self, "lr_decay_period", 0)
        name, epochs = ("lr_decay_period", (period,)) if period else ("lr_decay_epoch", self.lr_decay_epoch)
        if self.lr_mode == "step" and epochs and min(epochs) >= self.epochs > 1:
            warn(f"{flag_name(name)} {','.join(map(str, epochs))} does nothing with --epochs {self.epochs}: the learning rate "
                 "never decays; name an epoch before the end, or give --lr-mode cosine")

    def idle(self) -> list[Idle]:
        """What does nothing as the other flags stand, and why; of resolved options."""
        validations = (self.epochs - 1) // self.val_interval - getattr(self, "start_epoch", 0) // self.val_interval
        return [
            Idle(("lr_decay", "lr_decay_epoch", "lr_decay_period"), self.lr_mode != "step", f"with --lr-mode {self.lr_mode}"),
            *(Idle((name,), name not in OPTIMIZERS[self.optimizer], f"with --optimizer {self.optimizer}")
              for name in ("momentum", "beta1", "beta2", "rho", "epsilon")),
            Idle(("warmup_lr",), not self.warms_up(), "without --warmup-epochs"),
            Idle(("mixup_alpha", "mixup_beta"), self.mixup != "beta", "without --mixup beta"),
            Idle(("pretrained_base",), bool(self.start_flag) and self.pretrained_base != "no", f"with {self.start_flag}"),
            Idle(("allow_partial",), not self.starts_from_file, "without --resume FILE.params"),
            Idle(("early_stop",), validations <= self.early_stop, f"with --epochs {self.epochs} and --val-interval "
                 f"{self.val_interval}, which leave too few validations ({validations}) before the last epoch")]

    def warn_of_idle(self, given: Iterable[str]) -> None:
        """Warn of those of the given options that do nothing; a recipe's and a run's own are nobody's mistake."""
        if OF_DECAYS & set(given):
            self._warn_of_late_decays()
        for names, is_idle, why, has_value in self.idle():
            for name in (name for name in names if is_idle and name in given):
                value = written(self.__dataclass_fields__[name], getattr(self, name))
                if value not in (None, False, ""):
                    shown = f" {value}" if has_value and value is not True else ""
                    warn(f"{flag_name(name)}{shown} does nothing {why}")

    @classmethod
    def _default(cls, name):
        return cls.__dataclass_fields__[name].default

    def _check_decays(self):
        for name in ("momentum", "beta1", "beta2", "rho"):
            if getattr(self, name) >= 1:
                raise UserError(f"{flag_name(name)} {getattr(self, name)} must be below 1", remedy="0.9 is usual")
        if not 0 <= self.ema < 1:
            raise UserError(f"--ema {self.ema} is outside [0, 1)", remedy="0.998 is usual, for short runs less")

    def _check_devices(self):
        at_least(self, "cpus", 0)
        if self.cpus and self.gpus:
            raise UserError(f"--cpus {self.cpus} and --gpus {self.gpus} are two choices of devices", remedy="give one")
        if self.scaled_lr() > self.lr and not self.warms_up():
            warn(f"--scale-lr begins with a learning rate of {self.scaled_lr():.3g}: the linear rule holds after a warm-up")
        if self.kv_store not in KV_STORES:
            raise UserError(f"--kv-store {self.kv_store} is none that trains rightly here",
                            remedy=f"choose one of {', '.join(KV_STORES)}")
        if self.horovod and self.kv_store.startswith("dist"):
            raise UserError(f"--horovod and --kv-store {self.kv_store} are two ways to join workers", remedy="give one")
        if self.horovod and self.cpus > 1:
            raise UserError(f"--horovod gives a process one device, and --cpus {self.cpus} asks for more",
                            remedy="start more processes")

    def warms_up(self) -> bool:
        """Whether the learning rate begins below its full value."""
        return getattr(self, "warmup_epochs", 0) > 0

    def scaled_lr(self) -> float:
        """The learning rate that the schedule begins with: --lr, by the linear rule (Goyal et al. 2017) with --scale-lr."""
        if not self.scale_lr:
            return self.lr
        return self.lr * self.batch_size * self.accumulate / self.usual_batch()

    @classmethod
    def usual_batch(cls) -> int:
        """Images of a batch of the family's default."""
        return cls._default("batch_size")

    def synchronises_batchnorm(self) -> bool:
        """Whether batch normalisation is to have the statistics of all devices together."""
        return False

    def check_start(self) -> None:
        """Raise UserError for a first epoch that is none of --epochs, for two starts, of which only the first is loaded, and for
        a folder in place of weights; warn where none is and layers are frozen."""
        at_least(self, "start_epoch", 0)
        if self.start_epoch >= self.epochs:
            raise UserError(f"--start-epoch {self.start_epoch} is not before --epochs {self.epochs}",
                            remedy="start earlier or train longer")
        starts = {"--resume": self.resume if self.starts_from_file else "", "--transfer": self.transfer,
                  "--pretrained-base": "" if self.pretrained_base in USUAL_BASES else self.pretrained_base}
        told = [f"{name} {value}" for name, value in starts.items() if value]
        if len(told) > 1:
            raise UserError(f"{' and '.join(told)} are {'two' if len(told) == 2 else 'three'} starts", remedy="give one")
        base = self.pretrained_base
        if os.path.isdir(base) and base not in OWN_BASES:
            raise UserError("--pretrained-base takes a file, and this is a folder", base,
                            f"of a run give {os.path.join(base, 'last.params')}")
        if self.freeze != "none" and self.pretrained_base == "no" and not self.transfer and not self.resume:
            warn(f"--freeze {self.freeze} keeps layers that nothing has trained")

    def check_epoch_warmup(self) -> None:
        """The same for a warm-up that is counted in epochs."""
        at_least(self, "warmup_epochs", 0)
        not_negative(self, "warmup_lr")
        if self.warmup_lr > self.scaled_lr():
            scaled = f", {self.scaled_lr():g} by --scale-lr" if self.scale_lr else ""
            raise UserError(f"--warmup-lr {self.warmup_lr} is above --lr {self.lr}{scaled}", remedy="warm-up goes upwards")
        if self.warmup_epochs >= self.epochs:
            raise UserError(f"--warmup-epochs {self.warmup_epochs} leaves nothing of --epochs {self.epochs}",
                            remedy="warm up for less")


def other_devices(given: Mapping[str, Any]) -> dict[str, Any]:
    """{field: value} that --gpus or --cpus, given alone, leaves of the other: it takes its place."""
    if given.get("cpus") and "gpus" not in given:
        return {"gpus": None}
    return {"cpus": 0} if given.get("gpus") is not None and "cpus" not in given else {}


@dataclasses.dataclass(frozen=True)
class DetectionOptions(TrainingOptions):
    """What every detector's training takes. A family's options also say how it is called and tested, by the methods below."""

    classes: str = flag("", "class names, comma-separated, or a text file of one a line; default: those found in the "
                            "annotations", "data", evaluates=True)
    on_bad_sample: str = flag("error", "what to do about broken images and faulty boxes: stop, or leave them out, "
                                       "count and name them", "data", choices=ON_BAD_SAMPLE, evaluates=True)
    unannotated: str = flag("skip", "images without an annotation file (VOC's and LabelMe's layout): leave them out, or train "
                                    "on them as negatives", "data", choices=UNANNOTATED, evaluates=True)
    layout: str = flag("auto", "what the folder of --dataset is to be taken for; auto: what lies in it tells", "data",
                       choices=("auto", "voc", "coco", "yolo", "labelme"), evaluates=True)
    val_share: float = flag(0.0, "share of the images that validate, where the set has no part to validate on and no split "
                                 "is named, by a hash of their bytes; 0: as the layout does without (every fifth)", "data",
                            evaluates=True)
    cache: str = flag("none", "keep the decoded training images, in memory that all data workers share (ram) or in the run's "
                              "folder (disk), width x height x 3 bytes each: for sets that fit; the same batches", "data",
                      choices=("none", "ram", "disk"))
    skip_empty: bool = flag(False, "do not train on images without a box, as GluonCV on COCO; default: they are negatives",
                            "data")
    train_split: str = flag("", "split(s) to train on, comma-separated (of COCO's layout one); default: train; of VOC's lists "
                              "trainval, but train where val validates", "data")
    val_split: str = flag("", "split(s) to validate on, comma-separated (of COCO's layout one); default: val, else test; of "
                            "VOC's lists test, else val", "data", evaluates=True)
    mixup_loss: str = flag("weighted", "weigh each box by its image's mix ratio, or all by 1; global (Faster and Mask "
                                       "R-CNN, with --mixup even): every loss by 0.5, background's too, as GluonCV's --mixup "
                                       "does", "freebies", choices=MIXUP_LOSSES)
    pretrained_base: str = flag("yes", "start from a backbone pre-trained on ImageNet: yes (downloads it), no, a .params "
                                       "file, GluonCV's name of the backbone or of a detector on it, or shipped: the "
                                       "package's own darknet-mini, which saw drawn shapes (shipped-mixup: with mixup)", "first")
    transfer: str = flag("", "start from a trained detector on the same backbone (a run's folder, a .params file, or "
                             "GluonCV's name): keep what both share, classes of the same name too, re-initialise other "
                             "classes", "network")
    freeze: str = flag("none", "what does not learn: the stem (its first layers), the backbone, or all-but-head. With little "
                               "data like the pretrained model's freeze much, with more data freeze less", "network",
                       choices=FREEZE)
    start_epoch: int = flag(0, START_EPOCH)
    allow_partial: bool = flag(False, "with --resume FILE.params: load what fits by name and shape, and say what does not")
    metric: str = flag("auto", "voc07 (11-point mAP@0.5), voc (all points), coco (AP@[.5:.95]); auto: coco for COCO, "
                               "else voc07", choices=METRICS, evaluates=True)
    balance: str = flag("none", "repeat: show images of rare classes more often, by LVIS's repeat factors", "data",
                        choices=("none", "repeat"))
    balance_threshold: float = flag(0.001, "a class in a smaller share of the images than this is rare (--balance repeat)",
                                    "data")
    report: bool = flag(False, "at the end write a page into the run's folder that says why the AP is what it is: errors, "
                               "curves, the worst images")
    save_prefix: str = flag("", "also save parameters as <prefix><network>_<dataset>_best.params and so on, as GluonCV "
                                "does; default: only in the run folder")

    disable_hybridization = False  # a family may make it a flag
    learns_from_empty = True  # whether an image without a box teaches the network what is background

    def check(self) -> None:
        """The same for what a detector starts from."""
        super().check()
        if not 0 <= self.val_share < 1:
            raise UserError(f"--val-share {self.val_share:g} is outside [0, 1)", remedy="0.2 is usual")
        if not 0 < self.balance_threshold <= 1:
            raise UserError(f"--balance-threshold {self.balance_threshold} is outside (0, 1]",
                            remedy="give a share of images; LVIS's is 0.001")
        self.check_start()

    def idle(self) -> list[Idle]:
        """What does nothing as the other flags stand, and why."""
        return [*super().idle(),
                Idle(("mixup_loss",), not self.mixup, "without --mixup"),
                Idle(("balance_threshold",), self.balance == "none", "without --balance repeat")]

    @classmethod
    def from_file_name(cls, name: str) -> dict[str, Any]:
        """{field: value} that the name of a file or model of GluonCV's tells of this family; {} if it is none."""
        raise NotImplementedError

    @staticmethod
    def told_dataset(name: str) -> dict[str, Any]:
        """{field: value} of the data set that a name of GluonCV's ends with: nothing of NAME_SETS' custom."""
        return {} if name == "custom" else {"dataset": name}

    @property
    def dataset_name(self) -> str:
        """The data set's name as it ends the names of GluonCV's files; a folder's own."""
        return os.path.basename(os.path.abspath(self.dataset))

    @property
    def most_found(self) -> int:
        """Boxes that the network finds in an image, or hardly more."""
        return MOST_FOUND

    def gluoncv_name(self) -> str:
        """GluonCV's name of the network, as it begins the names of its files."""
        raise NotImplementedError

    def check_build(self) -> None:
        """Raise UserError for a network that cannot be built."""

    def check_test_size(self) -> None:
        """Raise UserError for a test size that the network cannot take."""

    def at_size(self, short: int) -> Any:
        """The options with another test size in pixels. Raises UserError for one that the network cannot take."""
        raise NotImplementedError

    def training_sizes(self) -> Iterable[int]:
        """Sides in pixels that training images may have."""
        raise NotImplementedError


def decay_epochs(default: Any, text: str = "epochs at which the learning rate decays") -> Any:
    """The field of --lr-decay-epoch, whose default is a family's."""
    return flag(default, text, "schedule", kind=INTEGERS)


def check_decay_epochs(options: Any) -> None:
    """Raise UserError where the rate would decay before the first epoch."""
    epochs = options.lr_decay_epoch
    if epochs and min(epochs) < 1:
        raise UserError(f"--lr-decay-epoch {INTEGERS.write(epochs)}: by a step schedule all epochs would have the decayed "
                        "learning rate", remedy="name epochs from 1 on, or give another --lr")

"""Flags of training for the mini-batch study: a classifier of small images or a YOLOv3, on mini-batches sorted by a metric."""
from __future__ import annotations

import dataclasses
from typing import Any, Iterable

from gluon_bof.errors import UserError
from gluon_bof.options.flags import EMBEDDED, at_least, flag, flag_name
from gluon_bof.options.training import OPTIMIZERS, Idle, TrainingOptions, decay_epochs
from gluon_bof.options.yolo3 import NETWORKS as YOLO3_BACKBONES
from gluon_bof.options.yolo3 import Yolo3Options, check_data_shape

YOLO3 = "yolo3_"  # begins the names of detectors
CLASSIFIERS = ("cifar_resnet20_v1", "dpn92", "dpn-mini")
NETWORKS = (*CLASSIFIERS, *(YOLO3 + name for name in YOLO3_BACKBONES))
OF_BOXES = ("objects", "box-area", "class-entropy")
METRICS = ("intensity", "colour", "edges", "perceptual", *OF_BOXES)
ORDERS = {
    "sorted": "the sorted mini-batches, one after another, as in the paper",
    "shuffled": "images shuffled anew every epoch",
    "random-batches": "mini-batches cut once at random, in a new order every epoch",
    "sorted-shuffled": "the sorted mini-batches in a new order every epoch",
    "drop-extremes": "the same; after the first phase without the lowest and the highest tenth of them",
    "upper-quartile": "the same; in the first phase only the highest quarter, then without the extreme tenths",
    "rs2": "a quarter of the images, drawn anew four times an epoch (RS2)",
    "grab": "random mini-batches in the order of GraB's pair balance",
}
PROBES = ("two-pass", "cache", "sketch", "none")
# options of a run's probes, which do nothing where there is none
OF_PROBES = ("probe", "probe_interval", "statistics", "by_loss", "null_partitions", "null_batches", "null_interval", "cache")
STATISTICS = ("frozen", "batch")


def _hidden(default: Any) -> Any:
    """A field of every training that this one does not offer."""
    return flag(default, "", hidden=True)


def _refused(default: Any) -> Any:
    """A field of every training that this one refuses in its own words, and that no help shows."""
    return flag(default, "")


@dataclasses.dataclass(frozen=True)
class MinibatchOptions(TrainingOptions):
    """A training of the study. The defaults train a ResNet-20 on the objects of the embedded set."""

    dataset: str = flag(EMBEDDED, "shapes (the embedded set), vocmini, cifar10, or a folder: train/CLASS/ and val/CLASS/ with "
                                  "images, or a detection set, whose objects a classifier is shown one by one", "first")
    dataset_root: str = flag("", "where CIFAR-10's binary files lie; default ~/.mxnet/datasets/cifar10", "data")
    network: str = flag("cifar_resnet20_v1", "a classifier of images of 32x32, or a YOLOv3", "first", choices=NETWORKS)
    data_shape: int = flag(32, "side of the images in pixels; CIFAR-10's is 32, a YOLOv3's a multiple of 32", "first")
    batch_size: int = flag(64, "images a mini-batch; the paper's is 256", "first")
    epochs: int = flag(6, "training epochs; the paper's are 150", "first")
    num_images: int = flag(0, "train on so many images, the first of the set; 0: on all", "data")
    lr: float = flag(0.1, "learning rate", "first")
    lr_mode: str = flag("step", "learning rate schedule", "schedule", choices=("step", "cosine"))
    lr_decay_epoch: tuple = decay_epochs((2, 4), "epochs at which the learning rate decays, and a new phase begins; the "
                                                  "paper's are 50,100")
    warmup_epochs: int = flag(0, "warm-up epochs", "schedule")
    warmup_lr: float = flag(0.0, "learning rate at which warm-up starts", "schedule")
    optimizer: str = flag("sgd", "optimizer", "schedule", choices=tuple(OPTIMIZERS))
    wd: float = flag(0.0005, "weight decay", "schedule")
    no_wd: bool = flag(False, "no weight decay on biases and on batch normalisation's beta and gamma", "schedule")
    metric: str = flag("intensity", "what the images are sorted by", "first", choices=METRICS)
    order: str = flag("sorted", "what is trained on: " + "; ".join(f"{name}: {text}" for name, text in ORDERS.items()), "first",
                      choices=tuple(ORDERS))
    probe: str = flag("two-pass", "how the gradients of all mini-batches are measured at every epoch's start: two-pass (exact, "
                                  "in the memory of three networks), cache (the paper's: every gradient on disk), sketch (one "
                                  "pass, a percent off), none (train alone)", "first", choices=PROBES)
    probe_interval: int = flag(1, "epochs between two probes", "first")
    statistics: str = flag("frozen", "batch normalisation in a probe: by the running statistics, or by the mini-batch's own, "
                                     "with which the mean of gradients is not the full gradient", "first", choices=STATISTICS)
    by_loss: bool = flag(False, "YOLOv3: also probe each of the four losses, which takes four more probes", "first")
    null_partitions: int = flag(20, "random partitions that a probe compares with; 0: none", "first")
    null_batches: int = flag(2, "mini-batches of each that are measured; 0: all. With --statistics batch always all", "first")
    null_interval: int = flag(1, "epochs between two such comparisons", "first")
    alexnet: str = flag("", "--metric perceptual: weights of AlexNet (.params or .safetensors)", "data")
    lpips: str = flag("", "--metric perceptual: weights of LPIPS's five linear layers (.params or .safetensors)", "data")
    cache: str = flag("", "--probe cache: folder for the gradients; default: the run's", "data")
    label_smooth_eps: float = flag(0.0, "label smoothing by Eq. 3; 0 is off", "freebies")
    no_augment: bool = flag(False, "train without random crop and flip (YOLOv3: and colour)", "freebies")
    pretrained_base: str = flag("no", "YOLOv3: start from a backbone; no, shipped, or a .params file", "network")
    init: str = flag("near-identity", "YOLOv3: start of a network without a pretrained base", "network",
                     choices=("gluoncv", "near-identity"))
    objectness_prior: float = flag(0.01, "YOLOv3: how sure of an object an untrained prediction is", "network")
    num_workers: int = flag(0, "number of data workers", "data", short="-j")
    resume: str = flag("", "go on with a run: its folder, one of its checkpoints, or auto for the newest run", "first")
    save_interval: int = flag(0, "epochs between parameter files that are kept for good; 0: none")
    keep: int = flag(1, "checkpoints to keep")
    seed: int = flag(0, "seed of everything random")
    recipe: str = flag("", "start from a named recipe; every other flag stands on top of it. --list-recipes names them", "first")
    gpus: str | None = flag(None, "the GPU to use, for example 0; '' is the CPU; default: a GPU that is there, else the CPU",
                            "first")
    kv_store: str = flag("device", "how gradients are summed over devices, of which there is one here: nccl, device or local")
    cpus: int = _refused(0)
    horovod: bool = _refused(False)
    num_samples: int = _hidden(-1)
    mixup: str = _hidden("")
    mixup_alpha: float = _hidden(1.5)
    mixup_beta: float = _hidden(1.5)
    no_mixup_epochs: int = _hidden(0)
    accumulate: int = _hidden(1)
    ema: float = _hidden(0.0)
    amp: bool = _hidden(False)
    early_stop: int = _hidden(0)

    @property
    def detects(self) -> bool:
        """Whether the network is a detector."""
        return self.network.startswith(YOLO3)

    def phase_ends(self) -> list[int]:
        """Epochs before which a phase of one learning rate ends, the last of all too. With a cosine schedule: three thirds."""
        inner = self.lr_decay_epoch if self.lr_mode == "step" else (self.epochs // 3, 2 * self.epochs // 3)
        return [end for end in sorted(set(inner)) if 0 < end < self.epochs] + [self.epochs]

    def phase_of(self, epoch: int) -> int:
        """The phase of an epoch, from 0."""
        return sum(epoch >= end for end in self.phase_ends()[:-1])

    def training_sizes(self) -> Iterable[int]:
        """Sides in pixels that training images may have."""
        return (self.data_shape,)

    def gluoncv_name(self) -> str:
        """GluonCV's name of the network."""
        return self.network

    def detector_options(self) -> Yolo3Options:
        """The options of the YOLOv3 that is trained."""
        return Yolo3Options(dataset=self.dataset, dataset_root=self.dataset_root, network=self.network[len(YOLO3):],
                            data_shape=self.data_shape, batch_size=self.batch_size, no_random_shape=True,
                            pretrained_base=self.pretrained_base, init=self.init, objectness_prior=self.objectness_prior,
                            num_workers=self.num_workers, gpus=self.gpus, seed=self.seed)

    def idle(self) -> list[Idle]:
        """What does nothing as the other flags stand, and why."""
        no_probe = self.probe == "none"
        return [*super().idle(),
                Idle(tuple(name for name in OF_PROBES if name not in ("probe", "cache")), no_probe, "with --probe none"),
                Idle(("cache",), self.probe != "cache", f"with --probe {self.probe}"),
                Idle(("null_batches", "null_interval"), not (no_probe or self.null_partitions), "with --null-partitions 0"),
                Idle(("null_batches",), self.statistics == "batch" and self.null_partitions > 0 and not no_probe,
                     "with --statistics batch"),
                Idle(("init",), self.pretrained_base != "no", f"with --pretrained-base {self.pretrained_base}"),
                Idle(("alexnet", "lpips"), self.metric != "perceptual", f"with --metric {self.metric}")]

    def check(self) -> None:
        """Refuse, by name, values that cannot work. Raises UserError."""
        super().check()
        self.check_epoch_warmup()
        for name, least in (("num_images", 0), ("probe_interval", 1), ("null_partitions", 0), ("null_batches", 0),
                            ("null_interval", 1)):
            at_least(self, name, least)
        if self.detects:
            check_data_shape(self.data_shape)
            self.detector_options().check()
        else:
            at_least(self, "data_shape", 16)
        self._check_what_goes_together()

    def _check_what_goes_together(self):
        if self.detects and self.dataset == "cifar10":
            raise UserError("CIFAR-10 has no boxes to detect", remedy=f"give one of {', '.join(CLASSIFIERS)}")
        if self.dataset == "cifar10" and self.data_shape != 32:
            raise UserError(f"--data-shape {self.data_shape}: CIFAR-10's images are 32 pixels wide", remedy="leave it out")
        if not self.detects and (self.by_loss or self.metric in OF_BOXES):
            told = "--by-loss" if self.by_loss else f"--metric {self.metric}"
            raise UserError(f"{told} is for detection, and {self.network} is a classifier", remedy="give a yolo3_… network")
        if self.order == "drop-extremes" and len(self.phase_ends()) == 1:
            raise UserError("--order drop-extremes leaves mini-batches out after the first phase, and this training has no other",
                            remedy="give --lr-decay-epoch an epoch before --epochs")
        if self.metric == "perceptual" and not (self.alexnet and self.lpips):
            raise UserError("--metric perceptual needs the weights of AlexNet and of LPIPS, which this package does not bring "
                            "along", remedy="give --alexnet FILE and --lpips FILE; docs/minibatch.md says where they are")
        if len([word for word in (self.gpus or "").split(",") if word.strip()]) > 1:
            raise UserError(f"--gpus {self.gpus}: the study trains and probes on one device", remedy="name one GPU")
        if self.cpus > 1 or self.horovod or self.kv_store.startswith("dist"):
            told = f"--cpus {self.cpus}" if self.cpus > 1 else "--horovod" if self.horovod else f"--kv-store {self.kv_store}"
            raise UserError(f"{told}: the study trains and probes on one device, in one process", remedy="leave it out")
        self._check_what_only_one_kind_has()
        if self.starts_from_file:
            raise UserError(f"--resume {self.resume} is no run", remedy="give a run's folder")

    def _check_what_only_one_kind_has(self):
        kind, other = ("YOLOv3", "classifier") if self.detects else ("classifier", "YOLOv3")
        for name in ("label_smooth_eps",) if self.detects else ("pretrained_base", "init", "objectness_prior"):
            if getattr(self, name) != self._default(name):
                raise UserError(f"{flag_name(name)} is for a {other}, and {self.network} is a {kind}", remedy="leave it out")

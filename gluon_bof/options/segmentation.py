"""train_segmentation.py's flags, with the names, meanings and defaults of GluonCV's scripts/segmentation/train.py.

Its names that differ from the other scripts' here are second names of the same flags: --workers, --weight-decay, --kvstore,
--start_epoch. --no-cuda, --ngpus, --dtype, --checkname, --save-dir and --model-zoo are resolved into the flags that say the
same."""
from __future__ import annotations

import dataclasses
import os
import re
from typing import Any, Iterable, Mapping

from gluon_bof.errors import UserError
from gluon_bof.options.flags import EMBEDDED, at_least, flag, flag_name, not_negative, positive
from gluon_bof.options.training import (
    FREEZE,
    MIXUP,
    NAME_ENDS,
    ON_BAD_SAMPLE,
    START_EPOCH,
    SYNCBN,
    Idle,
    TrainingOptions,
    decay_epochs,
)

FILLING = ("nearest", "bilinear", "transposed")  # ways of upsampling that give every pixel a value
UPSAMPLINGS = ("nearest", "bilinear", "bed-of-nails", "max-unpooling", "transposed")
# {model: its backbones, the first one its own choice}; U-Net's "plain" is its own, which pools and has no weights to begin with
MODELS = {"fcn": ("resnet50", "resnet101"), "fcn32s": ("vgg16", "darknet-mini"), "fcn16s": ("vgg16", "darknet-mini"),
          "fcn8s": ("vgg16", "darknet-mini"), "unet": ("plain", "darknet-mini")}
BACKBONES = tuple(dict.fromkeys(name for names in MODELS.values() for name in names))
UPSAMPLED_BY = {"fcn": "bilinear"}  # without --upsampling; the others' papers have transposed convolutions
ZOO_NAMES = {"resnet50": "resnet50_v1s", "resnet101": "resnet101_v1s"}  # GluonCV's names of the backbones' weights
DATASETS = {"voc": "pascal_voc", "ade": "ade20k", "coco": "coco"}  # as GluonCV's names of models end: its names of data sets
NAME = re.compile(r"fcn_(resnet\d+)_(voc|coco|ade)" + NAME_ENDS)
WITHOUT_NORM = "vgg16"  # the backbone without batch normalisation, on which the paper's FCNs have none either
STRIDE = 32  # pixels of the coarsest cell: sides are multiples of it, but for GluonCV's FCN
NO_LOG_FILE, NO_CHECKNAME = "train.log", "default"  # GluonCV's defaults


def place_of(save_dir: str, checkname: str) -> dict[str, str]:
    """{"runs": folder, "name": …} of a run as far as GluonCV's --save-dir, else --checkname, say them."""
    if save_dir:
        folder = os.path.normpath(save_dir)
        return {"runs": os.path.dirname(folder) or ".", "name": os.path.basename(folder)}
    return {"name": checkname} if checkname != NO_CHECKNAME else {}


@dataclasses.dataclass(frozen=True)
class SegmentationOptions(TrainingOptions):
    """Flags of train_segmentation.py."""

    model: str = flag("fcn", "fcn: GluonCV's, a ResNet without its last two halvings; fcn32s, fcn16s, fcn8s: the paper's, which "
                             "fuse features of stride 32, 16 and 8; or unet", "first", choices=tuple(MODELS), evaluates=True,
                      builds=True)
    backbone: str | None = flag(None, "resnet50 or resnet101 (fcn), vgg16 or darknet-mini (fcn32s, fcn16s, fcn8s), plain or "
                                      "darknet-mini (unet); default: the first of them", "first", choices=BACKBONES,
                                evaluates=True, builds=True)
    model_zoo: str = flag("", "GluonCV's name of a model, such as fcn_resnet101_coco, in place of --model and --backbone",
                          "network")
    pretrained: bool = flag(False, "start from the weights of --model-zoo", "network")
    upsampling: str | None = flag(None, "how the network gets back to a finer grid: nearest, bilinear, transposed (a convolution "
                                      "that begins as bilinear), and for unet also bed-of-nails and max-unpooling (plain "
                                      "backbone); default: bilinear for fcn, transposed for the others", "network",
                                  choices=UPSAMPLINGS, evaluates=True, builds=True)
    dataset: str = flag(EMBEDDED, "shapes (embedded, drawn on first use), vocmini, pascal_voc, pascal_aug, coco, ade20k, citys, "
                                  "or a folder: of VOC's layout, of COCO's, or of images/ and masks/ whose files have the same "
                                  "names. GluonCV's default is pascal, which it does not know", "first", evaluates=True)
    dataset_root: str = flag("", "where a named set lies: the folder of VOC2012 or VOCaug, of COCO's annotations/, of "
                                 "ADEChallengeData2016, of Cityscapes' gtFine/; default: voc, coco, ade or citys in "
                                 "~/.mxnet/datasets", "data", evaluates=True)
    classes: str = flag("", "class names in the order of the masks' numbers, background first, comma-separated, or a text file "
                            "of one a line; default: the folder's classes.txt, or COCO's categories", "data", evaluates=True)
    on_bad_sample: str = flag("error", "what to do about broken images, label maps and outlines: stop, or leave them out, "
                                       "count and name them", "data", choices=ON_BAD_SAMPLE, evaluates=True)
    num_workers: int = flag(16, "number of data workers", "data", short="-j", old="--workers", evaluates=True)
    base_size: int = flag(520, "the long side of training images is drawn from half of it to twice it, in pixels", "data")
    crop_size: int = flag(480, "side in pixels of the squares that are cut out of training images, and of what validation's "
                               "images are fitted into", "first", evaluates=True)
    train_split: str = flag("train", "split to train on. GluonCV reads VOC's trainval for train, and so trains on what it "
                                     "validates on; here train is train", "data")
    val_split: str = flag("", "split to validate on; default: val, valid or validation, else test", "data", evaluates=True)
    aux: bool = flag(False, "fcn: a second head on the third stage, with a loss of its own", "network", evaluates=True,
                     builds=True)
    aux_weight: float = flag(0.5, "weight of that loss", "network")
    epochs: int = flag(50, "training epochs", "first")
    start_epoch: int = flag(0, START_EPOCH, old="--start_epoch")
    batch_size: int = flag(16, "images a step, over all devices", "first")
    test_batch_size: int = flag(16, "images a batch in validation", evaluates=True)
    lr: float = flag(1e-3, "learning rate, of the mean gradient. GluonCV's weighs that by the devices over --batch-size", "first")
    lr_mode: str = flag("poly", "learning rate schedule; poly's power is 0.9", "schedule", choices=("step", "poly", "cosine"))
    lr_decay_epoch: tuple = decay_epochs((30, 40))
    warmup_epochs: int = flag(0, "warm-up epochs", "schedule")
    warmup_lr: float = flag(0.0, "learning rate at which warm-up starts", "schedule")
    wd: float = flag(1e-4, "weight decay", "schedule", old="--weight-decay")
    no_wd: bool = flag(False, "no weight decay on biases and on batch normalisation's beta and gamma", "schedule")
    mode: str = flag("", "GluonCV's script takes it and never looks at it; networks are always hybridised here")
    no_cuda: bool = flag(False, "train on the CPU: --gpus ''")
    ngpus: int = flag(-1, "train on the first so many GPUs: --gpus 0,1,…; -1: see --gpus")
    kv_store: str = flag(
        "device", "how gradients are summed: nccl, device or local over the devices of one process; dist_sync or "
                  "dist_device_sync over workers, which gluon-bof launch starts and which need no flag", old="--kvstore")
    dtype: str = flag("float32", "float32, or float16: --amp", "schedule", choices=("float32", "float16"))
    allow_partial: bool = flag(False, "with --resume FILE.params: load what fits by name and shape, and say what does not")
    checkname: str = flag(NO_CHECKNAME, "the run's name: --name")
    save_dir: str = flag("", "the run's folder: --runs and --name in one")
    logging_file: str = flag(NO_LOG_FILE, "GluonCV's name of the log; a run's is log.txt, in its folder")
    log_interval: int = flag(20, "batches between two log lines")
    eval: bool = flag(False, "only validate, with --resume FILE.params or --model-zoo NAME --pretrained")
    no_val: bool = flag(False, "no validation but after the last epoch")
    syncbn: Any = flag(False, "synchronise batch normalisation over devices; per-process: each worker of several its own",
                       "freebies", nargs="?", const=True, kind=SYNCBN, metavar="per-process")
    mixup: str = flag("", "mix images and their label maps, as classification does: ratios from a Beta distribution, or always "
                          "even", "freebies", nargs="?", const="beta", kind=MIXUP, metavar="beta|even")
    mixup_alpha: float = flag(0.2, "alpha of the mix ratio's Beta distribution", "freebies")
    mixup_beta: float = flag(0.2, "beta of the mix ratio's Beta distribution", "freebies")
    no_mixup_epochs: int = flag(0, "no mixup in the last so many epochs", "freebies")
    label_smooth_eps: float = flag(0.0, "smooth each pixel's class by Eq. 3 with this epsilon; 0 is off", "freebies")
    no_augment: bool = flag(False, "no random scale, crop, flip and blur: images as validation sees them", "freebies")
    pretrained_base: str = flag("yes", "start from a backbone pre-trained on ImageNet: yes (downloads it), no, a .params file, "
                                       "or shipped: the package's own darknet-mini (shipped-mixup: with mixup)", "first")
    transfer: str = flag("", "start from trained weights on the same network (a run's folder, a .params file, or GluonCV's "
                             "name): keep what both share, classes of the same name too", "network")
    freeze: str = flag("none", "what does not learn: the stem (its first layers), the backbone, or all-but-head", "network",
                       choices=FREEZE)
    save_interval: int = flag(0, "epochs between parameter files that are kept for good; 0: none")

    SAYS = {"no_cuda": ("gpus",), "ngpus": ("gpus",), "checkname": ("name",), "save_dir": ("runs", "name")}
    disable_hybridization = False

    @property
    def network(self) -> str:
        """The backbone, by the name that its weights have."""
        return ZOO_NAMES.get(self.backbone, self.backbone)

    def gluoncv_name(self) -> str:
        """GluonCV's name of the network and the data set, where it has one."""
        ending = {dataset: ending for ending, dataset in DATASETS.items()}.get(self.dataset, "custom")
        return f"{self.model}_{self.backbone}_{ending}"

    @classmethod
    def from_file_name(cls, name: str) -> dict[str, Any]:
        """{field: value} that the name of a file or model of GluonCV's tells of this family; {} if it is none."""
        match = NAME.match(os.path.basename(name))
        if not match or match[1] not in MODELS["fcn"]:
            return {}
        return {"model": "fcn", "backbone": match[1], "dataset": DATASETS[match[2]], "aux": True}

    def training_sizes(self) -> Iterable[int]:
        """Sides in pixels that training images may have."""
        return (self.crop_size,)

    def at_size(self, short: int) -> SegmentationOptions:
        """The options with another test size in pixels. Raises UserError for one that the network cannot take."""
        self._check_side(short, "--short")
        return dataclasses.replace(self, crop_size=short)

    def check_test_size(self) -> None:
        """Raise UserError for a size that the network cannot take."""
        self._check_side(self.crop_size, "--crop-size")

    def _check_side(self, side, name):
        multiple = 8 if self.model == "fcn" else STRIDE
        if side < STRIDE or side % multiple:
            raise UserError(f"{name} {side} is no size for {self.model}",
                            remedy=f"give a multiple of {multiple}, from {STRIDE} on")

    def synchronises_batchnorm(self) -> bool:
        """Whether batch normalisation is to have the statistics of all devices together."""
        return bool(self.syncbn) and self.backbone != WITHOUT_NORM

    def under(self, given: Mapping[str, Any]) -> SegmentationOptions:
        """The options of a recipe without what another network that is given cannot have: its own defaults are in their place."""
        model = "fcn" if given.get("model_zoo") else given.get("model", self.model)
        backbone = given.get("backbone", self.backbone if self.backbone in MODELS[model] else None)
        changes = {} if backbone == self.backbone else {"backbone": backbone, "pretrained_base": "yes"}
        return dataclasses.replace(super().under(given), **changes, upsampling=None if model in UPSAMPLED_BY else self.upsampling)

    def resolved(self) -> SegmentationOptions:
        """The same options with everything filled in that depends on others. Raises UserError for what cannot be together."""
        changes = {**self._of_zoo(), **self._devices(), **self._place()}
        model = changes.get("model", self.model)
        backbone = changes.get("backbone", self.backbone) or MODELS[model][0]
        changes.update(backbone=backbone, upsampling=self.upsampling or UPSAMPLED_BY.get(model, "transposed"))
        if backbone == "plain" and self.pretrained_base == "yes":
            changes["pretrained_base"] = "no"  # nobody has weights of it
        if self.dtype == "float16":
            changes["amp"] = True
        if self.no_val:
            changes["val_interval"] = self.epochs
        return dataclasses.replace(self, **changes)

    def _of_zoo(self):
        if not self.model_zoo:
            has_aux = not os.path.exists(self.transfer) and self.from_file_name(self.transfer).get("aux")
            return {"aux": True} if has_aux and self.model == "fcn" else {}
        told = self.from_file_name(self.model_zoo)
        if not told or told["backbone"] not in self.model_zoo:
            raise UserError(f"GluonCV has no FCN {self.model_zoo!r} that can be had here",
                            remedy="for example fcn_resnet101_coco")
        if self.pretrained and self.transfer not in ("", self.model_zoo):
            raise UserError(f"--model-zoo {self.model_zoo} --pretrained and --transfer {self.transfer} are two starts",
                            remedy="give one")
        return {"model": told["model"], "backbone": told["backbone"],
                "aux": self.aux or self.pretrained,  # which GluonCV's files have
                "transfer": self.model_zoo if self.pretrained else self.transfer}

    def _devices(self):
        if self.no_cuda and (self.ngpus > 0 or self.gpus):
            raise UserError("--no-cuda and GPUs are two choices of devices", remedy="give one")
        told = "" if self.no_cuda else ",".join(map(str, range(self.ngpus))) if self.ngpus >= 0 else self.gpus
        if self.gpus is not None and self.gpus != told:
            raise UserError(f"--ngpus {self.ngpus} and --gpus {self.gpus} are two choices of devices", remedy="give one")
        return {"gpus": told}

    def _place(self):
        place = place_of(self.save_dir, self.checkname)
        told = f"--save-dir {self.save_dir}" if self.save_dir else f"--checkname {self.checkname}"
        for name, value in place.items():
            own = getattr(self, name)
            if own != self._default(name) and os.path.normpath(own) != value:
                raise UserError(f"{told} and {flag_name(name)} {own} are two places of the run", remedy="give one")
        return place

    def check(self) -> None:
        """Refuse, by name, values and combinations that cannot work. Raises UserError."""
        super().check()
        self.check_build()
        self.check_start()
        self.check_epoch_warmup()
        self.check_test_size()
        at_least(self, "base_size", 2)
        at_least(self, "test_batch_size", 1)
        at_least(self, "ngpus", -1)
        not_negative(self, "aux_weight")
        if self.aux:
            positive(self, "aux_weight")  # a head without a loss would never get a gradient

    def idle(self) -> list[Idle]:
        """What does nothing as the other flags stand, and why."""
        others = [idle for idle in super().idle() if not (self.no_val and "early_stop" in idle.names)]
        return [*others,
                Idle(("early_stop",), self.no_val, "with --no-val: there is one validation, at the end"),
                Idle(("val_interval",), self.no_val, "with --no-val", has_value=False),
                Idle(("model", "backbone"), bool(self.model_zoo), f"with --model-zoo {self.model_zoo}", has_value=False),
                Idle(("aux_weight",), not self.aux, "without --aux"),
                Idle(("base_size",), self.no_augment, "with --no-augment"),
                Idle(("syncbn",), self.backbone == WITHOUT_NORM, f"on {self.backbone}, which has no batch normalisation"),
                Idle(("mode",), True, "here: networks are always hybridised"),
                Idle(("logging_file",), self.logging_file != NO_LOG_FILE, "here: a run's log is log.txt in its folder")]

    def check_build(self) -> None:
        """Raise UserError for a network that cannot be built, of resolved options."""
        if self.backbone not in MODELS[self.model]:
            raise UserError(f"{self.model} is not built on {self.backbone}", remedy=f"choose {' or '.join(MODELS[self.model])}")
        if self.model == "fcn" and self.upsampling != "bilinear":
            raise UserError(f"GluonCV's FCN is upsampled bilinearly, not by --upsampling {self.upsampling}",
                            remedy="fcn8s and unet take it")
        if self.upsampling not in FILLING and self.model != "unet":
            raise UserError(f"--upsampling {self.upsampling} wants layers after it, and {self.model} has none",
                            remedy="give --model unet")
        if self.upsampling == "max-unpooling" and self.backbone != "plain":
            raise UserError(f"--upsampling max-unpooling wants poolings, and {self.backbone} has none",
                            remedy="give --backbone plain")
        if self.aux and self.model != "fcn":
            raise UserError(f"{self.model} has no second head", remedy="leave --aux out")

    def check_start(self) -> None:
        """The same; also for --eval and --model-zoo."""
        super().check_start()
        if self.backbone == "plain" and self.pretrained_base != "no":
            raise UserError(f"U-Net's plain backbone has no weights to start from, and --pretrained-base is "
                            f"{self.pretrained_base}", remedy="give no")
        if self.pretrained and not self.model_zoo:
            raise UserError("--pretrained wants --model-zoo", remedy="name one of GluonCV's models")
        if self.eval and not (self.starts_from_file or self.transfer):
            raise UserError("--eval has no weights", remedy="give --resume FILE.params, or use gluon-bof evaluate")

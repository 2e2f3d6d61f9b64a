"""train_faster_rcnn.py's flags, with the names, meanings and defaults of GluonCV's script of this name."""
from __future__ import annotations

import dataclasses
import os
import re
from typing import Any, Iterable, Mapping

from gluon_bof.errors import UserError, warn
from gluon_bof.options.flags import INTEGERS, NUMBERS, at_least, flag, flag_name, not_negative, positive, positive_numbers
from gluon_bof.options.training import NAME_ENDS, NAME_SETS, DetectionOptions, Idle, decay_epochs

NETWORKS = ("resnet18_v1b", "resnet50_v1b", "resnet101_v1b", "resnet101_v1d", "resnest50", "resnest101", "resnest269",
            "darknet-mini")
SMALLEST_SIDE = 32  # pixels, of a test image
ZOO_MAX_SIDE = 1333  # of COCO's images in GluonCV's model zoo, where the paper has 1300
# GluonCV's names; the first part is a pyramid's, the second its learning normalisation's
NAME = re.compile(r"faster_rcnn(_fpn)?(_syncbn)?_(.+?)_" + NAME_SETS + NAME_ENDS)


def part(default_text: str, text: str, kind: Any = str, **how: Any) -> Any:
    """A flag of the network's build: None is the preset of --network, --use-fpn, --norm-layer and --dataset.

    These are the flags that GluonCV knows only after the word custom-model, with the defaults of `CUSTOM`."""
    return flag(None, f"{text}; default {default_text}", "parts", kind=kind, part=True, **how)


@dataclasses.dataclass(frozen=True)
class FasterRcnnOptions(DetectionOptions):
    """Fields that are None depend on others; `resolved` fills them."""

    network: str = flag("resnet50_v1b", "backbone; darknet-mini, not GluonCV's, is for small sets on CPUs", "first",
                        choices=NETWORKS)
    batch_size: int = flag(1, "images a step, over all devices", "first")
    epochs: int | None = flag(None, "training epochs; default 20, for COCO 26", "first", kind=int)
    lr: float | None = flag(None, "learning rate; default 0.001, for COCO 0.00125", "first", kind=float)
    lr_decay_epoch: tuple | None = decay_epochs(None, "epochs at which the learning rate decays; default 14,20, for COCO 17,23")
    lr_warmup: int | None = flag(None, "warm-up iterations; default -1 (none), for COCO 1000", "schedule", kind=int)
    lr_warmup_factor: float = flag(1 / 3, "learning rate at which warm-up starts, as a share of --lr", "schedule")
    wd: float | None = flag(None, "weight decay; default 0.0005, for COCO 0.0001", "schedule", kind=float)
    save_interval: int = flag(1, "epochs between parameter files that are kept for good; 0: none")
    verbose: bool = flag(False, "log the names of the parameters that are trained")
    norm_layer: str | None = flag(None, "syncbn: batch normalisation learns, synchronised over the devices; left out, it is "
                                        "frozen in the backbone, as suits a pretrained one, and absent elsewhere",
                                  "freebies", choices=("syncbn",), evaluates=True, builds=True)
    syncbn: str = flag("", "per-process: with several workers, --norm-layer syncbn synchronises over the devices of each alone",
                       "freebies", choices=("per-process",))
    rpn_smoothl1_rho: float = flag(1 / 9, "where the RPN's box loss turns from L2 to L1; 0: all L1", "network")
    rcnn_smoothl1_rho: float = flag(1.0, "where the head's box loss turns from L2 to L1; 0: all L1", "network")
    use_fpn: bool = flag(False, "feature pyramid network", "first", evaluates=True, builds=True)
    disable_hybridization: bool = flag(False, "run operator by operator, for looking inside; slower")
    static_alloc: bool = flag(False, "fixed memory for each image shape: faster where shapes repeat, needs more")
    executor_threads: int = flag(1, "accepted and not needed: MXNet's engine feeds all devices from one thread")
    kv_store: str = flag("nccl", "how gradients are summed: nccl, device or local over the devices of one process; dist_sync or "
                                 "dist_device_sync over workers, which gluon-bof launch starts and which need no flag")
    custom_model: bool = flag(False, "set by the word custom-model", hidden=True, builds=True)

    no_pretrained_base: bool = flag(False, "the same as --pretrained-base no", "parts", part=True)
    num_fpn_filters: int | None = part("256", "channels of the pyramid's levels", int)
    num_box_head_conv: int | None = part("0, with --use-fpn --norm-layer syncbn 4, then on resnet50_v1b 1",
                                         "convolutions in the box head of a pyramid that learns normalisation", int)
    num_box_head_conv_filters: int | None = part("256", "channels of those", int)
    num_box_head_dense_filters: int | None = part("1024", "units of the box head's dense layers", int,
                                                  short="--num_box_head_dense_filters")
    image_short: tuple | None = part("600, for COCO 800, then with --use-fpn --norm-layer syncbn 640,800 (resnest269: 640,864)",
                                     "short side of images in pixels; two numbers: drawn between them", INTEGERS)
    image_max_size: int | None = part("1000, for COCO 1300, then with --use-fpn --norm-layer syncbn 1333 (resnest269: 1440)",
                                      "longest that an image's long side may be", int)
    nms_thresh: float | None = part("0.3, for COCO 0.5", "IoU above which a detection is suppressed; above 1: none", float)
    nms_topk: int | None = part("400, for COCO -1", "best detections that suppression looks at; below 1: all", int)
    post_nms: int | None = part("100, for COCO -1", "accepted, and not used, as in GluonCV: nothing more is left out", int)
    roi_mode: str | None = part("align", "how a region's features are cut out", choices=("align", "pool"))
    roi_size: tuple | None = part("14,14, with --use-fpn 7,7", "height and width of a region's features", INTEGERS)
    strides: tuple | None = part("16, with --use-fpn 4,8,16,32,64", "image pixels a feature cell, of each level", INTEGERS)
    clip: float | None = part("0, for COCO 4.14", "largest predicted log of a box's growth; 0: none", float)
    rpn_channel: int | None = part("1024, with --use-fpn --norm-layer syncbn 256", "channels of the RPN", int)
    anchor_base_size: int | None = part("16", "side of the reference anchor", int)
    anchor_aspect_ratio: tuple | None = part("0.5,1,2", "heights over widths of anchors", NUMBERS)
    anchor_scales: tuple | None = part("2,4,8,16,32", "sides of anchors over the reference's; with --use-fpn one a level",
                                       NUMBERS)
    anchor_alloc_size: tuple | None = part("128,128, with --use-fpn 384,384", "largest feature map, in cells of the finest level",
                                           INTEGERS)
    rpn_nms_thresh: float | None = part("0.7", "IoU above which a proposal is suppressed; above 1: none", float)
    rpn_train_pre_nms: int | None = part("12000", "proposals that suppression looks at while training", int)
    rpn_train_post_nms: int | None = part("2000", "proposals that it leaves while training", int)
    rpn_test_pre_nms: int | None = part("6000", "proposals that suppression looks at in inference", int)
    rpn_test_post_nms: int | None = part("300, for COCO 1000", "proposals that it leaves in inference", int)
    rpn_min_size: int | None = part("16, for COCO 1", "smallest side of a proposal in pixels", int)
    rcnn_num_samples: int | None = part("128, with --use-fpn 512", "regions that an image trains the head on", int)
    rcnn_pos_iou_thresh: float | None = part("0.5", "IoU from which a region counts as an object", float)
    rcnn_pos_ratio: float | None = part("0.25", "largest share of objects among the regions", float)
    max_num_gt: int | None = part("100", "accepted and not needed: boxes an image are not limited here", int)

    SAYS = {"no_pretrained_base": ("pretrained_base",)}

    @classmethod
    def from_file_name(cls, name: str) -> dict[str, Any]:
        """{field: value} that the name of a file or model of GluonCV's tells; {} if it is none of a Faster R-CNN."""
        match = NAME.match(os.path.basename(name))
        if not match or match.group(3) not in NETWORKS:
            return {}
        pyramid, learning, network, dataset = match.groups()
        told = {"network": network, **cls.told_dataset(dataset), "use_fpn": bool(pyramid),
                "norm_layer": "syncbn" if learning else None}
        if dataset == "coco" and not learning:
            told["image_max_size"] = ZOO_MAX_SIDE
        return told

    def gluoncv_name(self) -> str:
        """GluonCV's name of the network, as it begins the names of its files."""
        if self.custom_model:
            return f"custom_faster_rcnn_fpn_{self.network}_{self.dataset_name}"
        parts = ["faster_rcnn"] + ["fpn"] * self.use_fpn + ["syncbn"] * bool(self.norm_layer)
        return "_".join(parts + [self.network, self.dataset_name])

    def at_size(self, short: int) -> FasterRcnnOptions:
        """The options with another short side of test images, in pixels. Raises UserError for one that cannot be."""
        if not SMALLEST_SIDE <= short <= self.image_max_size:
            raise UserError(f"--short {short} is not between {SMALLEST_SIDE} and the longest side, {self.image_max_size}",
                            remedy="give one between them")
        return dataclasses.replace(self, image_short=(short,))

    def warms_up(self) -> bool:
        """Whether the learning rate begins below its full value."""
        return self.lr_warmup > 0

    def synchronises_batchnorm(self) -> bool:
        """Whether batch normalisation is to have the statistics of all devices together."""
        return bool(self.norm_layer)

    def shorts(self) -> tuple[int, int]:
        """(smallest, largest) short side in pixels while training; validation has the largest."""
        return self.image_short[0], self.image_short[-1]

    def training_sizes(self) -> Iterable[int]:
        """Short sides in pixels that training images may have."""
        smallest, largest = self.shorts()
        return range(smallest, largest + 1)

    def under(self, given: Mapping[str, Any]) -> FasterRcnnOptions:
        """A recipe's options without its base where --no-pretrained-base is given."""
        return dataclasses.replace(super().under(given), **({"pretrained_base": "no"} if given.get("no_pretrained_base") else {}))

    def resolved(self) -> FasterRcnnOptions:
        """The same options with every None filled, as GluonCV's script and model zoo do. Raises UserError for two starts."""
        options = self
        if options.custom_model:
            options = dataclasses.replace(options, use_fpn=True)
        if options.no_pretrained_base:
            if options.pretrained_base not in ("yes", "no"):
                raise UserError(f"--pretrained-base {options.pretrained_base} and --no-pretrained-base are two starts",
                                remedy="give one")
            options = dataclasses.replace(options, pretrained_base="no")
        defaults = options.defaults()
        return dataclasses.replace(options, **{name: value for name, value in defaults.items()
                                               if getattr(options, name) is None})

    def defaults(self) -> dict[str, Any]:
        """{field: value} of those that depend on others."""
        return dict(SCHEDULE_COCO if self.dataset == "coco" else SCHEDULE, **preset(self))

    def pools_regions(self) -> bool:
        """Whether a pyramid's box head first halves a region's features."""
        return self.custom_model

    def check(self) -> None:
        """Refuse, by name, values and combinations of resolved options that cannot work. Raises UserError."""
        super().check()
        self.check_build()
        at_least(self, "executor_threads", 1)
        positive(self, "lr_warmup_factor")
        for name in ("rpn_smoothl1_rho", "rcnn_smoothl1_rho"):
            not_negative(self, name)
        for name in ("rcnn_pos_iou_thresh", "rcnn_pos_ratio"):
            if not 0 < getattr(self, name) <= 1:
                raise UserError(f"{flag_name(name)} {getattr(self, name)} is outside (0, 1]", remedy="give a share")
        objects = self.rcnn_num_samples * self.rcnn_pos_ratio
        if int(objects) < 1 or round(objects) >= self.rcnn_num_samples:
            lacking = "objects" if int(objects) < 1 else "background"
            raise UserError(f"--rcnn-num-samples {self.rcnn_num_samples} with --rcnn-pos-ratio {self.rcnn_pos_ratio} leaves no "
                            f"place for {lacking}", remedy="128 and 0.25 are usual")
        if min(self.rpn_train_pre_nms, self.rpn_train_post_nms) < self.rcnn_num_samples:
            raise UserError(f"--rpn-train-pre-nms {self.rpn_train_pre_nms} and --rpn-train-post-nms {self.rpn_train_post_nms} "
                            f"leave too few proposals for --rcnn-num-samples {self.rcnn_num_samples}",
                            remedy="give both as many as are sampled, or sample fewer")
        if self.lr_warmup_factor > 1:
            raise UserError(f"--lr-warmup-factor {self.lr_warmup_factor} is above 1", remedy="warm-up goes upwards")
        if self.amp and self.norm_layer:
            raise UserError("--amp and --norm-layer syncbn do not go together in MXNet", remedy="leave one out")
        if self.mixup_loss == "global" and self.mixup != "even":
            raise UserError("--mixup-loss global is one ratio for everything", remedy="give --mixup even with it")
        if self.pretrained_base == "no" and not (self.norm_layer or self.transfer or self.resume not in ("", "auto")):
            warn("normalisation is frozen and the backbone is untrained: --norm-layer syncbn lets it learn")

    def idle(self) -> list[Idle]:
        """What does nothing as the other flags stand, and why."""
        return [*super().idle(),
                Idle(("lr_warmup_factor",), not self.warms_up(), "without --lr-warmup"),
                Idle(("post_nms",), True, "here, as in GluonCV: --rpn-test-post-nms limits what is found"),
                Idle(("syncbn",), not self.norm_layer, "without --norm-layer syncbn"),
                Idle(("static_alloc",), self.disable_hybridization, "with --disable-hybridization"),
                Idle(("num_box_head_conv", "num_box_head_conv_filters"), not (self.use_fpn and self.norm_layer),
                     "without --use-fpn --norm-layer syncbn"),
                Idle(("num_fpn_filters", "num_box_head_dense_filters"), not self.use_fpn, "without --use-fpn")]

    @property
    def most_found(self) -> int:
        """Boxes that the network finds in an image, or hardly more, of resolved options: one a proposal, but of several
        classes."""
        return self.rpn_test_post_nms

    def check_build(self) -> None:
        """Raise UserError for a network that cannot be built, of resolved options."""
        from_one = ("num_fpn_filters", "num_box_head_conv_filters", "num_box_head_dense_filters", "rpn_channel",
                    "anchor_base_size", "rpn_train_pre_nms", "rpn_train_post_nms", "rpn_test_pre_nms", "rpn_test_post_nms",
                    "rcnn_num_samples", "image_max_size")
        from_zero = "num_box_head_conv", "rpn_min_size", "nms_thresh", "rpn_nms_thresh"
        for name, least in {**dict.fromkeys(from_one, 1), **dict.fromkeys(from_zero, 0)}.items():
            at_least(self, name, least)
        not_negative(self, "clip")
        for name in ("image_short", "roi_size", "strides", "anchor_scales", "anchor_aspect_ratio", "anchor_alloc_size"):
            positive_numbers(self, name)
        sides, strides, allocated = self.image_short, self.strides, self.anchor_alloc_size
        if len(sides) > 2 or sides[0] > sides[-1]:
            raise UserError(f"--image-short {INTEGERS.write(sides)} is not one side or a smallest and a largest",
                            remedy="for example 600 or 640,800")
        if self.image_max_size < sides[-1]:
            raise UserError(f"--image-max-size {self.image_max_size} is below --image-short {INTEGERS.write(sides)}",
                            remedy="the long side cannot be the shorter one")
        if len(self.roi_size) != 2:
            raise UserError(f"--roi-size {INTEGERS.write(self.roi_size)} is not a height and a width", remedy="for example 7,7")
        wanted = (4, 8, 16, 32, 64) if self.use_fpn else (16,)
        if strides != wanted:
            raise UserError(f"--strides {INTEGERS.write(strides)} are not those of the network",
                            remedy=f"leave it out; they are {INTEGERS.write(wanted)}")
        if self.use_fpn and len(self.anchor_scales) != len(strides):
            raise UserError(f"--anchor-scales {NUMBERS.write(self.anchor_scales)} are not one for each of the {len(strides)} "
                            "levels", remedy="for example 2,4,8,16,32")
        if len(allocated) != 2 or min(allocated) * strides[0] < self.image_max_size:
            raise UserError(f"--anchor-alloc-size {INTEGERS.write(allocated)} (times {strides[0]} pixels) does not cover "
                            f"--image-max-size {self.image_max_size}", remedy="give larger ones, as height,width")


SCHEDULE = dict(epochs=20, lr=0.001, lr_decay_epoch=(14, 20), lr_warmup=-1, wd=5e-4)
SCHEDULE_COCO = dict(epochs=26, lr=0.00125, lr_decay_epoch=(17, 23), lr_warmup=1000, wd=1e-4)
# The networks as GluonCV's model zoo builds them; what it does not have (a pyramid for VOC, say) is put together from these
COMMON = dict(num_fpn_filters=256, num_box_head_conv=0, num_box_head_conv_filters=256, num_box_head_dense_filters=1024,
              image_short=(600,), image_max_size=1000, nms_thresh=0.3, nms_topk=400, post_nms=100, roi_mode="align",
              roi_size=(14, 14), strides=(16,), clip=0.0, rpn_channel=1024, anchor_base_size=16,
              anchor_aspect_ratio=(0.5, 1, 2), anchor_scales=(2, 4, 8, 16, 32), anchor_alloc_size=(128, 128),
              rpn_nms_thresh=0.7, rpn_train_pre_nms=12000, rpn_train_post_nms=2000, rpn_test_pre_nms=6000,
              rpn_test_post_nms=300, rpn_min_size=16, rcnn_num_samples=128, rcnn_pos_iou_thresh=0.5,
              rcnn_pos_ratio=0.25, max_num_gt=100)
# 1300 is the paper's; the zoo has 1333
COCO = dict(image_short=(800,), image_max_size=1300, nms_thresh=0.5, nms_topk=-1, post_nms=-1, clip=4.14,
            rpn_test_post_nms=1000, rpn_min_size=1)
PYRAMID = dict(roi_size=(7, 7), strides=(4, 8, 16, 32, 64), anchor_alloc_size=(384, 384), rcnn_num_samples=512)
CUSTOM = dict(COCO, **PYRAMID, image_max_size=1333, rpn_channel=256)


def preset(options: FasterRcnnOptions) -> dict[str, Any]:
    """{field: value} of the network's build for these options."""
    values = dict(COMMON)
    if options.custom_model:
        values.update(CUSTOM, num_box_head_conv=4 if options.norm_layer else 0)
        return values
    if options.dataset == "coco":
        values.update(COCO)
    if options.use_fpn:
        values.update(PYRAMID)
        if options.norm_layer:
            values.update(rpn_channel=256, num_box_head_conv=1 if options.network == "resnet50_v1b" else 4)
            if options.dataset == "coco":
                values.update(image_short=(640, 864) if options.network == "resnest269" else (640, 800),
                              image_max_size=1440 if options.network == "resnest269" else 1333)
    return values

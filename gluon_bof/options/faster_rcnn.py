"""train_faster_rcnn.py's flags, with the names, meanings and defaults of GluonCV's script of this name."""
from __future__ import annotations

import dataclasses

from gluon_bof.errors import UserError
from gluon_bof.options.flags import at_least, flag, integers, not_negative, numbers, positive
from gluon_bof.options.training import TrainingOptions, check_start, check_training

NETWORKS = ("resnet18_v1b", "resnet50_v1b", "resnet101_v1b", "resnet101_v1d", "resnest50", "resnest101", "resnest269")


def part(default_text, text, kind=str, **how):
    """A flag of the network's build: None is the preset of --network, --use-fpn, --norm-layer and --dataset.

    These are the flags that GluonCV knows only after the word custom-model, with the defaults of `CUSTOM`."""
    return flag(None, f"{text}; default by network and data set, {default_text}", kind=kind, custom=True, **how)


@dataclasses.dataclass(frozen=True)
class FasterRcnnOptions(TrainingOptions):
    """Fields that are None depend on others; `resolve` fills them."""

    network: str = flag("resnet50_v1b", "backbone", choices=NETWORKS)
    batch_size: int = flag(1, "images a step, over all devices")
    epochs: int = flag(None, "training epochs; default 20, for COCO 26", kind=int)
    lr: float = flag(None, "learning rate; default 0.001, for COCO 0.00125", kind=float)
    lr_decay_epoch: str = flag(None, "epochs at which the learning rate decays; default 14,20, for COCO 17,23")
    lr_warmup: int = flag(None, "warm-up iterations; default -1 (none), for COCO 1000", kind=int)
    lr_warmup_factor: float = flag(1 / 3, "learning rate at which warm-up starts, as a share of --lr")
    momentum: float = flag(0.9, "momentum of sgd and nag")
    wd: float = flag(None, "weight decay; default 0.0005, for COCO 0.0001", kind=float)
    save_interval: int = flag(1, "epochs between parameter files that are kept for good; 0: none")
    verbose: bool = flag(False, "log the names of the parameters that are trained")
    norm_layer: str = flag(None, "syncbn: batch normalisation learns, synchronised over the devices; left out, it is "
                                 "frozen in the backbone, as suits a pretrained one, and absent elsewhere",
                           choices=("syncbn",))
    rpn_smoothl1_rho: float = flag(1 / 9, "where the RPN's box loss turns from L2 to L1; 0: all L1")
    rcnn_smoothl1_rho: float = flag(1.0, "where the head's box loss turns from L2 to L1; 0: all L1")
    use_fpn: bool = flag(False, "feature pyramid network")
    disable_hybridization: bool = flag(False, "run operator by operator, for looking inside; slower")
    static_alloc: bool = flag(False, "fixed memory for each image shape: faster where shapes repeat, needs more")
    executor_threads: int = flag(1, "accepted and not needed: MXNet's engine feeds all devices from one thread")
    kv_store: str = flag("nccl", "how gradients of several GPUs are summed: nccl, device, local, dist_sync, …")
    custom_model: bool = flag(False, "set by the word custom-model", hidden=True)

    no_pretrained_base: bool = flag(False, "the same as --pretrained-base no", custom=True)
    num_fpn_filters: int = part("256", "channels of the pyramid's levels", int)
    num_box_head_conv: int = part("0, 1 or 4", "convolutions in the box head of a pyramid that learns normalisation", int)
    num_box_head_conv_filters: int = part("256", "channels of those", int)
    num_box_head_dense_filters: int = part("1024", "units of the box head's dense layers", int,
                                           short="--num_box_head_dense_filters")
    image_short: str = part("600, for COCO 800", "short side of images in pixels; two numbers: drawn between them")
    image_max_size: int = part("1000, for COCO 1300", "longest that an image's long side may be", int)
    nms_thresh: float = part("0.3, for COCO 0.5", "IoU above which a detection is suppressed; outside [0, 1]: none", float)
    nms_topk: int = part("400, for COCO -1", "best detections that suppression looks at; -1: all", int)
    post_nms: int = part("100, for COCO -1", "best detections that are returned; -1: all", int)
    roi_mode: str = part("align", "how a region's features are cut out", choices=("align", "pool"))
    roi_size: str = part("14,14, with --use-fpn 7,7", "height and width of a region's features")
    strides: str = part("16, with --use-fpn 4,8,16,32,64", "image pixels a feature cell, of each level")
    clip: float = part("0 (none), for COCO 4.14", "largest predicted log of a box's growth", float)
    rpn_channel: int = part("1024", "channels of the RPN", int)
    anchor_base_size: int = part("16", "side of the reference anchor", int)
    anchor_aspect_ratio: str = part("0.5,1,2", "heights over widths of anchors")
    anchor_scales: str = part("2,4,8,16,32", "sides of anchors over the reference's; with --use-fpn one a level")
    anchor_alloc_size: str = part("128,128, with --use-fpn 384,384", "largest feature map, in cells of the finest level")
    rpn_nms_thresh: float = part("0.7", "IoU above which a proposal is suppressed", float)
    rpn_train_pre_nms: int = part("12000", "proposals that suppression looks at while training", int)
    rpn_train_post_nms: int = part("2000", "proposals that it leaves while training", int)
    rpn_test_pre_nms: int = part("6000", "proposals that suppression looks at in inference", int)
    rpn_test_post_nms: int = part("300, for COCO 1000", "proposals that it leaves in inference", int)
    rpn_min_size: int = part("16, for COCO 1", "smallest side of a proposal in pixels", int)
    rcnn_num_samples: int = part("128, with --use-fpn 512", "regions that an image trains the head on", int)
    rcnn_pos_iou_thresh: float = part("0.5", "IoU from which a region counts as an object", float)
    rcnn_pos_ratio: float = part("0.25", "largest share of objects among the regions", float)
    max_num_gt: int = part("100", "accepted and not needed: boxes an image are not limited here", int)

    def shorts(self):
        """(smallest, largest) short side in pixels while training; validation has the largest."""
        sides = integers(self.image_short, "--image-short")
        return sides[0], sides[-1]

    def training_sizes(self):
        """Short sides in pixels that training images may have."""
        smallest, largest = self.shorts()
        return range(smallest, largest + 1)


SCHEDULE = dict(epochs=20, lr=0.001, lr_decay_epoch="14,20", lr_warmup=-1, wd=5e-4)
SCHEDULE_COCO = dict(epochs=26, lr=0.00125, lr_decay_epoch="17,23", lr_warmup=1000, wd=1e-4)
# The networks as GluonCV's model zoo builds them; what it does not have (a pyramid for VOC, say) is put together from these
COMMON = dict(num_fpn_filters=256, num_box_head_conv=0, num_box_head_conv_filters=256, num_box_head_dense_filters=1024,
              image_short="600", image_max_size=1000, nms_thresh=0.3, nms_topk=400, post_nms=100, roi_mode="align",
              roi_size="14,14", strides="16", clip=0.0, rpn_channel=1024, anchor_base_size=16,
              anchor_aspect_ratio="0.5,1,2", anchor_scales="2,4,8,16,32", anchor_alloc_size="128,128",
              rpn_nms_thresh=0.7, rpn_train_pre_nms=12000, rpn_train_post_nms=2000, rpn_test_pre_nms=6000,
              rpn_test_post_nms=300, rpn_min_size=16, rcnn_num_samples=128, rcnn_pos_iou_thresh=0.5,
              rcnn_pos_ratio=0.25, max_num_gt=100)
# 1300 is the paper's; the zoo has 1333
COCO = dict(image_short="800", image_max_size=1300, nms_thresh=0.5, nms_topk=-1, post_nms=-1, clip=4.14,
            rpn_test_post_nms=1000, rpn_min_size=1)
PYRAMID = dict(roi_size="7,7", strides="4,8,16,32,64", anchor_alloc_size="384,384", rcnn_num_samples=512)
CUSTOM = dict(COCO, **PYRAMID, image_max_size=1333, rpn_channel=256)


def preset(options):
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
                values.update(image_short="640,864" if options.network == "resnest269" else "640,800",
                              image_max_size=1440 if options.network == "resnest269" else 1333)
    return values


def resolve(options):
    """The same options with every None filled, as GluonCV's script and model zoo do."""
    if options.custom_model:
        options = dataclasses.replace(options, use_fpn=True)
    if options.no_pretrained_base:
        options = dataclasses.replace(options, pretrained_base="no")
    defaults = dict(SCHEDULE_COCO if options.dataset == "coco" else SCHEDULE, **preset(options))
    return dataclasses.replace(options, **{name: value for name, value in defaults.items()
                                           if getattr(options, name) is None})


def check_faster_rcnn(options):
    """Refuse, by name, values and combinations of resolved options that cannot work. Raises UserError."""
    check_training(options)
    check_start(options)
    for name in ("num_fpn_filters", "num_box_head_conv_filters", "num_box_head_dense_filters", "rpn_channel",
                 "anchor_base_size", "rpn_train_pre_nms", "rpn_train_post_nms", "rpn_test_pre_nms",
                 "rpn_test_post_nms", "rcnn_num_samples", "image_max_size", "executor_threads"):
        at_least(options, name, 1)
    for name in ("num_box_head_conv", "rpn_min_size"):
        at_least(options, name, 0)
    positive(options, "lr_warmup_factor")
    for name in ("rpn_smoothl1_rho", "rcnn_smoothl1_rho", "clip"):
        not_negative(options, name)
    for name in ("rcnn_pos_iou_thresh", "rcnn_pos_ratio"):
        if not 0 < getattr(options, name) <= 1:
            raise UserError(f"--{name.replace('_', '-')} {getattr(options, name)} is outside (0, 1]",
                            remedy="give a share")
    if options.lr_warmup_factor > 1:
        raise UserError(f"--lr-warmup-factor {options.lr_warmup_factor} is above 1", remedy="warm-up goes upwards")
    if options.amp and options.norm_layer:
        raise UserError("--amp and --norm-layer syncbn do not go together in MXNet", remedy="leave one out")
    if options.mixup_loss == "global" and options.mixup != "even":
        raise UserError("--mixup-loss global is one ratio for everything", remedy="give --mixup even with it")
    _check_shapes(options)


def _check_shapes(options):
    integers(options.lr_decay_epoch, "--lr-decay-epoch")
    sides = numbers(options.image_short, "--image-short", int)
    if len(sides) > 2 or sides[0] > sides[-1]:
        raise UserError(f"--image-short {options.image_short} is not one side or a smallest and a largest",
                        remedy="for example 600 or 640,800")
    if options.image_max_size < sides[-1]:
        raise UserError(f"--image-max-size {options.image_max_size} is below --image-short {options.image_short}",
                        remedy="the long side cannot be the shorter one")
    if len(numbers(options.roi_size, "--roi-size", int)) != 2:
        raise UserError(f"--roi-size {options.roi_size} is not a height and a width", remedy="for example 7,7")
    strides = numbers(options.strides, "--strides", int)
    scales = numbers(options.anchor_scales, "--anchor-scales")
    numbers(options.anchor_aspect_ratio, "--anchor-aspect-ratio")
    wanted = (4, 8, 16, 32, 64) if options.use_fpn else (16,)
    if strides != wanted:
        raise UserError(f"--strides {options.strides} are not those of the network",
                        remedy=f"leave it out; they are {','.join(map(str, wanted))}")
    if options.use_fpn and len(scales) != len(strides):
        raise UserError(f"--anchor-scales {options.anchor_scales} are not one for each of the {len(strides)} levels",
                        remedy="for example 2,4,8,16,32")
    allocated = numbers(options.anchor_alloc_size, "--anchor-alloc-size", int)
    if len(allocated) != 2 or min(allocated) * strides[0] < options.image_max_size:
        raise UserError(f"--anchor-alloc-size {options.anchor_alloc_size} (times {strides[0]} pixels) does not cover "
                        f"--image-max-size {options.image_max_size}", remedy="give larger ones, as height,width")

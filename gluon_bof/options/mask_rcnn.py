"""train_mask_rcnn.py's flags: those of train_faster_rcnn.py and the mask head's, with the defaults of GluonCV's script."""
from __future__ import annotations

import dataclasses
import os
import re
from typing import Any

from gluon_bof.errors import UserError
from gluon_bof.options.faster_rcnn import FasterRcnnOptions, part, preset
from gluon_bof.options.flags import EMBEDDED, at_least, flag
from gluon_bof.options.training import NAME_ENDS, NAME_SETS, decay_epochs

NETWORKS = ("resnet18_v1b", "resnet50_v1b", "resnet101_v1b", "resnet101_v1d", "darknet-mini")
SMALL = ("resnet18_v1b", "darknet-mini")  # which have lighter heads
# GluonCV's names; the first part is a pyramid's, the second its learning normalisation's
NAME = re.compile(r"mask_rcnn(_fpn)?(_syncbn|_bn)?_(.+?)_" + NAME_SETS + NAME_ENDS)
LR_OF_AN_IMAGE = 0.00125
WARMUP_IMAGES, LEAST_WARMUP = 8000, 1000  # images that warm-up sees, and updates that it has at least


def _same_part(name, default_text):
    """Faster R-CNN's flag of this name, whose default is another here."""
    how = dict(FasterRcnnOptions.__dataclass_fields__[name].metadata)
    how["help"] = f"{how['help'].rpartition('; default ')[0]}; default {default_text}"
    return dataclasses.field(default=None, metadata=how)


@dataclasses.dataclass(frozen=True)
class MaskRcnnOptions(FasterRcnnOptions):
    """Fields that are None depend on others; `resolved` fills them."""

    dataset: str = flag(EMBEDDED, "shapes (embedded, drawn on first use), vocmini, voc, coco, or a folder of your own with "
                                  "masks, in COCO's layout or VOC's with SegmentationObject. GluonCV's default is coco; here "
                                  "the embedded job runs without it", "first", evaluates=True)
    layout: str = flag("auto", "what the folder of --dataset is to be taken for; auto: what lies in it tells", "data",
                       choices=("auto", "voc", "coco"), evaluates=True)
    network: str = flag("resnet50_v1b", "backbone; darknet-mini, not GluonCV's, is for small sets on CPUs", "first",
                        choices=NETWORKS)
    batch_size: int = flag(8, "images a step, over all devices", "first")
    epochs: int | None = flag(None, "training epochs; default 26", "first", kind=int)
    lr: float | None = flag(None, "learning rate; default 0.00125 times --batch-size", "first", kind=float)
    lr_decay_epoch: tuple | None = decay_epochs(None, "epochs at which the learning rate decays; default 17,23")
    lr_warmup: int | None = flag(None, "warm-up iterations; default 8000 over --batch-size, but 1000 at least", "schedule",
                                 kind=int)
    wd: float | None = flag(None, "weight decay; default 0.0001", "schedule", kind=float)
    clip_gradient: float = flag(-1.0, "largest value of a gradient, beyond which it is cut; -1: none", "schedule")
    norm_layer: str | None = flag(None, "syncbn: batch normalisation learns, synchronised over the devices; left out, it is "
                                        "frozen in the backbone, as suits a pretrained one, and absent elsewhere. bn: GluonCV's "
                                        "word for syncbn", "freebies", choices=("syncbn", "bn"), evaluates=True, builds=True)
    use_ext: bool = flag(False, "accepted and not needed: pycocotools evaluates")
    metric: str = flag("auto", "coco: AP@[.5:.95] of masks; voc07 or voc: mask AP@0.5, and boxes by the 11-point or all-point "
                               "mAP@0.5; auto: coco for COCO, else voc07", choices=("auto", "voc07", "voc", "coco"),
                       evaluates=True)

    num_box_head_conv: int | None = _same_part("num_box_head_conv", "0, with --use-fpn --norm-layer syncbn 1")
    image_short: tuple | None = _same_part("image_short", "800, with --use-fpn --norm-layer syncbn 640,800")
    image_max_size: int | None = _same_part("image_max_size", "1333")
    nms_thresh: float | None = _same_part("nms_thresh", "0.5")
    nms_topk: int | None = _same_part("nms_topk", "-1")
    post_nms: int | None = _same_part("post_nms", "-1")
    roi_size: tuple | None = _same_part("roi_size", "14,14, with --use-fpn on the small backbones 7,7")
    clip: float | None = _same_part("clip", "4.42")
    rpn_channel: int | None = _same_part("rpn_channel", "1024")
    rpn_test_post_nms: int | None = _same_part("rpn_test_post_nms", "1000")
    rpn_min_size: int | None = _same_part("rpn_min_size", "1")
    rcnn_num_samples: int | None = _same_part("rcnn_num_samples", "128, on resnet18_v1b 256, with --use-fpn 512")
    target_roi_scale: int | None = part("1, with --use-fpn 2", "sides of a mask's targets over those of --roi-size", int)
    num_mask_head_convs: int | None = part("0, with --use-fpn 4, on the small backbones 2", "convolutions in the mask head", int)
    mask_channels: int | None = part("256", "channels of the mask head", int)
    rcnn_max_dets: int | None = part("1000", "best detections that masks are made of, of at most --rpn-test-post-nms", int)

    @classmethod
    def from_file_name(cls, name: str) -> dict[str, Any]:
        """{field: value} that the name of a file or model of GluonCV's tells; {} if it is none of a Mask R-CNN."""
        match = NAME.match(os.path.basename(name))
        if not match or match.group(3) not in NETWORKS:
            return {}
        pyramid, learning, network, dataset = match.groups()
        return {"network": network, **cls.told_dataset(dataset), "use_fpn": bool(pyramid),
                "norm_layer": "syncbn" if learning else None}

    def gluoncv_name(self) -> str:
        """GluonCV's name of the network, as it begins the names of its files."""
        parts = ["mask_rcnn"] + ["fpn"] * self.use_fpn + ["syncbn"] * bool(self.norm_layer)
        return "_".join(["custom"] * self.custom_model + parts + [self.network, self.dataset_name])

    def resolved(self) -> MaskRcnnOptions:
        """The same options with every None filled, as GluonCV's script and model zoo do."""
        options = dataclasses.replace(self, norm_layer="syncbn") if self.norm_layer == "bn" else self
        return super(MaskRcnnOptions, options).resolved()

    def defaults(self) -> dict[str, Any]:
        """{field: value} of those that depend on others."""
        images = self.usual_batch() if self.scale_lr else max(1, self.batch_size)
        # masks are GluonCV's on COCO alone: its network is the same on every set
        values = {**preset(dataclasses.replace(self, dataset="coco")), **MASKS}
        if self.network == "resnet18_v1b" and not self.use_fpn:
            values.update(rcnn_num_samples=256)
        if self.use_fpn:
            values.update(PYRAMID_OF_SMALL if self.network in SMALL else PYRAMID)
            if self.norm_layer and not self.custom_model:
                values.update(num_box_head_conv=1, rpn_channel=1024)
        if self.custom_model:
            values.update(CUSTOM, num_box_head_conv=4 if self.norm_layer else 0)
        return dict(values, epochs=26, lr=LR_OF_AN_IMAGE * images, lr_decay_epoch=(17, 23), wd=1e-4,
                    lr_warmup=max(WARMUP_IMAGES // max(1, self.batch_size), LEAST_WARMUP))

    def pools_regions(self) -> bool:
        """Whether a pyramid's box head first halves a region's features."""
        return self.use_fpn and (self.custom_model or self.network not in SMALL)

    def mask_size(self) -> tuple[int, int]:
        """Height and width of a predicted mask, in cells."""
        return tuple(side * self.target_roi_scale for side in self.roi_size)

    def check_build(self) -> None:
        """Raise UserError for a network that cannot be built, of resolved options."""
        super().check_build()
        for name in ("target_roi_scale", "mask_channels", "rcnn_max_dets"):
            at_least(self, name, 1)
        at_least(self, "num_mask_head_convs", 0)
        if self.target_roi_scale != (2 if self.use_fpn else 1):
            raise UserError(f"--target-roi-scale {self.target_roi_scale} is not what the mask head gives",
                            remedy=f"leave it out; it is {2 if self.use_fpn else 1}: the head doubles what it sees"
                                   + ("" if self.use_fpn else ", and the fourth stage has halved it"))
        if not self.use_fpn and any(side % 2 for side in self.roi_size):
            raise UserError(f"--roi-size {','.join(map(str, self.roi_size))} is odd, and the fourth stage halves it",
                            remedy="for example 14,14")


# The networks as GluonCV's model zoo builds them
MASKS = dict(image_max_size=1333, clip=4.42, roi_size=(14, 14), target_roi_scale=1, num_mask_head_convs=0, mask_channels=256,
             rcnn_max_dets=1000)
PYRAMID = dict(target_roi_scale=2, num_mask_head_convs=4)
PYRAMID_OF_SMALL = dict(roi_size=(7, 7), target_roi_scale=2, num_mask_head_convs=2)
CUSTOM = dict(roi_size=(14, 14), clip=4.14, num_mask_head_convs=4)

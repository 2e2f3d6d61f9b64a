"""What the package asks of Mask R-CNN as a family; see models.build. Its backbones are among those of Faster R-CNN."""
from __future__ import annotations

from typing import Iterator, Mapping

from gluon_bof.models.faster_rcnn.family import (
    MAX_CONVOLUTIONS,
    backbones,
    eval_transform,
    export_form,
    inference_batch,
    matching,
)
from gluon_bof.models.mask_rcnn.network import build_mask_rcnn as build
from gluon_bof.options.mask_rcnn import NETWORKS, MaskRcnnOptions

__all__ = ["backbones", "build", "eval_transform", "export_form", "inference_batch", "matches"]


def matches(shapes: Mapping[str, tuple]) -> Iterator[tuple[str, int, dict]]:
    """(name, number of classes, {name: Parameter}) of the networks that have weights of these shapes, perhaps."""
    return matching(shapes, _candidate_options, build) if "mask.mask.bias" in shapes else iter(())


def _candidate_options(shapes):
    """Options of the networks that have so many convolutions in the box head and in the mask head."""
    pyramid = "rpn.rpn_head.score.bias" in shapes
    learns = any("syncbatchnorm" in name for name in shapes)
    in_boxes, in_masks = (sum(name.startswith(head) and len(shape) == 4 for name, shape in shapes.items())
                          for head in ("box_features.", "mask.deconv."))
    for name in NETWORKS if max(in_boxes, in_masks) <= MAX_CONVOLUTIONS else ():
        yield MaskRcnnOptions(network=name, use_fpn=pyramid, norm_layer="syncbn" if learns else None, pretrained_base="no",
                              num_box_head_conv=in_boxes, num_mask_head_convs=max(0, in_masks - 1)).resolved()

"""What the package asks of Mask R-CNN as a family; see models.build. Its backbones are among those of Faster R-CNN."""
from __future__ import annotations

from typing import Any, Iterator, Mapping, Sequence

from gluon_bof.backend import mx
from gluon_bof.models.build import with_inferred_shapes
from gluon_bof.models.faster_rcnn.family import MAX_CONVOLUTIONS, backbones, eval_transform, export_form, inference_batch
from gluon_bof.models.heads import classes_by_rows
from gluon_bof.models.mask_rcnn.network import MaskRCNN, build_mask_rcnn
from gluon_bof.options.mask_rcnn import NETWORKS, MaskRcnnOptions

__all__ = ["backbones", "build", "eval_transform", "export_form", "inference_batch", "matches"]


def build(options: MaskRcnnOptions, classes: Sequence[str], devices: Sequence[Any]) -> MaskRCNN:
    """The network of resolved options for these class names, not yet initialised."""
    return build_mask_rcnn(options, classes, devices)


def matches(shapes: Mapping[str, tuple]) -> Iterator[tuple[str, int, dict]]:
    """(name, number of classes, {name: Parameter}) of the networks that have weights of these shapes, perhaps."""
    if "class_predictor.bias" not in shapes or "mask.mask.bias" not in shapes:
        return
    classes = classes_by_rows({"class_predictor.bias": shapes["class_predictor.bias"]}, MaskRCNN.HEAD_ROWS)
    for options in _candidate_options(shapes) if classes else ():
        network = with_inferred_shapes(build_mask_rcnn(options, [str(index) for index in range(classes)], [mx.cpu()]))
        yield options.gluoncv_name()[:-len(options.dataset_name) - 1], classes, network._collect_params_with_prefix()


def _candidate_options(shapes):
    """Options of the networks that have so many convolutions in the box head and in the mask head."""
    pyramid = "rpn.rpn_head.score.bias" in shapes
    learns = any("syncbatchnorm" in name for name in shapes)
    in_boxes, in_masks = (sum(name.startswith(head) and len(shape) == 4 for name, shape in shapes.items())
                          for head in ("box_features.", "mask.deconv."))
    for name in NETWORKS if max(in_boxes, in_masks) <= MAX_CONVOLUTIONS else ():
        yield MaskRcnnOptions(network=name, use_fpn=pyramid, norm_layer="syncbn" if learns else None, pretrained_base="no",
                              num_box_head_conv=in_boxes, num_mask_head_convs=max(0, in_masks - 1)).resolved()

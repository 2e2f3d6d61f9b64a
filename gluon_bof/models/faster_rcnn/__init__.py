"""Faster R-CNN: GluonCV's networks, sampled anchors and regions, the four losses with mixup's weights and smoothing."""
from gluon_bof._lazy import attach

__getattr__, __dir__, __all__ = attach(__name__, {
    "family": ("build", "eval_transform", "inference_batch", "export_form", "matches", "backbones"),
    "anchors": ("AnchorGrid", "anchor_grid"),
    "batch": ("KeyedImages", "RegionBatch", "largest_batches"),
    "network": ("BACKBONES", "FasterRCNN", "build_faster_rcnn"),
    "targets": ("AnchorRules", "RegionSampler", "RegionTargets", "anchor_targets"),
    "loss": ("FasterRCNNLoss", "TrainingGraph"),
})

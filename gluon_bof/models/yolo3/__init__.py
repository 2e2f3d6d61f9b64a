"""YOLOv3: GluonCV's networks, targets for a whole batch on the device, the four losses with mixup's weights and smoothing."""
from gluon_bof._lazy import attach

__getattr__, __dir__, __all__ = attach(__name__, {
    "family": ("build", "eval_transform", "inference_batch", "export_form", "matches", "backbones"),
    "network": ("ANCHORS", "NETWORKS", "YOLOv3", "build_yolo3", "initialise_near_identity", "set_objectness_prior"),
    "targets": ("BoxTargets", "Grid", "grid_on", "grid_tables"),
    "loss": ("TrainingGraph", "YOLOv3Loss"),
})

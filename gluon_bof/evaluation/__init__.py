"""Detections against ground truth: VOC's and COCO's average precision, and one call that scores weights on a set."""
from gluon_bof._lazy import attach

__getattr__, __dir__, __all__ = attach(__name__, {
    "validation": ("Validation", "evaluate", "validation_set"),
    "score": (),
    "voc": ("mean_ap", "per_class_table", "voc_average_precision"),
    "coco": ("coco_average_precision", "mask_average_precision", "save_detections"),
    "detect": (),
    "segmentation": ("MapValidation", "evaluate_maps", "confusion", "scores_of"),
})

"""Data sets and what workers make of them: readers, the sampler that decides, the loader that computes.

Only loader and shared_memory know MXNet."""
from gluon_bof._lazy import attach

__getattr__, __dir__, __all__ = attach(__name__, {
    "sets": ("open_set",),
    "names": ("class_names",),
    "voc": ("VOC_CLASSES", "load_voc"),
    "coco": ("load_coco",),
    "layouts": ("recognise",),
    "convert": ("convert_set",),
    "shapes": ("load_shapes",),
    "images": ("read_image", "image_size"),
    "balance": ("repeats_of",),
    "cache": ("image_reader",),
    "label_sets": ("open_segmentation",),
    "segmentation": ("MapImages",),
    "sampler": ("BatchSampler", "SampleSpec"),
    "loader": ("TrainingImages", "ValidationImages", "training_loader", "validation_loader", "largest_batch"),
    "transforms": ("EvalTransform", "ShortSide", "square"),
    "check": ("check_set", "format_report"),
    "anchors": ("fit_anchors", "read_anchors", "write_anchors"),
})

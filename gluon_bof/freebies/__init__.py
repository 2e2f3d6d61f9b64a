"""The paper's tricks, one file each: each can be imported, and used, without the package's networks, data readers and training.

mixup (section 3.1), label_smoothing (3.2), augmentation (3.3), schedule (3.4), sync_batch_norm (3.5)."""
from gluon_bof._lazy import attach

__getattr__, __dir__, __all__ = attach(__name__, {
    "mixup": ("MixRatio", "blend_images", "merge_truths", "mix"),
    "label_smoothing": ("Smoothing", "equation_3", "gluoncv_variant", "smooth_labels"),
    "augmentation": ("Augmentation", "View", "render", "transform_boxes", "transform_masks", "whole_view", "augment"),
    "schedule": ("build_schedule", "rates_of", "step_epochs", "cosine_with_warmup"),
    "sync_batch_norm": ("norm_layer",),
})

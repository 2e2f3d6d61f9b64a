from gluon_bof.freebies.mixup import MixRatio as MixRatio, blend_images as blend_images, merge_truths as merge_truths, mix as mix
from gluon_bof.freebies.label_smoothing import (
    Smoothing as Smoothing, equation_3 as equation_3, gluoncv_variant as gluoncv_variant, smooth_labels as smooth_labels)
from gluon_bof.freebies.augmentation import (
    Augmentation as Augmentation, View as View, render as render, transform_boxes as transform_boxes,
    transform_masks as transform_masks, whole_view as whole_view, augment as augment)
from gluon_bof.freebies.schedule import (
    build_schedule as build_schedule, rates_of as rates_of, step_epochs as step_epochs, cosine_with_warmup as cosine_with_warmup)
from gluon_bof.freebies.sync_batch_norm import norm_layer as norm_layer

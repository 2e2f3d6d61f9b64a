from gluon_bof.models.mask_rcnn.family import (
    build as build, eval_transform as eval_transform, inference_batch as inference_batch, export_form as export_form,
    matches as matches, backbones as backbones)
from gluon_bof.models.mask_rcnn.batch import (
    MaskBatch as MaskBatch, MaskedImages as MaskedImages, largest_batches as largest_batches)
from gluon_bof.models.mask_rcnn.network import MaskRCNN as MaskRCNN, build_mask_rcnn as build_mask_rcnn
from gluon_bof.models.mask_rcnn.targets import MaskTargets as MaskTargets, unpacked as unpacked
from gluon_bof.models.mask_rcnn.loss import MaskLoss as MaskLoss, TrainingGraph as TrainingGraph

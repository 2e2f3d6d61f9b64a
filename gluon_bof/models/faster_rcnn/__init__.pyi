from gluon_bof.models.faster_rcnn.family import (
    build as build, eval_transform as eval_transform, inference_batch as inference_batch, export_form as export_form,
    matches as matches, backbones as backbones)
from gluon_bof.models.faster_rcnn.anchors import AnchorGrid as AnchorGrid, anchor_grid as anchor_grid
from gluon_bof.models.faster_rcnn.batch import (
    KeyedImages as KeyedImages, RegionBatch as RegionBatch, largest_batches as largest_batches)
from gluon_bof.models.faster_rcnn.network import (
    BACKBONES as BACKBONES, FasterRCNN as FasterRCNN, build_faster_rcnn as build_faster_rcnn)
from gluon_bof.models.faster_rcnn.targets import (
    AnchorRules as AnchorRules, RegionSampler as RegionSampler, RegionTargets as RegionTargets, anchor_targets as anchor_targets)
from gluon_bof.models.faster_rcnn.loss import FasterRCNNLoss as FasterRCNNLoss, TrainingGraph as TrainingGraph

from gluon_bof.models.build import (
    build_network as build_network, models_of as models_of, with_inferred_shapes as with_inferred_shapes,
    ExportForm as ExportForm)
from gluon_bof.models.preprocess import InferenceGraph as InferenceGraph, Normalise as Normalise
from gluon_bof.models.heads import Rows as Rows
from gluon_bof.models import (
    yolo3 as yolo3, faster_rcnn as faster_rcnn, ssd as ssd, mask_rcnn as mask_rcnn, segmentation as segmentation,
    classifier as classifier)

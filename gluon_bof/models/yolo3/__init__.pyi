from gluon_bof.models.yolo3.family import (
    build as build, eval_transform as eval_transform, inference_batch as inference_batch, export_form as export_form,
    matches as matches, backbones as backbones)
from gluon_bof.models.yolo3.network import (
    ANCHORS as ANCHORS, NETWORKS as NETWORKS, YOLOv3 as YOLOv3, build_yolo3 as build_yolo3,
    initialise_near_identity as initialise_near_identity, set_objectness_prior as set_objectness_prior)
from gluon_bof.models.yolo3.targets import BoxTargets as BoxTargets, Grid as Grid, grid_on as grid_on, grid_tables as grid_tables
from gluon_bof.models.yolo3.loss import TrainingGraph as TrainingGraph, YOLOv3Loss as YOLOv3Loss

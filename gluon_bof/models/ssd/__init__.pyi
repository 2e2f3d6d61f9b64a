from gluon_bof.models.ssd.family import (
    build as build, eval_transform as eval_transform, inference_batch as inference_batch, export_form as export_form,
    matches as matches, backbones as backbones)
from gluon_bof.models.ssd.network import SSD as SSD, build_ssd as build_ssd
from gluon_bof.models.ssd.targets import MultiBoxTargets as MultiBoxTargets
from gluon_bof.models.ssd.loss import MultiBoxLoss as MultiBoxLoss, TrainingGraph as TrainingGraph

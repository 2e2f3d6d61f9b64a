from gluon_bof.models.segmentation.family import (
    build as build, eval_transform as eval_transform, inference_batch as inference_batch, export_form as export_form,
    matches as matches, backbones as backbones, ScoreGraph as ScoreGraph, FittedView as FittedView)
from gluon_bof.models.segmentation.network import PaperFCN as PaperFCN, ResNetFCN as ResNetFCN, UNet as UNet
from gluon_bof.models.segmentation.upsampling import (
    upsampling_layer as upsampling_layer, MaxPooling as MaxPooling, MaxUnpooling as MaxUnpooling, BedOfNails as BedOfNails,
    TransposedConvolution as TransposedConvolution, bilinear_filter as bilinear_filter)
from gluon_bof.models.segmentation.loss import SegmentationLoss as SegmentationLoss, TrainingGraph as TrainingGraph

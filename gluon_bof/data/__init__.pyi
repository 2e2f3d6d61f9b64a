from gluon_bof.data.sets import open_set as open_set
from gluon_bof.data.names import class_names as class_names
from gluon_bof.data.voc import VOC_CLASSES as VOC_CLASSES, load_voc as load_voc
from gluon_bof.data.coco import load_coco as load_coco
from gluon_bof.data.layouts import recognise as recognise
from gluon_bof.data.convert import convert_set as convert_set
from gluon_bof.data.shapes import load_shapes as load_shapes
from gluon_bof.data.images import read_image as read_image, image_size as image_size
from gluon_bof.data.balance import repeats_of as repeats_of
from gluon_bof.data.cache import image_reader as image_reader
from gluon_bof.data.label_sets import open_segmentation as open_segmentation
from gluon_bof.data.segmentation import MapImages as MapImages
from gluon_bof.data.sampler import BatchSampler as BatchSampler, SampleSpec as SampleSpec
from gluon_bof.data.loader import (
    TrainingImages as TrainingImages, ValidationImages as ValidationImages, training_loader as training_loader,
    validation_loader as validation_loader, largest_batch as largest_batch)
from gluon_bof.data.transforms import EvalTransform as EvalTransform, ShortSide as ShortSide, square as square
from gluon_bof.data.check import check_set as check_set, format_report as format_report
from gluon_bof.data.anchors import fit_anchors as fit_anchors, read_anchors as read_anchors, write_anchors as write_anchors

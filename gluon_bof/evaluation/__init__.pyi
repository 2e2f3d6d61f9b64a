from gluon_bof.evaluation.validation import Validation as Validation, evaluate as evaluate, validation_set as validation_set
from gluon_bof.evaluation.voc import (
    mean_ap as mean_ap, per_class_table as per_class_table, voc_average_precision as voc_average_precision)
from gluon_bof.evaluation.coco import (
    coco_average_precision as coco_average_precision, mask_average_precision as mask_average_precision,
    save_detections as save_detections)
from gluon_bof.evaluation.segmentation import (
    MapValidation as MapValidation, evaluate_maps as evaluate_maps, confusion as confusion, scores_of as scores_of)
from gluon_bof.evaluation import score as score, detect as detect

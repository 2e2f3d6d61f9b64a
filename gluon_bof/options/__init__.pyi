from gluon_bof.options.families import FAMILIES as FAMILIES, Family as Family
from gluon_bof.options.recipes import RECIPES as RECIPES, Recipe as Recipe, TABLES as TABLES
from gluon_bof.options.training import DetectionOptions as DetectionOptions, TrainingOptions as TrainingOptions
from gluon_bof.options.yolo3 import Yolo3Options as Yolo3Options
from gluon_bof.options.faster_rcnn import FasterRcnnOptions as FasterRcnnOptions
from gluon_bof.options.ssd import SsdOptions as SsdOptions
from gluon_bof.options.mask_rcnn import MaskRcnnOptions as MaskRcnnOptions
from gluon_bof.options.classifier import ClassifierOptions as ClassifierOptions
from gluon_bof.options.flags import as_dict as as_dict, from_dict as from_dict, parse as parse, to_json as to_json

from gluon_bof.inference.model import MaskPrediction as MaskPrediction, Model as Model, Prediction as Prediction, load as load
from gluon_bof.inference.detector import Detector as Detector, load_detector as load_detector, open_detector as open_detector
from gluon_bof.inference.export import export_onnx as export_onnx, export_mxnet as export_mxnet
from gluon_bof.inference.sources import find_sources as find_sources
from gluon_bof.inference.results import DetectionWriter as DetectionWriter
from gluon_bof.inference.predict import predict_all as predict_all
from gluon_bof.inference.segmenter import Segmenter as Segmenter, LabelMap as LabelMap
from gluon_bof.inference.segmentation_model import SegmentationModel as SegmentationModel
from gluon_bof.inference.tiles import Tiling as Tiling, merge as merge

"""Trained networks at work: on arrays, images and videos; and exported for other programs."""
from gluon_bof._lazy import attach

__getattr__, __dir__, __all__ = attach(__name__, {
    "model": ("MaskPrediction", "Model", "Prediction", "load"),
    "detector": ("Detector", "load_detector", "open_detector"),
    "export": ("export_onnx", "export_mxnet"),
    "sources": ("find_sources",),
    "results": ("DetectionWriter",),
    "predict": ("predict_all",),
    "segmenter": ("Segmenter", "LabelMap"),
    "segmentation_model": ("SegmentationModel",),
    "tiles": ("Tiling", "merge"),
})

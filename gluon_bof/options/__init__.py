"""What can be asked for: flags, the options of each family, the table of families, and recipes. No MXNet, no NumPy."""
from gluon_bof._lazy import attach

__getattr__, __dir__, __all__ = attach(__name__, {
    "families": ("FAMILIES", "Family"),
    "recipes": ("RECIPES", "Recipe", "TABLES"),
    "training": ("DetectionOptions", "TrainingOptions"),
    "yolo3": ("Yolo3Options",),
    "faster_rcnn": ("FasterRcnnOptions",),
    "ssd": ("SsdOptions",),
    "classifier": ("ClassifierOptions",),
    "flags": ("as_dict", "from_dict", "parse", "to_json"),
})

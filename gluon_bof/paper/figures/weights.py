"""Opening weights for figures, with the flags of `evaluate`."""
from __future__ import annotations

import os

from gluon_bof.commands.evaluate import read_arguments
from gluon_bof.data.sets import class_names, open_set
from gluon_bof.errors import UserError
from gluon_bof.inference.detector import open_detector
from gluon_bof.options.faster_rcnn import FasterRcnnOptions


def open_weights(weights, flags):
    """(Detector, its options) of a run's folder or a .params file, with flags of `evaluate`. Raises UserError."""
    arguments, path = read_arguments([weights, *flags])
    options = arguments.options
    return open_detector(path, **vars(options)), options


def validation_set(options):
    """The DetectionSet that these options validate on."""
    return open_set(options.dataset, options.dataset_root or None, "val",
                    class_names(options.classes) if options.classes else None, options.on_bad_sample, options.val_split or None)


def kind_of(options):
    """The detector's name."""
    return "Faster R-CNN" if isinstance(options, FasterRcnnOptions) else "YOLOv3"


def names_of(paths):
    """A short name for each run's folder or file: its own, or, where two are alike, as much of the path as tells them apart."""
    parts = [os.path.abspath(path).split(os.sep) for path in paths]
    for count in range(1, max(map(len, parts)) + 1):
        names = ["/".join(words[-count:]) for words in parts]
        if len(set(names)) == len(names):
            return names
    raise UserError(f"{paths[0]} is given twice", remedy="give two different weights")

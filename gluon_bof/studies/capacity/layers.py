"""Which arrays of a network are layers, in what order, and to which part of a detector each belongs."""
from __future__ import annotations

import re
from typing import NamedTuple

import numpy as np

from gluon_bof.errors import UserError
from gluon_bof.studies.capacity.arrays import OfOperators

BACKBONE, NECK, HEADS, OTHER = "backbone", "neck", "heads", "other"
BLOCKS = (BACKBONE, NECK, HEADS, OTHER)
# the first that fits a name. GluonCV's names and this package's; torchvision's and timm's for ResNets
PARTS = ((HEADS, re.compile(r"(^|[./_])(yolo_outputs|class_predictors?|box_predictors?|box_features|rpn|output|fc|classifier"
                            r"|auxlayer)\b|^(box|mask|head|scores?|ups)\b")),
         (NECK, re.compile(r"(^|[./_])(yolo_blocks|transitions|fpn|ascents|P\d_conv\w*)(\b|_)")),
         (BACKBONE, re.compile(r"(^|[./_])(stages|(top_)?features|backbone|base|body|stem|conv1|layer\d|downsample)(\b|_)")))
IS_WEIGHT = re.compile(r"(^|[._/])(weight|kernel|w)s?$", re.IGNORECASE)
DIMENSIONS = (2, 3, 4)


class Layer(NamedTuple):
    """The weights of one layer. array: (O, I), (O, I, W) or (O, I, H, W); block: a name in BLOCKS; depth: its place among
    the layers, from 0."""

    name: str
    array: np.ndarray
    block: str
    depth: int


def layers_of(arrays: dict) -> list[Layer]:
    """The layers among {name: array}, in its order: what is called a weight and has two to four dimensions; where nothing
    is called so, and of OfOperators, whatever has that many. Raises UserError where there is none."""
    shaped = {name: array for name, array in arrays.items()
              if np.ndim(array) in DIMENSIONS and np.size(array) and np.issubdtype(np.asarray(array).dtype, np.floating)}
    called = {} if isinstance(arrays, OfOperators) else {name: array for name, array in shaped.items() if IS_WEIGHT.search(name)}
    called = called or shaped
    if not called:
        raise UserError("there is no layer of weights in it", remedy="give weights of a network")
    return [Layer(_short(name), np.asarray(array), block_of(name), depth)
            for depth, (name, array) in enumerate(called.items())]


def block_of(name: str) -> str:
    """Backbone, neck or heads of a detector, by the name of a layer; "other" for names that tell nothing."""
    return next((block for block, pattern in PARTS if pattern.search(name)), OTHER)


def _short(name):
    """A layer's name without the part that says it is the weight."""
    return IS_WEIGHT.sub("", name) or name

from gluon_bof.weights.load import (
    load_weights as load_weights, load_partially as load_partially, transfer as transfer, load_backbone as load_backbone,
    save_weights as save_weights)
from gluon_bof.weights.zoo import (
    download as download, download_backbone as download_backbone, published as published, shipped as shipped)
from gluon_bof.weights.convert import import_weights as import_weights
from gluon_bof.weights.fitting import fitting_network as fitting_network
from gluon_bof.weights.inspect import WeightsSummary as WeightsSummary, read_contents as read_contents
from gluon_bof.weights.anchors import resolve_anchors as resolve_anchors, keep_anchors as keep_anchors
from gluon_bof.weights import resolve as resolve

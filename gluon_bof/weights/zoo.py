"""GluonCV's pretrained models by name: what they are; and the small one that the package ships.

Files have GluonCV's names, checksums and cache folder, so that both share what either has downloaded."""
from __future__ import annotations

import json
import os
import re

from gluon_bof.backend import gluoncv
from gluon_bof.data.voc import VOC_CLASSES
from gluon_bof.errors import UserError
from gluon_bof.options.faster_rcnn import NETWORKS as RCNN_NETWORKS
from gluon_bof.options.yolo3 import Yolo3Options
from gluon_bof.weights.download import PAUSE, TIMEOUT, _fetch
from gluon_bof.weights.load import checksum

from gluoncv.model_zoo.model_store import _model_sha1 as CHECKSUMS

SHIPPED_NAME = "shapes"
# the package's own: .params and .json
SHIPPED = os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "weights", "yolo3_shapes")
YOLO3_NETWORKS = Yolo3Options.__dataclass_fields__["network"].metadata["choices"]
CLASSES = {"voc": VOC_CLASSES, "coco": tuple(gluoncv.data.COCODetection.CLASSES)}
# GluonCV's names, with which it also begins its files; the second part is a pyramid's, the third its learning normalisation's
NAME = re.compile(r"(yolo3|faster_rcnn)(_fpn)?(_syncbn)?_(.+?)_(voc|coco)(?=$|[-_.])")
LOOKS_LIKE_NAME = re.compile(r"(yolo3|faster_rcnn)_[\w.]*(?<!\.params)")  # one mistyped, perhaps
ZOO_LONGEST_SIDE = 1333  # of COCO's images, where the paper has 1300


def is_name(text):
    """Whether a text is meant as a model's name: "shapes", any of GluonCV's, or one that looks like its detectors'."""
    return text == SHIPPED_NAME or text in gluoncv.model_zoo.get_model_list() or bool(LOOKS_LIKE_NAME.fullmatch(text))


def published():
    """Names of the detectors that GluonCV publishes weights of and this package builds."""
    return sorted(name for name in CHECKSUMS if _is_ours(name))


def options_of(name):
    """{option: value} with which `build_network` gives exactly the model of this name: network, dataset, classes
    (comma-separated) and what else differs; a Faster R-CNN's still go through `resolve`. Raises UserError for others."""
    if name == SHIPPED_NAME:
        about = shipped()[1]
        return dict(about["options"], classes=",".join(about["classes"]))
    if not _is_ours(name):
        raise UserError(f"GluonCV has no YOLOv3 or Faster R-CNN {name!r} that can be had here", remedy=_choice())
    return parse_name(name)


def parse_name(path):
    """{option: value} that a file's name tells, if it begins as GluonCV's training scripts and model zoo name theirs, or is
    that of the shipped one; {} if not."""
    name = os.path.basename(path)
    if os.path.abspath(path) == f"{SHIPPED}.params":
        return options_of(SHIPPED_NAME)
    match = NAME.match(name)
    if not match:
        return {}
    kind, pyramid, learning, network, dataset = match.groups()
    told = {"network": network, "dataset": dataset, "classes": ",".join(CLASSES[dataset])}
    if kind == "yolo3":
        return told if network in YOLO3_NETWORKS and not pyramid and not learning else {}
    if network not in RCNN_NETWORKS:
        return {}
    told.update(use_fpn=bool(pyramid), norm_layer="syncbn" if learning else None)
    if dataset == "coco" and not learning:
        told["image_max_size"] = ZOO_LONGEST_SIDE
    return told


def _is_ours(name):
    return bool(parse_name(name)) and name in gluoncv.model_zoo.get_model_list()


def _choice():
    return f"with weights there are {', '.join([SHIPPED_NAME] + published())}"


def fetch(name, timeout=TIMEOUT, pause=PAUSE):
    """Path of the .params file of a model, its checksum checked; downloaded where it is not in the cache yet.

    timeout: seconds without a byte; pause: seconds before a second try. Raises UserError for a name without weights, and
    saying what to do by hand where they cannot be had."""
    options_of(name)
    if name == SHIPPED_NAME:
        return shipped()[0]
    if name not in CHECKSUMS:
        raise UserError(f"GluonCV has a network {name} but publishes no weights of it", remedy=_choice())
    return _fetch(name, timeout, pause, "")


def fetch_backbone(name, timeout=TIMEOUT, pause=PAUSE):
    """The same for a backbone that was trained on ImageNet, such as "darknet53" or "resnet50_v1b"."""
    backbones = [network for network in (*YOLO3_NETWORKS, *RCNN_NETWORKS) if network in CHECKSUMS]
    if name not in backbones:
        raise UserError(f"no backbone is named {name!r}", remedy=f"choose one of {', '.join(backbones)}")
    return _fetch(name, timeout, pause, "; or start with --pretrained-base no")


def shipped(place=SHIPPED):
    """(path, what its JSON says: options, classes, sha256, map, …) of the package's own weights, their checksum checked.

    Raises UserError where they are missing or changed."""
    path = f"{place}.params"
    try:
        with open(f"{place}.json", encoding="utf-8") as file:
            about = json.load(file)
        if checksum(path) != about["sha256"]:
            raise ValueError("the checksum does not fit")
    except (OSError, ValueError, KeyError, TypeError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise UserError(f"the package's own weights cannot be used ({reason})", path, "install the package again") from None
    return path, about

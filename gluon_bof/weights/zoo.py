"""GluonCV's pretrained models by name: what they are; and the small one that the package ships.

Files have GluonCV's names, checksums and cache folder, so that both share what either has downloaded."""
from __future__ import annotations

import hashlib
import json
import os
import re
from typing import Any

from gluon_bof.backend import gluoncv
from gluon_bof.data.label_sets import CITYSCAPES, ade20k_classes
from gluon_bof.data.voc import VOC_CLASSES
from gluon_bof.errors import UserError
from gluon_bof.files import digest_of, sha256_of
from gluon_bof.options import families
from gluon_bof.options.segmentation import ZOO_NAMES
from gluon_bof.weights.fetch import PAUSE, TIMEOUT, fetch_file

from gluoncv.model_zoo.model_store import _model_sha1 as CHECKSUMS

SHIPPED_NAME = "shapes"
# the package's own: .params and .json
SHIPPED = os.path.join(os.path.dirname(os.path.abspath(__file__)), "shipped", "yolo3_shapes")
# its backbones, by what --pretrained-base calls them: trained without and with mixup (Tables 5 and 6)
BACKBONES = {"shipped": "darknet-mini", "shipped-mixup": "darknet-mini-mixup"}
CLASSES = {"voc": VOC_CLASSES, "coco": tuple(gluoncv.data.COCODetection.CLASSES)}
# of networks that segment
SEGMENTED = {**dict.fromkeys(("pascal_voc", "voc", "pascal_aug", "coco"), ("background", *VOC_CLASSES)),
             "ade20k": ade20k_classes(), "citys": tuple(CITYSCAPES.values())}


def is_name(text: str) -> bool:
    """Whether a text is meant as a model's name: "shapes", any of GluonCV's, or one that looks like its detectors'."""
    looks_like = "|".join(family.name for family in families.detectors())  # one mistyped, perhaps
    return (text == SHIPPED_NAME or text in gluoncv.model_zoo.get_model_list()
            or bool(re.fullmatch(rf"({looks_like})_[\w.]*(?<!\.params)", text)))


def published() -> list[str]:
    """Names of the detectors that GluonCV publishes weights of and this package builds."""
    return sorted(name for name in CHECKSUMS if _is_ours(name))


def options_of(name: str) -> dict[str, Any]:
    """{option: value} with which `build_network` gives exactly the model of this name: network, dataset, classes
    (comma-separated) and what else differs; a Faster R-CNN's still go through `resolve`. Raises UserError for others."""
    if name == SHIPPED_NAME:
        about = shipped()[1]
        return dict(about["options"], classes=",".join(about["classes"]))
    if not _is_ours(name):
        raise UserError(f"GluonCV has no {_titles()} {name!r} that can be had here", remedy=_choice())
    return parse_name(name)


def parse_name(path: str) -> dict[str, Any]:
    """{option: value} that a file's name tells, if it begins as GluonCV's training scripts and model zoo name theirs, or is
    that of the shipped one; {} if not. A name of classes of one's own, "_custom", tells neither them nor a data set."""
    if os.path.abspath(path) == f"{SHIPPED}.params":
        return options_of(SHIPPED_NAME)
    family, told = families.told_by_file_name(path)
    return dict(told, classes=",".join(classes_of(family, told["dataset"]))) if "dataset" in told else told


def classes_of(family: families.Family, dataset: str) -> tuple[str, ...] | None:
    """The class names of a named set as a family's networks have them: one that segments has COCO's as VOC's, behind the
    background. None of another set."""
    return (SEGMENTED if family.segments else CLASSES).get(dataset)


def _is_ours(name):
    return "classes" in parse_name(name) and name in gluoncv.model_zoo.get_model_list()


def _titles():
    return " or ".join(family.title for family in families.detectors())


def _choice():
    return f"with weights there are {', '.join([SHIPPED_NAME] + published())}"


def is_published(path: str) -> bool:
    """Whether a file is, by its content, one of the detectors that GluonCV publishes."""
    if not os.path.isfile(path) or not path.endswith(".params"):
        return False
    return digest_of(path, hashlib.sha1()).hexdigest() in {CHECKSUMS[name] for name in published()}


def download(name: str, timeout: float = TIMEOUT, pause: float = PAUSE) -> str:
    """Path of the .params file of a model, its checksum checked; downloaded where it is not in the cache yet.

    timeout: seconds without a byte; pause: seconds before a second try. Raises UserError for a name without weights, and
    saying what to do by hand where they cannot be had."""
    if name == SHIPPED_NAME:
        return shipped()[0]
    options_of(name)
    if name not in CHECKSUMS:
        raise UserError(f"GluonCV has a network {name} but publishes no weights of it", remedy=_choice())
    return fetch_file(name, timeout, pause, "")


def download_backbone(name: str, timeout: float = TIMEOUT, pause: float = PAUSE) -> str:
    """The same for a backbone that was trained on ImageNet, such as "darknet53" or "resnet50_v1b"."""
    backbones = [network for network in (*families.networks(), *ZOO_NAMES.values(), "vgg16") if network in CHECKSUMS]
    if name not in backbones:
        raise UserError(f"no backbone is named {name!r}", remedy=f"choose one of {', '.join(backbones)}")
    return fetch_file(name, timeout, pause, "; or start with --pretrained-base no")


def shipped_backbone(name: str, network: str) -> str:
    """Path of one of the package's own backbones, a key of BACKBONES, for this network. Raises UserError for another network."""
    path, about = shipped(os.path.join(os.path.dirname(SHIPPED), BACKBONES[name]))
    if about["network"] != network:
        raise UserError(f"--pretrained-base {name} is a {about['network']}, not a {network}",
                        remedy=f"give another base, or train on {about['network']}")
    return path


def shipped(place: str = SHIPPED) -> tuple[str, dict[str, Any]]:
    """(path, what its JSON says: options, classes, sha256, map, …) of the package's own weights, their checksum checked.

    Raises UserError where they are missing or changed."""
    path = f"{place}.params"
    try:
        with open(f"{place}.json", encoding="utf-8") as file:
            about = json.load(file)
        if sha256_of(path) != about["sha256"]:
            raise ValueError("the checksum does not fit")
    except (OSError, ValueError, KeyError, TypeError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise UserError(f"the package's own weights cannot be used ({reason})", path, "install the package again") from None
    return path, about

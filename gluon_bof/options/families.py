"""Which families there are: the one table that says what a family is called, takes, is built by and trained by.

Nothing else in the package asks what kind a network is. Whoever needs something of a family asks its row here, its options, or
its network; `models.build` names what a family's package has to offer."""
from __future__ import annotations

import importlib
import os
from difflib import get_close_matches
from typing import Any, Collection, Iterable, NamedTuple, Sequence

from gluon_bof.errors import UserError
from gluon_bof.options.classifier import ClassifierOptions
from gluon_bof.options.faster_rcnn import FasterRcnnOptions
from gluon_bof.options.flags import flag_name
from gluon_bof.options.mask_rcnn import MaskRcnnOptions
from gluon_bof.options.minibatch import MinibatchOptions
from gluon_bof.options.segmentation import SegmentationOptions
from gluon_bof.options.ssd import SsdOptions
from gluon_bof.options.yolo3 import Yolo3Options

BESIDE = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))  # the folder that the package lies in


def map_in_words(of_masks: bool) -> str:
    """What the `map` is, in words, of a validation that scored masks or boxes alone."""
    return "mAP of the masks" if of_masks else "mAP"


class Family(NamedTuple):
    """name: in config.json and on command lines; title: as people say it; options: class of its options; model: package that
    builds it, imported on first use; script: module with main(argv) and train(options, run, checkpoint); detects: whether its
    networks find boxes; prepare: "module:function" that takes options and the names of those that were given, and returns them
    with what the files that they name say; command: words of the installed command that trains it; "": train NAME; masks: whether
    its networks also find masks, and its sets need them; segments: whether they give every pixel a class."""

    name: str
    title: str
    options: type
    model: str
    script: str
    detects: bool = True
    prepare: str = ""
    command: str = ""
    masks: bool = False
    segments: bool = False

    @property
    def mean_ap(self) -> str:
        """What a validation's `map` is, in words."""
        return map_in_words(self.masks)

    @property
    def script_file(self) -> str:
        """Where the script lies: beside the package, in a checkout and where it is installed."""
        return os.path.join(BESIDE, *self.script.split(".")) + ".py"


FAMILIES = [
    Family("yolo3", "YOLOv3", Yolo3Options, "gluon_bof.models.yolo3", "train_yolo3",
           prepare="gluon_bof.weights.anchors:resolve_anchors"),
    Family("faster_rcnn", "Faster R-CNN", FasterRcnnOptions, "gluon_bof.models.faster_rcnn", "train_faster_rcnn",
           prepare="gluon_bof.weights.anchors:keep_anchors"),
    Family("ssd", "SSD", SsdOptions, "gluon_bof.models.ssd", "train_ssd"),
    Family("mask_rcnn", "Mask R-CNN", MaskRcnnOptions, "gluon_bof.models.mask_rcnn", "train_mask_rcnn", masks=True,
           prepare="gluon_bof.weights.anchors:keep_anchors"),
    Family("classifier", "classifier", ClassifierOptions, "gluon_bof.models.classifier", "gluon_bof.training.classifier", False,
           command="pretrain"),
    Family("minibatch", "mini-batch study", MinibatchOptions, "gluon_bof.studies.minibatch.tasks",
           "gluon_bof.studies.minibatch.train", False, command="minibatch train"),
    Family("segmentation", "segmentation", SegmentationOptions, "gluon_bof.models.segmentation", "train_segmentation", False,
           segments=True),
]


def detectors() -> list[Family]:
    """The families whose networks find boxes."""
    return [family for family in FAMILIES if family.detects]


def inferring() -> list[Family]:
    """The families whose networks find something in images: boxes, or the class of each pixel."""
    return [family for family in FAMILIES if family.detects or family.segments]


def networks() -> list[str]:
    """The backbones that detectors are built on."""
    return list(dict.fromkeys(name for family in detectors()
                              for name in family.options.__dataclass_fields__["network"].metadata["choices"]))


def trained_by_name() -> list[Family]:
    """The families that `gluon-bof train NAME` trains."""
    return [family for family in FAMILIES if not family.command]


def by_name(name: str) -> Family:
    """The family of that name. Raises UserError for another."""
    for family in FAMILIES:
        if family.name == name:
            return family
    raise UserError(f"unknown family {name!r}", remedy=f"choose one of {', '.join(family.name for family in FAMILIES)}")


def family_of(options: Any) -> Family:
    """The family whose options these are. Raises ValueError for foreign ones."""
    for family in FAMILIES:
        if type(options) is family.options:
            return family
    raise ValueError(f"{type(options).__name__} is no family's")


def prepared(options: Any, given: Collection[str] = ()) -> Any:
    """The options with everything filled in that depends on others or on files. given: names of those that were given. Raises
    UserError."""
    options = options.resolved()
    module, _, function = family_of(options).prepare.partition(":")
    return getattr(importlib.import_module(module), function)(options, given) if module else options


def of_config(config: dict[str, Any]) -> Family:
    """The family of a run's configuration; version 0.1 did not write it down, and is told by the names of its options."""
    if isinstance(config.get("family"), str):
        return by_name(config["family"])
    options = config.get("options", {})
    if "least_area" in options:
        return by_name("classifier")
    return by_name("faster_rcnn" if "use_fpn" in options else "yolo3")


def of_given(given: dict[str, Any], told: Family | None = None) -> Family:
    """The family that these {option: value} of a lone file belong to: the one that they name, or a segmenter where they name a
    model; else of the detectors that have the network the one that its file's name told, if possible one with all of the
    options; else the first. Raises UserError for an unknown one."""
    if given.get("family"):
        return by_name(given["family"])
    for family in inferring():
        if family.segments and "model" in given:
            return family
    network = given.get("network")
    having = [family for family in detectors() if network in family.options.__dataclass_fields__["network"].metadata["choices"]]
    whole = [family for family in having if given.keys() <= family.options.__dataclass_fields__.keys()]
    return told if told in having else (whole or having or detectors())[0]


def require_known(given: Iterable[str], family: Family, otherwise: str = "") -> None:
    """Raise UserError where one of the given options is another family's, or none. otherwise: a remedy besides leaving it out."""
    known = family.options.__dataclass_fields__
    foreign = [name for name in given if name not in known]
    if foreign:
        near = [flag_name(name) for name in get_close_matches(foreign[0], known, 1, 0.75)]
        remedy = f"is {near[0]} meant?" if near else f"leave it out{otherwise}"
        raise UserError(f"{family.title} has no {', '.join(map(flag_name, foreign))}", remedy=remedy)


def require_detector(options: Any, where: str) -> None:
    """Raise UserError where the network of these options finds no boxes. where: the run or the file that it is of."""
    if family_of(options).segments:
        raise UserError("this network gives every pixel a class, and finds no boxes", where, "give a detector's weights")


def require_one_map(folders: Sequence[str], of_runs: Sequence[Family]) -> None:
    """Raise UserError where the mAP of some of these runs, of these families, is of masks, and that of others of boxes."""
    of = ["masks" if family.masks else "boxes" for family in of_runs]
    for folder, what in zip(folders, of):
        if what != of[0]:
            raise UserError(f"its mAP is of {what}, that of {folders[0]} of {of[0]}", folder,
                            "give runs of Mask R-CNN alone, or none of them")


def told_by_file_name(name: str) -> tuple[Family | None, dict[str, Any]]:
    """(family, {option: value}) that a file's name tells, if it begins as GluonCV's training scripts and model zoo name theirs;
    (None, {}) if not."""
    for family in inferring():
        told = family.options.from_file_name(name)
        if told:
            return family, told
    return None, {}

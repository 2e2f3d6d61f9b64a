"""What WEIGHTS means, on a command line or in gluon_bof.load: a run's folder, a file or a model's name; told once, here."""
from __future__ import annotations

import os
from dataclasses import replace
from difflib import get_close_matches
from typing import Any, Iterable, Mapping, NamedTuple, Sequence

import numpy as np

from gluon_bof.boxes import BoxEnds
from gluon_bof.data.names import class_names, unique_names
from gluon_bof.data.sets import DRAWN
from gluon_bof.errors import UserError, abbreviate, warn
from gluon_bof.options import families
from gluon_bof.options.flags import as_dict, at_least, flag_name, from_dict, text_of
from gluon_bof.runs.config import (
    CLASSES,
    CONFIG,
    box_ends,
    is_run,
    is_same_set,
    read_classes,
    read_config,
    read_options,
    require_run,
    require_run_of_last,
    require_set,
)
from gluon_bof.runs.folder import SETS, RunFolder
from gluon_bof.weights.formats import params as params_format
from gluon_bof.weights.formats.exported import refuse_export, refuse_parameters_of_a_graph
from gluon_bof.weights.formats.safetensors import beginning
from gluon_bof.weights.zoo import (
    BACKBONES,
    classes_of,
    download,
    download_backbone,
    is_name,
    is_published,
    options_of,
    parse_name,
    shipped_backbone,
)

WEIGHTS = "a run's folder, a .params file or a model's name, such as shapes or yolo3_darknet53_voc"
USED = ("evaluates", "builds", "part")  # what an option's metadata says of one that trained weights are opened with
# what tells of one data set where and how its images for validation lie and what to do about its faults, as no other set has it:
# unknown classes are faults, too
OF_A_SET = {"dataset_root": "", "val_split": "", "layout": "auto", "on_bad_sample": "error"}
CHOOSE_IMAGES = (*OF_A_SET, "val_share", "unannotated")  # of a set, that validate


class Resolved(NamedTuple):
    """options: with which the network is built and tested; path: of the .params file; run: the folder of the run that it lies
    in, or None; gpus_of_run: whether options.gpus are what the run says, and nobody now."""

    options: Any
    path: str
    run: str | None
    gpus_of_run: bool = False

    @property
    def classes(self) -> tuple[str, ...] | None:
        """The class names in the order of the network's outputs; None where nothing tells them. Raises UserError where the file
        that does is damaged."""
        if self.options.classes:
            return class_names(self.options.classes)
        return classes_of(families.family_of(self.options), self.options.dataset)

    @property
    def box_ends(self) -> BoxEnds:
        """How the boxes end that these weights were trained on: a run says it, and GluonCV's published files are known."""
        if self.run:
            return box_ends(self.run)
        return BoxEnds.LAST_PIXEL if is_published(self.path) else BoxEnds.EDGE

    @property
    def files(self) -> tuple[str, ...]:
        """The files that tell all this, the weights among them; of classes perhaps their names."""
        return (self.path, self.options.classes, *([os.path.join(self.run, CONFIG)] if self.run else ()))

    def refuse_idle(self, given: Iterable[str]) -> None:
        """Raise UserError where one of the given options neither builds this family's network nor says how it is tested."""
        fields, title = self.options.__dataclass_fields__, families.family_of(self.options).title
        used = [name for name, field in fields.items() if name in ("network", "model_zoo") or any(map(field.metadata.get, USED))]
        for name in given:
            if name in fields and name not in used:
                near = [flag_name(other) for other in get_close_matches(name, used, 1, 0.75)]
                raise UserError(f"{flag_name(name)} does nothing here: {title} takes it to train", self.run or self.path,
                                f"is {near[0]} meant?" if near else "leave it out")

    def require_file(self) -> None:
        """Raise UserError where the file is missing."""
        if not os.path.isfile(self.path):
            raise UserError("there are no such weights", self.path, "check the path")

    def require_set(self) -> None:
        """Raise UserError where the data set of the run is not there any more, and no other was given."""
        if self.run and self.options.dataset == read_options(self.run).dataset:
            require_set(self.run, "say where it lies now: --dataset FOLDER")

    def warn_of_another_set(self, mark: str) -> None:
        """Warn where the set of this mark should be the one that the run was validated on, and is not."""
        kept = (RunFolder(self.run).read_result(SETS) or {}).get("val", mark) if self.run else mark
        if kept != mark and self._is_set_of_run():
            warn(f"{self.options.dataset}: the validation set is not the one that {self.run} was validated on; it may hold "
                 "images that the run was trained on")

    def _is_set_of_run(self):
        """Whether the options choose images and classes as the run's do."""
        own = read_options(self.run)
        return (is_same_set(self.options.dataset, own.dataset) and list(self.classes or ()) == read_classes(self.run)
                and all(getattr(self.options, name, None) == getattr(own, name, None) for name in CHOOSE_IMAGES))

    def warn_of_order(self, classes: Sequence[str]) -> None:
        """Warn where nothing tells the class names, and those of a data set are taken for them."""
        if self.classes is None:
            warn(f"{self.path} tells no class names: its outputs are taken for {abbreviate(classes)}, in this order; --classes "
                 "tells another")

    def require_detector(self) -> None:
        """Raise UserError where the file is missing, or the network finds no boxes."""
        families.require_detector(self.options, self.run or self.path)
        self.require_file()

    def require(self) -> tuple[str, ...]:
        """The class names, of a file that is there. Raises UserError where either is missing."""
        self.require_file()
        if self.classes is None:
            raise UserError("the class names of these weights are not known", self.path,
                            "give them: --classes cat,dog or a file of one a line, or --dataset voc or coco")
        return self.classes


def resolve(weights: str | os.PathLike[str], given: Mapping[str, Any] | None = None, last: bool = False) -> Resolved:
    """What a run's folder (its best weights, or the last), a .params file or a model's name means; a name is downloaded, and a
    file or folder goes before a name. given: {option: value as JSON has it, classes as names too} that replaces what these tell.

    Raises UserError for a folder that is no run's, for a file of another kind, for the last weights of a file, for options of
    another family, and as `options_of` and `download` do."""
    weights, given = text_of("weights", weights, f"give {WEIGHTS}"), as_plain_values(given or {})
    told, told_by = {}, families.told_by_file_name(weights)[0]
    is_named = not os.path.exists(weights) and is_name(weights)
    if not is_named and not os.path.exists(weights) and not weights.endswith(".params"):  # a file is asked for when it is read
        raise UserError("there are no such weights", weights, f"give {WEIGHTS}")
    refuse_export(weights)
    _refuse_no_weights(weights)
    refuse_parameters_of_a_graph(weights)
    require_run_of_last(last, [weights])
    if is_named:
        told = options_of(weights)
        _refuse_other_classes(given, told["classes"], weights)
        weights = download(weights)
    folder = weights if os.path.isdir(weights) else os.path.dirname(os.path.abspath(weights))
    if not told and is_run(folder):
        return _of_run(folder, weights, given, last)
    if os.path.isdir(weights):
        require_run(weights, "give a folder under runs/ or a .params file")
    told = told or parse_name(weights)
    family = families.of_given({**told, **given}, told_by)
    if told_by not in (None, family):
        told = {}  # it is said to be another's
    given = {**told, **given}
    given.pop("family", None)
    families.require_known(given, family, ", or give the --network or --model that is meant")
    options = from_dict(family.options, given, weights)
    require_choices(options, given)
    # the name tells what was built; --dataset then only what is scored
    built = replace(options, dataset=told.get("dataset", options.dataset)).resolved()
    return Resolved(_checked(replace(built, dataset=options.dataset)), weights, None)


def _refuse_no_weights(path):
    """Raise UserError for a file of another kind, such as the image behind weights that were forgotten, and as `beginning`."""
    if os.path.isfile(path) and not params_format.is_params(path, beginning(path, 8)):
        raise UserError("this is no file of MXNet's weights, which come first", path, f"give {WEIGHTS}")


def _of_run(folder, weights, given, last):
    config = read_config(folder)
    family = families.by_name(config["family"])
    if family not in families.inferring():
        raise UserError(f"this is a {family.title}'s run, and what is wanted is a detector or a segmenter", folder,
                        "give a run of gluon-bof train")
    if given.pop("family", config["family"]) != config["family"]:
        raise UserError(f"this is a run of {family.title}", folder, "leave --family out")
    names = os.path.join(folder, CLASSES)
    if os.path.exists(names):
        _refuse_other_classes(given, names, folder)
    own = read_options(folder)
    filled = as_dict(own.resolved())  # of what an older version did not write down
    settings = {name: filled[name] for name, value in vars(own).items() if value is None}
    settings.update(classes=names, **own.fixed())
    # another data set is not where the run's lay
    if not is_same_set(given.get("dataset", own.dataset), own.dataset):
        settings.update({name: value for name, value in OF_A_SET.items() if hasattr(own, name)})
        if given["dataset"] in DRAWN and hasattr(own, "val_share"):
            settings.update(val_share=0.0)  # a share of a folder validates alike; these have a part for it
    options = read_options(folder, **{**settings, **given})
    require_choices(options, given)
    _checked(options)
    if os.path.isdir(weights):
        weights = RunFolder(weights).weights(last)
    return Resolved(options, weights, folder, "gpus" not in given)


def _refuse_other_classes(given, told, where):
    """Raise UserError where the classes that are given have names of those that weights were trained on in other places, by which
    the network's outputs would be called, or are not as many; warn of other names. told: as --classes."""
    if "classes" not in given:
        return
    names, own = (class_names(text) for text in (given["classes"], told))
    if len(names) != len(own) or any(name in own and name != before for name, before in zip(names, own)):
        raise UserError(f"its classes are {abbreviate(own)}", where, "leave --classes out")
    if names != own:
        warn(f"the classes of {where} are {abbreviate(own)}, and called {abbreviate(names)}")


def as_plain_values(given: Mapping[str, Any]) -> dict[str, Any]:
    """The same {option: value} as JSON has it: paths as text, NumPy's numbers as Python's, and classes comma-separated where they
    are names. Raises UserError for a name that is twice."""
    given = {name: _plain(value) for name, value in given.items()}
    if given.get("classes") is None:
        given.pop("classes", None)
    elif not isinstance(given["classes"], str):
        given["classes"] = ",".join(unique_names(given["classes"]))
    return given


def _plain(value):
    if isinstance(value, os.PathLike):
        return os.fspath(value)
    return value.tolist() if isinstance(value, (np.generic, np.ndarray)) else value


def require_choices(options: Any, given: Iterable[str]) -> None:
    """Raise UserError where one of the given options has none of the values that its flag may have."""
    for name in given:
        field, value = options.__dataclass_fields__[name], getattr(options, name)
        choices = field.metadata.get("choices")
        if choices and value not in choices and value != field.default:
            raise UserError(f"{families.family_of(options).title} has no {flag_name(name)} {value}",
                            remedy=f"choose one of {', '.join(str(choice) for choice in choices if choice)}")


def _checked(options):
    """The options, whose network can be built and tested. Raises UserError."""
    options.check_build()
    options.check_test_size()
    for name, least in {"batch_size": 1, "test_batch_size": 1, "num_workers": 0}.items():
        if hasattr(options, name):
            at_least(options, name, least)
    return options


def backbone_weights(pretrained_base: str, network: str) -> str:
    """Path of the weights that --pretrained-base means: "yes" (GluonCV's of this network's backbone), "shipped" or
    "shipped-mixup" (the package's own), the name of a backbone or of a detector on it, or a file's path, which goes before a
    name. Raises UserError as `download` does."""
    if pretrained_base in BACKBONES:
        return shipped_backbone(pretrained_base, network)
    if pretrained_base == "yes" and network == "darknet-mini":
        raise UserError("nobody has trained darknet-mini on ImageNet", remedy="give --pretrained-base shipped, or no")
    if pretrained_base == "yes":
        return download_backbone(network.split("-")[0])  # a slim one has narrower heads, not another backbone
    if os.path.exists(pretrained_base) or pretrained_base.endswith(".params") or not is_name(pretrained_base):
        return pretrained_base
    return download(pretrained_base) if parse_name(pretrained_base) else download_backbone(pretrained_base)

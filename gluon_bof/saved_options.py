"""The options of a detector: those of the run that its weights lie in, and what the command line says. No MXNet in here."""
from __future__ import annotations

import dataclasses
import os

from gluon_bof.errors import UserError
from gluon_bof.options import CLASSES, CONFIG, Yolo3Options, from_json, is_run, read_config
from gluon_bof.rcnn_options import NETWORKS, FasterRcnnOptions, resolve


def options_class(network):
    """The class of options that a network's name belongs to."""
    return FasterRcnnOptions if isinstance(network, str) and network in NETWORKS else Yolo3Options


def read_options(weights, given, last=False):
    """(options, path of the weights, run's folder or None) of a run's folder or a .params file; what is not given comes
    from the configuration of the run that the weights lie in. Raises UserError for a folder that is no run's."""
    folder = weights if os.path.isdir(weights) else os.path.dirname(os.path.abspath(weights))
    config = os.path.join(folder, CONFIG)
    if is_run(folder):
        saved = read_config(folder)["options"]
        kind = options_class(saved.get("network"))
        _require_known(given, kind)
        settings = dict(saved, classes=os.path.join(folder, CLASSES))
        # another data set is not where the run's lay
        if given.get("dataset", saved.get("dataset")) != saved.get("dataset"):
            settings.update(dataset_root="", val_split="")
        if os.path.isdir(weights):
            weights = os.path.join(weights, "last.params" if last else "best.params")
        return from_json(kind, dict(settings, **given), config), weights, folder
    if os.path.isdir(weights):
        raise UserError("this is not a run's folder: it holds no config.json", weights,
                        "give a folder under runs/ or a .params file")
    kind = options_class(given.get("network"))
    _require_known(given, kind)
    options = from_json(kind, given, weights)
    if isinstance(options, FasterRcnnOptions):
        options = resolve(options)
    return options, weights, None


def _require_known(given, kind):
    """Raise UserError where one of the given options is another detector's, or none."""
    known = {field.name for field in dataclasses.fields(kind)}
    foreign = [f"--{name.replace('_', '-')}" for name in given if name not in known]
    if foreign:
        detector = "Faster R-CNN" if kind is FasterRcnnOptions else "YOLOv3"
        raise UserError(f"{detector} has no {', '.join(foreign)}", remedy="leave it out, or give the --network that is meant")

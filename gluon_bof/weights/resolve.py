"""What WEIGHTS means, on a command line or in gluon_bof.load: a run's folder, a file or a model's name."""
from __future__ import annotations

import dataclasses
import os

from gluon_bof.data.anchors import DEFAULT, read_anchors
from gluon_bof.errors import UserError
from gluon_bof.options.families import _require_known, options_class
from gluon_bof.options.faster_rcnn import FasterRcnnOptions, resolve
from gluon_bof.options.flags import from_json
from gluon_bof.options.yolo3 import Yolo3Options, check_data_shape
from gluon_bof.runs.config import CLASSES, CONFIG, is_run, read_config
from gluon_bof.weights.formats import params as params_format
from gluon_bof.weights.zoo import NAME, fetch, fetch_backbone, is_name, options_of, parse_name


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


def find(weights, given=None, last=False):
    """(options, path of the weights, run's folder or None) of a run's folder, a .params file, or a model's name, which is
    downloaded; a file or folder goes before a name. given: {option: value} that replaces what these tell.

    Raises UserError as `read_options`, `options_of` and `fetch` do."""
    told = {}
    if not os.path.exists(weights) and is_name(weights):
        told, weights = options_of(weights), fetch(weights)
    elif not is_run(weights) and not is_run(os.path.dirname(weights)):
        told = parse_name(weights)  # a run's configuration tells more
    found = read_options(weights, {**told, **(given or {})}, last)
    if isinstance(found[0], Yolo3Options):
        check_data_shape(found[0].data_shape)
    return found


def backbone_weights(pretrained_base, network):
    """Path of the weights that --pretrained-base means: "yes" (GluonCV's of this network's backbone), the name of a backbone or
    of a detector on it, or a file's path, which goes before a name. Raises UserError as `fetch` does."""
    if pretrained_base == "yes":
        return fetch_backbone(network.split("-")[0])  # a slim one has narrower heads, not another backbone
    if os.path.exists(pretrained_base) or pretrained_base.endswith(".params") or not is_name(pretrained_base):
        return pretrained_base
    return fetch(pretrained_base) if NAME.match(pretrained_base) else fetch_backbone(pretrained_base)


CONSTANTS = "yolo_outputs.{}.anchors"  # a network's, coarsest features first


def resolve_anchors(options):
    """The options with `anchors` as 18 numbers, as a run's configuration keeps them, or "" for YOLOv3's own: of the file that
    --anchors names, or of the run or file that --transfer or --resume FILE.params names.

    Raises UserError for a file that does not hold nine pairs, for a start that is not there, and for anchors other than
    those of weights that are about to be resumed whole."""
    text = options.anchors
    if os.path.isfile(text):
        text = _text(side for row in read_anchors(text) for side in row)
    resumed = options.resume if options.resume.endswith(".params") else ""
    start = resumed or options.transfer
    if (not text or resumed) and start:
        of_start = _anchors_of(start)
        if resumed and text and text != of_start and not options.allow_partial:
            raise UserError("it was trained with other anchors than --anchors says", resumed,
                            f"leave --anchors out, or start with --transfer {resumed}")
        text = text or of_start
    options = dataclasses.replace(options, anchors=text)
    options.anchor_rows()  # refuses what is no file and no numbers
    return options


def _anchors_of(start):
    """The text of the anchors of a run's folder or a .params file; "" for YOLOv3's own, and for a model's name."""
    if is_run(start):
        return str(read_config(start)["options"].get("anchors", ""))
    if os.path.isfile(start):
        return _constants(start)
    if os.sep in start or start.endswith(".params"):
        raise UserError("no such run or file", start, "check the path")
    return ""


def _constants(path):
    """The same of a file's constants; "" where it is damaged or has none, which loading it will tell."""
    try:
        with open(path, "rb") as file:
            arrays = params_format.loads(file.read())
        rows = [arrays[CONSTANTS.format(output)].reshape(-1).tolist() for output in (2, 1, 0)]
    except (OSError, ValueError, KeyError):
        return ""
    return "" if rows == [list(row) for row in DEFAULT] else _text(side for row in rows for side in row)


def _text(sides):
    return ",".join(f"{side:g}" for side in sides)

"""torchvision's ssd300_vgg16 as GluonCV's ssd_300_vgg16_atrous.

Both have background first, an anchor's outputs side by side, and a cell's anchors in the same order. Different are: the images,
which torchvision gives no deviation and other means; COCO's 91 outputs, of which 10 are of ids that no class has; and the
last level's two long anchors, which torchvision cuts at the image's side."""
from __future__ import annotations

from typing import Mapping, Sequence

import numpy as np

from gluon_bof.data.coco import COCO_IDS
from gluon_bof.errors import UserError, abbreviate
from gluon_bof.freebies.augmentation import MEAN
from gluon_bof.models.build import with_inferred_shapes
from gluon_bof.models.ssd.network import SSD, build_ssd
from gluon_bof.weights.formats import safetensors as safetensors_format
from gluon_bof.weights.formats.safetensors import FLOAT_TYPES, Entry
from gluon_bof.weights.load import structured_parameters
from gluon_bof.weights.zoo import CLASSES

NETWORK = "ssd_300_vgg16_atrous"
TARGETS = (f"{NETWORK}_coco", f"{NETWORK}_custom")
SIDE = 300
TORCHVISION_MEAN = (0.48235, 0.45882, 0.40784)
COCO_OUTPUTS = 91  # background and ids up to 90, by which torchvision's outputs are numbered
STAGES = ((0, 2), (5, 7), (10, 12, 14), (17, 19, 21))  # places of convolutions among torchvision's layers
LAST_STAGES = (("1", "3", "5"), ("7.1", "7.3"))
LEVELS = 6
FIRST = "features.stages.0.0"
MAX_LISTED = 2


def torchvision_names() -> dict[str, str]:
    """{GluonCV's name of a convolution: torchvision's}."""
    names = {f"features.stages.{stage}.{2 * number}": f"backbone.features.{place}"
             for stage, places in enumerate(STAGES) for number, place in enumerate(places)}
    names.update({f"features.stages.{len(STAGES) + stage}.{2 * number}": f"backbone.extra.0.{place}"
                  for stage, places in enumerate(LAST_STAGES) for number, place in enumerate(places)})
    names.update({f"features.extras.{level}.{place}": f"backbone.extra.{level + 1}.{place}"
                  for level in range(LEVELS - 2) for place in (0, 2)})
    for ours, theirs in (("class", "classification"), ("box", "regression")):
        names.update({f"{ours}_predictors.{level}.predictor": f"head.{theirs}_head.module_list.{level}"
                      for level in range(LEVELS)})
    return names


def classes_of(entries: Mapping[str, Entry]) -> int | None:
    """How many classes, without background, an ssd300_vgg16 of these {name: Entry} has; None where they are no such network's."""
    bias = entries.get("head.classification_head.module_list.0.bias")
    classes, rest = divmod(bias.shape[0], 4) if bias and len(bias.shape) == 1 else (0, 0)
    if rest or classes < 2:
        return None
    wanted = {theirs: shape for _, theirs, shape in _wanted(_network(classes - 1))}
    return classes - 1 if wanted == {name: entry.shape for name, entry in entries.items()} else None


def _network(classes: int) -> SSD:
    return with_inferred_shapes(build_ssd("vgg16_atrous", SIDE, "coco", [str(number) for number in range(classes)]))


def _wanted(network):
    """[(GluonCV's name, torchvision's, its shape)] of what the file holds."""
    parameters = structured_parameters(network)
    found = [(f"{ours}.{part}", f"{theirs}.{part}") for ours, theirs in torchvision_names().items()
             for part in ("weight", "bias")]
    rows = [(ours, theirs, parameters[ours].shape) for ours, theirs in found]
    return [*rows, ("features.norm4.scale", "backbone.scale_weight", (parameters["features.norm4.scale"].shape[1],))]


def import_ssd(path: str, target: str, names: Sequence[str] | None,
               verbatim: bool) -> tuple[dict[str, np.ndarray], tuple[str, ...]]:
    """({GluonCV's name: array}, class names) of a safetensors file. names: of its classes in their order, for a network of others
    than COCO's. verbatim: keep the first layer, which takes torchvision's images; else see `take_imagenets_mean`.

    Raises ValueError for a damaged file, UserError for another network or other names."""
    entries = safetensors_format.read_header(path)
    whole_names = safetensors_format.without_prefix(entries)
    entries = {name: entries[whole] for name, whole in whole_names.items()}
    number = classes_of(entries)
    if number is None:
        raise UserError(f"it is no ssd300_vgg16 of torchvision's: {_first_misfit(entries)}", path,
                        "give its state_dict, saved by safetensors.torch.save_file")
    kinds = [name for name, entry in entries.items() if entry.kind not in FLOAT_TYPES]
    if kinds:
        raise UserError(f"none of {', '.join(FLOAT_TYPES)} are {abbreviate(kinds, MAX_LISTED)}", path, "save it as float32")
    classes, rows = _classes_and_rows(path, target, names, number)
    network = _network(number)
    wanted = [(ours, whole_names[theirs]) for ours, theirs, _ in _wanted(network)]
    read = safetensors_format.read_arrays(path, [whole for _, whole in wanted])
    arrays = {ours: read[whole] for ours, whole in wanted}
    arrays["features.norm4.scale"] = arrays["features.norm4.scale"].reshape(1, -1, 1, 1)
    arrays.update({name: _with_rows(array, number + 1, rows) for name, array in arrays.items()
                   if name.startswith("class_predictors.")})
    for name, parameter in structured_parameters(network).items():
        if name not in arrays:  # constants
            arrays[name] = parameter.value.asnumpy()
        if name.startswith("anchor_generators."):
            arrays[name] = within_image(arrays[name])
    return arrays if verbatim else take_imagenets_mean(arrays), classes


def _first_misfit(entries):
    wanted = {theirs for _, theirs, _ in _wanted(_network(1))}
    lacking, foreign = sorted(wanted - set(entries)), sorted(set(entries) - wanted)
    if lacking or foreign:
        return f"lacking are {abbreviate(lacking, MAX_LISTED)}" if lacking else f"foreign are {abbreviate(foreign, MAX_LISTED)}"
    return "arrays are of other shapes"


def _classes_and_rows(path, target, names, number):
    """(class names, outputs to keep, background first)."""
    if target == TARGETS[0]:
        if names is not None:
            raise UserError("COCO's classes are known, and given besides", path,
                            f"leave --classes out, or give --to {TARGETS[1]}")
        if number + 1 != COCO_OUTPUTS:
            raise UserError(f"it holds {number} classes, and torchvision's for COCO {COCO_OUTPUTS - 1}", path,
                            f"give --to {TARGETS[1]} and their names with --classes")
        return CLASSES["coco"], [0, *COCO_IDS]
    if names is None:
        raise UserError(f"it holds {number} classes without names", path,
                        "give them in the order of its training: --classes cat,dog or a file of one a line")
    if len(names) != number:
        raise UserError(f"it holds {number} classes, not {len(names)}", path, "give them all, background left out")
    return tuple(names), list(range(number + 1))


def _with_rows(array, outputs, rows):
    """A class predictor's array with these outputs of each anchor."""
    return np.ascontiguousarray(array.reshape(-1, outputs, *array.shape[1:])[:, rows].reshape(-1, *array.shape[1:]))


def within_image(anchors: np.ndarray) -> np.ndarray:
    """Anchors (1, 1, H, W, A * 4) whose sides are cut at the image's, as torchvision does."""
    cut = anchors.reshape(*anchors.shape[:4], -1, 4).copy()
    cut[..., 2:] = np.minimum(cut[..., 2:], SIDE)
    return cut.reshape(anchors.shape)


def take_imagenets_mean(arrays: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Let the first layer take images less ImageNet's mean, as GluonCV's network gives them to it, where it took them less
    torchvision's.

    Exact but at the image's edge, beyond which either network sees its own mean: they are 0.7 of 255 apart at most."""
    kernel = arrays[f"{FIRST}.weight"].astype(np.float64)
    apart = 255 * (np.array(MEAN) - TORCHVISION_MEAN)
    bias = arrays[f"{FIRST}.bias"] + (kernel * apart.reshape(1, 3, 1, 1)).sum(axis=(1, 2, 3))
    return {**arrays, f"{FIRST}.bias": bias.astype(np.float32)}

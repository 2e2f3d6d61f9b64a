"""torchvision's and timm's ResNets as GluonCV's."""
from __future__ import annotations

from typing import Mapping

import numpy as np

from gluon_bof.errors import UserError, abbreviate
from gluon_bof.models.faster_rcnn.network import BACKBONES, resnet_parameters
from gluon_bof.weights.formats import safetensors as safetensors_format
from gluon_bof.weights.formats.safetensors import FLOAT_TYPES, Entry

RESNETS = tuple(name for name in BACKBONES if name.startswith("resnet"))
HEADS = ("fc.", "output.", "box.")  # of classifiers; the last of those that localise
OF_TORCH = {"gamma": "weight", "beta": "bias"}  # their names of what normalisation learns
MAX_LISTED = 2  # names that an error lists


def torch_name(name: str) -> str:
    """torchvision's and timm's name of a parameter of GluonCV's ResNets."""
    stem, part = name.rsplit(".", 1)
    return f"{stem}.{OF_TORCH.get(part, part)}"


def unprefixed(entries: Mapping[str, Entry]) -> tuple[dict[str, Entry], dict[str, str]]:
    """({name: Entry}, {name: its name in the file}) of {torch name: Entry}, without prefixes of wrapped networks."""
    whole_names = safetensors_format.without_prefix(entries, HEADS)
    return {name: entries[whole] for name, whole in whole_names.items()}, whole_names


def fitting_resnet(entries: Mapping[str, Entry]) -> str | None:
    """Which of RESNETS has the names and shapes of these {torch name: Entry}, but for the head; None: none.

    v1b (stride in the 3x3 convolution) is torchvision's ResNet and timm's resnet18, resnet50; v1d (three convolutions
    first, average pooling in shortcuts) is timm's resnet101d. timm's resnetaa and resnetblur of the same depth hold the same
    arrays and compute something else, which a file does not tell."""
    return next((name for name in RESNETS if not _misfits(entries, resnet_parameters(name))), None)


def import_resnet(path: str, target: str) -> tuple[dict[str, np.ndarray], str]:
    """({GluonCV's name: array}, what the file holds in words) of a safetensors file for one of RESNETS; a head of other classes
    is left out. Raises ValueError for a damaged file, UserError for another network."""
    entries, whole_names = unprefixed(safetensors_format.read_header(path))
    if target not in RESNETS:
        raise UserError(f"safetensors are imported into {', '.join(RESNETS)} only", path, "give one of them as --to")
    parameters = resnet_parameters(target)
    misfits = _misfits(entries, parameters)
    if misfits:
        other = fitting_resnet(entries)
        raise UserError(f"it does not fit {target}: {misfits}", path, f"give --to {other}" if other else
                        "give torchvision's or timm's resnet18, resnet50 or resnet101, or timm's resnet101d")
    names = {name: torch_name(name) for name, parameter in parameters.items()
             if torch_name(name) in entries and entries[torch_name(name)].shape == parameter.shape}
    arrays = safetensors_format.read_arrays(path, [whole_names[other] for other in names.values()])
    return {name: arrays[whole_names[other]] for name, other in names.items()}, f"safetensors of {len(entries)} arrays"


def _misfits(entries, parameters):
    """What keeps {torch name: Entry} from being a classifier with these parameters, as text; the head counts for nothing."""
    wanted = {torch_name(name): parameter.shape for name, parameter in parameters.items() if not name.startswith(HEADS)}
    found = {name: entry for name, entry in entries.items()
             if not name.startswith(HEADS) and not name.endswith(".num_batches_tracked")}
    lists = (("lacking are", [name for name in wanted if name not in found]),
             ("foreign are", [name for name in found if name not in wanted]),
             ("of another shape are", [f"{name} {found[name].shape}" for name in wanted
                                       if name in found and found[name].shape != wanted[name]]),
             (f"none of {', '.join(FLOAT_TYPES)} are",
              [f"{name} {entry.kind}" for name, entry in found.items() if entry.kind not in FLOAT_TYPES]))
    return "; ".join(f"{what} {abbreviate(names, MAX_LISTED)}" for what, names in lists if names)

"""What is in a file of weights, whichever program wrote it."""
from __future__ import annotations

import contextlib
import hashlib
from typing import Any, NamedTuple, Sequence

from gluon_bof.errors import UserError
from gluon_bof.weights.formats import checkpoint as checkpoint_format
from gluon_bof.weights.formats import darknet as darknet_format
from gluon_bof.weights.formats import params as params_format
from gluon_bof.weights.formats import safetensors as safetensors_format
from gluon_bof.weights.learned import not_learned

# what imports MXNet is imported where it is needed, after the file has been read: a damaged one is told at once


class WeightsSummary(NamedTuple):
    """What a file holds. rows: (name, shape, type); fit: weights.fitting.Match or None; note: what else there is to say; faults:
    of each array that no network has learned, why."""

    kind: str
    rows: list
    fit: Any
    note: str = ""
    faults: Sequence[str] = ()


def read_contents(path: str) -> WeightsSummary:
    """WeightsSummary of a .params, .weights, .safetensors or checkpoint file. Raises UserError for a damaged or foreign one, and
    before MXNet is imported."""
    start = safetensors_format.beginning(path, len(checkpoint_format.MAGIC))
    if start == checkpoint_format.MAGIC:
        return _checkpoint_contents(path)
    if params_format.is_params(path, start):
        return _params_contents(path)
    return _safetensors_contents(path) if safetensors_format.is_safetensors(path) else _darknet_contents(path)


def _params_contents(path):
    with open(path, "rb") as file, _whole("MXNet parameters", path):
        arrays = params_format.loads(file.read())
    return WeightsSummary("MXNet parameters", _rows(arrays), _fit({name: array.shape for name, array in arrays.items()}),
                          faults=list(not_learned(arrays.items())))


def _safetensors_contents(path):
    with _whole("safetensors", path):
        entries = safetensors_format.read_header(path)
        floats = [name for name, entry in entries.items() if entry.kind in safetensors_format.FLOAT_TYPES]
        faults = list(not_learned(safetensors_format.each_array(path, floats)))
    from gluon_bof.weights.fitting import Match
    from gluon_bof.weights.torch_resnet import fitting_resnet, unprefixed
    from gluon_bof.weights.torchvision_ssd import NETWORK, classes_of

    name, classes = fitting_resnet(unprefixed(entries)[0]), None
    if name is None:
        classes = classes_of(entries)
        name = NETWORK if classes else None
    return WeightsSummary("safetensors", [(key, entry.shape, entry.kind) for key, entry in entries.items()],
                          Match(name, classes, ()) if name else None, faults=faults)


def _darknet_contents(path):
    with open(path, "rb") as file, _whole("Darknet weights", path):
        header = darknet_format.read_header(file)
        values = darknet_format.read_values(file, header)
    note = f"version {header.version}, {header.seen} images seen, by its size {header.network}" + (
        f" of {header.classes} classes" if header.classes else "")
    if header.network not in (darknet_format.DARKNET, darknet_format.YOLO3):
        return WeightsSummary("Darknet weights", [("values", (header.count,), "float32")], None, note,
                              list(not_learned([("values", values)])))
    from gluon_bof.weights.convert import YOLO3, darknet_network
    from gluon_bof.weights.fitting import Match

    if header.network == darknet_format.DARKNET:
        fit = Match(header.network, None, ())
        layers = darknet_network(fit.network, None)[1] + darknet_format.output_layer(header.classes)
    else:
        fit = Match(YOLO3, header.classes, ())
        layers = darknet_network(fit.network, [""] * header.classes)[1]
    return WeightsSummary("Darknet weights", [(*part, "float32") for layer in layers for part in layer.parts()], fit, note,
                          list(not_learned(darknet_format.unpack(values, layers).items())))


def _checkpoint_contents(path):
    meta, arrays = checkpoint_format.read_checkpoint(path)
    note = ", ".join(f"{key} {meta[key]}" for key in ("epoch", "batch") if key in meta)
    weights = checkpoint_format.weights_in(arrays)
    shapes = {name: array.shape for name, array in weights.items()}
    return WeightsSummary("checkpoint of this package", _rows(arrays), _fit(shapes), note, list(not_learned(weights.items())))


def _fit(shapes):
    from gluon_bof.weights.fitting import fitting_network

    return fitting_network(shapes)


@contextlib.contextmanager
def _whole(kind, path):
    """Turn a reader's ValueError into a UserError."""
    try:
        yield
    except ValueError as error:
        raise UserError(f"no whole file of {kind}: {error}", path, safetensors_format.REDOWNLOAD_REMEDY) from None


def digests(path: str) -> dict[str, str]:
    """{"sha256", "sha1"}: the first eight digits of the latter end the names of GluonCV's files."""
    found = {"sha256": hashlib.sha256(), "sha1": hashlib.sha1()}
    with open(path, "rb") as file:
        for block in iter(lambda: file.read(1 << 20), b""):
            for digest in found.values():
                digest.update(block)
    return {name: digest.hexdigest() for name, digest in found.items()}


def _rows(arrays):
    return [(name, array.shape, str(array.dtype)) for name, array in arrays.items()]

"""What is in a file of weights, whichever program wrote it."""
from __future__ import annotations

import contextlib
import hashlib
import json
import os
from typing import NamedTuple

from gluon_bof.errors import UserError

FIRST_OF_CHECKPOINT = b'{"format": "gluon_bof checkpoint'
MAX_FIRST_LINE = 1 << 26  # bytes of a checkpoint's JSON
OF_WEIGHTS = "weight/"  # begins the names of a checkpoint's weights; the rest is the optimizer's


class WeightsSummary(NamedTuple):
    """What a file holds. rows: (name, shape, type); fit: models.convert.Fit or None; note: what else there is to say."""

    kind: str
    rows: list
    fit: object
    note: str = ""


def read_contents(path):
    """WeightsSummary of a .params, .weights, .safetensors or checkpoint file. Raises UserError for a damaged or foreign one, and
    before MXNet is imported."""
    from gluon_bof.weights.formats.params import LIST_MAGIC
    from gluon_bof.weights.formats.safetensors import beginning, is_safetensors

    start = beginning(path, len(FIRST_OF_CHECKPOINT))
    if start == FIRST_OF_CHECKPOINT:
        return _checkpoint_contents(path)
    if start.startswith(LIST_MAGIC.to_bytes(8, "little")) or os.path.splitext(path)[1].lower() == ".params":
        return _params_contents(path)
    return _safetensors_contents(path) if is_safetensors(path) else _darknet_contents(path)


def _params_contents(path):
    from gluon_bof.weights.formats import params as params_format

    with open(path, "rb") as file, _whole("MXNet parameters", path):
        arrays = params_format.loads(file.read())
    return WeightsSummary("MXNet parameters", _rows(arrays), _fit({name: array.shape for name, array in arrays.items()}))


def _safetensors_contents(path):
    from gluon_bof.weights.formats.safetensors import read_header

    with _whole("safetensors", path):
        entries = read_header(path)
    from gluon_bof.weights.convert import Match, fitting_resnet
    name = fitting_resnet(entries)
    return WeightsSummary("safetensors", [(key, entry.shape, entry.kind) for key, entry in entries.items()],
                    Match(name, None, ()) if name else None)


def _darknet_contents(path):
    from gluon_bof.weights.formats.darknet import DARKNET, YOLO3, read_header

    with open(path, "rb") as file, _whole("Darknet weights", path):
        header = read_header(file)
    note = f"version {header.version}, {header.seen} images seen, by its size {header.network}" + (
        f" of {header.classes} classes" if header.classes else "")
    if header.network not in (DARKNET, YOLO3):
        return WeightsSummary("Darknet weights", [("values", (header.count,), "float32")], None, note)
    from gluon_bof.weights import convert
    fit = convert.Match(DARKNET, None, ()) if header.network == DARKNET else convert.Match(convert.YOLO3, header.classes, ())
    _, layers = convert.darknet_network(fit.network, [""] * header.classes)
    return WeightsSummary("Darknet weights", [(*part, "float32") for layer in layers for part in layer.parts()], fit, note)


def _checkpoint_contents(path):
    arrays, note = _read_checkpoint(path)
    weights = {name[len(OF_WEIGHTS):]: array.shape for name, array in arrays.items() if name.startswith(OF_WEIGHTS)}
    return WeightsSummary("checkpoint of this package", _rows(arrays), _fit(weights), note)


def _fit(shapes):
    from gluon_bof.weights.convert import fitting_network

    return fitting_network(shapes)


@contextlib.contextmanager
def _whole(kind, path):
    """Turn a reader's ValueError into a UserError."""
    from gluon_bof.weights.formats.safetensors import REDOWNLOAD_REMEDY

    try:
        yield
    except ValueError as error:
        raise UserError(f"no whole file of {kind}: {error}", path, REDOWNLOAD_REMEDY) from None


def _read_checkpoint(path):
    """({name: array}, where the run stood) of a checkpoint, its checksum held against it."""
    from gluon_bof.weights.formats import params as params_format

    with open(path, "rb") as file:
        line, payload = file.readline(MAX_FIRST_LINE), file.read()
    try:
        header = json.loads(line)
        digest = hashlib.sha256(json.dumps(header["meta"], sort_keys=True).encode())
        digest.update(payload)
        if digest.hexdigest() != header["sha256"]:
            raise ValueError("the checksum does not fit")
        stands = {key: header["meta"][key] for key in ("epoch", "iteration") if key in header["meta"]}
        return params_format.loads(payload), ", ".join(f"{key} {value}" for key, value in stands.items())
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise UserError(f"this checkpoint is damaged ({error})", path, "take the one before it") from None


def _digests(path):
    """{"sha256", "sha1"}: the first eight digits of the latter end the names of GluonCV's files."""
    digests = {"sha256": hashlib.sha256(), "sha1": hashlib.sha1()}
    with open(path, "rb") as file:
        for block in iter(lambda: file.read(1 << 20), b""):
            for digest in digests.values():
                digest.update(block)
    return {name: digest.hexdigest() for name, digest in digests.items()}


def _rows(arrays):
    return [(name, array.shape, str(array.dtype)) for name, array in arrays.items()]

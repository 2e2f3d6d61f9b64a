"""Weights in and out: GluonCV's names, strict loading, whole files."""
from __future__ import annotations

import hashlib

from gluon_bof.backend import mx
from gluon_bof.errors import UserError
from gluon_bof.files import write_atomically
from gluon_bof.models import params_format

LEFT_OUT = "_target_generator."  # constants of training that GluonCV's Faster R-CNN script saves too
FEW = 5  # names that an error lists


def structured_parameters(network):
    """{name: Parameter} by GluonCV's structured names, those that `save_parameters` writes."""
    return network._collect_params_with_prefix()


def read_weights(path):
    """{name: numpy array} of a .params file. Raises UserError naming a file that is missing or none."""
    try:
        with open(path, "rb") as file:
            data = file.read()
    except OSError as error:
        raise UserError(f"the weights cannot be read ({error.strerror})", path, "check the path") from None
    try:
        return params_format.loads(data)
    except ValueError as error:
        raise UserError(f"not a whole file of MXNet weights: {error}", path,
                        "save it again, or copy it again and compare checksums") from None


def load_weights(network, path):
    """Fill an initialised network from a .params file, strictly. Returns the file's SHA-256.

    Raises UserError that lists missing, foreign and mis-shaped names."""
    arrays = read_weights(path)
    arrays = {name.split(":", 1)[1] if name.startswith(("arg:", "aux:")) else name: array
              for name, array in arrays.items() if not name.startswith(LEFT_OUT)}
    set_weights(network, arrays, path)
    return checksum(path)


def set_weights(network, arrays, path):
    """Fill an initialised network from {name: numpy array}; `path` is named in errors."""
    parameters = structured_parameters(network)
    problems = [_listed("missing", sorted(parameters.keys() - arrays.keys())),
                _listed("foreign", sorted(arrays.keys() - parameters.keys())),
                _listed("of another shape", [f"{name} {arrays[name].shape} instead of {parameter.shape}"
                                             for name, parameter in parameters.items()
                                             if name in arrays and arrays[name].shape != parameter.shape])]
    problems = [problem for problem in problems if problem]
    if problems:
        raise UserError(f"the weights do not fit this network; {'; '.join(problems)}", path,
                        "give the network, classes and anchors that it was trained with")
    for name, parameter in parameters.items():
        parameter.set_data(mx.nd.array(arrays[name], dtype=arrays[name].dtype))


def _listed(what, names):
    if not names:
        return ""
    more = f" and {len(names) - FEW} more" if len(names) > FEW else ""
    return f"{what}: {', '.join(names[:FEW])}{more}"


def weights_of(network):
    """{name: numpy array} of all parameters, copied off the first device."""
    return {name: parameter.data(parameter.list_ctx()[0]).asnumpy()
            for name, parameter in structured_parameters(network).items()}


def save_weights(network, path):
    """Write a .params file that GluonCV loads too, atomically."""
    write_atomically(path, params_format.dumps(weights_of(network)))


def checksum(path):
    """SHA-256 of a file, in hexadecimal."""
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        for block in iter(lambda: file.read(1 << 20), b""):
            digest.update(block)
    return digest.hexdigest()


def load_backbone(network, path):
    """Fill the backbone of an initialised detector from a .params file of a classifier or of a whole detector.

    network.backbone_parameters() -> {name in a classifier's file: Parameter}; a head in the file is left out.
    Raises UserError where the file lacks a layer of the backbone."""
    arrays = read_weights(path)
    backbone = network.backbone_parameters()
    if not backbone.keys() & arrays.keys():  # no classifier's file: a detector's, perhaps
        of_backbone = {id(parameter) for parameter in backbone.values()}
        backbone = {name: parameter for name, parameter in structured_parameters(network).items()
                    if id(parameter) in of_backbone}
    missing = [name for name, parameter in backbone.items()
               if name not in arrays or arrays[name].shape != parameter.shape]
    if missing:
        raise UserError(f"the weights do not fit this backbone; {_listed('missing or of another shape', missing)}",
                        path, "give weights of the backbone that --network names")
    for name, parameter in backbone.items():
        parameter.set_data(mx.nd.array(arrays[name], dtype=arrays[name].dtype))

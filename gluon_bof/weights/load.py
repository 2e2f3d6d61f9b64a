"""Weights in and out: GluonCV's names, strict and partial loading, heads for other classes, whole files."""
from __future__ import annotations

import hashlib
import re
from typing import Any, Mapping, NamedTuple, Sequence

import numpy as np

from gluon_bof.backend import gluon, mx
from gluon_bof.errors import UserError, abbreviate, warn
from gluon_bof.files import write_atomically
from gluon_bof.models.heads import classes_by_rows, rows_of
from gluon_bof.options.families import told_by_file_name
from gluon_bof.weights.checksums import require_stated_sha1
from gluon_bof.weights.formats import params as params_format
from gluon_bof.weights.formats.exported import refuse_export
from gluon_bof.weights.learned import SAVE_AGAIN_REMEDY, require_learned

IGNORED_PREFIX = "_target_generator."  # constants of training that GluonCV's Faster R-CNN script saves too
MAX_LISTED = 5  # names that an error lists
OF_A_GRAPH = re.compile(r"\w+_(weight|bias|gamma|beta|running_\w+|moving_\w+)")
ANCHORS = ".anchors"  # how the constants end that hold them


class Loaded(NamedTuple):
    """What partial loading did: names of the network that were filled and that keep their initial values, names of the file
    that were left out; whose anchors the network has, as words."""

    filled: list
    initial: list
    left_out: list
    anchors: str = ""

    def __str__(self):
        told = [_listed("initial values stay in", self.initial), _listed("left out", self.left_out),
                self.anchors]
        return "; ".join([f"{len(self.filled)} arrays loaded"] + [text for text in told if text])


class Transferred(NamedTuple):
    """What a transfer kept: the classes that both know, the network's others, which are re-initialised, and the file's others;
    whose anchors the network has, as words."""

    shared: list
    new: list
    dropped: list
    anchors: str = ""

    def __str__(self):
        told = [_listed("classes kept", self.shared) or "no class kept", _listed("re-initialised", self.new),
                _listed("left out", self.dropped), self.anchors]
        return "; ".join(text for text in told if text)


def structured_parameters(network: gluon.HybridBlock) -> dict[str, gluon.Parameter]:
    """{name: Parameter} by GluonCV's structured names, those that `save_parameters` writes."""
    return network._collect_params_with_prefix()


def without_constants(parameters: Mapping[str, gluon.Parameter]) -> dict[str, gluon.Parameter]:
    """{name: Parameter} of those that are learnt, and of running statistics."""
    return {name: parameter for name, parameter in parameters.items() if not isinstance(parameter, gluon.Constant)}


def read_weights(path: str) -> dict[str, np.ndarray]:
    """{name: numpy array} of a .params file. Raises UserError naming a file that is missing or none, or that holds what no
    network has learned, or another than its name's checksum says: the format has none."""
    return _parsed(_bytes_of(path), path)


def _bytes_of(path):
    refuse_export(path)
    try:
        with open(path, "rb") as file:
            data = file.read()
    except OSError as error:
        raise UserError(f"the weights cannot be read ({error.strerror})", path, "check the path") from None
    require_stated_sha1(path, data)
    return data


def _parsed(data, path):
    try:
        arrays = params_format.loads(data)
    except ValueError as error:
        raise UserError(f"not a whole file of MXNet weights: {error}", path, SAVE_AGAIN_REMEDY) from None
    require_learned(arrays, path)
    return arrays


def load_weights(network: gluon.HybridBlock, path: str) -> str:
    """Fill a network, initialised or `network_to_fill`, from a .params file, strictly. Returns the file's SHA-256.

    Raises UserError that lists missing, foreign and mis-shaped names."""
    data = _bytes_of(path)
    set_weights(network, structured(_parsed(data, path)), path)
    return hashlib.sha256(data).hexdigest()


def read_structured(path: str) -> dict[str, np.ndarray]:
    """{structured name: array} of a .params file. Raises UserError as `read_weights` does."""
    return structured(read_weights(path))


def structured(entries: Mapping[str, Any]) -> dict[str, Any]:
    """{structured name: what belongs to it} of a .params file's entries, of an exported one's too."""
    return {name.split(":", 1)[1] if name.startswith(("arg:", "aux:")) else name: entry
            for name, entry in entries.items() if not name.startswith(IGNORED_PREFIX)}


def set_weights(network: gluon.HybridBlock, arrays: Mapping[str, np.ndarray], path: str) -> None:
    """Fill an initialised network from {name: numpy array}; `path` is named in errors."""
    parameters = structured_parameters(network)
    _require_fit(parameters, arrays, path)
    _fill(parameters, arrays)


def _fill(parameters, arrays):
    for name, parameter in parameters.items():
        if parameter._deferred_init:  # these values in place of those that were about to be drawn
            parameter._load_init(mx.nd.array(arrays[name], dtype=parameter.dtype), None)
        else:
            parameter.set_data(mx.nd.array(arrays[name], dtype=arrays[name].dtype))


def _require_fit(parameters, arrays, path):
    """Raise UserError unless the arrays have the parameters' names and shapes."""
    problems = [_listed("missing", sorted(parameters.keys() - arrays.keys())),
                _listed("foreign", sorted(arrays.keys() - parameters.keys())),
                _listed("of another shape", [f"{name} {arrays[name].shape} instead of {parameter.shape}"
                                             for name, parameter in parameters.items()
                                             if name in arrays and arrays[name].shape != parameter.shape])]
    problems = [problem for problem in problems if problem]
    if problems:
        raise UserError(f"the weights do not fit this network; {'; '.join(problems)}", path,
                        _remedy(parameters, arrays, "give the family, network, classes and anchors that it was trained with, "
                                                    "or its run's folder, which tells them"))


def _remedy(parameters, arrays, usual):
    """The usual remedy of weights that do not fit; that of a graph's, whose names are other ones; or which network they fit."""
    from gluon_bof.weights.fitting import fitting_network  # which needs this module
    if not parameters.keys() & arrays.keys() and any(map(OF_A_GRAPH.fullmatch, arrays)):
        return "its names are those of a graph, as export and collect_params().save write them; write it with " \
               "net.save_parameters"
    fit = fitting_network({name: array.shape for name, array in arrays.items()})
    if fit is None or not fit.classes or fit.differing:
        return usual
    named = f"{fit.network}_custom.params"  # by which it is read without further flags
    rename = f", or to predict and evaluate call it {named}" if told_by_file_name(named)[0] else ""
    return f"it fits {fit.network} with {fit.classes} classes: give what that name says, to load it whole as many classes{rename}"


def load_partially(network: gluon.HybridBlock, path: str) -> Loaded:
    """Fill what a .params file has under the same name in the same shape, and leave the rest of an initialised network as
    it is; anchors as in `transfer`. Returns Loaded.

    Raises UserError where the backbone is another."""
    arrays = read_structured(path)
    parameters = structured_parameters(network)
    learned = without_constants(parameters)
    fitting = {name: parameter for name, parameter in learned.items()
               if name in arrays and arrays[name].shape == parameter.shape}
    here = {id(parameter) for parameter in fitting.values()}
    missing = [name for name, parameter in network.backbone_parameters().items() if id(parameter) not in here]
    if missing:
        raise UserError(f"it holds another backbone; {_listed('missing', missing)}, {_listed('it holds', list(arrays))}", path,
                        _remedy(parameters, arrays, "give weights of a network on the same backbone"))
    told = _take_anchors(network, arrays)
    _fill(fitting, arrays)
    return Loaded(list(fitting), sorted(learned.keys() - fitting.keys()),
                  sorted(arrays.keys() - fitting.keys() - (parameters.keys() - learned.keys())), told)


def transfer(network: gluon.HybridBlock, path: str, old_classes: Sequence[str] | None = None,
             by_name: bool = False) -> Transferred:
    """Fill an initialised network from a detector of other classes: all layers, and of those that predict the rows of boxes,
    objectness, background and of the classes that both know by name. Other classes' rows keep their initial values; the
    network keeps its own anchors unless it says that it takes others. Returns Transferred.

    old_classes: the file's class names in their order; None: nobody knows them, and every class is re-initialised, as with a
    warning where only the file's name tells them (by_name) and they are not as many as it has. Raises UserError where they are
    not, or the layers are others."""
    arrays = read_structured(path)
    parameters = structured_parameters(network)
    constants = parameters.keys() - without_constants(parameters).keys()
    file_arrays, arrays = arrays, {name: array for name, array in arrays.items() if name not in constants}
    parameters = {name: parameter for name, parameter in parameters.items() if name not in constants}
    count = _count_of_classes(network, arrays, path) if old_classes is None or by_name else len(old_classes)
    if old_classes is not None and count != len(old_classes):
        warn(f"{path} is called as GluonCV's of {len(old_classes)} classes, and has {count}: nobody knows which, none is kept")
        old_classes = None
    old_classes, classes = list(old_classes or ()), list(network.classes)
    places = {new: old_classes.index(name) for new, name in enumerate(classes) if name in old_classes}
    for name, parameter in parameters.items():
        rows = rows_of(network.HEAD_ROWS, name)
        if rows and name in arrays:
            _require_rows(rows, name, arrays[name], parameter, count, path)
            arrays[name] = _moved(rows, arrays[name], parameter, places)
    _require_fit(parameters, arrays, path)
    _fill(parameters, arrays)
    return Transferred([name for name in classes if name in old_classes], [name for name in classes if name not in old_classes],
                       [name for name in old_classes if name not in classes], _take_anchors(network, file_arrays))


def _take_anchors(network, arrays):
    """Give a network the file's anchors where it takes others than its options say, see models.build. Returns words about whose
    it has then, "" of a network without any."""
    own = _anchors_in(network, arrays)
    if not has_other_anchors(network, arrays):
        return "anchors as in the file" if own else ""
    if not (hasattr(network, "takes_anchors") and network.takes_anchors({name: arrays[name] for name in own})):
        return "the network's own anchors, which are not the file's"
    _fill(own, arrays)
    return "the file's anchors"


def has_other_anchors(network: gluon.HybridBlock, arrays: Mapping[str, np.ndarray]) -> bool:
    """Whether a file's {name: array} has anchors that are not the network's, as far as both lay them out."""
    for name, parameter in _anchors_in(network, arrays).items():
        own, other = parameter.list_data()[0].asnumpy(), arrays[name]
        if own.ndim != other.ndim or own.shape[-1] != other.shape[-1]:
            return True
        both = tuple(slice(min(sides)) for sides in zip(own.shape, other.shape))
        if not np.allclose(own[both], other[both], rtol=1e-4, atol=1e-3):  # pixels
            return True
    return False


def _anchors_in(network, arrays):
    """{name: Parameter} of the network's anchors that a file has, too."""
    return {name: parameter for name, parameter in structured_parameters(network).items() if name.endswith(ANCHORS)
            and name in arrays}


def _count_of_classes(network, arrays, path):
    """How many classes a detector's file predicts, by the length of its last layer's biases. Raises UserError."""
    count = classes_by_rows({name: array.shape for name, array in arrays.items()}, network.HEAD_ROWS)
    if not count:
        raise UserError("it holds no head of a detector of this family", path,
                        _remedy(structured_parameters(network), arrays, "a backbone's weights go to --pretrained-base"))
    return count


def _require_rows(rows, name, array, parameter, class_count, path):
    wanted = (rows.groups * (rows.common + rows.each * class_count),) + parameter.shape[1:]
    if array.shape != wanted:
        raise UserError(f"the weights do not fit; {name} is {array.shape}, and {class_count} classes on this network make it "
                        f"{wanted}", path, "give the network and the class names that they were trained with")


def _moved(rows, old, parameter, places):
    """The parameter's values with the file's rows where both know what they mean; places: {new class: old class}."""
    values = parameter.data(parameter.list_ctx()[0]).asnumpy()
    new, old = (array.reshape(rows.groups, -1, *array.shape[1:]) for array in (values, old))
    new[:, :rows.common] = old[:, :rows.common]
    for to, origin in places.items():
        to, origin = (rows.common + place * rows.each for place in (to, origin))
        new[:, to:to + rows.each] = old[:, origin:origin + rows.each]
    return new.reshape(values.shape)


def _listed(what, names):
    return f"{what}: {abbreviate(names, MAX_LISTED)}" if names else ""


def weights_of(network: gluon.HybridBlock) -> dict[str, np.ndarray]:
    """{name: numpy array} of all parameters, copied off the first device."""
    return {name: array.asnumpy() for name, array in on_device(network).items()}


def on_device(network: gluon.HybridBlock) -> dict[str, mx.nd.NDArray]:
    """{name: MXNet array} of all parameters, as they are on the first device."""
    return {name: parameter.data(parameter.list_ctx()[0])
            for name, parameter in structured_parameters(network).items()}


def save_weights(network: gluon.HybridBlock, path: str) -> None:
    """Write a .params file that GluonCV loads too, atomically."""
    write_atomically(path, params_format.pieces(on_device(network)))


def load_backbone(network: gluon.HybridBlock, path: str) -> None:
    """Fill the backbone of an initialised detector from a .params file of a classifier or of a whole detector.

    network.backbone_parameters() -> {name in a classifier's file: Parameter}; a head in the file is left out.
    Raises UserError where the file lacks a layer of the backbone."""
    arrays = read_structured(path)
    backbone = network.backbone_parameters()
    if not backbone.keys() & arrays.keys():  # no classifier's file: a detector's, perhaps
        of_backbone = {id(parameter) for parameter in backbone.values()}
        backbone = {name: parameter for name, parameter in structured_parameters(network).items()
                    if id(parameter) in of_backbone}
    missing = [name for name, parameter in backbone.items()
               if name not in arrays or arrays[name].shape != parameter.shape]
    if missing:
        raise UserError(f"the weights do not fit this backbone; {_listed('missing or of another shape', missing)}",
                        path, _remedy(backbone, arrays, "give weights of the same backbone"))
    _fill(backbone, arrays)

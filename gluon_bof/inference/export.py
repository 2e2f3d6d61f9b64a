"""A trained detector for other programs: an ONNX file, or MXNet's symbol and parameters, checked before they are kept."""
from __future__ import annotations

import hashlib
import importlib
import json
import os
from typing import TYPE_CHECKING, Any, Iterable, Sequence

import cv2
import numpy as np

from gluon_bof import threads
from gluon_bof._version import __version__
from gluon_bof.backend import gluon, mx
from gluon_bof.data.images import as_image
from gluon_bof.data.transforms import square
from gluon_bof.errors import UserError, without_warnings
from gluon_bof.files import folder_beside, output_path, refuse_no_utf8, write_atomically
from gluon_bof.freebies.augmentation import MEAN, STD
from gluon_bof.inference.agreement import Check, batches_of, compare, outputs_of, refuse_disagreement
from gluon_bof.inference.engines import MXNetEngine, arrays, calling
from gluon_bof.inference.onnx_operators import OPSET, translations
from gluon_bof.models.build import models_of, portable
from gluon_bof.models.preprocess import InferenceGraph
from gluon_bof.options.families import family_of
from gluon_bof.options.flags import whole_pixels
from gluon_bof.weights.formats import params as params_format

if TYPE_CHECKING:
    import onnxruntime

    from gluon_bof.inference.detector import Detector

EXPORTER = 4  # a new number wherever an exported file changes, so that those in the cache are written anew
INPUT = "image"
IR_VERSION = 8  # of the file format, that of opset 16: older runtimes read it too
AS_MANY = -1  # a side of an array that is as long as there are images
IN_ITS_PLACE = "give --format mxnet, which keeps every detector bit for bit"
REPORT = "report it, with the network's name"  # where there is no other format
MXNET_ENDINGS = "-0000.params", "-symbol.json", ".json"  # of the files that one export to MXNet's format writes
SHORT_TO_LONG = 3 / 4  # Faster R-CNN's image where no size is given
INTERPOLATIONS = {None: "area where both sides shrink, cubic where both grow, else linear", cv2.INTER_LINEAR: "linear"}


def input_size(detector: Detector, size: Sequence[int] | None = None) -> tuple[int, int]:
    """(height, width) that the exported network sees; size: one given, checked, else that of validation.

    Raises UserError for a size that the network cannot take."""
    form = _form(detector)
    if size is None:
        short = detector.transform.size
        size = (short, short) if detector.transform.fit is square else (short, min(form.max_side, round(short / SHORT_TO_LONG)))
    size = size.tolist() if isinstance(size, np.ndarray) else size
    if not isinstance(size, (tuple, list)) or len(size) != 2:
        raise UserError(f"the size {size} is not a height and a width", remedy="give (416, 416)")
    height, width = (whole_pixels("size", side, 416) for side in size)
    if height % form.multiple or width % form.multiple:
        raise UserError(f"this network cannot see images of {height} x {width}", remedy=f"give multiples of {form.multiple}")
    if not form.min_side <= min(height, width) <= max(height, width) <= form.max_side:
        raise UserError(f"this network cannot see images of {height} x {width}",
                        remedy=f"give sides from {form.min_side} to {form.max_side}")
    return height, width


def path_and_images(path: Any, images: Any, reads: Iterable[str],
                    endings: Iterable[str] = ("",)) -> tuple[str, list[np.ndarray]]:
    """(path of what is to be written, [(H, W, 3) uint8] to compare it on) of what `Model.export` is given: one image as `predict`
    takes it, or a list, a tuple or an array (N, H, W, 3) of them. reads: other files that the command reads; endings: of those
    it writes. Raises UserError as `output_path`, which refuses an image's file, too, and `as_image`."""
    several = isinstance(images, (list, tuple)) or isinstance(images, np.ndarray) and images.ndim == 4
    images = list(images) if several else [images]
    read = [image for image in images if isinstance(image, (str, os.PathLike))]
    return output_path(path, (*reads, *read), endings), list(map(as_image, images))


def _form(detector):
    return models_of(detector.options).export_form(detector.options)


def export_onnx(detector: Detector, path: str, size: Sequence[int] | None = None, nms: bool = True,
                images: Sequence[np.ndarray] = ()) -> Check:
    """Write an ONNX file (opset 16) for images of one size and compare it with MXNet in onnxruntime. Returns Check.

    The input is raw images (B, H, W, 3) uint8 RGB, normalised inside: one for an R-CNN, B of 1 or more for YOLOv3 and SSD. nms:
    outputs are ids (B, D, 1), scores (B, D, 1), boxes (B, D, 4) in input pixels, -1 where there is none, and Mask R-CNN's masks
    (B, D, S, S) in [0, 1]; else YOLOv3's and SSD's boxes (B, N, 4) and scores (B, N, K), or Faster R-CNN's rows (K, P, 6) of id,
    score and box, both before the last suppression. images: (H, W, 3) uint8 ones to check with besides some that are drawn.
    Raises UserError where onnx is not installed or MXNet cannot express the network in it, where the two disagree or have
    nothing to compare, for masks without nms, and where the file cannot be written."""
    require_onnx()
    size = input_size(detector, size)
    symbol, names = _symbol(detector, nms)
    data = _onnx_data(detector, symbol, names, size, nms)
    session = quiet_session(data)
    check = compare(_ours(detector, symbol, nms), detector, names, lambda seen: session.run(names, {INPUT: seen}), size, images,
                     batches_of(detector))
    refuse_disagreement(check, path, "onnxruntime", IN_ITS_PLACE)
    write_atomically(path, data)
    return check


def onnx_bytes(detector: Detector, size: Sequence[int]) -> bytes:
    """The file that `export_onnx` writes for images of this size, suppression included, not compared with anything. Raises
    UserError as that does."""
    size = input_size(detector, size)
    return _onnx_data(detector, *_symbol(detector, True), size, True)


def graph_of(detector: Detector) -> str:
    """SHA-256 of a detector's graph with its settings; the same in every process, and however often it was built in one."""
    symbol, _ = _symbol(detector, True)
    # layers are numbered on in a process, attributes with __ are hints that name them, and an input's last number counts uses
    nodes = [[node["op"], {name: value for name, value in node.get("attrs", {}).items() if not name.startswith("__")},
              [entry[:2] for entry in node["inputs"]]] for node in json.loads(symbol.tojson())["nodes"]]
    return hashlib.sha256(json.dumps(nodes, sort_keys=True).encode()).hexdigest()


def export_mxnet(detector: Detector, prefix: str, size: Sequence[int] | None = None, nms: bool = True,
                 images: Sequence[np.ndarray] = ()) -> Check:
    """Write PREFIX-symbol.json, PREFIX-0000.params and the description PREFIX.json, as MXNet's `SymbolBlock.imports` and
    `model.load_checkpoint` read them; input and outputs as `export_onnx`'s, at any size. Returns Check, whose differences
    are 0 or the two disagree. Raises UserError as `export_onnx` does; all three files appear, or none."""
    refuse_no_utf8(os.path.abspath(prefix), "MXNet opens no file")
    size = input_size(detector, size)
    symbol, names = _symbol(detector, nms)
    states = set(symbol.list_auxiliary_states())
    parameters = params_format.pieces({("aux:" if name in states else "arg:") + name: value
                                       for name, value in _values(detector, symbol).items()})
    files = dict(zip(MXNET_ENDINGS, (parameters, symbol.tojson().encode(),
                                     json.dumps(description(detector, size, nms), indent=2).encode())))
    try:
        with folder_beside(prefix) as folder:
            staged = os.path.join(folder, "staged")
            for ending, data in files.items():
                write_atomically(staged + ending, data)
            with without_warnings():  # of the input's type, which whoever calls it brings
                block = gluon.SymbolBlock.imports(f"{staged}-symbol.json", [INPUT], f"{staged}-0000.params", detector.device)
            theirs = MXNetEngine(block, detector.device)
            check = compare(_ours(detector, symbol, nms), detector, names, lambda seen: arrays(theirs(seen)), size, images)
            refuse_disagreement(check, prefix, "MXNet from these files", REPORT, exactly=True)
            for ending in files:
                os.replace(staged + ending, prefix + ending)
    except OSError as error:
        raise UserError(f"cannot be written ({error.strerror})", prefix, "choose another place") from None
    except UserError as error:
        raise UserError(error.problem, prefix, error.remedy) from None  # not the place that is gone by now
    return check


def description(detector: Detector, size: Sequence[int], nms: bool) -> dict[str, Any]:
    """What a program has to know to feed the exported network and read its answer: a dict of JSON's types."""
    transform = detector.transform
    fit = "the whole image is stretched to the input's size" if transform.fit is square else \
        f"short side {transform.size}, long side at most {transform.fit.longest}; another size stretches the image"
    if nms:
        outputs = {"ids": "class of each detection, -1 where there is none", "scores": "in 0..1",
                   "boxes": "xmin, ymin, xmax, ymax in pixels of the input; they may reach beyond it"}
        if family_of(detector.options).masks:
            outputs["masks"] = "probabilities in 0..1 of each detection's class, on a grid of cells over its whole box"
    else:
        outputs = _form(detector).texts
    resize = {"fit": fit, "interpolation": INTERPOLATIONS[transform.interpolation]}
    return {**described_input(detector, detector.options.network, size, resize),
            "post_processing": "suppression within each class, inside the graph" if nms else "none",
            "nms_threshold": detector.network.nms_thresh, "outputs": outputs}


def described_input(model: Any, network: str, size: Sequence[int], resize: Any) -> dict[str, Any]:
    """What every exported network's description begins with: whose it is and what it sees. model: a Detector or a Segmenter."""
    family = family_of(model.options)
    return {"producer": f"gluon_bof {__version__}", "network": network,
            "segmenter" if family.segments else "detector": family.name, "classes": list(model.classes),
            "input": {"name": INPUT, "type": "uint8", "layout": "NHWC", "colour": "RGB", "height": size[0], "width": size[1],
                      "images": "one or more" if _form(model).any_batch else 1},
            "resize": resize, "mean": list(MEAN), "std": list(STD),
            "preprocessing": "inside the graph: (image / 255 - mean) / std, then NCHW float32"}


def require_onnx(otherwise: str = "give --format mxnet") -> None:
    """Raise UserError where onnx and onnxruntime, or what MXNet needs of them, are not installed. otherwise: what to do then,
    besides installing them."""
    try:
        for name in ("onnx", "onnx.mapping", "onnxruntime"):  # later versions dropped onnx.mapping
            importlib.import_module(name)
    except Exception as error:  # ImportError; of versions that do not fit together protobuf's TypeError, NumPy's AttributeError
        raise UserError(f"ONNX needs packages that are not here ({error})",
                        remedy=f"pip install 'gluon_bof[export]', or {otherwise}") from None


def quiet_session(data: bytes) -> onnxruntime.InferenceSession:
    """A session of onnxruntime on the CPU, on as many threads as a user leaves it, that runs an ONNX file's bytes and logs errors
    alone."""
    import onnxruntime

    settings = onnxruntime.SessionOptions()
    settings.log_severity_level = 3
    settings.intra_op_num_threads = threads.beside_mxnet()
    # threads that wait for work would take the cores of those that read and write images
    settings.add_session_config_entry("session.intra_op.allow_spinning", "0")
    return onnxruntime.InferenceSession(data, settings, providers=["CPUExecutionProvider"])


def _symbol(detector, nms):
    """(graph from INPUT to the outputs, every node with a name of its own; the outputs' names)."""
    data = mx.sym.Variable(INPUT)
    family = family_of(detector.options)
    if family.masks and not nms:
        raise UserError(f"{family.title} finds masks of the boxes that suppression leaves", remedy="export it with suppression")
    with calling, portable():
        if nms:
            outputs, names = InferenceGraph(detector.network)(data), list(outputs_of(detector))
        else:
            outputs, names = _form(detector).candidates(detector.network, data)
    return named_outputs(outputs, names), names


def named_outputs(outputs: Sequence[Any], names: Sequence[str]) -> Any:
    """The symbol of these outputs, by these names, every node with a name of its own."""
    return _uniquely_named(mx.sym.Group([mx.sym.identity(output, name=name) for output, name in zip(outputs, names)]))


def _uniquely_named(symbol):
    """GluonCV gives some nodes one name; here the later ones get a number, so that shapes can be told by name."""
    graph = json.loads(symbol.tojson())
    seen = set()
    for number, node in enumerate(graph["nodes"]):
        if node["name"] in seen:
            node["name"] = f"{node['name']}_{number}"
        seen.add(node["name"])
    return mx.sym.load_json(json.dumps(graph))


def _values(detector, symbol):
    """{name: NDArray} of the parameters that a symbol needs."""
    needed = set(symbol.list_inputs())
    return {name: parameter.data() for name, parameter in detector.network.collect_params().items() if name in needed}


def _shapes(symbol, size, images):
    """{(node's name, output's number): shape} of everything within a symbol for this number of images."""
    internals = symbol.get_internals()
    graph = json.loads(internals.tojson())
    _, shapes, _ = internals.infer_shape(**{INPUT: (images, *size, 3)})
    return {(graph["nodes"][number]["name"], output): shape for (number, output, *_), shape in zip(graph["heads"], shapes)}


def _shapes_of_any(symbol, size):
    """As `_shapes`, with AS_MANY where a side grows with the number of images."""
    one, two = (_shapes(symbol, size, images) for images in (1, 2))
    return {place: tuple(side if side == other else AS_MANY for side, other in zip(shape, two[place]))
            for place, shape in one.items()}


def _onnx_data(detector, symbol, names, size, nms):
    return described_onnx(detector, symbol, names, size, description(detector, size, nms))


def described_onnx(detector: Any, symbol: Any, names: Sequence[str], size: Sequence[int], about: dict[str, Any]) -> bytes:
    """The bytes of an ONNX file that describes itself by `about`, of JSON's types. symbol: from INPUT to the outputs."""
    import onnx

    model = _onnx_model(detector, symbol, names, size)
    onnx.helper.set_model_props(model, {key: value if isinstance(value, str) else json.dumps(value)
                                        for key, value in about.items()})
    return model.SerializeToString()


def _onnx_model(detector, symbol, names, size):
    """The onnx.ModelProto, by MXNet's exporter with our translations of what it lacks."""
    import onnx
    from onnx import helper

    # what `mx.onnx.export_model` calls; that one marks the file with the newest opset, for which MXNet has no translations
    converter = mx.onnx.mx2onnx._export_onnx.MXNetGraph
    shapes = _shapes_of_any(symbol, size) if _form(detector).any_batch else _shapes(symbol, size, 1)
    # MXNet uses onnx.mapping, which warns
    with translations(converter.registry_, shapes, len(detector.classes)), without_warnings():
        _refuse_untranslated(symbol, converter.registry_)
        try:
            graph = converter().create_onnx_graph_proto(symbol, _values(detector, symbol), [(1, *size, 3)],
                                                        [onnx.TensorProto.UINT8], opset_version=OPSET, dynamic=False)
        except NotImplementedError as error:
            raise UserError(f"MXNet cannot write this network as ONNX ({error})", remedy=IN_ITS_PLACE) from None
    _tidy(graph)
    outputs = {output.name: output for output in graph.output}
    del graph.output[:]
    graph.output.extend(outputs[name] for name in names)
    if _form(detector).any_batch:
        for entry in (*graph.input, *graph.output):
            entry.type.tensor_type.shape.dim[0].dim_param = "images"
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=IR_VERSION,
                              producer_name="gluon_bof", producer_version=__version__)
    try:
        onnx.checker.check_model(model)
    except onnx.checker.ValidationError as error:
        raise UserError(f"MXNet writes this network as ONNX that is not valid ({error})", remedy=IN_ITS_PLACE) from None
    return model


def _refuse_untranslated(symbol, registry):
    known = {"null"}.union(*(operators for opset, operators in registry.items() if opset <= OPSET))
    missing = {node["op"] for node in json.loads(symbol.tojson())["nodes"]} - known
    if missing:
        raise UserError(f"MXNet has no ONNX for {', '.join(sorted(missing))}", remedy=IN_ITS_PLACE)


def _tidy(graph):
    """Leave the image as the only input, no unused constants, and a name of its own for each node, as runtimes want it."""
    used = {name for node in graph.node for name in node.input}
    constants = [constant for constant in graph.initializer if constant.name in used]
    known = {constant.name for constant in graph.initializer}
    inputs = [entry for entry in graph.input if entry.name not in known]
    for field, entries in ((graph.initializer, constants), (graph.input, inputs)):
        del field[:]
        field.extend(entries)
    for number, node in enumerate(graph.node):
        node.name = f"{number}_{node.op_type}"


def _ours(detector, symbol, nms):
    """The graph that an export is compared with: the detector's own, or that of the candidates before suppression."""
    if nms:
        return detector.graph
    with without_warnings():
        return gluon.SymbolBlock(symbol, mx.sym.Variable(INPUT), params=detector.network.collect_params())

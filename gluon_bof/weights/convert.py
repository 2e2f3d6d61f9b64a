"""Weights of other programs as ours: Darknet's YOLOv3 and Darknet-53, torchvision's and timm's ResNets, torchvision's SSD300."""
from __future__ import annotations

from typing import TYPE_CHECKING, Iterable, Mapping, NamedTuple, Sequence

import numpy as np

from gluon_bof.backend import gluon
from gluon_bof.data.names import class_names
from gluon_bof.errors import UserError
from gluon_bof.freebies.augmentation import MEAN, STD
from gluon_bof.models.build import with_inferred_shapes
from gluon_bof.models.yolo3.network import ANCHORS, build_yolo3
from gluon_bof.options.flags import flag_name
from gluon_bof.weights import torchvision_ssd
from gluon_bof.weights.formats import darknet as darknet_format
from gluon_bof.weights.formats.darknet import DARKNET, Convolution
from gluon_bof.weights.formats.safetensors import REDOWNLOAD_REMEDY, is_safetensors
from gluon_bof.weights.learned import require_learned
from gluon_bof.weights.load import structured_parameters
from gluon_bof.weights.torch_resnet import RESNETS, import_resnet
from gluon_bof.weights.zoo import CLASSES

if TYPE_CHECKING:
    from gluon_bof.models.yolo3.network import YOLOv3

YOLO3 = f"yolo3_{DARKNET}"
# Darknet's spelling of six of COCO's classes. Its order of COCO's and of VOC's classes is GluonCV's
SPELLINGS = {"motorbike": "motorcycle", "aeroplane": "airplane", "sofa": "couch", "pottedplant": "potted plant",
             "diningtable": "dining table", "tvmonitor": "tv"}
TARGETS = tuple(f"{YOLO3}_{which}" for which in (*CLASSES, "custom")) + torchvision_ssd.TARGETS + (DARKNET,) + RESNETS
EPSILON = 1e-5  # what normalisation adds to the variance here, in GluonCV, in PyTorch and in Darknet on GPUs


class Imported(NamedTuple):
    """Weights under our names. classes: of a detector, else empty; source: what they were."""

    arrays: dict
    network: str
    classes: tuple
    source: str


def import_weights(path: str, target: str, classes: str | Sequence[str] | None = None,
                   anchors: Sequence[Sequence[float]] | None = None, epsilon: float = EPSILON,
                   verbatim: bool = False) -> Imported:
    """Imported weights of a .weights or .safetensors file for one of TARGETS.

    classes: names in the order of the file, see `class_names`, for a detector of others than COCO's or VOC's. anchors: rows
    as `data.anchors.read_anchors` gives them, for a detector with others than YOLOv3's own, which a .weights file does not
    hold. epsilon: what the program that wrote the .weights adds to variances, in (0, 1); see `take_epsilon`. verbatim: keep
    Darknet's first layer, which takes RGB in [0, 1]; else it is changed to take images normalised as ours and GluonCV's
    are; see `take_normalised`.
    Raises UserError for a damaged or foreign file, for one that holds another network, and for what its kind does not take."""
    if target not in TARGETS:
        raise UserError(f"unknown network {target!r}", remedy=f"--to is one of {', '.join(TARGETS)}")
    given = {"classes": classes is not None, "anchors": anchors is not None, "epsilon": epsilon != EPSILON, "verbatim": verbatim}
    idle = [flag_name(name) for name in _not_taken(target) if given[name]]
    if idle:
        raise UserError(f"{', '.join(idle)}: nothing of {target} is changed by it", remedy="leave it out")
    if not 0 < epsilon < 1:
        raise UserError(f"epsilon {epsilon} is not between 0 and 1", remedy=f"{EPSILON:g} is usual, OpenCV has 1e-6")
    classes = None if classes is None else class_names(classes)
    try:
        with np.errstate(all="ignore"):  # what becomes infinite or nan is refused below
            if target in torchvision_ssd.TARGETS:
                imported = _import_ssd(path, target, classes, verbatim)
            elif is_safetensors(path):
                imported = _import_resnet(path, target)
            else:
                imported = _import_darknet(path, target, classes, anchors or ANCHORS, epsilon, verbatim)
    except ValueError as error:
        raise UserError(f"no whole .weights or .safetensors file: {error}", path, REDOWNLOAD_REMEDY) from None
    require_learned(imported.arrays, path, REDOWNLOAD_REMEDY)
    return imported


def _not_taken(target):
    """Arguments of import_weights that say nothing of a target."""
    if target in RESNETS:
        return ("classes", "anchors", "epsilon", "verbatim")
    if target in torchvision_ssd.TARGETS:
        return ("anchors", "epsilon")
    return ("classes", "anchors") if target == DARKNET else ()


# Darknet

def darknet_network(target: str, names: Sequence[str] | None,
                    anchors: Sequence[Sequence[float]] = ANCHORS) -> tuple[YOLOv3, list[Convolution]]:
    """(our YOLOv3 of these classes, every shape known; [Convolution] in the order of a .weights file: all, or of the
    backbone only where that is the target)."""
    network = with_inferred_shapes(build_yolo3(DARKNET, names or ("object",), anchors=anchors))
    if target == DARKNET:
        return network, _convolutions(network.backbone_parameters())
    parameters = structured_parameters(network)
    parts = ["stages."] + [f"{part}.{level}." for level in range(3)
                           for part in ("yolo_blocks", "yolo_outputs", "transitions")]
    return network, _convolutions({name: parameter for part in parts for name, parameter in parameters.items()
                                   if name.startswith(part) and not isinstance(parameter, gluon.Constant)})


def _convolutions(parameters):
    """[Convolution] of ordered {name: Parameter}."""
    layers = []
    for name, parameter in parameters.items():
        stem, part = name.rsplit(".", 1)
        if part == "weight":
            layers.append(Convolution(name, parameter.shape, None, f"{stem}.bias"))
        elif part == "gamma":
            layers[-1] = layers[-1]._replace(norm=stem, bias=None)
    return layers


def take_normalised(arrays: Mapping[str, np.ndarray], first: Convolution) -> dict[str, np.ndarray]:
    """Let Darknet's first layer (a Convolution) take normalised images where it took RGB in [0, 1]. For
    n = (x - MEAN) / STD, W * x = (W STD) * n + W MEAN, and batch normalisation takes the constant off again.

    Exact but at the image's edge. What a convolution adds around the image is 0: black to Darknet, and mean grey to a
    network of normalised images. No weights can fix that, because to such a network an image of nothing but mean grey has no
    edge, while to Darknet it has one. `verbatim` imports are exact everywhere, for whoever feeds RGB in [0, 1]."""
    kernel, mean = arrays[first.weight].astype(np.float64), f"{first.norm}.running_mean"
    constant = (kernel * np.reshape(MEAN, (1, 3, 1, 1))).sum(axis=(1, 2, 3))
    return {**arrays, first.weight: (kernel * np.reshape(STD, (1, 3, 1, 1))).astype(np.float32),
            mean: (arrays[mean] - constant).astype(np.float32)}


def take_epsilon(arrays: Mapping[str, np.ndarray], layers: Iterable[Convolution], epsilon: float) -> dict[str, np.ndarray]:
    """Let normalisation, which adds EPSILON to variances here, give what it gave where this epsilon was added, by other scales.

    A .weights file does not tell it. Darknet on GPUs adds 1e-5 today, OpenCV 1e-6; Darknet's CPU and older code add 1e-6
    to the deviation, which is 2e-6 at a variance of 1. Whether 1e-5 or 1e-6 moved raw predictions (up to 3.4) of four
    random networks by 1.0e-4 to 1.6e-4; channels of small variance move more."""
    arrays = dict(arrays)
    for norm in [layer.norm for layer in layers if layer.norm]:
        variance = arrays[f"{norm}.running_var"].astype(np.float64)
        scale = np.sqrt((variance + EPSILON) / (variance + epsilon))
        arrays[f"{norm}.gamma"] = (arrays[f"{norm}.gamma"] * scale).astype(np.float32)
    return arrays


def _import_darknet(path, target, classes, anchors, epsilon, verbatim):
    with open(path, "rb") as file:
        header = darknet_format.read_header(file)
        _refuse_other_networks(path, target, header)
        # a detector's file begins with its backbone
        names = () if target == DARKNET else _class_names(path, target, classes, header.classes)
        network, layers = darknet_network(target, names, anchors)
        values = darknet_format.read_values(file, header)
    arrays = darknet_format.unpack(values[:sum(layer.count for layer in layers)], layers)
    if epsilon != EPSILON:
        arrays = take_epsilon(arrays, layers, epsilon)
    if not verbatim:
        arrays = take_normalised(arrays, layers[0])
    source = f"Darknet {header.version}, {header.network}" + (f" of {header.classes} classes" if header.classes else "")
    if target == DARKNET:
        return Imported(arrays, target, (), source)
    arrays.update({name: parameter.value.asnumpy() for name, parameter in structured_parameters(network).items()
                   if isinstance(parameter, gluon.Constant)})
    standard = CLASSES.get(target[len(YOLO3) + 1:], names)
    return Imported(_reordered(arrays, names, standard), target, standard, source)


def _refuse_other_networks(path, target, header):
    """Raise UserError for a file that does not hold what the target wants."""
    name = header.network
    if name not in (DARKNET, darknet_format.YOLO3):
        raise UserError(f"by its size it holds {name} of {header.classes} classes, which no network here is", path,
                        "give the weights of yolov3, darknet53 or darknet53.conv.74")
    if target in RESNETS:
        raise UserError(f"it holds {name}, not {target}", path, f"give --to {DARKNET} or {YOLO3}_custom")
    if name == DARKNET and target != DARKNET:
        raise UserError("it holds the backbone only", path,
                        f"give --to {DARKNET}, then train with --pretrained-base and the file that this writes")


def _class_names(path, target, classes, number):
    """Class names in the order of the file."""
    which = target[len(YOLO3) + 1:]
    standard = CLASSES.get(which)
    if classes is None and standard is None:
        raise UserError(f"it holds {number} classes without names", path,
                        "give them in the order of its training: --classes cat,dog or a file of one a line")
    names = standard if classes is None else classes
    if which == "coco":
        names = tuple(SPELLINGS.get(name, name) for name in names)
    if len(names) != number:
        raise UserError(f"it holds {number} classes, not {len(names)}", path,
                        f"give --to {YOLO3}_custom and their names with --classes")
    if standard and sorted(names) != sorted(standard):
        foreign = sorted(set(names) - set(standard))
        raise UserError(f"{foreign[0]!r} is none of {which.upper()}'s classes", path, f"give --to {YOLO3}_custom")
    return names


def _reordered(arrays, names, wanted):
    """The predictions' rows of classes moved from the order `names` to the order `wanted`."""
    order = [names.index(name) for name in wanted]
    each = 5 + len(names)
    rows = np.concatenate([anchor * each + np.r_[:5, 5 + np.array(order)] for anchor in range(3)])
    return {name: array[rows] if ".prediction." in name else array for name, array in arrays.items()}


# torchvision and timm

def _import_resnet(path, target):
    arrays, source = import_resnet(path, target)
    return Imported(arrays, target, (), source)


def _import_ssd(path, target, classes, verbatim):
    if not is_safetensors(path):
        raise UserError("SSD is imported from safetensors only", path, "save torchvision's state_dict as such")
    arrays, names = torchvision_ssd.import_ssd(path, target, classes, verbatim)
    return Imported(arrays, target, names, f"torchvision's ssd300_vgg16, {len(names)} classes")

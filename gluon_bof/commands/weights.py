"""gluon-bof weights import | show: weights of other programs as ours, and what is in a file of weights."""
from __future__ import annotations

import hashlib
import json
import math
import os
import sys
from typing import Sequence

from gluon_bof.errors import printable, user_facing
from gluon_bof.files import refuse_unwritable, write_atomically
from gluon_bof.options.flags import Parser
from gluon_bof.runs.config import read_classes, read_options, require_run, require_run_of_last
from gluon_bof.runs.folder import RunFolder
from gluon_bof.weights.checksums import stated_sha1
from gluon_bof.weights.inspect import digests, read_contents


@user_facing
def main(argv: Sequence[str]) -> int:
    """The command: what people read goes to standard error, the last line on standard output is one JSON object."""
    given = build_parser().parse_args(argv)
    outcome = _import(given) if given.word == "import" else _show(given)
    print(json.dumps(outcome))
    return 0


def build_parser() -> Parser:
    """The command's parser."""
    parser = Parser("gluon-bof weights", description=__doc__.split(": ", 1)[1])
    words = parser.add_subparsers(dest="word", metavar="import | show", required=True)
    taken = words.add_parser("import", help="write a .params file from a .weights or .safetensors file")
    taken.add_argument("file", metavar="FILE", help="Darknet's yolov3.weights, darknet53.weights or darknet53.conv.74; "
                                                    "torchvision's or timm's ResNet, or torchvision's "
                                                    "SSD300, as .safetensors")
    taken.add_argument("--to", required=True, metavar="NAME", help="the network: yolo3_darknet53_coco, yolo3_darknet53_voc, "
                       "yolo3_darknet53_custom, ssd_300_vgg16_atrous_coco, "
                       "ssd_300_vgg16_atrous_custom; backbones for --pretrained-base: darknet53, resnet18_v1b, resnet50_v1b "
                       "and resnet101_v1b (torchvision's or timm's resnet18, resnet50, resnet101), resnet101_v1d (timm's "
                       "resnet101d)")
    taken.add_argument("--out", default=None, metavar="FILE.params", help="where to write; default: NAME.params")
    taken.add_argument("--classes", default=None, help="a detector's class names in the order of the file, comma-separated "
                       "or a text file of one a line; default: COCO's or VOC's by NAME")
    taken.add_argument("--anchors", default=None, metavar="FILE", help="the anchors of a detector's .cfg where they are not "
                       "YOLOv3's own: a JSON list of nine [width, height]")
    taken.add_argument("--epsilon", type=float, default=1e-5, help="what the program that .weights come from adds to variances, "
                       "which the file does not tell: 1e-5 [default] as Darknet on GPUs and PyTorch, 1e-6 as OpenCV")
    taken.add_argument("--verbatim", action="store_true", help="keep Darknet's first layer, which takes RGB in [0, 1], to "
                       "compare outputs with Darknet's. Without it that layer is made to take images normalised by "
                       "ImageNet's mean and deviation, as everything here and in GluonCV feeds them: the same but for "
                       "the image's edge, beyond which Darknet sees black and such a network grey")
    shown = words.add_parser("show", help="list layers, shapes, sizes, checksums, and the network that they fit")
    shown.add_argument("file", metavar="FILE", help="a .params, .weights, .safetensors or .ckpt file, a run's folder, "
                                                    "shapes (the package's own), or GluonCV's name of a pretrained model")
    shown.add_argument("--last", action="store_true", help="of a run: its last weights, not its best")
    return parser


def _import(given):
    from gluon_bof.data.anchors import read_anchors
    from gluon_bof.weights.convert import import_weights
    from gluon_bof.weights.formats.params import dumps

    out = given.out or f"{given.to}.params"
    names = f"{os.path.splitext(out)[0]}.classes.txt"
    refuse_unwritable(out, reads=(given.file, given.classes, given.anchors))
    refuse_unwritable(names, reads=(given.file, given.anchors))
    imported = import_weights(given.file, given.to, given.classes or None,
                              read_anchors(given.anchors) if given.anchors else None, given.epsilon, given.verbatim)
    data = dumps(imported.arrays)
    write_atomically(out, data)
    takes = _takes(imported.source, given.verbatim)
    print(f"{given.file}: {imported.source}", file=sys.stderr)
    print(f"{out}: {imported.network}, {len(imported.arrays)} arrays; it takes {takes}", file=sys.stderr)
    if imported.classes:
        write_atomically(names, "".join(f"{name}\n" for name in imported.classes).encode())
        print(f"{names}: {len(imported.classes)} class names, for --classes", file=sys.stderr)
    else:
        print(f"train from it with --network {imported.network} --pretrained-base {out}", file=sys.stderr)
    return {"file": given.file, "source": imported.source, "network": imported.network, "classes": list(imported.classes),
            "takes": takes, "arrays": len(imported.arrays), "out": out, "sha256": hashlib.sha256(data).hexdigest(),
            "parameters": sum(array.size for array in imported.arrays.values())}


def _takes(source, verbatim):
    """What images the network of imported weights takes, in words."""
    if verbatim and source.startswith("Darknet"):
        return "RGB in [0, 1]"
    if verbatim and source.startswith("torchvision"):
        return "RGB less torchvision's mean, over ImageNet's deviation"
    return "RGB normalised by ImageNet's mean and deviation"


def _show(given):
    from gluon_bof.weights.zoo import download, is_name, options_of

    require_run_of_last(given.last, [given.file])
    path, told = given.file, {}
    if not os.path.exists(path) and is_name(path):
        path, told = download(path), {"classes": options_of(path)["classes"].split(",")}
    elif os.path.isdir(path):
        path, told = _of_run(path, given.last)
    contents = read_contents(path)
    checksums, size, count = digests(path), os.path.getsize(path), sum(math.prod(row[1]) for row in contents.rows)
    fit, classes = contents.fit, told.get("classes")
    width = max((len(row[0]) for row in contents.rows), default=0)
    lines = [f"  {name:{width}}  {' x '.join(map(str, shape)) or 'one number':>20}  {kind:8} {math.prod(shape):12,}"
             for name, shape, kind in contents.rows]
    lines += [f"{path}: {contents.kind}", f"{len(contents.rows)} arrays, {count:,} values, {size / 1e6:.1f} MB", contents.note,
              f"SHA-256 {checksums['sha256']}, SHA-1 {checksums['sha1'][:8]} {_name_text(path, checksums)}".strip(),
              f"fits {_fit_text(fit)}", f"classes: {', '.join(classes)}" if classes else "", _faults_text(contents.faults)]
    print("\n".join(printable(line) for line in lines if line), file=sys.stderr)
    return {"file": path, "kind": contents.kind, "arrays": len(contents.rows), "parameters": count, "bytes": size,
            **checksums, "network": fit and fit.network, "number_of_classes": fit and fit.classes,
            "other_shapes": list(fit.differing) if fit else [], "faults": list(contents.faults), **told}


def _of_run(folder, last):
    """(path of the weights of a run, what its configuration tells of them)."""
    require_run(folder, "give a folder under runs/ or a file of weights")
    run = RunFolder(folder)
    return run.weights(last), {
        "run": folder, "trained_as": read_options(folder).resolved().gluoncv_name(), "classes": read_classes(folder)}


def _name_text(path, checksums):
    stated = stated_sha1(path)
    if stated is None:
        return ""
    return "as its name says" if checksums["sha1"].startswith(stated) else f"BUT ITS NAME SAYS {stated}"


def _faults_text(faults):
    more = f", and {len(faults) - 1} more arrays hold such" if len(faults) > 1 else ""
    return f"NO NETWORK HAS LEARNED THESE: {faults[0]}{more}" if faults else ""


def _fit_text(fit):
    if fit is None:
        return "no network known here"
    text = f"{fit.network}, {fit.classes} classes" if fit.classes else f"{fit.network} (backbone)"
    return text + (f", with other sizes of {len(fit.differing)} arrays: {fit.differing[0]}, …" if fit.differing else "")

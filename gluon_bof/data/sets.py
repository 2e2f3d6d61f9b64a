"""Opening a set by name or by folder."""
from __future__ import annotations

import os

from gluon_bof.data.coco import is_coco, load_coco, without_empty
from gluon_bof.data.images import unique_names
from gluon_bof.data.voc import is_voc, load_voc
from gluon_bof.errors import UserError

NAMES = ("shapes", "vocmini", "voc", "coco")
DRAWN = ("shapes", "vocmini")
DEFAULT_ROOTS = {"voc": os.path.join("~", ".mxnet", "datasets", "voc"),
                 "coco": os.path.join("~", ".mxnet", "datasets", "coco")}


def open_set(dataset, root, role, classes=None, on_bad_sample="error", split=None, unannotated="skip", skip_empty=False):
    """Read one part of a set -> DetectionSet.

    dataset: "shapes" or "vocmini" (made here), "voc" or "coco", or a folder, whose layout is then recognised by what lies in it.
    root: folder of a named set; None: GluonCV's place for it. role: "train" or "val"; classes, on_bad_sample, split and
    unannotated as in `load_voc` and `load_coco`. skip_empty: leave out images without a box to train on. Raises UserError
    for an unknown or missing set, and as the readers do."""
    if dataset in DRAWN:
        return _open_drawn(dataset, root, role, classes, split)
    layout, folder = _place(dataset, root, split)
    if layout == "voc":
        found = load_voc(folder, role, classes=classes, on_bad_sample=on_bad_sample, split=split, unannotated=unannotated)
    else:
        found = load_coco(folder, role, classes=classes, on_bad_sample=on_bad_sample, split=split)
    if skip_empty:
        found.records = without_empty(found.records)
        if not found.records:
            raise UserError("no image has a box to train on", folder, "leave --skip-empty out, or annotate the set")
    return found


def class_names(text):
    """Class names from the value of --classes: comma-separated, or a text file with one name a line.

    Raises UserError if there are none, one is there twice, or the file cannot be read."""
    if os.path.isfile(text) or ("," not in text and (os.path.splitext(text)[1] or os.sep in text)):
        names = _lines(text)
        if not names:
            raise UserError("the file names no class", text, "write one class name a line")
    else:
        names = text.split(",")
    return unique_names([" ".join(name.split()) for name in names if name.strip()])


def _lines(path):
    try:
        with open(path, encoding="utf-8-sig") as file:
            return [line for line in file.read().splitlines() if line.strip()]
    except FileNotFoundError:
        raise UserError("the file of class names does not exist", path,
                        "give names as --classes cat,dog, or a text file with one name a line") from None
    except (UnicodeDecodeError, IsADirectoryError):
        raise UserError("not a text file of class names", path, "write one class name a line, in UTF-8") from None


def _place(dataset, root, split=None):
    """(layout, folder) of a set. Raises UserError if there is no such set or folder."""
    if dataset in DEFAULT_ROOTS:
        folder = os.path.expanduser(root or DEFAULT_ROOTS[dataset])
        if not os.path.exists(folder):
            advice = f"unpack {'Pascal VOC 2007 and 2012' if dataset == 'voc' else 'COCO 2017'} there, or "
            raise UserError("the folder of the data set does not exist", folder,
                            f"{'' if root else advice}point --dataset-root at the data")
        return dataset, folder
    folder = os.path.expanduser(dataset)
    if not os.path.isdir(folder):
        raise UserError(f"no data set {dataset!r}", remedy=f"known are {', '.join(NAMES)}, and folders of VOC's or "
                                                           f"COCO's layout")
    if is_voc(folder):
        return "voc", folder
    if is_coco(folder, *(split or "").split(",")):
        return "coco", folder
    raise UserError("neither of VOC's layout (Annotations/*.xml) nor of COCO's (annotations/*train*.json)", folder,
                    "point at the folder that holds the annotations")


def _open_drawn(dataset, root, role, classes, split):
    from gluon_bof.data.shapes import load_shapes  # these draw the set when first used
    from gluon_bof.data.vocmini import load_vocmini

    if split and dataset == "shapes":
        raise UserError("the data set shapes has no splits to choose from", remedy="leave --split out")
    found = load_vocmini(role, root, split) if dataset == "vocmini" else load_shapes(role, root=root)
    if classes is not None and tuple(classes) != tuple(found.classes):
        raise UserError(f"the classes of the data set {dataset} are {', '.join(found.classes)}", remedy="leave --classes out")
    return found

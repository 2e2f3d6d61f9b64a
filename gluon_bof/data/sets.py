"""Opening a set by name or by folder."""
from __future__ import annotations

import hashlib
import os
import re
from numbers import Real
from typing import TYPE_CHECKING, Collection, Iterable

from gluon_bof.data.coco import coco_roles, coco_splits, is_coco, load_coco, without_empty
from gluon_bof.data.faults import TOLERANCES
from gluon_bof.data.labelme import labelme_files, load_labelme
from gluon_bof.data.layouts import Layout, labels_in, recognise, sniff, warn_of_no_part
from gluon_bof.data.names import class_names, refuse_no_text
from gluon_bof.data.parts import fifth, has_validation, is_held_out, require_role, role_of
from gluon_bof.data.voc import is_voc, load_voc, voc_annotations, voc_splits, voc_unlisted
from gluon_bof.data.voc_lists import is_of_one_class
from gluon_bof.data.yolo_txt import load_yolo
from gluon_bof.data.yolo_txt import parts_of as yolo_parts
from gluon_bof.errors import UserError, warn, warn_once
from gluon_bof.files import lies_in, refuse_unwritable
from gluon_bof.options.training import UNANNOTATED

if TYPE_CHECKING:
    from gluon_bof.boxes import DetectionSet

NAMES = ("shapes", "vocmini", "voc", "coco")
DRAWN = ("shapes", "vocmini")
WITH_MASKS = ("voc", "coco")  # layouts
# how what commands write of a set begins: pages, their numbers, anchors, detections, plots
_WRITTEN = re.compile(rb'<!DOCTYPE html|\{\s*"(about|anchors)"|\[\{"image_id"|\[\]$|\x89PNG.{,99}Matplotlib', re.DOTALL)
DEFAULT_ROOTS = {"voc": os.path.join("~", ".mxnet", "datasets", "voc"),
                 "coco": os.path.join("~", ".mxnet", "datasets", "coco")}


def open_set(dataset: str, root: str | None, role: str, classes: Iterable[str] | None = None, on_bad_sample: str = "error",
             split: str | None = None, unannotated: str = "skip", skip_empty: bool = False, layout: str = "auto",
             val_share: float = 0.0, masks: bool = False) -> DetectionSet:
    """Read one part of a set -> DetectionSet.

    dataset: "shapes" or "vocmini" (made here), "voc" or "coco", or a folder, whose layout is then recognised by what lies in it,
    or a YAML file of YOLO's. root: folder of a named set; None: GluonCV's place for it. role: "train" or "val"; classes,
    on_bad_sample, split and unannotated as in `load_voc` and `load_coco`. skip_empty: leave out images without a box to train on.
    layout: one of `layouts.LAYOUTS` where a folder may have two. val_share: in (0, 1), the share of the images that validate
    where the set has no part to validate on, chosen by a hash of their bytes; 0: as the layout does without. masks: with a mask
    of each box, from VOC's or COCO's layout or the drawn "shapes". Raises UserError for a set without them, for an unknown or
    missing set, for a val_share of a split that is named, for layout and val_share of a drawn set, and as the readers do."""
    _require_known(role, on_bad_sample, unannotated, val_share, split)
    classes = None if classes is None else class_names(classes)
    warn_of_namesake(dataset, root, NAMES)
    if dataset in DRAWN:
        if val_share or layout != "auto":
            flag, none = ("--val-share", 0) if val_share else ("--layout", "auto")
            raise UserError(f"{flag} is of a folder's set, and {dataset} is drawn, with parts to train and to validate on",
                            remedy=f"leave it out, or give {flag} {none}")
        where, found = dataset, _open_drawn(dataset, root, role, classes, split, masks)
    else:
        place = _place(dataset, root, split, layout)
        where = place.folder
        shares = _is_shared_out(place, role, classes, split, val_share)
        if role == "train" and not split:
            warn_of_no_part(place)
        found = _read(place, "train" if shares else role, classes, on_bad_sample, split, unannotated, shares, masks)
        if shares:
            _keep_share(found, role, val_share, place.folder)
        found.layout, found.folder = str(place), place.folder
        found.unnamed = place.name == "yolo" and not place.file
        refuse_no_text(found.classes, place.folder)
    if skip_empty:
        found.records = without_empty(found.records)
        if not found.records:
            raise UserError("no image has a box to train on", where, "leave --skip-empty out, or annotate the set")
    return found


def _require_known(role, on_bad_sample, unannotated, val_share, split):
    require_role(role)
    for flag, value, known in (("--on-bad-sample", on_bad_sample, TOLERANCES), ("--unannotated", unannotated, UNANNOTATED)):
        if value not in known:
            raise UserError(f"{flag} cannot be {value!r}", remedy=f"choose one of {', '.join(known)}")
    if not isinstance(val_share, Real) or not 0 <= val_share < 1:
        raise UserError(f"--val-share {val_share!r} is outside [0, 1)", remedy="0.2 is usual")
    if not isinstance(split, (str, type(None))):
        raise UserError(f"split cannot be {split!r}", remedy="give a text, several names comma-separated")


def refuse_output(path: str, found: DetectionSet, reads: Iterable[str | None] = ()) -> None:
    """Raise UserError as `refuse_unwritable` does, and where a file among the set's would be replaced that no command wrote
    there: it may be of another part, or a list."""
    refuse_unwritable(path, reads=found.files.union(reads))
    if os.path.isfile(path) and _lies_among(path, found):
        with open(path, "rb") as file:
            is_written = _WRITTEN.match(file.read(1024))
        if not is_written:
            raise UserError("this file lies in the set's folder, and would be replaced", path, "give another name, or remove it")


def _lies_among(path, found):
    """Whether a path is in or below the set's folder, or right beside files of it that lie elsewhere: below those, as of images
    in a home folder, anything may be."""
    return bool(found.folder) and lies_in(path, found.folder) or \
        os.path.realpath(os.path.dirname(path)) in map(os.path.realpath, found.folders)


def set_mark(found: DetectionSet) -> str:
    """A checksum of what a set asks of a network: classes, images and their sizes, ground truth. Pixels are not in it, so that a
    broken image may be replaced."""
    digest = hashlib.sha256(repr(tuple(found.classes)).encode())
    for record in found.records:
        digest.update(repr((record.image_id, record.width, record.height)).encode())
        digest.update(record.truth().tobytes())
        if record.masks is not None:
            digest.update(record.masks.tobytes())
    return digest.hexdigest()


def split_names(dataset: str, root: str | None = None, layout: str = "auto",
                classes: Iterable[str] | None = None) -> tuple[set[str], tuple[str, ...], Layout]:
    """(roles that files or folders make, names of the parts as `split` takes them, the Layout) of a set; none where it has
    none. roles: of train, val and test."""
    place = _place(dataset, root, None, layout)
    roles = _splits(place, None if classes is None else class_names(classes))
    names = roles
    if place.name == "coco" and roles:  # other JSON may lie there
        names = tuple(name for name, path in coco_splits(place.folder).items() if role_of(name) or sniff(path) == "coco")
    return {role for name in roles for role in (("train", "val") if name == "trainval" else (role_of(name),))}, names, place


def annotations_of(place: Layout, split: str | None = None) -> set[str]:
    """Real paths of the files of a set's annotations, one an image, whether or not a part has the image; none of COCO's layout.
    split: of VOC's lists one, whose alone are wanted."""
    if place.name == "voc":
        found = voc_annotations(place.folder, place.parts, split)
    elif place.name == "labelme":
        found = labelme_files(place)
    else:
        found = labels_in(place.folder) if place.name == "yolo" else ()
    return set(map(os.path.realpath, found))


def annotated_in(found: DetectionSet) -> set[str]:
    """Real paths of the files that annotate a part's images, and of those whose fault took the image."""
    return {os.path.realpath(record.source) for record in found.records} | \
        {os.path.realpath(fault.annotation or fault.path) for fault in found.faults}


def left_out(count: int, of: str) -> str:
    """What is to know of so many images that are in no part."""
    return f"{count} images with annotations were left out, which are in no {of}"


def unlisted(parts: Iterable[DetectionSet]) -> str | None:
    """What is to know where images of a set of VOC's layout that has lists are in none of them, such as those that came later;
    None where there is no such image. parts: those of the set that were read."""
    parts = list(parts)
    if not parts[0].folder or not parts[0].origin:  # a drawn set, or another layout
        return None
    place = recognise(parts[0].folder, "voc")
    left = set(map(os.path.realpath, voc_unlisted(place.folder, place.parts))).difference(*map(annotated_in, parts))
    return f"{left_out(len(left), 'list of ImageSets/ or its Main/')}, such as {min(left)}" if left else None


def _read(place, role, classes, on_bad_sample, split, unannotated, whole, masks):
    """One part of a set of a known layout. whole: where no split is told, all images train."""
    how = dict(classes=classes, on_bad_sample=on_bad_sample, split=split)
    if place.name in WITH_MASKS:
        how["masks"] = masks
    elif masks:
        raise UserError(f"no masks are read from {place.name}'s layout, which this set has", place.folder,
                        "export it in COCO's layout, or VOC's with SegmentationObject")
    if place.name == "voc":
        return load_voc(place.folder, role, unannotated=unannotated, parts=place.parts, whole=whole, **how)
    if place.name == "yolo":
        return load_yolo(place, role, whole=whole, **how)
    if place.name == "labelme":
        return load_labelme(place, role, whole=whole, unannotated=unannotated, **how)
    if split or not place.file or (not whole and _is_named_part(place.file)):
        return load_coco(place.folder, role, **how)
    found = load_coco(place.file, role, **how)
    if not whole:
        found.records = fifth(found.records, role, place.folder)
    return found


def _is_named_part(path):
    """Whether a lone JSON is one of the several that CVAT makes, one a subset, and is to be named."""
    folder, name = os.path.split(path)
    return os.path.basename(folder).lower() == "annotations" or name.startswith("instances_")


def _splits(place, classes):
    if place.name == "voc":
        return voc_splits(place.folder, place.parts)
    if place.name == "coco":
        return () if place.file else coco_roles(place.folder)
    if place.name == "yolo":
        return yolo_parts(place, classes)
    return tuple(dict.fromkeys(part.split for part in place.parts if part.split))


def _validates(place, classes, split):
    """Whether a set has a part to validate on; VOC's lists of single classes, such as VoTT's cat_val, are none, but where a split
    is named."""
    return has_validation(name for name in _splits(place, classes) if split or place.name != "voc" or not is_of_one_class(name))


def _is_shared_out(place, role, classes, split, val_share):
    """Whether the images are to be shared out. Raises UserError where a split is named that would be."""
    if not val_share:
        return False
    validates = _validates(place, classes, split)
    if split and not validates:
        raise UserError(f"--val-share {val_share:g} shares out the images of a whole set, and its split {split!r} is named, all "
                        "of which is one part", place.folder, "leave one of the two out, or name a split to train on and another "
                                                              "to validate on")
    if validates and role == "val" and not split:
        warn(f"{place.folder} has a part to validate on: --val-share {val_share:g} does nothing")
    return not validates


def _keep_share(found, role, val_share, folder):
    """Keep the images of a role, by the hash of their bytes. Those without an annotation that are left out are of no role, and
    counted with those that train."""
    count = len(found.records)
    found.records = [record for record in found.records if is_held_out(record.path, val_share) == (role == "val")]
    if found.negatives_of_unannotated:
        kept = {record.path for record in found.records}
        found.unannotated = [path for path in found.unannotated if path in kept]
    elif role == "val":
        found.unannotated = []
    if not found.records:
        raise UserError(f"--val-share {val_share:g} leaves none of {count} images to "
                        f"{'train' if role == 'train' else 'validate'} on", folder, "choose another share")


def _place(dataset, root, split=None, layout="auto"):
    """The Layout of a set. Raises UserError if there is no such set or folder."""
    if dataset in DEFAULT_ROOTS:
        folder = os.path.expanduser(root or DEFAULT_ROOTS[dataset])
        if not os.path.exists(folder):
            advice = f"unpack {'Pascal VOC 2007 and 2012' if dataset == 'voc' else 'COCO 2017'} there, or "
            raise UserError("the folder of the data set does not exist", folder,
                            f"{'' if root else advice}point --dataset-root at the data")
        if layout not in ("auto", dataset):
            raise UserError(f"--dataset {dataset} and --layout {layout} are two layouts", folder,
                            f"give the folder itself: --dataset {folder}")
        return _named_place(dataset, folder)
    folder = os.path.expanduser(dataset)
    if os.path.exists(folder):
        refuse_root(dataset, root)
    if os.path.isfile(folder) and folder.lower().endswith((".yaml", ".yml")) and layout in ("auto", "yolo"):
        return Layout("yolo", os.path.dirname(os.path.abspath(folder)), "it is a YAML file", file=folder)
    if not os.path.isdir(folder):
        raise UserError(f"no data set {dataset!r}", remedy=f"known are {', '.join(NAMES)}, and folders of VOC's, COCO's, YOLO's "
                                                           f"or LabelMe's layout")
    return recognise(folder, layout, split)


def refuse_root(dataset: str, root: str | None) -> None:
    """Raise UserError where a root is given of a set that does not lie in one: a folder of its own, or drawn."""
    if root:
        raise UserError(f"--dataset-root {root} says nothing of the set {dataset!r}",
                        remedy="leave it out, or give --dataset-root ''; of a folder the path itself is --dataset")


def warn_of_namesake(dataset: str, root: str | None, named: Collection[str]) -> None:
    """Warn where a set's name, one of those, is a folder's here, too, which may be meant."""
    if dataset in named and not root and os.path.isdir(dataset):
        place = os.path.join(os.curdir, dataset)
        warn_once(f"--dataset {dataset} is the set of that name, and not the folder {place}: write {place} if that is meant")


def _named_place(name, folder):
    """--dataset voc or coco says what the folder is; variants of the layout are looked for where it is not the usual one."""
    told = Layout(name, folder, f"--dataset {name} says so")
    if not os.path.isdir(folder) or (is_voc(folder) if name == "voc" else is_coco(folder)):
        return told
    try:
        return recognise(folder, name)
    except UserError:
        return told  # whose reader says what it wants


def _open_drawn(dataset, root, role, classes, split, masks):
    from gluon_bof.data.shapes import load_shapes, part_of  # these draw the set when first used
    from gluon_bof.data.vocmini import load_vocmini

    places = slice(None)
    if split and dataset == "shapes":
        role, places = part_of(split)
    found = load_vocmini(role, root, split, masks) if dataset == "vocmini" else load_shapes(role, root=root, masks=masks)
    if classes is not None and tuple(classes) != tuple(found.classes):
        raise UserError(f"the classes of the data set {dataset} are {', '.join(found.classes)}", remedy="leave --classes out")
    found.records = found.records[places]
    return found

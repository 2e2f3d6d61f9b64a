"""COCO's average precision, by pycocotools' COCOeval on boxes; and detections in COCO's result format."""
from __future__ import annotations

import contextlib
import dataclasses
import json
import threading
from typing import TYPE_CHECKING, Any, Sequence

import numpy as np
from pycocotools import coco, cocoeval
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from gluon_bof.data.coco import as_id, category_ids, id_order, read_area, read_box, turned_by
from gluon_bof.data.faults import fit_turned, is_normalised
from gluon_bof.data.fields import load_json
from gluon_bof.errors import UserError
from gluon_bof.evaluation.matching import check_lengths
from gluon_bof.files import write_atomically
from gluon_bof.masks import area, as_coco, as_json, of_segmentation

if TYPE_CHECKING:
    from gluon_bof.boxes import Detections, DetectionSet

_NAMES = ("AP", "AP50", "AP75", "APs", "APm", "APl", "AR1", "AR10", "AR100", "ARs", "ARm", "ARl")
_IN_NO_RANGE = -1.0  # an area that is below every range of COCOeval
_this_thread = threading.local()


def _print_unless_silent(*words, **how):
    if not getattr(_this_thread, "is_silent", False):
        print(*words, **how)


# what pycocotools tells of its progress; sys.stdout, which could be put aside, is that of all threads
coco.print = cocoeval.print = _print_unless_silent


def coco_average_precision(detections: Sequence[Detections], detection_set: DetectionSet) -> dict[str, Any]:
    """COCOeval's twelve numbers by their names (AP, AP50, AP75, APs, APm, APl, AR1, AR10, AR100, ARs, ARm, ARl) and
    "per_class", [AP of each class]: fractions, NaN where there is no ground truth.

    detections: [Detections] in the order of detection_set.records. The ground truth is annotation_file (its areas are
    those of the outlines), for the records' images and the set's classes; without one it is the records'.
    Raises ValueError if detections and records differ in number, UserError if annotation_file can't be read."""
    (result, _), = _scores(detections, detection_set, "bbox")
    return result


def mask_average_precision(detections: Sequence[Detections], detection_set: DetectionSet) -> dict[str, Any]:
    """The same of masks, by COCOeval's "segm": also "per_class_50", [AP at an IoU of 0.5 of each class].

    The ground truth is annotation_file's or the records', which have masks. Raises as `coco_average_precision` does."""
    of_masks, = _scores(detections, detection_set, "segm")
    return _with_half(*of_masks)


def box_and_mask_average_precision(detections: Sequence[Detections],
                                   detection_set: DetectionSet) -> tuple[dict[str, Any], dict[str, Any]]:
    """What `coco_average_precision` and `mask_average_precision` give, for which annotation_file is read once."""
    (of_boxes, _), of_masks = _scores(detections, detection_set, "bbox", "segm")
    return of_boxes, _with_half(*of_masks)


def _with_half(result, precision):
    return {**result, "per_class_50": [_mean_of_known(of_class) for of_class in precision[0].T]}


def _scores(detections, detection_set, *kinds):
    """[({name: number, "per_class": [AP of each class]}, precision (IoU, recall, class))] of the kinds, "bbox" and "segm"."""
    check_lengths(detections, detection_set.records)
    detections, detection_set = _by_id(detections, detection_set)
    records = detection_set.records
    # Images and classes are numbered anew, from 1, and annotations too: the JSON's ids may be text, and COCOeval
    # takes a box with the id 0 for one that nothing found.
    images, classes = range(1, len(records) + 1), range(1, len(detection_set.classes) + 1)
    truths = _truths(detection_set, kinds)
    rows = [dict(row, area=row["bbox"][2] * row["bbox"][3]) for row in _result_rows(detections, images, classes)]
    found = {"bbox": rows}
    if "segm" in kinds:
        found["segm"] = [dict(row, **_coded(mask, record)) for row, mask, record in _with_masks(detections, records, rows)]
    evaluated = [_evaluated(truths[kind], found[kind], records, classes, kind) for kind in kinds]
    return [({**result, "per_class": [_mean_of_known(precision[:, :, index - 1]) for index in classes]}, precision)
            for result, precision in evaluated]


def _truths(detection_set, kinds):
    """{kind: the ground truth as COCO's annotations}; a JSON's are the same of all kinds."""
    records = detection_set.records
    if not detection_set.annotation_file:
        readers = {"bbox": _from_records, "segm": _masks_from_records}
        return {kind: readers[kind](records) for kind in kinds}
    # an annotation whose mask is malformed is none where masks were read
    masks = "segm" in kinds or any(record.masks is not None for record in records)
    return dict.fromkeys(kinds, _from_json(detection_set, masks))


def _by_id(detections, detection_set):
    """The same in the order of the JSON's image ids, by which COCOeval counts detections of one score. Without a JSON there are
    no ids but the order."""
    if not detection_set.annotation_file:
        return detections, detection_set
    order = sorted(range(len(detections)), key=lambda number: id_order(detection_set.records[number].image_id))
    records = [detection_set.records[number] for number in order]
    return [detections[number] for number in order], dataclasses.replace(detection_set, records=records)


def _with_masks(detections, records, rows):
    """(row, mask, record) of each detection of all images."""
    places = ((mask, record) for of_image, record in zip(detections, records) for mask in of_image.masks)
    return ((row, *place) for row, place in zip(rows, places))


def _coded(mask, record):
    """{"segmentation", "area" in pixels} of a mask, as COCO's annotations have them."""
    size = record.height, record.width
    return {"segmentation": as_coco([mask], size)[0], "area": float(area([mask], size)[0])}


@contextlib.contextmanager
def _silence():
    """pycocotools prints nothing in this thread."""
    _this_thread.is_silent = True
    try:
        yield
    finally:
        _this_thread.is_silent = False


def _evaluated(truth, found, records, classes, kind):
    """({name: number}, precision (IoU, recall, class)) by COCOeval, of "bbox" or "segm"."""
    with _silence():  # standard output belongs to the scripts' one JSON line
        evaluation = COCOeval(_index(truth, records, classes), _index(found, records, classes), kind)
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    result = {name: float(value) if value > -1 else np.nan for name, value in zip(_NAMES, evaluation.stats)}
    # of (IoU, recall, class, area, detections an image): all areas, 100 detections
    return result, evaluation.eval["precision"][:, :, :, 0, -1]


def save_detections(path: str, detections: Sequence[Detections], detection_set: DetectionSet) -> None:
    """Write detections as COCO's result JSON: a list of image_id, category_id, bbox [x, y, width, height], score, and where
    there are masks segmentation, in compressed run lengths.

    The ids are annotation_file's; without one the records' image_id and the class's number, counted from 1.
    Raises ValueError if detections and records differ in number, UserError if path can't be written."""
    check_lengths(detections, detection_set.records)
    image_ids = [record.image_id for record in detection_set.records]
    classes = category_ids(detection_set) if detection_set.annotation_file else range(1, len(detection_set.classes) + 1)
    rows = list(_result_rows(detections, image_ids, classes))
    if any(found.masks is not None for found in detections):
        for row, mask, record in _with_masks(detections, detection_set.records, rows):
            row["segmentation"] = as_json(mask, (record.height, record.width))
    write_atomically(path, json.dumps(rows, separators=(",", ":")).encode())


def _result_rows(detections, image_ids, ids_of_classes):
    """COCO's results, one dict a detection, in the order of the images."""
    for image_id, found in zip(image_ids, detections):
        boxes = np.asarray(found.boxes, np.float64).reshape(-1, 4)
        # COCOeval counts a box that is not a number as a hit; one without area is the miss that it should be
        boxes = np.where(np.isfinite(boxes).all(axis=1, keepdims=True), boxes, 0)
        scores = np.nan_to_num(np.asarray(found.scores, np.float64))
        for box, index, score in zip(_xywh(boxes), found.classes.tolist(), scores.tolist()):
            yield {"image_id": image_id, "category_id": ids_of_classes[index], "bbox": box, "score": score}


def _xywh(boxes):
    """(M, 4) corner boxes -> [[x, y, width, height], ...]. COCO measures edges: no pixel is added as VOC does."""
    boxes = np.asarray(boxes, np.float64)
    return np.hstack([boxes[:, :2], boxes[:, 2:] - boxes[:, :2]]).tolist()


def _from_records(records):
    """The records' boxes as COCO's annotations."""
    annotations = []
    for number, record in enumerate(records, 1):
        for box, index, difficult, crowd in zip(_xywh(record.boxes), record.classes.tolist(), record.difficult,
                                                record.crowd):
            # COCOeval overwrites "ignore" by iscrowd, and iscrowd would let a difficult box swallow every small
            # detection inside it. What it ignores without that is a box whose area is out of range, in every range.
            area = _IN_NO_RANGE if difficult else box[2] * box[3]
            annotations.append({"image_id": number, "category_id": index + 1, "bbox": box, "area": area,
                                "iscrowd": int(crowd)})
    return annotations


def _masks_from_records(records):
    """The records' masks as COCO's annotations; see `_from_records`."""
    annotations = []
    for row, mask, record in _with_masks(records, records, _from_records(records)):
        coded = _coded(mask, record)
        if row["area"] == _IN_NO_RANGE:
            del coded["area"]
        annotations.append({**row, **coded})
    return annotations


def _from_json(detection_set, masks=False):
    """The JSON's annotations of the records' images and the set's classes, but for the malformed ones, which the
    reader has reported or the user asked to skip; a box that reaches out by more than it should is cut, as the reader cuts it.
    masks: with their segmentations, too."""
    numbers = {record.image_id: number for number, record in enumerate(detection_set.records, 1)}
    classes = {category_id: index for index, category_id in enumerate(category_ids(detection_set), 1)}
    annotations = []
    for entry in _read_annotations(detection_set.annotation_file):
        try:
            number, index = numbers[as_id(entry["image_id"])], classes[as_id(entry["category_id"])]
            record = detection_set.records[number - 1]
            bbox, area, crowd = _sound_box(entry, record)
            size = record.height, record.width
            coded = as_coco([of_segmentation(entry.get("segmentation"), size)], size)[0] if masks else None
        except (KeyError, TypeError, ValueError):  # of another image or class, or malformed
            continue
        annotations.append({"image_id": number, "category_id": index, "bbox": bbox, "area": area, "iscrowd": int(crowd),
                            **({"segmentation": coded} if masks else {})})
    return annotations


def _sound_box(entry, record):
    """(bbox, area, crowd) of an annotation, as they are written where they are sound. Raises ValueError for what the
    reader leaves out."""
    corners, crowd = read_box(entry)
    if is_normalised(corners, record.width, record.height):
        raise ValueError("in 0..1")
    degrees = turned_by(entry)
    cut, fault = fit_turned(corners, degrees, record.width, record.height, "")
    if cut is None:
        raise ValueError(fault[0])
    if not fault and (not degrees % 360 or cut == corners):
        return [float(side) for side in entry["bbox"]], read_area(entry), crowd
    bbox, = _xywh([cut])
    return bbox, min(read_area(entry), bbox[2] * bbox[3]), crowd


def _read_annotations(path):
    try:
        return load_json(path)["annotations"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        reason = getattr(error, "strerror", None) or error
        raise UserError(f"the annotations cannot be read any more ({reason})", path, "put the file back") from None


def _index(annotations, records, classes):
    """pycocotools' index of annotations, which get their ids here."""
    index = COCO()
    index.dataset = {"images": [{"id": number, "height": record.height, "width": record.width}
                                for number, record in enumerate(records, 1)],
                     "categories": [{"id": number} for number in classes],
                     "annotations": [dict(entry, id=number) for number, entry in enumerate(annotations, 1)]}
    index.createIndex()
    return index


def _mean_of_known(precision):
    """Mean of what COCOeval has not marked as absent by -1; NaN if all is."""
    known = precision[precision > -1]
    return float(known.mean()) if known.size else np.nan

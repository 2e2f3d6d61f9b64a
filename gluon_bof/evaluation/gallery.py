"""Thumbnails of a page: the part of an image that matters, with what the network found and what the labels say."""
from __future__ import annotations

from typing import Sequence

import cv2
import numpy as np
from PIL import Image, ImageDraw

from gluon_bof.boxes import Detections, DetectionSet, Record, area
from gluon_bof.data.images import read_image
from gluon_bof.errors import UserError
from gluon_bof.evaluation.curves import lowest_overlaps, nearest
from gluon_bof.evaluation.errors import HIT, KINDS
from gluon_bof.evaluation.matching import ImageMatch
from gluon_bof.evaluation.page import jpeg_of

THUMBNAILS = 12
SIDE = 360  # pixels of a thumbnail's longer side
MOST_ENLARGED = 3
AROUND = 3  # a thumbnail's view is so many times its box
LEAST_SEEN = 0.4  # of the image's shorter side
FOUND, LABELLED = (213, 94, 0), (0, 158, 115)  # colours that most eyes tell apart
WHY = {"classification": "wrong class", "localisation": "badly placed", "both": "wrong class, badly placed",
       "duplicate": "found twice", "background": "nothing labelled here"}


def worst_images(matches: Sequence[ImageMatch], detections: Sequence[Detections], detection_set: DetectionSet,
                 kinds: Sequence[np.ndarray], score: float) -> dict[str, list[dict]]:
    """{"false_positives", "missed", "loose"}: lists of dicts of what went worst, without their thumbnails.

    kinds: of `errors.Errors`. score: from which a detection counts as shown, in the last two."""
    records, names = detection_set.records, detection_set.classes
    return {"false_positives": _false_positives(matches, detections, records, names, kinds),
            "missed": _missed(matches, records, names, score),
            "loose": _loose(matches, detections, records, names, score)}


def thumbnail(entry: dict, records: Sequence[Record]) -> str | None:
    """Data URI of an entry's thumbnail; None where its image cannot be read any more."""
    record = records[entry["index"]]
    try:
        image = read_image(record.path, record.orientation)
    except UserError:
        return None
    return jpeg_of(draw_thumbnail(image, entry.get("found"), entry.get("labelled"), record.boxes))


def draw_thumbnail(image: np.ndarray, found: Sequence[float] | None, labelled: Sequence[float] | None,
              others: Sequence[Sequence[float]] = ()) -> np.ndarray:
    """(h, w, 3) uint8: the surroundings of a box that was found, or labelled, or both; the other labels are thin lines."""
    boxes = np.array([box for box in (found, labelled) if box is not None], float)
    left, top, right, bottom = _view(image.shape, np.concatenate([boxes[:, :2].min(axis=0), boxes[:, 2:].max(axis=0)]))
    seen = image[top:bottom, left:right]
    scale = min(SIDE / max(seen.shape[:2]), MOST_ENLARGED)
    size = [max(1, round(side * scale)) for side in seen.shape[1::-1]]
    canvas = Image.fromarray(cv2.resize(np.ascontiguousarray(seen), size,
                                       interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR))
    pen = ImageDraw.Draw(canvas)
    for box, colour, width in [(other, LABELLED, 1) for other in others] + [(labelled, LABELLED, 3), (found, FOUND, 3)]:
        if box is not None:
            corners = (np.asarray(box, float) - (left, top, left, top)) * scale
            _outline(pen, corners, colour, width)
    return np.asarray(canvas)


def _outline(pen, corners, colour, width):
    """A rectangle on a dark rim, so that it shows on any ground."""
    left, top, right, bottom = corners
    right, bottom = max(left, right - 1), max(top, bottom - 1)
    if width > 1:
        pen.rectangle((left - 1, top - 1, right + 1, bottom + 1), outline=(0, 0, 0), width=width + 2)
    pen.rectangle((left, top, right, bottom), outline=colour, width=width)


def _view(shape, box):
    """(left, top, right, bottom) of the part of an image (H, W, …) to show around a box, within the image."""
    height, width = shape[:2]
    side = max(AROUND * max(box[2] - box[0], box[3] - box[1]), LEAST_SEEN * min(height, width))
    edges = []
    for low, high, limit in ((box[0], box[2], width), (box[1], box[3], height)):
        span = min(side, limit)
        start = min(max((low + high - span) / 2, 0), limit - span)
        edges.append((int(start), max(int(start) + 1, int(round(start + span)))))
    return edges[0][0], edges[1][0], edges[0][1], edges[1][1]


def _false_positives(matches, detections, records, names, kinds):
    worst = []
    for index, (match, found) in enumerate(zip(matches, detections)):
        drawable = np.isfinite(found.boxes[match.rows]).all(axis=1)
        wrong = match.rows[(match.claimed < 0) & ~match.excused & drawable]
        worst += [(-float(found.scores[row]), index, int(row)) for row in wrong if kinds[index][row] != HIT]
    entries = []
    for _, index, row in sorted(worst)[:THUMBNAILS]:
        found, record, kind = detections[index], records[index], KINDS[kinds[index][row]]
        entry = dict(_about(record, index), kind=kind, score=float(found.scores[row]), overlap=0.0,
                     **{"class": names[found.classes[row]]}, found=found.boxes[row].tolist())
        place, overlap = _meant(kind, found.boxes[row], found.classes[row], record)
        said = f"{entry['class']} {entry['score']:.2f}: {WHY[kind]}"
        if place >= 0:
            entry.update(labelled=record.boxes[place].tolist(), overlap=overlap, label=names[record.classes[place]])
            said += f", on a {entry['label']} (IoU {overlap:.2f})"
        entries.append(dict(entry, said=said))
    return entries


def _meant(kind, box, label, record):
    """(place of the labelled box that an error is about, or -1; their IoU)."""
    of_kind = {"classification": record.classes != label, "both": record.classes != label, "background": record.classes < 0}
    candidates = np.flatnonzero(of_kind.get(kind, record.classes == label))
    place, overlap = nearest(box, record.boxes[candidates])
    return (int(candidates[place]), overlap) if place >= 0 else (-1, 0.0)


def _missed(matches, records, names, score):
    worst = []
    for index, (match, record) in enumerate(zip(matches, records)):
        unfound = np.setdiff1d(np.arange(len(match.truths)), match.claimed[match.scores >= score])
        worst += [(-float(area(record.boxes[place:place + 1])[0]), index, int(place)) for place in match.truths[unfound]]
    entries = []
    for size, index, place in sorted(worst)[:THUMBNAILS]:
        record = records[index]
        name = names[record.classes[place]]
        width, height = record.boxes[place][2:] - record.boxes[place][:2]
        entries.append(dict(_about(record, index), **{"class": name}, labelled=record.boxes[place].tolist(), area=-size,
                            said=f"{name}, {width:.0f} × {height:.0f} pixels, not found"))
    return entries


def _loose(matches, detections, records, names, score):
    entries = []
    for overlap, index, row, place in lowest_overlaps(matches, score)[:THUMBNAILS]:
        found, record = detections[index], records[index]
        name = names[found.classes[row]]
        entries.append(dict(_about(record, index), **{"class": name}, overlap=overlap, score=float(found.scores[row]),
                            found=found.boxes[row].tolist(), labelled=record.boxes[place].tolist(),
                            said=f"{name} {found.scores[row]:.2f}: IoU {overlap:.2f}"))
    return entries


def _about(record, index):
    return {"index": index, "image": str(record.image_id), "path": record.path}

"""Where detections go: JSON in COCO's format, CSV, drawn images and videos."""
from __future__ import annotations

import io
import json
import os
from typing import TYPE_CHECKING, Callable, Sequence

from gluon_bof.boxes import BoxEnds
from gluon_bof.data.coco import COCO_IDS
from gluon_bof.errors import UserError
from gluon_bof.files import csv_text, prepare_folder, refuse_no_utf8, refuse_too_long, unfinished_beside, utf8, write_atomically
from gluon_bof.inference.sources import OF_IMAGES, refuse_foreign
from gluon_bof.masks import as_json

if TYPE_CHECKING:
    import numpy as np

    from gluon_bof.inference.model import Prediction

COLUMNS = ("image_id", "file_name", "category_id", "category_name", "x", "y", "width", "height", "score", "frame", "seconds")
OPENER = "OpenCV opens no video"  # but ends the process
CODECS = ((".mp4", "mp4v"), (".avi", "MJPG"))  # the second where this OpenCV cannot write the first


def write_drawn(path: str, image: np.ndarray) -> None:
    """Write a drawn image (H, W, 3) uint8 RGB, and the folder that it lies in: a PNG where the path ends so, else a JPEG. Raises
    UserError where it cannot be written."""
    from PIL import Image

    file = io.BytesIO()
    os.makedirs(os.path.dirname(path), exist_ok=True)
    kind = {"format": "PNG"} if path.endswith(".png") else {"format": "JPEG", "quality": 95}
    Image.fromarray(image).save(file, **kind)
    write_atomically(path, file.getvalue(), lasting=False)


def no_address(path: str) -> str:
    """A path that FFmpeg takes for one, though a colon stands in it: it takes what stands before for a protocol."""
    return os.path.join(os.curdir, path)


class VideoFile:
    """A video that appears whole, by `keep`, or not at all: at its path, or where this OpenCV cannot write it, with the next of
    CODECS' endings. Codecs want even sides: an odd one gets its last row or column twice.

    Raises UserError where it cannot be written, and where a file of that other name is there which stays(path) holds."""

    def __init__(self, path, rate, shape, stays: Callable[[str], bool] = os.path.lexists):
        import cv2

        stem = os.path.splitext(path)[0]
        refuse_no_utf8(path, OPENER)
        self.margin = shape[0] % 2, shape[1] % 2
        self.written = 0
        self.size = shape[1] + self.margin[1], shape[0] + self.margin[0]
        for ending, codec in CODECS:
            self.path = stem + ending
            if self.path != path and stays(self.path):
                raise UserError(f"OpenCV cannot write it, and as {ending} it would replace a file that is there", path,
                                "choose another folder: --out")
            refuse_too_long(self.path, "it is its source's: rename that")
            self.unfinished = no_address(unfinished_beside(stem, ending))
            self.writer = cv2.VideoWriter(self.unfinished, cv2.VideoWriter_fourcc(*codec), rate, self.size)
            if self.writer.isOpened():
                return
        raise UserError("the video cannot be written", self.path, "choose another --out, with room")

    def write(self, image: np.ndarray) -> None:
        """One frame (H, W, 3) uint8 RGB."""
        import cv2

        frame = cv2.cvtColor(image, cv2.COLOR_RGB2BGR)
        if any(self.margin):
            frame = cv2.copyMakeBorder(frame, 0, self.margin[0], 0, self.margin[1], cv2.BORDER_REPLICATE)
        if frame.shape[1::-1] != self.size:  # of which OpenCV would write nothing, and say nothing
            frame = cv2.resize(frame, self.size)
        self.writer.write(frame)
        self.written += 1

    def keep(self) -> None:
        """Give the file its name. Raises UserError where not all of it could be written, as on a full disk, of which OpenCV says
        nothing; what has the name stays."""
        self.writer.release()
        if _frames_in(self.unfinished) < self.written:
            raise UserError("the video cannot be written", self.path, "make room or choose another place; what was there before "
                                                                      "is kept")
        os.replace(self.unfinished, self.path)

    def discard(self) -> None:
        """Remove what was not kept."""
        self.writer.release()
        if os.path.exists(self.unfinished):
            os.unlink(self.unfinished)


def _frames_in(path):
    """How many frames of a video can be read."""
    import cv2

    video = cv2.VideoCapture(path)
    frames = 0
    while video.grab():
        frames += 1
    video.release()
    return frames


class DetectionWriter:
    """The rows of detections.json and detections.csv, and the images and categories that they mean, for images.json.
    Categories have COCO's numbers where the classes are COCO's, else numbers from 1, in the order of the model's classes.
    box_ends: of the boxes that come."""

    def __init__(self, model, box_ends=BoxEnds.EDGE):
        from gluon_bof.weights.zoo import CLASSES

        of_coco = sorted(model.classes) == sorted(CLASSES["coco"])
        names, ids = (CLASSES["coco"], COCO_IDS) if of_coco else (model.classes, range(1, len(model.classes) + 1))
        self.categories = dict(zip(names, ids))
        self.ends = box_ends
        self.images = []
        self.rows = []

    def add(self, path: str, shape: Sequence[int], prediction: Prediction, frame: int | None = None,
            seconds: float | None = None) -> None:
        """The detections of one more image of a shape (H, W, 3), or of a video's frame, from 0, at so many seconds; masks are run
        lengths."""
        place = {} if frame is None else {"frame": frame, "seconds": round(seconds, 3)}
        image_id = len(self.images) + 1
        self.images.append({"id": image_id, "file_name": path, "width": shape[1], "height": shape[0], **place})
        boxes = self.ends.as_edges(prediction).boxes.tolist()
        for (left, top, right, bottom), name, score in zip(boxes, prediction.names, prediction.scores.tolist()):
            bbox = [round(side, 3) for side in (left, top, right - left, bottom - top)]
            self.rows.append({"image_id": image_id, "file_name": path, "category_id": self.categories[name],
                              "category_name": name, "bbox": bbox, "score": round(score, 6), **place})
        masks = getattr(prediction, "masks", None)
        if masks is not None:
            for row, mask in zip(self.rows[len(self.rows) - len(masks):], masks):
                row["segmentation"] = as_json(mask, shape[:2])

    def begin(self, folder: str) -> None:
        """Write the three files, as yet empty, where the folder has none, so that it is known as one of predictions should this
        one be cut off. Raises UserError where they would take the place of others, and as `prepare_folder`."""
        paths = paths_in(folder)
        refuse_foreign(paths.values(), folder)
        prepare_folder(folder)
        if not os.path.exists(paths["images_json"]):
            self.save(folder)

    def save(self, folder: str) -> dict[str, str]:
        """Write the three files. Returns {"json": path, "csv": path, "images_json": path}."""
        paths = paths_in(folder)
        categories = [{"id": number, "name": name} for name, number in self.categories.items()]
        about = json.dumps({"images": self.images, "categories": categories}, ensure_ascii=False)
        write_atomically(paths["images_json"], utf8(about))
        lines = ",\n".join(json.dumps(row, ensure_ascii=False) for row in self.rows)
        write_atomically(paths["json"], utf8(f"[\n{lines}\n]\n"))
        write_atomically(paths["csv"], utf8(csv_text(map(_cells, self.rows), COLUMNS)))
        return paths


def paths_in(folder: str) -> dict[str, str]:
    """{"json": path, "csv": path, "images_json": path} of the files that tell what was found."""
    names = {"json": "detections.json", "csv": "detections.csv", "images_json": OF_IMAGES}
    return {kind: os.path.join(folder, name) for kind, name in names.items()}


def _cells(row):
    """A row of the JSON as the CSV has it: its box in four columns."""
    cells = {**row, **dict(zip(("x", "y", "width", "height"), row["bbox"]))}
    del cells["bbox"]
    cells.pop("segmentation", None)
    return cells

"""python -m gluon_bof predict WEIGHTS PICTURES… --out DIR: detections drawn into pictures and videos, as JSON and as CSV."""
from __future__ import annotations

import csv
import glob
import io
import json
import math
import os
import sys
import time
from typing import NamedTuple

from tqdm import tqdm

from gluon_bof.data.pictures import ENDINGS
from gluon_bof.errors import Parser, UserError, user_facing
from gluon_bof.evaluation.flags import add_network_flags, option_values
from gluon_bof.files import write_atomically

PICTURES = ENDINGS + (".tif", ".tiff", ".webp")
VIDEOS = (".mp4", ".avi", ".mov", ".mkv", ".webm", ".m4v", ".mpg", ".mpeg")
DRAWN_AS = {".jpg": ".jpg", ".jpeg": ".jpeg", ".png": ".png"}  # any other picture is drawn into a .png
COLUMNS = ("image_id", "file_name", "category_id", "category_name", "x", "y", "width", "height", "score", "frame", "seconds")
# COCO's numbers of its 80 classes, in its order: ten below 90 are not used
COCO_IDS = [number for number in range(1, 91) if number not in (12, 26, 29, 30, 45, 66, 68, 69, 71, 83)]
CODECS = ((".mp4", "mp4v"), (".avi", "MJPG"))  # the second where this OpenCV cannot write the first
USUAL_RATE = 25.0  # frames a second of a video that does not say


class Source(NamedTuple):
    """A file to look at, and the file to draw it into."""

    path: str
    target: str

    @property
    def is_video(self):
        """Whether its name says so."""
        return _ending(self.path) in VIDEOS


@user_facing
def main(argv=None):
    """Predict; the last line on standard output is one JSON object."""
    arguments = _parser().parse_args(argv)
    if not 0 <= arguments.score <= 1:
        raise UserError(f"--score {arguments.score} is outside [0, 1]", remedy="0.3 is usual")
    sources = find_sources(arguments.pictures, arguments.out)
    os.makedirs(arguments.out, exist_ok=True)

    from gluon_bof.evaluation.predict import load

    model = load(arguments.weights, arguments.device, arguments.short, arguments.nms, arguments.last,
                 **option_values(arguments))
    print(json.dumps(predict_all(model, sources, arguments)), flush=True)


def _parser():
    parser = Parser(prog="python -m gluon_bof predict", description=__doc__)
    add_network_flags(parser)
    parser.add_argument("pictures", nargs="+", metavar="PICTURES", help="files, folders, patterns such as 'a/*.jpg', videos")
    parser.add_argument("--out", required=True, help="folder for the drawn pictures, detections.json and detections.csv")
    parser.add_argument("--score", type=float, default=0.3, help="least score of what is drawn and written [0.3]")
    parser.add_argument("--nms", type=float, help="IoU above which the worse of two boxes of a class goes [the network's]")
    parser.add_argument("--device", help="cpu, gpu or gpu:N [a GPU if there is one]")
    parser.add_argument("--on-bad-sample", choices=("error", "skip"), default="error",
                        help="what to do about a broken picture: stop, or name it and go on [error]")
    return parser


def predict_all(model, sources, arguments):
    """Draw and write everything. Returns the summary, a dict for JSON; what was found until an error or Ctrl-C is written too."""
    found = Found(model)
    skipped, began = [], time.perf_counter()
    try:
        for source in tqdm(sources, desc="predicting", unit="file", leave=False, file=sys.stderr,
                           disable=not sys.stderr.isatty()):
            try:
                os.makedirs(os.path.dirname(source.target), exist_ok=True)
                (predict_video if source.is_video else predict_picture)(model, source, arguments.score, found)
            except UserError as error:
                if arguments.on_bad_sample == "error" or error.path != source.path:
                    raise
                skipped.append(source.path)
                print(f"skipped: {error}", file=sys.stderr)
    finally:
        paths = found.save(arguments.out)
    seconds = time.perf_counter() - began
    videos = sum(source.is_video for source in sources)
    print(f"{len(found.images)} pictures, {len(found.rows)} detections in {arguments.out}", file=sys.stderr)
    return {"weights": arguments.weights, "device": str(model.detector.device), "score": arguments.score,
            "files": len(sources) - len(skipped), "videos": videos, "pictures": len(found.images), "detections": len(found.rows),
            "skipped": skipped, "pictures_per_second": len(found.images) / seconds, "out": arguments.out, **paths}


def predict_picture(model, source, score, found):
    """Read, detect, draw, remember."""
    from PIL import Image

    from gluon_bof.evaluation.drawing import draw_detections
    from gluon_bof.evaluation.predict import read_upright

    picture = read_upright(source.path)
    prediction = model.predict(picture, score)
    file = io.BytesIO()
    kind = {"format": "PNG"} if source.target.endswith(".png") else {"format": "JPEG", "quality": 95}
    Image.fromarray(draw_detections(picture, prediction)).save(file, **kind)
    write_atomically(source.target, file.getvalue())
    found.add(source.path, picture.shape, prediction)


def predict_video(model, source, score, found):
    """The same for every frame of a video. Raises UserError where none can be read."""
    import cv2

    from gluon_bof.evaluation.drawing import draw_detections

    if not os.path.isfile(source.path):
        raise UserError("the video does not exist", source.path, "check the path")
    os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "-8")  # quiet: what is wrong with a video is said below, on one line
    video = cv2.VideoCapture(source.path)
    rate = video.get(cv2.CAP_PROP_FPS)
    rate = rate if math.isfinite(rate) and rate > 0 else USUAL_RATE
    announced = int(video.get(cv2.CAP_PROP_FRAME_COUNT))
    writer, frames = None, 0
    try:
        with tqdm(total=max(announced, 0) or None, desc=os.path.basename(source.path), unit="frame", leave=False, file=sys.stderr,
                  disable=not sys.stderr.isatty()) as progress:
            while True:
                whole, frame = video.read()
                if not whole:
                    break
                picture = cv2.cvtColor(frame, cv2.COLOR_BGR2RGB)
                prediction = model.predict(picture, score)
                writer = writer or VideoFile(source.target, rate, picture.shape)
                writer.write(draw_detections(picture, prediction))
                found.add(source.path, picture.shape, prediction, frames, frames / rate)
                frames += 1
                progress.update()
        if not frames:
            raise UserError("no frame of the video can be read", source.path,
                            "convert it, for example to MP4 with H.264, or start with --on-bad-sample skip")
        writer.keep()
    finally:
        video.release()
        if writer:
            writer.discard()
    if frames < announced:
        print(f"warning: {source.path}: {frames} of the {announced} frames that it announces could be read", file=sys.stderr)


class VideoFile:
    """A video that appears whole, by `keep`, or not at all."""

    def __init__(self, path, rate, shape):
        import cv2

        stem = os.path.splitext(path)[0]
        for ending, codec in CODECS:
            self.path = stem + ending
            self.unfinished = f"{stem}.{os.getpid()}.part{ending}"
            self.writer = cv2.VideoWriter(self.unfinished, cv2.VideoWriter_fourcc(*codec), rate, (shape[1], shape[0]))
            if self.writer.isOpened():
                return
        raise UserError("the video cannot be written", self.path, "choose another --out, with room")

    def write(self, picture):
        """One frame (H, W, 3) uint8 RGB."""
        self.writer.write(picture[:, :, ::-1].copy())

    def keep(self):
        """Give the file its name."""
        self.writer.release()
        os.replace(self.unfinished, self.path)

    def discard(self):
        """Remove what was not kept."""
        self.writer.release()
        if os.path.exists(self.unfinished):
            os.unlink(self.unfinished)


class Found:
    """The rows of detections.json and detections.csv, and the pictures and categories that they mean, for images.json.
    Categories have COCO's numbers where the classes are COCO's, else numbers from 1, in the order of the model's classes."""

    def __init__(self, model):
        from gluon_bof.models.zoo import CLASSES

        of_coco = sorted(model.classes) == sorted(CLASSES["coco"])
        names, ids = (CLASSES["coco"], COCO_IDS) if of_coco else (model.classes, range(1, len(model.classes) + 1))
        self.categories = dict(zip(names, ids))
        self.images = []
        self.rows = []

    def add(self, path, shape, prediction, frame=None, seconds=None):
        """The detections of one more picture of a shape (H, W, 3), or of a video's frame, from 0, at so many seconds."""
        place = {} if frame is None else {"frame": frame, "seconds": round(seconds, 3)}
        image_id = len(self.images) + 1
        self.images.append({"id": image_id, "file_name": path, "width": shape[1], "height": shape[0], **place})
        for (left, top, right, bottom), number, name, score in zip(prediction.boxes.tolist(), prediction.classes.tolist(),
                                                                    prediction.names, prediction.scores.tolist()):
            bbox = [round(side, 3) for side in (left, top, right - left, bottom - top)]
            self.rows.append({"image_id": image_id, "file_name": path, "category_id": self.categories[name], "category_name": name,
                              "bbox": bbox, "score": round(score, 6), **place})

    def save(self, folder):
        """Write the three files. Returns {"json": path, "csv": path, "images": path}."""
        paths = {kind: os.path.join(folder, f"detections.{kind}") for kind in ("json", "csv")}
        paths["images"] = os.path.join(folder, "images.json")
        categories = [{"id": number, "name": name} for name, number in self.categories.items()]
        about = json.dumps({"images": self.images, "categories": categories}, ensure_ascii=False)
        write_atomically(paths["images"], about.encode(errors="backslashreplace"))
        lines = ",\n".join(json.dumps(row, ensure_ascii=False) for row in self.rows)
        # a file's name that is no UTF-8 is written by escapes, which JSON knows too
        write_atomically(paths["json"], f"[\n{lines}\n]\n".encode(errors="backslashreplace"))
        table = io.StringIO()
        writer = csv.DictWriter(table, COLUMNS, lineterminator="\n")
        writer.writeheader()
        for row in self.rows:
            cells = dict(row)
            cells.update(zip(("x", "y", "width", "height"), cells.pop("bbox")))
            writer.writerow(cells)
        write_atomically(paths["csv"], table.getvalue().encode(errors="backslashreplace"))
        return paths


def find_sources(words, out):
    """[Source] of files, folders (with all below them) and patterns, in this order, each file once.

    Pictures of a folder keep their place below it; where two would be drawn into one file, the second gets a number.
    Raises UserError for a word that names nothing, and where a drawn picture would replace a given one."""
    found, taken, given = [], set(), {}
    inside = os.path.realpath(out)
    for word in words:
        for path, name in _files(word, inside):
            place = os.path.realpath(path)
            if place not in given:
                given[place] = path
                found.append(Source(path, os.path.join(out, _free_name(name, taken))))
    for source in found:
        if os.path.realpath(source.target) in given:
            raise UserError("it would be replaced by the drawn picture", given[os.path.realpath(source.target)],
                            "choose another folder: --out")
    return found


def _files(word, out):
    """[(path, name below --out)] of one word of the command line."""
    if os.path.isdir(word):
        files = [(path, os.path.relpath(path, word)) for path in _below(word, out)]
        if not files:
            raise UserError("no picture lies in this folder", word, f"known endings are {' '.join(PICTURES + VIDEOS)}")
        return files
    if os.path.lexists(word) or not glob.has_magic(word):
        if not os.path.exists(word):
            raise UserError("no such picture or folder", word, "check the path")
        return [(word, os.path.basename(word))]
    matches = [path for path in sorted(glob.glob(word, recursive=True))
               if os.path.isfile(path) and _ending(path) in PICTURES + VIDEOS]
    if not matches:
        raise UserError("the pattern matches no picture", word, "check it, and quote it for the shell")
    return [(path, os.path.basename(path)) for path in matches]


def _below(folder, out):
    """Pictures and videos in a folder and its folders, but for those that lie in the output folder or are hidden."""
    for place, folders, names in os.walk(folder):
        folders[:] = sorted(name for name in folders
                            if not name.startswith(".") and os.path.realpath(os.path.join(place, name)) != out)
        for name in sorted(names):
            if _ending(name) in PICTURES + VIDEOS and not name.startswith("."):
                yield os.path.join(place, name)


def _free_name(name, taken):
    stem, ending = os.path.splitext(name)
    ending = ".mp4" if ending.lower() in VIDEOS else DRAWN_AS.get(ending.lower(), ".png")
    free, number = stem + ending, 1
    while free in taken:
        number += 1
        free = f"{stem}-{number}{ending}"
    taken.add(free)
    return free


def _ending(path):
    return os.path.splitext(path)[1].lower()


if __name__ == "__main__":
    main()

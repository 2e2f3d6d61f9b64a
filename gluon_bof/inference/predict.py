"""Images and videos through a model, drawn and written down."""
from __future__ import annotations

import io
import math
import os
import sys
import time
from typing import TYPE_CHECKING, Any, Sequence

from tqdm import tqdm

from gluon_bof.errors import UserError
from gluon_bof.files import write_atomically
from gluon_bof.inference.results import DetectionWriter, VideoFile

if TYPE_CHECKING:
    from gluon_bof.inference.model import Model
    from gluon_bof.inference.sources import Source
    from gluon_bof.inference.tiles import Tiling

USUAL_RATE = 25.0  # frames a second of a video that does not say


def predict_all(model: Model, sources: Sequence[Source], out: str, score: float = 0.3,
                skip_broken: bool = False, tiling: Tiling | None = None) -> dict[str, Any]:
    """Draw and write everything into the folder `out`. Returns the summary, a dict for JSON; what was found until an error or
    Ctrl-C is written too. score: least one of what is drawn and written. skip_broken: name broken images and go on, else stop.
    tiling: look at slices, too."""
    found = DetectionWriter(model, model.box_ends)
    skipped, began = [], time.perf_counter()
    try:
        for source in tqdm(sources, desc="predicting", unit="file", leave=False, file=sys.stderr,
                           disable=not sys.stderr.isatty()):
            try:
                os.makedirs(os.path.dirname(source.target), exist_ok=True)
                (predict_video if source.is_video else predict_image)(model, source, score, found, tiling)
            except UserError as error:
                if not skip_broken or error.path != source.path:
                    raise
                skipped.append(source.path)
                print(f"skipped: {error}", file=sys.stderr)
    finally:
        paths = found.save(out)
    seconds = time.perf_counter() - began
    videos = sum(source.is_video for source in sources)
    print(f"{len(found.images)} images, {len(found.rows)} detections in {out}", file=sys.stderr)
    return {"device": str(model.detector.device), "score": score,
            "files": len(sources) - len(skipped), "videos": videos, "images": len(found.images), "detections": len(found.rows),
            "skipped": skipped, **(tiling._asdict() if tiling else {}), "images_per_second": len(found.images) / seconds,
            "out": out, **paths}


def predict_image(model: Model, source: Source, score: float, found: DetectionWriter, tiling: Tiling | None = None) -> None:
    """Read, detect, draw, remember."""
    from PIL import Image

    from gluon_bof.data.images import read_upright
    from gluon_bof.visualization.draw import draw_detections

    image = read_upright(source.path)
    prediction = model.predict(image, score, *(tiling or ()))
    file = io.BytesIO()
    kind = {"format": "PNG"} if source.target.endswith(".png") else {"format": "JPEG", "quality": 95}
    Image.fromarray(draw_detections(image, prediction)).save(file, **kind)
    write_atomically(source.target, file.getvalue())
    found.add(source.path, image.shape, prediction)


def predict_video(model: Model, source: Source, score: float, found: DetectionWriter, tiling: Tiling | None = None) -> None:
    """The same for every frame of a video. Raises UserError where none can be read."""
    import cv2

    from gluon_bof.visualization.draw import draw_detections

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
                image = cv2.cvtColor(frame, cv2.COLOR_BGR2RGB)
                prediction = model.predict(image, score, *(tiling or ()))
                writer = writer or VideoFile(source.target, rate, image.shape)
                writer.write(draw_detections(image, prediction))
                found.add(source.path, image.shape, prediction, frames, frames / rate)
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

"""Images and videos through a model, drawn and written down.

While the network computes, threads read what comes next and draw and write what has been found: the detections are those of one
image after the other, and appear in that order."""
from __future__ import annotations

import contextlib
import itertools
import math
import os
import sys
import time
from typing import TYPE_CHECKING, Any, Callable, Iterable, Iterator, NamedTuple, Sequence

from gluon_bof.errors import UserError
from gluon_bof.files import refuse_no_utf8
from gluon_bof.inference.ahead import BUDGET, in_order
from gluon_bof.inference.results import OPENER, DetectionWriter, VideoFile, no_address, write_drawn
from gluon_bof.inference.sources import staying
from gluon_bof.inference.tiles import refuse_tiles
from gluon_bof.options.flags import fraction
from gluon_bof.terminal import progress_bar

if TYPE_CHECKING:
    import numpy as np

    from gluon_bof.inference.model import Model
    from gluon_bof.inference.sources import Source
    from gluon_bof.inference.tiles import Tiling

USUAL_RATE = 25.0  # frames a second of a video that does not say
THREADS = 2  # that read images, and as many that write them


class Shot(NamedTuple):
    """An image (H, W, 3) uint8 RGB, a video's frame or an image file's, and as the network sees it; or what is wrong with the
    file. prediction: what was found in it, masks as run lengths."""

    source: Source
    image: np.ndarray | None = None
    seen: np.ndarray | None = None
    error: UserError | None = None
    prediction: Any = None

    @property
    def bytes(self) -> int:
        """Those of the image, about."""
        return 0 if self.image is None else self.image.nbytes


def predict_all(model: Model, sources: Sequence[Source], out: str, score: float = 0.3,
                skip_broken: bool = False, tiling: Tiling | None = None) -> dict[str, Any]:
    """Draw and write everything into the folder `out`. Returns the summary, a dict for JSON; what was found until an error or
    Ctrl-C is written too. score: in [0, 1], the least of what is drawn and written. skip_broken: name broken images and go on,
    else stop. tiling: look at slices, too."""
    found = DetectionWriter(model, model.box_ends)
    score = fraction("score", score, 0.3)
    refuse_tiles(model.detector.options, tiling)
    stays = staying(sources, out)
    found.begin(out)
    task = _Task(model, score, skip_broken, tiling, found, stays)
    skipped, began = [], time.perf_counter()
    left = len(sources)
    try:
        for is_video, group in itertools.groupby(sources, lambda source: source.is_video):
            for part in ([[source] for source in group] if is_video else [list(group)]):
                skipped += (predict_video if is_video else predict_images)(task, part, left)
                left -= len(part)
    except BaseException:
        if found.images:  # else what an earlier prediction found stays
            found.save(out)
        raise
    paths = found.save(out)
    seconds = time.perf_counter() - began
    videos = sum(source.is_video for source in sources)
    print(f"{len(found.images)} images, {len(found.rows)} detections in {out}", file=sys.stderr)
    return {"device": str(model.detector.device), "engine": model.detector.engine.name, "score": score,
            "files": len(sources) - len(skipped), "videos": videos, "images": len(found.images), "detections": len(found.rows),
            "skipped": skipped, **(tiling._asdict() if tiling else {}), "images_per_second": len(found.images) / seconds,
            "out": out, **paths}


class _Task(NamedTuple):
    """What is the same for all sources."""

    model: Model
    score: float
    skip_broken: bool
    tiling: Tiling | None
    found: DetectionWriter
    stays: Callable[[str], bool]  # of `staying`

    def detected(self, shots: Iterable[Shot]) -> Iterator[Shot]:
        """The shots with what the model finds in them; they end with a broken one unless those are skipped."""
        from gluon_bof.inference.detector import alike

        detector = self.model.detector
        for group in alike(((shot.seen, shot) for shot in shots), self._together):
            shots = [shot for _, shot in group]
            if shots[0].error:
                yield shots[0]
                if not self.skip_broken:
                    return
                continue
            for shot, whole in zip(shots, detector.detections((shot.seen, shot.image.shape) for shot in shots)):
                found = detector.add_slices(whole, shot.image, self.tiling) if self.tiling else whole
                yield shot._replace(prediction=self.model.prediction(found, self.score), seen=None)

    def _together(self, pair):
        seen, shot = pair
        return 1 if seen is None else min(self.model.detector.together(seen), max(1, BUDGET // shot.bytes))

    def refused(self, shot: Shot) -> bool:
        """Whether a shot is broken and passed over. Raises what is wrong with it where none is to be."""
        if not shot.error:
            return False
        if not self.skip_broken:
            raise shot.error
        print(f"skipped: {shot.error}", file=sys.stderr)
        return True


def predict_images(task: _Task, sources: Sequence[Source], left: int) -> list[str]:
    """Read, detect, draw, remember. left: images that are to come, these among them. Returns paths of those passed over."""
    from gluon_bof.data.images import read_upright

    detector = task.model.detector

    def read(source):
        try:
            image = read_upright(source.path)
        except UserError as error:
            return Shot(source, error=error)
        return Shot(source, image, detector.see(image))

    skipped = []
    detector.engine.expect(left)
    with progress_bar(None, "predicting", total=len(sources), unit="file") as progress, \
            _worked_on(task, read, sources, _draw_image, THREADS) as shots:
        for shot in shots:
            if task.refused(shot):
                skipped.append(shot.source.path)
            else:
                task.found.add(shot.source.path, shot.image.shape, shot.prediction)
            progress.update()
    return skipped


@contextlib.contextmanager
def _worked_on(task, read, items, write, threads):
    """Shots, in their order, that are read, looked at and written; until one without an image that is not broken."""
    with contextlib.ExitStack() as stack:
        shots = stack.enter_context(contextlib.closing(in_order(read, items, threads, lambda shot: shot.bytes)))
        shots = itertools.takewhile(lambda shot: shot.image is not None or shot.error, shots)
        yield stack.enter_context(contextlib.closing(in_order(write, task.detected(shots), threads, lambda shot: shot.bytes)))


def _draw_image(shot):
    """Write the image with what was found in it."""
    if shot.error:
        return shot
    from gluon_bof.visualization.draw import draw_detections

    write_drawn(shot.source.target, draw_detections(shot.image, shot.prediction))
    return shot


def predict_video(task: _Task, sources: Sequence[Source], left: int) -> list[str]:
    """The same for every frame of a video, the only one of `sources`. Raises UserError where none can be read and it is not to be
    passed over."""
    source, = sources
    try:
        os.makedirs(os.path.dirname(source.target), exist_ok=True)
        _predict_frames(task, source, left)
    except UserError as error:
        if error.path != source.path or not task.refused(Shot(source, error=error)):
            raise
        return [source.path]
    return []


def _predict_frames(task, source, left):
    import cv2

    from gluon_bof.visualization.draw import draw_detections

    video = _opened(source)
    rate = video.get(cv2.CAP_PROP_FPS)
    rate = rate if math.isfinite(rate) and rate > 0 else USUAL_RATE
    announced = max(0, int(video.get(cv2.CAP_PROP_FRAME_COUNT)))
    detector, writers = task.model.detector, []

    def read(_):
        whole, frame = video.read()
        if not whole:
            return Shot(source)
        image = cv2.cvtColor(frame, cv2.COLOR_BGR2RGB)
        return Shot(source, image, detector.see(image))

    def write(shot):
        if not writers:
            writers.append(VideoFile(source.target, rate, shot.image.shape, task.stays))
        writers[0].write(draw_detections(shot.image, shot.prediction))
        return shot

    detector.engine.expect(left - 1 + announced)
    frames = 0
    try:
        with progress_bar(None, os.path.basename(source.path), total=announced or None, unit="frame") as progress, \
                _worked_on(task, read, itertools.count(), write, 1) as shots:
            for shot in shots:
                task.found.add(source.path, shot.image.shape, shot.prediction, frames, frames / rate)
                frames += 1
                progress.update()
        if not frames:
            raise UserError("no frame of the video can be read", source.path,
                            "convert it, for example to MP4 with H.264, or start with --on-bad-sample skip")
        writers[0].keep()
    finally:
        video.release()
        for writer in writers:
            writer.discard()
    if frames < announced:
        print(f"warning: {source.path}: {frames} of the {announced} frames that it announces could be read", file=sys.stderr)


def _opened(source):
    import cv2

    if not os.path.isfile(source.path):
        raise UserError("the video does not exist", source.path, "check the path")
    for path in source:
        refuse_no_utf8(path, OPENER)
    os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "-8")  # quiet: what is wrong with a video is said in one line by who reads it
    return cv2.VideoCapture(no_address(source.path))

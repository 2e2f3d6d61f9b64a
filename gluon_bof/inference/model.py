"""A detector ready for images: `load(weights)` from a run, a file or GluonCV's model zoo, then `predict`."""
from __future__ import annotations

import contextlib
import dataclasses
import re
from numbers import Real
from typing import Any, NamedTuple, Sequence

import numpy as np

from gluon_bof.boxes import BoxEnds, Detections
from gluon_bof.data.images import as_image
from gluon_bof.devices import contexts
from gluon_bof.errors import UserError, in_python
from gluon_bof.inference.ahead import in_order
from gluon_bof.inference.detector import Detector, load_detector
from gluon_bof.inference.export import MXNET_ENDINGS, export_mxnet, export_onnx, path_and_images
from gluon_bof.inference.segmentation_model import SegmentationModel, open_segmenter, refuse_of_segmenters
from gluon_bof.inference.tiles import refuse_tiles, tiling_of
from gluon_bof.masks import decode
from gluon_bof.options.families import family_of
from gluon_bof.options.flags import fraction, whole_pixels
from gluon_bof.weights.resolve import resolve

READERS = 2  # threads that read images ahead


class Prediction(NamedTuple):
    """What a detector found in one image, best score first: boxes (N, 4) float32, xmin, ymin, xmax, ymax in pixels of the
    upright image; classes (N,) int64, places in `model.classes`; names, N of them; scores (N,) float32 in [0, 1]."""

    boxes: np.ndarray
    classes: np.ndarray
    names: list
    scores: np.ndarray


class MaskPrediction(NamedTuple):
    """What a network that also finds masks found: as Prediction, and masks (N, H, W) bool in the image's size."""

    boxes: np.ndarray
    classes: np.ndarray
    names: list
    scores: np.ndarray
    masks: np.ndarray


class Model:
    """A trained detector: `classes`, `predict`, `export`; `box_ends`: where the boxes that it finds end. Made by `load`."""

    def __init__(self, detector: Detector, box_ends: BoxEnds = BoxEnds.EDGE, files: Sequence[str] = ()):
        self.detector = detector
        self.classes = detector.classes
        self.box_ends = box_ends
        self.files = files  # that it was loaded from

    @in_python()
    def predict(self, images: Any, score: float = 0.0, tile: int | None = None, overlap: float | None = None) -> Any:
        """Prediction of an image, MaskPrediction of a network that finds masks, or a list of them for a list. An image is a path,
        an array (H, W, 3) uint8 RGB of any size, or one of Pillow's; a file or an image of Pillow's that says which side is up
        (EXIF) is turned first, and boxes are in the pixels of the upright image.

        score: in [0, 1], detections below it are left out; by default there are all that `evaluate` counts. tile: also look at
        slices of this side in pixels, for small objects in large images; overlap: share of it that they have in common [0.2]; see
        inference.tiles. Raises UserError for a file that is no whole image, for pixels without a fixed range (floats), for an
        array of another kind, and for a score or tiles that cannot be."""
        tiling = tiling_of(tile, overlap)
        refuse_tiles(self.detector.options, tiling)
        score = fraction("score", score, 0.3)
        if not isinstance(images, (list, tuple)):
            image = as_image(images)
            return self.prediction(self.detector.detect([image], tiling)[0], score, image.shape)
        detector = self.detector
        detector.engine.expect(len(images))

        shapes = []

        def read(image):
            image = as_image(image)
            return (image, None) if tiling else (detector.see(image), image.shape)

        def noted(pairs):
            for seen, shape in pairs:
                shapes.append(shape)
                yield seen, shape

        with contextlib.closing(in_order(read, images, READERS, lambda pair: pair[0].nbytes)) as pairs:
            found = detector.detect((image for image, _ in pairs), tiling) if tiling else detector.detections(noted(pairs))
            found = list(found)
            return [self.prediction(of_one, score, shape) for of_one, shape in zip(found, shapes or [None] * len(found))]

    def prediction(self, found: Detections, score: float = 0.0, shape: Sequence[int] | None = None) -> Any:
        """Detections of at least this score, with the classes' names. shape: (H, W, ...) of the image, for masks of its size;
        without it they stay the run lengths that they are in Detections."""
        kept = found.scores >= score
        names = [self.classes[number] for number in found.classes[kept]]
        parts = found.boxes[kept], found.classes[kept], names, found.scores[kept]
        if found.masks is None:
            return Prediction(*parts)
        return MaskPrediction(*parts, found.masks[kept] if shape is None else decode(found.masks[kept], shape[:2]).astype(bool))

    @in_python()
    def export(self, path: Any, format: str = "onnx", size: tuple[int, int] | None = None, nms: bool = True,
               images: Any = ()) -> Any:
        """Write the network for other programs and compare it with MXNet. Returns inference.agreement.Check.

        format: "onnx", a file at `path`; or "mxnet", the files path-symbol.json, path-0000.params and path.json.
        size: (height, width) of the input. nms: with the last suppression of overlapping boxes. images: to compare on, besides
        drawn ones, as `predict` takes them, or an array (N, H, W, 3). Raises UserError as `predict`, `export_onnx` and
        `export_mxnet` do."""
        return self.write(path, format, size, nms, images)

    def write(self, path: Any, format: str, size: tuple[int, int] | None, nms: bool, images: Any) -> Any:
        """`export`, for commands: errors speak of flags."""
        write, endings = {"onnx": (export_onnx, ("",)), "mxnet": (export_mxnet, MXNET_ENDINGS)}.get(format, (None, ()))
        if write is None:
            raise UserError(f"unknown format {format!r}", remedy="choose onnx or mxnet")
        if nms not in (True, False):
            raise UserError(f"nms is True or False in an export, not {nms!r}", remedy="load with nms=0.45 to set the threshold")
        path, images = path_and_images(path, images, self.files, endings)
        return write(self.detector, path, size, nms, images)


@in_python()
def load(weights: Any, device: str | None = None, short: int | None = None, nms: float | None = None, last: bool = False,
         engine: str = "mxnet", **options: Any) -> Model | Any:  # Any: a SegmentationModel, which nobody has to rule out first
    """Model of a run's folder (its best weights, or the last), of a .params file that we or GluonCV wrote, of "shapes", the
    package's own weights, or of GluonCV's name of a pretrained model ("yolo3_darknet53_voc"), which is downloaded. Of weights
    that segment it is a SegmentationModel.

    device: "cpu", "gpu", "gpu:1"; None: a GPU if there is one. short: test size in pixels, an R-CNN's shorter side or the
    side of the others; None: that of validation. nms: IoU above which the worse of two boxes of a class goes, in (0, 1].
    engine: what computes the network, "mxnet", "onnx" (its export in onnxruntime, on the CPU), or "auto", the faster where many
    images come; see inference.onnx_engine. options: of a file that its name and folder tell nothing of: network, classes (names)
    or dataset ("voc", "coco"), and for Faster R-CNN those that built it (use_fpn, norm_layer, …). Raises UserError."""
    return open_model(weights, device, short, nms, last, engine, **options)


def open_model(weights: Any, device: str | None = None, short: int | None = None, nms: float | None = None,
               last: bool = False, engine: str = "mxnet", **options: Any) -> Model | SegmentationModel:
    """The same, for commands: errors speak of flags."""
    found = resolve(weights, options, last)
    found.refuse_idle(options)
    if found.run and "dataset" in options:
        raise UserError("--dataset is for weights outside a run", found.run, "leave it out")
    if family_of(found.options).segments:
        refuse_of_segmenters(engine, nms=nms)
        settings = found._replace(options=dataclasses.replace(found.options, gpus=_gpus(device)))
        return open_segmenter(settings, short)
    names = found.require()
    settings = dataclasses.replace(found.options, gpus=_gpus(device))
    if short is not None:
        settings = settings.at_size(whole_pixels("short", short, 416))
    # True is that of `export`
    if nms is not None and (isinstance(nms, bool) or not isinstance(nms, Real) or not 0 < nms <= 1):
        raise UserError(f"--nms {nms!r} is outside (0, 1]", remedy="0.45 is usual")
    detector = load_detector(settings, names, found.path, engine)[0]
    if nms is not None:
        network = detector.network
        network.set_nms(nms_thresh=float(nms), nms_topk=network.nms_topk, post_nms=network.post_nms)
    return Model(detector, found.box_ends, found.files)


def _gpus(device):
    """The value of `gpus` for "cpu", "gpu", "gpu:N" or None. Raises UserError where MXNet has no such GPU."""
    match = re.fullmatch(r"cpu|gpu(?::?(\d+))?", "cpu" if device is None else str(device))
    if not match:
        raise UserError(f"--device {device!r} is not a device", remedy="choose cpu, gpu or gpu:1")
    gpus = None if device is None else "" if device == "cpu" else match.group(1) or "0"
    try:
        contexts(gpus)
    except UserError as error:
        raise UserError(error.problem, remedy="--device cpu always works") from None
    return gpus

"""A segmenter ready for images: `load(weights)` of weights that give every pixel a class, then `predict` or `export`."""
from __future__ import annotations

from typing import Any, Sequence

from gluon_bof.data.images import as_image
from gluon_bof.errors import UserError, in_python
from gluon_bof.inference.export import path_and_images
from gluon_bof.inference.export_scores import export_scores
from gluon_bof.inference.segmenter import Segmenter, load_segmenter
from gluon_bof.options.flags import flag_name, whole_pixels
from gluon_bof.weights.resolve import Resolved


def refuse_of_segmenters(engine: str = "mxnet", **given: Any) -> None:
    """Raise UserError where one of these arguments, which only detectors take, was given, or an engine other than MXNet."""
    for name, value in given.items():
        if value not in (None, "", ()):
            raise UserError(f"a segmenter takes no {flag_name(name)}", remedy="leave it out: it finds no boxes")
    if engine not in ("auto", "mxnet"):
        raise UserError(f"a segmenter takes no --engine {engine}", remedy="leave it out: MXNet computes segmenters")


def open_segmenter(resolved: Resolved, short: int | None = None) -> SegmentationModel:
    """The SegmentationModel that WEIGHTS means. short: test size in pixels. Raises UserError where a file or classes lack."""
    names, options = resolved.require(), resolved.options
    if short is not None:
        options = options.at_size(whole_pixels("short", short, 480))
    return SegmentationModel(load_segmenter(options, names, resolved.path)[0], resolved.files)


class SegmentationModel:
    """A trained segmenter: `classes`, `predict`, `export`. Made by `load`."""

    def __init__(self, segmenter: Segmenter, files: Sequence[str] = ()):
        self.segmenter = segmenter
        self.classes = segmenter.classes
        self.files = files  # that it was loaded from

    @in_python()
    def predict(self, images: Any) -> Any:
        """LabelMap of an image, or a list of them for a list; images as `Model.predict` takes them. Raises UserError."""
        if isinstance(images, (list, tuple)):
            return list(self.segmenter.segment(as_image(image) for image in images))
        return next(self.segmenter.segment([as_image(images)]))

    @in_python(no_nms="nms")
    def export(self, path: Any, format: str = "onnx", size: tuple[int, int] | None = None, nms: bool = True,
               images: Any = ()) -> Any:
        """Write the network as ONNX and compare it with MXNet. Returns inference.export_scores.ScoreCheck.

        size: (height, width) of the input, by default that of validation; images: to compare on, besides drawn ones, as
        `predict` takes them, or an array (N, H, W, 3). Raises UserError where the format is another, for nms=False, and as
        `predict` and `export_scores` do."""
        return self.write(path, format, size, nms, images)

    def write(self, path: Any, format: str, size: tuple[int, int] | None, nms: bool, images: Any) -> Any:
        """`export`, for commands: errors speak of flags."""
        if format != "onnx":
            raise UserError(f"a segmenter is not exported as {format}", remedy="give --format onnx")
        if not nms:
            raise UserError("a segmenter suppresses nothing", remedy="leave --no-nms out")
        path, images = path_and_images(path, images, self.files)
        return export_scores(self.segmenter, path, size, images)

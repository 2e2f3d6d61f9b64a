"""A segmenter as ONNX: raw images in, the probability of each class at each pixel out, checked before it is kept."""
from __future__ import annotations

from typing import Any, NamedTuple, Sequence

import numpy as np

from gluon_bof.backend import mx
from gluon_bof.errors import UserError, remedied_by
from gluon_bof.files import write_atomically
from gluon_bof.inference.agreement import SCORE_TOLERANCE, drawn_images
from gluon_bof.inference.engines import calling
from gluon_bof.inference.export import (
    INPUT,
    REPORT,
    described_input,
    described_onnx,
    input_size,
    named_outputs,
    quiet_session,
    require_onnx,
)
from gluon_bof.inference.segmenter import Segmenter
from gluon_bof.models.build import models_of


class ScoreCheck(NamedTuple):
    """An exported file beside MXNet: images and pixels compared, the largest difference of probabilities, and at how many pixels
    another class is the likeliest."""

    images: int
    pixels: int
    score_difference: float
    other_labels: int


def export_scores(segmenter: Segmenter, path: str, size: Sequence[int] | None = None,
                  images: Sequence[np.ndarray] = ()) -> ScoreCheck:
    """Write an ONNX file for images of one size, (B, H, W, 3) uint8 RGB, normalised inside, whose "scores" are (B, K, H, W).

    images: to check with, besides drawn ones. Raises UserError where onnx is not installed or MXNet cannot express the network in
    it, for a size that the network cannot take, where the two disagree, and where the file cannot be written."""
    require_onnx("there is no other format for a segmenter")
    size = input_size(segmenter, size)
    if segmenter.options.model == "fcn" and set(size) != {segmenter.options.crop_size}:
        raise UserError(f"GluonCV's FCN gives maps of {segmenter.options.crop_size} pixels, whatever it sees",
                        remedy="choose the size with --short")
    form = models_of(segmenter.options).export_form(segmenter.options)
    with calling:
        outputs, names = form.candidates(segmenter.network, mx.sym.Variable(INPUT))
    with remedied_by(REPORT):
        data = described_onnx(segmenter, named_outputs(outputs, names), names, size, _about(segmenter, size))
    session = quiet_session(data)
    check = _compared(segmenter, lambda seen: session.run(names, {INPUT: seen})[0], size, images)
    if not check.score_difference <= SCORE_TOLERANCE:
        raise UserError(f"onnxruntime disagrees with MXNet: probabilities differ by {check.score_difference:.1e} (up to "
                        f"{SCORE_TOLERANCE} is accepted)", path, REPORT)
    write_atomically(path, data)
    return check


def _compared(segmenter, run, size, images):
    seen = [segmenter.see(image)[:size[0], :size[1]] for image in (*images, *drawn_images())]
    canvas = np.zeros((len(seen), *size, 3), np.uint8)  # of another size than validation's
    for place, image in zip(canvas, seen):
        place[:image.shape[0], :image.shape[1]] = image
    wanted, found = segmenter.scores(canvas), run(canvas)
    return ScoreCheck(len(seen), wanted[:, 0].size, float(np.abs(wanted - found).max()),
                      int((wanted.argmax(axis=1) != found.argmax(axis=1)).sum()))


def _about(segmenter: Segmenter, size: Sequence[int]) -> dict[str, Any]:
    """What a program has to know to feed the exported network and read its answer."""
    options = segmenter.options
    resize = "the long side fills the input from its top left corner; the rest is ImageNet's mean colour"
    return {**described_input(segmenter, f"{options.model} on {options.backbone}", size, resize),
            "outputs": models_of(options).export_form(options).texts}

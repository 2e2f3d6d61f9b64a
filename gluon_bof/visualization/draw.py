"""Detections drawn into an image, at the image's own size."""
from __future__ import annotations

import os
from functools import lru_cache
from typing import Any, Sequence

import cv2
import matplotlib
import numpy as np
from PIL import Image, ImageDraw, ImageFont

from gluon_bof.boxes import require_image
from gluon_bof.files import utf8
from gluon_bof.masks import decode

FONT = os.path.join(matplotlib.get_data_path(), "fonts", "ttf", "DejaVuSans.ttf")  # knows Greek and Cyrillic too
MIN_FONT = 9  # pixels
TINT = 0.45  # of a mask's colour in what it covers
BRIGHT = 140  # luminance from which black text is easier to read than white


def draw_detections(image: np.ndarray, prediction: Any) -> np.ndarray:
    """A copy of an image (H, W, 3) uint8 RGB with the boxes of a Prediction, their names and scores, and the masks of one that
    has them; the best on top. Raises ValueError for other images."""
    require_image(image)
    masks = getattr(prediction, "masks", None)
    canvas = Image.fromarray(image if masks is None else with_masks(image, masks, prediction.classes))
    pen = ImageDraw.Draw(canvas)
    short = min(image.shape[:2])
    line = max(1, round(short / 240))
    font = _font(max(MIN_FONT, round(short / 36)))
    rows = list(zip(prediction.boxes, prediction.classes, prediction.names, prediction.scores))
    for box, number, _, _ in reversed(rows):
        left, top, right, bottom = box
        # a box's edges lie between pixels: the last pixel inside is one before the edge
        pen.rectangle((left, top, max(left, right - 1), max(top, bottom - 1)), outline=colour_of(number), width=line)
    for box, number, name, score in reversed(rows):
        _label(pen, canvas.size, box, f"{name} {score:.2f}", colour_of(number), font)
    return np.array(canvas)


def literal(text: Any) -> str:
    """A text, such as a class's or a file's name, as matplotlib draws it letter by letter, which reads dollars as mathematics
    and takes no name that is no UTF-8. It is shortened before."""
    return utf8(str(text)).decode().replace("$", r"\$")


def with_masks(image: np.ndarray, masks: np.ndarray, classes: Sequence[int]) -> np.ndarray:
    """A copy of an image (H, W, 3) uint8 RGB, tinted in its class's colour where a mask of (N, H, W) is, with a line around.
    Of run lengths (N,) one after another is made as large as the image: those of a photograph would take a gigabyte together."""
    tinted = image.copy()
    line = max(1, round(min(image.shape[:2]) / 240))
    for mask, number in reversed(list(zip(masks, classes))):
        colour = np.array(colour_of(number), np.float32)
        inside = (decode([mask], image.shape[:2])[0] if isinstance(mask, bytes) else mask).astype(bool)
        tinted[inside] = (tinted[inside] * (1 - TINT) + colour * TINT).astype(np.uint8)
        outlines, _ = cv2.findContours(inside.view(np.uint8), cv2.RETR_CCOMP, cv2.CHAIN_APPROX_NONE)
        cv2.drawContours(tinted, outlines, -1, tuple(map(int, colour)), line)
    return tinted


@lru_cache(maxsize=None)
def colour_of(number: int) -> tuple[int, int, int]:
    """(R, G, B) of a class, 0 to 255."""
    return tuple(round(255 * part) for part in matplotlib.colormaps["tab10"](int(number) % 10)[:3])


@lru_cache(maxsize=4)
def _font(size):
    return ImageFont.truetype(FONT, size)


def _label(pen, size, box, text, colour, font):
    """Text on a ground of the box's colour: above the box, or in it where there is no room; never over the right edge."""
    _, _, width, height = pen.textbbox((0, 0), text, font=font)
    left = max(0, min(float(box[0]), size[0] - width - 4))
    top = float(box[1]) - height - 2
    top = top if top >= 0 else float(box[1])
    pen.rectangle((left, top, left + width + 3, top + height + 2), fill=colour)
    luminance = np.dot(colour, (0.299, 0.587, 0.114))
    pen.text((left + 2, top), text, font=font, fill="black" if luminance > BRIGHT else "white")

"""Images for figures, with their objects: files and boxes from the command line, or images of the embedded set."""
from __future__ import annotations

import os
from typing import Iterable, NamedTuple, Sequence

import numpy as np

from gluon_bof.data.fields import finite_number
from gluon_bof.data.images import read_or_name, read_upright
from gluon_bof.errors import UserError


class Scene(NamedTuple):
    """An image (H, W, 3) uint8 and its objects: boxes (M, 4) float32, a label each."""

    name: str
    image: np.ndarray
    boxes: np.ndarray
    labels: tuple


def given_scene(path: str, objects: Iterable[str]) -> Scene:
    """The upright image of a file with objects from the command line, "label,xmin,ymin,xmax,ymax" each. Raises UserError."""
    image = read_or_name(read_upright, path)
    parsed = [read_object(text, image, path) for text in objects]
    return Scene(os.path.basename(path), image, np.array([box for _, box in parsed], np.float32).reshape(-1, 4),
                 tuple(label for label, _ in parsed))


def embedded_scene(number: int) -> Scene:
    """An image of the embedded validation set, without its difficult objects; drawn again, so that no set is needed."""
    from gluon_bof.data.shapes import SPLITS, draw_image

    image, objects = draw_image(list(SPLITS).index("test"), number)
    kept = [(label, box) for label, box, difficult in objects if not difficult]
    return Scene(f"test_{number:04d}", image, np.array([box for _, box in kept], np.float32).reshape(-1, 4),
                 tuple(label for label, _ in kept))


def read_object(text: str, image: np.ndarray, path: str) -> tuple[str, list[float]]:
    """(label, [xmin, ymin, xmax, ymax]) of "label,xmin,ymin,xmax,ymax". Raises UserError."""
    label, _, corners = text.partition(",")
    return label.strip(), read_box(corners, image, path)


def read_box(text: str, image: np.ndarray, path: str) -> list[float]:
    """[xmin, ymin, xmax, ymax] in the image's pixels of "xmin,ymin,xmax,ymax". Raises UserError where it lies
    outside the image or has no area."""
    try:
        left, top, right, bottom = box = [finite_number(word) for word in text.split(",")]
    except ValueError:
        raise UserError(f"{text!r} is not a box", path, "write xmin,ymin,xmax,ymax in pixels, an object's label before them"
                        ) from None
    height, width = image.shape[:2]
    if not (0 <= left < right <= width and 0 <= top < bottom <= height):
        raise UserError(f"the box {text} has no area or lies outside the image of {width} x {height}", path,
                        "write xmin,ymin,xmax,ymax in pixels")
    return box


def require_within(values: Sequence[float], flag: str, least: float, most: float) -> None:
    """Raise UserError for values outside [least, most], and for none."""
    if not values:
        raise UserError(f"{flag} is not a list of numbers", remedy=f"write for example {flag} 0.1,0.5")
    wrong = [value for value in values if not least <= value <= most]
    if wrong:
        raise UserError(f"{flag} {wrong[0]:g} is outside [{least:g}, {most:g}]", remedy="give another number")

"""Reading images, and the small checks of names and numbers that the readers of sets share."""
from __future__ import annotations

import math

import cv2
import numpy as np

from gluon_bof.errors import UserError

ENDINGS = (".jpg", ".jpeg", ".png", ".bmp")

_COLOUR_AS_STORED = cv2.IMREAD_COLOR_RGB | cv2.IMREAD_IGNORE_ORIENTATION  # boxes are in stored pixels
_IMAGE_REMEDY = "replace the image, or start with --on-bad-sample skip"


def read_image(path):
    """Decode an image as it is stored: (H, W, 3) uint8, RGB; grey and CMYK ones too.

    Raises UserError if the file is missing, empty, not an image or cut short."""
    data = _read_bytes(path)
    if _is_cut_short(data):
        raise UserError("the image is cut short", path, _IMAGE_REMEDY)
    try:
        image = cv2.imdecode(np.frombuffer(data, np.uint8), _COLOUR_AS_STORED)
    except cv2.error:
        image = None
    if image is None:
        raise UserError("not an image that can be decoded", path, _IMAGE_REMEDY)
    return image


def image_size(path):
    """(width, height) in stored pixels, from the header alone. Raises UserError as `read_image` does."""
    from PIL import Image

    try:
        with Image.open(path) as image:
            size = image.size
    except FileNotFoundError:
        raise UserError("the image does not exist", path, _IMAGE_REMEDY) from None
    except Exception:  # on junk, Pillow's parsers raise whatever came up, from SyntaxError to struct.error
        raise UserError("not an image: its header cannot be read", path, _IMAGE_REMEDY) from None
    if min(size) < 1:
        raise UserError("the image has no pixels", path, _IMAGE_REMEDY)
    return size


def _read_bytes(path):
    try:
        with open(path, "rb") as file:
            data = file.read()
    except FileNotFoundError:
        raise UserError("the image does not exist", path, _IMAGE_REMEDY) from None
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise UserError(f"the image cannot be read ({reason})", path, _IMAGE_REMEDY) from None
    if not data:
        raise UserError("the image is an empty file", path, _IMAGE_REMEDY)
    return data


def _is_cut_short(data):
    """Whether a JPEG, PNG or BMP ends early: OpenCV returns those with a grey rest, and no error."""
    if data[:2] == b"\xff\xd8":
        return not data.endswith(b"\xff\xd9") and data.rfind(b"\xff\xd9", _scan_start(data)) < 0
    if data[:8] == b"\x89PNG\r\n\x1a\n":
        return data.rfind(b"IEND") < 0
    if data[:2] == b"BM":
        return _bmp_is_cut_short(data)
    return False


def _scan_start(data):
    """Where a JPEG's first scan begins; the thumbnail in its EXIF header has an end marker of its own."""
    position = 2
    while position + 4 <= len(data) and data[position] == 0xFF and data[position + 1] != 0xDA:
        fill_byte = data[position + 1] == 0xFF
        position += 1 if fill_byte else 2 + int.from_bytes(data[position + 2:position + 4], "big")
    return position


def _bmp_is_cut_short(data):
    if len(data) < 34 or int.from_bytes(data[14:18], "little") < 40:
        return len(data) < 26
    pixels_at = int.from_bytes(data[10:14], "little")
    width = abs(int.from_bytes(data[18:22], "little", signed=True))
    height = abs(int.from_bytes(data[22:26], "little", signed=True))
    bits = int.from_bytes(data[28:30], "little")
    compressed = int.from_bytes(data[30:34], "little") in (1, 2)
    row_bytes = (width * bits + 31) // 32 * 4
    return not compressed and len(data) < pixels_at + row_bytes * height


def finite_number(value):
    """A number or its text as a float. Raises ValueError for anything else, and for NaN and infinity."""
    if isinstance(value, bool) or not isinstance(value, (int, float, str)):
        raise ValueError(f"{value!r} is not a number")
    try:
        number = float(value)
    except OverflowError:
        raise ValueError(f"{str(value)[:20]}... is too large") from None
    if not math.isfinite(number):
        raise ValueError(f"{value!r} is not a finite number")
    return number


def unique_names(classes):
    """Class names as a tuple. Raises UserError if there are none, or one is empty or there twice."""
    names = tuple(classes)
    if not names or not all(isinstance(name, str) and name.strip() for name in names):
        raise UserError("class names must not be empty", remedy="give them as --classes cat,dog")
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise UserError(f"class {twice[0]!r} is named twice", remedy="name every class once in --classes")
    return names

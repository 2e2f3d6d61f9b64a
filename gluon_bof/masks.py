"""Masks: which pixels are whose. As boxes.py does for boxes, this page fixes what all of gluon_bof calls them.

numbers     (H, W) uint8, an image of VOC's SegmentationObject or SegmentationClass: 0 background, 1, 2, ... the objects in the
            order of their annotation (or class id + 1), NOBODY where the annotation leaves it open.
"""
from __future__ import annotations

import numpy as np

NOBODY = 255


def voc_palette() -> np.ndarray:
    """(256, 3) uint8 RGB, the colours of VOC's PNGs: bit j of red, green and blue are bits 3j, 3j + 1 and 3j + 2 of the number,
    from the highest down."""
    numbers = np.arange(256)[:, None]
    channels = np.arange(3)
    return sum(((numbers >> (3 * bit + channels)) & 1) << (7 - bit) for bit in range(8)).astype(np.uint8)


def write_numbers(path: str, numbers: np.ndarray) -> None:
    """Write (H, W) uint8 as VOC does: a PNG with VOC's palette, whose pixels are the numbers themselves."""
    from PIL import Image

    image = Image.fromarray(np.ascontiguousarray(numbers, np.uint8))
    image.putpalette(voc_palette().tobytes())
    image.save(path, "PNG")


def read_numbers(path: str) -> np.ndarray:
    """(H, W) uint8 of such a PNG, palette or grey. Raises ValueError for other images, OSError for one that cannot be read."""
    from PIL import Image

    with Image.open(path) as image:
        if image.mode not in ("P", "L", "1"):
            raise ValueError(f"its pixels are colours ({image.mode}), not numbers of objects")
        return np.array(image, np.uint8)

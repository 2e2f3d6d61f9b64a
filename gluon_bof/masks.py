"""Masks: formats, crop, resize, paste. As boxes.py does for boxes, this page fixes what all of gluon_bof calls them.

masks       (M,) bytes, a NumPy array of the kind "S": of each object COCO's compressed run lengths (pycocotools codes and decodes
            them). The image's size is not in them and goes along: size is (height, width), in pixels.
dense       (M, height, width) uint8: 1 where the object is, 0 elsewhere.
numbers     (H, W) uint8, an image of VOC's SegmentationObject or SegmentationClass: 0 background, 1, 2, ... the objects in the
            order of their annotation (or class id + 1), NOBODY where the annotation leaves it open.
planes      (P, height, width) uint8, eight objects a plane: object k is bit k % 8 of plane k // 8. What crosses the wire.

A pixel is an object's where at least half of it is: what is in between after a resize is cut there. An object that covers no
pixel has a mask all the same, without one.
"""
from __future__ import annotations

import contextlib
from typing import Any, Iterator, Sequence

import cv2
import numpy as np
from pycocotools import mask as coding

from gluon_bof.locks import fork_safe_lock

NOBODY = 255
OBJECTS_A_PLANE = 8  # bits of a byte
LEAST_POLYGON = 6  # numbers: three corners
HALF = 0.5  # of a pixel, from which it is the object's

_pillow = fork_safe_lock()  # for Pillow's switches, which are the whole process's


# ---- coding ------------------------------------------------------------------------------------------------------------

def no_masks(count: int = 0) -> np.ndarray:
    """(count,) masks that cover no pixel, of any size; for arrays to be filled."""
    return np.zeros(count, "S1")


def encode(dense: np.ndarray) -> np.ndarray:
    """(M,) masks of dense ones (M, height, width), bool or 0 and 1."""
    if not len(dense):
        return no_masks()
    columns = np.asfortranarray(np.moveaxis(np.asarray(dense, np.uint8), 0, 2))
    return np.array([run_lengths["counts"] for run_lengths in coding.encode(columns)])


def decode(masks: np.ndarray, size: Sequence[int]) -> np.ndarray:
    """(M, height, width) uint8 of masks (M,)."""
    if not len(masks):
        return np.zeros((0, *size), np.uint8)
    return np.moveaxis(coding.decode(as_coco(masks, size)), 2, 0)


def as_coco(masks: np.ndarray, size: Sequence[int]) -> list[dict[str, Any]]:
    """COCO's own objects, [{"size": [height, width], "counts": bytes}], as pycocotools takes them."""
    size = [int(side) for side in size]
    empty = coding.frPyObjects({"size": size, "counts": [size[0] * size[1]]}, *size)["counts"]  # encoding takes every pixel
    return [{"size": size, "counts": bytes(counts) or empty} for counts in masks]


def as_json(mask: bytes, size: Sequence[int]) -> dict[str, Any]:
    """The same of one mask as COCO's result files have it, counts a text."""
    coded, = as_coco(np.array([mask]), size)
    return dict(coded, counts=coded["counts"].decode())


def area(masks: np.ndarray, size: Sequence[int]) -> np.ndarray:
    """(M,) float32 pixels that masks cover."""
    return np.asarray(coding.area(as_coco(masks, size)) if len(masks) else [], np.float32)


def covered(masks: np.ndarray, size: Sequence[int]) -> int:
    """Pixels that one of the masks covers, or several."""
    return int(coding.area(coding.merge(as_coco(masks, size)))) if len(masks) else 0


def boxes_of(masks: np.ndarray, size: Sequence[int]) -> np.ndarray:
    """(M, 4) float32 corners of the smallest boxes around masks; right and bottom are edges. Zeros of one without a pixel."""
    found = np.asarray(coding.toBbox(as_coco(masks, size)) if len(masks) else np.zeros((0, 4)), np.float32).reshape(-1, 4)
    return np.hstack([found[:, :2], found[:, :2] + found[:, 2:]])


# ---- readers' formats --------------------------------------------------------------------------------------------------

def of_segmentation(segmentation: Any, size: Sequence[int]) -> bytes:
    """One mask of COCO's `segmentation`, whichever of its three forms it has: a list of polygons [x, y, x, y, ...], in pixels, of
    which the object is the union; {"size", "counts"} of run lengths, a list; or of compressed ones, a text.

    Raises ValueError saying what is wrong with it."""
    if isinstance(segmentation, dict):
        return _of_run_lengths(segmentation, [int(side) for side in size])
    if not isinstance(segmentation, list) or not segmentation:
        raise ValueError("is missing" if segmentation is None else "is empty" if segmentation == [] else
                         "is neither a list of polygons nor run lengths")
    return coding.merge(coding.frPyObjects([_polygon(polygon) for polygon in segmentation], int(size[0]), int(size[1])))["counts"]


def _polygon(polygon):
    if not isinstance(polygon, (list, tuple)) or len(polygon) < LEAST_POLYGON or len(polygon) % 2:
        raise ValueError("holds a polygon that is no list of three corners or more, [x, y, x, y, x, y, ...]")
    if any(isinstance(number, (bool, str)) for number in polygon):
        raise ValueError("holds a polygon of something else than numbers")
    try:
        numbers = np.asarray(polygon, np.float64)
    except (TypeError, ValueError, OverflowError):
        raise ValueError("holds a polygon of something else than numbers") from None
    if not (np.abs(numbers) < 1e6).all():  # also catches NaN
        raise ValueError("holds a polygon with a corner that is no place")
    return numbers.tolist()


def _of_run_lengths(segmentation, size):
    if segmentation.get("size") not in (size, tuple(size)):
        raise ValueError(f"is of the size {segmentation.get('size')}, and the image's height and width are {size}")
    counts = segmentation.get("counts")
    if isinstance(counts, list):
        if not all(isinstance(count, int) and count >= 0 for count in counts) or sum(counts) != size[0] * size[1]:
            raise ValueError("has run lengths that are not those of an image of its size")
        return coding.frPyObjects({"size": size, "counts": counts}, *size)["counts"]
    counts = counts.encode(errors="replace") if isinstance(counts, str) else counts
    if not isinstance(counts, bytes) or not counts:
        raise ValueError("has no run lengths ('counts')")
    # pycocotools writes where broken ones point to: they are read by ourselves first
    if not _is_whole(counts, size[0] * size[1]):
        raise ValueError("has run lengths that are not those of an image of its size")
    return counts


def _is_whole(counts, pixels):
    """Whether compressed run lengths, six bits a byte of which five are a number's, cover so many pixels."""
    runs, value, shift = [], 0, 0
    for byte in counts:
        code = byte - 48
        if not 0 <= code < 64 or shift > 30:
            return False
        value |= (code & 31) << shift
        shift += 5
        if not code & 32:
            if code & 16:
                value -= 1 << shift
            runs.append(value + (runs[-2] if len(runs) > 2 else 0))  # from the fourth on, less the one of two before it
            if runs[-1] < 0:
                return False
            value = shift = 0
    return shift == 0 and sum(runs) == pixels


def of_numbers(numbers: np.ndarray, count: int) -> np.ndarray:
    """(count,) masks of the objects 1 to count of such an image; one whose number is NOBODY or more cannot have a pixel."""
    objects = np.arange(1, count + 1)[:, None, None]
    return encode((numbers[None] == objects) & (objects < NOBODY))


def voc_palette() -> np.ndarray:
    """(256, 3) uint8 RGB, the colours of VOC's PNGs: bit j of red, green and blue are bits 3j, 3j + 1 and 3j + 2 of the number,
    from the highest down."""
    numbers = np.arange(256)[:, None]
    channels = np.arange(3)
    return sum(((numbers >> (3 * bit + channels)) & 1) << (7 - bit) for bit in range(8)).astype(np.uint8)


def write_numbers(file: Any, numbers: np.ndarray) -> None:
    """Write (H, W) uint8 as VOC does, to a path or an open file: a PNG with VOC's palette, whose pixels are the numbers
    themselves."""
    from PIL import Image

    image = Image.fromarray(np.ascontiguousarray(numbers, np.uint8))
    image.putpalette(voc_palette().tobytes())
    image.save(file, "PNG", compress_level=1)  # twice as fast as the usual 6


@contextlib.contextmanager
def whole_images_only() -> Iterator[None]:
    """Within it Pillow refuses images that are cut short, the rest of which would be grey or background: GluonCV lets them pass.
    One thread at a time."""
    from PIL import ImageFile

    with _pillow:
        lenient, ImageFile.LOAD_TRUNCATED_IMAGES = ImageFile.LOAD_TRUNCATED_IMAGES, False
        try:
            yield
        finally:
            ImageFile.LOAD_TRUNCATED_IMAGES = lenient


def read_numbers(path: str) -> np.ndarray:
    """(H, W) uint8 of such a PNG, palette or grey. Raises ValueError for other images, OSError for one that cannot be read."""
    from PIL import Image

    try:
        with whole_images_only(), Image.open(path) as image:
            if image.mode not in ("P", "L", "1"):
                raise ValueError(f"its pixels are colours ({image.mode}), not numbers of objects")
            return np.array(image, np.uint8)
    except OSError:
        raise
    except Exception as error:  # on damage, Pillow's decoders raise whatever came up
        raise ValueError(str(error)) from None


# ---- geometry, of dense masks ------------------------------------------------------------------------------------------

def crop_dense(dense: np.ndarray, left: int, top: int, width: int, height: int) -> np.ndarray:
    """Dense masks (M, H, W) as a window shows them, (M, height, width); the window may reach beyond the image."""
    seen = np.zeros((len(dense), height, width), np.uint8)
    y0, y1 = max(0, top), min(dense.shape[1], top + height)
    x0, x1 = max(0, left), min(dense.shape[2], left + width)
    if y0 < y1 and x0 < x1:
        seen[:, y0 - top:y1 - top, x0 - left:x1 - left] = dense[:, y0:y1, x0:x1]
    return seen


def resize_dense(dense: np.ndarray, new_size: Sequence[int]) -> np.ndarray:
    """Dense masks (M, H, W) of a resized image, new_size (height, width): the mean over what a pixel covers where both sides
    shrink, else linear in between."""
    height, width = new_size
    if dense.shape[1:] == (height, width):
        return dense
    smaller = height < dense.shape[1] and width < dense.shape[2]
    how = cv2.INTER_AREA if smaller else cv2.INTER_LINEAR
    seen = np.zeros((len(dense), height, width), np.uint8)
    for mask, target in zip(dense * np.uint8(255), seen):
        target[...] = cv2.resize(mask, (width, height), interpolation=how) >= 128  # half of it, 127.5, is rounded up
    return seen


def pack(dense: np.ndarray, planes: int) -> np.ndarray:
    """(planes, height, width) uint8 of dense masks (M, height, width), M <= 8 * planes."""
    packed = np.zeros((planes * OBJECTS_A_PLANE, *dense.shape[1:]), np.uint8)
    packed[:len(dense)] = dense
    packed = packed.reshape(planes, OBJECTS_A_PLANE, *dense.shape[1:])
    return np.packbits(packed, axis=1, bitorder="little")[:, 0]


# ---- what a network predicts -------------------------------------------------------------------------------------------

def paste(found: np.ndarray, boxes: np.ndarray, size: Sequence[int], threshold: float = HALF) -> np.ndarray:
    """(D,) masks of an image of this size: found (D, S, S) float32, probabilities on a grid of S x S cells over each box, and
    boxes (D, 4), corners in pixels. A pixel is the object's where the probability at its middle, linear between the cells'
    middles and down to 0 a cell further out, is at least the threshold: GluonCV's exact fill."""
    dense = np.zeros((*map(int, size), 1), np.uint8, order="F")
    masks = []
    for cells, box in zip(found, np.asarray(boxes, np.float64)):
        window, inside = paste_window(cells, box, size, threshold)
        dense[window] = inside[:, :, None]
        masks.append(coding.encode(dense)[0]["counts"])
        dense[window] = 0
    return np.array(masks) if masks else no_masks()


def paste_window(cells: np.ndarray, box: np.ndarray, size: Sequence[int],
                 threshold: float = HALF) -> tuple[tuple[slice, slice], np.ndarray]:
    """((rows, columns) of the image as slices, (height, width) bool) of one mask: what `paste` puts where."""
    rows, down = _weights(box[1], box[3], cells.shape[0], int(size[0]))
    columns, across = _weights(box[0], box[2], cells.shape[1], int(size[1]))
    # linear along each axis: a product of the two weights
    return (rows, columns), down @ cells.astype(np.float64) @ across.T >= threshold


def _weights(begin, end, cells, side):
    """(pixels of the axis that a box may cover, (pixels, cells) weights of the cells at the middles of those)."""
    step = max(end - begin, 1e-6) / cells
    first, last = max(0, int(np.floor(begin - step))), min(side, int(np.ceil(end + step)))
    places = (np.arange(first, max(first, last)) + 0.5 - begin) / step - 0.5  # in cells, from the middle of the first one
    return slice(first, max(first, last)), np.maximum(0, 1 - np.abs(places[:, None] - np.arange(cells)))

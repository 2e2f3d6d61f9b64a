"""A set that is drawn from a seed, into the cache folder, once: as JPEG, VOC XML and VOC's PNGs of silhouettes.

It is read back like any other set, so that the real reading path is used.
"""
from __future__ import annotations

import errno
import multiprocessing
import os
import signal
import sys
from pathlib import Path
from typing import Callable, Mapping, Sequence

import cv2
import numpy as np

from gluon_bof.data.workers import FORK, opencv_on_one_thread
from gluon_bof.errors import UserError
from gluon_bof.files import cache_folder, folder_beside
from gluon_bof.masks import NOBODY, write_numbers
from gluon_bof.terminal import end_with_parent

OVERSAMPLING = 2  # what is drawn is so many times as wide and high as its image


def ensure_drawn(root: str | None, splits: Mapping[str, int], stem: str, first: int, draw: Callable[[int, int], tuple],
                 version: int, heads: Mapping[str, int] | None = None, classes: Sequence[str] = ()) -> str:
    """Path of the drawn set; draws it if it is not there. Two processes may do so at once: the first to end wins.

    splits: {name: images}, of which `first` is the first one's number; draw(split's number, index) -> as `shapes.draw_scene`, or,
    without classes, as `shapes.draw_image`; heads: {further split: so many first images of the first one}; classes: in the order
    of the numbers that label maps have for them. Raises UserError where it can be neither read nor written."""
    cache = Path(os.path.expanduser(root or cache_folder()))
    folder = cache / f"{stem}-v{version}"
    if os.path.isdir(folder):
        if not os.access(folder, os.R_OK | os.X_OK):  # drawn by an earlier version: for its first user alone
            raise UserError("this drawn set cannot be read", str(folder),
                            "have its owner make it readable, or set GLUON_BOF_CACHE to another folder")
        return str(folder)
    try:
        cache.mkdir(parents=True, exist_ok=True)
        with folder_beside(str(folder)) as unfinished:
            drawn = Path(unfinished, folder.name)  # which others may read, where the temporary one is its owner's
            _write_set(drawn, splits, first, draw, heads or {}, classes)
            os.rename(drawn, folder)
    except OSError as error:
        if folder.is_dir():  # another process was first
            return str(folder)
        raise UserError(f"the drawn set cannot be written here ({error.strerror})", str(cache),
                        "make room, or set GLUON_BOF_CACHE to a folder that can be written") from None
    return str(folder)


def _write_set(root, splits, first, draw, heads, classes):
    folder = root / "VOC2007"
    for name in ("Annotations", "JPEGImages", "ImageSets/Main"):
        (folder / name).mkdir(parents=True)
    if classes:
        for name in ("SegmentationObject", "SegmentationClass", "ImageSets/Segmentation"):
            (folder / name).mkdir()
    names = {split: [f"{split}_{index:04d}" for index in range(count)] for split, count in splits.items()}
    _draw_side_by_side(folder, [(number, index, name) for number, of_split in enumerate(names.values(), first)
                                for index, name in enumerate(of_split)], draw, classes)
    first_names = next(iter(names.values()))
    for split, of_split in {**names, **{head: first_names[:count] for head, count in heads.items()}}.items():
        for lists in (folder / "ImageSets").iterdir():
            (lists / f"{split}.txt").write_text("\n".join(of_split) + "\n")


def _draw_side_by_side(folder, places, draw, classes):
    """Write the images of these places, (split's number, index, name), with a process for every core; in a process that may start
    no other, such as a Pool's, one after the other."""
    if multiprocessing.current_process().daemon:
        with opencv_on_one_thread():
            for place in places:
                _write_image(folder, *place, draw, classes)
        return
    count = os.cpu_count() or 1
    drawers = [FORK.Process(target=_write_images, args=(folder, places[first::count], draw, classes), daemon=True)
               for first in range(count)]
    with opencv_on_one_thread():
        for drawer in drawers:
            drawer.start()
    try:
        for drawer in drawers:
            drawer.join()
            if drawer.exitcode:
                raise OSError(drawer.exitcode, os.strerror(drawer.exitcode), str(folder))
    finally:
        for drawer in drawers:
            drawer.kill()
            drawer.join()


def _write_images(folder, places, draw, classes):
    """A drawer's work. Its exit status is the number of the error that stopped it."""
    end_with_parent(signal.SIGKILL)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # whoever started this hears it too, and removes the folder
    try:
        for place in places:
            _write_image(folder, *place, draw, classes)
    except OSError as error:
        sys.exit(error.errno or errno.EIO)


def _write_image(folder, split, index, name, draw, classes):
    image, objects, *owners = draw(split, index)
    done = cv2.imwrite(str(folder / "JPEGImages" / f"{name}.jpg"), image[:, :, ::-1], [cv2.IMWRITE_JPEG_QUALITY, 92])
    if not done:
        raise OSError(errno.ENOSPC, "an image could not be written", str(folder))
    (folder / "Annotations" / f"{name}.xml").write_text(_annotation(name, image.shape, objects))
    for numbers in owners:
        of_number = np.zeros(256, np.uint8)  # the class id + 1 of each object
        of_number[1:len(objects) + 1] = [classes.index(label) + 1 for label, *_ in objects]
        of_number[NOBODY] = NOBODY
        write_numbers(str(folder / "SegmentationObject" / f"{name}.png"), numbers)
        write_numbers(str(folder / "SegmentationClass" / f"{name}.png"), of_number[numbers])


def _annotation(name, shape, objects):
    lines = [f"<annotation>\n  <filename>{name}.jpg</filename>\n  <size><width>{shape[1]}</width>"
             f"<height>{shape[0]}</height><depth>3</depth></size>"]
    for label, (left, top, right, bottom), difficult, *truncated in objects:
        truncation = "".join(f"<truncated>{int(value)}</truncated>" for value in truncated)
        # VOC counts from 1 and its last pixel belongs to the box
        lines.append(f"  <object><name>{label}</name>{truncation}<difficult>{int(difficult)}</difficult><bndbox>"
                     f"<xmin>{left + 1}</xmin><ymin>{top + 1}</ymin><xmax>{right}</xmax><ymax>{bottom}</ymax>"
                     "</bndbox></object>")
    return "\n".join(lines + ["</annotation>\n"])


def owners(visible: Sequence[np.ndarray], size: tuple[int, int]) -> np.ndarray:
    """(height, width) uint8 of the finished image: the number, from 1, of the object that covers most of a pixel, 0 for the
    ground, NOBODY where two cover as much of it. visible: (2 * height, 2 * width) bool of each, none of which overlap."""
    height, width = size
    whole = OVERSAMPLING ** 2
    numbers = np.zeros(size, np.uint8)
    most = np.full(size, whole, np.uint8)  # what the ground has left, until an object has more
    steps = [slice(start, None, OVERSAMPLING) for start in range(OVERSAMPLING)]
    shares = [sum(mask.view(np.uint8)[rows, columns] for rows in steps for columns in steps) for mask in visible]
    for share in shares:
        most -= share
    for number, share in enumerate(shares, 1):
        numbers[share == most] = NOBODY
        numbers[share > most] = number
        most = np.maximum(most, share)
    return numbers


def tight_box(mask: np.ndarray) -> tuple[int, int, int, int]:
    """(left, top, right, bottom) in pixels of the finished image, right and bottom exclusive."""
    x, y, width, height = cv2.boundingRect(mask.view(np.uint8))
    return (x // OVERSAMPLING, y // OVERSAMPLING,
            -(-(x + width) // OVERSAMPLING), -(-(y + height) // OVERSAMPLING))

"""Small real sets of images and label maps that tests draw for themselves: rectangles of two colours on noise."""
from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

from gluon_bof.masks import NOBODY, write_numbers

CLASSES = ("background", "blue", "red")
COLOURS = {1: (40, 60, 220), 2: (220, 50, 40)}
WIDTH, HEIGHT = 64, 48


def drawn(rng, width=WIDTH, height=HEIGHT):
    """(image (H, W, 3), labels (H, W)): one rectangle of each class, with a line of NOBODY around the first."""
    image = rng.integers(90, 160, (height, width, 3)).astype(np.uint8)
    labels = np.zeros((height, width), np.uint8)
    for number, colour in COLOURS.items():
        left, top = rng.integers(2, width // 2), rng.integers(2, height // 2)
        wide, high = rng.integers(12, width // 2 - 4), rng.integers(10, height // 2 - 4)
        if number == 1:
            labels[top - 1:top + high + 1, left - 1:left + wide + 1] = NOBODY
        labels[top:top + high, left:left + wide] = number
        image[top:top + high, left:left + wide] = colour
    return image, labels


def unpacked(planes):
    """(8 * P, height, width) uint8, dense, of planes of bits (P, height, width)."""
    return np.unpackbits(planes[:, None], axis=1, bitorder="little").reshape(-1, *planes.shape[1:])


def write_pair(images: Path, masks: Path, name: str, rng: np.random.Generator, **size: int) -> None:
    """One image and its map."""
    image, labels = drawn(rng, **size)
    Image.fromarray(image).save(images / f"{name}.jpg", quality=95)
    write_numbers(str(masks / f"{name}.png"), labels)


def write_mask_set(root, train=12, validation=4, seed=0, layout="parts"):
    """images/ and masks/ below root: in train/ and val/ ("parts"), with those behind them ("behind"), or without ("none")."""
    rng, root = np.random.default_rng(seed), Path(root)
    for part, count in (("train", train), ("val", validation)):
        images, masks = (root / {"parts": f"{part}/{kind}", "behind": f"{kind}/{part}", "none": kind}[layout]
                         for kind in ("images", "masks"))
        for folder in (images, masks):
            folder.mkdir(parents=True, exist_ok=True)
        for number in range(count):
            write_pair(images, masks, f"{part}{number:02d}", rng)
    (root / "classes.txt").write_text("".join(f"{name}\n" for name in CLASSES))
    return root


def write_voc_masks(root, parts):
    """VOC2012/ below root with so many images in each part, and trainval of all."""
    rng, folder = np.random.default_rng(1), Path(root) / "VOC2012"
    for name in ("JPEGImages", "SegmentationClass", "ImageSets/Segmentation"):
        (folder / name).mkdir(parents=True)
    names = {part: [f"2007_{part}_{number}" for number in range(count)] for part, count in parts.items()}
    for part, of_part in {**names, "trainval": sum(names.values(), [])}.items():
        (folder / "ImageSets" / "Segmentation" / f"{part}.txt").write_text("\n".join(of_part) + "\n")
    for name in sum(names.values(), []):
        write_pair(folder / "JPEGImages", folder / "SegmentationClass", name, rng)
    return root

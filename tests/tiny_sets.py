"""Small real data sets that tests draw for themselves: JPEGs and VOC XML of coloured rectangles."""
from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np

from gluon_bof.data import shapes
from gluon_bof.masks import write_numbers

CLASSES = ("blue", "green", "red")
COLOURS = {"blue": (40, 60, 220), "green": (40, 200, 60), "red": (220, 50, 40)}
BCCD = Path(__file__).resolve().parents[2] / "shared" / "data" / "bccd"


def write_voc_set(root, images=12, validation=4, seed=0, width=120, height=96):
    """A VOC-layout folder under `root` with trainval and test splits, masks too. Returns root."""
    rng = np.random.default_rng(seed)
    root = Path(root)
    for name in ("Annotations", "JPEGImages", "SegmentationObject", "ImageSets/Main"):
        (root / "VOC2007" / name).mkdir(parents=True, exist_ok=True)
    names = [f"{number:06d}" for number in range(images + validation)]
    for name in names:
        write_image(root / "VOC2007", name, rng, width, height)
    for split, part in (("trainval", names[:images]), ("test", names[images:])):
        (root / "VOC2007" / "ImageSets" / "Main" / f"{split}.txt").write_text("\n".join(part) + "\n")
    return root


def write_image(folder, name, rng, width, height):
    """One image of one to three rectangles on noise, with its annotation."""
    image = rng.integers(90, 160, (height, width, 3)).astype(np.uint8)
    objects, numbers = [], np.zeros((height, width), np.uint8)
    for number in range(1, rng.integers(1, 4) + 1):
        label = CLASSES[rng.integers(3)]
        left, top = (int(value) for value in rng.integers(0, (width - 45, height - 45)))
        wide, high = (int(value) for value in rng.integers(20, 45, 2))
        image[top:top + high, left:left + wide] = COLOURS[label]
        numbers[top:top + high, left:left + wide] = number
        objects.append(f"<object><name>{label}</name><difficult>0</difficult><bndbox><xmin>{left + 1}</xmin>"
                       f"<ymin>{top + 1}</ymin><xmax>{left + wide}</xmax><ymax>{top + high}</ymax></bndbox></object>")
    cv2.imwrite(str(folder / "JPEGImages" / f"{name}.jpg"), image[:, :, ::-1], [cv2.IMWRITE_JPEG_QUALITY, 95])
    if (folder / "SegmentationObject").is_dir():
        write_numbers(folder / "SegmentationObject" / f"{name}.png", numbers)
    (folder / "Annotations" / f"{name}.xml").write_text(
        f"<annotation><filename>{name}.jpg</filename><size><width>{width}</width><height>{height}</height>"
        f"<depth>3</depth></size>{''.join(objects)}</annotation>")


def draw_few_shapes(monkeypatch, folder, trainval=12, test=8):
    """The embedded set is drawn into this cache folder for a test, with so few images: all of it takes fifteen seconds."""
    monkeypatch.setenv("GLUON_BOF_CACHE", str(folder))
    monkeypatch.setattr(shapes, "SPLITS", {"trainval": trainval, "test": test})


def write_class_folders(root, rng):
    """train/ and val/ of two classes, one bright, one dark."""
    for role, count in (("train", 24), ("val", 6)):
        for name, level in (("bright", 200), ("dark", 50)):
            folder = root / role / name
            folder.mkdir(parents=True)
            for number in range(count // 2):
                image = np.clip(rng.normal(level, 20, (40, 48, 3)), 0, 255).astype(np.uint8)
                cv2.imwrite(str(folder / f"{number}.png"), image)
    return root

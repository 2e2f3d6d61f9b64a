"""Sets in COCO's layout, written by hand."""
import copy
import json

import cv2
import numpy as np

WIDTH, HEIGHT = 100, 80
CONTENT = {
    "images": [{"id": 7, "file_name": "b.jpg", "width": WIDTH, "height": HEIGHT},
               {"id": 3, "file_name": "a.jpg", "width": WIDTH, "height": HEIGHT},
               {"id": 9, "file_name": "c.jpg", "width": WIDTH, "height": HEIGHT}],
    "annotations": [{"id": 1, "image_id": 7, "category_id": 5, "bbox": [10.5, 20, 30, 40.25], "area": 1207.5,
                     "iscrowd": 0},
                    {"id": 2, "image_id": 3, "category_id": 2, "bbox": [0, 0, 100, 80], "area": 8000, "iscrowd": 1},
                    {"id": 3, "image_id": 7, "category_id": 2, "bbox": [1, 2, 3, 4], "area": 12, "iscrowd": 0}],
    "categories": [{"id": 5, "name": "dog"}, {"id": 2, "name": "Zebra"}],
}


def content(**changes):
    return {**copy.deepcopy(CONTENT), **changes}


def write_json(path, value=None):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content() if value is None else value))
    return path


def write_images(folder, names=("a.jpg", "b.jpg", "c.jpg")):
    folder.mkdir(parents=True, exist_ok=True)
    for name in names:
        cv2.imwrite(str(folder / name), np.zeros((HEIGHT, WIDTH, 3), np.uint8))


def write_set(root, value=None, role="train"):
    write_images(root / f"{role}2017")
    return write_json(root / "annotations" / f"instances_{role}2017.json", value)


def changed(key, index, **changes):
    """CONTENT with one entry changed; a change to None takes the key away."""
    value = content()
    entry = dict(value[key][index], **changes)
    value[key][index] = {name: item for name, item in entry.items() if item is not None}
    return value


def without(key):
    return {name: item for name, item in content().items() if name != key}

"""CIFAR-10 from its binary files: a byte of the class, then 3 x 32 x 32 bytes, the red plane first, row by row."""
from __future__ import annotations

import os

import numpy as np

from gluon_bof.errors import UserError

ROOT = os.path.join("~", ".mxnet", "datasets", "cifar10")  # where Gluon's CIFAR10 leaves them
SUBFOLDER = "cifar-10-batches-bin"  # what the archive unpacks into
FILES = {"train": tuple(f"data_batch_{number}.bin" for number in range(1, 6)), "val": ("test_batch.bin",)}
CLASSES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
SIDE = 32  # pixels
RECORD = 1 + 3 * SIDE * SIDE  # bytes
REMEDY = "unpack cifar-10-binary.tar.gz and point --dataset-root at it"


def load_cifar10(role: str, root: str | None = None) -> tuple[np.ndarray, np.ndarray]:
    """(images (N, 32, 32, 3) uint8 RGB, class ids (N,) int64 into CLASSES) of a part, in the order of its files.

    role: "train" or "val"; root: the folder of the files, or the one above. Raises UserError for a file that is missing or is
    no whole number of records."""
    folder = os.path.expanduser(root or ROOT)
    inner = os.path.join(folder, SUBFOLDER)
    folder = inner if os.path.isdir(inner) else folder
    records = np.concatenate([_records(os.path.join(folder, name)) for name in FILES[role]])
    images = records[:, 1:].reshape(-1, 3, SIDE, SIDE).transpose(0, 2, 3, 1)
    return np.ascontiguousarray(images), records[:, 0].astype(np.int64)


def _records(path):
    try:
        data = np.fromfile(path, np.uint8)
    except OSError as error:
        raise UserError(f"CIFAR-10 cannot be read ({error.strerror})", path, REMEDY) from None
    if len(data) == 0 or len(data) % RECORD:
        raise UserError(f"{len(data)} bytes are no whole number of records of {RECORD}", path, REMEDY)
    records = data.reshape(-1, RECORD)
    if records[:, 0].max() >= len(CLASSES):
        raise UserError(f"a class of {records[:, 0].max()} is none of CIFAR-10's ten", path, REMEDY)
    return records

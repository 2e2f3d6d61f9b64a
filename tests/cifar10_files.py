"""CIFAR-10's binary files as tests draw them for themselves."""
from pathlib import Path

import numpy as np


def write_cifar10(folder, each, tested, seed=0):
    """data_batch_1.bin to 5 of `each` images and test_batch.bin of `tested`, whose brightness goes with their class. Returns
    (images (N, 32, 32, 3) uint8, class ids (N,)), those to train on first."""
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(seed)
    class_ids = rng.integers(0, 10, 5 * each + tested)
    level = 30 + 20 * class_ids[:, None, None, None]
    images = np.clip(rng.normal(level, 20, (len(class_ids), 32, 32, 3)), 0, 255).astype(np.uint8)
    planes = images.transpose(0, 3, 1, 2).reshape(len(images), -1)
    records = np.concatenate([class_ids[:, None].astype(np.uint8), planes], axis=1)
    for number in range(5):
        (folder / f"data_batch_{number + 1}.bin").write_bytes(records[number * each:(number + 1) * each].tobytes())
    (folder / "test_batch.bin").write_bytes(records[5 * each:].tobytes())
    return images, class_ids

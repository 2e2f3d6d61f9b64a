"""Names of checkpoints and how many are kept; no MXNet, so that a run is found at once."""
from __future__ import annotations

import os
import re

NAME = re.compile(r"iteration-(\d{9})\.ckpt")


def checkpoint_path(folder, iteration):
    """Where the checkpoint after so many iterations lies."""
    return os.path.join(folder, f"iteration-{iteration:09d}.ckpt")


def checkpoints(folder):
    """Paths of the folder's checkpoints, oldest first; unfinished writes are not among them."""
    if not os.path.isdir(folder):
        return []
    return [os.path.join(folder, name) for name in sorted(os.listdir(folder)) if NAME.fullmatch(name)]


def keep_newest(folder, count):
    """Remove all but the newest `count` checkpoints, and what a killed write left behind."""
    for path in checkpoints(folder)[:-count]:
        os.unlink(path)
    for name in os.listdir(folder):
        if name.endswith(".part"):
            os.unlink(os.path.join(folder, name))

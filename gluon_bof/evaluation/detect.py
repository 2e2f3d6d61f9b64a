"""A set of pictures -> what the network detects in each, in the picture's own pixels."""
from __future__ import annotations

import sys

import numpy as np
from tqdm import tqdm

from gluon_bof.data.boxes import Detections


def detect(graph, loader, records, size, device, should_stop=lambda: False, progress=None):
    """[Detections] in the order of `records`, or None where should_stop said so.

    graph: pictures (B, size, size, 3) uint8 -> ids, scores, boxes in input pixels. loader: a validation_loader."""
    found = [None] * len(records)
    waiting = None
    for pictures, indices in tqdm(loader, desc=progress, unit="batch", leave=False, file=sys.stderr,
                                  disable=progress is None or not sys.stderr.isatty()):
        if should_stop():
            return None
        outputs = graph(pictures.as_in_context(device))
        # the device works on this batch while the one before it is unpacked
        if waiting:
            _unpack(*waiting, records, size, found)
        waiting = outputs, indices
    if waiting:
        _unpack(*waiting, records, size, found)
    return found


def _unpack(outputs, indices, records, size, found):
    ids, scores, boxes = (output.asnumpy() for output in outputs)
    for row, index in enumerate(indices):
        record = records[index]
        kept = np.flatnonzero(ids[row, :, 0] >= 0)
        kept = kept[np.argsort(-scores[row, kept, 0], kind="stable")]
        limits = np.array([record.width, record.height] * 2, np.float32)
        found[index] = Detections(np.clip(boxes[row, kept] * (limits / size), 0, limits),
                                  ids[row, kept, 0].astype(np.int64), scores[row, kept, 0])

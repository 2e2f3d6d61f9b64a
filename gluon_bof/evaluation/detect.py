"""A set of images -> what the network detects in each, in the image's own pixels."""
from __future__ import annotations

from typing import TYPE_CHECKING, Any, Callable, Iterable, Sequence

from gluon_bof.inference.detector import unpack
from gluon_bof.inference.engines import arrays
from gluon_bof.terminal import progress_bar

if TYPE_CHECKING:
    from gluon_bof.boxes import Detections, Record
    from gluon_bof.inference.detector import Detector
    from gluon_bof.inference.tiles import Tiling


def detect(engine: Callable[[Any], Sequence[Any]], loader: Iterable[tuple], records: Sequence[Record],
           should_stop: Callable[[], bool] = lambda: False, progress: str | None = None) -> list[Detections] | None:
    """[Detections] in the order of `records`, or None where should_stop said so.

    engine: images (B, H, W, 3) uint8 -> ids, scores, boxes in input pixels; see inference.engines. loader: a
    validation_loader."""
    found = [None] * len(records)
    waiting = None
    for images, indices in progress_bar(loader, progress, unit="batch"):
        if should_stop():
            return None
        outputs = engine(images)
        # the device works on this batch while the one before it is unpacked
        if waiting:
            _unpack(*waiting, records, found)
        waiting = outputs, indices, images.shape[1:]
    if waiting:
        _unpack(*waiting, records, found)
    return found


def detect_slices(detector: Detector, loader: Iterable[tuple], found: Sequence[Detections], tiling: Tiling,
                  should_stop: Callable[[], bool] = lambda: False, progress: str | None = None) -> list[Detections] | None:
    """What was `found` in whole images together with what their slices show, or None where should_stop said so.

    loader: batches of one image, as it is stored, and its place in `found`, of those that are cut."""
    found = list(found)
    for images, (index,) in progress_bar(loader, progress, unit="image"):
        if should_stop():
            return None
        found[index] = detector.add_slices(found[index], images.asnumpy()[0], tiling)
    return found


def _unpack(outputs, indices, seen, records, found):
    values = arrays(outputs)
    for row, index in enumerate(indices):
        record = records[index]
        of_one = [array[row] for array in values]
        found[index] = unpack(*of_one[:3], seen, (record.height, record.width), *of_one[3:])

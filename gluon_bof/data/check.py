"""Reads a whole set, decodes every image, and reports what is in it and what is wrong."""
from __future__ import annotations

import hashlib
import sys
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

import numpy as np
from tqdm import tqdm

from gluon_bof.boxes import Fault, area
from gluon_bof.data.images import read_image
from gluon_bof.data.sets import open_set
from gluon_bof.data.voc import declared_size
from gluon_bof.errors import UserError

ROLES = ("train", "val")
SMALL, MEDIUM = 32 ** 2, 96 ** 2  # COCO's bounds, in square pixels
DECODING_THREADS = 4  # OpenCV lets go of Python's lock, and disks answer better in parallel


@dataclass
class Report:
    """What a set holds, over all the parts that were read."""

    dataset: str
    classes: tuple = ()
    images: dict = field(default_factory=dict)  # part -> number
    boxes_per_class: dict = field(default_factory=dict)
    sizes: dict = field(default_factory=lambda: {"small": 0, "medium": 0, "large": 0})
    boxes_per_image: list = field(default_factory=list)
    negatives: int = 0  # images without a box
    difficult: int = 0
    crowd: int = 0
    smallest_image: tuple | None = None  # width, height
    largest_image: tuple | None = None
    duplicates: list = field(default_factory=list)  # groups of paths whose files hold the same bytes
    faults: list = field(default_factory=list)

    @property
    def boxes(self):
        """Number of boxes."""
        return sum(self.boxes_per_class.values())


def check_set(dataset, root=None, classes=None, split=None, progress=True):
    """Read a set (as `open_set` names it) and decode all of its images -> Report.

    split: name of the split to read; default: the training and the validation part. A part that cannot be read is a
    fault; raises UserError if none can."""
    report = Report(dataset)
    sets, errors = {}, []
    for part in (split,) if split else ROLES:
        try:
            sets[part] = open_set(dataset, root, "train" if split else part, classes, "skip", split)
            classes = sets[part].classes
        except UserError as error:
            errors.append(error)
    if not sets:
        raise errors[0]
    report.classes = classes
    report.faults = [Fault(str(error.path or dataset), "unreadable part", error.problem) for error in errors]
    for part, found in sets.items():
        report.images[part] = len(found)
        report.faults += found.faults
    records = [record for found in sets.values() for record in found.records]
    _count_boxes(report, records)
    _decode_all(report, records, progress)
    report.faults = list(dict.fromkeys(report.faults))
    return report


def format_report(report):
    """The report as text for people."""
    counts = report.boxes_per_image
    total = max(report.boxes, 1)
    lines = [f"{report.dataset}: " + ", ".join(f"{number} images ({part})" for part, number in
                                               report.images.items()) + f", {report.boxes} boxes of "
             f"{len(report.classes)} classes", "", "boxes per class"]
    width = max(map(len, report.classes))
    lines += [f"  {name:{width}} {number:8} {100 * number / total:6.1f} %"
              for name, number in report.boxes_per_class.items()]
    lines += ["box sizes (COCO's: up to 32 x 32, up to 96 x 96, larger)",
              "  " + ", ".join(f"{number} {size}" for size, number in report.sizes.items()),
              "images",
              f"  boxes in an image: {min(counts)} to {max(counts)}, on average {np.mean(counts):.1f}",
              f"  without any box: {report.negatives}; difficult boxes: {report.difficult}; crowds: {report.crowd}"]
    if report.smallest_image:
        lines.append("  from {} x {} to {} x {} pixels".format(*report.smallest_image, *report.largest_image))
    lines.append(f"  with the same bytes as another: {sum(len(group) - 1 for group in report.duplicates)}")
    lines += [f"    {' = '.join(group)}" for group in report.duplicates]
    return "\n".join(lines + _fault_lines(report.faults))


def _count_boxes(report, records):
    counts = np.zeros(len(report.classes), int)
    for record in records:
        np.add.at(counts, record.classes, 1)
        areas = area(record.boxes)
        report.sizes["small"] += int((areas < SMALL).sum())
        report.sizes["medium"] += int(((areas >= SMALL) & (areas < MEDIUM)).sum())
        report.sizes["large"] += int((areas >= MEDIUM).sum())
        report.difficult += int(record.difficult.sum())
        report.crowd += int(record.crowd.sum())
    report.boxes_per_class = {name: int(count) for name, count in zip(report.classes, counts)}
    report.boxes_per_image = [len(record.boxes) for record in records]
    report.negatives = report.boxes_per_image.count(0)


def _decode_all(report, records, progress):
    """Faults of images that only decoding finds, the range of sizes, and files with the same bytes."""
    paths_of = {}
    seen_sizes = []
    with ThreadPoolExecutor(DECODING_THREADS) as pool:
        looked_at = tqdm(pool.map(_look_at, records), total=len(records), desc="decoding", unit="image",
                         disable=not progress, file=sys.stderr)
        for record, (size, digest, faults) in zip(records, looked_at):
            report.faults += faults
            if size:
                seen_sizes.append(size)
                paths_of.setdefault(digest, {})[record.path] = None
    if seen_sizes:
        report.smallest_image = min(seen_sizes, key=lambda size: size[0] * size[1])
        report.largest_image = max(seen_sizes, key=lambda size: size[0] * size[1])
    report.duplicates = [tuple(paths) for paths in paths_of.values() if len(paths) > 1]


def _look_at(record):
    """((width, height) or None, digest of the file or None, faults) of one image."""
    try:
        height, width = read_image(record.path).shape[:2]
    except UserError as error:
        return None, None, [Fault(record.path, "broken image", error.problem)]
    with open(record.path, "rb") as file:
        digest = hashlib.blake2b(file.read(), digest_size=16).digest()
    stated = declared_size(record.source) if record.source.lower().endswith(".xml") else None
    faults = [Fault(record.source, "wrong size", f"says {one[0]} x {one[1]}, but {record.path} has {width} x {height}")
              for one in {stated or (width, height), (record.width, record.height)} if tuple(one) != (width, height)]
    return (width, height), digest, faults


def _fault_lines(faults):
    if not faults:
        return ["no faults"]
    lines = [f"faults: {len(faults)}"]
    for kind, number in sorted(Counter(fault.kind for fault in faults).items()):
        lines.append(f"  {kind}: {number}")
        lines += [f"    {fault.path}: {fault.message}" for fault in faults if fault.kind == kind]
    return lines

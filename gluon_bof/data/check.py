"""Reads a whole set, decodes every image, and reports what is in it and what is wrong."""
from __future__ import annotations

import contextlib
import hashlib
import os
import tempfile
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Iterable, Mapping, Sequence

import numpy as np
from tqdm import tqdm

from gluon_bof.boxes import DetectionSet, Fault, area
from gluon_bof.data.balance import advice, hardly_told_apart, image_shares, untrained
from gluon_bof.data.faults import crowded, nothing_to_find, require_boxes
from gluon_bof.data.images import decode_image, has_12_bits, has_broken_strips, loses_pixels, read_bytes
from gluon_bof.data.names import class_names
from gluon_bof.data.parts import ROLES
from gluon_bof.data.sets import open_set, unlisted
from gluon_bof.errors import Aside, UserError
from gluon_bof.terminal import ASIDE

SMALL, MEDIUM = 32 ** 2, 96 ** 2  # COCO's bounds, in square pixels; a box of just that size counts here once, as the smaller one
DECODING_THREADS = 4  # OpenCV lets go of Python's lock, and disks answer better in parallel


@dataclass
class Report:
    """What a set holds, over all the parts that were read."""

    dataset: str
    classes: tuple = ()
    images: dict = field(default_factory=dict)  # part -> number
    boxes_per_class: dict = field(default_factory=dict)
    images_per_class: dict = field(default_factory=dict)
    advice: str | None = None  # where some class is rare
    sizes: dict = field(default_factory=lambda: {"small": 0, "medium": 0, "large": 0})
    boxes_per_image: list = field(default_factory=list)
    negatives: int = 0  # images without a box
    difficult: int = 0
    crowd: int = 0
    smallest_image: tuple | None = None  # width, height
    largest_image: tuple | None = None
    turned: int = 0  # images that are turned upright because their EXIF tag says so
    unannotated: list = field(default_factory=list)  # paths of images without an annotation file
    origin: dict | None = None  # of VOC's layout: whether pixels count from 0 or 1, and what speaks for it
    duplicates: list = field(default_factory=list)  # groups of paths whose files hold the same bytes
    in_both_parts: list = field(default_factory=list)  # pairs of paths of the same bytes, one of each part
    layout: str = ""  # what its folder was taken for, and why
    notes: list = field(default_factory=list)  # what is to know, as sentences
    faults: list = field(default_factory=list)

    @property
    def boxes(self) -> int:
        """Number of boxes."""
        return sum(self.boxes_per_class.values())


def check_set(dataset: str, root: str | None = None, classes: Iterable[str] | None = None, split: str | None = None,
              layout: str = "auto", val_share: float = 0.0, progress: bool = True, masks: bool = False) -> Report:
    """Read a set (as `open_set` names it) and decode all of its images -> Report.

    split: name of the split to read; default: the training and the validation part. masks: read each box's mask, too. A part
    that cannot be read is a fault; raises UserError if none can."""
    return report_of(dataset, *open_parts(dataset, root, classes, split, layout, val_share, masks), progress)


def report_of(dataset: str, sets: Mapping[str, DetectionSet], errors: Sequence[UserError] = (), progress: bool = True) -> Report:
    """Decode all images of the parts of a set that `open_parts` gave, with the errors of those that it could not -> Report."""
    report = Report(dataset)
    report.classes = next(iter(sets.values())).classes
    report.faults = [Fault(str(error.path or dataset), "unreadable part", error.problem) for error in errors]
    for part, found in sets.items():
        report.images[part] = len(found)
        report.faults += found.faults + found.remarks
        report.turned += found.turned
        report.unannotated += found.unannotated
        report.layout = found.layout
        report.origin = found.origin._asdict() if found.origin else None
        report.notes += [note if note == str(found.origin) else f"{part}: {note}" for note in found.notes()]
    report.notes = list(dict.fromkeys(report.notes)) + hardly_told_apart(report.classes)
    records = [record for found in sets.values() for record in found.records]
    report.notes += filter(None, (crowded(records), unlisted(sets.values())))
    _count_boxes(report, records)
    _decode_all(report, records, progress)
    _compare_parts(report, sets)
    report.faults = list(dict.fromkeys(report.faults))
    return report


def open_parts(dataset: str, root: str | None = None, classes: str | Iterable[str] | None = None, split: str | None = None,
               layout: str = "auto", val_share: float = 0.0,
               masks: bool = False) -> tuple[dict[str, DetectionSet], list[UserError]]:
    """({part: DetectionSet}, [UserError of a part that cannot be read]), faulty samples listed. masks: with those of the boxes.
    Raises UserError if there is no part at all."""
    classes = None if classes is None else class_names(classes)
    sets, errors = {}, []
    for part in (split,) if split else ROLES:
        try:
            sets[part] = open_set(dataset, root, "train" if split else part, classes, "list", split, layout=layout,
                                   val_share=val_share, masks=masks)
            classes = sets[part].classes
        except UserError as error:
            errors.append(error)
    if not sets:
        raise errors[0]
    return sets, errors


def _compare_parts(report, sets):
    """No box to train on or to find, or none of a class; images that train and validate."""
    if "train" in sets:
        try:
            require_boxes(sets["train"].records, report.dataset)
        except UserError as error:
            report.faults.append(Fault(report.dataset, "no box", error.problem))
    nothing = nothing_to_find(sets["val"].records) if "val" in sets else None
    report.faults += [Fault(report.dataset, "no box", nothing)] if nothing else []
    if set(sets) != set(ROLES):
        return
    report.notes += untrained(sets["train"], sets["val"])
    source_of, validating = ({os.path.realpath(record.path): record for record in sets[part].records} for part in ROLES)
    report.faults += [Fault(record.source, "in both parts", f"{record.path} trains and validates")
                      for place, record in validating.items() if place in source_of]
    for paths in report.duplicates:
        places = {os.path.realpath(path): path for path in paths}
        trains = [path for place, path in places.items() if place in source_of and place not in validating]
        validates = [path for place, path in places.items() if place in validating and place not in source_of]
        report.in_both_parts += [(trains[0], path) for path in validates if trains]


def format_report(report: Report) -> str:
    """The report as text for people."""
    counts = report.boxes_per_image
    total = max(report.boxes, 1)
    lines = [f"{report.dataset}: " + ", ".join(f"{number} images ({part})" for part, number in
                                               report.images.items()) + f", {report.boxes} boxes of "
             f"{len(report.classes)} classes"] + ([report.layout] if report.layout else []) + ["", "boxes per class"]
    width = max(map(len, report.classes))
    lines += [f"  {name:{width}} {number:8} {100 * number / total:6.1f} %, in {report.images_per_class[name]} images"
              for name, number in report.boxes_per_class.items()]
    lines += [f"  {report.advice}"] if report.advice else []
    lines += ["box sizes (COCO's: up to 32 x 32, up to 96 x 96, larger)",
              "  " + ", ".join(f"{number} {size}" for size, number in report.sizes.items()),
              "images",
              f"  boxes in an image: {min(counts)} to {max(counts)}, on average {np.mean(counts):.1f}",
              f"  without any box: {report.negatives}; difficult boxes: {report.difficult}; crowds: {report.crowd}"]
    if report.smallest_image:
        lines.append("  from {} x {} to {} x {} pixels".format(*report.smallest_image, *report.largest_image))
    lines.append(f"  with the same bytes as another: {sum(len(group) - 1 for group in report.duplicates)}")
    lines += [f"    {' = '.join(group)}" for group in report.duplicates]
    if report.in_both_parts:
        lines.append(f"  that validate and have the same bytes as one that trains: {len(report.in_both_parts)}")
        lines += [f"    {' = '.join(pair)}" for pair in report.in_both_parts]
    lines += [f"  {note}" for note in report.notes]
    return "\n".join(lines + _fault_lines(report.faults))


def _count_boxes(report, records):
    counts = np.zeros(len(report.classes), int)
    for record in records:
        np.add.at(counts, record.classes, 1)
        areas = area(record.boxes)
        report.sizes["small"] += int((areas <= SMALL).sum())
        report.sizes["medium"] += int(((areas > SMALL) & (areas <= MEDIUM)).sum())
        report.sizes["large"] += int((areas > MEDIUM).sum())
        report.difficult += int(record.difficult.sum())
        report.crowd += int(record.crowd.sum())
    report.boxes_per_class = {name: int(count) for name, count in zip(report.classes, counts)}
    shares = image_shares(records, len(report.classes))
    report.images_per_class = {name: round(share * len(records)) for name, share in zip(report.classes, shares)}
    report.advice = advice(shares, report.classes)
    report.boxes_per_image = [len(record.boxes) for record in records]
    report.negatives = report.boxes_per_image.count(0)


def _decode_all(report, records, progress):
    """Faults of images that only decoding finds, the range of sizes, and files with the same bytes."""
    paths_of, seen_sizes, suspects, dark = {}, [], [], 0
    with _heard() as said, ThreadPoolExecutor(DECODING_THREADS) as pool:
        looked_at = tqdm(pool.map(lambda record: _look_at(record, said), records), total=len(records), desc="decoding",
                         unit="image", disable=not progress, file=said.aloud)
        for (size, digest, faults, is_suspect, is_dark), record in zip(looked_at, records):
            report.faults += faults
            dark += is_dark
            if is_suspect:
                suspects.append(record)
            if size:
                seen_sizes.append(size)
                paths_of.setdefault(digest, {})[record.path] = None
        report.faults += [fault for record in suspects for fault in _damage(record, said)]
    if seen_sizes:
        report.smallest_image = min(seen_sizes, key=lambda size: size[0] * size[1])
        report.largest_image = max(seen_sizes, key=lambda size: size[0] * size[1])
    if dark:
        report.notes.append(f"{dark} images of 16 bits seem to have pixels of 12 bits or fewer: what is read of them has at "
                            "most 16 of 256 levels, nearly black; stretch them to 65535")
    report.duplicates = [tuple(paths) for paths in paths_of.values() if len(paths) > 1]


class _Heard:
    """What decoders say on standard error, which names no file. aloud: the real standard error."""

    def __init__(self, file, aloud):
        self.file = file
        self.aloud = aloud

    def length(self):
        """Bytes that were said so far."""
        return os.fstat(self.file.fileno()).st_size

    def since(self, start):
        """What was said after so many bytes."""
        return os.pread(self.file.fileno(), self.length() - start, start)


@contextlib.contextmanager
def _heard():
    """A _Heard, while standard error's descriptor goes to a file."""
    ASIDE.flush()
    try:
        kept = os.dup(2)
    except OSError:  # closed by whoever started us
        kept = os.open(os.devnull, os.O_WRONLY)
    aloud = Aside(os.fdopen(kept, "w", errors="backslashreplace"))
    with contextlib.closing(aloud), tempfile.TemporaryFile("a+b") as file:
        os.dup2(file.fileno(), 2)
        try:
            yield _Heard(file, aloud)
        finally:
            os.dup2(kept, 2)


def _look_at(record, said):
    """((width, height) or None, digest of the file or None, faults, whether a decoder may have complained of it, whether it
    `has_12_bits`)."""
    before = said.length()
    try:
        data = read_bytes(record.path)
        image = decode_image(data, record.orientation)
    except (UserError, ValueError) as error:
        return None, None, [Fault(record.path, "broken image", getattr(error, "problem", str(error)))], False, False
    height, width = image.shape[:2]
    digest = hashlib.blake2b(data, digest_size=16).digest()
    faults = [Fault(record.path, "damaged image", "pixels are lost: its strips or tiles cannot be unpacked")] \
        if has_broken_strips(data) else []
    if (width, height) != (record.width, record.height):
        faults += [Fault(record.source, "wrong size", f"{record.path} says {record.width} x {record.height} in its header, is "
                                                      f"{width} x {height}")]
    is_suspect = said.length() > before  # of this image, or of one that was decoded meanwhile
    return (width, height), digest, faults, is_suspect, has_12_bits(data, image)


def _damage(record, said):
    """Faults of an image that is decoded again, now alone."""
    before, data = said.length(), read_bytes(record.path)
    decode_image(data)
    lost = [line for line in said.since(before).decode(errors="replace").splitlines() if loses_pixels(line, data)]
    return [Fault(record.path, "damaged image", f"pixels are lost: {line}") for line in lost[:1]]


def _fault_lines(faults):
    if not faults:
        return ["no faults"]
    lines = [f"faults: {len(faults)}"]
    for kind, number in sorted(Counter(fault.kind for fault in faults).items()):
        lines.append(f"  {kind}: {number}")
        lines += [f"    {fault.path}: {fault.message}" for fault in faults if fault.kind == kind]
    return lines

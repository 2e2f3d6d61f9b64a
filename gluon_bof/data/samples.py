"""What the readers of one file of labels an image share: from places of images and labels to records."""
from __future__ import annotations

import os
from collections import Counter
from typing import Any, Callable, Iterable, NamedTuple, Sequence

from gluon_bof.boxes import Record
from gluon_bof.data.faults import FaultPolicy, fit_box, remark_repeated_boxes, remark_repeated_files, settled
from gluon_bof.data.headers import read_headers
from gluon_bof.data.names import unique_names
from gluon_bof.errors import UserError, abbreviate


class Sample(NamedTuple):
    """An image, and the file that holds its labels (the image itself, where there is none). stated: (width, height) or None."""

    path: str
    source: str
    image_id: str
    stated: tuple | None = None
    labels: Any = ()  # what the layout's reader makes rows of


class Row(NamedTuple):
    """A box before it is fitted into its image: corners in pixels from 0. outline: whether it is that of an outline."""

    corners: tuple
    class_id: int
    name: str
    difficult: bool = False
    outline: bool = False


def read_records(samples: Sequence[Sample], rows_of: Callable[..., Iterable[Row]], faults: FaultPolicy) -> list[Record]:
    """The records of the samples that can be used. rows_of: (sample, (width, height) of the image turned) -> Rows; it reports
    what it leaves out. Raises UserError for a fault that is not to be skipped."""
    paths = list(dict.fromkeys(sample.path for sample in samples))
    headers = dict(zip(paths, read_headers(paths)))
    records = [record for sample in samples for record in [_record(sample, headers[sample.path], rows_of, faults)] if record]
    if records:
        remark_repeated_files(faults, records[0].source, [(record.image_id, record.path) for record in records])
    return records


def _record(sample, header, rows_of, faults):
    found = settled(faults, sample.source, sample.path, header, sample.stated, sample.source)
    if found is None:
        return None
    orientation, size, frame = found
    rows, outlines = [], 0
    for row in rows_of(sample, size):
        corners, fault = fit_box(row.corners, *frame, row.name)
        if fault:
            faults.report(sample.source, *fault)
        if corners is not None:
            rows.append((corners, row.class_id, row.difficult, False))
            outlines += row.outline
    remark_repeated_boxes(faults, sample.source, rows)
    return Record.of_rows(sample.path, sample.source, sample.image_id, size, rows, orientation, outlines=outlines)


def image_ids(paths: Sequence[str], root: str) -> list[str]:
    """An id for each image: its name without ending, or its path below the root where several have the name."""
    stems = [os.path.splitext(os.path.basename(path))[0] for path in paths]
    count = Counter(stems)
    return [os.path.relpath(path, root) if count[stem] > 1 else stem for path, stem in zip(paths, stems)]


def class_numbers(classes: Sequence[str] | None, found: Sequence[str], role: str, where: str) -> tuple[tuple, dict[str, int]]:
    """(class names, {name: number}) of a set that names `found`, where `classes` are asked for.

    Raises UserError for one that is not there; what validates may lack some that were trained on."""
    names = tuple(found) if classes is None else unique_names(classes)
    unknown = [name for name in names if name not in found]
    if unknown and (role == "train" or len(unknown) == len(names)):
        raise UserError(f"class {unknown[0]!r} is not among its classes ({abbreviate(found)})", where, "fix --classes")
    return names, {name: number for number, name in enumerate(names)}
